// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The keys of one member of a meeting: it seals under the epoch the meeting switched to, and opens what arrives.
//!
//! Invariants: what it seals under only goes forward, so no key meets a counter twice, whatever arrives how often and
//! in which order; an epoch never switched to is never sealed under; an epoch is kept until 2 s after the switch to a
//! later one. Keys derive when they are first needed. It does not know how secrets arrive, nor who else is there.

use std::collections::BTreeMap;

use crate::core::keys::epoch::parked::ParkedFrames;
use crate::core::keys::epoch::{EpochSecret, RETIRE_AFTER};
use crate::core::replay::{Replay, Replayed};
use crate::values::id::MeetingId;
use crate::values::time::Moment;
use crate::wire::frame::{Clear, Frame, FrameError, FrameOpener, FrameSealer};
use crate::wire::kid::{Channel, Epoch, Kid, Participant};

/// Why a frame was not sealed or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// No epoch was switched to yet, or the secret of the one that was has not come for 2 s.
    #[error("there is no epoch to seal under")]
    NoEpoch,
    /// The epoch is over, or discarded.
    #[error("the epoch is over")]
    Stale,
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
    /// It is new: say that we are ready, then take the frames that waited for it.
    Ready,
    /// It was here before, or its epoch is over: nothing changed.
    Nothing,
}

/// What became of a frame that arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'o> {
    /// It opened.
    Opened {
        /// Sender, channel and epoch.
        kid: Kid,
        /// What was sealed.
        plain: &'o [u8],
    },
    /// It came before the secret of its epoch, and waits.
    Parked {
        /// An older frame that waited was dropped for it.
        displaced: bool,
    },
}

/// The keys of one member.
#[derive(Debug)]
pub struct MemberKeys {
    meeting: MeetingId,
    participant: Participant,
    epochs: BTreeMap<Epoch, Known>,
    /// The newest epoch that is said to be switched to; its secret may still be missing.
    switched: Option<Epoch>,
    sealing: Option<Sealing>,
    parked: ParkedFrames,
}

/// An epoch whose secret is here.
#[derive(Debug)]
struct Known {
    secret: EpochSecret,
    /// Set by the switch to a later one.
    until: Option<Moment>,
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
            epochs: BTreeMap::new(),
            switched: None,
            sealing: None,
            parked: ParkedFrames::default(),
        }
    }

    /// Goes on under another number, after coming back over a new carrier.
    pub fn renumber(&mut self, participant: Participant) {
        self.participant = participant;
    }

    /// The secret of an epoch arrived. One that was announced before it and is not switched to was discarded.
    pub fn announce(&mut self, epoch: Epoch, secret: EpochSecret, now: Moment) -> Learned {
        let over = self.switched.is_some_and(|switched| epoch < switched);
        if over || self.epochs.contains_key(&epoch) {
            return Learned::Nothing;
        }
        let switched = self.switched;
        self.epochs.retain(|known, _| *known > epoch || switched.is_some_and(|switched| *known <= switched));
        self.epochs.insert(epoch, Known { secret, until: None, senders: BTreeMap::new() });
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
            known.until.get_or_insert(now + RETIRE_AFTER);
        }
        self.begin_sealing();
        self.expire(now);
    }

    /// The epoch that the next frame is sealed under.
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
        let key = (self.participant, channel);
        let sealer = match sealing.keys.entry(key) {
            std::collections::btree_map::Entry::Occupied(sealer) => sealer.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                let known = self.epochs.get(&sealing.epoch).filter(|known| known.lives(now));
                let secret = &known.ok_or(MemberError::NoEpoch)?.secret;
                let kid = Kid { epoch: sealing.epoch, participant: self.participant, channel };
                place.insert(FrameSealer::derive(secret.expose(), self.meeting, kid)?)
            }
        };
        Ok(sealer.seal(clear, plain, out)?)
    }

    /// Opens a frame into the start of `out`, or parks it when the secret of its epoch has not come.
    pub fn receive<'o>(
        &mut self,
        frame: &Frame<'_>,
        now: Moment,
        out: &'o mut [u8],
    ) -> Result<Received<'o>, MemberError> {
        let kid = frame.kid();
        if kid.participant == self.participant {
            return Err(MemberError::Own);
        }
        let Some(known) = self.epochs.get_mut(&kid.epoch) else {
            return if self.may_come(kid.epoch) {
                Ok(Received::Parked { displaced: self.parked.park(kid.epoch, frame.as_bytes(), now) })
            } else {
                Err(MemberError::Stale)
            };
        };
        if !known.lives(now) {
            return Err(MemberError::Stale);
        }
        let sender = (kid.participant, kid.channel);
        if let Some(opening) = known.senders.get_mut(&sender) {
            let plain = opening.open(frame, out)?;
            return Ok(Received::Opened { kid, plain });
        }
        let opener = FrameOpener::derive(known.secret.expose(), self.meeting, kid)?;
        let mut opening = Opening { opener, replay: Replay::new(kid.channel) };
        let plain = opening.open(frame, out)?;
        // Kept only now: what does not open takes no room.
        known.senders.insert(sender, opening);
        Ok(Received::Opened { kid, plain })
    }

    /// A frame that waited for a secret that is here now. [Receive](MemberKeys::receive) it again.
    pub fn take_parked(&mut self, now: Moment) -> Option<Vec<u8>> {
        self.parked.expire(now);
        let epochs = &self.epochs;
        self.parked.take(|epoch| !epochs.contains_key(&epoch))
    }

    /// Forgets epochs that are over and frames that waited too long, and says how many frames those were.
    pub fn expire(&mut self, now: Moment) -> usize {
        self.epochs.retain(|_, known| known.lives(now));
        let epochs = &self.epochs;
        // A key is as old as its secret: the relay accepts neither any longer.
        self.sealing.take_if(|sealing| {
            self.switched.is_some_and(|switched| sealing.epoch < switched) && !epochs.contains_key(&sealing.epoch)
        });
        self.parked.expire(now)
    }

    /// When [`MemberKeys::expire`] has something to do.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.epochs.values().filter_map(|known| known.until).chain(self.parked.until()).min()
    }

    /// Whether the secret of an epoch that is not here may still come.
    fn may_come(&self, epoch: Epoch) -> bool {
        self.switched.is_none_or(|switched| epoch >= switched)
    }

    /// Seals under the epoch switched to, once its secret is here.
    fn begin_sealing(&mut self) {
        let Some(switched) = self.switched.filter(|switched| self.epochs.contains_key(switched)) else { return };
        if self.sealing.as_ref().is_none_or(|sealing| sealing.epoch < switched) {
            self.sealing = Some(Sealing { epoch: switched, keys: BTreeMap::new() });
        }
    }
}

impl Known {
    fn lives(&self, now: Moment) -> bool {
        self.until.is_none_or(|until| now < until)
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
    use crate::core::keys::epoch::parked::{PARKED_FOR, PARKED_MAX};

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

    fn sealed(member: &mut MemberKeys, now: Moment) -> Vec<u8> {
        let mut out = [0; 64];
        let written = member.seal(Channel::Pose, Clear::Nothing, b"here", now, &mut out).unwrap();
        out[..written].to_vec()
    }

    fn receive(member: &mut MemberKeys, frame: &[u8], now: Moment) -> Result<bool, MemberError> {
        let mut out = [0; 64];
        let received = member.receive(&Frame::decode(frame).unwrap(), now, &mut out)?;
        Ok(matches!(received, Received::Opened { plain: b"here", .. }))
    }

    #[test]
    fn the_old_epoch_opens_until_two_seconds_after_the_switch() {
        let (mut ada, mut bob) = (member(1, 1), member(2, 1));
        let frames = [0; 3].map(|_| sealed(&mut ada, at(0)));
        assert_eq!(bob.announce(Epoch(2), secret(2), at(10)), Learned::Ready);
        assert_eq!(receive(&mut bob, &frames[0], at(20_000)), Ok(true));
        bob.switch(Epoch(2), at(20_000));
        assert_eq!(receive(&mut bob, &frames[1], at(21_999)), Ok(true));
        assert_eq!(receive(&mut bob, &frames[2], at(22_000)), Err(MemberError::Stale));
        assert_eq!(bob.poll_timeout(), Some(at(22_000)));
        bob.expire(at(22_000));
        assert_eq!((bob.epochs.len(), bob.poll_timeout()), (1, None));
    }

    #[test]
    fn early_frames_wait_for_their_secret_64_of_them_and_half_a_second() {
        let (mut ada, mut bob) = (member(1, 2), member(2, 1));
        let frames: Vec<Vec<u8>> = (0..=PARKED_MAX).map(|_| sealed(&mut ada, at(0))).collect();
        for (place, frame) in frames.iter().enumerate() {
            let mut out = [0; 64];
            let received = bob.receive(&Frame::decode(frame).unwrap(), at(100), &mut out);
            assert_eq!(received, Ok(Received::Parked { displaced: place == PARKED_MAX }));
        }
        assert_eq!((bob.take_parked(at(100)), bob.poll_timeout()), (None, Some(at(100) + PARKED_FOR)));
        assert_eq!(bob.announce(Epoch(2), secret(2), at(599)), Learned::Ready);
        for frame in &frames[1..] {
            assert_eq!(bob.take_parked(at(599)).as_ref(), Some(frame));
            assert_eq!(receive(&mut bob, frame, at(599)), Ok(true));
        }
        assert_eq!(bob.take_parked(at(599)), None);
        assert_eq!(receive(&mut bob, &frames[5], at(599)), Err(Replayed::Old.into()));

        let mut late = member(3, 1);
        assert_eq!(receive(&mut late, &frames[0], at(100)), Ok(false));
        assert_eq!(late.expire(at(599)), 0);
        assert_eq!(late.expire(at(600)), 1);
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
        assert_eq!(ada.sealing(), None);
        let nothing = ada.seal(Channel::Pose, Clear::Nothing, b"", at(3_200), &mut [0; 64]);
        assert_eq!(nothing, Err(MemberError::NoEpoch));
    }

    #[test]
    fn no_key_begins_again_after_repeated_notices_or_an_old_number() {
        let mut ada = member(1, 1);
        let counter = |frame: &[u8]| Frame::decode(frame).unwrap().counter();
        assert_eq!(counter(&sealed(&mut ada, at(0))), 0);
        assert_eq!(ada.announce(Epoch(1), secret(1), at(1)), Learned::Nothing);
        ada.switch(Epoch(1), at(1));
        assert_eq!(counter(&sealed(&mut ada, at(1))), 1);
        ada.renumber(Participant(5));
        assert_eq!(counter(&sealed(&mut ada, at(2))), 0);
        ada.renumber(Participant(1));
        assert_eq!(counter(&sealed(&mut ada, at(3))), 2);
        ada.announce(Epoch(2), secret(2), at(4));
        ada.switch(Epoch(2), at(4));
        ada.expire(at(9_000));
        assert_eq!(ada.announce(Epoch(1), secret(1), at(9_000)), Learned::Nothing);
        ada.switch(Epoch(1), at(9_000));
        assert_eq!(ada.sealing(), Some(Epoch(2)));
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
