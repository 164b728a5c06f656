// SPDX-License-Identifier: AGPL-3.0-or-later
//! Softlock: a name that was tried wrongly waits, whether or not it exists.
//!
//! Keyed by workspace name and normalised user name as typed, before anything is looked up; so it tells an outsider
//! nothing. The map is bounded: when it is full, the entry that waited longest is forgotten.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::values::name::{UserName, WorkspaceName};
use crate::values::time::Timestamp;

/// Names remembered at most: about 20 MB.
const ENTRIES_MAX: usize = 65_536;
/// Wrong tries are forgotten after a day without one.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// The first waits; then each doubles the last, up to [`LONGEST_WAIT`].
const WAITS: [u64; 4] = [1, 3, 5, 10];
const LONGEST_WAIT: u64 = 900;
/// Names listed at most.
const LISTED_MAX: usize = 1_000;
/// Tries for one name that may be under way at once: a person's devices, and no more guesses than that in parallel.
const AT_ONCE: u32 = 4;

/// Who is trying to sign in, as typed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// The workspace they named.
    pub workspace: WorkspaceName,
    /// The user name they typed, in normal form.
    pub user: UserName,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    failures: u32,
    last: Timestamp,
}

/// The wait after `failures` wrong tries in a row.
fn wait(failures: u32) -> Duration {
    let index = usize::try_from(failures).unwrap_or(usize::MAX).saturating_sub(1);
    let seconds = match WAITS.get(index) {
        Some(seconds) => *seconds,
        None => {
            let doublings = u32::try_from(index + 1 - WAITS.len()).unwrap_or(u32::MAX).min(16);
            (10_u64 << doublings).min(LONGEST_WAIT)
        }
    };
    Duration::from_secs(seconds)
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Try {
    /// The credential was proven.
    Proven,
    /// It was not.
    Wrong,
    /// It was never decided: the caller went away, or the appliance was busy.
    Abandoned,
}

/// Wrong tries for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// How many in a row.
    pub failures: u32,
    /// When the last one was.
    pub last: Timestamp,
    /// When the next may be.
    pub next: Timestamp,
}

/// The memory of wrong tries, and of the tries under way.
#[derive(Debug, Default)]
pub struct Softlock {
    entries: HashMap<Subject, Entry>,
    oldest_first: BTreeSet<(Timestamp, Subject)>,
    under_way: HashMap<Subject, u32>,
}

impl Softlock {
    /// Begins a try, or says how long to wait. Every admitted try must be [settled](Softlock::settle).
    pub fn admit(&mut self, subject: &Subject, now: Timestamp) -> Result<(), Duration> {
        self.follow_clock(subject, now);
        if let Some(wait) = self.wait(subject, now) {
            return Err(wait);
        }
        let under_way = self.under_way.entry(subject.clone()).or_default();
        if *under_way >= AT_ONCE {
            return Err(Duration::from_secs(1));
        }
        *under_way += 1;
        Ok(())
    }

    /// Ends a try and says how many wrong ones there are now in a row.
    pub fn settle(&mut self, subject: &Subject, end: Try, now: Timestamp) -> u32 {
        if let Some(under_way) = self.under_way.get_mut(subject) {
            *under_way = under_way.saturating_sub(1);
            if *under_way == 0 {
                self.under_way.remove(subject);
            }
        }
        match end {
            Try::Wrong => self.fail(subject, now),
            Try::Proven => {
                self.forget(subject);
                0
            }
            Try::Abandoned => self.entries.get(subject).map_or(0, |entry| entry.failures),
        }
    }

    /// The names of a workspace that were tried wrongly in the last day, those that wait for longest first; so many at most.
    pub fn tried(&self, workspace: &WorkspaceName, now: Timestamp) -> Vec<(UserName, Tried)> {
        let of_it = self.entries.iter().filter(|(subject, _)| subject.workspace == *workspace);
        let recent = of_it.filter(|(_, entry)| now.since(entry.last) < FORGET_AFTER);
        let mut tried: Vec<_> = recent
            .map(|(subject, Entry { failures, last })| {
                let tried = Tried { failures: *failures, last: *last, next: *last + wait(*failures) };
                (subject.user.clone(), tried)
            })
            .collect();
        tried.sort_by(|(one, left), (other, right)| right.next.cmp(&left.next).then_with(|| one.cmp(other)));
        tried.truncate(LISTED_MAX);
        tried
    }

    /// Whether wrong tries are remembered of a name.
    pub fn has_tried(&self, subject: &Subject) -> bool {
        self.entries.contains_key(subject)
    }

    /// Forgets the wrong tries for a name. Those under way count on.
    pub fn clear(&mut self, subject: &Subject) {
        self.forget(subject);
    }

    /// How long `subject` has to wait before the next try; `None` when it may try now.
    fn wait(&self, subject: &Subject, now: Timestamp) -> Option<Duration> {
        let entry = self.entries.get(subject)?;
        wait(entry.failures).checked_sub(now.since(entry.last)).filter(|left| !left.is_zero())
    }

    /// A clock that stepped back locks nobody for longer than the wait itself: the wait begins anew, once.
    fn follow_clock(&mut self, subject: &Subject, now: Timestamp) {
        if self.entries.get(subject).is_some_and(|entry| entry.last > now)
            && let Some(entry) = self.forget(subject)
        {
            self.remember(subject, Entry { last: now, ..entry });
        }
    }

    fn remember(&mut self, subject: &Subject, entry: Entry) {
        self.entries.insert(subject.clone(), entry);
        self.oldest_first.insert((entry.last, subject.clone()));
    }

    fn fail(&mut self, subject: &Subject, now: Timestamp) -> u32 {
        let known = self.forget(subject).filter(|entry| now.since(entry.last) < FORGET_AFTER);
        if self.entries.len() >= ENTRIES_MAX
            && let Some((_, oldest)) = self.oldest_first.pop_first()
        {
            self.entries.remove(&oldest);
        }
        let failures = known.map_or(0, |entry| entry.failures).saturating_add(1);
        self.remember(subject, Entry { failures, last: now });
        failures
    }

    fn forget(&mut self, subject: &Subject) -> Option<Entry> {
        let (subject, entry) = self.entries.remove_entry(subject)?;
        self.oldest_first.remove(&(entry.last, subject));
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subject(user: &str) -> Subject {
        Subject { workspace: "demo".parse().unwrap(), user: user.parse().unwrap() }
    }

    #[test]
    fn waits_grow_as_documented_and_end_with_success() {
        let mut lock = Softlock::default();
        let ada = subject("ada");
        let mut now = Timestamp::from_millis(0);
        for expected in [1, 3, 5, 10, 20, 40, 80, 160, 320, 640, 900, 900] {
            lock.fail(&ada, now);
            assert_eq!(lock.wait(&ada, now), Some(Duration::from_secs(expected)));
            now = now + Duration::from_secs(expected);
            assert_eq!(lock.wait(&ada, now), None);
        }
        lock.fail(&ada, now);
        lock.settle(&ada, Try::Proven, now);
        assert_eq!(lock.wait(&ada, now), None);
        assert_eq!(lock.fail(&ada, now), 1);
    }

    #[test]
    fn who_waits_is_listed_of_its_workspace_and_may_be_let_go() {
        let mut lock = Softlock::default();
        let now = Timestamp::from_millis(0) + FORGET_AFTER;
        let elsewhere = Subject { workspace: "other".parse().unwrap(), ..subject("eve") };
        lock.fail(&elsewhere, now);
        lock.fail(&subject("old"), Timestamp::from_millis(0));
        lock.fail(&subject("bob"), now);
        for _ in 0..3 {
            lock.fail(&subject("ada"), now);
        }
        let listed = lock.tried(&"demo".parse().unwrap(), now);
        let names: Vec<_> = listed.iter().map(|(name, tried)| (name.as_str(), tried.failures)).collect();
        assert_eq!(names, [("ada", 3), ("bob", 1)]);
        assert_eq!(listed[0].1.next, now + Duration::from_secs(5));
        assert!(lock.has_tried(&subject("ada")));
        lock.clear(&subject("ada"));
        assert!(!lock.has_tried(&subject("ada")));
        assert_eq!(lock.admit(&subject("ada"), now), Ok(()));
    }

    #[test]
    fn guesses_do_not_run_in_parallel() {
        let mut lock = Softlock::default();
        let (ada, now) = (subject("ada"), Timestamp::from_millis(0));
        for _ in 0..AT_ONCE {
            assert_eq!(lock.admit(&ada, now), Ok(()));
        }
        assert_eq!(lock.admit(&ada, now), Err(Duration::from_secs(1)));
        assert_eq!(lock.admit(&subject("bob"), now), Ok(()));
        lock.settle(&ada, Try::Abandoned, now);
        assert_eq!(lock.admit(&ada, now), Ok(()));
        assert_eq!(lock.settle(&ada, Try::Wrong, now), 1);
        assert_eq!(lock.admit(&ada, now), Err(Duration::from_secs(1)));
    }

    #[test]
    fn a_clock_that_steps_back_starts_the_wait_anew_and_no_more() {
        let mut lock = Softlock::default();
        let (ada, late) = (subject("ada"), Timestamp::from_millis(0) + Duration::from_secs(7_200));
        lock.settle(&ada, Try::Wrong, late);
        let early = Timestamp::from_millis(0);
        assert_eq!(lock.admit(&ada, early), Err(Duration::from_secs(1)));
        assert_eq!(lock.admit(&ada, early + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn a_day_without_a_wrong_try_is_forgiven() {
        let mut lock = Softlock::default();
        let ada = subject("ada");
        lock.fail(&ada, Timestamp::from_millis(0));
        assert_eq!(lock.fail(&ada, Timestamp::from_millis(0) + FORGET_AFTER), 1);
    }

    proptest! {
        /// Whatever happens: the two indexes agree, and nobody waits longer than the longest wait, even when the
        /// clock jumps about.
        #[test]
        fn bounded_and_consistent(steps in proptest::collection::vec((0_u8..6, 0_i64..100_000_000, any::<bool>()), 1..200)) {
            let mut lock = Softlock::default();
            for (who, at, ok) in steps {
                let subject = subject(&format!("user{who}"));
                let now = Timestamp::from_millis(at);
                lock.settle(&subject, if ok { Try::Proven } else { Try::Wrong }, now);
                prop_assert_eq!(lock.entries.len(), lock.oldest_first.len());
                prop_assert!(lock.wait(&subject, now).unwrap_or_default() <= Duration::from_secs(LONGEST_WAIT));
            }
        }
    }
}
