// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a signed-in person does about themselves: account, devices, password.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::credential;
use crate::api::error::{BodyRefusals, Problem, Refusals, Refused};
use crate::api::extract::{Json, Path};
use crate::api::principal::Member;
use crate::api::services::App;
use crate::api::sign_in::Attempt;
use crate::api::types::{AccountView, ChangePassword, PasswordChange, SessionList, SessionsEnded};
use crate::api::views;
use crate::core::audit::Outcome;
use crate::core::limit::Try;
use crate::platform::password;
use crate::platform::store::workspace::Write;
use crate::platform::store::{accounts, links, sessions};
use crate::values::id::SessionId;

/// This file's routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(me))
        .routes(routes!(list_sessions, end_other_sessions))
        .routes(routes!(end_session))
        .routes(routes!(change_password))
}

/// Who I am.
#[utoipa::path(get, path = "/me", tag = "me", responses(
    (status = 200, body = AccountView),
    Refused<401>, Refused<403>,
), security(("bearer" = [])))]
async fn me(State(app): State<App>, member: Member) -> Result<axum::Json<AccountView>, Problem> {
    let workspace = views::workspace_ref(&app, member.workspace.id())?;
    Ok(axum::Json(views::account(&member.account, &workspace)))
}

/// Where I am signed in.
#[utoipa::path(get, path = "/me/sessions", tag = "me", responses(
    (status = 200, body = SessionList),
    Refused<401>, Refused<403>,
), security(("bearer" = [])))]
async fn list_sessions(State(app): State<App>, member: Member) -> Result<axum::Json<SessionList>, Problem> {
    let (account, now) = (member.account.id, app.clock.now());
    let found = member.workspace.read(move |database| sessions::of_account(database, account, now)).await?;
    let sessions = found.iter().map(|session| views::session(session, Some(member.session.id))).collect();
    Ok(axum::Json(SessionList { sessions }))
}

/// End all of my sessions but the one that asks.
#[utoipa::path(delete, path = "/me/sessions", tag = "me", responses(
    (status = 200, body = SessionsEnded),
    Refused<401>, Refused<403>,
), security(("bearer" = [])))]
async fn end_other_sessions(State(app): State<App>, member: Member) -> Result<axum::Json<SessionsEnded>, Problem> {
    let (account, keep, now) = (member.account.id, member.session.id, app.clock.now());
    let (workspace, hub) = (member.workspace.id(), Arc::clone(&app.hub));
    let mut event = member.caller.event("session.delete_all", format!("account:{account}"), Outcome::Allowed);
    let write = move |write: &Write<'_>| {
        let sessions_ended = sessions::delete_of_account(write, account, Some(keep))?;
        event.detail = format!("{sessions_ended} others; the one that asked goes on");
        write.audit(&event, now)?;
        write.after_commit(move || hub.end_account(workspace, account, Some(keep)));
        Ok(sessions_ended)
    };
    let sessions_ended = member.workspace.write(write).await?;
    Ok(axum::Json(SessionsEnded { sessions_ended }))
}

#[derive(Deserialize)]
struct SessionPath {
    session: SessionId,
}

/// End one of my sessions.
#[utoipa::path(delete, path = "/me/sessions/{session}", tag = "me", params(("session" = String, Path, format = Uuid)), responses(
    (status = 204),
    Refusals,
), security(("bearer" = [])))]
async fn end_session(
    State(app): State<App>,
    member: Member,
    Path(SessionPath { session }): Path<SessionPath>,
) -> Result<StatusCode, Problem> {
    let (account, now) = (member.account.id, app.clock.now());
    let (workspace, hub) = (member.workspace.id(), Arc::clone(&app.hub));
    let event = member.caller.event("session.delete", format!("session:{session}"), Outcome::Allowed);
    let write = move |write: &Write<'_>| {
        let own = sessions::find_live(write.sql(), session, now)?.is_some_and(|found| found.account == account);
        if !own {
            return Ok(false);
        }
        sessions::delete(write, session)?;
        write.audit(&event, now)?;
        write.after_commit(move || hub.end_session(workspace, session));
        Ok(true)
    };
    if !member.workspace.write(write).await? {
        return Err(Problem::NotFound);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Change my password. Ends my other sessions.
#[utoipa::path(put, path = "/me/password", tag = "me", request_body = ChangePassword, responses(
    (status = 204),
    Refused<401>, BodyRefusals, Refused<403>, Refused<409>, Refused<422>,
), security(("bearer" = [])))]
async fn change_password(
    State(app): State<App>,
    member: Member,
    headers: HeaderMap,
    uri: Uri,
    Json(request): Json<ChangePassword>,
) -> Result<StatusCode, Problem> {
    let addressed = credential::authority(&headers, &uri);
    let change: PasswordChange = credential::open(&app, &request.sealed, addressed)?;
    let (account, keys) = (member.account.id, Arc::clone(member.workspace.keys()));
    let stored = member.workspace.read(move |database| accounts::credential_of(database, &keys, account)).await?;
    let (stored, mark) = stored.ok_or(Problem::Unauthenticated)?;

    let workspace_name = views::workspace_ref(&app, member.workspace.id())?.name;
    let attempt = Attempt::admit(&app, &workspace_name, &member.account.user_name)?;
    let place = app.hasher.reserve()?;
    let matches = app.hasher.verify(place, change.current_password, stored.password_hash).await?;
    attempt.settle(if matches { Try::Proven } else { Try::Wrong });
    let now = app.clock.now();
    let event = |outcome| member.caller.event("account.password", format!("account:{account}"), outcome);
    if !matches {
        let event = event(Outcome::Refused);
        member.workspace.write(move |write| write.audit(&event, now)).await?;
        return Err(Problem::CurrentPasswordWrong);
    }
    let hints = [member.account.user_name.as_str(), member.account.display_name.as_str(), workspace_name.as_str()];
    password::check_strength(&change.new_password, &hints)?;
    let hash = app.hasher.hash(change.new_password).await?;
    let (keep, event) = (member.session.id, event(Outcome::Allowed));
    let (workspace, hub) = (member.workspace.id(), Arc::clone(&app.hub));
    let write = move |write: &Write<'_>| {
        // An admin may have set another one while the hashes were computed.
        if !accounts::still_has(write.sql(), account, &mark)? {
            return Ok(false);
        }
        accounts::set_password(write, account, &hash, now)?;
        links::void_if_system(write, account)?;
        sessions::delete_of_account(write, account, Some(keep))?;
        write.audit(&event, now)?;
        write.after_commit(move || hub.end_account(workspace, account, Some(keep)));
        Ok(true)
    };
    if !member.workspace.write(write).await? {
        return Err(Problem::CurrentPasswordWrong);
    }
    Ok(StatusCode::NO_CONTENT)
}
