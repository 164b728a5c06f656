// SPDX-License-Identifier: AGPL-3.0-or-later
//! Coming, going, coming back, the lobby, and what moderators do.

use std::time::Duration;

use rand_core::CryptoRng;

use crate::core::keys::epoch::number::NoNumber;
use crate::core::keys::epoch::reason::Removal;
use crate::core::room::interest::{Interest, Thinning};
use crate::core::room::member::{Given, Member, Newcomer, Presence, RESUME_WITHIN};
use crate::core::room::policy::RoomPolicy;
use crate::core::room::{Arrival, Output, Room, Waiter};
use crate::values::id::{AccountId, SessionId};
use crate::values::time::Moment;
use crate::wire::close::CloseCode;
use crate::wire::control::schema::{self, Departure, server_message::Body};
use crate::wire::kid::{Epoch, Participant};

/// Devices of one account in a meeting at most: a headset, a desktop and two to spare.
const PER_ACCOUNT: usize = 4;
/// Who may wait in the lobby.
const WAITING_MAX: usize = 100;
/// Members in one message, so that it fits whatever their names and avatars are.
const ROSTER_MAX: usize = 40;
/// How often everybody is told what changed of others: who mutes and unmutes all the time fills nobody's queue.
const CHANGES_EVERY: Duration = Duration::from_millis(100);

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// As many as the room takes are there.
    #[error("the room has as many participants as it may")]
    Full,
    /// A moderator locked the meeting.
    #[error("the meeting is locked")]
    Locked,
}

impl From<NoNumber> for JoinError {
    fn from(_: NoNumber) -> Self {
        Self::Full
    }
}

impl From<JoinError> for CloseCode {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Full => Self::RoomFull,
            JoinError::Locked => Self::RoomLocked,
        }
    }
}

/// Why somebody does not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComeBackError {
    /// It is not a member any more.
    #[error("there is nobody to come back")]
    NotThere,
    /// What it missed is not kept any more.
    #[error("the events that were missed are not kept any more")]
    TooLate,
}

/// There is no such participant or waiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such participant or waiter")]
pub struct NotThere;

/// Where somebody is who came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// In the meeting.
    In(Participant),
    /// In the lobby.
    Waits(u32),
}

/// What a moderator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Do not forward this voice.
    Mute(Participant),
    /// Forward it again.
    Unmute(Participant),
    /// Do not forward any voice but this one's.
    MuteAll {
        /// Who is left out.
        but: Option<Participant>,
    },
    /// Remove.
    Kick(Participant),
    /// Let nobody else in, or let them again.
    Lock(bool),
    /// Let somebody in from the lobby.
    Admit(u32),
    /// Send somebody in the lobby away.
    TurnAway(u32),
    /// Change keys.
    Rotate,
    /// Send everybody away.
    End,
}

impl<H: Clone + PartialEq> Room<H> {
    /// Somebody comes, into the meeting or into the lobby.
    pub fn join(
        &mut self,
        who: Newcomer,
        handle: H,
        now: Moment,
        rng: &mut impl CryptoRng,
    ) -> Result<Joined, JoinError> {
        if self.locked && !who.grant.moderate {
            return Err(JoinError::Locked);
        }
        if who.grant.lobby {
            let of_the_account = self.waiting.iter().filter(|waiter| waiter.who.account == who.account).count();
            if self.waiting.len() >= WAITING_MAX || of_the_account >= PER_ACCOUNT {
                return Err(JoinError::Full);
            }
            self.waiters = self.waiters.wrapping_add(1);
            let number = self.waiters;
            self.outputs.push_back(Output::Tell(handle.clone(), Body::Waiting(schema::Waiting {})));
            self.waiting.push(Waiter { number, who, handle, since: now });
            self.tell_lobby();
            return Ok(Joined::Waits(number));
        }
        self.enter(who, handle, now, rng).map(Joined::In)
    }

    fn enter(
        &mut self,
        who: Newcomer,
        handle: H,
        now: Moment,
        rng: &mut impl CryptoRng,
    ) -> Result<Participant, JoinError> {
        let of_the_account = self.members.iter().flatten().filter(|member| member.who.account == who.account).count();
        if self.places.len() >= usize::from(self.policy.capacity) || of_the_account >= PER_ACCOUNT {
            return Err(JoinError::Full);
        }
        let number = self.keys.join(now, rng)?;
        let mut member = Member::new(number, who, handle.clone(), self.events.last(), now);
        let place = self.members.iter().position(Option::is_none).unwrap_or(self.members.len());
        let places = self.members.len().max(place + 1);
        let nothing = Given { poses: 0, culled: 0, voice: 0, thinning: Thinning::FULL, pinned: false };
        member.given = vec![nothing; places];
        for (given, other) in member.given.iter_mut().zip(&self.members) {
            let Some(other) = other else { continue };
            (given.poses, given.voice) = (other.pose.count, other.voice.count);
        }
        for other in self.members.iter_mut().flatten() {
            let thinning = other.interest.of(number);
            other.given.resize(places, nothing);
            if let Some(given) = other.given.get_mut(place) {
                *given = Given { thinning, ..nothing };
            }
        }
        let shown = member.shown(&self.policy);
        let moderates = member.who.grant.moderate;
        match self.members.get_mut(place) {
            Some(slot) => *slot = Some(member),
            None => self.members.push(Some(member)),
        }
        self.places.insert(number, place);
        self.welcome(number, None);
        let roster = schema::Roster { joined: vec![shown], ..schema::Roster::default() };
        self.tell_all(Some(number), &Body::Roster(roster));
        if moderates && !self.waiting.is_empty() {
            self.tell(number, Body::Lobby(self.lobby()));
        }
        self.drain_keys();
        Ok(number)
    }

    fn welcome(&mut self, number: Participant, before: Option<Participant>) {
        let others = self.members.iter().flatten().filter(|other| other.number != number);
        let mut roster: Vec<_> = others.map(|other| other.shown(&self.policy)).collect();
        let rest = roster.split_off(roster.len().min(ROSTER_MAX));
        let Some(member) = self.member(number) else { return };
        let policy = member.policy(&self.policy, self.locked);
        let arrival = Arrival { participant: number, before, roster, policy, events: member.events.given };
        let Some(handle) = member.handle().cloned() else { return };
        self.outputs.push_back(Output::Welcome(handle.clone(), arrival));
        for joined in rest.chunks(ROSTER_MAX) {
            let roster = schema::Roster { joined: joined.to_vec(), ..schema::Roster::default() };
            self.outputs.push_back(Output::Tell(handle.clone(), Body::Roster(roster)));
        }
    }

    /// The carrier of a member is gone: it may come back for a while. Nothing happens when it has another one by now.
    pub fn carrier_lost(&mut self, participant: Participant, handle: &H, now: Moment) {
        let Some(member) = self.member_mut(participant) else { return };
        if member.handle() != Some(handle) {
            return;
        }
        member.presence = Presence::Away(now);
        member.reads_events = false;
        self.tell_changed(participant);
    }

    /// A member comes back over a new carrier, having read events up to `events`, under a fresh number.
    pub fn come_back(
        &mut self,
        old: Participant,
        handle: H,
        events: u64,
        now: Moment,
        rng: &mut impl CryptoRng,
    ) -> Result<Participant, ComeBackError> {
        let reaches = self.events.reaches(events);
        let place = *self.places.get(&old).ok_or(ComeBackError::NotThere)?;
        if !reaches {
            return Err(ComeBackError::TooLate);
        }
        let new = self.keys.replace(old, now, rng).map_err(|_| ComeBackError::NotThere)?;
        // What is still to be delivered to it goes to its new number.
        self.key_outputs.iter_mut().for_each(|output| output.renumber(old, new));
        self.changed.remove(&old);
        self.places.remove(&old);
        self.places.insert(new, place);
        let Some(Some(member)) = self.members.get_mut(place) else { return Err(ComeBackError::NotThere) };
        if let Presence::Here(before) = std::mem::replace(&mut member.presence, Presence::Here(handle)) {
            self.outputs.push_back(Output::Close(before, CloseCode::Replaced));
        }
        member.number = new;
        member.windows.renumber();
        member.barrier = Epoch(0);
        member.events.given = events;
        member.reads_events = false;
        for other in self.members.iter_mut().flatten() {
            other.interest.renumber(old, new);
        }
        self.welcome(new, Some(old));
        let replaced = schema::Replaced { old: u32::from(old.0), new: u32::from(new.0) };
        let changed = self.member(new).map(|member| member.shown(&self.policy)).into_iter().collect();
        let roster = schema::Roster { replaced: vec![replaced], changed, ..schema::Roster::default() };
        self.tell_all(Some(new), &Body::Roster(roster));
        self.drain_keys();
        Ok(new)
    }

    /// A member goes, or is made to: it is handed nothing from here on.
    pub fn remove(
        &mut self,
        participant: Participant,
        removal: Removal,
        code: CloseCode,
        now: Moment,
        rng: &mut impl CryptoRng,
    ) -> Result<(), NotThere> {
        let place = self.places.remove(&participant).ok_or(NotThere)?;
        let member = self.members.get_mut(place).and_then(Option::take).ok_or(NotThere)?;
        self.changed.remove(&participant);
        self.gone.add(&member.counted);
        if let Presence::Here(handle) = member.presence {
            self.outputs.push_back(Output::Close(handle, code));
        }
        // Somebody who is not in the schedule is not there either, so this finds it.
        let _ = self.keys.remove(participant, removal, now, rng);
        let departure = match removal {
            Removal::Left => Departure::Left,
            Removal::Kicked => Departure::Kicked,
            Removal::Lost => Departure::Lost,
        };
        let gone = schema::Gone { participant: u32::from(participant.0), departure: departure.into() };
        self.tell_all(None, &Body::Roster(schema::Roster { gone: vec![gone], ..schema::Roster::default() }));
        self.drain_keys();
        Ok(())
    }

    pub(super) fn lose_who_did_not_come_back(&mut self, now: Moment, rng: &mut impl CryptoRng) {
        let lost = |member: &Member<H>| match member.presence {
            Presence::Away(since) => now.since(since) >= RESUME_WITHIN,
            Presence::Here(_) => false,
        };
        let lost: Vec<_> = self.members.iter().flatten().filter(|one| lost(one)).map(|one| one.number).collect();
        for participant in lost {
            let _ = self.remove(participant, Removal::Lost, CloseCode::ResumeRefused, now, rng);
        }
    }

    /// Sends everybody away.
    pub fn end(&mut self, code: CloseCode, now: Moment, rng: &mut impl CryptoRng) {
        let everybody: Vec<_> = self.places.keys().copied().collect();
        for participant in everybody {
            let _ = self.remove(participant, Removal::Left, code, now, rng);
        }
        for waiter in std::mem::take(&mut self.waiting) {
            self.outputs.push_back(Output::Close(waiter.handle, code));
        }
    }

    /// Ends what was joined with a session, or by an account (but with one session).
    pub fn end_sessions(
        &mut self,
        ended: impl Fn(AccountId, SessionId) -> bool,
        code: CloseCode,
        now: Moment,
        rng: &mut impl CryptoRng,
    ) {
        let members = self.members.iter().flatten();
        let gone: Vec<_> =
            members.filter(|one| ended(one.who.account, one.who.session)).map(|one| one.number).collect();
        for participant in gone {
            let _ = self.remove(participant, Removal::Kicked, code, now, rng);
        }
        let (gone, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiter: &Waiter<H>| ended(waiter.who.account, waiter.who.session));
        self.waiting = waiting;
        self.outputs.extend(gone.into_iter().map(|waiter| Output::Close(waiter.handle, code)));
        self.tell_lobby();
    }

    /// The carrier of somebody in the lobby is gone.
    pub fn stop_waiting(&mut self, handle: &H) {
        let before = self.waiting.len();
        self.waiting.retain(|waiter| waiter.handle != *handle);
        if self.waiting.len() != before {
            self.tell_lobby();
        }
    }

    /// Does what a moderator wants.
    pub fn moderate(&mut self, wish: Wish, now: Moment, rng: &mut impl CryptoRng) -> Result<(), NotThere> {
        match wish {
            Wish::Mute(participant) => self.mute(participant, true),
            Wish::Unmute(participant) => self.mute(participant, false),
            Wish::MuteAll { but } => {
                let all: Vec<_> = self.places.keys().copied().filter(|one| Some(*one) != but).collect();
                all.into_iter().try_for_each(|participant| self.mute(participant, true))
            }
            Wish::Kick(participant) => self.remove(participant, Removal::Kicked, CloseCode::Kicked, now, rng),
            Wish::Lock(locked) => {
                self.locked = locked;
                self.tell_policy();
                Ok(())
            }
            Wish::Admit(number) => {
                let waiter = self.take_waiter(number)?;
                if let Err(error) = self.enter(waiter.who, waiter.handle.clone(), now, rng) {
                    self.outputs.push_back(Output::Close(waiter.handle, error.into()));
                }
                Ok(())
            }
            Wish::TurnAway(number) => {
                let waiter = self.take_waiter(number)?;
                self.outputs.push_back(Output::Close(waiter.handle, CloseCode::TurnedAway));
                Ok(())
            }
            Wish::Rotate => {
                self.rotate(now, rng);
                Ok(())
            }
            Wish::End => {
                self.end(CloseCode::Ended, now, rng);
                Ok(())
            }
        }
    }

    fn mute(&mut self, participant: Participant, muted: bool) -> Result<(), NotThere> {
        let member = self.member_mut(participant).ok_or(NotThere)?;
        if std::mem::replace(&mut member.muted_by_moderator, muted) != muted {
            self.tell_one_policy(participant);
            self.tell_changed(participant);
        }
        Ok(())
    }

    fn take_waiter(&mut self, number: u32) -> Result<Waiter<H>, NotThere> {
        let place = self.waiting.iter().position(|waiter| waiter.number == number).ok_or(NotThere)?;
        let waiter = self.waiting.remove(place);
        self.tell_lobby();
        Ok(waiter)
    }

    /// A member says something about itself.
    pub fn set_muted(&mut self, from: Participant, muted: bool) {
        let Some(member) = self.member_mut(from) else { return };
        if std::mem::replace(&mut member.muted, muted) != muted {
            self.tell_changed(from);
        }
    }

    /// A member says what it wants to be sent.
    pub fn set_interest(&mut self, from: Participant, interest: Interest) {
        let numbers: Vec<_> = self.members.iter().map(|member| member.as_ref().map(|member| member.number)).collect();
        let Some(member) = self.member_mut(from) else { return };
        for (given, number) in member.given.iter_mut().zip(numbers) {
            let Some(number) = number else { continue };
            (given.thinning, given.pinned) = (interest.of(number), interest.pins(number));
        }
        member.interest = interest;
    }

    /// Whether a member may do what moderators do.
    pub fn may_moderate(&self, participant: Participant) -> bool {
        self.member(participant).is_some_and(|member| member.who.grant.moderate)
    }

    /// The room permits something else from now on. Who is in stays in.
    pub fn set_policy(&mut self, policy: RoomPolicy) {
        self.keys.set_interval(policy.rotation);
        let before = std::mem::replace(&mut self.policy, policy);
        self.tell_policy();
        let members = self.members.iter().flatten();
        let changed = members.filter(|member| member.is_silenced(&before) != member.is_silenced(&self.policy));
        self.changed.extend(changed.map(|member| member.number));
    }

    /// An admin switched the voice of an account off or on.
    pub fn set_account_voice(&mut self, account: AccountId, voice_off: bool) {
        // Who waits was granted what held when it came.
        for waiter in self.waiting.iter_mut().filter(|waiter| waiter.who.account == account) {
            waiter.who.grant.voice_off = voice_off;
        }
        let of_it = self.members.iter_mut().flatten().filter(|member| member.who.account == account);
        let mut changed = Vec::new();
        for member in of_it {
            member.voice_off = voice_off;
            changed.push(member.number);
        }
        for participant in changed {
            self.tell_one_policy(participant);
            self.tell_changed(participant);
        }
    }

    /// Everybody is told at one of the next ticks.
    fn tell_changed(&mut self, participant: Participant) {
        self.changed.insert(participant);
    }

    pub(super) fn tell_changes(&mut self, now: Moment) {
        if self.changed.is_empty() || now.since(self.changes_told) < CHANGES_EVERY {
            return;
        }
        self.changes_told = now;
        let changed = std::mem::take(&mut self.changed);
        let shown: Vec<_> = changed.into_iter().filter_map(|one| Some(self.member(one)?.shown(&self.policy))).collect();
        for changed in shown.chunks(ROSTER_MAX) {
            let roster = schema::Roster { changed: changed.to_vec(), ..schema::Roster::default() };
            self.tell_all(None, &Body::Roster(roster));
        }
    }

    fn tell_policy(&mut self) {
        let everybody: Vec<_> = self.places.keys().copied().collect();
        everybody.into_iter().for_each(|participant| self.tell_one_policy(participant));
    }

    fn tell_one_policy(&mut self, participant: Participant) {
        let Some(member) = self.member(participant) else { return };
        let policy = member.policy(&self.policy, self.locked);
        self.tell(participant, Body::Policy(policy));
    }

    fn lobby(&self) -> schema::Lobby {
        let waiter =
            |waiter: &Waiter<H>| schema::Waiter { number: waiter.number, display_name: waiter.who.name.to_string() };
        schema::Lobby { waiting: self.waiting.iter().map(waiter).collect() }
    }

    fn tell_lobby(&mut self) {
        let lobby = Body::Lobby(self.lobby());
        let moderators = self.members.iter().flatten().filter(|member| member.who.grant.moderate);
        let moderators: Vec<_> = moderators.map(|member| member.number).collect();
        moderators.into_iter().for_each(|participant| self.tell(participant, lobby.clone()));
    }
}
