// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a person reads of each kind of problem, with its stable code and its status.

use axum::http::StatusCode;

use crate::api::error::ProblemKind;

/// What is said of a kind of problem.
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable code, for programs.
    pub code: &'static str,
    /// What happened, in a few words.
    pub title: &'static str,
    /// What happened, when no case says more.
    pub detail: &'static str,
    /// What to do next.
    pub way_out: &'static str,
}

impl ProblemKind {
    /// What is said of it. A kind without its words does not compile.
    pub const fn text(self) -> Text {
        use StatusCode as S;
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
            Self::SignInThrottled => text(
                S::TOO_MANY_REQUESTS,
                "sign-in-throttled",
                "Too many wrong tries",
                "After wrong tries this name has to wait.",
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
            Self::Forbidden => text(
                S::FORBIDDEN,
                "forbidden",
                "Not allowed",
                "This needs a right that the caller does not have; the answer names it.",
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
            Self::MalformedRequest => text(
                S::BAD_REQUEST,
                "malformed-request",
                "Malformed request",
                "The request can be read in two ways; the answer says which.",
                "Send it with an HTTP client that keeps to RFC 9112.",
            ),
            Self::InvalidBody => text(
                S::BAD_REQUEST,
                "invalid-body",
                "Request body refused",
                "The body is not what the route takes; the answer says where.",
                "Correct the body and send it again.",
            ),
            Self::InvalidParameter => text(
                S::BAD_REQUEST,
                "invalid-parameter",
                "Parameter refused",
                "A parameter is not what the route takes; the answer says which.",
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
            Self::ChallengeStale => text(
                S::CONFLICT,
                "challenge-stale",
                "Sign-in offer out of date",
                "The sealing key or the challenge does not hold any more.",
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
            Self::PasswordRefused => text(
                S::UNPROCESSABLE_ENTITY,
                "password-refused",
                "Password refused",
                "The password is too easily guessed, too short or too long; the answer says which.",
                "Choose a longer one, or several unrelated words.",
            ),
            Self::LastAdmin => text(
                S::CONFLICT,
                "last-admin",
                "Last admin",
                "This is the only active admin, and without one nobody could administer the workspace.",
                "Make another account admin first.",
            ),
            Self::GuestsOff => text(
                S::FORBIDDEN,
                "guests-not-admitted",
                "No guests here",
                "The credential is right, and the workspace lets no guests in now.",
                "Ask an admin of the workspace for another role, or to let guests in.",
            ),
            Self::TrialOver => text(
                S::FORBIDDEN,
                "trial-over",
                "Trial over",
                "The trial of this workspace is over. Nothing was deleted.",
                "Ask the operator to extend the trial or to subscribe; it works again at once.",
            ),
            Self::WorkspaceSuspended => text(
                S::FORBIDDEN,
                "workspace-suspended",
                "Workspace suspended",
                "The operator suspended this workspace. Nothing was deleted.",
                "Ask the operator to resume it.",
            ),
            Self::WorkspaceClosed => text(
                S::FORBIDDEN,
                "workspace-closed",
                "Workspace closed",
                "This workspace is closed and will be deleted.",
                "Ask the operator for an export, or to reopen it while it cools off.",
            ),
            Self::AgreementMissing => text(
                S::FORBIDDEN,
                "agreement-required",
                "Agreement not accepted",
                "Nobody has accepted the data processing agreement for this workspace yet.",
                "An Admin of the workspace reads and accepts it: `GET /api/v1/agreement`, then `POST /api/v1/agreement/acceptances`.",
            ),
            Self::AgreementChanged => text(
                S::CONFLICT,
                "agreement-changed",
                "Another agreement",
                "The agreement that is to be accepted now is not the one with this SHA-256.",
                "Read it again and accept that text.",
            ),
            Self::SeatsTaken => text(
                S::CONFLICT,
                "seats-taken",
                "No seat left",
                "As many accounts are active as the workspace has seats.",
                "Switch off an account that nobody uses, or ask the operator for more seats.",
            ),
            Self::OwnApproval => text(
                S::CONFLICT,
                "own-approval",
                "Takes a second person",
                "Whoever asked for it cannot approve it.",
                "Ask another admin to approve it, or reject it to withdraw it.",
            ),
            Self::ApproverTooNew => text(
                S::CONFLICT,
                "approver-too-new",
                "Account too new for this",
                "The account that decides was made, or got its password, after the request was made.",
                "Have somebody decide who was there before, or withdraw the request and make it anew.",
            ),
            Self::ApprovalMissing => text(
                S::CONFLICT,
                "approval-missing",
                "Not approved",
                "This takes the approval of a second person, for exactly this, given within the last day and not used yet.",
                "Ask for it with `POST …/approvals`, have somebody else approve it, and name its id.",
            ),
            Self::WorkspaceUnavailable => text(
                S::SERVICE_UNAVAILABLE,
                "workspace-unavailable",
                "Workspace not available",
                "The workspace is in a state in which it cannot be used; the answer names it.",
                "The operator sees the reason and what to do with `conclave doctor` and `conclave workspace show`.",
            ),
            Self::AlreadyClaimed => text(
                S::CONFLICT,
                "already-claimed",
                "Already claimed",
                "This appliance has been claimed.",
                "Sign in as an operator.",
            ),
            Self::SetupCodeWrong => text(
                S::FORBIDDEN,
                "setup-code-wrong",
                "Setup code wrong",
                "This is not the setup code; the answer says how many tries are left.",
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
            Self::Conflict => text(
                S::CONFLICT,
                "conflict",
                "Does not fit",
                "The state of the thing does not fit the request; the answer says why.",
                "Look at the present state and decide again.",
            ),
            Self::CurrentPasswordWrong => text(
                S::UNPROCESSABLE_ENTITY,
                "current-password-wrong",
                "Current password wrong",
                "The current password is not right, so nothing was changed.",
                "Type the current password again.",
            ),
            Self::PreconditionFailed => text(
                S::PRECONDITION_FAILED,
                "precondition-failed",
                "Changed meanwhile",
                "It is not what `If-Match` says any more: somebody changed it.",
                "Read it again, decide again, and send the new ETag.",
            ),
            Self::IdempotencyKeyInvalid => text(
                S::BAD_REQUEST,
                "idempotency-key-invalid",
                "Idempotency key refused",
                "`Idempotency-Key` is not one string of 1 to 255 visible ASCII characters.",
                "Send a UUID as the key, or none.",
            ),
            Self::IdempotencyKeyReused => text(
                S::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "Idempotency key used for something else",
                "This `Idempotency-Key` came with another body before.",
                "Send the body that came with it, or another key.",
            ),
            Self::IdempotencyInProgress => text(
                S::CONFLICT,
                "idempotency-in-progress",
                "First request still under way",
                "The first request with this `Idempotency-Key` is not answered yet.",
                "Try again after as many seconds as Retry-After says.",
            ),
            Self::RateLimited => text(
                S::TOO_MANY_REQUESTS,
                "rate-limited",
                "Too many requests",
                "More requests came than one caller may send.",
                "Wait as long as Retry-After says, then go on more slowly; `RateLimit` says how many are left.",
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

const fn text(
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: &'static str,
    way_out: &'static str,
) -> Text {
    Text { status, code, title, detail, way_out }
}
