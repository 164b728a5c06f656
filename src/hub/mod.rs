// SPDX-License-Identifier: AGPL-3.0-or-later
//! Live meetings: who is there, what keys are on their way, and what everybody outside the relay may know of them and
//! do with them.
//!
//! Two threads meet here, and nowhere else: the relay's (datagrams in, ticks out) and the API's (who comes in, keys,
//! moderation, facts). What they share is behind the lock of one meeting's room. Knows no socket, no route and no file.
//!
//! | file | what |
//! |---|---|
//! | [`meeting`] | a live meeting: its room behind a lock, seats, ledger |
//! | [`admission`] | tickets and resume tokens at the door |
//! | [`driver`] | what is due in a meeting; seals keys for its participants |
//! | [`worker`] | the ticks |
//! | [`egress`] | how a participant is reached |
//! | `driver::seat` | the boxes of a participant, and its resume token |
//! | [`tickets`] | tickets handed out and not used |
//! | [`facts`] | what can be known of a meeting |
//! | [`moderation`] | what moderators do, on record before it is done |

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::core::audit::Event;
use crate::core::auth::ticket::TicketClaims;
use crate::core::room::member::Counted;
use crate::core::room::policy::RoomPolicy;
use crate::core::room::{NotThere, Room, Wish};
use crate::hub::admission::{ARRIVING_MAX, Arriving, CheckTicket, First};
use crate::hub::egress::Egress;
use crate::hub::facts::{MeetingFacts, Totals};
use crate::hub::meeting::{Meeting, Place};
use crate::hub::tickets::Tickets;
use crate::platform::clock::Clock;
use crate::platform::entropy;
use crate::values::id::{AccountId, MeetingId, RoomId, SessionId, WorkspaceId};
use crate::values::time::Timestamp;
use crate::wire::close::CloseCode;
use crate::wire::control::schema::{Draining, server_message::Body};

pub mod admission;
pub mod driver;
pub mod egress;
pub mod facts;
pub mod meeting;
pub mod moderation;
pub mod tickets;
pub mod worker;

/// How long a turn of the ticking loop lasts without a meeting.
const QUIET_TURN: Duration = Duration::from_secs(1);
/// Deeds that may wait to be recorded.
const RECORDINGS_MAX: usize = 64;

/// Meetings by place, and what was counted in those that are over.
#[derive(Default)]
struct Live {
    by_place: HashMap<(WorkspaceId, RoomId), Arc<Meeting>>,
    over: Counted,
}

/// The live meetings.
pub struct Hub {
    clock: Clock,
    check_ticket: CheckTicket,
    tickets: Tickets,
    meetings: Mutex<Live>,
    /// Turns of the loop that ticks them.
    turns: AtomicU64,
    /// Counts beginnings and ends of meetings.
    version: AtomicU64,
    changed: Notify,
    /// The appliance stops.
    drains: AtomicBool,
    /// Voice is on for the whole appliance.
    voice: AtomicBool,
    /// Held while somebody comes in, and while what a ticket says stops to hold: nobody comes in between.
    door: Mutex<()>,
    arriving: mpsc::Sender<Arriving>,
    recordings: mpsc::Sender<Recording>,
    /// Where people are let in and meetings are driven.
    runtime: Handle,
}

/// Something that is to be on record before it is done. Dropped, it is not done.
pub struct Recording {
    /// In whose chain.
    pub workspace: WorkspaceId,
    /// What is recorded.
    pub event: Event,
    /// Does it.
    pub then: Box<dyn FnOnce() + Send>,
}

impl Hub {
    /// Without meetings, and with what is to be recorded. People are let in on the runtime this is called in.
    pub fn start(clock: Clock, check_ticket: CheckTicket) -> (Arc<Self>, mpsc::Receiver<Recording>) {
        let (sender, arriving) = mpsc::channel(ARRIVING_MAX);
        let (recordings, recorded) = mpsc::channel(RECORDINGS_MAX);
        let hub = Arc::new(Self {
            clock,
            check_ticket,
            tickets: Tickets::default(),
            meetings: Mutex::default(),
            turns: AtomicU64::new(0),
            version: AtomicU64::new(0),
            changed: Notify::new(),
            drains: AtomicBool::new(false),
            voice: AtomicBool::new(true),
            door: Mutex::default(),
            arriving: sender,
            recordings,
            runtime: Handle::current(),
        });
        hub.runtime.spawn(admission::admit(Arc::clone(&hub), arriving));
        (hub, recorded)
    }

    /// Tickets handed out.
    pub const fn tickets(&self) -> &Tickets {
        &self.tickets
    }

    /// The clock.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Lets somebody in, by its first message over a carrier. What it is told goes to the egress; a refusal has a code.
    pub async fn admit(&self, first: First, egress: Arc<Egress>) -> Result<Arc<Meeting>, CloseCode> {
        if self.drains.load(Ordering::Acquire) {
            return Err(CloseCode::Draining);
        }
        let (answer, answered) = oneshot::channel();
        let arriving = Arriving { first, egress, answer };
        self.arriving.try_send(arriving).map_err(|_| CloseCode::Busy)?;
        answered.await.unwrap_or(Err(CloseCode::Draining))
    }

    /// The live meetings of a workspace, the oldest first.
    pub fn meetings(&self, workspace: WorkspaceId) -> Vec<MeetingFacts> {
        let of_it = |meeting: &Arc<Meeting>| meeting.place().workspace == workspace;
        let mut facts: Vec<_> = self.live().into_iter().filter(of_it).map(|meeting| meeting.facts()).collect();
        facts.sort_by_key(|facts| facts.began_at);
        facts
    }

    /// One live meeting.
    pub fn meeting(&self, workspace: WorkspaceId, meeting: MeetingId) -> Option<MeetingFacts> {
        self.find_in(workspace, meeting).map(|meeting| meeting.facts())
    }

    /// What goes on in all meetings, and was counted since the start.
    pub fn totals(&self) -> Totals {
        let (live, counted) = {
            let meetings = self.lock();
            (meetings.by_place.values().map(Arc::clone).collect::<Vec<_>>(), meetings.over)
        };
        let mut totals = Totals { meetings: live.len(), participants: 0, waiting: 0, counted };
        for meeting in live {
            let room = meeting.room();
            totals.participants += room.people();
            totals.waiting += room.waiting().len();
            totals.counted.add(&room.counted());
        }
        totals
    }

    /// How often the loop that ticks meetings went round. Without a meeting it does so once a second: it stands still
    /// only when the relay's thread does.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Does what a moderator wants.
    pub fn moderate(&self, workspace: WorkspaceId, meeting: MeetingId, wish: Wish) -> Result<(), NotThere> {
        self.find_in(workspace, meeting).ok_or(NotThere)?.act(|room, now, rng| room.moderate(wish, now, rng))
    }

    /// The room permits something else from now on. Tickets that say otherwise do not hold.
    pub fn apply_policy(&self, workspace: WorkspaceId, room: RoomId, policy: RoomPolicy) {
        let _nobody_comes = self.door();
        self.tickets.void(|ticket| ticket.room == room && ticket.policy != policy);
        if let Some(meeting) = self.in_room(workspace, room) {
            self.apply(&meeting, policy);
        }
    }

    /// The room is gone: its meeting ends.
    pub fn close_room(&self, workspace: WorkspaceId, room: RoomId) {
        let _nobody_comes = self.door();
        self.tickets.void(|ticket| ticket.room == room);
        if let Some(meeting) = self.in_room(workspace, room) {
            meeting.act(|room, now, rng| room.end(CloseCode::Ended, now, rng));
        }
    }

    /// A session ended: what was joined with it ends too.
    pub fn end_session(&self, workspace: WorkspaceId, session: SessionId) {
        self.end_sessions(workspace, CloseCode::SessionEnded, |_, other| other == session);
    }

    /// All sessions of an account ended, but perhaps one.
    pub fn end_account(&self, workspace: WorkspaceId, account: AccountId, keep: Option<SessionId>) {
        let ended = |other, session| other == account && Some(session) != keep;
        self.end_sessions(workspace, CloseCode::SessionEnded, ended);
    }

    /// All sessions of a workspace ended.
    pub fn end_workspace(&self, workspace: WorkspaceId) {
        self.end_sessions(workspace, CloseCode::SessionEnded, |_, _| true);
    }

    /// Switches voice off or on for the whole appliance. What rooms permit is as before when it is on again.
    pub fn set_voice(&self, on: bool) {
        let _nobody_comes = self.door();
        self.voice.store(on, Ordering::Release);
        self.live().iter().for_each(|meeting| self.apply(meeting, meeting.policy()));
    }

    /// Whether voice is on for the whole appliance.
    pub fn has_voice(&self) -> bool {
        self.voice.load(Ordering::Acquire)
    }

    /// A meeting follows what its room permits, within what the appliance does.
    fn apply(&self, meeting: &Meeting, policy: RoomPolicy) {
        meeting.note_policy(policy);
        meeting.act(|room, _, _| room.set_policy(self.within(policy)));
    }

    fn within(&self, policy: RoomPolicy) -> RoomPolicy {
        RoomPolicy { voice: policy.voice && self.has_voice(), ..policy }
    }

    /// An account may do less than its tickets say: it is to come in anew.
    pub fn demote_account(&self, workspace: WorkspaceId, account: AccountId) {
        self.end_sessions(workspace, CloseCode::Changed, |other, _| other == account);
    }

    /// An admin switched the voice of an account off or on.
    pub fn set_account_voice(&self, workspace: WorkspaceId, account: AccountId, voice_off: bool) {
        let _nobody_comes = self.door();
        self.tickets.void(|ticket| ticket.account == account);
        for meeting in self.live().into_iter().filter(|meeting| meeting.place().workspace == workspace) {
            meeting.act(|room, _, _| room.set_account_voice(account, voice_off));
        }
    }

    /// The appliance stops: everybody hears that, and when to come back. Nobody comes in any more.
    pub fn drain(&self) {
        self.drains.store(true, Ordering::Release);
        for (place, meeting) in self.live().into_iter().enumerate() {
            // Rooms come back one after another.
            let after_millis = 500 + u32::try_from(place % 20).unwrap_or(0) * 100;
            let told = Body::Draining(Draining { after_millis });
            meeting.act(|room, _, _| room.tell_everybody(&told));
        }
    }

    /// Ends every carrier, with a place to come back to or without.
    pub fn close_everybody(&self, code: CloseCode) {
        self.live().into_iter().for_each(|meeting| meeting.act(|room, _, _| room.close_everybody(code)));
    }

    fn end_sessions(&self, workspace: WorkspaceId, code: CloseCode, ended: impl Fn(AccountId, SessionId) -> bool) {
        let _nobody_comes = self.door();
        self.tickets.void(|ticket| ticket.workspace == workspace && ended(ticket.account, ticket.session));
        for meeting in self.live().into_iter().filter(|meeting| meeting.place().workspace == workspace) {
            meeting.act(|room, now, rng| room.end_sessions(&ended, code, now, rng));
        }
    }

    fn door(&self) -> MutexGuard<'_, ()> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_ticket(&self, ticket: &str, now: Timestamp) -> Option<TicketClaims> {
        (self.check_ticket)(ticket, now)
    }

    /// The meeting in a room; begins one when there is none.
    fn meeting_in(self: &Arc<Self>, place: Place, policy: RoomPolicy) -> Arc<Meeting> {
        let key = (place.workspace, place.room);
        let mut meetings = self.lock();
        if let Some(meeting) = meetings.by_place.get(&key) {
            return Arc::clone(meeting);
        }
        let id = MeetingId::random(&mut entropy::system());
        tracing::info!(meeting.id = %id, workspace.id = %place.workspace, room.id = %place.room, "meeting began");
        let meeting = Arc::new(Meeting::new(Room::new(id, self.within(policy)), place, policy, self.clock.clone()));
        meetings.by_place.insert(key, Arc::clone(&meeting));
        drop(meetings);
        self.note_change();
        self.runtime.spawn(driver::drive(Arc::clone(self), Arc::clone(&meeting)));
        meeting
    }

    /// Forgets a meeting that nobody is in. People are let in on the thread that calls this, so nobody comes meanwhile.
    fn forget_if_empty(&self, meeting: &Arc<Meeting>) -> bool {
        let room = meeting.room();
        if !room.is_empty() {
            return false;
        }
        let counted = room.counted();
        drop(room);
        let mut meetings = self.lock();
        meetings.over.add(&counted);
        meetings.by_place.remove(&(meeting.place().workspace, meeting.place().room));
        drop(meetings);
        self.note_change();
        true
    }

    fn note_change(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_one();
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// There is another meeting or one less; or a second is over.
    async fn changed(&self) {
        // Either way there is nothing to do but to look.
        let _ = tokio::time::timeout(QUIET_TURN, self.changed.notified()).await;
    }

    fn note_turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    fn live(&self) -> Vec<Arc<Meeting>> {
        self.lock().by_place.values().map(Arc::clone).collect()
    }

    fn find(&self, id: MeetingId) -> Option<Arc<Meeting>> {
        self.lock().by_place.values().find(|meeting| meeting.id() == id).map(Arc::clone)
    }

    fn find_in(&self, workspace: WorkspaceId, id: MeetingId) -> Option<Arc<Meeting>> {
        self.find(id).filter(|meeting| meeting.place().workspace == workspace)
    }

    fn in_room(&self, workspace: WorkspaceId, room: RoomId) -> Option<Arc<Meeting>> {
        self.lock().by_place.get(&(workspace, room)).map(Arc::clone)
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        self.meetings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
