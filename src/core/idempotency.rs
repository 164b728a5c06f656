// SPDX-License-Identifier: AGPL-3.0-or-later
//! Answers that are given again: which request with an idempotency key runs, and which gets the answer of the first.
//!
//! In memory and bounded, in answers and in bytes: the oldest answer goes. Each owner has a bound besides, so that
//! nobody pushes out what others were answered. What is under way is never forgotten, so no two requests with one key
//! run at once. It knows neither what a request nor what an answer is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    /// Answers of one owner.
    pub answers_of_one: usize,
    /// Bytes of all of them, with what it takes to find them.
    pub bytes: usize,
}

/// Which request: whose, and a hash of all that tells it from others. Of one size whatever was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key<O> {
    /// Whose bound it counts for.
    pub owner: O,
    /// The hash.
    pub request: [u8; 32],
}

/// What a request said, as a hash: the same key with another one is a mistake of the caller's.
pub type Fingerprint = [u8; 32];

/// What an answer holds besides its own size.
pub trait Held {
    /// Bytes on the heap.
    fn heap_bytes(&self) -> usize;
}

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
pub struct Answers<O, A> {
    bounds: Bounds,
    entries: HashMap<Key<O>, Entry<A>>,
    oldest_first: BTreeMap<u64, Key<O>>,
    /// The places of each owner's answers.
    of_one: HashMap<O, BTreeSet<u64>>,
    next_place: u64,
    bytes: usize,
}

impl<O: Copy + Eq + Hash, A: Held> Answers<O, A> {
    /// What it takes to find an answer, and the answer itself without its heap. The owner counts as if each answer had
    /// one of its own.
    const ENTRY_BYTES: usize = size_of::<(Key<O>, Entry<A>)>()
        + size_of::<(u64, Key<O>)>()
        + size_of::<(O, BTreeSet<u64>, u64)>()
        + size_of::<A>();

    /// None yet.
    pub fn new(bounds: Bounds) -> Self {
        let (entries, oldest_first, of_one) = (HashMap::new(), BTreeMap::new(), HashMap::new());
        Self { bounds, entries, oldest_first, of_one, next_place: 0, bytes: 0 }
    }

    /// Decides about a request.
    pub fn begin(&mut self, key: &Key<O>, said: Fingerprint, now: Timestamp) -> Begun<A> {
        let answered = self.entries.get(key).and_then(|entry| entry.answer.as_ref());
        // A clock that stepped back makes no answer older.
        if answered.is_some_and(|answered| now.since(answered.at) >= KEPT_FOR) {
            self.remove(key);
        }
        match self.entries.get(key) {
            None => {
                self.entries.insert(*key, Entry { said, answer: None });
                Begun::Run
            }
            Some(entry) if entry.said != said => Begun::Reused,
            Some(Entry { answer: None, .. }) => Begun::InProgress,
            Some(Entry { answer: Some(answered), .. }) => Begun::Again(Arc::clone(&answered.answer)),
        }
    }

    /// Keeps the answer of a request that ran. One that alone is larger than the bound is not kept.
    pub fn finish(&mut self, key: &Key<O>, answer: A, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.answer.is_none()) else { return };
        let bytes = Self::ENTRY_BYTES + answer.heap_bytes();
        if bytes > self.bounds.bytes {
            self.entries.remove(key);
            return;
        }
        let place = self.next_place;
        entry.answer = Some(Answered { answer: Arc::new(answer), bytes, at: now, place });
        self.next_place += 1;
        self.bytes += bytes;
        self.oldest_first.insert(place, *key);
        let own = self.of_one.entry(key.owner).or_default();
        own.insert(place);
        let one_too_many = if own.len() > self.bounds.answers_of_one { own.first().copied() } else { None };
        self.remove_at(one_too_many);
        while self.oldest_first.len() > self.bounds.answers || self.bytes > self.bounds.bytes {
            self.remove_at(self.oldest_first.keys().next().copied());
        }
    }

    /// Forgets a request that ran and whose answer is not to be given again.
    pub fn abandon(&mut self, key: &Key<O>) {
        if self.entries.get(key).is_some_and(|entry| entry.answer.is_none()) {
            self.entries.remove(key);
        }
    }

    fn remove_at(&mut self, place: Option<u64>) {
        if let Some(key) = place.and_then(|place| self.oldest_first.get(&place).copied()) {
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &Key<O>) {
        let Some(Answered { bytes, place, .. }) = self.entries.remove(key).and_then(|entry| entry.answer) else {
            return;
        };
        self.bytes -= bytes;
        self.oldest_first.remove(&place);
        if let Some(own) = self.of_one.get_mut(&key.owner) {
            own.remove(&place);
            if own.is_empty() {
                self.of_one.remove(&key.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Held for String {
        fn heap_bytes(&self) -> usize {
            self.capacity()
        }
    }

    const ENTRY: usize = Answers::<u8, String>::ENTRY_BYTES;
    const BOUNDS: Bounds = Bounds { answers: 4, answers_of_one: 3, bytes: 4 * ENTRY + 100 };

    fn at(hours: u64) -> Timestamp {
        Timestamp::from_millis(0) + Duration::from_secs(hours * 60 * 60)
    }

    fn key(owner: u8, request: u8) -> Key<u8> {
        Key { owner, request: [request; 32] }
    }

    /// Runs the requests one after the other; says whether each was answered before.
    fn ask(answers: &mut Answers<u8, String>, keys: &[Key<u8>]) -> Vec<bool> {
        let mut again = Vec::new();
        for key in keys {
            again.push(matches!(answers.begin(key, [0; 32], at(0)), Begun::Again(_)));
            answers.finish(key, "made".to_owned(), at(0));
        }
        again
    }

    #[test]
    fn the_first_runs_and_its_answer_is_given_again_for_a_day() {
        let mut answers = Answers::new(BOUNDS);
        let (mine, one, other) = (key(1, 1), [1; 32], [2; 32]);
        assert!(matches!(answers.begin(&mine, one, at(0)), Begun::Run));
        assert!(matches!(answers.begin(&mine, one, at(0)), Begun::InProgress));
        assert!(matches!(answers.begin(&mine, other, at(0)), Begun::Reused));
        assert!(matches!(answers.begin(&key(1, 2), one, at(0)), Begun::Run));
        assert!(matches!(answers.begin(&key(2, 1), one, at(0)), Begun::Run));
        answers.finish(&mine, "made".to_owned(), at(0));
        assert!(matches!(answers.begin(&mine, one, at(23)), Begun::Again(answer) if *answer == "made"));
        assert!(matches!(answers.begin(&mine, other, at(23)), Begun::Reused));
        assert!(matches!(answers.begin(&mine, one, at(24)), Begun::Run));
    }

    #[test]
    fn what_is_abandoned_may_be_tried_again() {
        let mut answers: Answers<_, String> = Answers::new(BOUNDS);
        assert!(matches!(answers.begin(&key(1, 1), [1; 32], at(0)), Begun::Run));
        answers.abandon(&key(1, 1));
        assert!(matches!(answers.begin(&key(1, 1), [2; 32], at(0)), Begun::Run));
    }

    #[test]
    fn the_oldest_answer_goes_first() {
        let mut answers = Answers::new(BOUNDS);
        let five = [key(1, 0), key(2, 0), key(3, 0), key(4, 0), key(5, 0)];
        ask(&mut answers, &five);
        assert!(matches!(answers.begin(&five[1], [0; 32], at(0)), Begun::Again(_)));
        assert!(matches!(answers.begin(&five[0], [0; 32], at(0)), Begun::Run));
    }

    #[test]
    fn who_asks_much_pushes_out_only_their_own() {
        let mut answers = Answers::new(BOUNDS);
        ask(&mut answers, &[key(1, 0)]);
        ask(&mut answers, &(0..100).map(|request| key(2, request)).collect::<Vec<_>>());
        assert_eq!(ask(&mut answers, &[key(1, 0), key(2, 97), key(2, 98), key(2, 99)]), [true; 4]);
        assert_eq!(ask(&mut answers, &[key(2, 96)]), [false]);
    }

    proptest! {
        /// Whatever comes in whatever order: never more than the bounds, the books agree with what is held, and no two
        /// run at once.
        #[test]
        fn bounded_and_one_at_a_time(
            steps in proptest::collection::vec((0_u8..3, 0_u8..5, 0_u8..3, 0_u8..2, 0_usize..700, 0_u64..60), 1..200),
        ) {
            let mut answers = Answers::new(BOUNDS);
            let mut running = std::collections::HashSet::new();
            for (owner, request, what, said, bytes, hours) in steps {
                let key = key(owner, request);
                match what {
                    0 => if matches!(answers.begin(&key, [said; 32], at(hours)), Begun::Run) {
                        prop_assert!(running.insert(key));
                    },
                    1 => { answers.finish(&key, String::with_capacity(bytes), at(hours)); running.remove(&key); }
                    _ => { answers.abandon(&key); running.remove(&key); }
                }
                let kept: Vec<_> = answers.entries.iter().filter(|(_, entry)| entry.answer.is_some()).collect();
                let held: usize = kept.iter().map(|(_, entry)| ENTRY + entry.answer.as_ref().unwrap().answer.capacity()).sum();
                prop_assert!(kept.len() <= BOUNDS.answers && held <= BOUNDS.bytes);
                prop_assert_eq!(held, answers.bytes);
                prop_assert_eq!(kept.len(), answers.oldest_first.len());
                prop_assert_eq!(answers.entries.len(), kept.len() + running.len());
                for owner in 0..3 {
                    let own = kept.iter().filter(|(key, _)| key.owner == owner).count();
                    prop_assert!(own <= BOUNDS.answers_of_one);
                    prop_assert_eq!(own, answers.of_one.get(&owner).map_or(0, BTreeSet::len));
                }
            }
        }
    }
}
