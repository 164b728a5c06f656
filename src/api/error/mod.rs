// SPDX-License-Identifier: AGPL-3.0-or-later
//! Refusals: problem+json (RFC 9457) with stable codes. The only place of failure status codes.
//!
//! What a person reads (`title`, `detail`, `way_out`) and what the log says are two things: a [`Problem`] never shows
//! an internal error, and the log line is written once, where the internal error becomes a problem.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::values::id::RequestId;

mod causes;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The password is not good enough.
    PasswordRefused(String),
    /// Without this account nobody could administer the workspace.
    LastAdmin,
    /// The workspace is not open for this.
    WorkspaceUnavailable(&'static str),
    /// The appliance was claimed before.
    AlreadyClaimed,
    /// The appliance has to be claimed first.
    Unclaimed,
    /// The state of the thing does not fit the request.
    Conflict(String),
    /// The current password of a password change is wrong.
    CurrentPasswordWrong,
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
    /// Stable code, for programs.
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

struct Text {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    way_out: &'static str,
}

impl Problem {
    fn text(&self) -> Text {
        use StatusCode as S;
        let text = |status, code, title, detail: &str, way_out| Text {
            status,
            code,
            title,
            detail: detail.to_owned(),
            way_out,
        };
        match self {
            Self::SignInRefused => text(
                S::UNAUTHORIZED,
                "sign-in-refused",
                "Sign-in refused",
                "The workspace, the user name or the password is wrong, or this workspace does not take credentials that are not sealed.",
                "Check all three and try again. An admin of the workspace can set a new password.",
            ),
            Self::AccountDisabled => text(
                S::FORBIDDEN,
                "account-disabled",
                "Account switched off",
                "The credential is right, and an admin has switched this account off.",
                "Ask an admin of the workspace to switch it on again.",
            ),
            Self::SignInThrottled(wait) => text(
                S::TOO_MANY_REQUESTS,
                "sign-in-throttled",
                "Too many wrong tries",
                &format!("After wrong tries this name has to wait {} s.", seconds(*wait)),
                "Wait as long as Retry-After says, then try again.",
            ),
            Self::Busy => text(
                S::SERVICE_UNAVAILABLE,
                "busy",
                "Busy",
                "The appliance has more of this to do than it does at once.",
                "Try again after as many seconds as Retry-After says.",
            ),
            Self::Unauthenticated => text(
                S::UNAUTHORIZED,
                "unauthenticated",
                "Not signed in",
                "There is no access token, or it does not hold.",
                "Refresh the session or sign in again.",
            ),
            Self::SessionEnded => text(
                S::UNAUTHORIZED,
                "session-ended",
                "Session ended",
                "The session was ended or has expired.",
                "Sign in again.",
            ),
            Self::Forbidden(right) => text(
                S::FORBIDDEN,
                "forbidden",
                "Not allowed",
                &format!("This needs {right}."),
                "Ask an admin of the workspace.",
            ),
            Self::NotFound => text(
                S::NOT_FOUND,
                "not-found",
                "Not found",
                "There is no such thing, or not for you.",
                "Check the address and the id.",
            ),
            Self::MethodNotAllowed => text(
                S::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
                "This address does not take that method.",
                "See the API document for the methods it takes.",
            ),
            Self::MalformedRequest(detail) => text(
                S::BAD_REQUEST,
                "malformed-request",
                "Malformed request",
                detail,
                "Send it with an HTTP client that keeps to RFC 9112.",
            ),
            Self::InvalidBody(detail) => text(
                S::BAD_REQUEST,
                "invalid-body",
                "Request body refused",
                detail,
                "Correct the body and send it again.",
            ),
            Self::InvalidParameter(detail) => text(
                S::BAD_REQUEST,
                "invalid-parameter",
                "Parameter refused",
                detail,
                "Correct the parameter and send the request again.",
            ),
            Self::UnsupportedMediaType => text(
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "Not JSON",
                "The body is not declared as JSON.",
                "Send it with `Content-Type: application/json`.",
            ),
            Self::BodyTooLarge => text(
                S::PAYLOAD_TOO_LARGE,
                "body-too-large",
                "Body too large",
                "The body has more bytes than this address takes.",
                "Send less.",
            ),
            Self::BodyTooSlow => text(
                S::REQUEST_TIMEOUT,
                "body-too-slow",
                "Body too slow",
                "The body did not arrive in time.",
                "Send the request again.",
            ),
            Self::ChallengeStale(detail) => text(
                S::CONFLICT,
                "challenge-stale",
                "Sign-in offer out of date",
                detail,
                "Try again: a fresh offer is fetched for each try.",
            ),
            Self::SealedUnreadable => text(
                S::BAD_REQUEST,
                "sealed-unreadable",
                "Sealed credential unreadable",
                "The sealed credential does not open, or what is in it is not what belongs there.",
                "Try again. A program that seals by itself finds the format in docs/sign-in.md.",
            ),
            Self::OriginUnknown => text(
                S::BAD_REQUEST,
                "origin-unknown",
                "Sealed for another place",
                "The origin that the credential was sealed for is not this appliance as it was addressed.",
                "Open the appliance by one of its names and sign in there.",
            ),
            Self::MustBeSealed => text(
                S::BAD_REQUEST,
                "must-be-sealed",
                "Password in clear",
                "A password came in clear over the network.",
                "Seal it (docs/sign-in.md), or leave it out and have one made.",
            ),
            Self::CrossSite => text(
                S::FORBIDDEN,
                "cross-site",
                "Request of another site",
                "The session cookie came with a request that another site made.",
                "Open the console itself and try there.",
            ),
            Self::UserNameTaken => text(
                S::CONFLICT,
                "user-name-taken",
                "User name taken",
                "There is an account with this user name.",
                "Choose another one.",
            ),
            Self::UserNameLooksAlike => text(
                S::CONFLICT,
                "user-name-looks-alike",
                "User name looks like another",
                "There is an account whose user name looks the same to a reader.",
                "Choose one that cannot be mistaken.",
            ),
            Self::WorkspaceNameTaken => text(
                S::CONFLICT,
                "workspace-name-taken",
                "Workspace name taken",
                "There is a workspace with this name, or the name is reserved.",
                "Choose another one.",
            ),
            Self::PasswordRefused(detail) => text(
                S::UNPROCESSABLE_ENTITY,
                "password-refused",
                "Password refused",
                detail,
                "Choose a longer one, or several unrelated words.",
            ),
            Self::LastAdmin => text(
                S::CONFLICT,
                "last-admin",
                "Last admin",
                "This is the only active admin, and without one nobody could administer the workspace.",
                "Make another account admin first.",
            ),
            Self::WorkspaceUnavailable(state) => text(
                S::SERVICE_UNAVAILABLE,
                "workspace-unavailable",
                "Workspace not available",
                &format!("The workspace is in state {state}."),
                "The operator sees the reason with `conclave workspace show`.",
            ),
            Self::AlreadyClaimed => text(
                S::CONFLICT,
                "already-claimed",
                "Already claimed",
                "This appliance has been claimed.",
                "Sign in as an operator.",
            ),
            Self::Unclaimed => text(
                S::CONFLICT,
                "unclaimed",
                "Not claimed yet",
                "This appliance has no operator yet.",
                "Claim it on its host with `conclave setup`.",
            ),
            Self::Conflict(detail) => {
                text(S::CONFLICT, "conflict", "Does not fit", detail, "Look at the present state and decide again.")
            }
            Self::CurrentPasswordWrong => text(
                S::UNPROCESSABLE_ENTITY,
                "current-password-wrong",
                "Current password wrong",
                "The current password is not right, so nothing was changed.",
                "Type the current password again.",
            ),
            Self::Stopping => text(
                S::SERVICE_UNAVAILABLE,
                "stopping",
                "Stopping",
                "The appliance is shutting down.",
                "Try again when it has started.",
            ),
            Self::Internal => text(
                S::INTERNAL_SERVER_ERROR,
                "internal",
                "The appliance failed",
                "Something went wrong inside. It was not your request.",
                "Try again. If it stays, give the operator the request id; the log has the reason.",
            ),
        }
    }

    /// The code that programs look at.
    pub fn code(&self) -> &'static str {
        self.text().code
    }

    /// How long the caller should wait, when that is known.
    const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::SignInThrottled(wait) => Some(*wait),
            Self::Busy => Some(Duration::from_secs(2)),
            Self::Stopping => Some(Duration::from_secs(5)),
            _ => None,
        }
    }

    /// The whole answer. Called by the outermost layer, which knows the request's id.
    pub fn render(&self, request_id: RequestId) -> Response {
        let Text { status, code, title, detail, way_out } = self.text();
        let body = ProblemBody {
            kind: format!("urn:conclave:problem:{code}"),
            code: code.to_owned(),
            title: title.to_owned(),
            status: status.as_u16(),
            detail,
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
