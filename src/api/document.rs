// SPDX-License-Identifier: AGPL-3.0-or-later
//! The API document (OpenAPI 3.1), made from the routes, and the route that serves it.

use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr, Required};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::error::{self, ProblemBody};
use crate::api::etag::{ETag, IfNoneMatch};
use crate::api::services::App;
use crate::core::audit::Outcome;
use crate::core::audit::export::Format;
use crate::core::auth::permission::Permission;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Conclave",
        description = "The API of a Conclave appliance. Errors are problem+json (RFC 9457) with stable codes. How to page, to \
                       repeat a request safely, to change what nobody else changed meanwhile, and how many requests one \
                       may send: docs/api.md."
    ),
    components(schemas(ProblemBody, Permission, Outcome, Format))
)]
struct Document;

/// This file's routes, below `/api/v1`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(serve))
}

/// What the document begins with, before any route.
pub(super) fn begin() -> OpenApi {
    Document::openapi()
}

/// The whole document.
pub fn document() -> OpenApi {
    let mut document = super::table().into_openapi();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    let components = document.components.get_or_insert_default();
    components.security_schemes.insert("bearer".to_owned(), SecurityScheme::Http(bearer).into());
    let api_token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token for a program, from `POST /api/v1/system/tokens`"))
        .build();
    components.security_schemes.insert("api_token".to_owned(), SecurityScheme::Http(api_token).into());
    error::add_problem(components);
    for (path, item) in &mut document.paths.paths {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            error::add_common(operation);
            if path.starts_with(super::OF_A_WORKSPACE) {
                name_the_workspace(operation);
            }
        }
    }
    document
}

/// Routes of a workspace are written down once and nested: below the operators' prefix they have one more parameter.
fn name_the_workspace(operation: &mut Operation) {
    let id = ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
    let workspace = ParameterBuilder::new()
        .name("workspace")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(id.build()))
        .build();
    let parameters = operation.parameters.get_or_insert_default();
    let is_it =
        |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(parameter) if parameter.name == "workspace");
    if !parameters.iter().any(is_it) {
        parameters.push(workspace.into());
    }
}

/// The document as it is served, and as `docs/openapi.json` has it.
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let json = document().to_pretty_json().unwrap_or_default();
        // The registry of formats of the OpenAPI Initiative spells them so.
        format!("{}\n", json.replace("\"format\": \"u-int", "\"format\": \"uint"))
    });
    &TEXT
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "system", params(IfNoneMatch), responses(
    (status = 200, body = Object, content_type = "application/json", headers(("ETag" = String))),
    (status = 304, description = "It is what one has."),
))]
async fn serve(have: IfNoneMatch) -> Response {
    static TAG: LazyLock<ETag> = LazyLock::new(|| ETag::of_bytes(text().as_bytes()));
    have.or(&TAG, || {
        let mut headers = TAG.headers();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
        (headers, text()).into_response()
    })
}
