// SPDX-License-Identifier: AGPL-3.0-or-later
//! Sessions that go on: refresh, sign-out, and handing out a pair of tokens.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::credential;
use crate::api::error::{BodyRefusals, Problem, Refused};
use crate::api::extract::Json;
use crate::api::principal::{Caller, Member, standstill};
use crate::api::services::{App, Services};
use crate::api::types::{Base64, Carrier, Refresh, SessionGrant};
use crate::api::views;
use crate::core::audit::Outcome;
use crate::core::auth::login::AccountStatus;
use crate::core::auth::refresh::{RefreshDecision, RefreshToken};
use crate::core::auth::token::Claims;
use crate::platform::https::Peer;
use crate::platform::store::accounts::{self, Account};
use crate::platform::store::sessions::{self, Session};
use crate::platform::store::workspace::{Workspace, Write};
use crate::platform::token;
use crate::values::id::WorkspaceId;

/// The cookie of browser sessions. The prefix makes browsers insist on `Secure`, `Path=/` and no `Domain`.
const COOKIE: &str = "__Host-conclave-refresh";

/// This file's routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(refresh)).routes(routes!(sign_out))
}

impl From<Carrier> for sessions::Carrier {
    fn from(carrier: Carrier) -> Self {
        match carrier {
            Carrier::Token => Self::Token,
            Carrier::Cookie => Self::Cookie,
        }
    }
}

/// A session, whose it is, and the refresh token to hand out.
pub(super) struct Begun {
    pub session: Session,
    pub account: Account,
    pub token: RefreshToken,
}

/// Go on with a session.
#[utoipa::path(post, path = "/sessions/refresh", tag = "sign-in", request_body = Refresh, responses(
    (status = 200, body = SessionGrant),
    Refused<401>, BodyRefusals, Refused<403>,
))]
async fn refresh(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    uri: Uri,
    Json(request): Json<Refresh>,
) -> Result<Response, Problem> {
    let (bytes, carrier) = match request.refresh_token {
        Some(Base64(bytes)) => (bytes, Carrier::Token),
        None => (cookie(&headers, &uri)?, Carrier::Cookie),
    };
    // Layout: workspace id ‖ session id ‖ secret. The workspace only says where to look.
    let (workspace, token) = bytes.split_first_chunk::<16>().ok_or(Problem::SessionEnded)?;
    let workspace = WorkspaceId::from_bytes(*workspace);
    let presented = RefreshToken::from_bytes(token).ok_or(Problem::SessionEnded)?;
    let keys = app.store.keyring().keys(workspace).ok_or(Problem::SessionEnded)?;
    let next = keys.newest_field().and_then(|(_, key)| presented.successor(key)).ok_or(Problem::Internal)?;
    if standstill(&app, workspace).is_some() {
        return Err(Problem::SessionEnded);
    }
    let workspace = app.store.workspace(workspace).await?;
    let now = app.clock.now();
    let (token, id, hub) = (next.clone(), workspace.id(), Arc::clone(&app.hub));
    let write = move |write: &Write<'_>| {
        let ended = |session| {
            write.after_commit(move || hub.end_session(id, session));
            Ok(Err(()))
        };
        let (decision, session) = sessions::refresh(write, &presented, &token, carrier.into(), now)?;
        let Some(session) = session else { return Ok(Err(())) };
        let Some(account) = accounts::find(write.sql(), session.account)? else { return Ok(Err(())) };
        match decision {
            RefreshDecision::Rotate | RefreshDecision::Repeat if account.status == AccountStatus::Active => {
                let session = sessions::find_live(write.sql(), session.id, now)?;
                Ok(session.map(|session| (session, account)).ok_or(()))
            }
            RefreshDecision::Replay => {
                let mut event = Caller::anonymous(peer).event(
                    "session.refresh",
                    format!("session:{}", session.id),
                    Outcome::Refused,
                );
                "a used refresh token was presented again; the session was ended".clone_into(&mut event.detail);
                write.audit(&event, now)?;
                accounts::note_replay(write, session.account, now)?;
                ended(session.id)
            }
            RefreshDecision::Expired => ended(session.id),
            _ => Ok(Err(())),
        }
    };
    let (session, account) = workspace.write(write).await?.map_err(|()| Problem::SessionEnded)?;
    grant(&app, &workspace, Begun { session, account, token: next }, carrier, StatusCode::OK).await
}

/// Sign out.
#[utoipa::path(delete, path = "/session", tag = "sign-in", responses(
    (status = 204),
    Refused<401>, Refused<403>,
), security(("bearer" = [])))]
async fn sign_out(State(app): State<App>, member: Member) -> Result<Response, Problem> {
    let (session, now) = (member.session.id, app.clock.now());
    let (workspace, hub) = (member.workspace.id(), Arc::clone(&app.hub));
    let event = member.caller.event("session.delete", format!("session:{session}"), Outcome::Allowed);
    let write = move |write: &Write<'_>| {
        sessions::delete(write, session)?;
        write.after_commit(move || hub.end_session(workspace, session));
        write.audit(&event, now)
    };
    member.workspace.write(write).await?;
    let cleared = format!("{COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict");
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cleared)]).into_response())
}

/// Answers with a fresh pair of tokens.
pub(super) async fn grant(
    app: &Services,
    workspace: &Workspace,
    begun: Begun,
    carrier: Carrier,
    status: StatusCode,
) -> Result<Response, Problem> {
    let Begun { session, account, token } = begun;
    let claims = Claims::issue(&app.issuer(), workspace.id(), account.id, session.id, app.clock.now());
    let access_token = token::sign(app.store.keyring(), &claims).map_err(|_| Problem::Internal)?;
    let refresh = [workspace.id().as_bytes().as_slice(), &token.to_bytes()].concat();
    let mut body = SessionGrant {
        access_token,
        token_type: "Bearer".to_owned(),
        expires_at: claims.expires_at(),
        refresh_token: None,
        session: session.id,
        account: views::account(&account, &views::workspace_ref(app, workspace.id())?),
    };
    let mut response_headers = HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))]);
    match carrier {
        Carrier::Token => body.refresh_token = Some(Base64(refresh)),
        Carrier::Cookie => {
            let value = URL_SAFE_NO_PAD.encode(refresh);
            // A session cookie ends with the browser; a persistent one by itself, later with each visit.
            let left = session.expires_at().since(app.clock.now()).as_secs();
            let max_age = if session.persistent { format!("; Max-Age={left}") } else { String::new() };
            let cookie = format!("{COOKIE}={value}; Path=/{max_age}; Secure; HttpOnly; SameSite=Strict");
            response_headers.insert(header::SET_COOKIE, HeaderValue::from_str(&cookie).map_err(|_| Problem::Internal)?);
        }
    }
    Ok((status, response_headers, axum::Json(body)).into_response())
}

/// The refresh token of the cookie, when the request comes from our own page.
fn cookie(headers: &HeaderMap, uri: &Uri) -> Result<Vec<u8>, Problem> {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let own = origin.and_then(|origin| origin.strip_prefix("https://"));
    if own.is_none() || own != credential::authority(headers, uri) {
        return Err(Problem::CrossSite);
    }
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let value = cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value));
    value.and_then(|value| URL_SAFE_NO_PAD.decode(value).ok()).ok_or(Problem::SessionEnded)
}
