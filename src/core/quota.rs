// SPDX-License-Identifier: AGPL-3.0-or-later
//! How many requests one caller may send: a bucket each, in a map that is bounded.
//!
//! A caller whose bucket is full is as good as unknown, and is forgotten. When the map is full all the same, the one
//! goes whose bucket is nearest to full: it is given least by being forgotten.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use crate::core::room::rate::Bucket;
use crate::values::time::Moment;

/// Callers remembered at most: about 10 MB.
const CALLERS_MAX: usize = 65_536;
const MINUTE_NANOS: u64 = 60_000_000_000;

/// So many requests a minute, and so many at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// A minute.
    pub per_minute: u32,
    /// At once.
    pub burst: u32,
}

impl Quota {
    /// With the burst that goes with it: what comes in a quarter of a minute.
    pub fn per_minute(per_minute: u32) -> Self {
        Self { per_minute, burst: (per_minute / 4).max(1) }
    }

    fn bucket(self) -> Bucket {
        Bucket::with(self.cost(), self.burst)
    }

    /// Rounded up: never more than a minute's requests in a minute.
    fn cost(self) -> Duration {
        Duration::from_nanos(MINUTE_NANOS.div_ceil(u64::from(self.per_minute.max(1))))
    }

    /// How long an empty bucket takes to be full.
    pub fn window(self) -> Duration {
        self.cost() * self.burst
    }
}

/// What a caller has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// How long to wait, when this request is one too many.
    pub refused_for: Option<Duration>,
    /// How many more may come at once.
    pub requests: u32,
    /// When all may.
    pub full_in: Duration,
}

/// The buckets of all callers.
#[derive(Debug)]
pub struct Quotas<K> {
    quota: Quota,
    buckets: HashMap<K, Bucket>,
    fullest_first: BTreeSet<(Moment, K)>,
}

impl<K: Clone + Eq + Hash + Ord> Quotas<K> {
    /// Everybody has all of `quota`.
    pub fn new(quota: Quota) -> Self {
        Self { quota, buckets: HashMap::new(), fullest_first: BTreeSet::new() }
    }

    /// What everybody may.
    pub const fn quota(&self) -> Quota {
        self.quota
    }

    /// Counts a request.
    pub fn take(&mut self, caller: &K, now: Moment) -> Left {
        self.forget_the_full(now);
        let mut bucket = match self.buckets.remove(caller) {
            Some(bucket) => {
                self.fullest_first.remove(&(bucket.full_at(), caller.clone()));
                bucket
            }
            None => self.quota.bucket(),
        };
        let taken = bucket.take(now);
        let left = Left {
            refused_for: (!taken).then(|| bucket.wait(now)),
            requests: bucket.left(now),
            full_in: bucket.full_at().since(now),
        };
        if self.buckets.len() >= CALLERS_MAX
            && let Some((_, fullest)) = self.fullest_first.pop_first()
        {
            self.buckets.remove(&fullest);
        }
        self.fullest_first.insert((bucket.full_at(), caller.clone()));
        self.buckets.insert(caller.clone(), bucket);
        left
    }

    fn forget_the_full(&mut self, now: Moment) {
        while self.fullest_first.first().is_some_and(|(full_at, _)| *full_at <= now) {
            if let Some((_, caller)) = self.fullest_first.pop_first() {
                self.buckets.remove(&caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::after_origin(Duration::from_millis(millis))
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut quotas = Quotas::new(Quota::per_minute(6_000));
        for sent in 1..=1_500 {
            let left = quotas.take(&"a", at(0));
            assert_eq!((left.refused_for, left.requests), (None, 1_500 - sent));
        }
        let refused = quotas.take(&"a", at(0));
        assert_eq!(refused.refused_for, Some(Duration::from_millis(10)));
        assert_eq!((refused.requests, refused.full_in), (0, Duration::from_secs(15)));
        assert_eq!(quotas.take(&"b", at(0)).requests, 1_499, "others have theirs");
        assert_eq!(quotas.take(&"a", at(10)).refused_for, None);
        assert_eq!(quotas.take(&"a", at(60_000)).requests, 1_499);
        assert_eq!(Quota::per_minute(6_000).window(), Duration::from_secs(15));
    }

    #[test]
    fn the_map_is_bounded_and_the_busiest_is_remembered() {
        let mut quotas = Quotas::new(Quota { per_minute: 60, burst: 2 });
        quotas.take(&0, at(0));
        quotas.take(&0, at(0));
        for caller in 1..=CALLERS_MAX + 10 {
            quotas.take(&caller, at(0));
        }
        assert_eq!((quotas.buckets.len(), quotas.fullest_first.len()), (CALLERS_MAX, CALLERS_MAX));
        assert!(quotas.take(&0, at(0)).refused_for.is_some());
        quotas.take(&1, at(60_000));
        assert_eq!(quotas.buckets.len(), 1, "who may send everything again is forgotten");
    }

    proptest! {
        /// Never more than the burst and what the rate gave since.
        #[test]
        fn never_more_than_burst_and_rate(
            per_minute in 1_u32..10_000, burst in 1_u32..50,
            steps in proptest::collection::vec((0_u8..3, 0_u64..5_000), 1..300),
        ) {
            let mut quotas = Quotas::new(Quota { per_minute, burst });
            let mut admitted = [0_u64; 3];
            let mut now = 0;
            for (caller, later) in steps {
                now += later;
                if quotas.take(&caller, at(now)).refused_for.is_none() {
                    admitted[usize::from(caller)] += 1;
                }
                let rate = now * u64::from(per_minute) / 60_000;
                prop_assert!(admitted.iter().all(|sent| *sent <= u64::from(burst) + rate));
                prop_assert_eq!(quotas.buckets.len(), quotas.fullest_first.len());
            }
        }
    }
}
