// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Participant numbers: counted up within a meeting, and rested before they come again.
//!
//! A number is part of the key id. Two people with one number in one epoch would be one sender to everybody, and might
//! seal two frames under one key and counter.

use std::collections::{BTreeSet, VecDeque};

use crate::wire::kid::{Epoch, Participant};

/// Epochs that begin between two uses of a number.
const REST: u32 = 2;

/// All 65,536 numbers are in use or resting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the meeting has no participant number left: somebody must leave first")]
pub struct NoNumber;

/// The numbers of one meeting.
#[derive(Debug)]
pub struct Numbers {
    next: Participant,
    /// In use, or resting.
    taken: BTreeSet<Participant>,
    /// Given back, and the newest epoch then; the earliest first.
    resting: VecDeque<(Participant, Epoch)>,
}

impl Numbers {
    /// Begins at `first`.
    pub const fn starting_at(first: Participant) -> Self {
        Self { next: first, taken: BTreeSet::new(), resting: VecDeque::new() }
    }

    /// Takes the next number that is free in epoch `newest`, the last one announced.
    pub fn take(&mut self, newest: Epoch) -> Result<Participant, NoNumber> {
        while let Some((rested, _)) = self.resting.pop_front_if(|(_, then)| newest.0.saturating_sub(then.0) >= REST) {
            self.taken.remove(&rested);
        }
        let first = self.next;
        let mut number = first;
        while !self.taken.insert(number) {
            number = Participant(number.0.wrapping_add(1));
            if number == first {
                return Err(NoNumber);
            }
        }
        self.next = Participant(number.0.wrapping_add(1));
        Ok(number)
    }

    /// Gives a number that is in use back in epoch `newest`, the last one announced.
    pub fn give_back(&mut self, number: Participant, newest: Epoch) {
        self.resting.push_back((number, newest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_up_and_pass_over_those_in_use() {
        let mut numbers = Numbers::starting_at(Participant(65_534));
        let mut take = || numbers.take(Epoch(0)).map(|number| number.0);
        assert_eq!([take(), take(), take()], [Ok(65_534), Ok(65_535), Ok(0)]);
        for _ in 1..65_534 {
            assert!(take().is_ok());
        }
        assert_eq!(take(), Err(NoNumber));
        numbers.give_back(Participant(7), Epoch(3));
        assert_eq!(numbers.take(Epoch(4)), Err(NoNumber));
        assert_eq!(numbers.take(Epoch(5)), Ok(Participant(7)));
    }
}
