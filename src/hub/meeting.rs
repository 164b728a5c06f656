// SPDX-License-Identifier: AGPL-3.0-or-later
//! One live meeting: its room behind a lock, the seats of its participants, its ledger.
//!
//! Lock order: room, then seats or ledger. What the room puts out is handed on while its lock is held, so that nobody
//! hears things in another order than they happened; nothing that is handed on blocks. Keys are the driver's.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::core::keys::epoch::reason::LedgerEntry;
use crate::core::keys::epoch::schedule;
use crate::core::room::member::Traffic;
use crate::core::room::policy::RoomPolicy;
use crate::core::room::rate::Rate;
use crate::core::room::{Arrival, MemberView, Output, Room, Waiter};
use crate::hub::driver::seat::Seat;
use crate::hub::egress::Egress;
use crate::hub::facts::{ChannelFacts, LedgerLine, MeetingFacts, ParticipantFacts, WaiterFacts};
use crate::hub::worker::Batch;
use crate::platform::clock::Clock;
use crate::platform::entropy::{self, Entropy};
use crate::values::id::{MeetingId, RoomId, WorkspaceId};
use crate::values::name::RoomName;
use crate::values::time::{Moment, Timestamp};
use crate::wire::close::CloseCode;
use crate::wire::control::schema::{self, server_message::Body};
use crate::wire::kid::{Channel, Participant};
use crate::wire::stream::{EVENT_MAX, SCREEN_FRAME_MAX};

/// Lines of the ledger kept.
const LEDGER_MAX: usize = 256;

/// How a room reaches its members.
pub type Reach = Arc<Egress>;

/// Who sits where.
pub(super) type Seats = HashMap<Participant, Seat>;

/// What a meeting is in.
#[derive(Debug, Clone)]
pub struct Place {
    /// Whose.
    pub workspace: WorkspaceId,
    /// Which room.
    pub room: RoomId,
    /// What it is called.
    pub name: RoomName,
}

/// A live meeting.
#[derive(Debug)]
pub struct Meeting {
    id: MeetingId,
    place: Place,
    began_at: Timestamp,
    clock: Clock,
    /// What its room permits; the appliance may permit less.
    policy: Mutex<RoomPolicy>,
    room: Mutex<Room<Reach>>,
    seats: Mutex<Seats>,
    ledger: Mutex<VecDeque<LedgerLine>>,
    /// There is something to be done about keys, or another time to do it.
    keys: Notify,
}

impl Meeting {
    pub(super) fn new(room: Room<Reach>, place: Place, policy: RoomPolicy, clock: Clock) -> Self {
        Self {
            id: room.meeting(),
            place,
            began_at: clock.now(),
            clock,
            policy: Mutex::new(policy),
            room: Mutex::new(room),
            seats: Mutex::default(),
            ledger: Mutex::default(),
            keys: Notify::new(),
        }
    }

    /// Its id.
    pub const fn id(&self) -> MeetingId {
        self.id
    }

    /// What it is in.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// What its room permits.
    pub(super) fn policy(&self) -> RoomPolicy {
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its room permits something else.
    pub(super) fn note_policy(&self, policy: RoomPolicy) {
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner) = policy;
    }

    /// Does something with the room, and hands on what comes of it.
    pub fn act<R>(&self, act: impl FnOnce(&mut Room<Reach>, Moment, &mut Entropy) -> R) -> R {
        let mut room = self.room();
        let result = act(&mut room, self.clock.moment(), &mut entropy::system());
        self.hand_on(&mut room);
        drop(room);
        self.keys.notify_one();
        result
    }

    /// Takes what a participant sent in a datagram.
    pub fn handle_datagram(&self, from: Participant, bytes: &[u8]) {
        let now = self.clock.moment();
        self.room().handle_datagram(from, bytes, now);
    }

    /// Copies the next events for a participant, up to `most` bytes or one record.
    pub fn read_events(&self, reader: Participant, most: usize, out: &mut Vec<u8>) {
        self.room().read_events(reader, most, out);
    }

    /// Gathers what every participant is handed at this tick; says how many people there are.
    pub(super) fn tick(&self, batch: &mut Batch) -> usize {
        let now = self.clock.moment();
        let mut room = self.room();
        room.flush(now, batch);
        self.hand_on(&mut room);
        room.people()
    }

    /// What can be known of it.
    pub fn facts(&self) -> MeetingFacts {
        let (now, moment) = (self.clock.now(), self.clock.moment());
        let at = |then: Moment| now - moment.since(then);
        let room = self.room();
        let waiter = |waiter: &Waiter<Reach>| WaiterFacts {
            number: waiter.number,
            account: waiter.who.account,
            display_name: waiter.who.name.clone(),
            since: at(waiter.since),
        };
        MeetingFacts {
            id: self.id,
            workspace: self.place.workspace,
            room: self.place.room,
            room_name: self.place.name.clone(),
            began_at: self.began_at,
            locked: room.is_locked(),
            epoch: room.epoch(),
            participants: room
                .members()
                .iter()
                .map(|member| participant_facts(member, at(member.joined_at())))
                .collect(),
            waiting: room.waiting().iter().map(waiter).collect(),
            ledger: self.ledger.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect(),
        }
    }

    /// Tells everybody what is counted of them.
    pub(super) fn tell_statistics(&self) {
        for member in self.room().members() {
            let Some(egress) = member.handle() else { continue };
            let counted = member.counted();
            let sum = |of: fn(&Traffic) -> u64| counted.channels.iter().map(of).sum();
            egress.tell(Body::Statistics(schema::Statistics {
                frames_in: sum(|traffic| traffic.frames_in),
                frames_out: sum(|traffic| traffic.frames_out),
                superseded: counted.superseded,
                culled: counted.culled,
                refused: counted.refusals.total(),
                rtt_micros: u32::try_from(egress.carrier().rtt().as_micros()).unwrap_or(u32::MAX),
            }));
        }
    }

    pub(super) fn room(&self) -> MutexGuard<'_, Room<Reach>> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn keys(&self) -> &Notify {
        &self.keys
    }

    pub(super) const fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn write_ledger(&self, entry: LedgerEntry) {
        let LedgerEntry { epoch, reasons, at, fate } = entry;
        let at = self.clock.now() - self.clock.moment().since(at);
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.push_back(LedgerLine { epoch, reasons, at, fate });
        if ledger.len() > LEDGER_MAX {
            ledger.pop_front();
        }
    }

    /// Everything the driver is to do about keys, and when to look again.
    pub(super) fn due_keys(&self) -> (Vec<schedule::Output>, Option<Moment>, bool) {
        let mut room = self.room();
        room.handle_timeout(self.clock.moment(), &mut entropy::system());
        self.hand_on(&mut room);
        let outputs = std::iter::from_fn(|| room.poll_keys()).collect();
        let mut seats = self.seats();
        // Who went leaves its seat behind; most of the time nobody did.
        if seats.len() > room.people() {
            seats.retain(|number, _| room.has(*number));
        }
        drop(seats);
        (outputs, room.poll_timeout(), room.is_empty())
    }

    fn hand_on(&self, room: &mut Room<Reach>) {
        while let Some(output) = room.poll_output() {
            match output {
                Output::Tell(egress, message) => egress.tell(message),
                Output::Events(egress) => egress.wake_events(),
                Output::Close(egress, code) => egress.carrier().close(code),
                Output::Welcome(egress, arrival) => self.welcome(&egress, arrival, room),
            }
        }
    }

    fn welcome(&self, egress: &Egress, arrival: Arrival, room: &Room<Reach>) {
        let Arrival { participant, before, roster, policy, events } = arrival;
        let mut seats = self.seats();
        let resumed = before.and_then(|before| seats.remove(&before));
        let is_back = resumed.is_some();
        let Some(mut seat) = resumed.or_else(|| egress.take_seat()) else {
            return egress.carrier().close(CloseCode::Internal);
        };
        let resume_token = seat.mint_token(self.id, participant, &mut entropy::system());
        egress.is_now(participant);
        egress.tell(Body::Welcome(schema::Welcome {
            meeting: self.id.as_bytes().to_vec(),
            participant: u32::from(participant.0),
            roster,
            policy: Some(policy),
            limits: Some(limits()),
            encapsulated_key: if is_back { Vec::new() } else { seat.encapsulated_key.to_vec() },
            resume_token,
            events,
            live_epoch: room.epoch().filter(|_| is_back).map_or(0, |epoch| epoch.0),
        }));
        seats.insert(participant, seat);
    }
}

fn limits() -> schema::Limits {
    schema::Limits {
        pose_hz: Rate::of(Channel::Pose).per_second,
        voice_hz: Rate::of(Channel::Voice).per_second,
        events_per_second: Rate::of(Channel::Event).per_second,
        event_bytes: u32::try_from(EVENT_MAX).unwrap_or(u32::MAX),
        screen_frame_bytes: u32::try_from(SCREEN_FRAME_MAX).unwrap_or(u32::MAX),
    }
}

fn participant_facts(member: &MemberView<'_, Reach>, joined_at: Timestamp) -> ParticipantFacts {
    let (who, counted) = (member.who(), member.counted());
    let carrier = member.handle().map(|egress| egress.carrier());
    ParticipantFacts {
        number: member.number(),
        account: who.account,
        session: who.session,
        display_name: who.name.clone(),
        joined_at,
        carrier: carrier.map(|carrier| carrier.kind()),
        muted: member.is_muted(),
        silenced: member.is_silenced(),
        moderator: who.grant.moderate,
        rtt: carrier.map(|carrier| carrier.rtt()),
        channels: counted.channels.map(|traffic| ChannelFacts {
            frames_in: traffic.frames_in,
            bytes_in: traffic.bytes_in,
            frames_out: traffic.frames_out,
            bytes_out: traffic.bytes_out,
        }),
        superseded: counted.superseded,
        culled: counted.culled,
        lost: member.lost(),
        refusals: counted.refusals.iter().map(|(refusal, count)| (refusal.as_str(), count)).collect(),
    }
}
