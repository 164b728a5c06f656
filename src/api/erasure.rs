// SPDX-License-Identifier: AGPL-3.0-or-later
//! Erasing an account, when two persons agreed on it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::accounts::{AccountPath, is_last_admin, managed};
use crate::api::approvals::{self, Approved};
use crate::api::error::{Problem, Refusals, Refused};
use crate::api::extract::{Path, Query};
use crate::api::principal::Administration;
use crate::api::services::App;
use crate::core::approval::Deed;
use crate::core::audit::Outcome;
use crate::core::auth::permission::Permission;
use crate::platform::store::accounts;
use crate::platform::store::workspace::Write;

/// This file's routes, below `/api/v1` and below `/api/v1/system/workspaces/{workspace}`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(erase))
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
        if is_last_admin(write, &found)? {
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
