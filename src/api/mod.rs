// SPDX-License-Identifier: AGPL-3.0-or-later
//! The REST API, all of its routes on this page.
//!
//! A handler extracts, decides (in `core`), runs one transaction, answers. The same router serves TLS and the admin
//! socket; who asks is decided in `principal`. Knows no other service.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, Version, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use tracing::Instrument;
use utoipa_axum::router::OpenApiRouter;

use crate::api::error::Problem;
use crate::api::services::{App, Services};
use crate::platform::entropy;
use crate::values::id::RequestId;

mod accounts;
pub mod addresses;
mod agreement;
pub mod appliance;
mod approvals;
mod asker;
mod audit;
pub mod claim;
mod credential;
pub mod doctor;
pub mod document;
mod download;
mod erasure;
pub mod error;
mod etag;
mod export;
mod extract;
pub mod health;
mod idempotency;
pub mod life;
mod me;
mod meetings;
mod metrics;
mod page;
mod permissions;
mod policy;
mod principal;
mod quota;
mod recovery;
mod rooms;
pub mod services;
mod session;
mod setup;
mod sign_in;
mod system;
#[cfg(feature = "test-hooks")]
pub mod test_hooks;
mod throttles;
mod tickets;
mod tokens;
pub mod types;
mod views;
mod workspaces;

/// What the paths of a workspace's routes begin with for operators.
const OF_A_WORKSPACE: &str = "/api/v1/system/workspaces/{workspace}/";

/// Every route of the API.
fn table() -> OpenApiRouter<App> {
    let of_a_workspace = || {
        let people = OpenApiRouter::new().merge(accounts::routes()).merge(audit::routes());
        let people = people
            .merge(permissions::routes())
            .merge(throttles::routes())
            .merge(approvals::routes())
            .merge(erasure::routes());
        let rules = OpenApiRouter::new().merge(policy::routes()).merge(agreement::routes());
        people.merge(rules).merge(rooms::routes()).merge(meetings::routes())
    };
    let of_the_system = OpenApiRouter::new()
        .merge(system::routes())
        .merge(doctor::routes())
        .merge(tokens::routes())
        .merge(setup::host_routes())
        .merge(addresses::host_routes())
        .merge(recovery::system_routes())
        .merge(workspaces::routes())
        .merge(life::routes())
        .merge(export::routes())
        .merge(appliance::routes())
        .merge(agreement::system_routes())
        .nest("/workspaces/{workspace}", of_a_workspace());
    let v1 = OpenApiRouter::new()
        .merge(system::public_routes())
        .merge(appliance::public_routes())
        .merge(document::routes())
        .merge(setup::routes())
        .merge(recovery::routes())
        .merge(sign_in::routes())
        .merge(session::routes())
        .merge(me::routes())
        .merge(tickets::routes())
        .merge(of_a_workspace())
        .nest("/system", of_the_system);
    let at_root = system::health_routes().merge(metrics::routes());
    OpenApiRouter::with_openapi(document::begin()).merge(at_root).nest("/api/v1", v1)
}

/// The API, ready to serve.
pub fn routes(services: &Arc<Services>) -> Router {
    let (router, _) = table().split_for_parts();
    #[cfg(feature = "test-hooks")]
    let router = router.merge(test_hooks::routes());
    let counted = router.layer(middleware::from_fn_with_state(Arc::clone(services), quota::count));
    counted.layer(Extension(Arc::clone(services))).with_state(Arc::clone(services))
}

/// What every answer of the appliance gets: a request id, and rendered problems.
pub fn finish(router: Router, services: &Arc<Services>) -> Router {
    router
        .fallback(async || Problem::NotFound)
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .layer(middleware::from_fn_with_state(Arc::clone(services), finish_response))
}

/// Refuses what two readers could read as two things: a proxy in front of us may be the other one.
fn check_framing(request: &Request) -> Result<(), Problem> {
    let count = |name| request.headers().get_all(name).into_iter().count();
    let hosts = count(header::HOST);
    // RFC 9112 §3.2. HTTP/1.0 had none, HTTP/2 has `:authority`.
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Err(Problem::MalformedRequest("The request does not say exactly once which host it is for."));
    }
    // RFC 9112 §6.1: nothing but chunks is undone here, so nothing else may be there.
    let coding = request.headers().get(header::TRANSFER_ENCODING);
    let plain = coding.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if !plain || count(header::TRANSFER_ENCODING) > 1 || (coding.is_some() && count(header::CONTENT_LENGTH) > 0) {
        return Err(Problem::MalformedRequest(
            "The length of the body is said in more than one way, or in one unknown here.",
        ));
    }
    Ok(())
}

async fn finish_response(State(app): State<App>, request: Request, next: Next) -> Response {
    let began = app.clock.instant();
    let id = RequestId::random(&mut entropy::system());
    let method = known(request.method());
    let well_formed = check_framing(&request);
    let mut response = match well_formed {
        // What is logged meanwhile has the id of its answer.
        Ok(()) => next.run(request).instrument(tracing::info_span!("request", request.id = %id)).await,
        Err(malformed) => ([(header::CONNECTION, "close")], malformed).into_response(),
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        tracing::debug!(request.id = %id, http.method = method, problem.code = problem.code(), "request refused");
        if problem == Problem::Internal {
            tracing::error!(request.id = %id, "a request failed; the lines before say why");
        }
        // What layers said besides, such as how many requests are left, holds for the refusal too.
        let besides = std::mem::take(response.headers_mut());
        response = problem.render(id);
        response.headers_mut().extend(besides);
    }
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert("x-request-id", value);
    }
    app.metrics.request(method, response.status().as_u16(), app.clock.instant().duration_since(began));
    response
}

/// A method by its name, so that nobody writes words of their own into the log.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "another",
    }
}
