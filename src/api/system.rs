// SPDX-License-Identifier: AGPL-3.0-or-later
//! The appliance itself: health, trust, status.

use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::claim;
use crate::api::error::{Problem, Refused};
use crate::api::extract::Query;
use crate::api::principal::{self, Operator};
use crate::api::services::App;
use crate::api::types::doctor::Check;
use crate::api::types::{Base64, Status, TrustView};
use crate::api::{doctor, views};
use crate::platform::https::Peer;
use crate::platform::store::claim as stored;

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
    OpenApiRouter::new().routes(routes!(status))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct HowMuch {
    /// Every check by name, and how it is; on the host also what was seen, and the way out.
    #[param(value_type = Option<String>, allow_reserved)]
    verbose: Option<String>,
}

/// Whether the appliance serves. With `?verbose`, what it sees of itself: names and states; `conclave doctor` says more.
#[utoipa::path(get, path = "/healthz", tag = "system", params(HowMuch), responses(
    (status = 200, body = String, content_type = "text/plain"),
))]
async fn health(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Query(how_much): Query<HowMuch>,
) -> Result<String, Problem> {
    if app.drain.is_stopping() {
        return Err(Problem::Stopping);
    }
    // A read through the whole of the store: file, key, page authentication.
    app.store.system().read(stored::is_claimed).await?;
    if how_much.verbose.is_none() {
        return Ok("ok\n".to_owned());
    }
    let is_local = principal::is_local_operator(peer, &app);
    let checks = if is_local { doctor::at_once(&app).await? } else { doctor::workers(&app) };
    let goes_on = !app.health.checks().iter().any(|seen| seen.is_fatal);
    let line = |check: Check| {
        let Check { name, state, says, way_out } = check;
        let more = if is_local {
            format!(": {says}{}", way_out.map(|out| format!(" → {out}")).unwrap_or_default())
        } else {
            String::new()
        };
        format!("{} {name}{more}\n", state.as_str())
    };
    let lines: String = checks.into_iter().map(line).collect();
    Ok(format!("{} serving\n{lines}", if goes_on { "ok" } else { "fail" }))
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
        claim: if claim::is_claimed(&app).await? { "claimed" } else { "unclaimed" }.to_owned(),
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
