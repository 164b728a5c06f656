// SPDX-License-Identifier: AGPL-3.0-or-later
//! The steps of a sign-in: [`begin`] → [`Pending`] → [`Pending::finish`] → [`Decision`].
//!
//! Between the two lies one Argon2id run, always, whether or not there is such an account: so an outsider learns
//! nothing from what is refused or how long it took. Only a proven credential learns a reason.

use crate::core::auth::permission::Role;
use crate::values::id::AccountId;

/// What the store knows about the account somebody names.
#[derive(Debug, Clone)]
pub struct StoredAccount {
    /// Which account.
    pub id: AccountId,
    /// Its role.
    pub role: Role,
    /// Whether it may sign in.
    pub status: AccountStatus,
    /// PHC string of its password hash.
    pub password_hash: String,
}

/// Whether an account may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountStatus {
    /// In use.
    Active,
    /// Switched off by an admin; its data stays.
    Disabled,
}

impl AccountStatus {
    /// The name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

/// A sign-in that waits for its one hash computation.
#[derive(Debug)]
#[must_use = "a sign-in is decided by `finish`"]
pub struct Pending {
    subject: Option<StoredAccount>,
    decoy: String,
}

/// Begins a sign-in. `decoy` is a hash of a password nobody knows, with the cost of real ones.
pub fn begin(stored: Option<StoredAccount>, decoy: &str) -> Pending {
    Pending { subject: stored, decoy: decoy.to_owned() }
}

impl Pending {
    /// The hash to verify the typed password against: the account's, or the decoy.
    pub fn hash_to_verify(&self) -> &str {
        self.subject.as_ref().map_or(&self.decoy, |account| &account.password_hash)
    }

    /// Decides. `matches` says whether the password fits [`Pending::hash_to_verify`].
    pub fn finish(self, matches: bool) -> Decision {
        match self.subject {
            Some(account) if matches => match account.status {
                AccountStatus::Active => Decision::Granted { account: account.id, role: account.role },
                AccountStatus::Disabled => Decision::Denied { account: account.id, reason: Denial::AccountDisabled },
            },
            _ => Decision::Refused,
        }
    }
}

/// The end of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Not proven. Nothing more is said.
    Refused,
    /// Proven, but not now, for a reason that may be named.
    Denied {
        /// Who proved to be it.
        account: AccountId,
        /// Why not.
        reason: Denial,
    },
    /// Proven and allowed.
    Granted {
        /// Who signed in.
        account: AccountId,
        /// With which role.
        role: Role,
    },
}

/// Why somebody who proved to be an account may not sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// An admin switched the account off.
    AccountDisabled,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: AccountId = AccountId::from_bytes([1; 16]);

    fn stored(status: AccountStatus) -> StoredAccount {
        StoredAccount { id: ID, role: Role::User, status, password_hash: "real".to_owned() }
    }

    #[test]
    fn the_decision_table() {
        let check = |account: Option<StoredAccount>, matches, expected| {
            assert_eq!(begin(account, "decoy").finish(matches), expected);
        };
        check(Some(stored(AccountStatus::Active)), true, Decision::Granted { account: ID, role: Role::User });
        check(Some(stored(AccountStatus::Active)), false, Decision::Refused);
        let denied = Decision::Denied { account: ID, reason: Denial::AccountDisabled };
        check(Some(stored(AccountStatus::Disabled)), true, denied);
        check(Some(stored(AccountStatus::Disabled)), false, Decision::Refused);
        check(None, false, Decision::Refused);
        // Even a password that fits the decoy opens nothing.
        check(None, true, Decision::Refused);
    }

    #[test]
    fn an_absent_account_costs_a_decoy() {
        assert_eq!(begin(None, "decoy").hash_to_verify(), "decoy");
        assert_eq!(begin(Some(stored(AccountStatus::Active)), "decoy").hash_to_verify(), "real");
    }
}
