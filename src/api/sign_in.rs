// SPDX-License-Identifier: AGPL-3.0-or-later
//! Sign-in: three awaits and one transaction: read the account → one Argon2id run → write the session.
//!
//! What is decided from what is known: `core::auth::login`. Before the credential is proven nothing an outsider can see
//! depends on what is stored: not the answer, not its time, not a failing file.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::credential::{self, Unsealed};
use crate::api::error::{BodyRefusals, Problem, Refused};
use crate::api::extract::Json;
use crate::api::principal::Caller;
use crate::api::services::{App, Services};
use crate::api::session::{Begun, grant};
use crate::api::types::{Carrier, Credential, SessionGrant, SignIn, SignInOffer};
use crate::core::audit::Outcome;
use crate::core::auth::login::{self, Circumstances, Decision, StoredAccount};
use crate::core::auth::refresh::RefreshToken;
use crate::core::limit::{Subject, Try};
use crate::core::workspace::policy::WorkspacePolicy;
use crate::platform::entropy;
use crate::platform::https::Peer;
use crate::platform::password::{PasswordError, Place};
use crate::platform::store::accounts::{self, CredentialMark};
use crate::platform::store::error::StoreError;
use crate::platform::store::policy;
use crate::platform::store::sessions::{self, Session};
use crate::platform::store::workspace::{Workspace, Write};
use crate::platform::telemetry::metrics::SignIn as Tried;
use crate::values::id::{AccountId, SessionId, WorkspaceId};
use crate::values::name::{DisplayName, UserName, WorkspaceName};
use crate::values::secret::Key256;

/// From so many wrong tries in a row the audit says so: each further one waits longer, so the log stays short.
const AUDITED_FAILURES: u32 = 3;

/// This file's routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(offer)).routes(routes!(sign_in))
}

/// What to seal a credential to.
#[utoipa::path(get, path = "/sign-in", tag = "sign-in", responses((status = 200, body = SignInOffer)))]
async fn offer(State(app): State<App>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], axum::Json(credential::offer(&app))).into_response()
}

/// Sign in.
#[utoipa::path(post, path = "/sessions", tag = "sign-in", request_body = SignIn, responses(
    (status = 201, body = SessionGrant),
    Refused<401>, BodyRefusals, Refused<403>, Refused<409>,
))]
async fn sign_in(
    State(app): State<App>,
    peer: Extension<Peer>,
    headers: HeaderMap,
    uri: Uri,
    request: Json<SignIn>,
) -> Result<Response, Problem> {
    let answer = begin(Arc::clone(&app), peer, headers, uri, request).await;
    match &answer {
        Ok(_) => app.metrics.sign_in(Tried::Granted),
        Err(Problem::SignInRefused) => app.metrics.sign_in(Tried::Refused),
        Err(Problem::SignInThrottled(_)) => app.metrics.sign_in(Tried::Throttled),
        Err(Problem::Busy) => app.metrics.sign_in(Tried::Busy),
        Err(problem) if problem.is_denial() => app.metrics.sign_in(Tried::Denied),
        // It did not come as far as a credential.
        Err(_) => {}
    }
    answer
}

async fn begin(
    app: App,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    uri: Uri,
    Json(request): Json<SignIn>,
) -> Result<Response, Problem> {
    let arrived = app.clock.instant();
    let (credential, challenge, exported) = match (request.sealed, request.plain) {
        (Some(sealed), None) => {
            let addressed = credential::authority(&headers, &uri);
            let Unsealed { value, challenge, exported } = credential::open_unredeemed(&app, &sealed, addressed)?;
            (value, Some(challenge), Some(exported))
        }
        (None, Some(plain)) => (plain, None, None),
        _ => return Err(Problem::InvalidBody("give exactly one of `sealed` and `plain`".to_owned())),
    };
    let attempt = Attempt::admit(&app, &credential.workspace, &credential.user_name)?;
    let place = app.hasher.reserve()?;
    let sealed = challenge.is_some();
    challenge.map_or(Ok(()), |challenge| challenge.redeem(&app))?;

    let named = look_up(&app, &credential, sealed).await?;
    match decide(&app, &credential, place, &named).await? {
        Decision::Refused => Err(refuse(&app, attempt, &named, peer, arrived).await),
        Decision::Denied { account, reason } => {
            attempt.settle(Try::Proven);
            let caller = Caller::account(account, named.workspace.id(), peer);
            let mut event = caller.event("session.create", format!("account:{account}"), Outcome::Refused);
            let (now, problem) = (app.clock.now(), Problem::from(reason));
            problem.code().clone_into(&mut event.detail);
            named.workspace.write(move |write| write.audit(&event, now)).await?;
            Err(problem)
        }
        Decision::Granted { account, .. } => {
            attempt.settle(Try::Proven);
            let workspace = Arc::clone(&named.workspace);
            let (carrier, persistent) = (request.carrier, request.persistent);
            let device = Device { name: request.device_name, carrier, persistent, exported, peer };
            let begun = begin_session(&app, named, account, credential, device).await?;
            grant(&app, &workspace, begun, carrier, StatusCode::CREATED).await
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

/// What is stored under the names that somebody typed.
struct Named {
    /// The workspace; `system` in place of one that is absent or not open.
    workspace: Arc<Workspace>,
    stored: Option<(StoredAccount, CredentialMark)>,
    circumstances: Circumstances,
}

/// Looks into the workspace somebody names. An absent one costs the same look into `system`, whose audit also takes
/// what is tried there; so does one that is not open. A failing file is as good as none.
async fn look_up(app: &Services, credential: &Credential, sealed: bool) -> Result<Named, Problem> {
    let found = find_workspace(app, &credential.workspace).await;
    let exists = found.is_some();
    let workspace = found.unwrap_or_else(|| Arc::clone(app.store.system()));
    let keys = Arc::clone(workspace.keys());
    let name = credential.user_name.clone();
    let read = move |database: &rusqlite::Connection| {
        Ok((accounts::credential(database, &keys, &name)?, policy::get(database)?))
    };
    let (stored, permitted) = workspace.read(read).await.unwrap_or_else(|error| {
        note_failure(&workspace, &error);
        (None, WorkspacePolicy::default())
    });
    let is_usable = exists && (sealed || (permitted.plain_sign_in && workspace.id() != WorkspaceId::SYSTEM));
    let circumstances = circumstances(app, workspace.id(), permitted);
    Ok(Named { workspace, stored: stored.filter(|_| is_usable), circumstances })
}

/// What counts for everybody who signs in, at this moment.
fn circumstances(app: &Services, workspace: WorkspaceId, permitted: WorkspacePolicy) -> Circumstances {
    let life = app.store.registry().entry(workspace).map(|entry| entry.life);
    let standstill = life.and_then(|life| life.standstill(app.clock.now()));
    Circumstances { standstill, guests: permitted.guests }
}

async fn find_workspace(app: &Services, name: &WorkspaceName) -> Option<Arc<Workspace>> {
    if *name == WorkspaceName::system() {
        return Some(Arc::clone(app.store.system()));
    }
    let entry = app.store.registry().find(name, app.clock.now())?;
    match app.store.workspace(entry.id).await {
        Ok(workspace) => Some(workspace),
        Err(error) => {
            tracing::error!(workspace.id = %entry.id, store.state = error.state(), error = %error, "workspace does not open");
            None
        }
    }
}

fn note_failure(workspace: &Workspace, error: &StoreError) {
    tracing::error!(workspace.id = %workspace.id(), store.state = error.state(), error = %error, "a sign-in met a failing file");
}

/// One hash run, whoever was named.
async fn decide(app: &Services, credential: &Credential, place: Place, named: &Named) -> Result<Decision, Problem> {
    let pending = login::begin(named.stored.as_ref().map(|(account, _)| account.clone()), app.hasher.decoy());
    let phc = pending.hash_to_verify().to_owned();
    let matches = match app.hasher.verify(place, credential.password.clone(), phc).await {
        Err(PasswordError::Unusable) => {
            tracing::error!(workspace.id = %named.workspace.id(), "a stored password hash is not usable");
            false
        }
        other => other?,
    };
    Ok(pending.finish(matches, named.circumstances))
}

/// Refuses, later than it was decided: see `Hasher::until_refusal`.
async fn refuse(app: &Services, attempt: Attempt<'_>, named: &Named, peer: Peer, arrived: Instant) -> Problem {
    if attempt.settle(Try::Wrong) >= AUDITED_FAILURES {
        let target = named.stored.as_ref().map(|(account, _)| format!("account:{}", account.id)).unwrap_or_default();
        let event = Caller::anonymous(peer).event("session.create", target, Outcome::Refused);
        let now = app.clock.now();
        if let Err(error) = named.workspace.write(move |write| write.audit(&event, now)).await {
            note_failure(&named.workspace, &error);
        }
    }
    let elapsed = app.clock.instant().duration_since(arrived);
    tokio::time::sleep(app.hasher.until_refusal(elapsed)).await;
    Problem::SignInRefused
}

/// What signs in.
struct Device {
    name: Option<DisplayName>,
    carrier: Carrier,
    persistent: bool,
    /// What it has in common with the appliance since it sealed its credential.
    exported: Option<Key256>,
    peer: Peer,
}

async fn begin_session(
    app: &App,
    named: Named,
    account: AccountId,
    credential: Credential,
    device: Device,
) -> Result<Begun, Problem> {
    let Device { name, carrier, persistent, exported, peer } = device;
    let Named { workspace, stored, .. } = named;
    let (stored, mark) = stored.ok_or(Problem::SignInRefused)?;
    let outdated = app.hasher.is_outdated(&stored.password_hash);
    let rehashed = if outdated { app.hasher.hash(credential.password).await.ok() } else { None };
    let now = app.clock.now();
    let rng = &mut entropy::system();
    let device_name = name.map_or_else(|| "unnamed device".to_owned(), |name| name.to_string());
    let id = SessionId::random(rng);
    let first = RefreshToken::first(id, rng);
    let caller = Caller::account(account, workspace.id(), peer);
    let event = caller.event("session.create", format!("session:{id}"), Outcome::Allowed);
    let (services, workspace_id) = (Arc::clone(app), workspace.id());
    let write = move |write: &Write<'_>| {
        let permitted = policy::get(write.sql())?;
        // It may have been switched off, given another password, or stopped with all, while the hash was computed.
        let Some(account) = accounts::find(write.sql(), account)? else { return Ok(Err(Problem::SignInRefused)) };
        if !accounts::still_has(write.sql(), account.id, &mark)? {
            return Ok(Err(Problem::SignInRefused));
        }
        let circumstances = circumstances(&services, workspace_id, permitted);
        if let Some(denial) = circumstances.denial(account.role(), account.status) {
            return Ok(Err(denial.into()));
        }
        let kept = permitted.lifetime(persistent).map(|lifetime| (lifetime, persistent));
        let Some((lifetime, persistent)) = kept.or_else(|| Some((permitted.lifetime(false)?, false))) else {
            return Ok(Err(Problem::Internal));
        };
        let account_id = account.id;
        let session =
            Session { id, account: account_id, device_name, created_at: now, last_seen_at: now, persistent, lifetime };
        let only = permitted.single_device;
        let gone = sessions::insert(write, &session, carrier.into(), &first, exported.as_ref(), only)?;
        if let Some(hash) = rehashed {
            accounts::set_password(write, account.id, &hash, now)?;
        }
        write.audit(&event, now)?;
        write.after_commit(move || {
            gone.into_iter().for_each(|session| services.hub.end_session(workspace_id, session));
        });
        Ok(Ok(Begun { session, account, token: first }))
    };
    workspace.write(write).await?
}
