// SPDX-License-Identifier: AGPL-3.0-or-later
//! A clock that leaps ahead does not end a cooling-off: closed workspaces are kept for another week, in which somebody
//! can set it right. A host that was off for long looks the same, and costs that week.

use std::time::Duration;

use crate::core::workspace::DAY;
use crate::values::time::Timestamp;

/// Further ahead than this since it was last looked at, the clock leapt. It is shorter than any cooling-off by far.
const LEAP: Duration = Duration::from_secs(7 * DAY.as_secs());
/// How long a clock that leapt is doubted.
const DOUBT: Duration = Duration::from_secs(7 * DAY.as_secs());
/// A clock that went back by less than this since it leapt was not set right.
const SLACK: Duration = DAY;
/// What was seen is kept again after this.
const KEPT_EVERY: Duration = Duration::from_secs(60 * 60);

/// What was seen of the clock while a workspace cools off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When it was last looked at.
    pub at: Timestamp,
    /// Where it was after a leap that is still doubted.
    pub leapt_to: Option<Timestamp>,
}

impl Seen {
    /// What is seen when nothing was before.
    pub const fn first(now: Timestamp) -> Self {
        Self { at: now, leapt_to: None }
    }

    /// What is seen at `now`, after this.
    #[must_use]
    pub fn look(self, now: Timestamp) -> Self {
        let doubted = self.leapt_to.filter(|to| now + SLACK >= *to && now < *to + DOUBT);
        Self { at: now, leapt_to: if now > self.at + LEAP { Some(now) } else { doubted } }
    }

    /// Until when nothing is deleted.
    pub fn kept_until(self) -> Option<Timestamp> {
        self.leapt_to.map(|to| to + DOUBT)
    }

    /// Whether `next` is to be stored in place of this.
    pub fn is_outdated_by(self, next: Self) -> bool {
        let apart = next.at.since(self.at).max(self.at.since(next.at));
        self.leapt_to != next.leapt_to || apart >= KEPT_EVERY
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(day: i64) -> Timestamp {
        Timestamp::from_millis(day * 86_400_000)
    }

    #[test]
    fn a_leap_is_doubted_for_a_week_or_until_the_clock_is_set() {
        let before = Seen::first(at(10));
        assert_eq!(before.look(at(17)).kept_until(), None);
        let leapt = before.look(at(375));
        assert_eq!(leapt.kept_until(), Some(at(382)));
        let later = leapt.look(at(376)).look(at(381));
        assert_eq!(later.kept_until(), Some(at(382)));
        assert_eq!(later.look(at(382)).kept_until(), None);
        // A correction of seconds, and one that sets it right.
        assert_eq!(leapt.look(at(375) - Duration::from_secs(3)).kept_until(), Some(at(382)));
        assert_eq!(leapt.look(at(11)), Seen::first(at(11)));
        // Another leap begins anew.
        assert_eq!(later.look(at(400)).kept_until(), Some(at(407)));
    }

    #[test]
    fn what_was_seen_is_kept_when_it_tells_something() {
        let before = Seen::first(at(10));
        assert!(!before.is_outdated_by(before.look(at(10) + Duration::from_secs(10))));
        assert!(before.is_outdated_by(before.look(at(10) + KEPT_EVERY)));
        assert!(before.is_outdated_by(before.look(at(9))));
        assert!(before.is_outdated_by(before.look(at(375))));
    }

    proptest! {
        /// However the clock goes: who looks often never passes more than a week of it without a week's notice.
        #[test]
        fn a_week_and_more_is_never_passed_unnoticed(steps in proptest::collection::vec(-400_i64..400, 1..40)) {
            let mut day = 1_000;
            let mut seen = Seen::first(at(day));
            for step in steps {
                day += step;
                let next = seen.look(at(day));
                if step > 7 {
                    prop_assert_eq!(next.kept_until(), Some(at(day + 7)));
                }
                if let Some(until) = next.kept_until() {
                    prop_assert!(at(day) < until && until <= at(day + 8));
                }
                seen = next;
            }
        }
    }
}
