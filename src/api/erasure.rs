// SPDX-License-Identifier: AGPL-3.0-or-later
//! Erasing an account, when two persons agreed on it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::accounts::{AccountPath, managed};
use crate::api::approvals;
use crate::api::error::{Problem, Refusals, Refused};
use crate::api::extract::{Path, Query};
use crate::api::principal::Administration;
use crate::api::services::App;
use crate::core::approval::Deed;
use crate::core::audit::Outcome;
use crate::core::auth::login::AccountStatus;
use crate::core::auth::permission::{Permission, Role};
use crate::platform::store::accounts;
use crate::platform::store::workspace::Write;
use crate::values::id::ApprovalId;

/// This file's routes, below `/api/v1` and below `/api/v1/system/workspaces/{workspace}`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(erase))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Approved {
    /// An approved request `account.erase`.
    #[param(value_type = String, format = Uuid)]
    approval: ApprovalId,
}

/// Erase an account with everything that is stored of the person, but for what the audit says by the account's id. It
/// takes two persons. Its sessions and its stays in meetings end.
#[utoipa::path(delete, path = "/accounts/{account}", tag = "accounts", params(("account" = String, Path, format = Uuid), Approved), responses(
    (status = 204),
    Refused<409>,
    Refusals,
), security(("bearer" = [])))]
async fn erase(
    State(app): State<App>,
    admin: Administration,
    Path(AccountPath { account }): Path<AccountPath>,
    Query(Approved { approval }): Query<Approved>,
) -> Result<StatusCode, Problem> {
    let by = admin.administers_as_admin(Permission::AccountManage)?;
    let (now, caller) = (app.clock.now(), admin.caller);
    let (workspace, hub) = (admin.workspace.id(), Arc::clone(&app.hub));
    let event = caller.event("account.erase", format!("account:{account}"), Outcome::Allowed);
    let write = move |write: &Write<'_>| {
        let found = match managed(write, account, by)? {
            Ok(found) => found,
            Err(problem) => return Ok(Err(problem)),
        };
        let is_admin = found.role() == Role::Admin && found.status == AccountStatus::Active;
        if is_admin && accounts::count_active(write.sql(), Role::Admin)? <= 1 {
            return Ok(Err(Problem::LastAdmin));
        }
        if let Err(problem) = approvals::use_up(write, approval, Deed::EraseAccount, *account.as_bytes(), caller, now)?
        {
            return Ok(Err(problem));
        }
        accounts::delete(write, account)?;
        write.after_commit(move || hub.end_account(workspace, account, None));
        write.audit(&event, now).map(Ok)
    };
    admin.write(&app, write).await?;
    Ok(StatusCode::NO_CONTENT)
}
