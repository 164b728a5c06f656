// SPDX-License-Identifier: AGPL-3.0-or-later
//! Sign-in, refresh, sign-out.
//!
//! A sign-in is three awaits and one transaction: read the account → one Argon2id run → write the session. What is
//! decided from what is known: `core::auth::login`.

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
use crate::api::error::{Problem, ProblemBody};
use crate::api::extract::Json;
use crate::api::principal::{Caller, Member};
use crate::api::services::{App, Services};
use crate::api::types::{Base64, Carrier, Credential, Refresh, SessionGrant, SignIn, SignInOffer};
use crate::api::views;
use crate::core::audit::Outcome;
use crate::core::auth::login::{self, Decision, Denial, StoredAccount};
use crate::core::auth::refresh::{RefreshDecision, RefreshToken};
use crate::core::auth::token::Claims;
use crate::core::limit::{Subject, Try};
use crate::platform::entropy;
use crate::platform::https::Peer;
use crate::platform::store::accounts::{self, Account};
use crate::platform::store::registry;
use crate::platform::store::sessions::{self, Session};
use crate::platform::store::workspace::{Workspace, Write};
use crate::platform::token;
use crate::values::id::{AccountId, SessionId, WorkspaceId};
use crate::values::name::{UserName, WorkspaceName};

/// The cookie of browser sessions. The prefix makes browsers insist on `Secure`, `Path=/` and no `Domain`.
const COOKIE: &str = "__Host-conclave-refresh";

/// From so many wrong tries in a row the audit says so: each further one waits longer, so the log stays short.
const AUDITED_FAILURES: u32 = 3;

/// This file's routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(offer))
        .routes(routes!(sign_in))
        .routes(routes!(refresh))
        .routes(routes!(sign_out))
}

/// What to seal a credential to.
#[utoipa::path(get, path = "/sign-in", tag = "sign-in", responses((status = 200, body = SignInOffer)))]
async fn offer(State(app): State<App>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], axum::Json(credential::offer(&app))).into_response()
}

/// Sign in.
#[utoipa::path(post, path = "/sessions", tag = "sign-in", request_body = SignIn, responses(
    (status = 201, body = SessionGrant),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    (status = 413, body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn sign_in(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    uri: Uri,
    Json(request): Json<SignIn>,
) -> Result<Response, Problem> {
    let (credential, sealed) = match (request.sealed, request.plain) {
        (Some(sealed), None) => {
            (credential::open::<Credential>(&app, &sealed, credential::authority(&headers, &uri))?, true)
        }
        (None, Some(plain)) => (plain, false),
        _ => return Err(Problem::InvalidBody("give exactly one of `sealed` and `plain`".to_owned())),
    };
    let attempt = Attempt::admit(&app, &credential.workspace, &credential.user_name)?;
    let (workspace, stored) = look_up(&app, &credential, sealed).await?;

    let pending = login::begin(stored, app.hasher.decoy());
    let outdated = app.hasher.is_outdated(pending.hash_to_verify());
    let matches = app.hasher.verify(credential.password.clone(), pending.hash_to_verify().to_owned()).await?;
    match pending.finish(matches) {
        Decision::Refused => {
            let failures = attempt.settle(Try::Wrong);
            if failures >= AUDITED_FAILURES {
                let event = Caller::anonymous(peer).event("session.create", "", Outcome::Refused);
                let now = app.clock.now();
                workspace.write(move |write| write.audit(&event, now)).await?;
            }
            Err(Problem::SignInRefused)
        }
        Decision::Denied { account, reason: Denial::AccountDisabled } => {
            attempt.settle(Try::Proven);
            let event =
                Caller::account(account, peer).event("session.create", format!("account:{account}"), Outcome::Refused);
            let now = app.clock.now();
            workspace.write(move |write| write.audit(&event, now)).await?;
            Err(Problem::AccountDisabled)
        }
        Decision::Granted { account, .. } => {
            attempt.settle(Try::Proven);
            let rehashed = if outdated { app.hasher.hash(credential.password).await.ok() } else { None };
            let device = request.device_name.map_or_else(|| "unnamed device".to_owned(), |name| name.to_string());
            let begun = begin_session(&app, &workspace, account, device, request.carrier, rehashed, peer).await?;
            grant(&app, &workspace, begun, request.carrier, StatusCode::CREATED).await
        }
    }
}

/// A try that the softlock admitted; it is settled when it is decided, or when it is dropped.
pub(super) struct Attempt<'a> {
    app: &'a Services,
    subject: Option<Subject>,
}

impl<'a> Attempt<'a> {
    pub(super) fn admit(app: &'a Services, workspace: &WorkspaceName, user: &UserName) -> Result<Self, Problem> {
        let subject = Subject { workspace: workspace.clone(), user: user.clone() };
        app.softlock().admit(&subject, app.clock.now()).map_err(Problem::SignInThrottled)?;
        Ok(Self { app, subject: Some(subject) })
    }

    pub(super) fn settle(mut self, end: Try) -> u32 {
        self.subject.take().map_or(0, |subject| self.app.softlock().settle(&subject, end, self.app.clock.now()))
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(subject) = self.subject.take() {
            self.app.softlock().settle(&subject, Try::Abandoned, self.app.clock.now());
        }
    }
}

/// The workspace and account somebody names. An absent workspace costs the same look into `system`, whose audit also
/// takes what is tried there; so does one that is not open.
async fn look_up(
    app: &Services,
    credential: &Credential,
    sealed: bool,
) -> Result<(Arc<Workspace>, Option<StoredAccount>), Problem> {
    let (workspace, plain_allowed) = find_workspace(app, credential.workspace.clone()).await?;
    let exists = workspace.is_some();
    let workspace = workspace.unwrap_or_else(|| Arc::clone(app.store.system()));
    let keys = Arc::clone(workspace.keys());
    let name = credential.user_name.clone();
    let stored = workspace.read(move |database| accounts::credential(database, &keys, &name)).await?;
    Ok((workspace, stored.filter(|_| exists && (sealed || plain_allowed))))
}

async fn find_workspace(app: &Services, name: WorkspaceName) -> Result<(Option<Arc<Workspace>>, bool), Problem> {
    if name == WorkspaceName::system() {
        return Ok((Some(Arc::clone(app.store.system())), false));
    }
    let Some(entry) = app.store.system().read(move |database| registry::find(database, &name)).await? else {
        return Ok((None, false));
    };
    match app.store.workspace(entry.id).await {
        Ok(workspace) => Ok((Some(workspace), entry.plain_sign_in)),
        Err(error) => {
            tracing::error!(workspace.id = %entry.id, store.state = error.state(), error = %error, "workspace does not open");
            Ok((None, false))
        }
    }
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
struct Begun {
    session: Session,
    account: Account,
    token: RefreshToken,
}

async fn begin_session(
    app: &Services,
    workspace: &Arc<Workspace>,
    account: AccountId,
    device_name: String,
    carrier: Carrier,
    rehashed: Option<String>,
    peer: Peer,
) -> Result<Begun, Problem> {
    let now = app.clock.now();
    let rng = &mut entropy::system();
    let session = Session { id: SessionId::random(rng), account, device_name, created_at: now, last_seen_at: now };
    let first = RefreshToken::first(session.id, rng);
    let event =
        Caller::account(account, peer).event("session.create", format!("session:{}", session.id), Outcome::Allowed);
    let write = move |write: &Write<'_>| {
        // It may have been switched off while the hash was computed.
        let Some(account) = accounts::find(write.sql(), account)? else { return Ok(None) };
        if account.status != login::AccountStatus::Active {
            return Ok(None);
        }
        sessions::insert(write, &session, carrier.into(), &first)?;
        if let Some(hash) = rehashed {
            accounts::set_password(write, account.id, &hash, now)?;
        }
        write.audit(&event, now)?;
        Ok(Some(Begun { session, account, token: first }))
    };
    workspace.write(write).await?.ok_or(Problem::SignInRefused)
}

/// Go on with a session.
#[utoipa::path(post, path = "/sessions/refresh", tag = "sign-in", request_body = Refresh, responses(
    (status = 200, body = SessionGrant),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, body = ProblemBody, content_type = "application/problem+json"),
    (status = 413, body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
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
    let workspace = app.store.workspace(workspace).await?;
    let now = app.clock.now();
    let token = next.clone();
    let write = move |write: &Write<'_>| {
        let (decision, session) = sessions::refresh(write, &presented, &token, carrier.into(), now)?;
        let Some(session) = session else { return Ok(None) };
        let Some(account) = accounts::find(write.sql(), session.account)? else { return Ok(None) };
        match decision {
            RefreshDecision::Rotate | RefreshDecision::Repeat if account.status == login::AccountStatus::Active => {
                Ok(Some((session, account)))
            }
            RefreshDecision::Replay => {
                let mut event = Caller::anonymous(peer).event(
                    "session.refresh",
                    format!("session:{}", session.id),
                    Outcome::Refused,
                );
                "a used refresh token was presented again; the session was ended".clone_into(&mut event.detail);
                write.audit(&event, now)?;
                Ok(None)
            }
            _ => Ok(None),
        }
    };
    let (session, account) = workspace.write(write).await?.ok_or(Problem::SessionEnded)?;
    grant(&app, &workspace, Begun { session, account, token: next }, carrier, StatusCode::OK).await
}

/// Sign out.
#[utoipa::path(delete, path = "/session", tag = "sign-in", responses(
    (status = 204),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
), security(("bearer" = [])))]
async fn sign_out(State(app): State<App>, member: Member) -> Result<Response, Problem> {
    let (session, now) = (member.session.id, app.clock.now());
    let event = member.caller.event("session.delete", format!("session:{session}"), Outcome::Allowed);
    let write = move |write: &Write<'_>| {
        sessions::delete(write, session)?;
        write.audit(&event, now)
    };
    member.workspace.write(write).await?;
    let cleared = format!("{COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict");
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cleared)]).into_response())
}

/// Answers with a fresh pair of tokens.
async fn grant(
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
        account: views::account(&account, &views::workspace_ref(app, workspace.id()).await?),
    };
    let mut response_headers = HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))]);
    match carrier {
        Carrier::Token => body.refresh_token = Some(Base64(refresh)),
        Carrier::Cookie => {
            let value = URL_SAFE_NO_PAD.encode(refresh);
            let cookie = format!("{COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Strict");
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
