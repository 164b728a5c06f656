// SPDX-License-Identifier: AGPL-3.0-or-later
//! The doors of the claim. Over the network they are there until the appliance is claimed, and never again; the host
//! has its own, and needs no code.

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use std::net::IpAddr;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::claim::{self, Claiming, Root};
use crate::api::credential::{self, Given};
use crate::api::error::{BodyRefusals, Problem, Refused};
use crate::api::extract::Json;
use crate::api::principal::{self, Caller, LocalOperator};
use crate::api::services::{App, Services};
use crate::api::types::Base64;
use crate::api::types::setup::{
    AskSetupCode, ClaimAppliance, FirstOperator, FixScope, ScopeDone, Setup, SetupCodeView, SetupDone, SetupFacts,
};
use crate::api::views;
use crate::core::audit::{Actor, Outcome, Strength};
use crate::core::claim::{Claim, CodeHash, SetupCode};
use crate::platform::https::Peer;
use crate::platform::pki::{DnsName, Scope};
use crate::platform::store::claim as stored;
use crate::platform::store::workspace::Write;
use crate::platform::trust::{self, KeptRoot};

/// This file's routes below `/api/v1`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(facts)).routes(routes!(fix_scope)).routes(routes!(claim_appliance))
}

/// Those below `/api/v1/system`, for the host.
pub fn host_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(setup)).routes(routes!(setup_code))
}

/// Somebody before an appliance that nobody claimed. Looked at before anything of the request: afterwards there is
/// nothing here.
struct Newcomer {
    peer: Peer,
    is_local: bool,
}

impl FromRequestParts<App> for Newcomer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if claim::is_claimed(app).await? {
            return Err(Problem::NotFound);
        }
        let peer = principal::peer(parts)?;
        Ok(Self { peer, is_local: principal::is_local_operator(peer, app) })
    }
}

impl Newcomer {
    /// Who that is once the code holds; without one it has to be the host.
    async fn admit(&self, app: &App, code: Option<&SetupCode>) -> Result<(Caller, Option<CodeHash>), Problem> {
        if self.is_local {
            return Ok((Caller::LOCAL, None));
        }
        let code = code.ok_or_else(|| Problem::InvalidBody("missing field `code`".to_owned()))?.hash();
        claim::check_code(app, Caller::anonymous(self.peer), Some(code)).await?;
        Ok((Caller::proven(Actor::Anonymous, Strength::SetupCode, self.peer), Some(code)))
    }
}

/// What somebody sees of an appliance that nobody claimed.
#[utoipa::path(get, path = "/setup", tag = "setup", responses(
    (status = 200, body = SetupFacts),
    Refused<404>,
))]
async fn facts(State(app): State<App>, newcomer: Newcomer, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    let code = match app.store.system().read(stored::load).await? {
        Claim::Unclaimed { code } => code.filter(|code| code.holds(app.clock.now())),
        Claim::Claimed { .. } => return Err(Problem::NotFound),
    };
    let (names, networks) = proposed(&app, &newcomer, credential::authority(&headers, &uri));
    let identity = app.store.public_identity();
    let facts = SetupFacts {
        appliance: identity.appliance_id(),
        identity_key: Base64(identity.to_bytes().to_vec()),
        fingerprint: views::trust(&app).fingerprint,
        code_expires_at: code.map(|code| code.expires_at),
        tries_left: code.map_or(0, |code| code.tries_left),
        names,
        networks,
        root: app.trust.kept(&app.store).await?.map(scope_done),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(facts)).into_response())
}

/// The name this request was sent to, and the networks around the addresses that are known. Proposals: what the root
/// is bound to is decided by whoever claims.
fn proposed(app: &Services, newcomer: &Newcomer, addressed: Option<&str>) -> (Vec<String>, Vec<IpNet>) {
    let host = addressed.and_then(|addressed| addressed.parse::<axum::http::uri::Authority>().ok());
    let host = host.as_ref().map(|authority| authority.host().trim_matches(['[', ']'])).unwrap_or_default();
    let name = host.parse::<DnsName>().ok().filter(|_| !newcomer.is_local);
    let local = match newcomer.peer {
        Peer::Network { local, .. } => Some(local.ip()),
        Peer::Local { .. } => None,
    };
    // Who comes over the network, and has typed no code yet, learns of no other network of this host.
    let known: Vec<IpAddr> =
        if newcomer.is_local { claim::listened_on(app).collect() } else { claim::named(app).collect() };
    let addresses = host.parse().ok().into_iter().chain(local).chain(known);
    let mut networks: Vec<IpNet> = addresses.filter_map(around).collect();
    networks.sort();
    networks.dedup();
    (name.iter().map(ToString::to_string).collect(), networks)
}

/// The network that an address is in, as networks are usually cut.
fn around(address: IpAddr) -> Option<IpNet> {
    let prefix = match address.to_canonical() {
        IpAddr::V4(address) if address.is_loopback() => 8,
        IpAddr::V4(_) => 24,
        IpAddr::V6(address) if address.is_loopback() => 128,
        IpAddr::V6(_) => 64,
    };
    IpNet::new(address.to_canonical(), prefix).ok().map(|network| network.trunc())
}

fn scope_done(root: KeptRoot) -> ScopeDone {
    ScopeDone {
        root_fingerprint: hex::encode(root.fingerprint.as_bytes()),
        root_pem: root.pem,
        names: root.scope.names().iter().map(ToString::to_string).collect(),
        networks: root.scope.networks().to_vec(),
    }
}

fn scope(names: &[String], networks: &[String]) -> Result<Scope, Problem> {
    Scope::parse(names, networks).map_err(|error| Problem::invalid_body(&error.to_string()))
}

/// Fix names and networks: mints the root. It is kept, and presented once the appliance is claimed.
#[utoipa::path(put, path = "/setup/scope", tag = "setup", request_body = FixScope, responses(
    (status = 200, body = ScopeDone),
    Refused<403>,
    Refused<404>,
    Refused<409>,
    BodyRefusals,
))]
async fn fix_scope(
    State(app): State<App>,
    newcomer: Newcomer,
    Json(request): Json<FixScope>,
) -> Result<axum::Json<ScopeDone>, Problem> {
    let scope = scope(&request.names, &request.networks)?;
    let (caller, _) = newcomer.admit(&app, request.code.as_ref()).await?;
    let (authority, parts) = app.trust.mint(scope, &app.store.public_identity().appliance_id())?;
    let now = app.clock.now();
    let mut event = caller.event("setup.scope", "appliance", Outcome::Allowed);
    event.detail = authority.scope().to_string();
    let write = move |write: &Write<'_>| {
        if stored::is_claimed(write.sql())? {
            return Ok(false);
        }
        trust::save_authority(write, &parts, now)?;
        write.audit(&event, now)?;
        Ok(true)
    };
    if !app.store.system().write(write).await? {
        return Err(Problem::AlreadyClaimed);
    }
    Ok(axum::Json(scope_done(KeptRoot::from(&authority))))
}

/// Claim the appliance: the first operator, the recovery kit, the root that was confirmed.
#[utoipa::path(post, path = "/setup/claim", tag = "setup", request_body = ClaimAppliance, responses(
    (status = 201, body = SetupDone),
    Refused<403>,
    Refused<404>,
    Refused<409>,
    Refused<422>,
    BodyRefusals,
))]
async fn claim_appliance(
    State(app): State<App>,
    newcomer: Newcomer,
    headers: HeaderMap,
    uri: Uri,
    Json(request): Json<ClaimAppliance>,
) -> Result<(StatusCode, axum::Json<SetupDone>), Problem> {
    let recovery = claim::recovery_key(&request.recovery_public_key)?;
    let (caller, code) = newcomer.admit(&app, request.code.as_ref()).await?;
    let addressed = credential::authority(&headers, &uri);
    let (sealed, clear) = (request.sealed.as_ref(), request.password);
    let hints = hints(&request.operator);
    let password = Given::from_request(&app, sealed, clear, newcomer.is_local, addressed, &hints)?;
    let claiming = Claiming {
        caller,
        code,
        door: if newcomer.is_local { "on the host" } else { "on the setup page" },
        root: Root::Confirmed(request.root_fingerprint),
        operator: request.operator,
        password,
        recovery: Some(recovery),
    };
    Ok((StatusCode::CREATED, axum::Json(claim::claim(&app, claiming).await?)))
}

/// What a password must not be made of.
fn hints(operator: &FirstOperator) -> [&str; 2] {
    [operator.user_name.as_str(), operator.display_name.as_str()]
}

/// Claim the appliance in one step. On the host only.
#[utoipa::path(post, path = "/setup", tag = "setup", request_body = Setup, responses(
    (status = 201, body = SetupDone),
    Refused<404>,
    Refused<409>,
    Refused<422>,
    BodyRefusals,
))]
async fn setup(
    State(app): State<App>,
    local: LocalOperator,
    Json(request): Json<Setup>,
) -> Result<(StatusCode, axum::Json<SetupDone>), Problem> {
    let scope = scope(&request.names, &request.networks)?;
    let recovery = request.recovery_public_key.as_ref().map(claim::recovery_key).transpose()?;
    if recovery.is_some() == request.without_recovery_kit {
        let reason = "give exactly one of `recovery_public_key` and `\"without_recovery_kit\": true`";
        return Err(Problem::InvalidBody(reason.to_owned()));
    }
    if claim::is_claimed(&app).await? {
        return Err(Problem::AlreadyClaimed);
    }
    let password = Given::from_request(&app, None, request.password, true, None, &hints(&request.operator))?;
    let claiming = Claiming {
        caller: local.caller,
        code: None,
        door: "on the host",
        root: Root::New(scope),
        operator: request.operator,
        password,
        recovery,
    };
    Ok((StatusCode::CREATED, axum::Json(claim::claim(&app, claiming).await?)))
}

/// The setup code, and where to type it; made when there is none that holds. On the host only.
#[utoipa::path(post, path = "/setup/code", tag = "setup", request_body = AskSetupCode, responses(
    (status = 200, body = SetupCodeView),
    Refused<404>,
    Refused<409>,
    BodyRefusals,
))]
async fn setup_code(
    State(app): State<App>,
    local: LocalOperator,
    Json(request): Json<AskSetupCode>,
) -> Result<Response, Problem> {
    if claim::is_claimed(&app).await? {
        return Err(Problem::AlreadyClaimed);
    }
    let code = claim::setup_code(&app, local.caller, request.new).await?;
    claim::show_in_log(&code);
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(code)).into_response())
}
