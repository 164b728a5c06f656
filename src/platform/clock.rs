// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The only reader of time.
//!
//! Under `test-hooks` the clock can be moved and held while the appliance runs; the shipped binary cannot.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::values::time::{Moment, Timestamp};

/// The wall clock, and a clock that never goes back. Clones share one offset and one origin.
#[derive(Debug, Clone)]
pub struct Clock {
    origin: Instant,
    #[cfg(feature = "test-hooks")]
    offset_ms: std::sync::Arc<std::sync::atomic::AtomicI64>,
    #[cfg(feature = "test-hooks")]
    held: std::sync::Arc<std::sync::Mutex<Option<(Timestamp, Moment)>>>,
}

impl Clock {
    /// The clock of this machine.
    #[expect(clippy::disallowed_methods, reason = "this file is the one reader of the monotonic clock")]
    pub fn system() -> Self {
        Self {
            origin: Instant::now(),
            #[cfg(feature = "test-hooks")]
            offset_ms: std::sync::Arc::default(),
            #[cfg(feature = "test-hooks")]
            held: std::sync::Arc::default(),
        }
    }

    /// The moment it is on the clock that never goes back, which nobody moves.
    pub fn moment(&self) -> Moment {
        #[cfg(feature = "test-hooks")]
        if let Some((_, held)) = *self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner) {
            return held;
        }
        self.running_moment()
    }

    fn running_moment(&self) -> Moment {
        Moment::after_origin(self.instant().duration_since(self.origin))
    }

    /// The instant of a moment of this clock, for timers.
    pub fn instant_of(&self, moment: Moment) -> Instant {
        self.origin + moment.since(Moment::after_origin(std::time::Duration::ZERO))
    }

    /// What time it is. A clock before 1970 reads as 1970.
    #[expect(clippy::disallowed_methods, reason = "this file is the one reader of the wall clock")]
    pub fn now(&self) -> Timestamp {
        #[cfg(feature = "test-hooks")]
        if let Some((held, _)) = *self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner) {
            return held;
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(millis.saturating_add(self.offset_millis()))
    }

    /// A point for measuring how long something took; never moved by anybody.
    #[expect(clippy::disallowed_methods, reason = "this file is the one reader of the monotonic clock")]
    pub fn instant(&self) -> Instant {
        Instant::now()
    }

    #[cfg(feature = "test-hooks")]
    fn offset_millis(&self) -> i64 {
        self.offset_ms.load(std::sync::atomic::Ordering::Relaxed)
    }

    #[cfg(not(feature = "test-hooks"))]
    #[expect(clippy::unused_self, reason = "the twin under test-hooks reads the offset")]
    const fn offset_millis(&self) -> i64 {
        0
    }

    /// Moves the clock by `millis` from where it is now.
    #[cfg(feature = "test-hooks")]
    pub fn advance_millis(&self, millis: i64) {
        self.offset_ms.fetch_add(millis, std::sync::atomic::Ordering::Relaxed);
    }

    /// Holds the wall clock at a time and the other one where it is, or lets both run again. Not for meetings: their
    /// timers would wait for a moment that never comes.
    #[cfg(feature = "test-hooks")]
    pub fn hold(&self, at: Option<Timestamp>) {
        let held = at.map(|at| (at, self.running_moment()));
        *self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = held;
    }
}
