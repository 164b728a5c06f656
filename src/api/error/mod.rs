// SPDX-License-Identifier: AGPL-3.0-or-later
//! Refusals: problem+json (RFC 9457) with stable codes. The only place of failure status codes.
//!
//! `texts` says what a person reads, `causes` makes problems of what went wrong inside, `refusals` and `catalogue`
//! document them. What a person reads (`title`, `detail`, `way_out`) and what the log says are two things: a [`Problem`]
//! never shows an internal error, and the log line is written once, where the internal error becomes a problem.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use strum::{EnumDiscriminants, VariantArray};
use utoipa::ToSchema;

use crate::values::id::RequestId;

pub mod catalogue;
mod causes;
mod refusals;
mod texts;

pub use refusals::{BodyRefusals, Refusals, Refused, add_common, add_problem};
use texts::Text;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, EnumDiscriminants)]
#[strum_discriminants(name(ProblemKind), derive(VariantArray), doc = "A [`Problem`] without its particulars.")]
pub enum Problem {
    /// A credential was not proven. One answer for every reason.
    SignInRefused,
    /// Proven, but the account is switched off.
    AccountDisabled,
    /// Too many wrong tries for one name.
    SignInThrottled(Duration),
    /// More work than the appliance does at once.
    Busy,
    /// No access token, or none that holds. One answer for every reason.
    Unauthenticated,
    /// The refresh token does not hold.
    SessionEnded,
    /// Signed in, but without the right.
    Forbidden(&'static str),
    /// There is no such thing, or not for this caller.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// HTTP that can be read in two ways.
    MalformedRequest(&'static str),
    /// The body is not what the route takes.
    InvalidBody(String),
    /// A query or path parameter is not what the route takes.
    InvalidParameter(String),
    /// The body is not declared as JSON.
    UnsupportedMediaType,
    /// The body has more bytes than allowed.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTooSlow,
    /// The sealing key or challenge is not valid any more.
    ChallengeStale(String),
    /// The box does not open, or holds something else.
    SealedUnreadable,
    /// The origin in the box is not one of this appliance.
    OriginUnknown,
    /// A secret came in clear where it has to be sealed.
    MustBeSealed,
    /// A cookie came with a request of another site.
    CrossSite,
    /// The user name exists.
    UserNameTaken,
    /// A user name exists that looks the same.
    UserNameLooksAlike,
    /// The workspace name exists.
    WorkspaceNameTaken,
    /// The room name exists.
    RoomNameTaken,
    /// The workspace has as many rooms as it may.
    TooManyRooms,
    /// The session was begun with a password in clear, so it shares no secret to hand out meeting keys under.
    SealedSessionRequired,
    /// The password is not good enough.
    PasswordRefused(String),
    /// Without this account nobody could administer the workspace.
    LastAdmin,
    /// The workspace lets no guests in.
    GuestsOff,
    /// The trial of the workspace is over.
    TrialOver,
    /// An operator suspended the workspace.
    WorkspaceSuspended,
    /// The workspace is closed.
    WorkspaceClosed,
    /// Nobody accepted the data processing agreement for the workspace.
    AgreementMissing,
    /// The agreement is another one than was read.
    AgreementChanged,
    /// The workspace has as many active accounts as it may.
    SeatsTaken,
    /// Nobody approves what they asked for themselves.
    OwnApproval,
    /// The second person has the account or its password only since it was asked for.
    ApproverTooNew,
    /// It takes the approval of a second person.
    ApprovalMissing,
    /// The workspace is not open for this.
    WorkspaceUnavailable(&'static str),
    /// The appliance was claimed before.
    AlreadyClaimed,
    /// A setup code is not the one that holds; so many tries are left.
    SetupCodeWrong(u8),
    /// No setup code holds, whatever was typed.
    SetupCodeVoid,
    /// The root that was confirmed is not the one that is kept.
    RootNotConfirmed,
    /// A one-time link was used, replaced, is too old, or never was. One answer for every reason.
    LinkRefused,
    /// The appliance has to be claimed first.
    Unclaimed,
    /// The state of the thing does not fit the request.
    Conflict(String),
    /// The current password of a password change is wrong.
    CurrentPasswordWrong,
    /// What is to be changed is not what the caller read.
    PreconditionFailed,
    /// The idempotency key is none.
    IdempotencyKeyInvalid,
    /// The idempotency key came with another body before.
    IdempotencyKeyReused,
    /// The first request with this idempotency key is not answered yet.
    IdempotencyInProgress,
    /// More requests than one caller may send.
    RateLimited(Duration),
    /// The appliance is shutting down.
    Stopping,
    /// The appliance failed; the log knows why.
    Internal,
}

/// The JSON of a problem.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// A URN with the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// Stable code, for programs: one of those in `docs/problems.md`.
    #[schema(schema_with = catalogue::codes)]
    pub code: String,
    /// What happened, in a few words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened, in this case.
    pub detail: String,
    /// What to do next.
    pub way_out: String,
    /// The id of this request, as in the log.
    #[schema(value_type = String, format = Uuid)]
    pub request_id: RequestId,
}

/// Characters of a detail that repeats what was sent, at most.
const QUOTED_MAX: usize = 500;

impl Problem {
    /// A body that is refused in words which may quote it.
    pub fn invalid_body(detail: &str) -> Self {
        Self::InvalidBody(detail.chars().take(QUOTED_MAX).collect())
    }

    /// A parameter that is refused in words which may quote it.
    pub fn invalid_parameter(detail: &str) -> Self {
        Self::InvalidParameter(detail.chars().take(QUOTED_MAX).collect())
    }

    /// The code that programs look at.
    pub fn code(&self) -> &'static str {
        self.text().code
    }

    /// Whether somebody who proved who it is was not let in all the same.
    pub fn is_denial(&self) -> bool {
        self.text().status == StatusCode::FORBIDDEN
    }

    fn text(&self) -> Text {
        ProblemKind::from(self).text()
    }

    /// What happened, in this case.
    pub fn detail(&self) -> Cow<'_, str> {
        match self {
            Self::SignInThrottled(wait) => {
                format!("After wrong tries this name has to wait {} s.", seconds(*wait)).into()
            }
            Self::Forbidden(right) => format!("This needs {right}.").into(),
            Self::WorkspaceUnavailable(state) => match *state {
                "disk-full" => "The workspace is in state disk-full: nothing was changed, and it goes on by itself when there is room on the disk of the appliance.".into(),
                "disk-read-only" => "The workspace is in state disk-read-only: nothing was changed, and it goes on when the disk of the appliance can be written again.".into(),
                state => format!("The workspace is in state {state}.").into(),
            },
            Self::SetupCodeWrong(0) => "This is not the setup code, and it was the last try.".into(),
            Self::SetupCodeWrong(1) => "This is not the setup code. One try is left.".into(),
            Self::SetupCodeWrong(left) => format!("This is not the setup code. {left} tries are left.").into(),
            Self::MalformedRequest(detail) => (*detail).into(),
            Self::InvalidBody(detail)
            | Self::InvalidParameter(detail)
            | Self::ChallengeStale(detail)
            | Self::PasswordRefused(detail)
            | Self::Conflict(detail) => detail.as_str().into(),
            _ => self.text().detail.into(),
        }
    }

    /// How long the caller should wait, when that is known.
    const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::SignInThrottled(wait) | Self::RateLimited(wait) => Some(*wait),
            Self::IdempotencyInProgress => Some(Duration::from_secs(1)),
            Self::Busy => Some(Duration::from_secs(2)),
            Self::Stopping => Some(Duration::from_secs(5)),
            _ => None,
        }
    }

    /// The whole answer. Called by the outermost layer, which knows the request's id.
    pub fn render(&self, request_id: RequestId) -> Response {
        let Text { status, code, title, way_out, .. } = self.text();
        let body = ProblemBody {
            kind: format!("urn:conclave:problem:{code}"),
            code: code.to_owned(),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail().into_owned(),
            way_out: way_out.to_owned(),
            request_id,
        };
        let json = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, json).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds(wait)));
        }
        if *self == Self::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Whole seconds, rounded up: `Retry-After` must not be too short.
fn seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX)
}

impl IntoResponse for Problem {
    /// A placeholder that carries the problem to the layer which renders it.
    fn into_response(self) -> Response {
        let mut response = self.text().status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
