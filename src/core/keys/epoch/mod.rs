// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The epochs of a meeting: fresh keys on a timer, and whenever somebody comes or goes (`docs/protocol.md`, "Epochs").
//!
//! [`schedule`] decides, on the appliance; [`member`] follows, in a client. Neither knows how a secret travels: whoever
//! drives the schedule seals each [`EpochSecret`] for its members and drops it. The schedule keeps none.
//!
//! | module | what |
//! |---|---|
//! | [`schedule`] | when an epoch is announced, switched to and retired; who gets it; which the relay accepts |
//! | [`reason`] | why a new epoch began, and what the ledger keeps of it |
//! | [`number`] | participant numbers, which no two people share in two epochs |
//! | [`member`] | a member's keys: seals under the epoch switched to, opens what arrives, parks what is early |

use std::fmt;
use std::time::Duration;

use rand_core::CryptoRng;

use crate::values::secret::Key256;
use crate::wire::kid::Channel;

pub mod schedule;

pub mod reason;

pub mod number;

pub mod member;

mod parked;

mod stage;

#[cfg(test)]
pub(crate) mod simulation;

/// How long poses and voices of an epoch are accepted after the switch to its successor. What was sealed just before a slow
/// sender heard of the switch is still under way then; 2 s are four times the longest wait for members to be ready.
pub const RETIRE_DATAGRAMS_AFTER: Duration = Duration::from_secs(2);
/// The same for events and screens, which lose nothing: a sender may be that late to hear of the switch, and a group of a
/// screen, which keeps its epoch, lives 10 s.
pub const RETIRE_STREAMS_AFTER: Duration = Duration::from_secs(15);

/// How long a receiver keeps keys of events and screens: what the relay took until it retired the epoch is handed to who
/// comes back, and that is up to 15 s later.
const KEEP_STREAMS_FOR: Duration = Duration::from_secs(15 + 15);

/// How long the relay takes what is sealed for a channel after the switch to a later epoch.
const fn retire_after(channel: Channel) -> Duration {
    match channel {
        Channel::Pose | Channel::Voice => RETIRE_DATAGRAMS_AFTER,
        Channel::Event | Channel::Screen => RETIRE_STREAMS_AFTER,
    }
}

/// How long a receiver opens what is sealed for a channel after it heard of the switch to a later epoch.
const fn keep_for(channel: Channel) -> Duration {
    match channel {
        Channel::Pose | Channel::Voice => RETIRE_DATAGRAMS_AFTER,
        Channel::Event | Channel::Screen => KEEP_STREAMS_FOR,
    }
}

/// The secret all members of a meeting share for an epoch: 32 random bytes, wiped when dropped, never shown. It cannot
/// be cloned.
#[derive(PartialEq, Eq)]
pub struct EpochSecret(Key256);

impl EpochSecret {
    /// A fresh one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(Key256::random(rng))
    }

    /// Takes over the bytes that came in a member's box, when there are exactly 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Key256::from_slice(bytes).map(Self)
    }

    /// The bytes, to seal them for a member or to derive keys.
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

impl fmt::Debug for EpochSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EpochSecret(…)")
    }
}

/// The interval is none that can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("keys change every 5 to 300 seconds, not every {0}")]
pub struct RotationIntervalError(u64);

/// How long an epoch lasts when nobody comes or goes: 5 to 300 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RotationInterval(Duration);

impl RotationInterval {
    /// Seconds at least: the two seconds that keys of poses and voices live on, and a switch, fit in twice.
    pub const SHORTEST_SECONDS: u64 = 5;
    /// Seconds at most: what somebody who learned a key could follow.
    pub const LONGEST_SECONDS: u64 = 300;

    /// As a duration.
    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

impl Default for RotationInterval {
    /// 30 seconds: a hundred members are sealed for in 0.03 ms, so shorter would cost little and gain little.
    fn default() -> Self {
        Self(Duration::from_secs(30))
    }
}

impl TryFrom<u64> for RotationInterval {
    type Error = RotationIntervalError;

    fn try_from(seconds: u64) -> Result<Self, RotationIntervalError> {
        if (Self::SHORTEST_SECONDS..=Self::LONGEST_SECONDS).contains(&seconds) {
            Ok(Self(Duration::from_secs(seconds)))
        } else {
            Err(RotationIntervalError(seconds))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_secret() {
        let secret = EpochSecret::from_slice(&[0x5a; 32]).unwrap();
        assert_eq!(format!("{secret:?}"), "EpochSecret(…)");
        assert!(EpochSecret::from_slice(&[0; 31]).is_none());
    }

    #[test]
    fn an_interval_is_5_to_300_seconds() {
        for (seconds, good) in [(0, false), (4, false), (5, true), (30, true), (300, true), (301, false)] {
            assert_eq!(RotationInterval::try_from(seconds).is_ok(), good, "{seconds}");
        }
        assert_eq!(RotationInterval::try_from(30), Ok(RotationInterval::default()));
    }
}
