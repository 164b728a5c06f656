// SPDX-License-Identifier: AGPL-3.0-or-later
//! What one person must not do alone: one asks, another one agrees, and it is done once.

use std::time::Duration;

use crate::values::time::Timestamp;

/// How long a request waits for somebody to decide.
pub const OPEN_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long what was agreed on may be done.
pub const USABLE_FOR: Duration = Duration::from_secs(24 * 60 * 60);

macro_rules! deeds {
    ($($variant:ident $name:literal, $doc:literal;)*) => {
        /// What takes two persons.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Deed {
            $(#[doc = $doc] $variant,)*
        }

        impl Deed {
            /// All of them, in the order of the documents.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// The name in the API and in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

deeds! {
    EraseAccount "account.erase", "Erase an account and what is stored of the person.";
    CloseWorkspace "workspace.close", "Close a workspace, which is deleted after its cooling-off.";
    ExportWorkspace "workspace.export", "Export everything of a workspace.";
}

impl Deed {
    /// The deed with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|deed| deed.as_str() == name)
    }
}

/// What the second person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may be done.
    Approved,
    /// It may not.
    Rejected,
}

impl Verdict {
    /// The name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }
}

/// Somebody did something at a moment. Who: as the audit names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A request and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// What is to be done.
    pub deed: Deed,
    /// To what, by its id.
    pub target: [u8; 16],
    /// Who wants it.
    pub requested: Signature,
    /// What another one said.
    pub decided: Option<(Verdict, Signature)>,
    /// That it was done.
    pub used: Option<Signature>,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody decided yet.
    Pending,
    /// It may be done now.
    Approved,
    /// It must not be done.
    Rejected,
    /// It was done.
    Used,
    /// Nobody decided, or nobody did it, in time.
    Expired,
}

impl Standing {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Used => "used",
            Self::Expired => "expired",
        }
    }
}

/// Why something cannot be decided or done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSo {
    /// Whoever decides came, or got a password, after it was asked for.
    #[error("whoever decides was made, or given a password, after it was asked for")]
    TooNew,
    /// Whoever asked cannot agree with themselves.
    #[error("whoever asked for it cannot approve it: somebody else has to")]
    OwnRequest,
    /// It is not waiting for a decision.
    #[error("the request is not pending any more")]
    NotPending,
    /// It may not be done, or not any more.
    #[error("the request is not approved, or not any more")]
    NotApproved,
    /// It was approved for something else.
    #[error("the request is for something else")]
    Another,
}

impl Approval {
    /// A fresh request.
    pub const fn request(deed: Deed, target: [u8; 16], by: String, now: Timestamp) -> Self {
        Self { deed, target, requested: Signature { by, at: now }, decided: None, used: None }
    }

    /// Where it stands.
    pub fn standing(&self, now: Timestamp) -> Standing {
        match (&self.used, &self.decided) {
            (Some(_), _) => Standing::Used,
            (None, Some((Verdict::Rejected, _))) => Standing::Rejected,
            (None, _) if now >= self.expires_at() => Standing::Expired,
            (None, Some((Verdict::Approved, _))) => Standing::Approved,
            (None, None) => Standing::Pending,
        }
    }

    /// Until when it can be decided or, once approved, be done.
    pub fn expires_at(&self) -> Timestamp {
        self.decided.as_ref().map_or(self.requested.at + OPEN_FOR, |(_, decided)| decided.at + USABLE_FOR)
    }

    /// The second person decides. Whoever asked may only withdraw, which is to reject. `since`: from when on this person
    /// has the account and its password; nobody makes a second person for a request.
    pub fn decide(
        &mut self,
        verdict: Verdict,
        by: String,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), NotSo> {
        if self.standing(now) != Standing::Pending {
            return Err(NotSo::NotPending);
        }
        if verdict == Verdict::Approved && by == self.requested.by {
            return Err(NotSo::OwnRequest);
        }
        if verdict == Verdict::Approved && since.is_some_and(|since| since > self.requested.at) {
            return Err(NotSo::TooNew);
        }
        self.decided = Some((verdict, Signature { by, at: now }));
        Ok(())
    }

    /// It is done, once, and is what was agreed on.
    pub fn use_up(&mut self, deed: Deed, target: [u8; 16], by: String, now: Timestamp) -> Result<(), NotSo> {
        if (self.deed, self.target) != (deed, target) {
            return Err(NotSo::Another);
        }
        if self.standing(now) != Standing::Approved {
            return Err(NotSo::NotApproved);
        }
        self.used = Some(Signature { by, at: now });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TARGET: [u8; 16] = [1; 16];

    const fn hour(hours: i64) -> Timestamp {
        Timestamp::from_millis(hours * 3_600_000)
    }

    fn asked() -> Approval {
        Approval::request(Deed::EraseAccount, TARGET, "ada".to_owned(), hour(0))
    }

    #[test]
    fn two_persons_do_it_once() {
        let mut approval = asked();
        assert_eq!(approval.decide(Verdict::Approved, "ada".to_owned(), None, hour(1)), Err(NotSo::OwnRequest));
        assert_eq!(approval.use_up(Deed::EraseAccount, TARGET, "ada".to_owned(), hour(1)), Err(NotSo::NotApproved));
        approval.decide(Verdict::Approved, "bob".to_owned(), None, hour(2)).unwrap();
        assert_eq!(approval.decide(Verdict::Rejected, "bob".to_owned(), None, hour(2)), Err(NotSo::NotPending));
        assert_eq!(approval.use_up(Deed::EraseAccount, [2; 16], "ada".to_owned(), hour(3)), Err(NotSo::Another));
        assert_eq!(approval.use_up(Deed::CloseWorkspace, TARGET, "ada".to_owned(), hour(3)), Err(NotSo::Another));
        approval.use_up(Deed::EraseAccount, TARGET, "ada".to_owned(), hour(3)).unwrap();
        assert_eq!(approval.use_up(Deed::EraseAccount, TARGET, "ada".to_owned(), hour(3)), Err(NotSo::NotApproved));
        assert_eq!(approval.standing(hour(900)), Standing::Used);
    }

    #[test]
    fn time_runs_out_twice() {
        let mut late = asked();
        assert_eq!(late.decide(Verdict::Approved, "bob".to_owned(), None, hour(0) + OPEN_FOR), Err(NotSo::NotPending));
        assert_eq!(late.standing(hour(0) + OPEN_FOR), Standing::Expired);
        let mut unused = asked();
        unused.decide(Verdict::Approved, "bob".to_owned(), None, hour(5)).unwrap();
        let over = hour(5) + USABLE_FOR;
        assert_eq!(unused.use_up(Deed::EraseAccount, TARGET, "ada".to_owned(), over), Err(NotSo::NotApproved));
    }

    #[test]
    fn nobody_makes_a_second_person_for_a_request() {
        let mut approval = asked();
        let decide =
            |approval: &mut Approval, since| approval.decide(Verdict::Approved, "bob".to_owned(), Some(since), hour(2));
        assert_eq!(decide(&mut approval, hour(1)), Err(NotSo::TooNew));
        assert_eq!(decide(&mut approval, hour(0)), Ok(()));
    }

    #[test]
    fn whoever_asked_may_withdraw() {
        let mut approval = asked();
        approval.decide(Verdict::Rejected, "ada".to_owned(), None, hour(1)).unwrap();
        assert_eq!(approval.standing(hour(1)), Standing::Rejected);
    }

    #[derive(Debug, Clone)]
    enum Act {
        Decide(bool, usize),
        Use(usize, usize, bool),
    }

    fn act() -> impl Strategy<Value = (Act, i64)> {
        let acts = prop_oneof![
            (any::<bool>(), 0_usize..3).prop_map(|(yes, who)| Act::Decide(yes, who)),
            (0_usize..3, 0_usize..3, any::<bool>()).prop_map(|(deed, who, same)| Act::Use(deed, who, same)),
        ];
        (acts, 0_i64..60)
    }

    proptest! {
        /// Whatever three people try, in whatever order and however late: what is done was asked for by one, agreed on by
        /// another, within both times, and is done once.
        #[test]
        fn nothing_is_done_that_two_did_not_agree_on(acts in proptest::collection::vec(act(), 0..40)) {
            let people = ["ada", "bob", "eve"];
            let mut approval = asked();
            let (mut now, mut uses) = (0, 0);
            for (act, later) in acts {
                now += later;
                let at = hour(now);
                match act {
                    Act::Decide(yes, who) => {
                        let verdict = if yes { Verdict::Approved } else { Verdict::Rejected };
                        let _ = approval.decide(verdict, people[who].to_owned(), None, at);
                    }
                    Act::Use(deed, who, same) => {
                        let target = if same { TARGET } else { [9; 16] };
                        if approval.use_up(Deed::ALL[deed], target, people[who].to_owned(), at).is_ok() {
                            uses += 1;
                            let (verdict, decided) = approval.decided.clone().unwrap();
                            prop_assert_eq!(verdict, Verdict::Approved);
                            prop_assert_ne!(&decided.by, &approval.requested.by);
                            prop_assert!(decided.at < hour(0) + OPEN_FOR && at < decided.at + USABLE_FOR);
                            prop_assert!(same && Deed::ALL[deed] == Deed::EraseAccount);
                        }
                    }
                }
            }
            prop_assert!(uses <= 1);
        }
    }
}
