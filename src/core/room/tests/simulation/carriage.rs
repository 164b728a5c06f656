// SPDX-License-Identifier: AGPL-3.0-or-later
//! What is on its way between people and the room: datagrams that are lost, late or there twice, streams that are late
//! and in order. When it arrives, and at each tick, the model is told.

use super::model::{Mark, Person};
use super::world::{KEPT_FOR, Participating, Place, World};
use crate::core::keys::epoch::schedule::Output as Keys;
use crate::core::room::Output;
use crate::core::room::flush::{Path, Sink};
use crate::core::room::tests::Handle;
use crate::wire::close::CloseCode;
use crate::wire::datagram::{Tick, downstream};
use crate::wire::frame::Frame;
use crate::wire::header::Header;
use crate::wire::kid::{Channel, Epoch, Kid, Participant};
use crate::wire::sframe::TAG_LEN;
use crate::wire::stream::{EventRecord, event_downstream};

/// Milliseconds of a tick.
const TICK: u64 = 5;

/// What is on its way.
#[derive(Debug, Clone)]
pub(super) enum Parcel {
    /// To the room.
    Datagram(Mark, Vec<u8>),
    Event(Mark, Vec<u8>),
    Barrier(Epoch),
    Ready(Epoch),
    /// From the room.
    Announce(Epoch),
    Switch(Epoch),
    Events(Vec<u8>),
}

/// Takes what is handed out.
#[derive(Default)]
struct Handed(Vec<(Handle, Vec<u8>)>);

impl Sink<Handle> for Handed {
    fn path(&mut self, _: &Handle) -> Option<Path> {
        Some(Path { datagram: 1_200, space: 64 * 1_024, waiting: 0 })
    }

    fn datagram(&mut self, recipient: &Handle, bytes: &[u8]) {
        self.0.push((*recipient, bytes.to_vec()));
    }
}

/// A frame that nobody can open, with its mark.
pub(super) fn frame(kid: Kid, counter: u64, mark: Mark) -> Vec<u8> {
    let mut bytes = Header { kid: kid.into(), counter }.encode().as_bytes().to_vec();
    bytes.extend_from_slice(&mark.to_be_bytes());
    bytes.extend_from_slice(&[0x5a; TAG_LEN]);
    if kid.channel == Channel::Voice {
        bytes.push(20);
    }
    bytes
}

/// The mark in a frame.
fn mark(frame: &Frame<'_>) -> Mark {
    let Header { kid, counter } = Header { kid: frame.kid().into(), counter: frame.counter() };
    let begin = Header { kid, counter }.encode().as_bytes().len();
    Mark::from_be_bytes(frame.as_bytes()[begin..begin + 8].try_into().unwrap())
}

impl World {
    pub fn post_at(&mut self, at: u64, person: Person, parcel: Parcel) {
        let one = &self.people[&person];
        let key = (at, u64::try_from(self.parcels.len()).unwrap() << 32 | self.marks);
        let mut key = key;
        while self.parcels.contains_key(&key) {
            key.1 += 1;
        }
        self.parcels.insert(key, (one.carrier, one.number, parcel));
    }

    /// On a stream of its carrier: late, and in order.
    fn post_in_order(&mut self, person: Person, parcel: Parcel, to_room: bool) {
        let earliest = self.scene.millis + 1 + self.below(150);
        let last = self.streams.entry((self.people[&person].carrier, to_room)).or_default();
        // A moment later than the one before, so that the order of arrival is that of the times.
        *last = (*last + 1).max(earliest);
        let at = *last;
        self.post_at(at, person, parcel);
    }

    pub fn post_to_room(&mut self, person: Person, parcel: Parcel) {
        self.post_in_order(person, parcel, true);
    }

    fn post_from_room(&mut self, number: Participant, parcel: Parcel) {
        let there = self.people.iter().find(|(_, one)| one.number == number && one.place == Place::Here);
        if let Some(person) = there.map(|(person, _)| *person) {
            self.post_in_order(person, parcel, false);
        }
    }

    /// Lets between `from` and `to` milliseconds pass.
    pub fn run_for(&mut self, from: u64, to: u64) {
        let until = self.scene.millis + self.scene.rng.within((from, to));
        while self.scene.millis < until {
            self.scene.millis += 1;
            while let Some(entry) = self.parcels.first_entry().filter(|entry| entry.key().0 <= self.scene.millis) {
                let (carrier, number, parcel) = entry.remove();
                self.arrives(carrier, number, parcel);
            }
            let now = self.scene.now();
            if self.scene.room.poll_timeout().is_some_and(|due| due <= now) {
                self.give_up();
                self.scene.room.handle_timeout(now, &mut self.scene.rng);
                self.drain();
            }
            if self.scene.millis.is_multiple_of(TICK) {
                self.tick();
            }
        }
    }

    /// Who has been away for too long has no place any more.
    fn give_up(&mut self) {
        let millis = self.scene.millis;
        let late = |one: &Participating| matches!(one.place, Place::Away(since) if millis - since >= KEPT_FOR);
        let late: Vec<_> = self.people.iter().filter(|(_, one)| late(one)).map(|(person, _)| *person).collect();
        for person in late {
            self.goes(person);
            self.model.seen.given_up += 1;
        }
    }

    fn tick(&mut self) {
        let (now, mut handed) = (self.scene.now(), Handed::default());
        self.scene.room.flush(now, &mut handed);
        for (carrier, bytes) in handed.0 {
            let to = self.by_carrier[&carrier];
            assert_eq!(self.people[&to].carrier, carrier, "something for a carrier that was replaced");
            let (Tick(_), frames) = downstream(&bytes).unwrap();
            for frame in frames {
                let frame = frame.unwrap();
                self.model.hands(to, mark(&frame), frame.kid(), frame.counter());
            }
        }
        self.model.ticked();
        self.drain();
    }

    fn arrives(&mut self, carrier: Handle, number: Participant, parcel: Parcel) {
        let (person, now) = (self.by_carrier[&carrier], self.scene.now());
        let one = self.people.get_mut(&person).unwrap();
        if one.place == Place::Gone {
            // The carrier may live for a moment longer; the room knows nobody of that number.
            if let Parcel::Datagram(_, bytes) = parcel {
                self.scene.room.handle_datagram(number, &bytes, now);
                self.model.seen.too_late += 1;
            }
            return;
        }
        if one.carrier != carrier || one.place != Place::Here {
            return;
        }
        match parcel {
            Parcel::Datagram(mark, bytes) => {
                let before = self.frames_in(number);
                self.scene.room.handle_datagram(number, &bytes, now);
                let accepted = self.frames_in(number) - before;
                self.model.arrives(mark, accepted == 1);
            }
            Parcel::Event(mark, bytes) => {
                let frame = Frame::decode(&bytes).unwrap();
                if self.scene.room.handle_event(number, EventRecord::Event(frame), now).is_ok() {
                    self.model.says(person, frame.kid().epoch, Some(mark));
                }
            }
            Parcel::Barrier(epoch) => {
                if self.scene.room.handle_event(number, EventRecord::Barrier(None, epoch), now).is_ok() {
                    self.model.says(person, epoch, None);
                }
            }
            Parcel::Ready(epoch) => self.scene.room.ready(number, epoch, now, &mut self.scene.rng),
            Parcel::Announce(epoch) => self.post_to_room(person, Parcel::Ready(epoch)),
            Parcel::Switch(epoch) => one.sealing = one.sealing.max(Some(epoch)),
            Parcel::Events(bytes) => self.reads(person, &bytes),
        }
        self.drain();
    }

    fn reads(&mut self, reader: Person, mut bytes: &[u8]) {
        while let Some((sequence, record, length)) = event_downstream(bytes).unwrap() {
            match record {
                EventRecord::Event(frame) => {
                    self.model.reads(reader, sequence, frame.kid().participant, Some(mark(&frame)));
                }
                EventRecord::Barrier(from, _) => self.model.reads(reader, sequence, from.unwrap(), None),
            }
            bytes = &bytes[length..];
        }
    }

    /// Poses and voice that were accepted of somebody.
    fn frames_in(&self, number: Participant) -> u64 {
        let members = self.scene.room.members();
        let member = members.iter().find(|member| member.number() == number).unwrap();
        let [pose, voice, ..] = member.counted().channels;
        pose.frames_in + voice.frames_in
    }

    /// Does what the room wants done.
    pub fn drain(&mut self) {
        let keys: Vec<_> = std::iter::from_fn(|| self.scene.room.poll_keys()).collect();
        for output in keys {
            match output {
                Keys::Deliver { epoch, to, .. } => to.into_iter().for_each(|number| self.delivered(number, epoch)),
                Keys::Switch { epoch, to } => {
                    to.into_iter().for_each(|number| self.post_from_room(number, Parcel::Switch(epoch)));
                }
                Keys::Ledger(_) => {}
                Keys::Exhausted => panic!("that many epochs there are not"),
            }
        }
        for output in self.scene.outputs() {
            match output {
                Output::Events(carrier) => {
                    let person = self.by_carrier[&carrier];
                    let number = self.people[&person].number;
                    let mut bytes = Vec::new();
                    self.scene.room.read_events(number, 1 << 20, &mut bytes);
                    if !bytes.is_empty() {
                        self.post_from_room(number, Parcel::Events(bytes));
                    }
                }
                Output::Close(carrier, code) => {
                    let one = &self.people[&self.by_carrier[&carrier]];
                    let is_expected = match code {
                        CloseCode::Replaced => one.carrier != carrier,
                        _ => one.place == Place::Gone || matches!(code, CloseCode::Left | CloseCode::Kicked),
                    };
                    assert!(is_expected, "{code:?}");
                }
                Output::Tell(..) | Output::Welcome(..) => {}
            }
        }
    }

    fn delivered(&mut self, number: Participant, epoch: Epoch) {
        let member = self.model.members.values_mut().find(|member| member.number == number);
        // Whoever went in the same moment is delivered nothing by the hub.
        let Some(member) = member else { return };
        member.since.get_or_insert(epoch);
        self.post_from_room(number, Parcel::Announce(epoch));
    }
}
