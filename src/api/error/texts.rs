// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a person reads of each problem, with its stable code and its status.

use axum::http::StatusCode;

use crate::api::error::{Problem, seconds};

/// What is said of a problem.
pub(super) struct Text {
    pub status: StatusCode,
    pub code: &'static str,
    pub title: &'static str,
    pub detail: String,
    pub way_out: &'static str,
}

impl Problem {
    /// What is said of it.
    pub(super) fn text(&self) -> Text {
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
            Self::RoomNameTaken => text(
                S::CONFLICT,
                "room-name-taken",
                "Room name taken",
                "There is a room with this name.",
                "Choose another one.",
            ),
            Self::TooManyRooms => text(
                S::CONFLICT,
                "too-many-rooms",
                "Too many rooms",
                "The workspace has as many rooms as it may.",
                "Delete one that nobody uses.",
            ),
            Self::SealedSessionRequired => text(
                S::CONFLICT,
                "sealed-session-required",
                "Sealed sign-in required",
                "This session was begun with a password in clear, and so has no secret to get meeting keys under.",
                "Sign in with a sealed credential (docs/sign-in.md) and ask for the ticket again.",
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
            Self::SetupCodeWrong(left) => text(
                S::FORBIDDEN,
                "setup-code-wrong",
                "Setup code wrong",
                &match left {
                    0 => "This is not the setup code, and it was the last try.".to_owned(),
                    1 => "This is not the setup code. One try is left.".to_owned(),
                    left => format!("This is not the setup code. {left} tries are left."),
                },
                "Compare it with the journal. A new one comes from `conclave setup code --new` on the host.",
            ),
            Self::SetupCodeVoid => text(
                S::FORBIDDEN,
                "setup-code-void",
                "No setup code holds",
                "The setup code is older than an hour, or was tried wrongly five times.",
                "Make a new one with `conclave setup code --new` on the host.",
            ),
            Self::RootNotConfirmed => text(
                S::CONFLICT,
                "root-not-confirmed",
                "Another root certificate",
                "The root certificate that was confirmed is not the one that is kept: names and networks were fixed anew, or not yet.",
                "Fix names and networks again, compare the fingerprint and confirm it.",
            ),
            Self::LinkRefused => text(
                S::UNAUTHORIZED,
                "link-refused",
                "Link refused",
                "This link does not hold. It was used, it was replaced by a newer one, it is older than an hour, or it is not complete.",
                "Make a new one on the host with `conclave operator recover`.",
            ),
            Self::Unclaimed => text(
                S::CONFLICT,
                "unclaimed",
                "Not claimed yet",
                "This appliance has no operator yet.",
                "Open its setup page, or claim it on its host with `conclave setup claim`.",
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
}
