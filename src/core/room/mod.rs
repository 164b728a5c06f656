// SPDX-License-Identifier: AGPL-3.0-or-later
//! A meeting in a room: who is there, what is forwarded to whom and when. A pure state machine.
//!
//! After every call drain [`Room::poll_output`] and [`Room::poll_keys`], then wait until [`Room::poll_timeout`] and call
//! [`Room::handle_timeout`]; call [`Room::flush`] at every tick. **A voice datagram is refused here**, in
//! [`Room::handle_datagram`]: member? own number? muted? epoch? replay? rate? What passes waits in the sender's ring
//! until the next tick. `H` is how a member is reached; the room keeps it and knows nothing about it.
//!
//! | file | what |
//! |---|---|
//! | [`policy`] | what a room permits |
//! | [`member`] | one participant |
//! | `roster` | coming, going, coming back, the lobby, moderation |
//! | `intake` | what arrives: datagrams, events, screen frames, each refused or kept |
//! | [`refusal`], [`rate`], `windows` | why something is refused |
//! | `media`, `events` | what waits to be handed on |
//! | [`flush`], [`loudness`], [`interest`] | what each member is handed at a tick |

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use rand_core::CryptoRng;

use crate::core::keys::epoch::reason::Fate;
use crate::core::keys::epoch::schedule::{self, Schedule};
use crate::core::room::events::EventLog;
use crate::core::room::flush::{Flush, Sink};
use crate::core::room::member::{Counted, Member, Newcomer, Presence};
use crate::core::room::policy::RoomPolicy;
use crate::values::id::MeetingId;
use crate::values::time::Moment;
use crate::wire::close::CloseCode;
use crate::wire::control::schema::{self, server_message};
use crate::wire::kid::{Epoch, Participant};

pub mod policy;

pub mod member;

mod roster;

mod intake;

pub mod refusal;

pub mod rate;

mod windows;

mod media;

mod events;

pub mod flush;

pub mod loudness;

pub mod interest;

#[cfg(test)]
mod tests;

pub use intake::Group;
pub use roster::{ComeBackError, JoinError, Joined, NotThere, Wish};

/// What is to be done, in this order.
#[derive(Debug, PartialEq)]
pub enum Output<H> {
    /// Tell somebody.
    Tell(H, server_message::Body),
    /// Somebody is in; tell it everything, with the key of its boxes. Nothing was told to it before.
    Welcome(H, Arrival),
    /// There are events to be read: [`Room::read_events`].
    Events(H),
    /// End a carrier.
    Close(H, CloseCode),
}

/// What somebody who comes in is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// Its number.
    pub participant: Participant,
    /// The number it had before it came back.
    pub before: Option<Participant>,
    /// Who else is there.
    pub roster: Vec<schema::Member>,
    /// What it may do.
    pub policy: schema::Policy,
    /// Sequence of the last event before it came.
    pub events: u64,
}

/// A meeting.
#[derive(Debug)]
pub struct Room<H> {
    meeting: MeetingId,
    policy: RoomPolicy,
    locked: bool,
    keys: Schedule,
    members: Vec<Option<Member<H>>>,
    places: HashMap<Participant, usize>,
    waiting: Vec<Waiter<H>>,
    waiters: u32,
    events: EventLog,
    flush: Flush,
    tick: u32,
    /// Who looks different since everybody was told.
    changed: BTreeSet<Participant>,
    changes_told: Moment,
    /// What was counted of those who went.
    gone: Counted,
    outputs: VecDeque<Output<H>>,
    key_outputs: VecDeque<schedule::Output>,
}

/// Somebody in the lobby.
#[derive(Debug)]
pub struct Waiter<H> {
    /// Its number there.
    pub number: u32,
    /// Who it is.
    pub who: Newcomer,
    /// How it is reached.
    pub handle: H,
    /// Since when.
    pub since: Moment,
}

impl<H: Clone + PartialEq> Room<H> {
    /// An empty meeting.
    pub fn new(meeting: MeetingId, policy: RoomPolicy) -> Self {
        Self {
            meeting,
            policy,
            locked: false,
            keys: Schedule::new(policy.rotation),
            members: Vec::new(),
            places: HashMap::new(),
            waiting: Vec::new(),
            waiters: 0,
            events: EventLog::default(),
            flush: Flush::default(),
            tick: 0,
            changed: BTreeSet::new(),
            changes_told: Moment::after_origin(Duration::ZERO),
            gone: Counted::default(),
            outputs: VecDeque::new(),
            key_outputs: VecDeque::new(),
        }
    }

    /// Which meeting.
    pub const fn meeting(&self) -> MeetingId {
        self.meeting
    }

    /// What the room permits.
    pub const fn policy(&self) -> &RoomPolicy {
        &self.policy
    }

    /// Nobody else may enter.
    pub const fn is_locked(&self) -> bool {
        self.locked
    }

    /// Nobody is there or may come back, and nobody waits.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty() && self.waiting.is_empty()
    }

    /// How many are there, those who are away included.
    pub fn people(&self) -> usize {
        self.places.len()
    }

    /// What was counted of everybody who is or was there.
    pub fn counted(&self) -> Counted {
        let mut counted = self.gone;
        self.members.iter().flatten().for_each(|member| counted.add(&member.counted));
        counted
    }

    /// The epoch that members seal under.
    pub fn epoch(&self) -> Option<Epoch> {
        self.keys.live()
    }

    /// The members, by number.
    pub fn members(&self) -> Vec<MemberView<'_, H>> {
        let mut members: Vec<_> =
            self.members.iter().flatten().map(|member| MemberView(member, &self.policy)).collect();
        members.sort_unstable_by_key(MemberView::number);
        members
    }

    /// Who waits in the lobby.
    pub fn waiting(&self) -> &[Waiter<H>] {
        &self.waiting
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output<H>> {
        self.outputs.pop_front()
    }

    /// The next thing to be done about keys; for whoever seals them for members, and nobody else.
    pub fn poll_keys(&mut self) -> Option<schedule::Output> {
        self.key_outputs.pop_front()
    }

    /// When [`Room::handle_timeout`] is due, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let back = self.members.iter().flatten().filter_map(|member| match member.presence {
            Presence::Away(since) => Some(since + member::RESUME_WITHIN),
            Presence::Here(_) => None,
        });
        back.chain(self.keys.poll_timeout()).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Moment, rng: &mut impl CryptoRng) {
        self.lose_who_did_not_come_back(now, rng);
        self.keys.handle_timeout(now, rng);
        self.drain_keys();
    }

    /// Hands every member what is due at this tick.
    pub fn flush(&mut self, now: Moment, sink: &mut impl Sink<H>) {
        self.tick = self.tick.wrapping_add(1);
        self.flush.run(&mut self.members, &self.policy, self.tick, now, sink);
        self.close_slow_readers(now);
        self.tell_changes(now);
    }

    /// A member says that it has the secret of an epoch.
    pub fn ready(&mut self, from: Participant, epoch: Epoch, now: Moment, rng: &mut impl CryptoRng) {
        self.keys.ready(from, epoch, now, rng);
        self.drain_keys();
    }

    /// Changes keys.
    pub fn rotate(&mut self, now: Moment, rng: &mut impl CryptoRng) {
        self.keys.rotate(now, rng);
        self.drain_keys();
    }

    /// Whether this is a member, there or away.
    pub fn has(&self, participant: Participant) -> bool {
        self.places.contains_key(&participant)
    }

    /// How a member is reached, when it is there.
    pub fn handle_of(&self, participant: Participant) -> Option<&H> {
        self.member(participant).and_then(Member::handle)
    }

    fn member(&self, participant: Participant) -> Option<&Member<H>> {
        self.members.get(*self.places.get(&participant)?)?.as_ref()
    }

    fn member_mut(&mut self, participant: Participant) -> Option<&mut Member<H>> {
        self.members.get_mut(*self.places.get(&participant)?)?.as_mut()
    }

    fn drain_keys(&mut self) {
        while let Some(output) = self.keys.poll_output() {
            if let schedule::Output::Deliver { epoch, to, .. } = &output {
                for member in self.members.iter_mut().flatten().filter(|member| to.contains(&member.number)) {
                    member.since.get_or_insert(*epoch);
                }
            }
            if let schedule::Output::Ledger(entry) = &output
                && entry.fate == Fate::Retired
            {
                let after = Epoch(entry.epoch.0.saturating_add(1));
                self.members.iter_mut().flatten().for_each(|member| member.windows.forget_before(after));
            }
            self.key_outputs.push_back(output);
        }
    }

    /// Says something to all who are there or wait.
    pub fn tell_everybody(&mut self, message: &server_message::Body) {
        self.tell_all(None, message);
        let waiting = self.waiting.iter().map(|waiter| Output::Tell(waiter.handle.clone(), message.clone()));
        self.outputs.extend(waiting);
    }

    /// Ends the carriers of all who are there or wait. Nobody is removed by it.
    pub fn close_everybody(&mut self, code: CloseCode) {
        let here = self.members.iter().flatten().filter_map(Member::handle);
        let all = here.chain(self.waiting.iter().map(|waiter| &waiter.handle));
        self.outputs.extend(all.map(|handle| Output::Close(handle.clone(), code)));
    }

    /// Says something to all who are there but one.
    fn tell_all(&mut self, but: Option<Participant>, message: &server_message::Body) {
        for member in self.members.iter().flatten().filter(|member| Some(member.number) != but) {
            if let Some(handle) = member.handle() {
                self.outputs.push_back(Output::Tell(handle.clone(), message.clone()));
            }
        }
    }

    fn tell(&mut self, participant: Participant, message: server_message::Body) {
        if let Some(handle) = self.handle_of(participant).cloned() {
            self.outputs.push_back(Output::Tell(handle, message));
        }
    }
}

/// A member, to be looked at.
#[derive(Debug)]
pub struct MemberView<'r, H>(&'r Member<H>, &'r RoomPolicy);

impl<'r, H> MemberView<'r, H> {
    /// Its number.
    pub const fn number(&self) -> Participant {
        self.0.number
    }

    /// Who it is.
    pub const fn who(&self) -> &'r Newcomer {
        &self.0.who
    }

    /// How it is reached; `None` while it is away.
    pub const fn handle(&self) -> Option<&'r H> {
        self.0.handle()
    }

    /// Since when it is there.
    pub const fn joined_at(&self) -> Moment {
        self.0.joined_at
    }

    /// Says that it is muted.
    pub const fn is_muted(&self) -> bool {
        self.0.muted
    }

    /// Its voice is not forwarded.
    pub const fn is_silenced(&self) -> bool {
        self.0.is_silenced(self.1)
    }

    /// What was counted.
    pub const fn counted(&self) -> &'r member::Counted {
        &self.0.counted
    }

    /// Its frames that did not reach the relay.
    pub fn lost(&self) -> u64 {
        self.0.windows.lost()
    }
}
