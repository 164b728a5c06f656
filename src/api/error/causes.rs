// SPDX-License-Identifier: AGPL-3.0-or-later
//! From what went wrong inside to what a caller is told. The log line is written here, once.

use crate::api::error::Problem;
use crate::core::audit::MalformedRecord;
use crate::core::auth::challenge::ChallengeError;
use crate::core::auth::login::Denial;
use crate::core::room::NotThere;
use crate::core::workspace::Standstill;
use crate::hub::tickets::TooManyTickets;
use crate::platform::password::PasswordError;
use crate::platform::store::error::StoreError;
use crate::platform::store::rooms::RoomRefused;
use crate::platform::trust::TrustError;

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy { .. } => Self::Busy,
            StoreError::SealedKey { .. }
            | StoreError::Sealed { .. }
            | StoreError::Malformed { .. }
            | StoreError::Exposed { .. }
            | StoreError::WrongKey { .. }
            | StoreError::Foreign { .. }
            | StoreError::Damaged { .. }
            | StoreError::LogDamaged { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::DiskFull { .. }
            | StoreError::DiskReadOnly { .. }
            | StoreError::DiskFailing { .. }
            | StoreError::RolledBack { .. } => {
                tracing::error!(store.state = error.state(), error = %error, "a workspace cannot be used");
                Self::WorkspaceUnavailable(error.state())
            }
            _ => {
                tracing::error!(error = %error, "the store failed");
                Self::Internal
            }
        }
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::Busy,
            PasswordError::Unusable => {
                tracing::error!(error = %error, "a password hash cannot be used");
                Self::Internal
            }
            refused => Self::PasswordRefused(refused.to_string()),
        }
    }
}

impl From<Standstill> for Problem {
    fn from(standstill: Standstill) -> Self {
        match standstill {
            Standstill::TrialOver => Self::TrialOver,
            Standstill::Suspended => Self::WorkspaceSuspended,
            Standstill::Closed => Self::WorkspaceClosed,
        }
    }
}

impl From<Denial> for Problem {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::AccountDisabled => Self::AccountDisabled,
            Denial::GuestsOff => Self::GuestsOff,
            Denial::Standstill(standstill) => standstill.into(),
        }
    }
}

impl From<ChallengeError> for Problem {
    fn from(error: ChallengeError) -> Self {
        match error {
            ChallengeError::Full => Self::Busy,
            ChallengeError::Stale | ChallengeError::Used => Self::ChallengeStale(error.to_string()),
        }
    }
}

impl From<TrustError> for Problem {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::Store(error) => error.into(),
            TrustError::Pki(error) => {
                tracing::error!(error = %error, "certificates failed");
                Self::Internal
            }
        }
    }
}

impl From<RoomRefused> for Problem {
    fn from(refused: RoomRefused) -> Self {
        match refused {
            RoomRefused::NameTaken => Self::RoomNameTaken,
            RoomRefused::TooMany => Self::TooManyRooms,
        }
    }
}

impl From<NotThere> for Problem {
    fn from(_: NotThere) -> Self {
        Self::NotFound
    }
}

impl From<TooManyTickets> for Problem {
    fn from(_: TooManyTickets) -> Self {
        Self::Busy
    }
}

impl From<MalformedRecord> for Problem {
    fn from(error: MalformedRecord) -> Self {
        tracing::error!(error = %error, "the audit log holds a malformed record: run `conclave audit verify`");
        Self::Internal
    }
}
