// SPDX-License-Identifier: AGPL-3.0-or-later
//! Reading and verifying the audit of a workspace.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::error::{Problem, ProblemBody};
use crate::api::extract::Query;
use crate::api::principal::Administration;
use crate::api::services::App;
use crate::api::types::{AuditPage, AuditVerdict, Base64};
use crate::api::views;
use crate::core::audit::ChainVerifier;
use crate::core::auth::permission::Permission;
use crate::platform::store::audit_log;

/// Records on a page, at most and when not asked.
const PAGE: u32 = 100;
/// Records verified in one read, so that a long chain does not hold a connection.
const BATCH: u32 = 1_000;

/// This file's routes, below `/api/v1` and below `/api/v1/system/workspaces/{workspace}`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(verify))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Page {
    /// The `next` of the page before.
    before: Option<u64>,
    /// At most so many, up to 100.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// Read the audit, newest first.
#[utoipa::path(get, path = "/audit", tag = "audit", params(Page), responses(
    (status = 200, body = AuditPage),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
), security(("bearer" = [])))]
async fn list(admin: Administration, Query(page): Query<Page>) -> Result<axum::Json<AuditPage>, Problem> {
    admin.require(Permission::WorkspaceAudit)?;
    let limit = page.limit.unwrap_or(PAGE).clamp(1, PAGE);
    let before = page.before.unwrap_or(u64::MAX);
    let stored = admin.workspace.read(move |database| audit_log::page_back(database, before, limit)).await?;
    let records = stored.iter().map(|(bytes, _)| views::audit_record(bytes)).collect::<Result<Vec<_>, _>>()?;
    let next = records.last().map(|record| record.sequence).filter(|sequence| *sequence > 1);
    Ok(axum::Json(AuditPage { records, next }))
}

/// Verify every record of the chain, and sign its head.
#[utoipa::path(get, path = "/audit/verification", tag = "audit", responses(
    (status = 200, body = AuditVerdict),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
), security(("bearer" = [])))]
async fn verify(State(app): State<App>, admin: Administration) -> Result<axum::Json<AuditVerdict>, Problem> {
    admin.require(Permission::WorkspaceAudit)?;
    let workspace = &admin.workspace;
    let mut verifier = ChainVerifier::new(workspace.id());
    let mut problem = (workspace.state() != "open")
        .then(|| format!("the file is {}: it does not agree with the anchor", workspace.state()));
    loop {
        let after = verifier.head().sequence;
        let batch = workspace.read(move |database| audit_log::page(database, after, BATCH)).await?;
        if batch.is_empty() {
            break;
        }
        let broken = batch.iter().find_map(|(record, hash)| verifier.push(record, hash).err());
        if let Some(broken) = broken {
            problem = Some(broken.to_string());
            break;
        }
    }
    let (head, signed_at) = (verifier.head(), app.clock.now());
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
