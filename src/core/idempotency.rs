// SPDX-License-Identifier: AGPL-3.0-or-later
//! Answers that are given again: which request with an idempotency key runs, and which gets the answer of the first.
//!
//! In memory and bounded, in answers and in bytes: the oldest answer goes. What is under way is never forgotten, so no
//! two requests with one key run at once. It knows neither what a request nor what an answer is.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use crate::values::time::Timestamp;

/// How long an answer is given again.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How much is kept at most.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Answers.
    pub answers: usize,
    /// Bytes of all of them.
    pub bytes: usize,
}

/// What a request said, as a hash: the same key with another one is a mistake of the caller's.
pub type Fingerprint = [u8; 32];

/// What becomes of a request.
#[derive(Debug)]
pub enum Begun<A> {
    /// It is the first: it runs, and is to be [finished](Answers::finish) or [abandoned](Answers::abandon).
    Run,
    /// The first was answered so.
    Again(Arc<A>),
    /// The first said something else.
    Reused,
    /// The first is not answered yet.
    InProgress,
}

#[derive(Debug)]
struct Entry<A> {
    said: Fingerprint,
    /// None while it is under way.
    answer: Option<Answered<A>>,
}

#[derive(Debug)]
struct Answered<A> {
    answer: Arc<A>,
    bytes: usize,
    at: Timestamp,
    place: u64,
}

/// The answers that are kept.
#[derive(Debug)]
pub struct Answers<K, A> {
    bounds: Bounds,
    entries: HashMap<K, Entry<A>>,
    oldest_first: BTreeMap<u64, K>,
    next_place: u64,
    bytes: usize,
}

impl<K: Clone + Eq + Hash, A> Answers<K, A> {
    /// None yet.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, entries: HashMap::new(), oldest_first: BTreeMap::new(), next_place: 0, bytes: 0 }
    }

    /// Decides about a request.
    pub fn begin(&mut self, key: &K, said: Fingerprint, now: Timestamp) -> Begun<A> {
        let answered = self.entries.get(key).and_then(|entry| entry.answer.as_ref());
        // A clock that stepped back makes no answer older.
        if answered.is_some_and(|answered| now.since(answered.at) >= KEPT_FOR) {
            self.remove(key);
        }
        match self.entries.get(key) {
            None => {
                self.entries.insert(key.clone(), Entry { said, answer: None });
                Begun::Run
            }
            Some(entry) if entry.said != said => Begun::Reused,
            Some(Entry { answer: None, .. }) => Begun::InProgress,
            Some(Entry { answer: Some(answered), .. }) => Begun::Again(Arc::clone(&answered.answer)),
        }
    }

    /// Keeps the answer of a request that ran. One that alone is larger than the bound is not kept.
    pub fn finish(&mut self, key: &K, answer: A, bytes: usize, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.answer.is_none()) else { return };
        if bytes > self.bounds.bytes {
            self.entries.remove(key);
            return;
        }
        let place = self.next_place;
        entry.answer = Some(Answered { answer: Arc::new(answer), bytes, at: now, place });
        self.next_place += 1;
        self.bytes += bytes;
        self.oldest_first.insert(place, key.clone());
        while self.oldest_first.len() > self.bounds.answers || self.bytes > self.bounds.bytes {
            let Some((_, oldest)) = self.oldest_first.pop_first() else { break };
            self.remove(&oldest);
        }
    }

    /// Forgets a request that ran and whose answer is not to be given again.
    pub fn abandon(&mut self, key: &K) {
        if self.entries.get(key).is_some_and(|entry| entry.answer.is_none()) {
            self.entries.remove(key);
        }
    }

    fn remove(&mut self, key: &K) {
        if let Some(Answered { bytes, place, .. }) = self.entries.remove(key).and_then(|entry| entry.answer) {
            self.bytes -= bytes;
            self.oldest_first.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { answers: 3, bytes: 100 };

    fn at(hours: u64) -> Timestamp {
        Timestamp::from_millis(0) + Duration::from_secs(hours * 60 * 60)
    }

    #[test]
    fn the_first_runs_and_its_answer_is_given_again_for_a_day() {
        let mut answers = Answers::new(BOUNDS);
        let (one, other) = ([1; 32], [2; 32]);
        assert!(matches!(answers.begin(&"key", one, at(0)), Begun::Run));
        assert!(matches!(answers.begin(&"key", one, at(0)), Begun::InProgress));
        assert!(matches!(answers.begin(&"key", other, at(0)), Begun::Reused));
        assert!(matches!(answers.begin(&"another key", one, at(0)), Begun::Run));
        answers.finish(&"key", "made", 4, at(0));
        assert!(matches!(answers.begin(&"key", one, at(23)), Begun::Again(answer) if *answer == "made"));
        assert!(matches!(answers.begin(&"key", other, at(23)), Begun::Reused));
        assert!(matches!(answers.begin(&"key", one, at(24)), Begun::Run));
    }

    #[test]
    fn what_is_abandoned_may_be_tried_again() {
        let mut answers: Answers<_, &str> = Answers::new(BOUNDS);
        assert!(matches!(answers.begin(&1, [1; 32], at(0)), Begun::Run));
        answers.abandon(&1);
        assert!(matches!(answers.begin(&1, [2; 32], at(0)), Begun::Run));
    }

    #[test]
    fn the_oldest_answer_goes_first() {
        let mut answers = Answers::new(BOUNDS);
        for key in 0..4 {
            answers.begin(&key, [0; 32], at(0));
            answers.finish(&key, key, 1, at(0));
        }
        assert!(matches!(answers.begin(&0, [0; 32], at(0)), Begun::Run));
        assert!(matches!(answers.begin(&1, [0; 32], at(0)), Begun::Again(_)));
    }

    proptest! {
        /// Whatever comes in whatever order: never more than the bounds, the books agree, and no two run at once.
        #[test]
        fn bounded_and_one_at_a_time(
            steps in proptest::collection::vec((0_u8..6, 0_u8..3, 0_u8..2, 0_usize..120, 0_u64..60), 1..200),
        ) {
            let mut answers = Answers::new(BOUNDS);
            let mut running = std::collections::HashSet::new();
            for (key, what, said, bytes, hours) in steps {
                match what {
                    0 => if matches!(answers.begin(&key, [said; 32], at(hours)), Begun::Run) {
                        prop_assert!(running.insert(key));
                    },
                    1 => { answers.finish(&key, key, bytes, at(hours)); running.remove(&key); }
                    _ => { answers.abandon(&key); running.remove(&key); }
                }
                let kept: Vec<_> = answers.entries.values().filter_map(|entry| entry.answer.as_ref()).collect();
                prop_assert!(kept.len() <= BOUNDS.answers && answers.bytes <= BOUNDS.bytes);
                prop_assert_eq!(kept.iter().map(|answered| answered.bytes).sum::<usize>(), answers.bytes);
                prop_assert_eq!(kept.len(), answers.oldest_first.len());
                prop_assert_eq!(answers.entries.len(), kept.len() + running.len());
            }
        }
    }
}
