// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a participant wants to be sent of the others. The payload is opaque, so only the receiver can say.

use std::collections::BTreeMap;

use crate::wire::control::PINNED_MAX;
use crate::wire::control::schema::{Rate, SetInterest};
use crate::wire::kid::Participant;

/// One pose in so many, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thinning(u64);

impl Thinning {
    /// Every pose.
    pub const FULL: Self = Self(1);
    /// None.
    pub const OFF: Self = Self(0);

    /// Whether a pose is due, when there have been `count` and the one given last was number `given`. Senders with
    /// another `phase` are due at other counts, so that thinned senders spread.
    pub const fn is_due(self, given: u64, count: u64, phase: u64) -> bool {
        match self.0 {
            0 => false,
            every => (count + phase) / every > (given + phase) / every,
        }
    }
}

impl From<Rate> for Thinning {
    fn from(rate: Rate) -> Self {
        match rate {
            Rate::Unspecified | Rate::Full => Self::FULL,
            Rate::Half => Self(2),
            Rate::Quarter => Self(4),
            Rate::Twelfth => Self(12),
            Rate::Off => Self::OFF,
        }
    }
}

/// What was said last.
#[derive(Debug, Clone)]
pub struct Interest {
    by_default: Thinning,
    named: BTreeMap<Participant, Thinning>,
    pinned: Vec<Participant>,
}

/// More is named than there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the interest names more than there can be, or a number that is none")]
pub struct InterestError;

impl Default for Interest {
    fn default() -> Self {
        Self { by_default: Thinning::FULL, named: BTreeMap::new(), pinned: Vec::new() }
    }
}

impl Interest {
    /// Reads what a participant said.
    pub fn parse(said: &SetInterest) -> Result<Self, InterestError> {
        if said.named.len() > usize::from(super::policy::CAPACITY_MAX) || said.pinned.len() > PINNED_MAX {
            return Err(InterestError);
        }
        let number = |number: u32| u16::try_from(number).map(Participant).map_err(|_| InterestError);
        let rate = |rate: i32| Rate::try_from(rate).map(Thinning::from).map_err(|_| InterestError);
        let named = said.named.iter().map(|one| Ok((number(one.participant)?, rate(one.rate)?)));
        Ok(Self {
            by_default: rate(said.default_rate)?,
            named: named.collect::<Result<_, _>>()?,
            pinned: said.pinned.iter().map(|one| number(*one)).collect::<Result<_, _>>()?,
        })
    }

    /// How often the poses of `sender` are wanted. Looked up when somebody comes or says something, not per frame.
    pub fn of(&self, sender: Participant) -> Thinning {
        self.named.get(&sender).copied().unwrap_or(self.by_default)
    }

    /// Whether the voice of `sender` is wanted however quiet it is.
    pub fn pins(&self, sender: Participant) -> bool {
        self.pinned.contains(&sender)
    }

    /// Somebody came back under another number.
    pub fn renumber(&mut self, old: Participant, new: Participant) {
        if let Some(thinning) = self.named.remove(&old) {
            self.named.insert(new, thinning);
        }
        self.pinned.iter_mut().filter(|participant| **participant == old).for_each(|participant| *participant = new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::control::schema;

    #[test]
    fn named_before_default_and_phases_differ() {
        let named = [(7, Rate::Quarter), (8, Rate::Off)];
        let named = named.map(|(participant, rate)| schema::Interest { participant, rate: rate.into() }).to_vec();
        let said = SetInterest { default_rate: Rate::Half.into(), named, pinned: vec![9] };
        let interest = Interest::parse(&said).unwrap();
        // However many poses there are between two looks.
        let due = |sender: u16, phase, step| {
            let (thinning, mut given) = (interest.of(Participant(sender)), 0);
            let is_given = |count: &u64| {
                let is_due = thinning.is_due(given, *count, phase);
                given = if is_due { *count } else { given };
                is_due
            };
            (1..=12).step_by(step).filter(is_given).count()
        };
        assert_eq!([due(1, 0, 1), due(7, 0, 1), due(8, 0, 1)], [6, 3, 0]);
        assert_eq!([due(1, 1, 1), due(7, 3, 1), due(1, 0, 2), due(7, 0, 2)], [6, 3, 5, 2]);
        let thinned = interest.of(Participant(7));
        assert!(thinned.is_due(3, 4, 0) && !thinned.is_due(3, 4, 1) && thinned.is_due(2, 3, 1));
        assert!(interest.pins(Participant(9)) && !interest.pins(Participant(1)));
        let bad = SetInterest { pinned: vec![65_536], ..SetInterest::default() };
        assert!(Interest::parse(&bad).is_err());
        let many = SetInterest { pinned: vec![1; PINNED_MAX + 1], ..SetInterest::default() };
        assert!(Interest::parse(&many).is_err());
    }
}
