// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The keys of one member of a meeting: it seals under the epoch the meeting switched to, and opens what arrives.
//!
//! Invariants: what it seals under only goes forward, so no key meets a counter twice, whatever arrives how often and
//! in which order; an epoch never switched to is never sealed under; an epoch is kept after the switch to a later one, 2 s
//! for poses and voices and 30 s for events and screens. Keys derive when they are first needed. It does not know how
//! secrets arrive, nor who else is there.
//!
//! Secrets come in the order of their boxes. Whoever lost its carrier tells [`MemberKeys::renumber`] which epoch is live
//! and hands in the boxes it missed: between the last epoch it knew and the live one it cannot tell those that were
//! switched to from those that were discarded, so it keeps them all, as long as an epoch that was switched from.

use std::collections::BTreeMap;

use crate::core::keys::epoch::parked::{Full, ParkedFrames};
use crate::core::keys::epoch::{EpochSecret, KEEP_STREAMS_FOR, RETIRE_DATAGRAMS_AFTER, keep_for, retire_after};
use crate::core::replay::{Replay, Replayed};
use crate::values::id::MeetingId;
use crate::values::time::Moment;
use crate::wire::frame::{Clear, Frame, FrameError, FrameOpener, FrameSealer};
use crate::wire::kid::{Channel, Epoch, Kid, Participant};

/// Why a frame was not sealed or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// No epoch was switched to yet, or the secret of the one that was has not come for as long as the one before it is
    /// accepted: 2 s for poses and voices, 15 s for events and screens.
    #[error("there is no epoch to seal under")]
    NoEpoch,
    /// The epoch is over, or discarded, or older than the sender's barrier.
    #[error("the epoch is over")]
    Stale,
    /// Too many events or frames of a screen wait for a secret that has not come.
    #[error("too much waits for the secret of an epoch")]
    Full,
    /// The frame says it is our own.
    #[error("the frame names its receiver as the sender")]
    Own,
    /// It was here before, or is too late.
    #[error(transparent)]
    Replayed(#[from] Replayed),
    /// Not a frame, or not sealed under this key.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// What became of a secret that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// It is new: say that we are ready, then open [what waited for it](MemberKeys::receive_parked).
    Ready,
    /// It was here before, or one of a later epoch was: nothing changed.
    Nothing,
}

/// What became of a frame that arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'o> {
    /// It opened.
    Opened {
        /// Sender, channel and epoch.
        kid: Kid,
        /// Its counter under that key.
        counter: u64,
        /// What the relay could read of it; authentic now.
        clear: Clear,
        /// What was sealed.
        plain: &'o [u8],
    },
    /// It came before the secret of its epoch, and waits.
    Parked {
        /// An older pose or voice that waited was dropped for it.
        displaced: bool,
    },
}

/// The keys of one member.
#[derive(Debug)]
pub struct MemberKeys {
    meeting: MeetingId,
    participant: Participant,
    /// Numbers this member had before it came back, and the newest epoch it can have sealed under with each. What it sent
    /// may reach it now; somebody else may have the number, but in later epochs only.
    former: BTreeMap<Participant, Epoch>,
    epochs: BTreeMap<Epoch, Known>,
    /// The newest epoch whose secret was ever here.
    newest: Option<Epoch>,
    /// The newest epoch that is said to be switched to; its secret may still be missing.
    switched: Option<Epoch>,
    sealing: Option<Sealing>,
    /// The screen's keys of earlier epochs: a group of frames keeps the epoch it began with.
    screens: BTreeMap<(Epoch, Participant), FrameSealer>,
    /// The last barrier of each sender.
    barriers: BTreeMap<Participant, Epoch>,
    parked: ParkedFrames,
}

/// An epoch whose secret is here.
#[derive(Debug)]
struct Known {
    secret: EpochSecret,
    /// When we heard of the switch to a later one, or got the secret when that was later.
    retiring_since: Option<Moment>,
    senders: BTreeMap<(Participant, Channel), Opening>,
}

#[derive(Debug)]
struct Opening {
    opener: FrameOpener,
    replay: Replay,
}

/// The epoch sealed under. A number this member had before it came back keeps its keys, so that none begins again.
#[derive(Debug)]
struct Sealing {
    epoch: Epoch,
    keys: BTreeMap<(Participant, Channel), FrameSealer>,
}

impl MemberKeys {
    /// A member that has just joined: it has no epoch.
    pub fn new(meeting: MeetingId, participant: Participant) -> Self {
        Self {
            meeting,
            participant,
            former: BTreeMap::new(),
            epochs: BTreeMap::new(),
            newest: None,
            switched: None,
            sealing: None,
            screens: BTreeMap::new(),
            barriers: BTreeMap::new(),
            parked: ParkedFrames::default(),
        }
    }

    /// Goes on under another number, after coming back over a new carrier; `live` is what Welcome says the meeting seals
    /// under. Then hand in the boxes that were missed. Under an epoch that was over meanwhile nothing is sealed any more.
    pub fn renumber(&mut self, participant: Participant, live: Option<Epoch>, now: Moment) {
        if participant != self.participant {
            if let Some(newest) = self.newest {
                self.former.insert(self.participant, newest);
            }
            self.participant = participant;
        }
        if let Some(live) = live {
            self.switch(live, now);
            self.sealing.take_if(|sealing| sealing.epoch < live);
        }
    }

    /// The secret of an epoch arrived, in the order of the boxes. One that was announced before it and is later than the
    /// epoch switched to was discarded.
    pub fn announce(&mut self, epoch: Epoch, secret: EpochSecret, now: Moment) -> Learned {
        if self.newest.is_some_and(|newest| epoch <= newest) {
            return Learned::Nothing;
        }
        self.newest = Some(epoch);
        let switched = self.switched;
        self.epochs.retain(|known, _| switched.is_some_and(|switched| *known <= switched));
        let retiring_since = switched.filter(|switched| epoch < *switched).map(|_| now);
        self.epochs.insert(epoch, Known { secret, retiring_since, senders: BTreeMap::new() });
        self.begin_sealing();
        self.expire(now);
        Learned::Ready
    }

    /// The meeting switched to an epoch. Hearing of it again, or of an earlier one, changes nothing.
    pub fn switch(&mut self, epoch: Epoch, now: Moment) {
        if self.switched.is_some_and(|switched| epoch <= switched) {
            return;
        }
        self.switched = Some(epoch);
        for (_, known) in self.epochs.range_mut(..epoch) {
            known.retiring_since.get_or_insert(now);
        }
        self.begin_sealing();
        self.expire(now);
    }

    /// A sender's barrier arrived: of its events that arrive from here on, none is sealed under an epoch before this one.
    /// Those that arrived before it and wait for their secret are opened all the same.
    pub fn barrier(&mut self, sender: Participant, epoch: Epoch) {
        let barrier = self.barriers.entry(sender).or_insert(epoch);
        *barrier = epoch.max(*barrier);
        let (barrier, opening) = (*barrier, (sender, Channel::Event));
        self.epochs.range_mut(..barrier).for_each(|(_, known)| drop(known.senders.remove(&opening)));
    }

    /// The epoch that the next frame is sealed under. When it is later than that of the last event that was sealed, write
    /// a barrier with it on the event stream before the next event; the first event under a number needs none.
    pub fn sealing(&self) -> Option<Epoch> {
        self.sealing.as_ref().map(|sealing| sealing.epoch)
    }

    /// Seals a frame into the start of `out` and says how many bytes it takes.
    pub fn seal(
        &mut self,
        channel: Channel,
        clear: Clear,
        plain: &[u8],
        now: Moment,
        out: &mut [u8],
    ) -> Result<usize, MemberError> {
        let sealing = self.sealing.as_mut().ok_or(MemberError::NoEpoch)?;
        let known = self.epochs.get(&sealing.epoch).filter(|known| known.seals(channel, now));
        let secret = &known.ok_or(MemberError::NoEpoch)?.secret;
        let sealer = match sealing.keys.entry((self.participant, channel)) {
            std::collections::btree_map::Entry::Occupied(sealer) => sealer.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                let kid = Kid { epoch: sealing.epoch, participant: self.participant, channel };
                place.insert(FrameSealer::derive(secret.expose(), self.meeting, kid)?)
            }
        };
        Ok(sealer.seal(clear, plain, out)?)
    }

    /// Seals a frame of a screen under the epoch that its group began with, as long as that lives. Do not go on with a
    /// group after a switch when somebody went since it began: who went has its key.
    pub fn seal_screen(
        &mut self,
        epoch: Epoch,
        plain: &[u8],
        now: Moment,
        out: &mut [u8],
    ) -> Result<usize, MemberError> {
        if self.sealing().is_none_or(|sealing| sealing == epoch) {
            return self.seal(Channel::Screen, Clear::Nothing, plain, now, out);
        }
        let lives = self.epochs.get(&epoch).is_some_and(|known| known.seals(Channel::Screen, now));
        let sealer = self.screens.get_mut(&(epoch, self.participant)).filter(|_| lives);
        Ok(sealer.ok_or(MemberError::Stale)?.seal(Clear::Nothing, plain, out)?)
    }

    /// Opens a frame into the start of `out`, or parks it when the secret of its epoch has not come.
    pub fn receive<'o>(
        &mut self,
        frame: &Frame<'_>,
        now: Moment,
        out: &'o mut [u8],
    ) -> Result<Received<'o>, MemberError> {
        let kid = frame.kid();
        if self.is_own(kid) {
            return Err(MemberError::Own);
        }
        let barrier = self.barriers.get(&kid.participant).filter(|_| kid.channel == Channel::Event);
        if barrier.is_some_and(|barrier| kid.epoch < *barrier) {
            return Err(MemberError::Stale);
        }
        if !self.epochs.contains_key(&kid.epoch) && self.may_come(kid.epoch) {
            let parked = self.parked.park(kid, frame.as_bytes(), now);
            return parked.map(|displaced| Received::Parked { displaced }).map_err(|Full| MemberError::Full);
        }
        self.open(frame, now, out)
    }

    /// Opens the next frame that waited for a secret that is here now; those of a sender and channel come in the order in
    /// which they arrived. Call it after [`MemberKeys::announce`] until there is nothing left.
    pub fn receive_parked<'o>(&mut self, now: Moment, out: &'o mut [u8]) -> Option<Result<Received<'o>, MemberError>> {
        self.parked.expire(now);
        let epochs = &self.epochs;
        let bytes = self.parked.take(|epoch| epochs.contains_key(&epoch))?;
        Some(match Frame::decode(&bytes) {
            Ok(frame) => self.open(&frame, now, out),
            Err(error) => Err(error.into()),
        })
    }

    /// Forgets epochs that are over and frames that waited too long, and says how many frames those were.
    pub fn expire(&mut self, now: Moment) -> usize {
        self.epochs.retain(|_, known| known.lives(Channel::Event, now));
        for known in self.epochs.values_mut().filter(|known| known.keeps_datagrams_too_long(now)) {
            known.senders.retain(|(_, channel), _| keep_for(*channel) > RETIRE_DATAGRAMS_AFTER);
        }
        let epochs = &self.epochs;
        // A key goes with its secret: the relay takes nothing of it any longer.
        self.sealing.take_if(|sealing| !epochs.contains_key(&sealing.epoch));
        self.screens.retain(|(epoch, _), _| epochs.contains_key(epoch));
        self.parked.expire(now)
    }

    /// When [`MemberKeys::expire`] has something to do.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.epochs.values().filter_map(Known::until).chain(self.parked.until()).min()
    }

    fn is_own(&self, kid: Kid) -> bool {
        let last = self.former.get(&kid.participant);
        kid.participant == self.participant || last.is_some_and(|last| kid.epoch <= *last)
    }

    /// Whether the secret of an epoch that is not here may still come.
    fn may_come(&self, epoch: Epoch) -> bool {
        self.newest.is_none_or(|newest| epoch > newest)
    }

    fn open<'o>(&mut self, frame: &Frame<'_>, now: Moment, out: &'o mut [u8]) -> Result<Received<'o>, MemberError> {
        let (kid, counter, clear) = (frame.kid(), frame.counter(), frame.clear());
        let known = self.epochs.get_mut(&kid.epoch).filter(|known| known.lives(kid.channel, now));
        let known = known.ok_or(MemberError::Stale)?;
        let sender = (kid.participant, kid.channel);
        if let Some(opening) = known.senders.get_mut(&sender) {
            let plain = opening.open(frame, out)?;
            return Ok(Received::Opened { kid, counter, clear, plain });
        }
        let opener = FrameOpener::derive(known.secret.expose(), self.meeting, kid)?;
        let mut opening = Opening { opener, replay: Replay::new(kid.channel) };
        let plain = opening.open(frame, out)?;
        // Kept only now: what does not open takes no room.
        known.senders.insert(sender, opening);
        Ok(Received::Opened { kid, counter, clear, plain })
    }

    /// Seals under the epoch switched to, once its secret is here.
    fn begin_sealing(&mut self) {
        let Some(switched) = self.switched.filter(|switched| self.epochs.contains_key(switched)) else { return };
        if self.sealing.as_ref().is_none_or(|sealing| sealing.epoch < switched) {
            let before = self.sealing.replace(Sealing { epoch: switched, keys: BTreeMap::new() });
            if let Some(Sealing { epoch, keys }) = before {
                let screens = keys.into_iter().filter(|((_, channel), _)| *channel == Channel::Screen);
                self.screens.extend(screens.map(|((participant, _), sealer)| ((epoch, participant), sealer)));
            }
        }
    }
}

impl Known {
    /// Whether the relay may still take what is sealed under it.
    fn seals(&self, channel: Channel, now: Moment) -> bool {
        self.retiring_since.is_none_or(|since| now < since + retire_after(channel))
    }

    /// Whether what arrives is opened.
    fn lives(&self, channel: Channel, now: Moment) -> bool {
        self.retiring_since.is_none_or(|since| now < since + keep_for(channel))
    }

    fn has_datagram_keys(&self) -> bool {
        self.senders.keys().any(|(_, channel)| matches!(channel, Channel::Pose | Channel::Voice))
    }

    fn keeps_datagrams_too_long(&self, now: Moment) -> bool {
        !self.lives(Channel::Pose, now) && self.has_datagram_keys()
    }

    /// When keys are to be forgotten next.
    fn until(&self) -> Option<Moment> {
        let after = if self.has_datagram_keys() { RETIRE_DATAGRAMS_AFTER } else { KEEP_STREAMS_FOR };
        self.retiring_since.map(|since| since + after)
    }
}

impl Opening {
    fn open<'o>(&mut self, frame: &Frame<'_>, out: &'o mut [u8]) -> Result<&'o [u8], MemberError> {
        self.replay.check(frame.counter())?;
        let plain = self.opener.open(frame, out)?;
        self.replay.record(frame.counter());
        Ok(plain)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::keys::epoch::parked::{DATAGRAMS_FOR, DATAGRAMS_MAX, EVENTS_BYTES_MAX, STREAMS_FOR};

    const MEETING: MeetingId = MeetingId::from_bytes([1; 16]);

    fn at(millis: u64) -> Moment {
        Moment::after_origin(Duration::from_millis(millis))
    }

    fn secret(epoch: u32) -> EpochSecret {
        EpochSecret::from_slice(&[u8::try_from(epoch).unwrap(); 32]).unwrap()
    }

    fn member(number: u16, switched: u32) -> MemberKeys {
        let mut member = MemberKeys::new(MEETING, Participant(number));
        assert_eq!(member.announce(Epoch(switched), secret(switched), at(0)), Learned::Ready);
        member.switch(Epoch(switched), at(0));
        member
    }

    fn sealed_for(member: &mut MemberKeys, channel: Channel, now: Moment) -> Vec<u8> {
        let mut out = [0; 64];
        let written = member.seal(channel, Clear::Nothing, b"here", now, &mut out).unwrap();
        out[..written].to_vec()
    }

    fn sealed(member: &mut MemberKeys, now: Moment) -> Vec<u8> {
        sealed_for(member, Channel::Pose, now)
    }

    /// How many parked frames open.
    fn open_parked(member: &mut MemberKeys, now: Moment) -> usize {
        let mut out = [0; 64];
        let mut opened = 0;
        while let Some(received) = member.receive_parked(now, &mut out) {
            assert!(matches!(received, Ok(Received::Opened { plain: b"here", .. })), "{received:?}");
            opened += 1;
        }
        opened
    }

    fn receive(member: &mut MemberKeys, frame: &[u8], now: Moment) -> Result<bool, MemberError> {
        let mut out = [0; 64];
        let received = member.receive(&Frame::decode(frame).unwrap(), now, &mut out)?;
        Ok(matches!(received, Received::Opened { plain: b"here", .. }))
    }

    #[test]
    fn the_old_epoch_opens_2_s_after_the_switch_and_on_streams_30_s() {
        let (mut ada, mut bob) = (member(1, 1), member(2, 1));
        let frames = [0; 3].map(|_| sealed(&mut ada, at(0)));
        let events = [0; 2].map(|_| sealed_for(&mut ada, Channel::Event, at(0)));
        let screen = sealed_for(&mut ada, Channel::Screen, at(0));
        assert_eq!(bob.announce(Epoch(2), secret(2), at(10)), Learned::Ready);
        assert_eq!(receive(&mut bob, &frames[0], at(20_000)), Ok(true));
        bob.switch(Epoch(2), at(20_000));
        assert_eq!(receive(&mut bob, &frames[1], at(21_999)), Ok(true));
        assert_eq!(bob.poll_timeout(), Some(at(22_000)));
        assert_eq!(receive(&mut bob, &frames[2], at(22_000)), Err(MemberError::Stale));
        bob.expire(at(22_000));
        assert_eq!(bob.poll_timeout(), Some(at(50_000)));
        assert_eq!(receive(&mut bob, &screen, at(49_999)), Ok(true));
        assert_eq!(receive(&mut bob, &events[0], at(49_999)), Ok(true));
        assert_eq!(receive(&mut bob, &events[1], at(50_000)), Err(MemberError::Stale));
        bob.expire(at(50_000));
        assert_eq!((bob.epochs.len(), bob.poll_timeout()), (1, None));
    }

    #[test]
    fn early_frames_wait_for_their_secret_64_of_them_and_half_a_second() {
        let (mut ada, mut bob) = (member(1, 2), member(2, 1));
        let frames: Vec<Vec<u8>> = (0..=DATAGRAMS_MAX).map(|_| sealed(&mut ada, at(0))).collect();
        for (place, frame) in frames.iter().enumerate() {
            let mut out = [0; 64];
            let received = bob.receive(&Frame::decode(frame).unwrap(), at(100), &mut out);
            assert_eq!(received, Ok(Received::Parked { displaced: place == DATAGRAMS_MAX }));
        }
        assert_eq!((open_parked(&mut bob, at(100)), bob.poll_timeout()), (0, Some(at(100) + DATAGRAMS_FOR)));
        assert_eq!(bob.announce(Epoch(2), secret(2), at(599)), Learned::Ready);
        assert_eq!(open_parked(&mut bob, at(599)), DATAGRAMS_MAX);
        assert_eq!(receive(&mut bob, &frames[5], at(599)), Err(Replayed::Old.into()));

        let mut late = member(3, 1);
        assert_eq!(receive(&mut late, &frames[0], at(100)), Ok(false));
        assert_eq!(late.expire(at(599)), 0);
        assert_eq!(late.expire(at(600)), 1);
    }

    #[test]
    fn early_events_wait_30_s_and_make_no_room_for_poses_nor_for_later_ones() {
        let (mut ada, mut bob) = (member(1, 2), member(2, 1));
        let mut events = 0;
        loop {
            let event = sealed_for(&mut ada, Channel::Event, at(0));
            match receive(&mut bob, &event, at(100)) {
                Ok(opened) => assert!(!opened),
                Err(error) => break assert_eq!(error, MemberError::Full),
            }
            events += 1;
        }
        assert!((400..EVENTS_BYTES_MAX / 32).contains(&events), "{events}");
        for _ in 0..=DATAGRAMS_MAX {
            let pose = sealed(&mut ada, at(0));
            assert_eq!(receive(&mut bob, &pose, at(100)), Ok(false));
        }
        let screen = sealed_for(&mut ada, Channel::Screen, at(0));
        assert_eq!(receive(&mut bob, &screen, at(100)), Ok(false));
        let last = at(99) + STREAMS_FOR;
        assert_eq!(bob.announce(Epoch(2), secret(2), last), Learned::Ready);
        assert_eq!(open_parked(&mut bob, last), events + 1);
    }

    #[test]
    fn after_a_barrier_older_events_are_stale_but_those_that_wait_open() {
        let (mut ada, mut bob) = (member(1, 1), member(2, 1));
        let old = [0; 2].map(|_| sealed_for(&mut ada, Channel::Event, at(0)));
        let pose = sealed(&mut ada, at(0));
        ada.announce(Epoch(2), secret(2), at(1));
        ada.switch(Epoch(2), at(1));
        let early = [0; 2].map(|_| sealed_for(&mut ada, Channel::Event, at(1)));
        assert_eq!(receive(&mut bob, &old[0], at(2)), Ok(true));
        assert_eq!(receive(&mut bob, &early[0], at(2)), Ok(false));
        bob.barrier(Participant(1), Epoch(3));
        bob.barrier(Participant(1), Epoch(2));
        assert_eq!(receive(&mut bob, &old[1], at(2)), Err(MemberError::Stale));
        assert_eq!(receive(&mut bob, &early[1], at(2)), Err(MemberError::Stale));
        assert_eq!(receive(&mut bob, &pose, at(2)), Ok(true));
        assert_eq!(bob.epochs[&Epoch(1)].senders.keys().count(), 1);
        bob.announce(Epoch(2), secret(2), at(3));
        assert_eq!(open_parked(&mut bob, at(3)), 1);
        let other = sealed_for(&mut member(7, 1), Channel::Event, at(0));
        assert_eq!(receive(&mut bob, &other, at(3)), Ok(true));
    }

    #[test]
    fn who_comes_back_opens_what_it_missed_and_seals_under_the_live_epoch_only() {
        let (mut ada, mut bob) = (member(1, 1), member(2, 1));
        let event = |ada: &mut MemberKeys, epoch: u32| {
            ada.announce(Epoch(epoch), secret(epoch), at(20_000));
            ada.switch(Epoch(epoch), at(20_000));
            sealed_for(ada, Channel::Event, at(20_000))
        };
        let missed = [1, 2, 4].map(|epoch| event(&mut ada, epoch));
        let own = sealed_for(&mut bob, Channel::Event, at(20_000));

        bob.renumber(Participant(5), Some(Epoch(4)), at(30_000));
        let nothing = bob.seal(Channel::Event, Clear::Nothing, b"", at(30_000), &mut [0; 64]);
        assert_eq!(nothing, Err(MemberError::NoEpoch));
        assert_eq!(receive(&mut bob, &own, at(30_000)), Err(MemberError::Own));
        assert_eq!(receive(&mut bob, &missed[0], at(30_000)), Ok(true));
        assert_eq!(receive(&mut bob, &missed[1], at(30_000)), Ok(false));
        for epoch in [2, 3, 4, 5] {
            assert_eq!(bob.announce(Epoch(epoch), secret(epoch), at(30_100)), Learned::Ready);
        }
        assert_eq!((bob.sealing(), open_parked(&mut bob, at(30_100))), (Some(Epoch(4)), 1));
        assert_eq!(receive(&mut bob, &missed[2], at(30_100)), Ok(true));
        // Somebody who has the number later is somebody else.
        let mut carl = member(2, 5);
        let pose = sealed(&mut carl, at(0));
        assert_eq!(receive(&mut bob, &pose, at(30_100)), Ok(true));
    }

    #[test]
    fn a_switch_before_its_secret_is_sealed_under_when_the_secret_comes() {
        let mut ada = member(1, 1);
        ada.switch(Epoch(2), at(1_000));
        assert_eq!(ada.sealing(), Some(Epoch(1)));
        ada.announce(Epoch(2), secret(2), at(1_100));
        assert_eq!(ada.sealing(), Some(Epoch(2)));
        ada.switch(Epoch(3), at(1_200));
        ada.expire(at(3_200));
        let mut seal = |channel, millis| ada.seal(channel, Clear::Nothing, b"", at(millis), &mut [0; 64]);
        assert_eq!(seal(Channel::Pose, 3_200), Err(MemberError::NoEpoch));
        assert!(seal(Channel::Event, 16_199).is_ok());
        assert_eq!(seal(Channel::Event, 16_200), Err(MemberError::NoEpoch));
        ada.expire(at(31_200));
        assert_eq!(ada.sealing(), None);
    }

    #[test]
    fn no_key_begins_again_after_repeated_notices_or_an_old_number() {
        let mut ada = member(1, 1);
        let counter = |frame: &[u8]| Frame::decode(frame).unwrap().counter();
        assert_eq!(counter(&sealed(&mut ada, at(0))), 0);
        assert_eq!(ada.announce(Epoch(1), secret(1), at(1)), Learned::Nothing);
        ada.switch(Epoch(1), at(1));
        assert_eq!(counter(&sealed(&mut ada, at(1))), 1);
        ada.renumber(Participant(5), Some(Epoch(1)), at(2));
        assert_eq!(counter(&sealed(&mut ada, at(2))), 0);
        ada.renumber(Participant(1), Some(Epoch(1)), at(3));
        assert_eq!(counter(&sealed(&mut ada, at(3))), 2);
        ada.announce(Epoch(2), secret(2), at(4));
        ada.switch(Epoch(2), at(4));
        ada.expire(at(9_000));
        assert_eq!(ada.announce(Epoch(1), secret(1), at(9_000)), Learned::Nothing);
        ada.switch(Epoch(1), at(9_000));
        assert_eq!(ada.sealing(), Some(Epoch(2)));
    }

    #[test]
    fn a_group_of_a_screen_keeps_its_epoch_and_its_counter() {
        let (mut ada, mut bob) = (member(1, 1), member(2, 1));
        let mut out = [0; 64];
        let mut frame = |ada: &mut MemberKeys, epoch, millis| {
            let written = ada.seal_screen(Epoch(epoch), b"here", at(millis), &mut out)?;
            Ok::<_, MemberError>(out[..written].to_vec())
        };
        let first = frame(&mut ada, 1, 0).unwrap();
        for member in [&mut ada, &mut bob] {
            member.announce(Epoch(2), secret(2), at(10));
            member.switch(Epoch(2), at(20));
        }
        let (second, other) = (frame(&mut ada, 1, 30).unwrap(), frame(&mut ada, 2, 30).unwrap());
        let read =
            |frame: &[u8]| (Frame::decode(frame).unwrap().kid().epoch.0, Frame::decode(frame).unwrap().counter());
        assert_eq!([read(&first), read(&second), read(&other)], [(1, 0), (1, 1), (2, 0)]);
        for frame in [&first, &second, &other] {
            assert_eq!(receive(&mut bob, frame, at(40)), Ok(true));
        }
        assert_eq!(frame(&mut ada, 1, 15_020), Err(MemberError::Stale));
    }

    #[test]
    fn a_discarded_epoch_is_forgotten_and_its_frames_are_not() {
        let mut ada = member(1, 1);
        ada.announce(Epoch(2), secret(2), at(10));
        ada.announce(Epoch(3), secret(3), at(20));
        assert_eq!(ada.epochs.keys().copied().collect::<Vec<_>>(), [Epoch(1), Epoch(3)]);
        ada.switch(Epoch(3), at(30));
        assert_eq!(ada.sealing(), Some(Epoch(3)));
    }

    #[test]
    fn what_does_not_open_takes_no_room_and_our_own_is_not_ours_to_open() {
        let (mut ada, mut bob) = (member(1, 1), member(2, 1));
        let mut frame = sealed(&mut ada, at(0));
        assert_eq!(receive(&mut ada, &frame, at(0)), Err(MemberError::Own));
        *frame.last_mut().unwrap() ^= 1;
        assert!(matches!(receive(&mut bob, &frame, at(0)), Err(MemberError::Frame(_))));
        assert!(bob.epochs[&Epoch(1)].senders.is_empty());
    }
}
