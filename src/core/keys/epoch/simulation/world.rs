// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A meeting in virtual time: the schedule, a relay that follows it, members, and those who were removed and kept
//! everything they were ever handed. Promises are asserted where they would break.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use super::link::{Link, Seeded};
use crate::core::keys::epoch::member::{Learned, MemberError, MemberKeys, Received};
use crate::core::keys::epoch::reason::{Fate, Removal};
use crate::core::keys::epoch::schedule::{Output, Schedule};
use crate::core::keys::epoch::{EpochSecret, RotationInterval};
use crate::values::id::MeetingId;
use crate::values::time::Moment;
use crate::wire::frame::{AudioLevel, Clear, Frame, FrameOpener};
use crate::wire::kid::{Channel, Epoch, Participant};

const MEETING: MeetingId = MeetingId::from_bytes([7; 16]);
/// Frames kept to try later keys on.
const RECENT: usize = 24;
/// The longest time until a switch shuts a removed member out, in milliseconds, when others go all the time.
const SHUT_OUT_WITHIN: u64 = 1_500;

/// How a member is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quality {
    /// Its control round trip stays below 400 ms.
    Good,
    /// Its control messages are lost, repeated, late and in any order.
    Bad,
}

/// What happened, to see that something did.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub opened: usize,
    pub parked: usize,
    pub switched: usize,
    pub discarded: usize,
    pub shut_out: usize,
    pub put_off: usize,
    pub tried_with_old_keys: usize,
    pub tried_with_new_keys: usize,
}

struct Peer {
    keys: MemberKeys,
    quality: Quality,
    joined: u64,
    /// Every secret ever handed to it.
    handed: BTreeMap<Epoch, [u8; 32]>,
    control: [Link; 2],
    datagrams: [Link; 2],
}

struct Gone {
    at: u64,
    handed: BTreeMap<Epoch, [u8; 32]>,
    /// The first switch to an epoch it was not handed.
    shut_out: Option<Epoch>,
    /// An earlier removal may have used up the time in which a switch is put off.
    crowded: bool,
}

enum Happening {
    Announce(Participant, Epoch, [u8; 32]),
    Switch(Participant, Epoch),
    Ready(Participant, Epoch),
    Speak(Participant),
    Upstream(Participant, Vec<u8>),
    Downstream(Participant, Vec<u8>),
}

pub(super) struct World {
    now: u64,
    rng: Seeded,
    secrets: Seeded,
    schedule: Schedule,
    peers: BTreeMap<Participant, Peer>,
    gone: Vec<Gone>,
    removals: Vec<u64>,
    happenings: BTreeMap<(u64, u64), Happening>,
    order: u64,
    announced: Option<Epoch>,
    speakers_max: usize,
    used: HashSet<(u64, u64)>,
    recent: VecDeque<Vec<u8>>,
    /// Epoch and time of each switch.
    switches: Vec<(Epoch, u64)>,
    seen: Seen,
}

fn moment(millis: u64) -> Moment {
    Moment::after_origin(Duration::from_millis(millis))
}

/// Whether a secret opens a frame, whatever epoch it says it is of.
fn opens(secret: &[u8; 32], frame: &[u8]) -> bool {
    let frame = Frame::decode(frame).unwrap();
    FrameOpener::derive(secret, MEETING, frame.kid()).unwrap().open(&frame, &mut [0; 64]).is_ok()
}

impl World {
    pub fn new(seed: u64) -> Self {
        println!("seed {seed}");
        Self {
            now: 0,
            rng: Seeded(seed),
            secrets: Seeded(!seed),
            schedule: Schedule::new(RotationInterval::try_from(5).unwrap()),
            peers: BTreeMap::new(),
            gone: Vec::new(),
            removals: Vec::new(),
            happenings: BTreeMap::new(),
            order: 0,
            announced: None,
            speakers_max: usize::MAX,
            used: HashSet::new(),
            recent: VecDeque::new(),
            switches: Vec::new(),
            seen: Seen::default(),
        }
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.rng.below(end)
    }

    pub fn people(&self) -> usize {
        self.peers.len()
    }

    pub fn is_announced(&self) -> bool {
        self.announced.is_some()
    }

    pub fn speak_at_most(&mut self, speakers: usize) {
        self.speakers_max = speakers;
    }

    pub fn join(&mut self, quality: Quality) {
        if self.peers.is_empty() {
            // Nobody was there to seal anything, so there was nothing to be shut out of.
            self.gone.iter_mut().for_each(|gone| gone.at = self.now);
        }
        let participant = self.schedule.join(moment(self.now), &mut self.secrets).unwrap();
        let (control, datagrams) = match quality {
            Quality::Good => (Link::STREAM, Link::DATAGRAMS),
            Quality::Bad => (Link::BAD_STREAM, Link::BAD_DATAGRAMS),
        };
        let peer = Peer {
            keys: MemberKeys::new(MEETING, participant),
            quality,
            joined: self.now,
            handed: BTreeMap::new(),
            control: [control.clone(), control],
            datagrams: [datagrams.clone(), datagrams],
        };
        assert!(self.peers.insert(participant, peer).is_none(), "a number is in use twice");
        self.drain();
        self.happens(self.now, Happening::Speak(participant));
    }

    pub fn remove_somebody(&mut self, removal: Removal) {
        let Some(participant) = self.somebody() else { return };
        let peer = self.peers.remove(&participant).unwrap();
        let crowded = self.removals.iter().any(|at| (1_000..=SHUT_OUT_WITHIN).contains(&(self.now - at)));
        if !peer.handed.is_empty() {
            self.removals.push(self.now);
            self.gone.push(Gone { at: self.now, handed: peer.handed, shut_out: None, crowded });
        }
        self.schedule.remove(participant, removal, moment(self.now), &mut self.secrets).unwrap();
        self.drain();
        assert!(self.schedule.accepts(Epoch(0), participant, Channel::Pose, moment(self.now)).is_err());
    }

    pub fn replace_somebody(&mut self) {
        let Some(old) = self.somebody() else { return };
        let new = self.schedule.replace(old, moment(self.now), &mut self.secrets).unwrap();
        let mut peer = self.peers.remove(&old).unwrap();
        peer.keys.renumber(new, self.schedule.live(), moment(self.now));
        // What was on its way over the old carrier is lost.
        peer.quality = Quality::Bad;
        assert!(self.peers.insert(new, peer).is_none(), "a number is in use twice");
        self.drain();
        self.happens(self.now, Happening::Speak(new));
    }

    pub fn rotate(&mut self) {
        self.schedule.rotate(moment(self.now), &mut self.secrets);
        self.drain();
    }

    pub fn run_for(&mut self, least: u64, most: u64) {
        let until = self.now + self.rng.within((least, most));
        loop {
            let timeout = self.schedule.poll_timeout().map(|at| at.since(moment(0)).as_millis());
            let timeout = timeout.map(|at| u64::try_from(at).unwrap());
            let next = self.happenings.first_key_value().map(|((at, _), _)| *at);
            match (timeout, next) {
                (Some(at), next) if at <= until && next.is_none_or(|next| at <= next) => {
                    assert!(at >= self.now, "a timeout in the past");
                    self.now = at;
                    self.schedule.handle_timeout(moment(at), &mut self.secrets);
                    let later = self.schedule.poll_timeout();
                    assert!(later.is_none_or(|later| later > moment(at)), "a timeout that does nothing");
                    self.drain();
                }
                (_, Some(at)) if at <= until => {
                    self.now = at;
                    let (_, happening) = self.happenings.pop_first().unwrap();
                    self.handle(happening);
                    self.drain();
                }
                _ => break,
            }
        }
        self.now = until;
    }

    /// Checks what only the end shows.
    pub fn finish(mut self) -> Seen {
        for gone in &self.gone {
            let over = self.now - gone.at > SHUT_OUT_WITHIN && !self.peers.is_empty();
            assert!(gone.shut_out.is_some() || !over, "somebody was never shut out");
        }
        self.seen.switched = self.switches.len();
        self.seen
    }

    fn somebody(&mut self) -> Option<Participant> {
        let place = self.rng.below(self.peers.len().max(1).try_into().unwrap());
        self.peers.keys().nth(place.try_into().unwrap()).copied()
    }

    fn happens(&mut self, at: u64, happening: Happening) {
        self.order += 1;
        self.happenings.insert((at, self.order), happening);
    }

    /// Follows the schedule, as whoever drives it does.
    fn drain(&mut self) {
        while let Some(output) = self.schedule.poll_output() {
            match output {
                Output::Deliver { epoch, secret, to } => {
                    for frame in &self.recent {
                        assert!(!opens(secret.expose(), frame), "a new secret opens what was sealed before it");
                        self.seen.tried_with_new_keys += 1;
                    }
                    to.into_iter().for_each(|participant| self.hand(participant, epoch, *secret.expose()));
                }
                Output::Switch { epoch, to } => {
                    self.shut_out_at(epoch);
                    for participant in to {
                        let peer = self.peers.get_mut(&participant).expect("told after it was removed");
                        assert!(peer.handed.contains_key(&epoch), "told to seal under what it was not given");
                        for at in peer.control[0].arrivals(self.now, &mut self.rng) {
                            self.happens(at, Happening::Switch(participant, epoch));
                        }
                    }
                }
                Output::Ledger(entry) => match entry.fate {
                    Fate::Announced { members } => {
                        assert!(self.announced.replace(entry.epoch).is_none(), "two epochs are announced at once");
                        assert_eq!(members, self.peers.len());
                    }
                    Fate::Discarded => {
                        assert_eq!(self.announced.take(), Some(entry.epoch));
                        self.seen.discarded += 1;
                    }
                    Fate::Switched { .. } => assert_eq!(self.announced.take(), Some(entry.epoch)),
                    Fate::Retired => {}
                },
                Output::Exhausted => unreachable!(),
            }
        }
    }

    fn hand(&mut self, participant: Participant, epoch: Epoch, secret: [u8; 32]) {
        let peer = self.peers.get_mut(&participant).expect("handed something after it was removed");
        if peer.handed.is_empty() {
            let waited = self.now - peer.joined;
            assert!(waited <= 500, "a joiner waited {waited} ms for its first secret");
            assert!(self.switches.iter().all(|(switched, _)| *switched < epoch), "a joiner got an older epoch");
        }
        peer.handed.insert(epoch, secret);
        for at in peer.control[0].arrivals(self.now, &mut self.rng) {
            self.happens(at, Happening::Announce(participant, epoch, secret));
        }
    }

    fn shut_out_at(&mut self, epoch: Epoch) {
        self.switches.push((epoch, self.now));
        for gone in self.gone.iter_mut().filter(|gone| gone.shut_out.is_none()) {
            let waited = self.now - gone.at;
            if gone.handed.contains_key(&epoch) {
                assert!(gone.crowded, "the first switch after a removal is to an epoch the removed member has");
                self.seen.put_off += 1;
            } else {
                assert!(waited <= SHUT_OUT_WITHIN, "shut out after {waited} ms");
                gone.shut_out = Some(epoch);
                self.seen.shut_out += 1;
            }
        }
    }

    fn handle(&mut self, happening: Happening) {
        let now = moment(self.now);
        match happening {
            Happening::Announce(participant, epoch, secret) => {
                let Some(peer) = self.peers.get_mut(&participant) else { return };
                let secret = EpochSecret::from_slice(&secret).unwrap();
                if peer.keys.announce(epoch, secret, now) == Learned::Ready {
                    for at in peer.control[1].arrivals(self.now, &mut self.rng) {
                        self.happens(at, Happening::Ready(participant, epoch));
                    }
                }
                let peer = self.peers.get_mut(&participant).unwrap();
                while peer.keys.receive_parked(now, &mut [0; 64]).is_some() {}
            }
            Happening::Switch(participant, epoch) => {
                if let Some(peer) = self.peers.get_mut(&participant) {
                    peer.keys.switch(epoch, now);
                }
            }
            Happening::Ready(participant, epoch) => {
                self.schedule.ready(participant, epoch, now, &mut self.secrets);
            }
            Happening::Speak(participant) => self.speak(participant),
            Happening::Upstream(sender, frame) => self.relay(sender, &frame),
            Happening::Downstream(participant, frame) => self.receive(participant, &frame),
        }
    }

    fn speak(&mut self, participant: Participant) {
        if self.peers.keys().take(self.speakers_max).all(|speaker| *speaker != participant) {
            return;
        }
        let next = self.now + self.rng.within((20, 200));
        self.happens(next, Happening::Speak(participant));
        let peer = self.peers.get_mut(&participant).unwrap();
        peer.keys.expire(moment(self.now));
        let level = Clear::Level(AudioLevel::SILENCE);
        let (channel, clear) =
            if self.rng.below(2) == 0 { (Channel::Voice, level) } else { (Channel::Pose, Clear::Nothing) };
        let mut out = [0; 64];
        let Ok(written) = peer.keys.seal(channel, clear, b"frame", moment(self.now), &mut out) else { return };
        let bytes = out[..written].to_vec();
        for at in peer.datagrams[0].arrivals(self.now, &mut self.rng) {
            self.happens(at, Happening::Upstream(participant, bytes.clone()));
        }
        let frame = Frame::decode(&bytes).unwrap();
        let epoch = frame.kid().epoch;
        assert!(self.used.insert((frame.kid().into(), frame.counter())), "a key met a counter twice");
        assert!(self.switches.iter().any(|(switched, _)| *switched == epoch), "sealed under an epoch not switched to");

        // Whoever was shut out tries all it has.
        let places = self.gone.len().try_into().unwrap();
        if places > 0
            && let Some(gone) = self.gone.get(usize::try_from(self.rng.below(places)).unwrap())
        {
            for secret in gone.handed.values().rev().take(3) {
                let opened = opens(secret, &bytes);
                assert!(!opened || gone.shut_out.is_none_or(|first| epoch < first), "a removed member opens a frame");
                self.seen.tried_with_old_keys += 1;
            }
        }
        self.recent.push_back(bytes);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    fn relay(&mut self, sender: Participant, bytes: &[u8]) {
        let epoch = Frame::decode(bytes).unwrap().kid().epoch;
        let accepted =
            self.schedule.accepts(epoch, sender, Frame::decode(bytes).unwrap().kid().channel, moment(self.now));
        let Some(peer) = self.peers.get(&sender) else {
            assert!(accepted.is_err(), "a removed member is listened to");
            return;
        };
        let fine = peer.quality == Quality::Good;
        assert!(accepted.is_ok() || !fine, "a good member loses a frame on its way up: {accepted:?}");
        if accepted.is_err() {
            return;
        }
        let superseded = self.switches.iter().find(|(switched, _)| *switched > epoch);
        assert!(superseded.is_none_or(|(_, at)| self.now < at + 2_000), "accepted two seconds after the switch");
        let routed = |other: &Participant| *other != sender && self.schedule.routes(epoch, *other);
        let others: Vec<_> = self.peers.keys().copied().filter(routed).collect();
        for other in others {
            let peer = self.peers.get_mut(&other).unwrap();
            let first = peer.handed.first_key_value().map(|(first, _)| *first);
            assert!(first.is_some_and(|first| first <= epoch), "a joiner is handed what is older than it");
            for at in peer.datagrams[1].arrivals(self.now, &mut self.rng) {
                self.happens(at, Happening::Downstream(other, bytes.to_vec()));
            }
        }
    }

    fn receive(&mut self, participant: Participant, bytes: &[u8]) {
        let frame = Frame::decode(bytes).unwrap();
        let sender = self.peers.get(&frame.kid().participant).map(|sender| sender.quality);
        let Some(peer) = self.peers.get_mut(&participant) else { return };
        let both_good = peer.quality == Quality::Good && sender == Some(Quality::Good);
        peer.keys.expire(moment(self.now));
        match peer.keys.receive(&frame, moment(self.now), &mut [0; 64]) {
            Ok(Received::Opened { plain, .. }) => {
                assert_eq!(plain, b"frame");
                self.seen.opened += 1;
            }
            Err(MemberError::Replayed(_)) => {}
            Ok(Received::Parked { .. }) if !both_good => self.seen.parked += 1,
            Err(MemberError::Stale) if !both_good => {}
            other => panic!("lost to a rotation, at {} ms: {other:?}", self.now),
        }
    }
}
