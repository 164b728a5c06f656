// SPDX-License-Identifier: AGPL-3.0-or-later
//! Why a frame of a participant is not forwarded, and how often that happened.

use crate::core::keys::epoch::schedule::EpochRefused;
use crate::core::replay::Replayed;

/// Why a frame is refused. It closes nothing, and the others hear nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It cannot be read, and neither can what follows it in its datagram.
    Malformed,
    /// Its key id names somebody else.
    OtherSender,
    /// Its channel does not travel like this.
    OtherChannel,
    /// Its counter was here before, is too old, or skips one where none may be skipped.
    Replayed,
    /// Its epoch has not begun.
    FutureEpoch,
    /// Its epoch is over, or its sender said that it would use it no more.
    StaleEpoch,
    /// Its epoch is older than its sender.
    BeforeJoin,
    /// More than the channel takes.
    Rate,
    /// Voice that is off: by a moderator, for the account or in the room.
    Silenced,
    /// The sender has no right to this channel, or the room forbids it.
    NotPermitted,
    /// The sender is not in the meeting (any more).
    NotAMember,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Malformed,
        Self::OtherSender,
        Self::OtherChannel,
        Self::Replayed,
        Self::FutureEpoch,
        Self::StaleEpoch,
        Self::BeforeJoin,
        Self::Rate,
        Self::Silenced,
        Self::NotPermitted,
        Self::NotAMember,
    ];

    /// The name in facts and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::OtherSender => "other_sender",
            Self::OtherChannel => "other_channel",
            Self::Replayed => "replayed",
            Self::FutureEpoch => "future_epoch",
            Self::StaleEpoch => "stale_epoch",
            Self::BeforeJoin => "before_join",
            Self::Rate => "rate",
            Self::Silenced => "silenced",
            Self::NotPermitted => "not_permitted",
            Self::NotAMember => "not_a_member",
        }
    }
}

impl From<EpochRefused> for Refusal {
    fn from(refused: EpochRefused) -> Self {
        match refused {
            EpochRefused::NotAMember => Self::NotAMember,
            EpochRefused::Future => Self::FutureEpoch,
            EpochRefused::Stale => Self::StaleEpoch,
            EpochRefused::BeforeJoin => Self::BeforeJoin,
        }
    }
}

impl From<Replayed> for Refusal {
    fn from(_: Replayed) -> Self {
        Self::Replayed
    }
}

/// How often each happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refusals([u64; Refusal::ALL.len()]);

impl Refusals {
    /// One more.
    pub fn count(&mut self, refusal: Refusal) {
        let place = Refusal::ALL.iter().position(|one| *one == refusal);
        if let Some(count) = place.and_then(|place| self.0.get_mut(place)) {
            *count += 1;
        }
    }

    /// Adds what happened elsewhere.
    pub fn add(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }

    /// How often one of them did.
    pub fn of(&self, refusal: Refusal) -> u64 {
        Refusal::ALL.iter().zip(self.0).find(|(one, _)| **one == refusal).map_or(0, |(_, count)| count)
    }

    /// Those that happened.
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, u64)> {
        Refusal::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_reason_and_no_other() {
        let document = include_str!("../../../docs/protocol.md");
        let (_, rest) = document.split_once("\n## Refusals\n").unwrap();
        let (section, _) = rest.split_once("\n## ").unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let mut found: Vec<_> = rows.collect();
        let mut expected = Refusal::ALL.map(Refusal::as_str);
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}
