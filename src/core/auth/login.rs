// SPDX-License-Identifier: AGPL-3.0-or-later
//! The steps of a sign-in: [`begin`] → [`Pending`] → [`Pending::finish`] → [`Decision`].
//!
//! Between the two lies one Argon2id run, always, whether or not there is such an account: so an outsider learns
//! nothing from what is refused or how long it took. Only a proven credential learns a reason.

use crate::core::auth::permission::Role;
use crate::core::workspace::Standstill;
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
    pub fn finish(self, matches: bool, circumstances: Circumstances) -> Decision {
        match self.subject {
            Some(account) if matches => match circumstances.denial(account.role, account.status) {
                None => Decision::Granted { account: account.id, role: account.role },
                Some(reason) => Decision::Denied { account: account.id, reason },
            },
            _ => Decision::Refused,
        }
    }
}

/// What else counts for who may use a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// Why nobody may, if so.
    pub standstill: Option<Standstill>,
    /// Whether guests may.
    pub guests: bool,
}

impl Circumstances {
    /// Why an account may not use the workspace, if so; what concerns everybody first.
    pub const fn denial(self, role: Role, status: AccountStatus) -> Option<Denial> {
        match (self.standstill, status, role) {
            (Some(standstill), _, _) => Some(Denial::Standstill(standstill)),
            (None, AccountStatus::Disabled, _) => Some(Denial::AccountDisabled),
            (None, AccountStatus::Active, Role::Guest) if !self.guests => Some(Denial::GuestsOff),
            (None, AccountStatus::Active, _) => None,
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
    /// The workspace lets no guests in.
    GuestsOff,
    /// Nobody may use the workspace now.
    Standstill(Standstill),
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: AccountId = AccountId::from_bytes([1; 16]);

    fn stored(status: AccountStatus) -> StoredAccount {
        StoredAccount { id: ID, role: Role::User, status, password_hash: "real".to_owned() }
    }

    const OPEN: Circumstances = Circumstances { standstill: None, guests: true };

    #[test]
    fn what_stops_everybody_comes_first_and_is_told_to_who_proved_it_alone() {
        let denied = |reason| Decision::Denied { account: ID, reason };
        let stopped = Circumstances { standstill: Some(Standstill::TrialOver), ..OPEN };
        let no_guests = Circumstances { guests: false, ..OPEN };
        let guest = StoredAccount { role: Role::Guest, ..stored(AccountStatus::Active) };
        let finish = |account, matches, circumstances| begin(Some(account), "decoy").finish(matches, circumstances);
        let over = denied(Denial::Standstill(Standstill::TrialOver));
        assert_eq!(finish(stored(AccountStatus::Active), true, stopped), over);
        assert_eq!(finish(stored(AccountStatus::Disabled), true, stopped), over);
        assert_eq!(finish(stored(AccountStatus::Active), false, stopped), Decision::Refused);
        assert_eq!(finish(guest.clone(), true, no_guests), denied(Denial::GuestsOff));
        assert_eq!(finish(guest.clone(), false, no_guests), Decision::Refused);
        assert_eq!(finish(guest, true, OPEN), Decision::Granted { account: ID, role: Role::Guest });
        let user = Decision::Granted { account: ID, role: Role::User };
        assert_eq!(finish(stored(AccountStatus::Active), true, no_guests), user);
    }

    #[test]
    fn the_decision_table() {
        let check = |account: Option<StoredAccount>, matches, expected| {
            assert_eq!(begin(account, "decoy").finish(matches, OPEN), expected);
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
