// SPDX-License-Identifier: AGPL-3.0-or-later
//! Searching, verifying and exporting the audit of a workspace.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use tokio::sync::mpsc::Sender;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::download::{Piece, download};
use crate::api::error::{Problem, Refusals, Refused};
use crate::api::extract::Query;
use crate::api::principal::Administration;
use crate::api::services::App;
use crate::api::types::{AuditPage, AuditVerdict, Base64};
use crate::api::views;
use crate::core::audit::export::Format;
use crate::core::audit::{ChainVerifier, Filter, Head, Outcome, Record};
use crate::core::auth::permission::Permission;
use crate::platform::store::audit_log;
use crate::platform::store::workspace::{Workspace, Write};
use crate::values::time::Timestamp;

/// Records on a page, at most and when not asked.
const PAGE: u32 = 100;
/// Records looked at in one read, so that a long chain does not hold a connection.
const BATCH: u32 = 1_000;
/// Records looked at for one page of a search; a longer search goes on with the next page.
const LOOKED_AT_MAX: u32 = 20_000;

/// This file's routes, below `/api/v1` and below `/api/v1/system/workspaces/{workspace}`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(verify)).routes(routes!(export))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Search {
    /// The `next` of the page before.
    before: Option<u64>,
    /// At most so many; more than 100 is as good as 100.
    #[param(minimum = 0)]
    limit: Option<u32>,
    /// At this time or later (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Before this time (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// What the actor begins with, such as `operator:` or `account:<uuid>`.
    actor: Option<String>,
    /// What the action begins with, such as `account.` or `meeting.kick`.
    action: Option<String>,
    /// What the target begins with, such as `session:` or `room:<uuid>`.
    target: Option<String>,
    /// `allowed` or `refused`.
    #[param(value_type = Option<Outcome>)]
    outcome: Option<String>,
}

/// Search the audit, newest first. A page may be short, or empty, and have a `next`: the search goes on there.
#[utoipa::path(get, path = "/audit", tag = "audit", params(Search), responses(
    (status = 200, body = AuditPage),
    Refusals,
), security(("bearer" = [])))]
async fn list(admin: Administration, Query(search): Query<Search>) -> Result<axum::Json<AuditPage>, Problem> {
    admin.require(Permission::WorkspaceAudit)?;
    let Search { before, limit, since, until, actor, action, target, outcome } = search;
    let limit = usize::try_from(limit.unwrap_or(PAGE).clamp(1, PAGE)).unwrap_or(1);
    let known = |name: &str| {
        Outcome::from_name(name).ok_or_else(|| Problem::InvalidParameter("outcome: allowed or refused".to_owned()))
    };
    let outcome = outcome.as_deref().map(known).transpose()?;
    let filter = Filter { since, until, actor, action, target, outcome };
    let batch = if filter == Filter::default() { PAGE } else { BATCH };
    let mut before = before.unwrap_or(u64::MAX);
    let mut page = AuditPage { records: Vec::new(), next: None };
    for _ in 0..LOOKED_AT_MAX / batch {
        let stored = admin.workspace.read(move |database| audit_log::page_back(database, before, batch)).await?;
        for (bytes, _) in &stored {
            let record = Record::decode(bytes)?;
            before = record.sequence;
            if filter.matches(&record) {
                page.records.push(views::audit_record(record));
            }
            if page.records.len() == limit {
                break;
            }
        }
        if stored.is_empty() {
            // There is nothing before this, whatever its sequence.
            before = 0;
        }
        if page.records.len() == limit || stored.is_empty() {
            break;
        }
    }
    page.next = Some(before).filter(|before| *before > 1);
    Ok(axum::Json(page))
}

/// Verify every record of the chain, and sign its head.
#[utoipa::path(get, path = "/audit/verification", tag = "audit", responses(
    (status = 200, body = AuditVerdict),
    Refusals,
), security(("bearer" = [])))]
async fn verify(State(app): State<App>, admin: Administration) -> Result<axum::Json<AuditVerdict>, Problem> {
    admin.require(Permission::WorkspaceAudit)?;
    let workspace = &admin.workspace;
    let (head, problem) = verify_chain(workspace).await?;
    let signed_at = app.clock.now();
    let signature = head.sign(workspace.id(), signed_at, app.store.identity());
    Ok(axum::Json(AuditVerdict {
        ok: problem.is_none(),
        records: head.sequence,
        head: hex::encode(head.hash),
        signature: Base64(signature.to_vec()),
        signed_at,
        problem,
    }))
}

/// Goes along a whole chain. Says where it ends, and what is wrong with it.
pub async fn verify_chain(workspace: &Arc<Workspace>) -> Result<(Head, Option<String>), Problem> {
    let mut verifier = ChainVerifier::new(workspace.id());
    let mut problem = (workspace.state() != "open")
        .then(|| format!("the file is {}: it does not agree with the anchor", workspace.state()));
    loop {
        let after = verifier.head().sequence;
        let batch = workspace.read(move |database| audit_log::page(database, after, BATCH)).await?;
        if batch.is_empty() {
            return Ok((verifier.head(), problem));
        }
        if let Some(broken) = batch.iter().find_map(|(record, hash)| verifier.push(record, hash).err()) {
            problem = Some(broken.to_string());
            return Ok((verifier.head(), problem));
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ExportAs {
    /// `jsonl` (to be verified with `conclave audit verify FILE`), `rfc5424` or `cef`.
    #[param(value_type = Option<Format>)]
    format: Option<String>,
    /// Only the records after this one.
    after: Option<u64>,
}

/// Export the audit, oldest first, and then its signed head. That it is exported is in it.
#[utoipa::path(get, path = "/audit/export", tag = "audit", params(ExportAs), responses(
    (status = 200, content((String = "application/x-ndjson"), (String = "text/plain; charset=utf-8"))),
    Refusals, Refused<409>,
), security(("bearer" = [])))]
async fn export(
    State(app): State<App>,
    admin: Administration,
    Query(ExportAs { format, after }): Query<ExportAs>,
) -> Result<Response, Problem> {
    admin.require(Permission::WorkspaceAudit)?;
    let format = format.as_deref().map_or(Some(Format::JsonLines), Format::from_name);
    let format = format.ok_or_else(|| Problem::InvalidParameter("format: jsonl, rfc5424 or cef".to_owned()))?;
    let (now, after) = (app.clock.now(), after.unwrap_or(0));
    let mut event = admin.caller.event("audit.export", format!("workspace:{}", admin.workspace.id()), Outcome::Allowed);
    event.detail = format!("{}, after record {after}", format.as_str());
    let write = move |write: &Write<'_>| {
        if after > audit_log::head(write.sql())?.sequence {
            return Ok(Err(Problem::InvalidParameter("after: there are not that many records".to_owned())));
        }
        write.audit(&event, now)?;
        audit_log::head(write.sql()).map(Ok)
    };
    let head = admin.write(&app, write).await?;
    let (answer, pieces) = download(format.media_type());
    tokio::spawn(write_export(app, admin.workspace.clone(), format, after, head, pieces));
    Ok(answer)
}

async fn write_export(
    app: App,
    workspace: Arc<Workspace>,
    format: Format,
    mut after: u64,
    head: Head,
    pieces: Sender<Piece>,
) {
    while after < head.sequence {
        let left = u32::try_from(head.sequence - after).map_or(BATCH, |left| left.min(BATCH));
        let read = workspace.read(move |database| audit_log::page(database, after, left)).await;
        let piece = read.map_err(Problem::from).and_then(|stored| {
            after += u64::try_from(stored.len()).unwrap_or(0);
            let lines: Result<String, _> = stored.iter().map(|(bytes, hash)| format.line(bytes, hash)).collect();
            // A gap would make this go on for ever.
            if stored.is_empty() { Err(Problem::Internal) } else { Ok(Bytes::from(lines?)) }
        });
        let is_broken = piece.is_err();
        if is_broken {
            tracing::error!(workspace.id = %workspace.id(), audit.after = after, "an export of the audit cannot go on");
        }
        if pieces.send(piece).await.is_err() || is_broken {
            return;
        }
    }
    let line = format.head_line(head, workspace.id(), app.clock.now(), app.store.identity());
    // Who went away meanwhile does not need it.
    let _ = pieces.send(Ok(Bytes::from(line))).await;
}
