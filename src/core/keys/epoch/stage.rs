// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The stages of an epoch on the appliance: announced, live, retiring. Each is a type that becomes the next one, so an
//! epoch cannot go back and cannot be sealed under before its switch.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::core::keys::epoch::reason::{Fate, LedgerEntry, Reasons};
use crate::core::keys::epoch::{RETIRE_STREAMS_AFTER, retire_after};
use crate::values::time::Moment;
use crate::wire::kid::{Channel, Epoch, Participant};

/// How long a switch waits for members that did not say they are ready. Control round trips below 400 ms, between any
/// two places on earth, fit in with a tick and a busy headset to spare.
pub(super) const READY_WITHIN: Duration = Duration::from_millis(500);
/// How long removals may put off a switch that already shuts somebody out. After it the announced epoch is switched to
/// as it is and the next one shuts out who went since. With [`READY_WITHIN`], nobody is shut out later than 1.5 s.
pub(super) const PUT_OFF_WITHIN: Duration = Duration::from_secs(1);

/// Its secret is on its way to the members.
#[derive(Debug)]
pub(super) struct Announced {
    pub epoch: Epoch,
    pub reasons: Reasons,
    pub at: Moment,
    /// When the first of those went whom this epoch shuts out.
    pub shuts_out_since: Option<Moment>,
    pub members: BTreeSet<Participant>,
    pub unready: BTreeSet<Participant>,
}

impl Announced {
    pub fn deadline(&self) -> Moment {
        self.at + READY_WITHIN
    }

    pub fn is_due(&self, now: Moment) -> bool {
        self.unready.is_empty() || now >= self.deadline()
    }

    /// Whether a removal now may discard this epoch.
    pub fn may_be_put_off(&self, now: Moment) -> bool {
        self.shuts_out_since.is_none_or(|since| now.since(since) < PUT_OFF_WITHIN)
    }

    pub fn forget(&mut self, member: Participant) {
        self.members.remove(&member);
        self.unready.remove(&member);
    }

    /// A member goes on under another number, as ready as it was.
    pub fn renumber(&mut self, old: Participant, new: Participant) {
        for numbers in [&mut self.members, &mut self.unready] {
            if numbers.remove(&old) {
                numbers.insert(new);
            }
        }
    }

    pub fn entry(&self, at: Moment, fate: Fate) -> LedgerEntry {
        LedgerEntry { epoch: self.epoch, reasons: self.reasons, at, fate }
    }

    pub fn switch(self, now: Moment) -> (Live, LedgerEntry) {
        let entry = self.entry(now, Fate::Switched { members: self.members.len(), late: self.unready.len() });
        (Live { epoch: self.epoch, reasons: self.reasons, since: now }, entry)
    }
}

/// The meeting seals under it.
#[derive(Debug)]
pub(super) struct Live {
    pub epoch: Epoch,
    pub reasons: Reasons,
    pub since: Moment,
}

impl Live {
    pub fn retire(self, now: Moment) -> Retiring {
        Retiring { epoch: self.epoch, reasons: self.reasons, since: now }
    }
}

/// The meeting seals under its successor; what was under way is still accepted, on streams longer than in datagrams.
#[derive(Debug)]
pub(super) struct Retiring {
    pub epoch: Epoch,
    reasons: Reasons,
    /// When its successor was switched to.
    since: Moment,
}

impl Retiring {
    pub fn accepts(&self, channel: Channel, now: Moment) -> bool {
        now < self.since + retire_after(channel)
    }

    /// When no channel takes it any longer.
    pub fn until(&self) -> Moment {
        self.since + RETIRE_STREAMS_AFTER
    }

    /// What the ledger says when it is over: at [`Retiring::until`], whenever somebody looks.
    pub fn end(self) -> LedgerEntry {
        LedgerEntry { epoch: self.epoch, reasons: self.reasons, at: self.until(), fate: Fate::Retired }
    }
}
