// SPDX-License-Identifier: AGPL-3.0-or-later
//! The accounts of a workspace, for its admins and for operators: the same handlers under two prefixes.
//!
//! What a caller may not see does not exist for it: an Admin's account answers a Power User as an absent one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::credential::{self, Given};
use crate::api::error::{BodyRefusals, Problem, Refusals, Refused};
use crate::api::etag::{ETag, IfMatch, IfNoneMatch};
use crate::api::extract::{Json, Path, Query};
use crate::api::idempotency;
use crate::api::page::Limit;
use crate::api::principal::Administration;
use crate::api::services::App;
use crate::api::types::{
    AccountList, AccountView, CreateAccount, CreatedAccount, PasswordSet, ResetPassword, SessionList, UpdateAccount,
};
use crate::api::views;
use crate::core::audit::Outcome;
use crate::core::auth::login::AccountStatus;
use crate::core::auth::permission::{Administrator, Permission, Permissions, Role, Roles};
use crate::platform::entropy;
use crate::platform::store::accounts::{self, Account, NameTaken};
use crate::platform::store::links;
use crate::platform::store::policy;
use crate::platform::store::registry::Registry;
use crate::platform::store::sessions;
use crate::platform::store::workspace::Write;
use crate::values::id::{AccountId, SessionId, WorkspaceId};
use crate::values::name::UserName;

/// What a caller lacks who may not change an account.
const HIGHER_ROLE: &str = "a role that manages this account";

/// This file's routes, below `/api/v1` and below `/api/v1/system/workspaces/{workspace}`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(idempotency::on(routes!(list, create)))
        .routes(routes!(show, update))
        .routes(routes!(reset_password))
        .routes(routes!(list_sessions, end_sessions))
        .routes(routes!(end_session))
}

/// Which page of a list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Page {
    /// The `next` of the page before.
    after: Option<UserName>,
    /// Exactly this user name.
    user_name: Option<UserName>,
    /// At most so many; more than 200 is as good as 200.
    #[param(minimum = 0)]
    limit: Option<u32>,
}

/// List accounts.
#[utoipa::path(get, path = "/accounts", tag = "accounts", params(Page), responses(
    (status = 200, body = AccountList),
    Refusals,
), security(("bearer" = [])))]
async fn list(
    State(app): State<App>,
    admin: Administration,
    Query(page): Query<Page>,
) -> Result<axum::Json<AccountList>, Problem> {
    let role = admin.administers(Permission::AccountManage)?.role();
    let limit = Limit::asked(page.limit);
    let highest = if role == Role::Admin { Role::Admin } else { Role::PowerUser };
    let read = move |database: &rusqlite::Connection| match page.user_name {
        Some(name) => {
            Ok(accounts::find_by_name(database, &name)?.filter(|found| role.sees(found.role())).into_iter().collect())
        }
        None => accounts::page(database, page.after.as_ref(), highest, limit.look_for()),
    };
    let mut found: Vec<Account> = admin.workspace.read(read).await?;
    let next = limit.cut(&mut found, |account| account.user_name.clone());
    let workspace = views::workspace_ref(&app, admin.workspace.id())?;
    let accounts = found.iter().map(|account| views::account(account, &workspace)).collect();
    Ok(axum::Json(AccountList { accounts, next }))
}

/// Create an account.
#[utoipa::path(post, path = "/accounts", tag = "accounts", request_body = CreateAccount, responses(
    (status = 201, body = CreatedAccount),
    Refusals, BodyRefusals, Refused<409>, Refused<422>,
), security(("bearer" = [])))]
async fn create(
    State(app): State<App>,
    admin: Administration,
    headers: HeaderMap,
    uri: Uri,
    Json(request): Json<CreateAccount>,
) -> Result<(StatusCode, axum::Json<CreatedAccount>), Problem> {
    let own_role = admin.administers(Permission::AccountManage)?.role();
    let roles = wanted(request.role, request.roles.as_deref())?.unwrap_or(Roles::only(Role::User));
    if !own_role.manages(roles.highest()) {
        return Err(Problem::Forbidden(HIGHER_ROLE));
    }
    let workspace = views::workspace_ref(&app, admin.workspace.id())?;
    let hints = [request.user_name.as_str(), request.display_name.as_str(), workspace.name.as_str()];
    let addressed = credential::authority(&headers, &uri);
    let local = admin.caller.is_local();
    let given = Given::from_request(&app, request.sealed.as_ref(), request.password, local, addressed, &hints)?;
    let hash = app.hasher.hash(given.password().clone()).await?;

    let now = app.clock.now();
    let account = Account {
        id: AccountId::random(&mut entropy::system()),
        user_name: request.user_name,
        display_name: request.display_name,
        roles,
        status: AccountStatus::Active,
        voice_off: false,
        by_hand: Permissions::NONE,
        created_at: now,
        replayed_at: None,
    };
    let mut event = admin.caller.event("account.create", format!("account:{}", account.id), Outcome::Allowed);
    event.detail = format!("roles {}", roles.to_names());
    let stored = account.clone();
    let seats = Seats::of(&app, admin.workspace.id());
    let write = move |write: &Write<'_>| {
        if seats.are_taken(write)? {
            return Ok(Err(Problem::SeatsTaken));
        }
        match accounts::insert(write, &stored, &hash)? {
            Ok(()) => write.audit(&event, now).map(Ok),
            Err(NameTaken::Same) => Ok(Err(Problem::UserNameTaken)),
            Err(NameTaken::LooksAlike) => Ok(Err(Problem::UserNameLooksAlike)),
        }
    };
    admin.write(&app, write).await?;
    let account = views::account(&account, &workspace);
    Ok((StatusCode::CREATED, axum::Json(CreatedAccount { account, initial_password: given.to_tell() })))
}

/// The roles that a request wants, if any.
fn wanted(role: Option<Role>, roles: Option<&[Role]>) -> Result<Option<Roles>, Problem> {
    let refused = |text: &str| Err(Problem::InvalidBody(text.to_owned()));
    match (role, roles) {
        (Some(_), Some(_)) => refused("give `role` or `roles`, not both"),
        (_, Some([])) => refused("`roles`: an account has one role at least"),
        (_, Some(roles)) => Ok(Roles::of(roles.iter().copied())),
        (role, None) => Ok(role.map(Roles::only)),
    }
}

/// How many accounts of a workspace may be active at once.
struct Seats {
    registry: Registry,
    workspace: WorkspaceId,
}

impl Seats {
    fn of(app: &App, workspace: WorkspaceId) -> Self {
        Self { registry: app.store.registry().clone(), workspace }
    }

    /// Whether there is none left, at this moment.
    fn are_taken(&self, write: &Write<'_>) -> rusqlite::Result<bool> {
        match self.registry.entry(self.workspace).and_then(|entry| entry.seats) {
            Some(seats) => Ok(accounts::count_seats(write.sql())? >= u64::from(seats)),
            None => Ok(false),
        }
    }
}

fn is_active_admin(account: &Account) -> bool {
    account.role() == Role::Admin && account.status == AccountStatus::Active
}

/// Whether nobody could administer the workspace without this account.
pub(super) fn is_last_admin(write: &Write<'_>, account: &Account) -> rusqlite::Result<bool> {
    Ok(is_active_admin(account) && accounts::count_active(write.sql(), Role::Admin)? <= 1)
}

#[derive(Deserialize)]
pub(super) struct AccountPath {
    pub account: AccountId,
}

/// The account, when it exists for this caller.
pub(super) async fn visible(admin: &Administration, id: AccountId) -> Result<Account, Problem> {
    let role = admin.administers(Permission::AccountManage)?.role();
    let found = admin.workspace.read(move |database| accounts::find(database, id)).await?;
    found.filter(|account| role.sees(account.role())).ok_or(Problem::NotFound)
}

/// The account as it is inside a write transaction, when the caller may change it. Decided here and not before: another
/// admin may act at the same moment.
pub(super) fn managed(
    write: &Write<'_>,
    id: AccountId,
    by: Administrator,
) -> rusqlite::Result<Result<Account, Problem>> {
    Ok(match accounts::find(write.sql(), id)?.filter(|account| by.role().sees(account.role())) {
        Some(account) if by.manages(id, account.rights()) => Ok(account),
        Some(_) => Err(Problem::Forbidden(HIGHER_ROLE)),
        None => Err(Problem::NotFound),
    })
}

/// Show an account.
#[utoipa::path(get, path = "/accounts/{account}", tag = "accounts", params(("account" = String, Path, format = Uuid), IfNoneMatch), responses(
    (status = 200, body = AccountView, headers(("ETag" = String))),
    (status = 304, description = "It is what one has."),
    Refusals,
), security(("bearer" = [])))]
async fn show(
    State(app): State<App>,
    admin: Administration,
    Path(AccountPath { account }): Path<AccountPath>,
    have: IfNoneMatch,
) -> Result<Response, Problem> {
    let account = visible(&admin, account).await?;
    let workspace = views::workspace_ref(&app, admin.workspace.id())?;
    let shown = views::account(&account, &workspace);
    let tag = ETag::of(&shown);
    Ok(have.or(&tag, || tag.with(&shown)))
}

/// Change display name, role, status or voice. Disabling ends every session of the account.
#[utoipa::path(patch, path = "/accounts/{account}", tag = "accounts", params(("account" = String, Path, format = Uuid), IfMatch), request_body = UpdateAccount, responses(
    (status = 200, body = AccountView, headers(("ETag" = String))),
    Refusals, BodyRefusals, Refused<409>, Refused<412>,
), security(("bearer" = [])))]
async fn update(
    State(app): State<App>,
    admin: Administration,
    Path(AccountPath { account }): Path<AccountPath>,
    expected: IfMatch,
    Json(request): Json<UpdateAccount>,
) -> Result<Response, Problem> {
    let by = admin.administers(Permission::AccountManage)?;
    let roles = wanted(request.role, request.roles.as_deref())?;
    let now = app.clock.now();
    let shown_in = views::workspace_ref(&app, admin.workspace.id())?;
    let told_in = shown_in.clone();
    let (workspace, hub) = (admin.workspace.id(), Arc::clone(&app.hub));
    let seats = Seats::of(&app, workspace);
    let mut event = admin.caller.event("account.update", format!("account:{account}"), Outcome::Allowed);
    let write = move |write: &Write<'_>| {
        let before = match managed(write, account, by)? {
            Ok(before) => before,
            Err(problem) => return Ok(Err(problem)),
        };
        if let Err(problem) = expected.check(|| ETag::of(&views::account(&before, &shown_in))) {
            return Ok(Err(problem));
        }
        let roles = roles.unwrap_or(before.roles);
        let after = Account {
            display_name: request.display_name.unwrap_or_else(|| before.display_name.clone()),
            roles,
            // Who is trusted with less keeps nothing of what was given.
            by_hand: if roles.highest() < before.role() { Permissions::NONE } else { before.by_hand },
            status: request.status.unwrap_or(before.status),
            voice_off: request.voice_off.unwrap_or(before.voice_off),
            ..before.clone()
        };
        if !by.role().manages(after.role()) {
            return Ok(Err(Problem::Forbidden(HIGHER_ROLE)));
        }
        if before.status == AccountStatus::Disabled
            && after.status == AccountStatus::Active
            && seats.are_taken(write)?
        {
            return Ok(Err(Problem::SeatsTaken));
        }
        if !is_active_admin(&after) && is_last_admin(write, &before)? {
            return Ok(Err(Problem::LastAdmin));
        }
        accounts::update(write, &after)?;
        links::void_unless_operator(write, &after)?;
        // Who is a guest now may not be let in any more.
        let is_out =
            after.status == AccountStatus::Disabled || after.role() == Role::Guest && !policy::get(write.sql())?.guests;
        if is_out {
            sessions::delete_of_account(write, account, None)?;
        }
        let voice = if after.voice_off { "voice off" } else { "voice on" };
        event.detail = format!("roles {}, {}, {voice}", after.roles.to_names(), after.status.as_str());
        write.audit(&event, now)?;
        let (voice_off, ended, demoted) = (after.voice_off, is_out, after.role() < before.role());
        write.after_commit(move || {
            // What a ticket granted was granted to the role: with a lower one, or none, its holders join anew or not.
            if ended {
                hub.end_account(workspace, account, None);
            } else if demoted {
                hub.demote_account(workspace, account);
            }
            if voice_off != before.voice_off {
                hub.set_account_voice(workspace, account, voice_off);
            }
        });
        Ok(Ok(after))
    };
    let after = admin.write(&app, write).await?;
    let shown = views::account(&after, &told_in);
    Ok(ETag::of(&shown).with(&shown))
}

/// Set the password of an account. Ends its sessions.
#[utoipa::path(put, path = "/accounts/{account}/password", tag = "accounts", params(("account" = String, Path, format = Uuid)), request_body = ResetPassword, responses(
    (status = 200, body = PasswordSet),
    Refusals, BodyRefusals, Refused<409>, Refused<422>,
), security(("bearer" = [])))]
async fn reset_password(
    State(app): State<App>,
    admin: Administration,
    Path(AccountPath { account }): Path<AccountPath>,
    headers: HeaderMap,
    uri: Uri,
    Json(request): Json<ResetPassword>,
) -> Result<axum::Json<PasswordSet>, Problem> {
    let by = admin.administers(Permission::AccountPasswordReset)?;
    let found = visible(&admin, account).await?;
    let workspace = views::workspace_ref(&app, admin.workspace.id())?;
    let hints = [found.user_name.as_str(), found.display_name.as_str(), workspace.name.as_str()];
    let addressed = credential::authority(&headers, &uri);
    let local = admin.caller.is_local();
    let given = Given::from_request(&app, request.sealed.as_ref(), request.password, local, addressed, &hints)?;
    let hash = app.hasher.hash(given.password().clone()).await?;
    let now = app.clock.now();
    let (id, hub) = (admin.workspace.id(), Arc::clone(&app.hub));
    let event = admin.caller.event("account.password", format!("account:{account}"), Outcome::Allowed);
    let write = move |write: &Write<'_>| {
        if let Err(problem) = managed(write, account, by)? {
            return Ok(Err(problem));
        }
        accounts::set_password(write, account, &hash, now)?;
        links::void_if_system(write, account)?;
        let ended = sessions::delete_of_account(write, account, None)?;
        write.audit(&event, now)?;
        write.after_commit(move || hub.end_account(id, account, None));
        Ok(Ok(ended))
    };
    let sessions_ended = admin.write(&app, write).await?;
    Ok(axum::Json(PasswordSet { initial_password: given.to_tell(), sessions_ended }))
}

/// List the sessions of an account.
#[utoipa::path(get, path = "/accounts/{account}/sessions", tag = "accounts", params(("account" = String, Path, format = Uuid)), responses(
    (status = 200, body = SessionList),
    Refusals,
), security(("bearer" = [])))]
async fn list_sessions(
    State(app): State<App>,
    admin: Administration,
    Path(AccountPath { account }): Path<AccountPath>,
) -> Result<axum::Json<SessionList>, Problem> {
    visible(&admin, account).await?;
    let now = app.clock.now();
    let found = admin.workspace.read(move |database| sessions::of_account(database, account, now)).await?;
    Ok(axum::Json(SessionList { sessions: found.iter().map(|session| views::session(session, None)).collect() }))
}

/// End every session of an account.
#[utoipa::path(delete, path = "/accounts/{account}/sessions", tag = "accounts", params(("account" = String, Path, format = Uuid)), responses(
    (status = 204),
    Refusals,
), security(("bearer" = [])))]
async fn end_sessions(
    State(app): State<App>,
    admin: Administration,
    Path(AccountPath { account }): Path<AccountPath>,
) -> Result<StatusCode, Problem> {
    let by = admin.administers(Permission::AccountManage)?;
    let now = app.clock.now();
    let (workspace, hub) = (admin.workspace.id(), Arc::clone(&app.hub));
    let event = admin.caller.event("session.delete_all", format!("account:{account}"), Outcome::Allowed);
    let write = move |write: &Write<'_>| {
        if let Err(problem) = managed(write, account, by)? {
            return Ok(Err(problem));
        }
        sessions::delete_of_account(write, account, None)?;
        write.after_commit(move || hub.end_account(workspace, account, None));
        write.audit(&event, now).map(Ok)
    };
    admin.write(&app, write).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct SessionPath {
    account: AccountId,
    session: SessionId,
}

/// End one session of an account.
#[utoipa::path(delete, path = "/accounts/{account}/sessions/{session}", tag = "accounts", params(("account" = String, Path, format = Uuid), ("session" = String, Path, format = Uuid)), responses(
    (status = 204),
    Refusals,
), security(("bearer" = [])))]
async fn end_session(
    State(app): State<App>,
    admin: Administration,
    Path(SessionPath { account, session }): Path<SessionPath>,
) -> Result<StatusCode, Problem> {
    let by = admin.administers(Permission::AccountManage)?;
    let now = app.clock.now();
    let (workspace, hub) = (admin.workspace.id(), Arc::clone(&app.hub));
    let event = admin.caller.event("session.delete", format!("session:{session}"), Outcome::Allowed);
    let write = move |write: &Write<'_>| {
        if let Err(problem) = managed(write, account, by)? {
            return Ok(Err(problem));
        }
        let found = sessions::find_live(write.sql(), session, now)?.filter(|found| found.account == account);
        if found.is_none() {
            return Ok(Err(Problem::NotFound));
        }
        sessions::delete(write, session)?;
        write.after_commit(move || hub.end_session(workspace, session));
        write.audit(&event, now).map(Ok)
    };
    admin.write(&app, write).await?;
    Ok(StatusCode::NO_CONTENT)
}
