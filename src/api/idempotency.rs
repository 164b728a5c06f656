// SPDX-License-Identifier: AGPL-3.0-or-later
//! `Idempotency-Key` on routes that create something (draft-ietf-httpapi-idempotency-key-header): whoever does not know
//! whether a request arrived sends it again, and gets the answer of the first.
//!
//! A route opts in with [`on`]. Answers may hold a password that is told once, so they are kept in memory alone, for the
//! session that asked alone and while it has the rights it had (docs/decisions/0013-idempotency-in-memory.md). The
//! request goes on when its sender is gone: that is when it is sent again.

use axum::Extension;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, OriginalUri, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use utoipa::IntoResponses;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa_axum::router::UtoipaMethodRouter;
use zeroize::Zeroizing;

use crate::api::error::{Problem, Refused};
use crate::api::extract;
use crate::api::principal::{self, Member};
use crate::api::services::App;
use crate::core::auth::permission::Permission;
use crate::core::idempotency::{self, Begun, Bounds, Fingerprint, Held};
use crate::values::id::AccountId;

/// How much is kept: answers of creates have about 500 bytes, and as much again around them.
pub const KEPT: Bounds = Bounds { answers: 16_384, answers_of_one: 256, bytes: 16 * 1_024 * 1_024 };
/// Bytes that a header of an answer takes besides its text.
const HEADER_BYTES: usize = 128;
/// Bytes of an answer at most; those of creates have far less.
const ANSWER_MAX: usize = 256 * 1_024;
/// Characters of a key at most.
const KEY_MAX: usize = 255;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Whose answers are bounded together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// Root on the host.
    LocalOperator,
    /// An account, with all of its sessions.
    Account(AccountId),
}

/// The answers that are kept.
pub type Answers = idempotency::Answers<Owner, Kept>;
type Key = idempotency::Key<Owner>;

/// An answer to give again.
#[derive(Debug)]
pub enum Kept {
    /// A refusal; it is rendered with the id of each request.
    Refused(Problem),
    /// Any other, wiped when it is forgotten: it may hold a password.
    Given(StatusCode, HeaderMap, Zeroizing<Vec<u8>>),
}

impl Held for Kept {
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Refused(problem) => problem.detail().len(),
            Self::Given(_, headers, body) => {
                let texts = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
                texts.map(|text| HEADER_BYTES + text).sum::<usize>() + body.capacity()
            }
        }
    }
}

impl Kept {
    fn again(&self) -> Response {
        match self {
            Self::Refused(problem) => problem.clone().into_response(),
            Self::Given(status, headers, body) => (*status, headers.clone(), Body::from(body.to_vec())).into_response(),
        }
    }
}

/// Has the POST of a resource repeat its answers: `.routes(idempotency::on(routes!(list, create)))`.
pub fn on((schemas, mut paths, router): UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    paths.paths.values_mut().filter_map(|item| item.post.as_mut()).for_each(describe);
    (schemas, paths, router.route_layer(middleware::from_fn(repeat)))
}

fn describe(create: &mut Operation) {
    let visible = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(KEY_MAX))
        .pattern(Some("^[!-~]+$"));
    let key = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .description(Some("The same request with the same key is done once, and answered alike, for 24 hours."))
        .schema(Some(visible.build()));
    create.parameters.get_or_insert_default().push(key.build().into());
    create.responses.responses.extend(Refused::<409>::responses());
    create.responses.responses.extend(Refused::<422>::responses());
}

async fn repeat(
    Extension(app): Extension<App>,
    OriginalUri(uri): OriginalUri,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if request.method() != axum::http::Method::POST || !request.headers().contains_key(KEY) {
        return Ok(next.run(request).await);
    }
    let key = key(request.headers())?;
    let (mut parts, body) = request.into_parts();
    // Who proves nothing is refused by the handler.
    let Some((owner, who)) = proven(&mut parts, &app).await else {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    };
    let body = extract::body(Request::from_parts(parts.clone(), body)).await?;
    let said = fingerprint(&parts, &body);
    // How the appliance was called is no part of it: what is done depends on the path alone.
    let key = Key { owner, request: hash(&[who.as_bytes(), uri.path().as_bytes(), key.as_bytes()]) };
    let begun = app.answers().begin(&key, said, app.clock.now());
    match begun {
        Begun::Again(kept) => Ok(([(REPLAYED, HeaderValue::from_static("true"))], kept.again()).into_response()),
        Begun::Reused => Err(Problem::IdempotencyKeyReused),
        Begun::InProgress => Err(Problem::IdempotencyInProgress),
        Begun::Run => {
            let running = Running { app, key: Some(key) };
            let request = Request::from_parts(parts, Body::from(body));
            let whole = async move { running.finish(next.run(request).await).await };
            tokio::spawn(whole).await.map_err(|_| Problem::Internal)?
        }
    }
}

/// The one key of a request.
fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let mut values = headers.get_all(KEY).into_iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Problem::IdempotencyKeyInvalid) };
    let visible = |key: &&str| (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    value.to_str().ok().filter(visible).map(str::to_owned).ok_or(Problem::IdempotencyKeyInvalid)
}

/// Who is it for certain: root on the host, or a session that holds now, with what it may do now. Whoever may do less
/// or more than before asks anew: what they were told then may be no more theirs to know.
async fn proven(parts: &mut Parts, app: &App) -> Option<(Owner, String)> {
    if let Ok(Member { account, session, .. }) = Member::from_request_parts(parts, app).await {
        let by_hand: Vec<_> = account.by_hand.iter().map(Permission::as_str).collect();
        let who = format!("{} {} {}", session.id, account.role().as_str(), by_hand.join(" "));
        return Some((Owner::Account(account.id), who));
    }
    let peer = principal::peer(parts).ok()?;
    principal::is_local_operator(peer, app).then(|| (Owner::LocalOperator, String::new()))
}

fn fingerprint(parts: &Parts, body: &Bytes) -> Fingerprint {
    let kind = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    hash(&[kind, body])
}

/// A hash of parts, each hashed by itself so that none runs into the next.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Sha256::new(), |all, part| all.chain_update(Sha256::digest(part))).finalize().into()
}

/// The first request with its key. It is forgotten when it comes to no end.
struct Running {
    app: App,
    key: Option<Key>,
}

impl Running {
    async fn finish(mut self, response: Response) -> Result<Response, Problem> {
        let kept = match response.extensions().get::<Problem>() {
            Some(problem) if is_final(response.status()) => Kept::Refused(problem.clone()),
            Some(_) => return Ok(response),
            None => {
                let (head, body) = response.into_parts();
                let body = to_bytes(body, ANSWER_MAX).await.map_err(|_| Problem::Internal)?;
                let kept = Kept::Given(head.status, head.headers, Zeroizing::new(body.to_vec()));
                if !is_final(head.status) {
                    return Ok(kept.again());
                }
                kept
            }
        };
        let answer = kept.again();
        if let Some(key) = self.key.take() {
            self.app.answers().finish(&key, kept, self.app.clock.now());
        }
        Ok(answer)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.app.answers().abandon(&key);
        }
    }
}

/// Whether the same request would be answered so again: done, or refused for what it says. Who may do it, what there
/// is already, how much is to be done and what failed is another matter next time.
fn is_final(status: StatusCode) -> bool {
    status.is_success() || matches!(status.as_u16(), 400 | 413 | 415 | 422)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_refusal_quotes_and_what_an_answer_holds_is_counted() {
        let refused = Kept::Refused(Problem::InvalidBody("x".repeat(400)));
        assert_eq!(refused.heap_bytes(), 400);
        let headers = HeaderMap::from_iter([(header::ETAG, HeaderValue::from_static("tag"))]);
        let given = Kept::Given(StatusCode::CREATED, headers, Zeroizing::new(vec![0; 1_000]));
        assert_eq!(given.heap_bytes(), 1_000 + "etag".len() + "tag".len() + HEADER_BYTES);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
    }

    #[test]
    fn a_key_is_one_string_of_visible_characters() {
        let check = |values: &[&[u8]], good: bool| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(KEY, HeaderValue::from_bytes(value).unwrap());
            }
            assert_eq!(key(&headers).is_ok(), good, "{values:?}");
        };
        check(&[b"0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11"], true);
        check(&[b"\"quoted\""], true);
        check(&[&[b'a'; 255]], true);
        check(&[&[b'a'; 256]], false);
        check(&[b""], false);
        check(&[b"two words"], false);
        check(&["ä".as_bytes()], false);
        check(&[b"a", b"b"], false);
    }
}
