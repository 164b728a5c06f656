// SPDX-License-Identifier: AGPL-3.0-or-later
//! The life of a workspace: trial → subscribed → suspended → closed, and what its people may do in each.
//!
//! Nothing here deletes anything: a trial that is over, a suspension and a closing stop people, and each can be undone
//! until the cooling-off after a closing has passed.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::values::time::Timestamp;

pub mod leap;
pub mod policy;

/// A day.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Days for which a closed workspace can be reopened; the fewest unless somebody says otherwise, so that nobody shortens
/// what another one approved.
pub const COOLING_OFF_DAYS: RangeInclusive<u16> = 30..=365;
/// How long the former name of a workspace leads to it.
pub const FORWARD: Duration = Duration::from_secs(90 * DAY.as_secs());

/// On what terms a workspace is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// To try it out, until a moment.
    Trial {
        /// When it ends.
        ends_at: Timestamp,
    },
    /// Without an end.
    Subscribed,
}

/// Where a workspace is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// On trial, also when that is over.
    Trial,
    /// In use.
    Subscribed,
    /// Stopped by an operator.
    Suspended,
    /// On its way out.
    Closed,
}

impl Stage {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Subscribed => "subscribed",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
        }
    }
}

/// Why nobody may use a workspace now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standstill {
    /// Its trial is over.
    TrialOver,
    /// An operator suspended it.
    Suspended,
    /// It is closed.
    Closed,
}

/// A step that does not fit where the workspace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// It has no trial that could be extended.
    #[error("the workspace is subscribed, so there is no trial to extend")]
    NoTrial,
    /// An extension has to move the end forward, and past now.
    #[error("the new end of the trial is not later than now and than the present one")]
    NotLater,
    /// It is subscribed already.
    #[error("the workspace is subscribed already")]
    IsSubscribed,
    /// It is suspended already.
    #[error("the workspace is suspended already")]
    IsSuspended,
    /// It is not suspended.
    #[error("the workspace is not suspended")]
    NotSuspended,
    /// It is closed.
    #[error("the workspace is closed: reopen it first")]
    IsClosed,
    /// It is not closed.
    #[error("the workspace is not closed")]
    NotClosed,
    /// Its keys are about to be destroyed or gone.
    #[error("the cooling-off is over, so the workspace cannot be reopened")]
    TooLate,
}

/// What happens in a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The trial ends later.
    Extend {
        /// When.
        ends_at: Timestamp,
    },
    /// It has no end any more.
    Subscribe,
    /// Nobody may use it.
    Suspend,
    /// People may use it again.
    Resume,
    /// Nobody may use it, and it is deleted at a moment.
    Close {
        /// When.
        purge_at: Timestamp,
    },
    /// It is not deleted.
    Reopen {
        /// Whether nothing is deleted for now, so that it can be reopened later than that.
        is_kept: bool,
    },
}

/// The life of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// On what terms.
    pub term: Term,
    /// An operator stopped it.
    pub suspended: bool,
    /// It is closed, and deleted then.
    pub purge_at: Option<Timestamp>,
}

impl Life {
    /// One that goes on.
    pub const SUBSCRIBED: Self = Self { term: Term::Subscribed, suspended: false, purge_at: None };

    /// One that is tried out.
    pub const fn trial(ends_at: Timestamp) -> Self {
        Self { term: Term::Trial { ends_at }, ..Self::SUBSCRIBED }
    }

    /// Where it is.
    pub const fn stage(&self) -> Stage {
        match self {
            Self { purge_at: Some(_), .. } => Stage::Closed,
            Self { suspended: true, .. } => Stage::Suspended,
            Self { term: Term::Trial { .. }, .. } => Stage::Trial,
            Self { term: Term::Subscribed, .. } => Stage::Subscribed,
        }
    }

    /// Why nobody may use it now, if so. The gravest reason is told.
    pub fn standstill(&self, now: Timestamp) -> Option<Standstill> {
        match (self.stage(), self.term) {
            (Stage::Closed, _) => Some(Standstill::Closed),
            (Stage::Suspended, _) => Some(Standstill::Suspended),
            (_, Term::Trial { ends_at }) if now >= ends_at => Some(Standstill::TrialOver),
            _ => None,
        }
    }

    /// Whether it is to be deleted now.
    pub fn is_to_be_purged(&self, now: Timestamp) -> bool {
        self.purge_at.is_some_and(|purge_at| now >= purge_at)
    }

    /// The life after a step.
    pub fn after(self, step: Step, now: Timestamp) -> Result<Self, NotNow> {
        if self.purge_at.is_some() && !matches!(step, Step::Reopen { .. }) {
            return Err(NotNow::IsClosed);
        }
        match (step, self.term) {
            (Step::Extend { .. }, Term::Subscribed) => Err(NotNow::NoTrial),
            (Step::Extend { ends_at }, Term::Trial { ends_at: before }) if ends_at <= before.max(now) => {
                Err(NotNow::NotLater)
            }
            (Step::Extend { ends_at }, _) => Ok(Self { term: Term::Trial { ends_at }, ..self }),
            (Step::Subscribe, Term::Subscribed) => Err(NotNow::IsSubscribed),
            (Step::Subscribe, _) => Ok(Self { term: Term::Subscribed, ..self }),
            (Step::Suspend, _) if self.suspended => Err(NotNow::IsSuspended),
            (Step::Suspend, _) => Ok(Self { suspended: true, ..self }),
            (Step::Resume, _) if !self.suspended => Err(NotNow::NotSuspended),
            (Step::Resume, _) => Ok(Self { suspended: false, ..self }),
            (Step::Close { purge_at }, _) => Ok(Self { purge_at: Some(purge_at), ..self }),
            (Step::Reopen { is_kept }, _) => match self.purge_at {
                None => Err(NotNow::NotClosed),
                Some(_) if self.is_to_be_purged(now) && !is_kept => Err(NotNow::TooLate),
                Some(_) => Ok(Self { purge_at: None, ..self }),
            },
        }
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
    fn a_trial_ends_is_extended_and_becomes_a_subscription() {
        let trial = Life::trial(at(30));
        assert_eq!((trial.stage(), trial.standstill(at(29))), (Stage::Trial, None));
        assert_eq!(trial.standstill(at(30)), Some(Standstill::TrialOver));
        let extended = trial.after(Step::Extend { ends_at: at(40) }, at(31)).unwrap();
        assert_eq!(extended.standstill(at(31)), None);
        for (ends_at, now) in [(at(40), at(31)), (at(41), at(41)), (at(39), at(31))] {
            assert_eq!(extended.after(Step::Extend { ends_at }, now), Err(NotNow::NotLater));
        }
        let subscribed = extended.after(Step::Subscribe, at(50)).unwrap();
        assert_eq!((subscribed.stage(), subscribed.standstill(at(5_000))), (Stage::Subscribed, None));
        assert_eq!(subscribed.after(Step::Extend { ends_at: at(60) }, at(51)), Err(NotNow::NoTrial));
        assert_eq!(subscribed.after(Step::Subscribe, at(51)), Err(NotNow::IsSubscribed));
    }

    #[test]
    fn who_is_closed_can_only_be_reopened_and_only_while_it_cools_off() {
        let closed = Life::trial(at(9)).after(Step::Close { purge_at: at(40) }, at(10)).unwrap();
        assert_eq!((closed.stage(), closed.standstill(at(10))), (Stage::Closed, Some(Standstill::Closed)));
        for step in [
            Step::Extend { ends_at: at(90) },
            Step::Subscribe,
            Step::Suspend,
            Step::Resume,
            Step::Close { purge_at: at(90) },
        ] {
            assert_eq!(closed.after(step, at(11)), Err(NotNow::IsClosed));
        }
        let (reopen, reopen_kept) = (Step::Reopen { is_kept: false }, Step::Reopen { is_kept: true });
        assert_eq!(closed.after(reopen, at(39)).unwrap(), Life::trial(at(9)));
        assert_eq!(closed.after(reopen, at(40)), Err(NotNow::TooLate));
        assert_eq!(closed.after(reopen_kept, at(40)).unwrap(), Life::trial(at(9)));
        assert!(!closed.is_to_be_purged(at(39)) && closed.is_to_be_purged(at(40)));
    }

    fn step() -> impl Strategy<Value = (Step, i64)> {
        let steps = prop_oneof![
            (0_i64..200).prop_map(|day| Step::Extend { ends_at: at(day) }),
            Just(Step::Subscribe),
            Just(Step::Suspend),
            Just(Step::Resume),
            any::<bool>().prop_map(|is_kept| Step::Reopen { is_kept }),
            (0_i64..200).prop_map(|day| Step::Close { purge_at: at(day) }),
        ];
        (steps, 0_i64..200)
    }

    proptest! {
        /// Whatever operators do in whatever order: a suspension or closing outlives every other step, and what was
        /// subscribed is never on trial again.
        #[test]
        fn only_its_own_opposite_ends_a_suspension_or_a_closing(steps in proptest::collection::vec(step(), 0..60)) {
            let mut life = Life::trial(at(30));
            for (step, day) in steps {
                let Ok(after) = life.after(step, at(day)) else { continue };
                prop_assert!(!life.suspended || after.suspended || step == Step::Resume);
                let reopens = matches!(step, Step::Reopen { .. });
                prop_assert!(life.purge_at.is_none() || after.purge_at.is_some() || reopens);
                prop_assert!(life.term != Term::Subscribed || after.term == Term::Subscribed);
                let stopped = matches!(after.stage(), Stage::Suspended | Stage::Closed);
                prop_assert!(!stopped || after.standstill(at(day)).is_some());
                life = after;
            }
        }
    }
}
