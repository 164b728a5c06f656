// SPDX-License-Identifier: AGPL-3.0-or-later
//! Who is to be handed what. It keeps sets and looks things up; the room keeps rings, slots and cursors.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::core::room::refusal::Refusal;
use crate::wire::kid::{Channel, Epoch, Kid, Participant};

/// What a frame carries in place of ciphertext: which one it is.
pub(super) type Mark = u64;

/// Somebody, whatever its number is now.
pub(super) type Person = usize;

/// What was counted, so that a run that shows nothing fails.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub voices: u64,
    pub poses: u64,
    pub events: u64,
    pub pictures: u64,
    /// Frames of a voice that was off.
    pub silenced: u64,
    pub forged: u64,
    /// Frames that arrived twice.
    pub repeated: u64,
    /// Frames that were not for somebody who came later.
    pub withheld: u64,
    pub came_back: u64,
    pub given_up: u64,
    pub removed: u64,
    /// Frames that arrived after their sender was removed.
    pub too_late: u64,
}

/// Somebody in the meeting.
#[derive(Debug)]
pub(super) struct Member {
    pub number: Participant,
    pub is_here: bool,
    pub grant_screen: bool,
    pub muted: bool,
    /// The first epoch that it was delivered.
    pub since: Option<Epoch>,
    /// Sequence of the last event that it has.
    pub events: u64,
    /// What is expected of its refusals, for those reasons that can be told beforehand.
    pub refused: BTreeMap<&'static str, u64>,
    /// Frames of poses and voice that arrived, and those that were accepted.
    pub arrived: u64,
    pub accepted: u64,
    given: HashMap<Mark, Channel>,
    newest_pose: HashMap<(Participant, Epoch), u64>,
}

/// A frame that was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub from: Person,
    pub kid: Kid,
    pub counter: u64,
}

/// What stands in the log of events.
#[derive(Debug, Clone, Copy)]
struct Said {
    from: Person,
    epoch: Epoch,
    /// None: a barrier.
    mark: Option<Mark>,
}

/// Accepted since the last tick: who was there, and is to be handed it if it still is.
#[derive(Debug)]
struct Due {
    mark: Mark,
    to: BTreeSet<Person>,
}

/// The meeting as it should be.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub members: BTreeMap<Person, Member>,
    pub voice_off: bool,
    pub seen: Seen,
    sent: HashMap<Mark, Sent>,
    accepted: BTreeSet<Mark>,
    due: Vec<Due>,
    log: Vec<Said>,
}

impl Model {
    pub fn joins(&mut self, person: Person, number: Participant, grant_screen: bool, events: u64) {
        assert_eq!(events, self.last_event(), "whoever comes gets no older event");
        let member = Member {
            number,
            is_here: true,
            grant_screen,
            muted: false,
            since: None,
            events,
            refused: BTreeMap::new(),
            arrived: 0,
            accepted: 0,
            given: HashMap::new(),
            newest_pose: HashMap::new(),
        };
        assert!(self.members.insert(person, member).is_none());
    }

    pub fn last_event(&self) -> u64 {
        u64::try_from(self.log.len()).unwrap()
    }

    pub fn is_silenced(&self, person: Person) -> bool {
        self.voice_off || self.members[&person].muted
    }

    pub fn sends(&mut self, mark: Mark, sent: Sent) {
        assert!(self.sent.insert(mark, sent).is_none(), "marks are one each");
    }

    /// A frame of a datagram arrived from a member that is there.
    pub fn arrives(&mut self, mark: Mark, accepted: bool) {
        let sent = self.sent[&mark];
        let is_silenced = sent.kid.channel == Channel::Voice && self.is_silenced(sent.from);
        let member = self.members.get_mut(&sent.from).unwrap();
        member.arrived += 1;
        let is_own = sent.kid.participant == member.number;
        let reason = match (is_own, is_silenced) {
            (false, _) => Some(Refusal::OtherSender),
            (true, true) => Some(Refusal::Silenced),
            (true, false) => None,
        };
        if let Some(reason) = reason {
            assert!(!accepted, "{sent:?} is {reason:?}");
            *member.refused.entry(reason.as_str()).or_default() += 1;
            self.seen.silenced += u64::from(reason == Refusal::Silenced);
            self.seen.forged += u64::from(reason == Refusal::OtherSender);
        }
        if !accepted {
            self.seen.repeated += u64::from(self.accepted.contains(&mark));
            return;
        }
        member.accepted += 1;
        assert!(self.accepted.insert(mark), "{sent:?} was accepted twice");
        if sent.kid.channel == Channel::Pose {
            // Only the newest is due.
            let older = |due: &Due| {
                let other = self.sent[&due.mark];
                other.from == sent.from && other.kid.channel == Channel::Pose
            };
            self.due.retain(|due| !older(due));
        }
        let is_for = |member: &Member| member.since.is_some_and(|since| since <= sent.kid.epoch);
        let others = self.members.iter().filter(|(person, _)| **person != sent.from);
        let (to, not): (Vec<_>, Vec<_>) = others.partition(|(_, member)| is_for(member));
        self.seen.withheld += u64::try_from(not.len()).unwrap();
        self.due.push(Due { mark, to: to.into_iter().map(|(person, _)| *person).collect() });
    }

    /// The room handed a frame to somebody.
    pub fn hands(&mut self, to: Person, mark: Mark, kid: Kid, counter: u64) {
        let sent = self.sent[&mark];
        assert!(sent.kid == kid && sent.counter == counter, "{sent:?} was changed: {kid:?} {counter}");
        assert!(self.accepted.contains(&mark) || kid.channel == Channel::Screen, "{sent:?} was refused");
        assert_ne!(sent.from, to, "{sent:?} came back to its sender");
        assert!(self.members.contains_key(&sent.from), "{sent:?} was handed on after its sender went");
        assert!(kid.channel != Channel::Voice || !self.is_silenced(sent.from), "{sent:?} is silenced");
        let member = self.members.get_mut(&to).expect("it was removed, and was handed something");
        assert!(member.is_here, "it is away, and was handed something");
        let since = member.since.expect("it has no key, and was handed something");
        assert!(kid.epoch >= since, "{sent:?} is older than what {to} has keys for, {since:?}");
        assert!(member.given.insert(mark, kid.channel).is_none(), "{sent:?} was handed twice to {to}");
        if kid.channel == Channel::Pose {
            let before = member.newest_pose.insert((kid.participant, kid.epoch), counter);
            assert!(before.is_none_or(|before| before < counter), "{sent:?} is older than the pose before");
        }
        match kid.channel {
            Channel::Pose => self.seen.poses += 1,
            Channel::Voice => self.seen.voices += 1,
            Channel::Screen => self.seen.pictures += 1,
            Channel::Event => {}
        }
    }

    /// A tick is over: what was due was handed out to all who are still there.
    pub fn ticked(&mut self) {
        for Due { mark, to } in std::mem::take(&mut self.due) {
            let sent = self.sent[&mark];
            let is_wanted = self.members.contains_key(&sent.from)
                && !(sent.kid.channel == Channel::Voice && self.is_silenced(sent.from));
            let there = to.iter().filter_map(|person| self.members.get(person)).filter(|member| member.is_here);
            for member in there.filter(|_| is_wanted) {
                assert!(member.given.contains_key(&mark), "{sent:?} was not handed to {}", member.number);
            }
        }
    }

    /// A record of an event stream was accepted.
    pub fn says(&mut self, from: Person, epoch: Epoch, mark: Option<Mark>) {
        self.log.push(Said { from, epoch, mark });
    }

    /// A record arrived at a reader.
    pub fn reads(&mut self, reader: Person, sequence: u64, from: Participant, mark: Option<Mark>) {
        let said = self.log[usize::try_from(sequence - 1).unwrap()];
        assert_eq!((said.mark, mark.map(|mark| self.sent[&mark].kid.participant)), (mark, mark.map(|_| from)));
        self.is_whole(reader, sequence - 1);
        let member = self.members.get_mut(&reader).unwrap();
        assert!(member.since.is_some_and(|since| since <= said.epoch), "{said:?} is not for {reader}");
        assert!(sequence > member.events, "{said:?} came again to {reader}");
        member.events = sequence;
        self.seen.events += 1;
    }

    /// Whether a reader was given all events up to this one that are for it.
    fn is_whole(&self, reader: Person, until: u64) {
        let member = &self.members[&reader];
        for sequence in member.events + 1..=until {
            let said = self.log[usize::try_from(sequence - 1).unwrap()];
            let is_for = said.from != reader && member.since.is_some_and(|since| since <= said.epoch);
            assert!(!is_for, "{reader} has {} and missed {sequence}: {said:?}", member.events);
        }
    }

    /// Everybody who is there has every event.
    pub fn is_heard_out(&self) {
        for (person, _) in self.members.iter().filter(|(_, member)| member.is_here) {
            self.is_whole(*person, self.last_event());
        }
    }
}
