// SPDX-License-Identifier: AGPL-3.0-or-later
//! Tokens of programs that watch the appliance. Each opens one thing (`GET /metrics`), and nothing of a person.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::error::{BodyRefusals, Problem, Refusals, Refused};
use crate::api::extract::{Json, Path};
use crate::api::principal::Operator;
use crate::api::services::App;
use crate::api::types::doctor::{ApiTokenList, ApiTokenMade, ApiTokenView, CreateApiToken};
use crate::core::audit::Outcome;
use crate::core::auth::opaque::OpaqueToken;
use crate::core::workspace::DAY;
use crate::platform::entropy;
use crate::platform::store::api_tokens::{self, ApiToken, Scope};
use crate::platform::store::workspace::Write;
use crate::values::id::ApiTokenId;

/// How many there may be.
const TOKENS_MAX: usize = 100;
/// How long one may be made for.
const DAYS_MAX: u32 = 3_650;

/// This file's routes, below `/api/v1/system`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(remove))
}

fn view(token: ApiToken) -> ApiTokenView {
    let ApiToken { id, name, scope, created_at, expires_at } = token;
    ApiTokenView { id, name, scope: scope.to_string(), created_at, expires_at }
}

/// List the tokens of programs, without what they are.
#[utoipa::path(get, path = "/tokens", tag = "system", responses(
    (status = 200, body = ApiTokenList),
    Refused<401>, Refused<403>,
), security(("bearer" = [])))]
async fn list(State(app): State<App>, _operator: Operator) -> Result<axum::Json<ApiTokenList>, Problem> {
    let tokens = app.store.system().read(api_tokens::list).await?;
    Ok(axum::Json(ApiTokenList { tokens: tokens.into_iter().map(view).collect() }))
}

/// Make a token that reads the metrics. It is told once.
#[utoipa::path(post, path = "/tokens", tag = "system", request_body = CreateApiToken, responses(
    (status = 201, body = ApiTokenMade),
    Refused<401>, Refused<403>, Refused<409>, BodyRefusals,
), security(("bearer" = [])))]
async fn create(
    State(app): State<App>,
    operator: Operator,
    Json(request): Json<CreateApiToken>,
) -> Result<Response, Problem> {
    if request.name.is_empty() {
        return Err(Problem::InvalidBody("`name`: say whose token it is".to_owned()));
    }
    if request.days.is_some_and(|days| days == 0 || days > DAYS_MAX) {
        return Err(Problem::InvalidBody(format!("`days` is 1 to {DAYS_MAX}")));
    }
    let now = app.clock.now();
    let secret = OpaqueToken::random(&mut entropy::system());
    let token = ApiToken {
        id: ApiTokenId::random(&mut entropy::system()),
        name: request.name,
        scope: Scope::Metrics,
        created_at: now,
        expires_at: request.days.map(|days| now + DAY * days),
    };
    let (hash, stored) = (secret.hash(), token.clone());
    let event = operator.caller.event("token.create", format!("token:{}", token.id), Outcome::Allowed);
    let write = move |write: &Write<'_>| {
        if api_tokens::list(write.sql())?.len() >= TOKENS_MAX {
            return Ok(Err(Problem::Conflict(format!("There are {TOKENS_MAX} tokens, as many as there may be."))));
        }
        api_tokens::insert(write, &stored, &hash)?;
        write.audit(&event, now)?;
        Ok(Ok(()))
    };
    operator.write(&app, write).await?;
    let made = ApiTokenMade { token: secret.expose(), view: view(token) };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], axum::Json(made)).into_response())
}

#[derive(Deserialize)]
struct TokenPath {
    token: ApiTokenId,
}

/// Remove a token: it opens nothing any more.
#[utoipa::path(delete, path = "/tokens/{token}", tag = "system", params(("token" = String, Path, format = Uuid)), responses(
    (status = 204),
    Refusals,
), security(("bearer" = [])))]
async fn remove(
    State(app): State<App>,
    operator: Operator,
    Path(TokenPath { token }): Path<TokenPath>,
) -> Result<StatusCode, Problem> {
    let now = app.clock.now();
    let event = operator.caller.event("token.remove", format!("token:{token}"), Outcome::Allowed);
    let write = move |write: &Write<'_>| {
        if !api_tokens::remove(write, token)? {
            return Ok(Err(Problem::NotFound));
        }
        write.audit(&event, now)?;
        Ok(Ok(()))
    };
    operator.write(&app, write).await?;
    Ok(StatusCode::NO_CONTENT)
}
