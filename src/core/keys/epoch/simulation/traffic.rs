// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Frames in the simulated meeting: members seal, the relay takes and hands on, members open, on all four channels.

use super::people::{Carrier, Down, Happening, Marked, Peer, Quality, Record, Up};
use super::world::{World, moment, opens};
use crate::core::keys::epoch::member::{MemberError, Received};
use crate::core::replay::Replay;
use crate::wire::frame::{AudioLevel, Clear, Frame};
use crate::wire::kid::{Channel, Epoch, Kid, Participant};

/// Frames kept to try later keys on.
const RECENT: usize = 24;
/// How long who came back may have to park poses, in milliseconds: its boxes are under way.
const CATCHING_UP: u64 = 400;

/// Channels that lose nothing.
const fn is_reliable(channel: Channel) -> bool {
    matches!(channel, Channel::Event | Channel::Screen)
}

impl World {
    pub(super) fn speak(&mut self, participant: Participant, carrier: Carrier) {
        if self.peers.keys().take(self.speakers_max).all(|speaker| *speaker != participant) {
            return;
        }
        let next = self.now + self.rng.within((20, 200));
        self.happens(next, Happening::Speak(participant, carrier));
        let (channel, clear) = match self.rng.below(10) {
            0..3 => (Channel::Pose, Clear::Nothing),
            3..6 => (Channel::Voice, Clear::Level(AudioLevel::SILENCE)),
            6..9 => (Channel::Event, Clear::Nothing),
            _ => (Channel::Screen, Clear::Nothing),
        };
        let now = moment(self.now);
        let peer = self.peers.get_mut(&participant).unwrap();
        peer.keys.expire(now);
        let mark = u32::try_from(self.marks.len()).unwrap();
        let sealing = peer.keys.sealing();
        let mut out = [0; 64];
        let Ok(written) = peer.keys.seal(channel, clear, &mark.to_be_bytes(), now, &mut out) else { return };
        self.marks.push(peer.quality);
        if channel == Channel::Event && peer.last_event < sealing {
            let barrier = peer.last_event.and(sealing).map(|epoch| Record::Barrier(participant, epoch));
            peer.last_event = sealing;
            if let Some(barrier) = barrier {
                let at = peer.links.events[1].arrival(self.now, &mut self.rng);
                self.happens(at, Happening::Up(participant, carrier, Up::Event(barrier)));
            }
        }
        let frame = Marked { mark, bytes: out[..written].to_vec() };
        self.check_sealed(&frame);
        let peer = self.peers.get_mut(&participant).unwrap();
        let (links, rng) = (&mut peer.links, &mut self.rng);
        let arrivals = match channel {
            Channel::Pose | Channel::Voice => links.datagrams[1].arrivals(self.now, rng),
            Channel::Event => links.events[1].arrivals(self.now, rng),
            Channel::Screen => links.screens[1].arrivals(self.now, rng),
        };
        for at in arrivals {
            let frame = frame.clone();
            let message = if channel == Channel::Event { Up::Event(Record::Event(frame)) } else { Up::Frame(frame) };
            self.happens(at, Happening::Up(participant, carrier, message));
        }
    }

    fn check_sealed(&mut self, frame: &Marked) {
        let header = Frame::decode(&frame.bytes).unwrap();
        let epoch = header.kid().epoch;
        assert!(self.used.insert((header.kid().into(), header.counter())), "a key met a counter twice");
        assert!(self.switches.iter().any(|(switched, _)| *switched == epoch), "sealed under an epoch not switched to");
        // Whoever was shut out tries all it has.
        let places = self.gone.len().try_into().unwrap();
        if places > 0
            && let Some(gone) = self.gone.get(usize::try_from(self.rng.below(places)).unwrap())
        {
            for (_, secret) in gone.boxes.iter().rev().take(3) {
                let opened = opens(secret, &frame.bytes);
                assert!(!opened || gone.shut_out.is_none_or(|first| epoch < first), "a removed member opens a frame");
                self.seen.tried_with_old_keys += 1;
            }
        }
        self.recent.push_back(frame.bytes.clone());
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// Whether the relay takes a frame. It takes those that good members, and on streams slow ones too, are promised.
    fn takes(&self, sender: Participant, kid: Kid) -> bool {
        let accepted = self.schedule.accepts(kid.epoch, sender, kid.channel, moment(self.now));
        let promised = match self.peers[&sender].quality {
            Quality::Good => true,
            Quality::Slow => is_reliable(kid.channel),
            Quality::Bad => false,
        };
        assert!(accepted.is_ok() || !promised, "lost on its way up: {kid:?} {accepted:?}");
        if accepted.is_ok() {
            let superseded = self.switches.iter().find(|(switched, _)| *switched > kid.epoch);
            let most = if is_reliable(kid.channel) { 15_000 } else { 2_000 };
            assert!(superseded.is_none_or(|(_, at)| self.now < at + most), "accepted too long after the switch");
        }
        accepted.is_ok()
    }

    pub(super) fn relay(&mut self, sender: Participant, frame: &Marked) {
        let kid = Frame::decode(&frame.bytes).unwrap().kid();
        if !self.takes(sender, kid) {
            return;
        }
        for other in self.readers(sender, kid.epoch) {
            let peer = self.peers.get_mut(&other).unwrap();
            let Some(carrier) = peer.carrier else { continue };
            let links = &mut peer.links;
            let link = if is_reliable(kid.channel) { &mut links.screens[0] } else { &mut links.datagrams[0] };
            for at in link.arrivals(self.now, &mut self.rng) {
                self.happens(at, Happening::Down(other, carrier, Down::Frame(frame.clone())));
            }
        }
    }

    pub(super) fn relay_event(&mut self, sender: Participant, record: Record) {
        let epoch = match &record {
            Record::Event(frame) => {
                let header = Frame::decode(&frame.bytes).unwrap();
                let (kid, taken) = (header.kid(), self.takes(sender, header.kid()));
                let peer = self.peers.get_mut(&sender).unwrap();
                assert!(kid.epoch >= peer.barrier, "sealed under an epoch before its barrier");
                let window = peer.windows.entry(kid.epoch).or_insert_with(|| Replay::new(Channel::Event));
                // After one that was refused, all that follow have a gap before them.
                if !taken || window.check(header.counter()).is_err() {
                    assert_eq!(peer.quality, Quality::Bad, "an event is lost on its way up");
                    return;
                }
                window.record(header.counter());
                kid.epoch
            }
            Record::Barrier(_, epoch) => {
                let peer = self.peers.get_mut(&sender).unwrap();
                assert!(*epoch > peer.barrier, "a barrier goes back");
                peer.barrier = *epoch;
                *epoch
            }
        };
        self.log.push((sender, epoch, record));
        let everybody: Vec<_> = self.peers.keys().copied().collect();
        everybody.into_iter().for_each(|reader| self.send_events(reader));
    }

    /// Sends what of the log a member was not sent.
    pub(super) fn send_events(&mut self, reader: Participant) {
        let Some(peer) = self.peers.get_mut(&reader) else { return };
        let (Some(carrier), Some(cursor)) = (peer.carrier, peer.cursor) else { return };
        peer.cursor = Some(self.log.len());
        for place in cursor..self.log.len() {
            let (sender, epoch, record) = self.log[place].clone();
            if sender != reader && self.schedule.routes(epoch, reader) {
                let at = self.peers.get_mut(&reader).unwrap().links.events[0].arrival(self.now, &mut self.rng);
                self.happens(at, Happening::Down(reader, carrier, Down::Event(place + 1, record)));
            }
        }
    }

    fn readers(&self, sender: Participant, epoch: Epoch) -> Vec<Participant> {
        let routed = |other: &Participant| *other != sender && self.schedule.routes(epoch, *other);
        let readers: Vec<_> = self.peers.keys().copied().filter(routed).collect();
        for reader in &readers {
            let first = self.peers[reader].boxes.first();
            assert!(first.is_some_and(|(first, _)| *first <= epoch), "a joiner is handed what is older than it");
        }
        readers
    }

    pub(super) fn receive(&mut self, participant: Participant, frame: &Marked) {
        let header = Frame::decode(&frame.bytes).unwrap();
        let (kid, now) = (header.kid(), self.now);
        let sender = self.marks[usize::try_from(frame.mark).unwrap()];
        let peer = self.peers.get_mut(&participant).unwrap();
        peer.keys.expire(moment(now));
        let both = |quality| peer.quality == quality && sender == quality;
        let neither_bad = peer.quality != Quality::Bad && sender != Quality::Bad;
        let promised = both(Quality::Good) || (is_reliable(kid.channel) && neither_bad);
        let mut out = [0; 64];
        match peer.keys.receive(&header, moment(now), &mut out) {
            Ok(Received::Opened { kid, plain, .. }) => {
                peer.opened(kid, plain);
                self.seen.opened += 1;
                self.seen.events += usize::from(kid.channel == Channel::Event);
            }
            Ok(Received::Parked { .. }) => {
                let may_wait = !both(Quality::Good) || now - peer.back_at < CATCHING_UP;
                assert!(may_wait, "a good member waits for the secret of {kid:?}");
                if is_reliable(kid.channel) && promised {
                    peer.waiting.insert(frame.mark, now);
                }
                self.seen.parked += 1;
            }
            Err(MemberError::Own) => assert!(peer.numbers.contains(&kid.participant), "taken for its own"),
            Err(MemberError::Replayed(_)) if !is_reliable(kid.channel) => {}
            Err(_) if !promised => {}
            other => panic!("lost to a rotation, at {now} ms: {kid:?} {other:?}"),
        }
    }

    pub(super) fn receive_parked(&mut self, participant: Participant) {
        let now = moment(self.now);
        let peer = self.peers.get_mut(&participant).unwrap();
        let mut out = [0; 64];
        while let Some(received) = peer.keys.receive_parked(now, &mut out) {
            match received {
                Ok(Received::Opened { kid, plain, .. }) => peer.opened(kid, plain),
                Err(MemberError::Replayed(_)) => {}
                other => assert_eq!(peer.quality, Quality::Bad, "what waited does not open: {other:?}"),
            }
        }
    }
}

impl Peer {
    fn opened(&mut self, kid: Kid, plain: &[u8]) {
        let mark = u32::from_be_bytes(plain.try_into().unwrap());
        self.waiting.remove(&mark);
        assert!(self.opened.insert(mark), "opened twice");
        if kid.channel == Channel::Event {
            let before = self.heard.insert(kid.participant, mark);
            assert!(before.is_none_or(|before| before < mark), "events out of order");
        }
    }
}
