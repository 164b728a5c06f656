// SPDX-License-Identifier: AGPL-3.0-or-later
//! What an account may do and why, what it would if something changed, and giving it permissions by hand.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::accounts::{AccountPath, managed, visible};
use crate::api::error::{Problem, Refusals, Refused};
use crate::api::etag::{ETag, IfMatch};
use crate::api::extract::{Path, Query};
use crate::api::principal::Administration;
use crate::api::services::App;
use crate::api::types::{Explanation, PermissionView};
use crate::api::views;
use crate::core::audit::Outcome;
use crate::core::auth::login::AccountStatus;
use crate::core::auth::permission::{Permission, Permissions, Rights, Role, Roles};
use crate::core::explain::{Case, Explained, Obstacle};
use crate::platform::store::accounts::{self, Account};
use crate::platform::store::workspace::Write;
use crate::platform::store::{agreements, policy, rooms};
use crate::values::id::{AccountId, RoomId, WorkspaceId};

/// This file's routes, below `/api/v1` and below `/api/v1/system/workspaces/{workspace}`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(explain)).routes(routes!(give, take))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// With the rules of this room.
    #[param(value_type = Option<String>, format = Uuid)]
    room: Option<RoomId>,
    /// As if it had this role.
    role: Option<Role>,
    /// As if it were given these permissions; a comma between two.
    give: Option<String>,
    /// As if these were taken from what it was given; a comma between two.
    take: Option<String>,
}

/// The permissions in a list with commas.
fn listed(names: Option<&str>) -> Result<Vec<Permission>, Problem> {
    let names = names.unwrap_or_default().split(',').filter(|name| !name.is_empty());
    let read = |name: &str| {
        Permission::from_name(name)
            .ok_or_else(|| Problem::invalid_parameter(&format!("there is no permission {name:?}")))
    };
    names.map(read).collect()
}

/// Explain what an account may do, and why: by its role or by hand, and what stands in the way. With `role`, `give` or
/// `take`: what it would. Nothing is changed.
#[utoipa::path(get, path = "/accounts/{account}/permissions/explain", tag = "accounts", params(("account" = String, Path, format = Uuid), Asked), responses(
    (status = 200, body = Explanation),
    Refusals,
), security(("bearer" = [])))]
async fn explain(
    State(app): State<App>,
    admin: Administration,
    Path(AccountPath { account }): Path<AccountPath>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Explanation>, Problem> {
    let account = visible(&admin, account).await?;
    let is_simulated = asked.role.is_some() || asked.give.is_some() || asked.take.is_some();
    // A lower role takes away what was given.
    let kept = if asked.role.is_some_and(|role| role < account.role()) { Permissions::NONE } else { account.by_hand };
    let by_hand = listed(asked.give.as_deref())?.into_iter().fold(kept, Permissions::with);
    let by_hand = listed(asked.take.as_deref())?.into_iter().fold(by_hand, Permissions::without);
    let room = match asked.room {
        Some(room) => {
            let (found, role) =
                (admin.workspace.read(move |database| rooms::find(database, room)).await?, admin.role());
            let found = found.filter(|room| crate::api::rooms::may_enter(room, role));
            Some(found.ok_or(Problem::NotFound)?.policy)
        }
        None => None,
    };
    let look = |database: &rusqlite::Connection| Ok((policy::get(database)?, agreements::is_any(database)?));
    let (permitted, is_any) = admin.workspace.read(look).await?;
    let workspace = admin.workspace.id();
    let life = app.store.registry().entry(workspace).map(|entry| entry.life);
    let case = Case {
        rights: Rights { role: asked.role.unwrap_or(account.role()), by_hand },
        is_active: account.status == AccountStatus::Active,
        voice_off: account.voice_off,
        is_writable: admin.workspace.state() == "open",
        standstill: life.and_then(|life| life.standstill(app.clock.now())),
        is_agreed: is_any || workspace == WorkspaceId::SYSTEM,
        workspace: permitted,
        appliance_voice: app.hub.has_voice(),
        room,
    };
    let roles = asked.role.map_or(account.roles, Roles::only);
    let permissions = Permission::ALL.map(|permission| {
        let explained = case.explain(permission);
        let is_effective = explained.is_effective();
        let Explained { source, obstacles } = explained;
        PermissionView {
            permission: permission.as_str().to_owned(),
            effective: is_effective,
            source,
            carried_by: roles.iter().filter(|role| role.carries(permission)).collect(),
            lowest_role: permission.lowest_role(),
            obstacles: obstacles.into_iter().map(Obstacle::as_str).map(str::to_owned).collect(),
        }
    });
    let role = case.rights.role;
    Ok(axum::Json(Explanation { account: account.id, role, simulated: is_simulated, permissions: permissions.into() }))
}

#[derive(Deserialize)]
struct PermissionPath {
    account: AccountId,
    permission: String,
}

/// Give an account a permission by hand, besides what its role carries.
#[utoipa::path(put, path = "/accounts/{account}/permissions/{permission}", tag = "accounts", params(("account" = String, Path, format = Uuid), ("permission" = Permission, Path), IfMatch), responses(
    (status = 204),
    Refusals, Refused<412>,
), security(("bearer" = [])))]
async fn give(
    State(app): State<App>,
    admin: Administration,
    Path(path): Path<PermissionPath>,
    expected: IfMatch,
) -> Result<StatusCode, Problem> {
    change(&app, &admin, path, expected, "account.permission.give", Permissions::with).await
}

/// Take away a permission that an account was given by hand. What its role carries stays.
#[utoipa::path(delete, path = "/accounts/{account}/permissions/{permission}", tag = "accounts", params(("account" = String, Path, format = Uuid), ("permission" = Permission, Path), IfMatch), responses(
    (status = 204),
    Refusals, Refused<412>,
), security(("bearer" = [])))]
async fn take(
    State(app): State<App>,
    admin: Administration,
    Path(path): Path<PermissionPath>,
    expected: IfMatch,
) -> Result<StatusCode, Problem> {
    change(&app, &admin, path, expected, "account.permission.take", Permissions::without).await
}

async fn change(
    app: &App,
    admin: &Administration,
    PermissionPath { account, permission }: PermissionPath,
    expected: IfMatch,
    action: &'static str,
    changed: impl FnOnce(Permissions, Permission) -> Permissions + Send + 'static,
) -> Result<StatusCode, Problem> {
    // Who could give what only Admins have would be one.
    let by = admin.administers_as_admin(Permission::AccountManage)?;
    let permission = Permission::from_name(&permission).ok_or(Problem::NotFound)?;
    let shown_in = views::workspace_ref(app, admin.workspace.id())?;
    let (now, workspace, hub) = (app.clock.now(), admin.workspace.id(), Arc::clone(&app.hub));
    let mut event = admin.caller.event(action, format!("account:{account}"), Outcome::Allowed);
    permission.as_str().clone_into(&mut event.detail);
    let write = move |write: &Write<'_>| {
        let before = match managed(write, account, by)? {
            Ok(before) => before,
            Err(problem) => return Ok(Err(problem)),
        };
        if let Err(problem) = expected.check(|| ETag::of(&views::account(&before, &shown_in))) {
            return Ok(Err(problem));
        }
        let after = Account { by_hand: changed(before.by_hand, permission), ..before.clone() };
        if after.by_hand == before.by_hand {
            return Ok(Ok(()));
        }
        accounts::update(write, &after)?;
        // What a ticket granted was granted to what held then; most permissions are in none.
        if permission.is_of_a_room() && before.rights().has(permission) != after.rights().has(permission) {
            write.after_commit(move || hub.demote_account(workspace, account));
        }
        write.audit(&event, now).map(Ok)
    };
    admin.write(app, write).await?;
    Ok(StatusCode::NO_CONTENT)
}
