// SPDX-License-Identifier: AGPL-3.0-or-later
//! How many requests one caller may send, and saying so (draft-ietf-httpapi-ratelimit-headers).
//!
//! Counted before anything is looked up, by session or by address: what is said here tells nobody what is stored.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api::asker::Asker;
use crate::api::error::Problem;
use crate::api::services::App;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// Counts a request to the API, refuses one too many, and says in each answer what is left. Root on the host is not
/// counted.
pub async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let asker = match Asker::signed(&parts, &app) {
        Ok(asker) => asker,
        Err(problem) => return problem.into_response(),
    };
    let request = Request::from_parts(parts, body);
    if asker == Asker::LocalOperator {
        return next.run(request).await;
    }
    let (quota, left) = {
        let mut quotas = app.quotas();
        (quotas.quota(), quotas.take(&asker, app.clock.moment()))
    };
    let mut response = match left.refused_for {
        Some(wait) => Problem::RateLimited(wait).into_response(),
        None => next.run(request).await,
    };
    let said = [
        (POLICY, format!("\"requests\";q={};w={}", quota.burst, seconds(quota.window()))),
        (LEFT, format!("\"requests\";r={};t={}", left.requests, seconds(left.full_in))),
    ];
    for (name, value) in said {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Whole seconds, rounded up.
const fn seconds(duration: Duration) -> u128 {
    duration.as_millis().div_ceil(1_000)
}
