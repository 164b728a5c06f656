// SPDX-License-Identifier: AGPL-3.0-or-later
//! Everything of a workspace in one signed stream, when two persons agreed on it. No password hash, no key.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use tokio::sync::mpsc::Sender;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::approvals::{self, Approved};
use crate::api::download::{Piece, download};
use crate::api::error::{Problem, Refusals, Refused};
use crate::api::extract::{Path, Query};
use crate::api::principal::{Operator, existing_workspace};
use crate::api::services::App;
use crate::api::types::workspaces::AcceptanceView;
use crate::api::types::{AccountView, AuditRecordView, SessionView};
use crate::api::views;
use crate::api::workspaces::{WorkspacePath, entry_of};
use crate::core::approval::Deed;
use crate::core::audit::{Outcome, Record};
use crate::core::auth::permission::Role;
use crate::core::export::{Export, FORMAT, Opening};
use crate::platform::store::workspace::{Workspace, Write};
use crate::platform::store::{accounts, agreements, approvals as stored_approvals, audit_log, policy, rooms, sessions};
use crate::values::name::UserName;
use crate::values::time::Timestamp;

/// Rows read at once.
const BATCH: u32 = 500;

/// This file's routes, below `/api/v1/system`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(export))
}

/// Export everything of a workspace as JSON lines with a signature at the end. It takes two persons, and is also possible
/// when the trial is over or the workspace is suspended or closed.
#[utoipa::path(get, path = "/workspaces/{workspace}/export", tag = "workspaces", params(("workspace" = String, Path, format = Uuid), Approved), responses(
    (status = 200, body = String, content_type = "application/x-ndjson"),
    Refused<409>,
    Refusals,
), security(("bearer" = [])))]
async fn export(
    State(app): State<App>,
    operator: Operator,
    Path(WorkspacePath { workspace: id }): Path<WorkspacePath>,
    Query(Approved { approval }): Query<Approved>,
) -> Result<Response, Problem> {
    let entry = entry_of(&app, id)?;
    let workspace = existing_workspace(&app, id).await?;
    let (now, caller) = (app.clock.now(), operator.caller);
    let event = caller.event("workspace.export", format!("workspace:{id}"), Outcome::Allowed);
    let recorded = event.clone();
    let write = move |write: &Write<'_>| {
        if let Err(problem) = approvals::use_up(write, approval, Deed::ExportWorkspace, *id.as_bytes(), caller, now)? {
            return Ok(Err(problem));
        }
        write.audit(&recorded, now).map(Ok)
    };
    operator.write(&app, write).await?;
    // A rolled-back file can be exported too; it takes no record then.
    if workspace.state() == "open" {
        workspace.write(move |write| write.audit(&event, now)).await?;
    }
    let opening = Opening {
        format: FORMAT.to_owned(),
        workspace: id,
        name: entry.name.to_string(),
        stage: entry.life.stage().as_str().to_owned(),
        exported_at: now,
        identity_key: hex::encode(app.store.public_identity().to_bytes()),
    };
    let (export, first) = Export::begin(&opening).map_err(broken)?;
    let (answer, pieces) = download("application/x-ndjson");
    tokio::spawn(async move {
        if pieces.send(Ok(Bytes::from(first))).await.is_ok()
            && let Err(problem) = write_export(&app, &workspace, export, now, &pieces).await
        {
            tracing::error!(workspace.id = %id, problem.code = problem.code(), "an export of a workspace cannot go on");
            // Who went away does not need to know.
            let _ = pieces.send(Err(problem)).await;
        }
    });
    Ok(answer)
}

/// Sends a piece; `false` when nobody reads any more.
async fn send(pieces: &Sender<Piece>, lines: String) -> bool {
    lines.is_empty() || pieces.send(Ok(Bytes::from(lines))).await.is_ok()
}

fn broken(error: serde_json::Error) -> Problem {
    tracing::error!(error = %error, "a line of an export cannot be written");
    Problem::Internal
}

#[derive(Serialize)]
struct WithText {
    #[serde(flatten)]
    acceptance: AcceptanceView,
    text: String,
}

#[derive(Serialize)]
struct WithSessions {
    #[serde(flatten)]
    account: AccountView,
    sessions: Vec<SessionView>,
}

#[derive(Serialize)]
struct WithBytes {
    #[serde(flatten)]
    shown: AuditRecordView,
    record: String,
    hash: String,
}

async fn write_export(
    app: &App,
    workspace: &Arc<Workspace>,
    mut export: Export,
    now: Timestamp,
    pieces: &Sender<Piece>,
) -> Result<(), Problem> {
    let read = |database: &rusqlite::Connection| {
        Ok((
            policy::get(database)?,
            agreements::texts(database)?,
            rooms::all(database)?,
            stored_approvals::all(database)?,
        ))
    };
    let (permitted, agreements, rooms, approvals) = workspace.read(read).await?;
    let mut lines = export.thing("policy", crate::api::policy::view(app, permitted)).map_err(broken)?;
    for (acceptance, text) in agreements {
        let acceptance = crate::api::agreement::acceptance_view(acceptance);
        lines.push_str(&export.thing("agreement", WithText { acceptance, text }).map_err(broken)?);
    }
    for room in &rooms {
        lines.push_str(&export.thing("room", crate::api::rooms::view(room, None)).map_err(broken)?);
    }
    for approval in approvals {
        lines.push_str(&export.thing("approval", crate::api::approvals::view(approval, now)).map_err(broken)?);
    }
    if !send(pieces, lines).await {
        return Ok(());
    }
    let whose = views::workspace_ref(app, workspace.id())?;
    let mut after: Option<UserName> = None;
    loop {
        let behind = after.clone();
        let read = move |database: &rusqlite::Connection| {
            let page = accounts::page(database, behind.as_ref(), Role::Admin, BATCH)?;
            page.into_iter()
                .map(|account| Ok((sessions::of_account(database, account.id, now)?, account)))
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        let page = workspace.read(read).await?;
        let Some((_, last)) = page.last() else { break };
        after = Some(last.user_name.clone());
        let mut lines = String::new();
        for (sessions, account) in &page {
            let sessions = sessions.iter().map(|session| views::session(session, None)).collect();
            let thing = WithSessions { account: views::account(account, &whose), sessions };
            lines.push_str(&export.thing("account", thing).map_err(broken)?);
        }
        if !send(pieces, lines).await {
            return Ok(());
        }
    }
    let mut after = 0;
    loop {
        let batch = workspace.read(move |database| audit_log::page(database, after, BATCH)).await?;
        if batch.is_empty() {
            break;
        }
        let mut lines = String::new();
        for (bytes, hash) in &batch {
            let record = Record::decode(bytes)?;
            after = record.sequence;
            let shown = views::audit_record(record);
            let thing = WithBytes { shown, record: hex::encode(bytes), hash: hex::encode(hash) };
            lines.push_str(&export.thing("audit", thing).map_err(broken)?);
        }
        if !send(pieces, lines).await {
            return Ok(());
        }
    }
    send(pieces, export.end(app.store.identity()).map_err(broken)?).await;
    Ok(())
}
