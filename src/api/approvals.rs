// SPDX-License-Identifier: AGPL-3.0-or-later
//! What takes two persons: one asks, another one decides, and the route that does it uses the approval up.
//!
//! Requests about accounts are in the workspace of the account, those about workspaces in workspace `system`.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::error::{BodyRefusals, Problem, Refusals, Refused};
use crate::api::extract::{Json, Path};
use crate::api::idempotency;
use crate::api::principal::{Administration, Caller};
use crate::api::services::App;
use crate::api::types::workspaces::{ApprovalList, ApprovalView, DecideApproval, RequestApproval, VerdictName};
use crate::core::approval::{Approval, Deed, NotSo, Standing, Verdict};
use crate::core::audit::Outcome;
use crate::core::auth::permission::Permission;
use crate::platform::entropy;
use crate::platform::store::accounts;
use crate::platform::store::approvals::{self, Stored};
use crate::platform::store::workspace::Write;
use crate::values::id::{AccountId, ApprovalId, ApprovalTarget, WorkspaceId};
use crate::values::time::Timestamp;

/// This file's routes, below `/api/v1` and below `/api/v1/system/workspaces/{workspace}`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(idempotency::on(routes!(list, request))).routes(routes!(show)).routes(routes!(decide))
}

impl From<NotSo> for Problem {
    fn from(not_so: NotSo) -> Self {
        match not_so {
            NotSo::OwnRequest => Self::OwnApproval,
            NotSo::TooNew => Self::ApproverTooNew,
            NotSo::NotPending => Self::Conflict("The request is not pending any more.".to_owned()),
            NotSo::NotApproved | NotSo::Another => Self::ApprovalMissing,
        }
    }
}

/// The approval that a route takes.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Approved {
    /// An approved request for exactly this: `account.erase` of the workspace, `workspace.export` of workspace `system`.
    #[param(value_type = String, format = Uuid)]
    pub approval: ApprovalId,
}

/// Uses an approval up, in the transaction that does what was agreed on.
pub(super) fn use_up(
    write: &Write<'_>,
    id: ApprovalId,
    deed: Deed,
    target: [u8; 16],
    by: Caller,
    now: Timestamp,
) -> rusqlite::Result<Result<(), Problem>> {
    let Some(mut stored) = approvals::find(write.sql(), id)? else { return Ok(Err(Problem::ApprovalMissing)) };
    if let Err(not_so) = stored.approval.use_up(deed, target, by.name(), now) {
        return Ok(Err(not_so.into()));
    }
    approvals::update(write, id, &stored.approval).map(Ok)
}

/// Who may ask for this here, or decide it.
fn require(admin: &Administration, deed: Deed) -> Result<(), Problem> {
    let in_system = admin.workspace.id() == WorkspaceId::SYSTEM;
    match deed {
        Deed::EraseAccount => admin.administers_as_admin(Permission::AccountManage).map(drop),
        Deed::CloseWorkspace | Deed::ExportWorkspace if in_system => Ok(()),
        Deed::CloseWorkspace | Deed::ExportWorkspace => {
            Err(Problem::Conflict("What concerns a whole workspace is for operators, in workspace system.".to_owned()))
        }
    }
}

pub(super) fn view(stored: Stored, now: Timestamp) -> ApprovalView {
    let Stored { id, reason, approval } = stored;
    let standing = approval.standing(now);
    let expires_at = approval.expires_at();
    let Approval { deed, target, requested, decided, used } = approval;
    let (decided_by, decided_at) = decided.map(|(_, signature)| (signature.by, signature.at)).unzip();
    ApprovalView {
        id,
        deed: deed.as_str().to_owned(),
        target: ApprovalTarget::from_bytes(target),
        reason,
        state: standing.as_str().to_owned(),
        requested_by: requested.by,
        requested_at: requested.at,
        expires_at,
        decided_by,
        decided_at,
        used_at: used.map(|signature| signature.at),
    }
}

/// List what was asked for and what became of it, the newest first; 1,000 at most.
#[utoipa::path(get, path = "/approvals", tag = "approvals", responses(
    (status = 200, body = ApprovalList),
    Refusals,
), security(("bearer" = [])))]
async fn list(State(app): State<App>, admin: Administration) -> Result<axum::Json<ApprovalList>, Problem> {
    admin.administers_as_admin(Permission::AccountManage)?;
    let now = app.clock.now();
    let all = admin.workspace.read(approvals::all).await?;
    Ok(axum::Json(ApprovalList { approvals: all.into_iter().map(|stored| view(stored, now)).collect() }))
}

/// Ask for something that takes two persons. It waits for seven days for another one to decide.
#[utoipa::path(post, path = "/approvals", tag = "approvals", request_body = RequestApproval, responses(
    (status = 201, body = ApprovalView),
    Refused<409>,
    Refusals, BodyRefusals,
), security(("bearer" = [])))]
async fn request(
    State(app): State<App>,
    admin: Administration,
    Json(request): Json<RequestApproval>,
) -> Result<(StatusCode, axum::Json<ApprovalView>), Problem> {
    admin.administers_as_admin(Permission::AccountManage)?;
    let deed = Deed::from_name(&request.deed).ok_or_else(|| {
        let known = Deed::ALL.map(Deed::as_str).join(", ");
        Problem::InvalidBody(format!("`deed` is one of {known}"))
    })?;
    require(&admin, deed)?;
    let (target, now) = (*request.target.as_bytes(), app.clock.now());
    let approval = Approval::request(deed, target, admin.caller.name(), now);
    let stored = Stored { id: ApprovalId::random(&mut entropy::system()), reason: request.reason, approval };
    let mut event = admin.caller.event("approval.request", format!("approval:{}", stored.id), Outcome::Allowed);
    event.detail = format!("{} {}", deed.as_str(), request.target);
    let (registry, kept) = (app.store.registry().clone(), stored.clone());
    let write = move |write: &Write<'_>| {
        let exists = match deed {
            Deed::EraseAccount => accounts::find(write.sql(), AccountId::from_bytes(target))?.is_some(),
            Deed::CloseWorkspace | Deed::ExportWorkspace => registry.entry(WorkspaceId::from_bytes(target)).is_some(),
        };
        if !exists {
            return Ok(Err(Problem::NotFound));
        }
        approvals::insert(write, &kept)?;
        write.audit(&event, now).map(Ok)
    };
    admin.write(&app, write).await?;
    Ok((StatusCode::CREATED, axum::Json(view(stored, now))))
}

#[derive(Deserialize)]
struct ApprovalPath {
    approval: ApprovalId,
}

/// Show what was asked for and what became of it.
#[utoipa::path(get, path = "/approvals/{approval}", tag = "approvals", params(("approval" = String, Path, format = Uuid)), responses(
    (status = 200, body = ApprovalView),
    Refusals,
), security(("bearer" = [])))]
async fn show(
    State(app): State<App>,
    admin: Administration,
    Path(ApprovalPath { approval }): Path<ApprovalPath>,
) -> Result<axum::Json<ApprovalView>, Problem> {
    admin.administers_as_admin(Permission::AccountManage)?;
    let found = admin.workspace.read(move |database| approvals::find(database, approval)).await?;
    Ok(axum::Json(view(found.ok_or(Problem::NotFound)?, app.clock.now())))
}

/// Approve what somebody else asked for, or reject it. What is approved may be done within a day, once.
#[utoipa::path(put, path = "/approvals/{approval}/decision", tag = "approvals", params(("approval" = String, Path, format = Uuid)), request_body = DecideApproval, responses(
    (status = 200, body = ApprovalView),
    Refused<409>,
    Refusals, BodyRefusals,
), security(("bearer" = [])))]
async fn decide(
    State(app): State<App>,
    admin: Administration,
    Path(ApprovalPath { approval: id }): Path<ApprovalPath>,
    Json(DecideApproval { verdict }): Json<DecideApproval>,
) -> Result<axum::Json<ApprovalView>, Problem> {
    admin.administers_as_admin(Permission::AccountManage)?;
    let verdict = match verdict {
        VerdictName::Approved => Verdict::Approved,
        VerdictName::Rejected => Verdict::Rejected,
    };
    let (caller, now, account) = (admin.caller, app.clock.now(), admin.account());
    // An operator's account is in another file.
    let operator = admin.operator();
    let look = move |database: &rusqlite::Connection| match operator {
        Some(operator) => accounts::unchanged_since(database, operator),
        None => Ok(None),
    };
    let elsewhere = app.store.system().read(look).await?;
    let mut event = caller.event("approval.decide", format!("approval:{id}"), Outcome::Allowed);
    verdict.as_str().clone_into(&mut event.detail);
    let write = move |write: &Write<'_>| {
        let Some(mut stored) = approvals::find(write.sql(), id)? else { return Ok(Err(Problem::NotFound)) };
        let since = match account {
            Some(account) => accounts::unchanged_since(write.sql(), account)?,
            None => None,
        };
        if let Err(not_so) = stored.approval.decide(verdict, caller.name(), since.or(elsewhere), now) {
            return Ok(Err(not_so.into()));
        }
        approvals::update(write, id, &stored.approval)?;
        write.audit(&event, now)?;
        Ok(Ok(stored))
    };
    let stored = admin.write(&app, write).await?;
    debug_assert!(stored.approval.standing(now) != Standing::Pending, "it was decided");
    Ok(axum::Json(view(stored, now)))
}
