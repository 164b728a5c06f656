// SPDX-License-Identifier: AGPL-3.0-or-later
//! A clock that leaps ahead ends no cooling-off: from then on closed workspaces are kept until the appliance has run for
//! as long as the shortest cooling-off, or the clock is set right. A host that was off for long looks the same.
//!
//! That time is added up from one look to the next, and no more than an hour for each, so it does not pass on a host
//! that is off.

use std::time::Duration;

use crate::core::workspace::{COOLING_OFF_DAYS, DAY};
use crate::values::time::Timestamp;

/// Further ahead than this since it was last looked at, the clock leapt. It is shorter than any cooling-off by far.
const LEAP: Duration = Duration::from_secs(7 * DAY.as_secs());
/// How long the appliance has to run before a clock that leapt is believed.
const DOUBT: Duration = Duration::from_secs(*COOLING_OFF_DAYS.start() as u64 * DAY.as_secs());
/// What was seen is kept again after this; no more counts as time that the appliance ran.
const KEPT_EVERY: Duration = Duration::from_secs(60 * 60);

/// A clock that leapt and was not set right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// What time it was before, when somebody knows.
    pub before: Option<Timestamp>,
    /// How long the appliance has run since.
    pub ran: Duration,
}

impl Doubt {
    /// How long it has to run until the clock is believed.
    pub fn left(self) -> Duration {
        DOUBT.saturating_sub(self.ran)
    }
}

/// What was seen of the clock while a workspace cools off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When it was last looked at.
    pub at: Timestamp,
    /// Whether it is doubted.
    pub doubt: Option<Doubt>,
}

impl Seen {
    /// What is seen when nothing has to be doubted.
    pub const fn first(now: Timestamp) -> Self {
        Self { at: now, doubt: None }
    }

    /// What is seen at `now`, after `before`. When nobody knows what was before, the clock may have leapt.
    #[must_use]
    pub fn look(before: Option<Self>, now: Timestamp) -> Self {
        let unknown = Self { at: now, doubt: Some(Doubt { before: None, ran: Duration::ZERO }) };
        let Self { at, doubt } = before.unwrap_or(unknown);
        let passed = now.since(at);
        let doubt = if passed > LEAP {
            Some(Doubt { before: doubt.map_or(Some(at), |doubt| doubt.before), ran: Duration::ZERO })
        } else {
            let ran = |doubt: Doubt| Doubt { ran: doubt.ran + passed.min(KEPT_EVERY), ..doubt };
            let is_wrong = |doubt: &Doubt| doubt.before.is_none_or(|before| now > before + doubt.ran + LEAP);
            doubt.map(ran).filter(|doubt| doubt.ran < DOUBT && is_wrong(doubt))
        };
        Self { at: now, doubt }
    }

    /// Whether `next` is to be stored in place of this.
    pub fn is_outdated_by(self, next: Self) -> bool {
        let apart = next.at.since(self.at).max(self.at.since(next.at));
        self.doubt.map(|doubt| doubt.before) != next.doubt.map(|doubt| doubt.before) || apart >= KEPT_EVERY
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(day: i64) -> Timestamp {
        Timestamp::from_millis(day * 86_400_000)
    }

    fn doubted_since(seen: Seen) -> Option<Timestamp> {
        seen.doubt.and_then(|doubt| doubt.before)
    }

    /// After `days` in which somebody looks at the clock each hour.
    fn running(seen: Seen, days: u32) -> Seen {
        (0..days * 24).fold(seen, |seen, _| Seen::look(Some(seen), seen.at + KEPT_EVERY))
    }

    #[test]
    fn a_leap_is_doubted_until_the_clock_is_set_or_the_appliance_ran_for_long() {
        let before = Seen::first(at(10));
        assert_eq!(doubted_since(Seen::look(Some(before), at(17))), None);
        let leapt = Seen::look(Some(before), at(375));
        assert_eq!(doubted_since(leapt), Some(at(10)));
        assert_eq!(doubted_since(running(leapt, 29)), Some(at(10)));
        assert_eq!(doubted_since(running(leapt, 30)), None);
        // A host that is off meanwhile runs no shorter.
        let off = Seen::look(Some(running(leapt, 29)), at(375 + 29 + 7));
        assert_eq!(doubted_since(off), Some(at(10)));
        assert_eq!(doubted_since(running(off, 1)), None);
        // A correction of seconds, one of days that does not set it right, and those that do, at once and later.
        for partly in [at(375) - Duration::from_secs(3), at(373), at(20)] {
            assert_eq!(doubted_since(Seen::look(Some(leapt), partly)), Some(at(10)));
        }
        assert_eq!(Seen::look(Some(leapt), at(11)), Seen::first(at(11)));
        assert_eq!(Seen::look(Some(running(leapt, 20)), at(31)), Seen::first(at(31)));
        // Another leap begins anew, and what is right stays what it was before the first.
        let again = Seen::look(Some(running(leapt, 20)), at(900));
        assert_eq!(again.doubt, Some(Doubt { before: Some(at(10)), ran: Duration::ZERO }));
    }

    #[test]
    fn who_knows_nothing_doubts() {
        let unknown = Seen::look(None, at(20_000));
        assert_eq!(unknown.doubt, Some(Doubt { before: None, ran: Duration::ZERO }));
        assert!(running(unknown, 29).doubt.is_some());
        assert_eq!(running(unknown, 30).doubt, None);
    }

    #[test]
    fn what_was_seen_is_kept_when_it_tells_something() {
        let before = Seen::first(at(10));
        let outdated = |now| before.is_outdated_by(Seen::look(Some(before), now));
        assert!(!outdated(at(10) + Duration::from_secs(10)));
        assert!(outdated(at(10) + KEPT_EVERY) && outdated(at(9)) && outdated(at(375)));
    }

    proptest! {
        /// However the clock goes: who passed a week and more at once believes it again only where it was, or after it
        /// ran for thirty days.
        #[test]
        fn no_leap_is_believed_by_setting_the_clock_elsewhere(hours in proptest::collection::vec(-9_000_i64..9_000, 1..60)) {
            let mut now = at(1_000);
            let mut seen = Seen::first(now);
            let mut right: Option<Timestamp> = None;
            for step in hours {
                now = Timestamp::from_millis(now.as_millis() + step * 3_600_000);
                let next = Seen::look(Some(seen), now);
                if step > 7 * 24 {
                    right = right.or(Some(seen.at));
                    prop_assert_eq!(next.doubt.map(|doubt| doubt.ran), Some(Duration::ZERO));
                }
                if next.doubt.is_none() && let Some(before) = right {
                    // Fewer looks than thirty days have hours.
                    prop_assert!(now <= before + LEAP + KEPT_EVERY * 60);
                    right = None;
                }
                prop_assert_eq!(doubted_since(next), right);
                seen = next;
            }
        }
    }
}
