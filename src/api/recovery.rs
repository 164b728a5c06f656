// SPDX-License-Identifier: AGPL-3.0-or-later
//! An operator who is locked out: a link that is made on the host and sets a new password, once. The others are told.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::claim;
use crate::api::credential::{self, Unsealed};
use crate::api::error::{BodyRefusals, Problem, Refusals, Refused};
use crate::api::extract::{Json, Path};
use crate::api::principal::{Caller, LocalOperator, Operator};
use crate::api::services::App;
use crate::api::types::NewPassword;
use crate::api::types::setup::{Notices, Recovered, RecoveryLink, RecoveryNotice, UseRecoveryLink};
use crate::core::audit::{Actor, Outcome, Strength};
use crate::core::auth::login::AccountStatus;
use crate::core::auth::opaque::OpaqueToken;
use crate::core::auth::permission::Role;
use crate::platform::entropy;
use crate::platform::https::Peer;
use crate::platform::password;
use crate::platform::store::workspace::Write;
use crate::platform::store::{accounts, links, sessions};
use crate::values::id::WorkspaceId;
use crate::values::name::UserName;

/// This file's routes below `/api/v1`, for whoever has a link.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(recover))
}

/// Those below `/api/v1/system`.
pub fn system_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(make_link)).routes(routes!(notices))
}

#[derive(Deserialize)]
struct OperatorPath {
    user_name: UserName,
}

/// Make a link by which an operator sets a new password, once and within an hour. A newer one voids it. On the host only.
#[utoipa::path(post, path = "/operators/{user_name}/recovery", tag = "system", params(("user_name" = String, Path)), responses(
    (status = 201, body = RecoveryLink),
    Refused<404>,
))]
async fn make_link(
    State(app): State<App>,
    local: LocalOperator,
    Path(OperatorPath { user_name }): Path<OperatorPath>,
) -> Result<Response, Problem> {
    let token = OpaqueToken::random(&mut entropy::system());
    let (hash, now, name) = (token.hash(), app.clock.now(), user_name.clone());
    let caller = local.caller;
    let write = move |write: &Write<'_>| {
        let found = accounts::find_by_name(write.sql(), &name)?
            .filter(|account| account.role() == Role::Admin && account.status == AccountStatus::Active);
        let Some(operator) = found else { return Ok(false) };
        links::insert(write, &hash, operator.id, now)?;
        write.audit(&caller.event("operator.recovery", format!("operator:{}", operator.id), Outcome::Allowed), now)?;
        Ok(true)
    };
    if !app.store.system().write(write).await? {
        return Err(Problem::NotFound);
    }
    let page = claim::urls(&app, "/recover").into_iter().next().unwrap_or_default();
    // Behind the `#`, so that no server, proxy or log on the way sees it.
    let url = format!("{page}#{}", token.expose());
    let link = RecoveryLink { user_name, url, expires_at: now + links::LINK_LIFE };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], axum::Json(link)).into_response())
}

/// Set an operator's new password by a link. Ends the operator's sessions.
#[utoipa::path(post, path = "/recovery", tag = "sign-in", request_body = UseRecoveryLink, responses(
    (status = 200, body = Recovered),
    Refused<401>,
    Refused<409>,
    Refused<422>,
    BodyRefusals,
))]
async fn recover(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    uri: Uri,
    Json(request): Json<UseRecoveryLink>,
) -> Result<axum::Json<Recovered>, Problem> {
    let addressed = credential::authority(&headers, &uri);
    let Unsealed { value, challenge, .. } =
        credential::open_unredeemed::<NewPassword>(&app, &request.sealed, addressed)?;
    // 256 random bits: nobody guesses one, so nothing counts the tries.
    let hash = OpaqueToken::parse(&request.token).ok_or(Problem::LinkRefused)?.hash();
    let (now, system) = (app.clock.now(), app.store.system());
    let read = move |database: &rusqlite::Connection| match links::find(database, &hash, now)? {
        Some(account) => accounts::find(database, account),
        None => Ok(None),
    };
    let operator = system.read(read).await?.ok_or(Problem::LinkRefused)?;
    challenge.redeem(&app)?;
    password::check_strength(&value.new_password, &[operator.user_name.as_str(), operator.display_name.as_str()])?;
    let phc = app.hasher.hash(value.new_password).await?;

    let (id, hub, now) = (operator.id, Arc::clone(&app.hub), app.clock.now());
    let caller = Caller::proven(Actor::Operator(id), Strength::OneTimeLink, peer);
    let event = caller.event("account.password", format!("operator:{id}"), Outcome::Allowed);
    let write = move |write: &Write<'_>| {
        // It may have been used, replaced or voided while the hash was computed.
        if !links::redeem(write, &hash, now)? {
            return Ok(false);
        }
        accounts::set_password(write, id, &phc, now)?;
        sessions::delete_of_account(write, id, None)?;
        write.audit(&event, now)?;
        write.after_commit(move || hub.end_account(WorkspaceId::SYSTEM, id, None));
        Ok(true)
    };
    if !system.write(write).await? {
        return Err(Problem::LinkRefused);
    }
    Ok(axum::Json(Recovered { user_name: operator.user_name }))
}

/// What every operator should know of: links that were made to set a password, in the last thirty days.
#[utoipa::path(get, path = "/notices", tag = "system", responses(
    (status = 200, body = Notices),
    Refusals,
), security(("bearer" = [])))]
async fn notices(State(app): State<App>, _operator: Operator) -> Result<axum::Json<Notices>, Problem> {
    let now = app.clock.now();
    let made = app.store.system().read(move |database| links::remembered(database, now)).await?;
    let notice = |link: links::Link| RecoveryNotice {
        user_name: link.user_name,
        asked_at: link.created_at,
        expires_at: link.expires_at,
        used_at: link.used_at,
    };
    Ok(axum::Json(Notices { recoveries: made.into_iter().map(notice).collect() }))
}
