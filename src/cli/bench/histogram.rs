// SPDX-License-Identifier: AGPL-3.0-or-later
//! Durations, counted in buckets that grow with them: percentiles without keeping every value.
//!
//! Below 128 ns a bucket is one nanosecond; above, each doubling has 64 buckets, so a percentile is at most 1/64 too
//! large. The largest value is kept exactly.

use std::time::Duration;

/// Buckets of each doubling: the precision.
const STEPS: u64 = 64;
/// log2 of `STEPS`.
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Buckets in all: durations up to 2^64 ns.
const BUCKETS: usize = ((64 - STEP_BITS + 1) as usize) * STEPS as usize;

/// Counted durations.
#[derive(Debug, Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get_mut(bucket_of(nanos)) {
            *bucket += 1;
        }
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    /// The largest; zero when there is none.
    pub const fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// The duration that this share (0 to 1) of all does not exceed; zero when there is none.
    pub fn percentile(&self, share: f64) -> Duration {
        let rank = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper_end(index).min(self.max));
            }
        }
        self.max()
    }
}

/// Which bucket counts a value: the position of its highest bit, and the bits after that.
fn bucket_of(nanos: u64) -> usize {
    let doubling = nanos.checked_ilog2().unwrap_or(0).saturating_sub(STEP_BITS);
    let index = u64::from(doubling) * STEPS + (nanos >> doubling);
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The largest value that a bucket counts.
fn upper_end(index: usize) -> u64 {
    let index = index as u64;
    let doubling = (index / STEPS).saturating_sub(1);
    let first = (index - doubling * STEPS) << doubling;
    first.saturating_add((1 << doubling) - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(nanos: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        nanos.into_iter().for_each(|nanos| histogram.record(Duration::from_nanos(nanos)));
        histogram
    }

    #[test]
    fn small_values_are_exact() {
        let histogram = of(1..=100);
        assert_eq!(histogram.percentile(0.5), Duration::from_nanos(50));
        assert_eq!(histogram.percentile(0.99), Duration::from_nanos(99));
        assert_eq!(histogram.percentile(0.0), Duration::from_nanos(1));
        assert_eq!(
            (histogram.percentile(1.0), histogram.max()),
            (Duration::from_nanos(100), Duration::from_nanos(100))
        );
    }

    #[test]
    fn without_values_everything_is_zero() {
        let histogram = Histogram::default();
        assert_eq!((histogram.percentile(0.99), histogram.max()), (Duration::ZERO, Duration::ZERO));
    }

    proptest! {
        #[test]
        fn every_value_is_in_a_bucket_that_ends_at_most_a_64th_above_it(nanos: u64) {
            let end = upper_end(bucket_of(nanos));
            prop_assert!(end >= nanos && end - nanos <= nanos / STEPS);
            prop_assert!(bucket_of(nanos) < BUCKETS);
            prop_assert!(bucket_of(end) == bucket_of(nanos));
        }
    }
}
