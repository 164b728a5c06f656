// SPDX-License-Identifier: AGPL-3.0-or-later
//! From bytes to values: JSON bodies, query and path parameters, each refused by name.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use crate::api::error::Problem;
use crate::api::types::object::Object;
use crate::platform::https::BodyError;

/// A JSON body.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::UnsupportedMediaType);
        }
        let bytes = body(request).await?;
        // serde_json refuses nesting deeper than 128, duplicate and unknown fields, and text that is not UTF-8.
        let read = serde_json::from_slice::<Object<T>>(&bytes);
        read.map(|Object(body)| Self(body)).map_err(|error| Problem::invalid_body(&error.to_string()))
    }
}

/// All of a body.
pub async fn body(request: Request) -> Result<Bytes, Problem> {
    Bytes::from_request(request, &()).await.map_err(|rejection| match BodyError::find_in(&rejection) {
        Some(BodyError::TooLarge { .. }) => Problem::BodyTooLarge,
        Some(BodyError::TooSlow { .. }) => Problem::BodyTooSlow,
        _ => Problem::InvalidBody("the body ended before it was complete".to_owned()),
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// Query parameters.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Self(query.0)).map_err(|error| Problem::invalid_parameter(&error.body_text()))
    }
}

/// Path parameters. One that is no id names nothing.
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|_| Problem::NotFound)
    }
}
