// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a new epoch begins, and what the ledger keeps of it: never a key.

use std::fmt;

use crate::values::time::Moment;
use crate::wire::kid::Epoch;

/// Why a new epoch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// The rotation interval passed.
    Timer = 1 << 0,
    /// Somebody came, or came back.
    Join = 1 << 1,
    /// Somebody left.
    Leave = 1 << 2,
    /// Somebody was removed.
    Kick = 1 << 3,
    /// Somebody lost the connection and did not come back in time.
    LostResume = 1 << 4,
    /// Somebody who may asked for it.
    Demand = 1 << 5,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Timer, Self::Join, Self::Leave, Self::Kick, Self::LostResume, Self::Demand];

    /// The name in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timer => "timer",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Kick => "kick",
            Self::LostResume => "lost_resume",
            Self::Demand => "demand",
        }
    }
}

/// How a member goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Removal {
    /// It said so.
    Left,
    /// It was removed.
    Kicked,
    /// It lost the connection and did not come back in time.
    Lost,
}

impl From<Removal> for Reason {
    fn from(removal: Removal) -> Self {
        match removal {
            Removal::Left => Self::Leave,
            Removal::Kicked => Self::Kick,
            Removal::Lost => Self::LostResume,
        }
    }
}

/// The reasons that met in one epoch; at least one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reasons(u8);

impl Reasons {
    /// These and those.
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether `reason` is among them.
    pub const fn contain(self, reason: Reason) -> bool {
        self.0 & reason as u8 != 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Reason> {
        Reason::ALL.into_iter().filter(move |reason| self.contain(*reason))
    }
}

impl From<Reason> for Reasons {
    fn from(reason: Reason) -> Self {
        Self(reason as u8)
    }
}

impl fmt::Debug for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What became of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its secret was handed to this many members.
    Announced {
        /// Members that got it.
        members: usize,
    },
    /// A member that had its secret went before the switch: nothing is ever sealed under it.
    Discarded,
    /// The meeting seals under it from here on.
    Switched {
        /// Members that are told.
        members: usize,
        /// Of these, those that had not said they were ready. They may miss frames until the secret arrives.
        late: usize,
    },
    /// The relay accepts it no longer, on any channel.
    Retired,
}

/// A line of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Which epoch.
    pub epoch: Epoch,
    /// Why it began.
    pub reasons: Reasons,
    /// When this became of it.
    pub at: Moment,
    /// What became of it.
    pub fate: Fate,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_keep_each_that_was_added_and_no_other() {
        for one in Reason::ALL {
            for other in Reason::ALL {
                let both = Reasons::from(one).and(other.into());
                let found: Vec<Reason> = both.iter().collect();
                let expected: Vec<Reason> = Reason::ALL.into_iter().filter(|r| *r == one || *r == other).collect();
                assert_eq!(found, expected);
            }
        }
    }
}
