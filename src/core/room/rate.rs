// SPDX-License-Identifier: AGPL-3.0-or-later
//! How much of a channel one participant may send: a token bucket, exact in microseconds.

use std::time::Duration;

use crate::values::time::Moment;
use crate::wire::kid::Channel;

/// So many a second, and so many at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// A second.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

impl Rate {
    /// What a channel takes. Poses come at 72 to 120 Hz and voice at 50 (20 ms) or 100 (10 ms); the burst lets a stalled
    /// network deliver half a second at once. Screen counts groups.
    pub const fn of(channel: Channel) -> Self {
        match channel {
            Channel::Pose | Channel::Voice => Self { per_second: 120, burst: 60 },
            Channel::Event => Self { per_second: 20, burst: 40 },
            Channel::Screen => Self { per_second: 10, burst: 20 },
        }
    }
}

/// What is left of a [`Rate`]: counted in time, so that nothing is rounded.
#[derive(Debug, Clone)]
pub struct Bucket {
    cost: Duration,
    depth: Duration,
    /// When it is full.
    full_at: Moment,
}

impl Bucket {
    /// A full one.
    pub fn new(rate: Rate) -> Self {
        Self::with(Duration::from_secs(1) / rate.per_second.max(1), rate.burst)
    }

    /// A full one, which takes `cost` for each and holds `burst` of them.
    pub fn with(cost: Duration, burst: u32) -> Self {
        Self { cost, depth: cost * burst, full_at: Moment::after_origin(Duration::ZERO) }
    }

    /// When it is full.
    pub const fn full_at(&self) -> Moment {
        self.full_at
    }

    /// How many are in it.
    pub fn left(&self, now: Moment) -> u32 {
        let left = self.depth.saturating_sub(self.full_at.since(now)).as_nanos();
        u32::try_from(left / self.cost.as_nanos().max(1)).unwrap_or(u32::MAX)
    }

    /// Takes one, when there is one.
    pub fn take(&mut self, now: Moment) -> bool {
        let full_at = self.full_at.max(now) + self.cost;
        let allowed = full_at.since(now) <= self.depth;
        if allowed {
            self.full_at = full_at;
        }
        allowed
    }

    /// How long until there is one.
    pub fn wait(&self, now: Moment) -> Duration {
        (self.full_at.max(now) + self.cost).since(now).saturating_sub(self.depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut bucket = Bucket::new(Rate { per_second: 20, burst: 40 });
        let at = |millis| Moment::after_origin(Duration::from_millis(millis));
        let taken = |bucket: &mut Bucket, from: u64, to: u64| (from..to).filter(|ms| bucket.take(at(*ms))).count();
        assert_eq!((0..100).filter(|_| bucket.take(at(0))).count(), 40);
        assert_eq!(bucket.wait(at(0)), Duration::from_millis(50));
        assert_eq!(bucket.wait(at(60)), Duration::ZERO);
        assert_eq!(taken(&mut bucket, 0, 10_001), 200);
        assert_eq!((0..100).filter(|_| bucket.take(at(20_000))).count(), 40);
    }
}
