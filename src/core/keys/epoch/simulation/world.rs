// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A meeting in virtual time: the schedule, whoever drives it, members who come, go and come back, and those who were
//! removed and kept everything they were ever handed. Promises are asserted where they would break.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use super::link::Seeded;
use super::people::{Carrier, Down, Gone, Happening, Links, Marked, Peer, Quality, Record, Up};
use crate::core::keys::epoch::member::{Learned, MemberKeys};
use crate::core::keys::epoch::reason::{Fate, Removal};
use crate::core::keys::epoch::schedule::{Output, Schedule};
use crate::core::keys::epoch::{EpochSecret, RotationInterval};
use crate::values::id::MeetingId;
use crate::values::time::Moment;
use crate::wire::frame::{Frame, FrameOpener};
use crate::wire::kid::{Channel, Epoch, Participant};

const MEETING: MeetingId = MeetingId::from_bytes([7; 16]);
/// The longest time until a switch shuts a removed member out, in milliseconds, when others go all the time.
const SHUT_OUT_WITHIN: u64 = 1_500;
/// How long a carrier may be lost, in milliseconds.
const RESUME_WITHIN: u64 = 15_000;
/// How long a member waits for the secret of an event or a screen, in milliseconds.
const KEPT_FOR: u64 = 30_000;

/// What happened, to see that something did.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub opened: usize,
    pub events: usize,
    pub parked: usize,
    pub barriers: usize,
    pub switched: usize,
    pub discarded: usize,
    pub shut_out: usize,
    pub put_off: usize,
    pub came_back: usize,
    pub given_up: usize,
    pub tried_with_old_keys: usize,
    pub tried_with_new_keys: usize,
}

pub(super) struct World {
    pub(super) now: u64,
    pub(super) rng: Seeded,
    secrets: Seeded,
    pub(super) schedule: Schedule,
    pub(super) peers: BTreeMap<Participant, Peer>,
    pub(super) gone: Vec<Gone>,
    removals: Vec<u64>,
    happenings: BTreeMap<(u64, u64), Happening>,
    /// Counts happenings and carriers.
    count: u64,
    announced: Option<Epoch>,
    pub(super) speakers_max: usize,
    /// Key ids and counters that were sealed under.
    pub(super) used: HashSet<(u64, u64)>,
    pub(super) recent: VecDeque<Vec<u8>>,
    /// The relay's events.
    pub(super) log: Vec<(Participant, Epoch, Record)>,
    /// For each mark, how its sender is connected.
    pub(super) marks: Vec<Quality>,
    /// Epoch and time of each switch.
    pub(super) switches: Vec<(Epoch, u64)>,
    pub(super) seen: Seen,
}

pub(super) fn moment(millis: u64) -> Moment {
    Moment::after_origin(Duration::from_millis(millis))
}

/// Whether a secret opens a frame, whatever epoch it says it is of.
pub(super) fn opens(secret: &[u8; 32], frame: &[u8]) -> bool {
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
            count: 0,
            announced: None,
            speakers_max: usize::MAX,
            used: HashSet::new(),
            recent: VecDeque::new(),
            log: Vec::new(),
            marks: Vec::new(),
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
        let carrier = self.fresh_carrier();
        let peer = Peer {
            quality,
            joined: self.now,
            boxes: Vec::new(),
            carrier: Some(carrier),
            last_carrier: carrier,
            links: Links::new(quality),
            barrier: Epoch(0),
            windows: BTreeMap::new(),
            cursor: None,
            keys: MemberKeys::new(MEETING, participant),
            back_at: self.now,
            numbers: vec![participant],
            boxes_opened: 0,
            events_read: self.log.len(),
            last_event: None,
            waiting: BTreeMap::new(),
            heard: BTreeMap::new(),
            opened: Default::default(),
        };
        assert!(self.peers.insert(participant, peer).is_none(), "a number is in use twice");
        self.drain();
        self.welcome(participant, carrier, None);
    }

    pub fn remove_somebody(&mut self, removal: Removal) {
        if let Some(participant) = self.somebody() {
            self.remove(participant, removal);
        }
    }

    fn remove(&mut self, participant: Participant, removal: Removal) {
        let peer = self.peers.remove(&participant).unwrap();
        let crowded = self.removals.iter().any(|at| (1_000..=SHUT_OUT_WITHIN).contains(&(self.now - at)));
        if !peer.boxes.is_empty() {
            self.removals.push(self.now);
            self.gone.push(Gone { at: self.now, boxes: peer.boxes, shut_out: None, crowded });
        }
        self.schedule.remove(participant, removal, moment(self.now), &mut self.secrets).unwrap();
        self.drain();
        assert!(self.schedule.accepts(Epoch(0), participant, Channel::Event, moment(self.now)).is_err());
    }

    /// Somebody's carrier is lost, and with it all that is under way on it.
    pub fn lose_a_carrier(&mut self) {
        let Some(participant) = self.somebody() else { return };
        let gives_up = self.rng.below(5) == 0;
        let peer = self.peers.get_mut(&participant).unwrap();
        let Some(carrier) = peer.carrier.take() else { return };
        peer.cursor = None;
        let away = self.rng.within((20, RESUME_WITHIN - 1));
        if gives_up {
            self.happens(self.now + RESUME_WITHIN, Happening::GiveUp(participant, carrier));
        } else {
            self.happens(self.now + away, Happening::ComeBack(participant, carrier));
        }
    }

    /// Somebody comes back over a new carrier: it is told the live epoch, then gets the boxes that it did not open.
    fn come_back(&mut self, old: Participant) {
        let new = self.schedule.replace(old, moment(self.now), &mut self.secrets).unwrap();
        let carrier = self.fresh_carrier();
        let mut peer = self.peers.remove(&old).unwrap();
        (peer.carrier, peer.last_carrier) = (Some(carrier), carrier);
        peer.links = Links::new(peer.quality);
        peer.back_at = self.now;
        (peer.barrier, peer.windows) = (Epoch(0), BTreeMap::new());
        peer.numbers.push(new);
        let missed: Vec<_> = peer.boxes.iter().copied().enumerate().skip(peer.boxes_opened).collect();
        assert!(self.peers.insert(new, peer).is_none(), "a number is in use twice");
        self.seen.came_back += 1;
        self.welcome(new, carrier, self.schedule.live());
        for (place, (epoch, secret)) in missed {
            self.tell(new, Down::Box { place, epoch, secret });
        }
        self.drain();
    }

    fn welcome(&mut self, participant: Participant, carrier: Carrier, live: Option<Epoch>) {
        let peer = self.peers.get_mut(&participant).unwrap();
        let at = peer.links.control[0].arrival(self.now, &mut self.rng);
        self.happens(at, Happening::Down(participant, carrier, Down::Welcome(participant, live)));
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
        for peer in self.peers.values().filter(|peer| peer.quality != Quality::Bad) {
            let lost = peer.waiting.values().any(|at| self.now - at > KEPT_FOR);
            assert!(!lost, "an event or a screen waited for a secret that never came");
        }
        self.seen.switched = self.switches.len();
        self.seen
    }

    fn somebody(&mut self) -> Option<Participant> {
        let place = self.rng.below(self.peers.len().max(1).try_into().unwrap());
        self.peers.keys().nth(place.try_into().unwrap()).copied()
    }

    fn fresh_carrier(&mut self) -> Carrier {
        self.count += 1;
        Carrier(self.count)
    }

    pub(super) fn happens(&mut self, at: u64, happening: Happening) {
        self.count += 1;
        self.happenings.insert((at, self.count), happening);
    }

    /// Tells a member that is there; one that is away is told when it comes back.
    fn tell(&mut self, participant: Participant, message: Down) {
        let peer = self.peers.get_mut(&participant).expect("told something after it was removed");
        let Some(carrier) = peer.carrier else { return };
        for at in peer.links.control[0].arrivals(self.now, &mut self.rng) {
            let copy = match &message {
                Down::Box { place, epoch, secret } => Down::Box { place: *place, epoch: *epoch, secret: *secret },
                Down::Switch(epoch) => Down::Switch(*epoch),
                _ => unreachable!(),
            };
            self.happens(at, Happening::Down(participant, carrier, copy));
        }
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
                        let handed = self.peers.get(&participant).is_some_and(|peer| peer.handed(epoch));
                        assert!(handed, "told to seal under what it was not given");
                        self.tell(participant, Down::Switch(epoch));
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
        if peer.boxes.is_empty() {
            let waited = self.now - peer.joined;
            assert!(waited <= 500, "a joiner waited {waited} ms for its first secret");
            assert!(self.switches.iter().all(|(switched, _)| *switched < epoch), "a joiner got an older epoch");
        }
        let place = peer.boxes.len();
        peer.boxes.push((epoch, secret));
        self.tell(participant, Down::Box { place, epoch, secret });
    }

    fn shut_out_at(&mut self, epoch: Epoch) {
        self.switches.push((epoch, self.now));
        for gone in self.gone.iter_mut().filter(|gone| gone.shut_out.is_none()) {
            let waited = self.now - gone.at;
            if gone.boxes.iter().any(|(handed, _)| *handed == epoch) {
                assert!(gone.crowded, "the first switch after a removal is to an epoch the removed member has");
                self.seen.put_off += 1;
            } else {
                assert!(waited <= SHUT_OUT_WITHIN, "shut out after {waited} ms");
                gone.shut_out = Some(epoch);
                self.seen.shut_out += 1;
            }
        }
    }

    /// Who is there over this carrier.
    pub(super) fn over(&mut self, participant: Participant, carrier: Carrier) -> Option<&mut Peer> {
        self.peers.get_mut(&participant).filter(|peer| peer.carrier == Some(carrier))
    }

    fn handle(&mut self, happening: Happening) {
        match happening {
            Happening::Down(participant, carrier, message) => {
                if self.over(participant, carrier).is_some() {
                    self.handle_down(participant, carrier, message);
                }
            }
            Happening::Up(participant, _, Up::Frame(frame)) if !self.peers.contains_key(&participant) => {
                self.refuse(participant, &frame);
            }
            Happening::Up(participant, _, Up::Event(Record::Event(frame)))
                if !self.peers.contains_key(&participant) =>
            {
                self.refuse(participant, &frame);
            }
            Happening::Up(participant, carrier, message) => {
                if self.over(participant, carrier).is_none() {
                    return;
                }
                match message {
                    Up::Ready(epoch) => {
                        self.schedule.ready(participant, epoch, moment(self.now), &mut self.secrets);
                    }
                    Up::Events(read) => {
                        self.over(participant, carrier).unwrap().cursor = Some(read);
                        self.send_events(participant);
                    }
                    Up::Frame(frame) => self.relay(participant, &frame),
                    Up::Event(record) => self.relay_event(participant, record),
                }
            }
            Happening::Speak(participant, carrier) => {
                if self.over(participant, carrier).is_some() {
                    self.speak(participant, carrier);
                }
            }
            Happening::ComeBack(participant, carrier) | Happening::GiveUp(participant, carrier)
                if !self.is_away(participant, carrier) => {}
            Happening::ComeBack(participant, _) => self.come_back(participant),
            Happening::GiveUp(participant, _) => {
                self.seen.given_up += 1;
                self.remove(participant, Removal::Lost);
            }
        }
    }

    /// Whether the one who lost this carrier still is away. A number rests for two epochs, and whoever has it after that
    /// has lost another carrier, if any.
    fn is_away(&self, participant: Participant, lost: Carrier) -> bool {
        let away = self.peers.get(&participant).filter(|peer| peer.carrier.is_none());
        away.is_some_and(|peer| peer.last_carrier == lost)
    }

    fn refuse(&self, participant: Participant, frame: &Marked) {
        let kid = Frame::decode(&frame.bytes).unwrap().kid();
        let accepted = self.schedule.accepts(kid.epoch, participant, kid.channel, moment(self.now));
        assert!(accepted.is_err(), "a removed member is listened to");
    }

    fn handle_down(&mut self, participant: Participant, carrier: Carrier, message: Down) {
        let now = moment(self.now);
        let peer = self.peers.get_mut(&participant).unwrap();
        match message {
            Down::Welcome(number, live) => {
                peer.keys.renumber(number, live, now);
                peer.last_event = None;
                let read = peer.events_read;
                let at = peer.links.events[1].arrival(self.now, &mut self.rng);
                self.happens(at, Happening::Up(participant, carrier, Up::Events(read)));
                self.happens(self.now, Happening::Speak(participant, carrier));
            }
            Down::Box { place, epoch, secret } => {
                if peer.quality != Quality::Bad {
                    assert_eq!(place, peer.boxes_opened, "a box out of turn");
                }
                peer.boxes_opened = peer.boxes_opened.max(place + 1);
                if peer.keys.announce(epoch, EpochSecret::from_slice(&secret).unwrap(), now) == Learned::Ready {
                    for at in peer.links.control[1].arrivals(self.now, &mut self.rng) {
                        self.happens(at, Happening::Up(participant, carrier, Up::Ready(epoch)));
                    }
                }
                self.receive_parked(participant);
            }
            Down::Switch(epoch) => peer.keys.switch(epoch, now),
            Down::Frame(frame) => self.receive(participant, &frame),
            Down::Event(read, record) => {
                peer.events_read = read;
                match record {
                    Record::Event(frame) => self.receive(participant, &frame),
                    Record::Barrier(sender, epoch) => {
                        peer.keys.barrier(sender, epoch);
                        self.seen.barriers += 1;
                    }
                }
            }
        }
    }
}
