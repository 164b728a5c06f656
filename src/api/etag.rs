// SPDX-License-Identifier: AGPL-3.0-or-later
//! Entity tags (RFC 9110 §8.8.3 and §13): whether somebody saw what they are about to change, or have it already.
//!
//! A tag is a hash of what is shown, so nothing has to be counted or stored. `If-Match` is compared inside the write
//! transaction: between the look and the change nobody comes.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use crate::api::error::Problem;

/// Bytes of the hash in a tag: nobody looks for collisions among what they may read anyway.
const HASH_BYTES: usize = 16;

/// A strong entity tag, with its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// Of a value, as it is shown.
    pub fn of(shown: &impl Serialize) -> Self {
        Self::of_bytes(&serde_json::to_vec(shown).unwrap_or_default())
    }

    /// Of bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let hash = Sha256::digest(bytes);
        Self(format!("\"{}\"", hex::encode(hash.get(..HASH_BYTES).unwrap_or_default())))
    }

    /// A good answer with this tag. Whoever keeps it asks before using it again.
    pub fn with(&self, shown: &impl Serialize) -> Response {
        (self.headers(), axum::Json(shown)).into_response()
    }

    /// The headers of an answer with this tag.
    pub fn headers(&self) -> HeaderMap {
        let tag = HeaderValue::from_str(&self.0).ok().map(|tag| (header::ETAG, tag));
        let fresh = (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        tag.into_iter().chain([fresh]).collect()
    }
}

/// A list of tags in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    /// Whatever there is.
    Any,
    /// One of these, as they were sent.
    OneOf(Vec<String>),
}

fn read(parts: &Parts, name: &HeaderName) -> Option<Tags> {
    let mut tags = Vec::new();
    for value in parts.headers.get_all(name) {
        // Bytes that are no text are no tag of ours either.
        let value = value.to_str().unwrap_or_default();
        tags.extend(value.split(',').map(|tag| tag.trim().to_owned()));
    }
    match tags.as_slice() {
        [] => None,
        [any] if any == "*" => Some(Tags::Any),
        _ => Some(Tags::OneOf(tags)),
    }
}

/// `If-Match`: change it only when it is still what I read.
#[derive(Debug, Clone)]
pub struct IfMatch(Option<Tags>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(read(parts, &header::IF_MATCH)))
    }
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter("If-Match", "The ETag of what one read: it is changed only when it is still that.")]
    }
}

impl IfMatch {
    /// Refuses when it is something else now. A weak tag never matches (RFC 9110 §13.1.1).
    pub fn check(&self, now: impl FnOnce() -> ETag) -> Result<(), Problem> {
        match &self.0 {
            None | Some(Tags::Any) => Ok(()),
            Some(Tags::OneOf(tags)) if tags.contains(&now().0) => Ok(()),
            Some(Tags::OneOf(_)) => Err(Problem::PreconditionFailed),
        }
    }
}

/// `If-None-Match`: send it only when it is not what I have.
#[derive(Debug, Clone)]
pub struct IfNoneMatch(Option<Tags>);

impl<S: Send + Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(read(parts, &header::IF_NONE_MATCH)))
    }
}

impl IntoParams for IfNoneMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter("If-None-Match", "The ETag of what one has: it is sent only when it is not that.")]
    }
}

impl IfNoneMatch {
    /// Whether the caller has this already. A weak tag is as good here (RFC 9110 §13.1.2).
    fn has(&self, tag: &ETag) -> bool {
        match &self.0 {
            None => false,
            Some(Tags::Any) => true,
            Some(Tags::OneOf(tags)) => tags.iter().any(|sent| sent.strip_prefix("W/").unwrap_or(sent) == tag.0),
        }
    }

    /// 304 when the caller has it, `answer` when not.
    pub fn or(&self, tag: &ETag, answer: impl FnOnce() -> Response) -> Response {
        if self.has(tag) { (StatusCode::NOT_MODIFIED, tag.headers()).into_response() } else { answer() }
    }
}

fn parameter(name: &str, description: &str) -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header);
    parameter.description(Some(description)).schema(Some(text.build())).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(name: &HeaderName, values: &[&'static str]) -> Option<Tags> {
        let mut request = axum::http::Request::new(());
        for value in values {
            request.headers_mut().append(name, HeaderValue::from_static(value));
        }
        read(&request.into_parts().0, name)
    }

    #[test]
    fn tags_match_as_the_rfc_says() {
        let tag = ETag("\"a\"".to_owned());
        let check = |values: &[&'static str], may_change: bool, has: bool| {
            let if_match = IfMatch(sent(&header::IF_MATCH, values));
            assert_eq!(if_match.check(|| tag.clone()).is_ok(), may_change, "{values:?}");
            assert_eq!(IfNoneMatch(sent(&header::IF_NONE_MATCH, values)).has(&tag), has, "{values:?}");
        };
        check(&[], true, false);
        check(&["*"], true, true);
        check(&["\"a\""], true, true);
        check(&["\"b\", \"a\""], true, true);
        check(&["\"b\"", "\"a\""], true, true);
        check(&["\"b\""], false, false);
        check(&["W/\"a\""], false, true);
        check(&["a"], false, false);
        check(&[""], false, false);
    }

    #[test]
    fn a_tag_follows_what_is_shown() {
        assert_eq!(ETag::of(&("a", 1)), ETag::of(&("a", 1)));
        assert_ne!(ETag::of(&("a", 1)), ETag::of(&("a", 2)));
    }
}
