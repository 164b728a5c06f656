// SPDX-License-Identifier: AGPL-3.0-or-later
//! Who has to wait before another try to sign in, and letting somebody try at once.
//!
//! The names are those that were typed, whether or not there are such accounts: for Admins only.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::error::{Problem, Refusals};
use crate::api::extract::Path;
use crate::api::principal::Administration;
use crate::api::services::App;
use crate::api::types::{ThrottleList, ThrottleView};
use crate::api::views;
use crate::core::audit::Outcome;
use crate::core::auth::permission::Permission;
use crate::core::limit::Subject;
use crate::platform::store::accounts;
use crate::platform::store::workspace::Write;
use crate::values::name::UserName;

/// This file's routes, below `/api/v1` and below `/api/v1/system/workspaces/{workspace}`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(clear))
}

/// List the names that were tried wrongly, those that wait for longest first; 1,000 at most.
#[utoipa::path(get, path = "/throttles", tag = "accounts", responses(
    (status = 200, body = ThrottleList),
    Refusals,
), security(("bearer" = [])))]
async fn list(State(app): State<App>, admin: Administration) -> Result<axum::Json<ThrottleList>, Problem> {
    admin.administers_as_admin(Permission::AccountPasswordReset)?;
    let workspace = views::workspace_ref(&app, admin.workspace.id())?.name;
    let tried = app.softlock().tried(&workspace, app.clock.now());
    let throttle = |(user_name, tried): (UserName, crate::core::limit::Tried)| ThrottleView {
        user_name,
        wrong_tries: tried.failures,
        last_try_at: tried.last,
        next_try_at: tried.next,
    };
    Ok(axum::Json(ThrottleList { throttles: tried.into_iter().map(throttle).collect() }))
}

#[derive(Deserialize)]
struct NamePath {
    user_name: UserName,
}

/// Forget the wrong tries for a name: it may be tried at once.
#[utoipa::path(delete, path = "/throttles/{user_name}", tag = "accounts", params(("user_name" = UserName, Path)), responses(
    (status = 204),
    Refusals,
), security(("bearer" = [])))]
async fn clear(
    State(app): State<App>,
    admin: Administration,
    Path(NamePath { user_name }): Path<NamePath>,
) -> Result<StatusCode, Problem> {
    admin.administers_as_admin(Permission::AccountPasswordReset)?;
    let workspace = views::workspace_ref(&app, admin.workspace.id())?.name;
    let subject = Subject { workspace, user: user_name };
    if !app.softlock().has_tried(&subject) {
        return Err(Problem::NotFound);
    }
    let now = app.clock.now();
    let mut event = admin.caller.event("throttle.clear", "", Outcome::Allowed);
    let services = Arc::clone(&app);
    let write = move |write: &Write<'_>| {
        // What was typed may be anything; an account has an id.
        match accounts::find_by_name(write.sql(), &subject.user)? {
            Some(account) => event.target = format!("account:{}", account.id),
            None => "a name without an account".clone_into(&mut event.detail),
        }
        write.after_commit(move || services.softlock().clear(&subject));
        write.audit(&event, now).map(Ok)
    };
    admin.write(&app, write).await?;
    Ok(StatusCode::NO_CONTENT)
}
