// SPDX-License-Identifier: AGPL-3.0-or-later
//! The appliance itself: health, trust, status, and the claim.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::error::{BodyRefusals, Problem, Refused};
use crate::api::extract::Json;
use crate::api::principal::{LocalOperator, Operator};
use crate::api::services::{App, Services};
use crate::api::types::{Base64, Setup, SetupDone, Status, TrustView};
use crate::api::views;
use crate::core::audit::Outcome;
use crate::core::auth::login::AccountStatus;
use crate::core::auth::permission::{Permissions, Role, Roles};
use crate::platform::entropy;
use crate::platform::password;
use crate::platform::pki::Scope;
use crate::platform::store::accounts::{self, Account};
use crate::platform::store::settings;
use crate::platform::store::workspace::Write;
use crate::platform::trust;
use crate::values::id::{AccountId, WorkspaceId};

/// Setting that says when the appliance was claimed.
const CLAIMED: &str = "claimed_at";

/// Routes that need nobody, at the root.
pub fn health_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(health))
}

/// Routes that need nobody, below `/api/v1`.
pub fn public_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show_trust)).routes(routes!(root_certificate))
}

/// Routes for operators, below `/api/v1/system`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(setup))
}

/// Whether the appliance serves.
#[utoipa::path(get, path = "/healthz", tag = "system", responses(
    (status = 200, body = String, content_type = "text/plain"),
))]
async fn health(State(app): State<App>) -> Result<&'static str, Problem> {
    if app.drain.is_stopping() {
        return Err(Problem::Stopping);
    }
    // A read through the whole of the store: file, key, page authentication.
    app.store.system().read(|database| settings::get(database, CLAIMED)).await?;
    Ok("ok\n")
}

/// What TLS presents, and what to trust.
#[utoipa::path(get, path = "/trust", tag = "system", responses((status = 200, body = TrustView)))]
async fn show_trust(State(app): State<App>) -> axum::Json<TrustView> {
    axum::Json(views::trust(&app))
}

/// The root certificate, to import where it is to be trusted.
#[utoipa::path(get, path = "/trust/root.pem", tag = "system", responses(
    (status = 200, body = String, content_type = "application/x-pem-file"),
    Refused<404>,
))]
async fn root_certificate(State(app): State<App>) -> Result<Response, Problem> {
    let pem = app.trust.certificates().authority().map(|authority| authority.root_pem()).ok_or(Problem::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-pem-file"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"conclave-root.pem\""),
    ];
    Ok((headers, pem).into_response())
}

/// How the appliance is.
#[utoipa::path(get, path = "/status", tag = "system", responses(
    (status = 200, body = Status),
    Refused<401>, Refused<403>,
), security(("bearer" = [])))]
async fn status(State(app): State<App>, _operator: Operator) -> Result<axum::Json<Status>, Problem> {
    Ok(axum::Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        appliance: app.store.public_identity().appliance_id(),
        identity_key: Base64(app.store.public_identity().to_bytes().to_vec()),
        claim: if is_claimed(&app).await? { "claimed" } else { "unclaimed" }.to_owned(),
        system_state: app.store.system().state().to_owned(),
        anchor_current: app.store.anchor_is_current().await?,
        workspaces: u64::try_from(app.store.registry().count()).unwrap_or(u64::MAX),
        open_workspaces: u64::try_from(app.store.open_count()).unwrap_or(u64::MAX),
        started_at: app.started_at,
        https: app.https.iter().map(ToString::to_string).collect(),
        connections: app.counters.snapshot().open,
        trust: views::trust(&app),
    }))
}

async fn is_claimed(app: &Services) -> Result<bool, Problem> {
    Ok(app.store.system().read(|database| settings::get(database, CLAIMED)).await?.is_some())
}

/// Refuses what an appliance without an operator cannot do.
pub async fn require_claimed(app: &Services) -> Result<(), Problem> {
    if is_claimed(app).await? { Ok(()) } else { Err(Problem::Unclaimed) }
}

/// Claim the appliance: fix names and networks, mint the root, make the first operator. On the host only.
#[utoipa::path(post, path = "/setup", tag = "system", request_body = Setup, responses(
    (status = 201, body = SetupDone),
    BodyRefusals, Refused<404>, Refused<409>,
))]
async fn setup(
    State(app): State<App>,
    local: LocalOperator,
    Json(request): Json<Setup>,
) -> Result<(StatusCode, axum::Json<SetupDone>), Problem> {
    let networks: Vec<String> = request.networks.iter().map(ToString::to_string).collect();
    let scope = Scope::parse(&request.names, &networks).map_err(|error| Problem::InvalidBody(error.to_string()))?;
    let initial = password::random_password(&mut entropy::system());
    let hash = app.hasher.hash(initial.clone()).await?;
    let label = app.store.public_identity().appliance_id();
    let (authority, parts) = app.trust.mint(scope, &label)?;

    let now = app.clock.now();
    let operator = Account {
        id: AccountId::random(&mut entropy::system()),
        user_name: request.operator.user_name,
        display_name: request.operator.display_name,
        roles: Roles::only(Role::Admin),
        status: AccountStatus::Active,
        voice_off: false,
        by_hand: Permissions::NONE,
        created_at: now,
    };
    let event = local.caller.event("appliance.claim", format!("operator:{}", operator.id), Outcome::Allowed);
    let stored = operator.clone();
    let write = move |write: &Write<'_>| {
        if settings::get(write.sql(), CLAIMED)?.is_some() || accounts::insert(write, &stored, &hash)?.is_err() {
            return Ok(false);
        }
        settings::set(write, CLAIMED, &now.to_string())?;
        trust::save_authority(write, &parts, now)?;
        write.audit(&event, now)?;
        Ok(true)
    };
    if !app.store.system().write(write).await? {
        return Err(Problem::AlreadyClaimed);
    }
    app.trust.install(&app.store, authority).await?;
    let workspace = views::workspace_ref(&app, WorkspaceId::SYSTEM)?;
    let done = SetupDone {
        operator: views::account(&operator, &workspace),
        initial_password: initial.expose().to_owned(),
        root_fingerprint: views::trust(&app).fingerprint,
    };
    Ok((StatusCode::CREATED, axum::Json(done)))
}
