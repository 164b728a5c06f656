// SPDX-License-Identifier: AGPL-3.0-or-later
//! The REST API, all of its routes on this page.
//!
//! A handler extracts, decides (in `core`), runs one transaction, answers. The same router serves TLS and the admin
//! socket; who asks is decided in [`principal`]. Knows no other service.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::{self, Next};
use axum::response::Response;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

use crate::api::error::Problem;
use crate::api::services::{App, Services};
use crate::platform::entropy;
use crate::values::id::RequestId;

mod accounts;
mod audit;
mod credential;
pub mod error;
mod extract;
mod me;
mod principal;
pub mod services;
mod sign_in;
mod system;
#[cfg(feature = "test-hooks")]
pub mod test_hooks;
pub mod types;
mod views;
mod workspaces;

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "Conclave",
    description = "The API of a Conclave appliance. Errors are problem+json (RFC 9457) with stable codes."
))]
struct Document;

/// Every route of the API.
fn table() -> OpenApiRouter<App> {
    let of_a_workspace = || OpenApiRouter::new().merge(accounts::routes()).merge(audit::routes());
    let of_the_system = OpenApiRouter::new()
        .merge(system::routes())
        .merge(workspaces::routes())
        .nest("/workspaces/{workspace}", of_a_workspace());
    let v1 = OpenApiRouter::new()
        .merge(system::public_routes())
        .merge(sign_in::routes())
        .merge(me::routes())
        .merge(of_a_workspace())
        .nest("/system", of_the_system);
    OpenApiRouter::with_openapi(<Document as utoipa::OpenApi>::openapi())
        .merge(system::health_routes())
        .nest("/api/v1", v1)
}

/// The API document, made from the routes.
pub fn document() -> OpenApi {
    let mut document = table().into_openapi();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    let components = document.components.get_or_insert_default();
    components.security_schemes.insert("bearer".to_owned(), SecurityScheme::Http(bearer).into());
    document
}

/// The API, ready to serve.
pub fn routes(services: &Arc<Services>) -> Router {
    let (router, _) = table().split_for_parts();
    #[cfg(feature = "test-hooks")]
    let router = router.merge(test_hooks::routes());
    router.method_not_allowed_fallback(async || Problem::MethodNotAllowed).with_state(Arc::clone(services))
}

/// What every answer of the appliance gets: a request id, rendered problems, and a panic turned into a 500.
pub fn finish(router: Router) -> Router {
    router.fallback(async || Problem::NotFound).layer(middleware::from_fn(finish_response))
}

async fn finish_response(request: Request, next: Next) -> Response {
    let id = RequestId::random(&mut entropy::system());
    let method = request.method().clone();
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        tracing::debug!(request.id = %id, http.method = %method, problem.code = problem.code(), "request refused");
        if problem == Problem::Internal {
            tracing::error!(request.id = %id, "a request failed; the lines before say why");
        }
        response = problem.render(id);
    }
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}
