// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Replay rules: which counters may still arrive under one key id. One [`Replay`] for each.
//!
//! The relay admits what an authenticated sender sends. A receiver checks first, opens the frame, and records it only
//! then: a counter that nobody vouches for moves no window.

use crate::wire::kid::Channel;

/// Counters that a voice may be late by: 128 frames of 20 ms are 2.6 s, longer than any jitter buffer waits.
const VOICE_WINDOW: u64 = 128;
/// Counters that a screen may be late by. Groups travel on streams of their own and overtake each other, a few at a
/// time (4 unread ones at most); 1,024 frames are 17 s of 60 a second, more than four groups take.
const SCREEN_WINDOW: u64 = 1_024;

/// Why a counter is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Replayed {
    /// It was here before.
    #[error("the counter was used before")]
    Seen,
    /// It is older than what the channel still takes: whether it was here before is not known.
    #[error("the counter is too old")]
    Old,
    /// Something before it is missing, on a channel that loses nothing.
    #[error("a counter was skipped")]
    Skipped,
}

/// The rule of a channel, and what was seen under one key id.
#[derive(Debug, Clone)]
pub struct Replay(Rule);

#[derive(Debug, Clone)]
enum Rule {
    /// Only newer than all before: pose.
    Newer { newest: Option<u64> },
    /// Once, and not too late: voice.
    Voice(Window<2, VOICE_WINDOW>),
    /// All, in order, from zero: event.
    Next { newest: Option<u64> },
    /// Once, and not too late: screen.
    Screen(Window<16, SCREEN_WINDOW>),
}

impl Replay {
    /// Nothing seen yet.
    pub const fn new(channel: Channel) -> Self {
        Self(match channel {
            Channel::Pose => Rule::Newer { newest: None },
            Channel::Voice => Rule::Voice(Window::new()),
            Channel::Event => Rule::Next { newest: None },
            Channel::Screen => Rule::Screen(Window::new()),
        })
    }

    /// Says whether `counter` may arrive now.
    pub fn check(&self, counter: u64) -> Result<(), Replayed> {
        match &self.0 {
            Rule::Newer { newest } => match newest {
                Some(newest) if counter == *newest => Err(Replayed::Seen),
                Some(newest) if counter < *newest => Err(Replayed::Old),
                _ => Ok(()),
            },
            Rule::Voice(window) => window.check(counter),
            Rule::Next { newest } => match newest {
                Some(newest) if counter <= *newest => Err(Replayed::Seen),
                Some(newest) if counter - newest > 1 => Err(Replayed::Skipped),
                None if counter > 0 => Err(Replayed::Skipped),
                _ => Ok(()),
            },
            Rule::Screen(window) => window.check(counter),
        }
    }

    /// Remembers `counter`, so that it may not arrive again. It must have been [checked](Replay::check) since the
    /// last one was recorded.
    pub fn record(&mut self, counter: u64) {
        match &mut self.0 {
            Rule::Newer { newest } | Rule::Next { newest } => *newest = (*newest).max(Some(counter)),
            Rule::Voice(window) => window.record(counter),
            Rule::Screen(window) => window.record(counter),
        }
    }

    /// Checks and records.
    pub fn admit(&mut self, counter: u64) -> Result<(), Replayed> {
        self.check(counter)?;
        self.record(counter);
        Ok(())
    }
}

/// The last `SIZE` counters, a bit each: a ring of `WORDS` words, indexed by the counter (as in RFC 6479).
#[derive(Debug, Clone)]
struct Window<const WORDS: usize, const SIZE: u64> {
    newest: Option<u64>,
    seen: [u64; WORDS],
}

impl<const WORDS: usize, const SIZE: u64> Window<WORDS, SIZE> {
    const fn new() -> Self {
        assert!(SIZE == (WORDS as u64) * 64, "a window is a whole number of words");
        Self { newest: None, seen: [0; WORDS] }
    }

    fn check(&self, counter: u64) -> Result<(), Replayed> {
        let Some(age) = self.newest.and_then(|newest| newest.checked_sub(counter)) else { return Ok(()) };
        let (word, bit) = Self::place(counter);
        match self.seen.get(word) {
            _ if age >= SIZE => Err(Replayed::Old),
            Some(word) if word & bit != 0 => Err(Replayed::Seen),
            _ => Ok(()),
        }
    }

    fn record(&mut self, counter: u64) {
        match self.newest {
            Some(newest) if counter <= newest => {
                if newest - counter >= SIZE {
                    return;
                }
            }
            // The places of the counters between were those of counters that are now too old.
            Some(newest) if counter - newest < SIZE => {
                (newest + 1..counter).for_each(|skipped| self.set(skipped, false));
                self.newest = Some(counter);
            }
            Some(_) | None => {
                self.seen.fill(0);
                self.newest = Some(counter);
            }
        }
        self.set(counter, true);
    }

    fn set(&mut self, counter: u64, seen: bool) {
        let (word, bit) = Self::place(counter);
        if let Some(word) = self.seen.get_mut(word) {
            *word = if seen { *word | bit } else { *word & !bit };
        }
    }

    fn place(counter: u64) -> (usize, u64) {
        let place = counter % SIZE;
        (usize::try_from(place / 64).unwrap_or(0), 1 << (place % 64))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn check(channel: Channel, steps: &[(u64, Result<(), Replayed>)]) {
        let mut replay = Replay::new(channel);
        for (counter, expected) in steps {
            assert_eq!(replay.admit(*counter), *expected, "{channel:?} {counter}");
        }
    }

    #[test]
    fn a_pose_is_strictly_newer() {
        use Replayed::{Old, Seen};
        check(
            Channel::Pose,
            &[(5, Ok(())), (5, Err(Seen)), (4, Err(Old)), (6, Ok(())), (1_000, Ok(())), (7, Err(Old))],
        );
    }

    #[test]
    fn an_event_is_exactly_the_next() {
        use Replayed::{Seen, Skipped};
        check(
            Channel::Event,
            &[(1, Err(Skipped)), (0, Ok(())), (0, Err(Seen)), (2, Err(Skipped)), (1, Ok(())), (2, Ok(()))],
        );
    }

    #[test]
    fn voice_and_screen_have_windows_of_their_size() {
        use Replayed::{Old, Seen};
        for (channel, size) in [(Channel::Voice, 128), (Channel::Screen, 1_024)] {
            let newest = 5_000;
            let oldest = newest - size + 1;
            check(
                channel,
                &[
                    (newest, Ok(())),
                    (newest, Err(Seen)),
                    (oldest, Ok(())),
                    (oldest, Err(Seen)),
                    (oldest - 1, Err(Old)),
                    (newest + 1, Ok(())),
                    (oldest, Err(Old)),
                    (newest + 1 + size, Ok(())),
                    (newest + 2, Ok(())),
                    (newest + 1, Err(Old)),
                ],
            );
        }
    }

    #[test]
    fn what_was_only_checked_may_still_arrive() {
        for channel in Channel::ALL {
            let mut replay = Replay::new(channel);
            assert_eq!(replay.check(0), Ok(()));
            assert_eq!(replay.admit(0), Ok(()));
            assert_eq!(replay.admit(0), Err(Replayed::Seen));
        }
    }

    /// Every counter ever admitted, and the rules in the words of the protocol.
    #[derive(Default)]
    struct Model(BTreeSet<u64>);

    impl Model {
        fn admit(&mut self, channel: Channel, counter: u64) -> bool {
            let newest = self.0.last().copied();
            let allowed = match channel {
                Channel::Pose => newest.is_none_or(|newest| counter > newest),
                Channel::Voice => newest.is_none_or(|newest| counter + 128 > newest),
                Channel::Event => counter == newest.map_or(0, |newest| newest + 1),
                Channel::Screen => newest.is_none_or(|newest| counter + 1_024 > newest),
            };
            allowed && self.0.insert(counter)
        }
    }

    /// Steps forwards and backwards, mostly small, some as wide as a window, some wider.
    fn walk() -> impl Strategy<Value = Vec<i64>> {
        let step = prop_oneof![8 => -3_i64..6, 2 => -130_i64..130, 2 => -1_030_i64..1_030, 1 => -5_000_i64..5_000];
        proptest::collection::vec(step, 1..400)
    }

    proptest! {
        #[test]
        fn every_rule_agrees_with_a_set(channel in 0_usize..4, start in 0_i64..2_000, steps in walk()) {
            let channel = Channel::ALL[channel];
            let (mut replay, mut model, mut at) = (Replay::new(channel), Model::default(), start);
            if channel == Channel::Event {
                at = 0;
            }
            for step in steps {
                let counter = u64::try_from(at).unwrap();
                let checked = replay.check(counter);
                prop_assert_eq!(replay.admit(counter), checked);
                prop_assert_eq!(checked.is_ok(), model.admit(channel, counter), "{} under {:?}", counter, channel);
                // "Seen" is said only of what was.
                if checked == Err(Replayed::Seen) {
                    prop_assert!(model.0.contains(&counter));
                }
                at = (at + step).max(0);
            }
        }

        #[test]
        fn no_counter_is_admitted_twice_and_none_panics(channel in 0_usize..4, counters: Vec<u64>) {
            let mut replay = Replay::new(Channel::ALL[channel]);
            let mut admitted = BTreeSet::new();
            for counter in counters.into_iter().chain([u64::MAX, u64::MAX - 1, u64::MAX, 0]) {
                let fresh = replay.admit(counter).is_ok();
                prop_assert!(!fresh || admitted.insert(counter));
            }
        }
    }
}
