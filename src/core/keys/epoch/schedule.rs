// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The key schedule of one meeting, on the appliance: a pure state machine.
//!
//! After every call drain [`Schedule::poll_output`], then wait until [`Schedule::poll_timeout`] and call
//! [`Schedule::handle_timeout`]. Invariants: at most one epoch is announced and not yet switched to; a secret leaves in
//! one [`Output::Deliver`] and is not kept; nobody is in an output after it was removed; nobody gets an epoch that was
//! announced before it came. It does not know how outputs travel, nor who may join, remove or rotate.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand_core::CryptoRng;

use crate::core::keys::epoch::number::{NoNumber, Numbers};
use crate::core::keys::epoch::reason::{Fate, LedgerEntry, Reason, Reasons, Removal};
use crate::core::keys::epoch::stage::{Announced, Live, Retiring};
use crate::core::keys::epoch::{EpochSecret, RotationInterval};
use crate::values::time::Moment;
use crate::wire::kid::{Channel, Epoch, Participant};

/// How long joins, and rotations on demand, wait for others to share an epoch with: a crowd that comes within a second
/// costs four epochs instead of hundreds, and a quarter of a second is not noticed while a room loads.
const COALESCE_WITHIN: Duration = Duration::from_millis(250);

/// What is to be done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Announce the epoch: seal the secret for each of these members, then drop it.
    Deliver {
        /// Which epoch.
        epoch: Epoch,
        /// Its secret. This is the only one there is.
        secret: EpochSecret,
        /// Who gets it.
        to: Vec<Participant>,
    },
    /// Tell these members to seal under the epoch from now on. Each of them was to be delivered its secret before.
    Switch {
        /// Which epoch.
        epoch: Epoch,
        /// Who is told.
        to: Vec<Participant>,
    },
    /// Write this down.
    Ledger(LedgerEntry),
    /// All 2^32 epochs are used up: end the meeting. Keys never repeat.
    Exhausted,
}

impl Output {
    /// A member that came back is meant by its new number.
    pub fn renumber(&mut self, old: Participant, new: Participant) {
        if let Self::Deliver { to, .. } | Self::Switch { to, .. } = self {
            to.iter_mut().filter(|member| **member == old).for_each(|member| *member = new);
        }
    }
}

/// Why the relay refuses a frame by its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum EpochRefused {
    /// There is no such member (any more).
    #[error("the participant is not in the meeting")]
    NotAMember,
    /// Not switched to yet, or never: discarded.
    #[error("the epoch has not begun")]
    Future,
    /// Retired, or discarded.
    #[error("the epoch is over")]
    Stale,
    /// Older than the first one the member was given.
    #[error("the epoch is older than the member")]
    BeforeJoin,
}

/// The participant is not in the meeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("participant {0} is not in the meeting")]
pub struct NotAMember(pub Participant);

/// Why a member does not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplaceError {
    /// There is nobody to come back.
    #[error(transparent)]
    NotAMember(#[from] NotAMember),
    /// There is no number left.
    #[error(transparent)]
    NoNumber(#[from] NoNumber),
}

/// The schedule of one meeting.
#[derive(Debug)]
pub struct Schedule {
    interval: RotationInterval,
    numbers: Numbers,
    members: BTreeMap<Participant, Member>,
    /// The last epoch announced; 0 is announced to nobody.
    newest: Epoch,
    announced: Option<Announced>,
    live: Option<Live>,
    /// Oldest first.
    retiring: VecDeque<Retiring>,
    wanted: Option<Wanted>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Member {
    /// The first epoch it was given.
    since: Option<Epoch>,
}

/// A new epoch that is not announced yet.
#[derive(Debug)]
struct Wanted {
    reasons: Reasons,
    due: Moment,
    shuts_out_since: Option<Moment>,
}

impl Schedule {
    /// A meeting without members.
    pub const fn new(interval: RotationInterval) -> Self {
        Self {
            interval,
            numbers: Numbers::starting_at(Participant(0)),
            members: BTreeMap::new(),
            newest: Epoch(0),
            announced: None,
            live: None,
            retiring: VecDeque::new(),
            wanted: None,
            outputs: VecDeque::new(),
        }
    }

    /// Keys change this often from now on.
    pub const fn set_interval(&mut self, interval: RotationInterval) {
        self.interval = interval;
    }

    /// Somebody comes, and gets the epoch that is announced for it and no older one.
    pub fn join(&mut self, now: Moment, rng: &mut impl CryptoRng) -> Result<Participant, NoNumber> {
        let participant = self.numbers.take(self.newest)?;
        self.members.insert(participant, Member { since: None });
        self.want(Reason::Join, now + COALESCE_WITHIN, None);
        self.advance(now, rng);
        Ok(participant)
    }

    /// A member comes back over a new carrier, under a fresh number. It goes on with the epochs it was handed, also with
    /// one that is announced, and gets the next one like somebody who joins. What is still in an output for it goes to the
    /// new number. While it was away nothing changed here: it was handed secrets like everybody.
    pub fn replace(
        &mut self,
        old: Participant,
        now: Moment,
        rng: &mut impl CryptoRng,
    ) -> Result<Participant, ReplaceError> {
        if !self.members.contains_key(&old) {
            return Err(NotAMember(old).into());
        }
        let participant = self.numbers.take(self.newest)?;
        let member = self.members.remove(&old).ok_or(NotAMember(old))?;
        self.numbers.give_back(old, self.newest);
        self.members.insert(participant, member);
        if let Some(announced) = &mut self.announced {
            announced.renumber(old, participant);
        }
        self.outputs.iter_mut().for_each(|output| output.renumber(old, participant));
        self.want(Reason::Join, now + COALESCE_WITHIN, None);
        self.advance(now, rng);
        Ok(participant)
    }

    /// A member goes, and is in no output from here on.
    pub fn remove(
        &mut self,
        participant: Participant,
        removal: Removal,
        now: Moment,
        rng: &mut impl CryptoRng,
    ) -> Result<(), NotAMember> {
        let member = self.forget(participant)?;
        if self.members.is_empty() {
            self.discard(now);
            self.wanted = None;
        } else if member.since.is_some() {
            self.shut_out(participant, removal, now);
        }
        self.advance(now, rng);
        Ok(())
    }

    /// A member says that it has the secret of `epoch`. What it says of any other epoch means nothing.
    pub fn ready(&mut self, participant: Participant, epoch: Epoch, now: Moment, rng: &mut impl CryptoRng) {
        if let Some(announced) = self.announced.as_mut().filter(|announced| announced.epoch == epoch) {
            announced.unready.remove(&participant);
        }
        self.advance(now, rng);
    }

    /// Somebody who may asks for a new epoch.
    pub fn rotate(&mut self, now: Moment, rng: &mut impl CryptoRng) {
        if !self.members.is_empty() {
            self.want(Reason::Demand, now + COALESCE_WITHIN, None);
        }
        self.advance(now, rng);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Moment, rng: &mut impl CryptoRng) {
        self.advance(now, rng);
    }

    /// When [`Schedule::handle_timeout`] is due, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let begin = match &self.announced {
            Some(announced) => Some(announced.deadline()),
            None => earliest(self.wanted.as_ref().map(|wanted| wanted.due), self.rotation_due()),
        };
        earliest(begin, self.retiring.front().map(Retiring::until))
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether the relay takes what `participant` sealed under `epoch` for a channel. It does not know of barriers.
    pub fn accepts(
        &self,
        epoch: Epoch,
        participant: Participant,
        channel: Channel,
        now: Moment,
    ) -> Result<(), EpochRefused> {
        let member = self.members.get(&participant).ok_or(EpochRefused::NotAMember)?;
        let live = self.live.as_ref().ok_or(EpochRefused::Future)?;
        if epoch > live.epoch {
            return Err(EpochRefused::Future);
        }
        let retiring = self.retiring.iter().any(|retiring| retiring.epoch == epoch && retiring.accepts(channel, now));
        if epoch != live.epoch && !retiring {
            return Err(EpochRefused::Stale);
        }
        if member.may_have(epoch) { Ok(()) } else { Err(EpochRefused::BeforeJoin) }
    }

    /// Whether the relay hands `participant` what was sealed under `epoch`.
    pub fn routes(&self, epoch: Epoch, participant: Participant) -> bool {
        self.members.get(&participant).is_some_and(|member| member.may_have(epoch))
    }

    /// The epoch the meeting seals under.
    pub fn live(&self) -> Option<Epoch> {
        self.live.as_ref().map(|live| live.epoch)
    }

    /// Those in the meeting, by number.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Participant> {
        self.members.keys().copied()
    }

    fn forget(&mut self, participant: Participant) -> Result<Member, NotAMember> {
        let member = self.members.remove(&participant).ok_or(NotAMember(participant))?;
        self.numbers.give_back(participant, self.newest);
        for output in &mut self.outputs {
            if let Output::Deliver { to, .. } | Output::Switch { to, .. } = output {
                to.retain(|member| *member != participant);
            }
        }
        Ok(member)
    }

    /// Sees to it that somebody who had keys does not have those of the next epoch.
    fn shut_out(&mut self, participant: Participant, removal: Removal, now: Moment) {
        if self.announced.as_ref().is_some_and(|announced| announced.may_be_put_off(now)) {
            self.discard(now);
        } else if let Some(announced) = &mut self.announced {
            announced.forget(participant);
        }
        self.want(Reason::from(removal), now, Some(now));
    }

    /// Takes back what is announced; its reasons are those of the next one.
    fn discard(&mut self, now: Moment) {
        let Some(announced) = self.announced.take() else { return };
        self.outputs.retain(|output| !matches!(output, Output::Deliver { epoch, .. } if *epoch == announced.epoch));
        self.outputs.push_back(Output::Ledger(announced.entry(now, Fate::Discarded)));
        self.want(announced.reasons, now, announced.shuts_out_since);
    }

    fn want(&mut self, reasons: impl Into<Reasons>, due: Moment, shuts_out_since: Option<Moment>) {
        let reasons = reasons.into();
        self.wanted = Some(match self.wanted.take() {
            None => Wanted { reasons, due, shuts_out_since },
            Some(wanted) => Wanted {
                reasons: wanted.reasons.and(reasons),
                due: wanted.due.min(due),
                shuts_out_since: earliest(wanted.shuts_out_since, shuts_out_since),
            },
        });
    }

    fn rotation_due(&self) -> Option<Moment> {
        let live = self.live.as_ref().filter(|_| !self.members.is_empty())?;
        Some(live.since + self.interval.as_duration())
    }

    fn advance(&mut self, now: Moment, rng: &mut impl CryptoRng) {
        if let Some(announced) = self.announced.take_if(|announced| announced.is_due(now)) {
            self.switch(announced, now);
        }
        while let Some(over) = self.retiring.pop_front_if(|retiring| now >= retiring.until()) {
            self.outputs.push_back(Output::Ledger(over.end()));
        }
        if self.announced.is_none() {
            if self.rotation_due().is_some_and(|due| now >= due) {
                self.want(Reason::Timer, now, None);
            }
            if let Some(wanted) = self.wanted.take_if(|wanted| now >= wanted.due) {
                self.announce(wanted, now, rng);
            }
        }
    }

    fn switch(&mut self, announced: Announced, now: Moment) {
        let (epoch, to) = (announced.epoch, announced.members.iter().copied().collect());
        let (live, entry) = announced.switch(now);
        if let Some(last) = self.live.replace(live) {
            self.retiring.push_back(last.retire(now));
        }
        self.outputs.extend([Output::Switch { epoch, to }, Output::Ledger(entry)]);
    }

    fn announce(&mut self, wanted: Wanted, now: Moment, rng: &mut impl CryptoRng) {
        let Some(epoch) = self.newest.0.checked_add(1).map(Epoch) else {
            self.outputs.push_back(Output::Exhausted);
            return;
        };
        self.newest = epoch;
        for member in self.members.values_mut() {
            member.since.get_or_insert(epoch);
        }
        let announced = Announced {
            epoch,
            reasons: wanted.reasons,
            at: now,
            shuts_out_since: wanted.shuts_out_since,
            members: self.members.keys().copied().collect(),
            unready: self.members.keys().copied().collect(),
        };
        let entry = announced.entry(now, Fate::Announced { members: self.members.len() });
        let to = self.members.keys().copied().collect();
        let secret = EpochSecret::random(rng);
        self.outputs.extend([Output::Deliver { epoch, secret, to }, Output::Ledger(entry)]);
        self.announced = Some(announced);
    }
}

impl Member {
    fn may_have(&self, epoch: Epoch) -> bool {
        self.since.is_some_and(|since| epoch >= since)
    }
}

/// The earlier one of those there are.
fn earliest(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::keys::epoch::simulation::Seeded;

    const ADA: Participant = Participant(0);
    const BOB: Participant = Participant(1);

    fn at(millis: u64) -> Moment {
        Moment::after_origin(Duration::from_millis(millis))
    }

    fn rng() -> Seeded {
        Seeded(1)
    }

    /// Who is handed which epoch, who is told to switch to which, and what the ledger says, without the rest.
    fn drain(schedule: &mut Schedule) -> Vec<String> {
        let show = |output| match output {
            Output::Deliver { epoch, to, .. } => format!("deliver {epoch} to {}", to.len()),
            Output::Switch { epoch, to } => format!("switch {} to {epoch}", to.len()),
            Output::Ledger(LedgerEntry { epoch, reasons, fate, .. }) => format!("{epoch} {reasons:?} {fate:?}"),
            Output::Exhausted => "exhausted".to_owned(),
        };
        std::iter::from_fn(|| schedule.poll_output()).map(show).collect()
    }

    /// `people` who joined together and switched to epoch 1, at 300 ms.
    fn meeting(people: u16) -> Schedule {
        let mut schedule = Schedule::new(RotationInterval::default());
        (0..people).for_each(|number| assert_eq!(schedule.join(at(0), &mut rng()), Ok(Participant(number))));
        assert_eq!(schedule.poll_timeout(), Some(at(250)));
        schedule.handle_timeout(at(250), &mut rng());
        (0..people).for_each(|number| schedule.ready(Participant(number), Epoch(1), at(300), &mut rng()));
        assert_eq!(schedule.live(), Some(Epoch(1)));
        drain(&mut schedule);
        schedule
    }

    #[test]
    fn a_crowd_shares_an_epoch_and_the_timer_begins_the_next() {
        let mut schedule = meeting(3);
        assert_eq!(schedule.poll_timeout(), Some(at(30_300)));
        schedule.handle_timeout(at(30_300), &mut rng());
        schedule.ready(BOB, Epoch(2), at(30_400), &mut rng());
        schedule.handle_timeout(at(30_800), &mut rng());
        assert_eq!(schedule.poll_timeout(), Some(at(45_800)));
        schedule.handle_timeout(at(45_800), &mut rng());
        let expected = [
            "deliver 2 to 3",
            "2 {Timer} Announced { members: 3 }",
            "switch 3 to 2",
            "2 {Timer} Switched { members: 3, late: 2 }",
            "1 {Join} Retired",
        ];
        assert_eq!(drain(&mut schedule), expected);
    }

    #[test]
    fn the_relay_says_why_it_does_not_accept_an_epoch() {
        let mut schedule = meeting(2);
        let carl = schedule.join(at(1_000), &mut rng()).unwrap();
        schedule.handle_timeout(at(1_250), &mut rng());
        assert_eq!(schedule.accepts(Epoch(2), ADA, Channel::Event, at(1_749)), Err(EpochRefused::Future));
        schedule.handle_timeout(at(1_750), &mut rng());
        for (channel, until) in
            [(Channel::Pose, 3_750), (Channel::Voice, 3_750), (Channel::Event, 16_750), (Channel::Screen, 16_750)]
        {
            let accepts = |epoch, who, millis| schedule.accepts(Epoch(epoch), who, channel, at(millis));
            assert_eq!(accepts(2, carl, 1_750), Ok(()));
            assert_eq!(accepts(1, carl, 1_750), Err(EpochRefused::BeforeJoin));
            assert_eq!(accepts(1, ADA, until - 1), Ok(()));
            assert_eq!(accepts(1, ADA, until), Err(EpochRefused::Stale));
            assert_eq!(accepts(2, ADA, 60_000), Ok(()));
            assert_eq!(accepts(2, Participant(9), 1_750), Err(EpochRefused::NotAMember));
        }
        assert!(schedule.routes(Epoch(2), carl) && !schedule.routes(Epoch(1), carl));
    }

    #[test]
    fn announce_then_kick_discards_and_hands_the_kicked_nothing_not_even_what_waits() {
        let mut schedule = meeting(3);
        schedule.rotate(at(1_000), &mut rng());
        schedule.handle_timeout(at(1_250), &mut rng());
        schedule.remove(BOB, Removal::Kicked, at(1_251), &mut rng()).unwrap();
        schedule.handle_timeout(at(1_751), &mut rng());
        let mut outputs: Vec<Output> = std::iter::from_fn(|| schedule.poll_output()).collect();
        for output in &outputs {
            if let Output::Deliver { epoch, to, .. } | Output::Switch { epoch, to } = output {
                assert!(*epoch == Epoch(3) && !to.contains(&BOB), "{output:?}");
            }
        }
        schedule.outputs.extend(outputs.drain(..));
        let expected = [
            "2 {Demand} Announced { members: 3 }",
            "2 {Demand} Discarded",
            "deliver 3 to 2",
            "3 {Kick, Demand} Announced { members: 2 }",
            "switch 2 to 3",
            "3 {Kick, Demand} Switched { members: 2, late: 2 }",
        ];
        assert_eq!(drain(&mut schedule), expected);
        assert_eq!(schedule.remove(BOB, Removal::Left, at(2_000), &mut rng()), Err(NotAMember(BOB)));

        schedule.rotate(at(3_000), &mut rng());
        schedule.handle_timeout(at(3_250), &mut rng());
        schedule.ready(ADA, Epoch(4), at(3_260), &mut rng());
        schedule.ready(Participant(2), Epoch(4), at(3_260), &mut rng());
        schedule.remove(ADA, Removal::Left, at(3_261), &mut rng()).unwrap();
        let told = |output: &Output| matches!(output, Output::Switch { to, .. } if to.contains(&ADA));
        assert!(!schedule.outputs.iter().any(told));
    }

    #[test]
    fn removals_in_a_row_put_a_switch_off_for_a_second() {
        let mut schedule = meeting(20);
        let mut switched = None;
        for number in 0..15 {
            let now = at(1_000 + 100 * u64::from(number));
            schedule.handle_timeout(now, &mut rng());
            schedule.remove(Participant(number), Removal::Left, now, &mut rng()).unwrap();
            switched = switched.or(schedule.live().filter(|live| *live > Epoch(1)).map(|_| number));
        }
        // Announced for the last time at 1.9 s; switched to 500 ms later, when number 14 goes.
        assert_eq!(switched, Some(14));
    }

    #[test]
    fn who_comes_back_goes_on_under_another_number() {
        let mut schedule = meeting(2);
        let again = schedule.replace(ADA, at(1_000), &mut rng()).unwrap();
        assert_eq!(again, Participant(2));
        assert_eq!(schedule.accepts(Epoch(1), again, Channel::Pose, at(1_000)), Ok(()));
        assert_eq!(schedule.accepts(Epoch(1), ADA, Channel::Pose, at(1_000)), Err(EpochRefused::NotAMember));
        schedule.handle_timeout(at(1_250), &mut rng());
        assert_eq!(drain(&mut schedule), ["deliver 2 to 2", "2 {Join} Announced { members: 2 }"]);
    }

    #[test]
    fn who_comes_back_while_an_epoch_is_announced_is_waited_for_and_told_of_the_switch() {
        let mut schedule = meeting(2);
        schedule.rotate(at(1_000), &mut rng());
        schedule.handle_timeout(at(1_250), &mut rng());
        let again = schedule.replace(ADA, at(1_260), &mut rng()).unwrap();
        let Some(Output::Deliver { to, .. }) = schedule.poll_output() else { unreachable!() };
        assert_eq!(to, [again, BOB]);
        schedule.ready(BOB, Epoch(2), at(1_270), &mut rng());
        schedule.ready(ADA, Epoch(2), at(1_270), &mut rng());
        assert_eq!(schedule.live(), Some(Epoch(1)));
        schedule.ready(again, Epoch(2), at(1_280), &mut rng());
        assert_eq!(schedule.live(), Some(Epoch(2)));
        let told = |output: &Output| matches!(output, Output::Switch { to, .. } if *to == [BOB, again]);
        assert!(schedule.outputs.iter().any(told));
    }

    #[test]
    fn an_empty_meeting_waits_for_nothing_but_what_retires() {
        let mut schedule = meeting(2);
        schedule.rotate(at(1_000), &mut rng());
        schedule.remove(ADA, Removal::Left, at(1_000), &mut rng()).unwrap();
        schedule.remove(BOB, Removal::Lost, at(1_001), &mut rng()).unwrap();
        assert_eq!((schedule.poll_timeout(), schedule.live()), (None, Some(Epoch(1))));
    }

    #[test]
    fn the_last_epoch_ends_the_meeting_and_none_comes_again() {
        let mut schedule = meeting(1);
        schedule.newest = Epoch(u32::MAX);
        schedule.rotate(at(1_000), &mut rng());
        schedule.handle_timeout(at(1_250), &mut rng());
        assert_eq!(drain(&mut schedule), ["exhausted"]);
    }
}
