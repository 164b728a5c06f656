// SPDX-License-Identifier: AGPL-3.0-or-later
//! People, their carriers and links, and the room they are in.

use std::collections::{BTreeMap, HashMap};

use super::carriage::{Parcel, frame};
use super::model::{Mark, Model, Person, Seen, Sent};
use crate::core::auth::ticket::Grant;
use crate::core::keys::epoch::reason::Removal;
use crate::core::room::policy::RoomPolicy;
use crate::core::room::tests::{Handle, SPEAKER, Scene};
use crate::core::room::{Group, Joined, Wish};
use crate::wire::close::CloseCode;
use crate::wire::datagram::{DATAGRAM_MAX, Writer};
use crate::wire::frame::Frame;
use crate::wire::kid::{Channel, Epoch, Kid, Participant};

/// A place is kept for this long.
pub(super) const KEPT_FOR: u64 = 15_000;

/// Where somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Here,
    /// Its carrier was lost then.
    Away(u64),
    Gone,
}

/// Somebody, as it knows itself.
#[derive(Debug)]
pub(super) struct Participating {
    pub number: Participant,
    pub carrier: Handle,
    pub place: Place,
    /// It does not come back any more.
    pub gave_up: bool,
    pub sealing: Option<Epoch>,
    pub counters: HashMap<Kid, u64>,
    pub last_event: Option<Epoch>,
}

pub(super) struct World {
    pub(super) scene: Scene,
    pub(super) model: Model,
    pub(super) people: BTreeMap<Person, Participating>,
    pub(super) by_carrier: HashMap<Handle, Person>,
    /// By the time of arrival.
    pub(super) parcels: BTreeMap<(u64, u64), (Handle, Participant, Parcel)>,
    /// When the last parcel of a stream arrives: to the room or from it, over a carrier.
    pub(super) streams: HashMap<(Handle, bool), u64>,
    pub(super) marks: u64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        // Everybody is heard, however many speak.
        let scene = Scene::new(seed, RoomPolicy { voices: 0, ..RoomPolicy::default() });
        Self {
            scene,
            model: Model::default(),
            people: BTreeMap::new(),
            by_carrier: HashMap::new(),
            parcels: BTreeMap::new(),
            streams: HashMap::new(),
            marks: 0,
        }
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.scene.rng.below(end)
    }

    /// How many are in the meeting.
    pub fn people(&self) -> usize {
        self.model.members.len()
    }

    /// One of those for whom this holds.
    fn somebody(&mut self, holds: impl Fn(&Participating) -> bool) -> Option<Person> {
        let all: Vec<_> = self.people.iter().filter(|(_, one)| holds(one)).map(|(person, _)| *person).collect();
        let place = self.below(u64::try_from(all.len().max(1)).unwrap());
        all.get(usize::try_from(place).unwrap()).copied()
    }

    fn somebody_with_keys(&mut self) -> Option<(Person, Epoch)> {
        let person = self.somebody(|one| one.place == Place::Here && one.sealing.is_some())?;
        Some((person, self.people[&person].sealing?))
    }

    pub fn join(&mut self) {
        let grant = Grant { screen: self.below(3) > 0, ..SPEAKER };
        let (who, carrier, now) = (self.scene.newcomer(grant, Vec::new()), self.scene.carrier(), self.scene.now());
        let joined = self.scene.room.join(who, carrier, now, &mut self.scene.rng).unwrap();
        let Joined::In(number) = joined else { panic!("there is no lobby") };
        let person = self.people.len();
        let one = Participating {
            number,
            carrier,
            place: Place::Here,
            gave_up: false,
            sealing: None,
            counters: HashMap::new(),
            last_event: None,
        };
        self.people.insert(person, one);
        self.by_carrier.insert(carrier, person);
        self.scene.room.begin_events(number);
        self.model.joins(person, number, grant.screen, self.model.last_event());
        self.drain();
    }

    /// Somebody leaves, or is removed.
    pub fn remove(&mut self, kick: bool) {
        let Some(person) = self.somebody(|one| one.place != Place::Gone) else { return };
        let (number, now) = (self.people[&person].number, self.scene.now());
        let rng = &mut self.scene.rng;
        let removed = match kick {
            true => self.scene.room.moderate(Wish::Kick(number), now, rng),
            false => self.scene.room.remove(number, Removal::Left, CloseCode::Left, now, rng),
        };
        removed.unwrap();
        self.goes(person);
        self.model.seen.removed += 1;
        self.drain();
    }

    pub(super) fn goes(&mut self, person: Person) {
        self.check_counts(person);
        self.people.get_mut(&person).unwrap().place = Place::Gone;
        self.model.members.remove(&person);
    }

    pub fn lose_a_carrier(&mut self) {
        let Some(person) = self.somebody(|one| one.place == Place::Here) else { return };
        let (now, gave_up) = (self.scene.now(), self.below(5) == 0);
        let one = self.people.get_mut(&person).unwrap();
        (one.place, one.gave_up) = (Place::Away(self.scene.millis), gave_up);
        self.scene.room.carrier_lost(one.number, &one.carrier, now);
        self.model.members.get_mut(&person).unwrap().is_here = false;
        self.drain();
    }

    pub fn come_back(&mut self) {
        let Some(person) = self.somebody(|one| matches!(one.place, Place::Away(_)) && !one.gave_up) else { return };
        let (carrier, now) = (self.scene.carrier(), self.scene.now());
        let (old, events) = (self.people[&person].number, self.model.members[&person].events);
        let number = self.scene.room.come_back(old, carrier, events, now, &mut self.scene.rng).unwrap();
        assert_ne!(number, old);
        let one = self.people.get_mut(&person).unwrap();
        (one.number, one.carrier, one.place, one.last_event) = (number, carrier, Place::Here, None);
        // Welcome says under which epoch the others seal.
        one.sealing = self.scene.room.epoch().filter(|live| one.sealing.is_some_and(|sealing| sealing <= *live));
        self.by_carrier.insert(carrier, person);
        let member = self.model.members.get_mut(&person).unwrap();
        (member.number, member.is_here) = (number, true);
        self.model.seen.came_back += 1;
        self.scene.room.begin_events(number);
        self.drain();
    }

    pub fn rotate(&mut self) {
        let now = self.scene.now();
        self.scene.room.rotate(now, &mut self.scene.rng);
        self.drain();
    }

    /// A moderator mutes or unmutes somebody.
    pub fn mute(&mut self) {
        let Some(person) = self.somebody(|one| one.place != Place::Gone) else { return };
        let (number, now) = (self.people[&person].number, self.scene.now());
        let member = self.model.members.get_mut(&person).unwrap();
        member.muted = !member.muted;
        let wish = if member.muted { Wish::Mute(number) } else { Wish::Unmute(number) };
        self.scene.room.moderate(wish, now, &mut self.scene.rng).unwrap();
        self.drain();
    }

    /// The room permits voices, or does not.
    pub fn switch_voices(&mut self) {
        self.model.voice_off = !self.model.voice_off;
        let policy = RoomPolicy { voice: !self.model.voice_off, ..*self.scene.room.policy() };
        self.scene.room.set_policy(policy);
        self.drain();
    }

    /// Everybody sends a pose, somebody says something.
    pub fn speak(&mut self) {
        let Some((speaker, epoch)) = self.somebody_with_keys() else { return };
        self.send_datagram(speaker, Channel::Voice, epoch);
        let movers: Vec<_> = self.people.iter().filter(|(_, one)| one.place == Place::Here).collect();
        let movers: Vec<_> = movers.into_iter().filter_map(|(person, one)| Some((*person, one.sealing?))).collect();
        for (mover, epoch) in movers {
            self.send_datagram(mover, Channel::Pose, epoch);
        }
    }

    /// Somebody sends under the number of somebody else.
    pub fn forge(&mut self) {
        let Some((person, epoch)) = self.somebody_with_keys() else { return };
        let own = self.people[&person].number;
        let Some(other) = self.somebody(|one| one.number != own) else { return };
        let kid = Kid { epoch, participant: self.people[&other].number, channel: Channel::Voice };
        self.put_on_the_way(person, kid, 0);
    }

    /// The next counter of a key.
    fn counter(&mut self, person: Person, kid: Kid) -> u64 {
        let counter = self.people.get_mut(&person).unwrap().counters.entry(kid).or_default();
        *counter += 1;
        *counter - 1
    }

    fn sends(&mut self, from: Person, kid: Kid, counter: u64) -> (Mark, Vec<u8>) {
        self.marks += 1;
        self.model.sends(self.marks, Sent { from, kid, counter });
        (self.marks, frame(kid, counter, self.marks))
    }

    fn send_datagram(&mut self, person: Person, channel: Channel, epoch: Epoch) {
        let kid = Kid { epoch, participant: self.people[&person].number, channel };
        let counter = self.counter(person, kid);
        self.put_on_the_way(person, kid, counter);
    }

    /// A datagram is lost, late, or there twice.
    fn put_on_the_way(&mut self, person: Person, kid: Kid, counter: u64) {
        let (mark, frame) = self.sends(person, kid, counter);
        let mut buffer = [0; DATAGRAM_MAX];
        let mut writer = Writer::upstream(&mut buffer, DATAGRAM_MAX);
        writer.push(&frame).unwrap();
        let bytes = writer.finish().unwrap().to_vec();
        let copies = match self.below(20) {
            0 | 1 => 0,
            2 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let arrival = self.scene.millis + 1 + self.below(150);
            self.post_at(arrival, person, Parcel::Datagram(mark, bytes.clone()));
        }
    }

    /// Somebody says something on its event stream.
    pub fn say(&mut self) {
        let Some((person, epoch)) = self.somebody_with_keys() else { return };
        let one = self.people.get_mut(&person).unwrap();
        let kid = Kid { epoch, participant: one.number, channel: Channel::Event };
        if one.last_event.replace(epoch).is_some_and(|last| last < epoch) {
            self.post_to_room(person, Parcel::Barrier(epoch));
        }
        let counter = self.counter(person, kid);
        let (mark, bytes) = self.sends(person, kid, counter);
        self.post_to_room(person, Parcel::Event(mark, bytes));
    }

    /// Somebody shares a few pictures; between them anything may happen that takes no time.
    pub fn share(&mut self) {
        let Some((person, epoch)) = self.somebody_with_keys() else { return };
        let kid = Kid { epoch, participant: self.people[&person].number, channel: Channel::Screen };
        let now = self.scene.now();
        let mut group: Option<Group<Handle>> = None;
        for picture in 0..3 {
            if self.people[&person].place != Place::Here {
                return;
            }
            let counter = self.counter(person, kid);
            let (mark, bytes) = self.sends(person, kid, counter);
            let frame = Frame::decode(&bytes).unwrap();
            let taken = match &mut group {
                None => self.scene.room.begin_group(kid.participant, &frame, now).map(|begun| group = Some(begun)),
                Some(group) => self.scene.room.continue_group(kid.participant, group, &frame, now),
            };
            let Some(group) = group.as_ref().filter(|_| taken.is_ok()) else {
                if !self.model.members[&person].grant_screen {
                    let member = self.model.members.get_mut(&person).unwrap();
                    *member.refused.entry("not_permitted").or_default() += 1;
                }
                return;
            };
            assert!(self.model.members[&person].grant_screen, "it may not share its screen");
            let recipients: Vec<_> = group.recipients().copied().collect();
            for carrier in recipients {
                let to = self.by_carrier[&carrier];
                assert_eq!(self.people[&to].carrier, carrier, "a picture for a carrier that was replaced");
                self.model.hands(to, mark, kid, counter);
            }
            if picture == 1 && self.below(12) == 0 {
                self.remove(true);
            }
        }
    }

    /// What the room counted of somebody is what happened.
    fn check_counts(&self, person: Person) {
        let Some(member) = self.model.members.get(&person) else { return };
        let members = self.scene.room.members();
        // It may have gone a moment ago.
        let Some(view) = members.iter().find(|view| view.number() == member.number) else { return };
        let refusals: BTreeMap<_, _> =
            view.counted().refusals.iter().map(|(refusal, count)| (refusal.as_str(), count)).collect();
        for reason in ["other_sender", "silenced", "not_permitted"] {
            assert_eq!(refusals.get(reason), member.refused.get(reason), "{person}: {reason}, {refusals:?}");
        }
        for reason in ["malformed", "other_channel", "rate"] {
            assert_eq!(refusals.get(reason), None, "{person}: {reason}");
        }
        assert!(member.accepted + view.counted().refusals.total() >= member.arrived);
    }

    /// Lets everything arrive, looks at everybody, and sends all away.
    pub fn finish(mut self) -> Seen {
        self.run_for(5_000, 5_000);
        self.model.is_heard_out();
        let everybody: Vec<_> = self.model.members.keys().copied().collect();
        everybody.iter().for_each(|person| self.check_counts(*person));
        while self.people() > 0 {
            self.remove(false);
            self.run_for(5, 50);
        }
        self.run_for(2_000, 2_000);
        assert!(self.scene.room.is_empty() && self.scene.outputs().is_empty());
        self.model.seen
    }
}
