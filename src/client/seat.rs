// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What outlives a carrier: the keys of this member, its boxes, and what it needs to come back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::client::ClientError;
use crate::client::incoming::{Incoming, Received};
use crate::core::keys::boxes::BoxOpener;
use crate::core::keys::epoch::member::{Learned, MemberError, MemberKeys, Received as Opened};
use crate::platform::clock::Clock;
use crate::values::id::MeetingId;
use crate::values::time::Moment;
use crate::wire::control::schema::{Announce, Resume, Welcome};
use crate::wire::control::{VERSION, schema};
use crate::wire::frame::{Clear, Frame};
use crate::wire::kid::{Channel, Epoch, Kid, Participant};
use crate::wire::stream::SCREEN_FRAME_MAX;

/// Nobody waits longer for an appliance that stops, whatever it says.
const BACK_AFTER_MAX: Duration = Duration::from_secs(5);

/// What this client counts. Voice gaps are counters that never came: lost on the way, or culled.
#[derive(Debug, Default)]
pub struct Counters {
    sent: [AtomicU64; Channel::ALL.len()],
    received: [AtomicU64; Channel::ALL.len()],
    /// Frames that did not open: replayed, too late, changed.
    pub unopened: AtomicU64,
    /// Opened frames that the program was too slow to take.
    pub dropped: AtomicU64,
    /// Epochs switched to.
    pub epochs: AtomicU64,
    /// Times it came back over another carrier, with its place.
    pub resumed: AtomicU64,
    /// Times it came back with a new ticket.
    pub rejoined: AtomicU64,
    voices: Mutex<HashMap<Kid, Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    first: u64,
    newest: u64,
    count: u64,
}

impl Counters {
    fn of(counts: &[AtomicU64; Channel::ALL.len()], channel: Channel) -> &AtomicU64 {
        let [pose, voice, event, screen] = counts;
        match channel {
            Channel::Pose => pose,
            Channel::Voice => voice,
            Channel::Event => event,
            Channel::Screen => screen,
        }
    }

    /// Frames sent on a channel.
    pub fn sent(&self, channel: Channel) -> u64 {
        Self::of(&self.sent, channel).load(Ordering::Relaxed)
    }

    /// Frames received and opened on a channel.
    pub fn received(&self, channel: Channel) -> u64 {
        Self::of(&self.received, channel).load(Ordering::Relaxed)
    }

    /// Frames of voice missing between the first and the last that came.
    pub fn voice_gaps(&self) -> u64 {
        let voices = self.voices.lock().unwrap_or_else(PoisonError::into_inner);
        voices
            .values()
            .map(|heard| (heard.newest - heard.first).saturating_sub(heard.count.saturating_sub(1)))
            .fold(0, u64::saturating_add)
    }

    pub(super) fn count_sent(&self, channel: Channel) {
        Self::of(&self.sent, channel).fetch_add(1, Ordering::Relaxed);
    }

    fn count_received(&self, kid: Kid, counter: u64) {
        Self::of(&self.received, kid.channel).fetch_add(1, Ordering::Relaxed);
        if kid.channel == Channel::Voice {
            let mut voices = self.voices.lock().unwrap_or_else(PoisonError::into_inner);
            let heard = voices.entry(kid).or_insert(Heard { first: counter, newest: counter, count: 0 });
            heard.first = heard.first.min(counter);
            heard.newest = heard.newest.max(counter);
            heard.count += 1;
        }
    }
}

/// A member's place in one meeting.
pub(super) struct Seat {
    pub meeting: MeetingId,
    clock: Clock,
    keys: Mutex<MemberKeys>,
    opener: Mutex<BoxOpener>,
    token: Mutex<Vec<u8>>,
    events_read: AtomicU64,
    /// The appliance stops; milliseconds until it is to be asked again.
    back_after: AtomicU32,
    /// The sealing epoch when somebody went last: groups of that one or before do not outlive the next switch.
    gone_in: Mutex<Option<Epoch>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number in a message.
pub(super) fn number(participant: u32) -> Result<Participant, ClientError> {
    u16::try_from(participant)
        .map(Participant)
        .map_err(|_| ClientError::Unreadable("a participant's number".to_owned()))
}

impl Seat {
    pub fn new(welcome: &Welcome, opener: BoxOpener, meeting: MeetingId, clock: Clock) -> Result<Self, ClientError> {
        Ok(Self {
            meeting,
            keys: Mutex::new(MemberKeys::new(meeting, number(welcome.participant)?)),
            opener: Mutex::new(opener),
            token: Mutex::new(welcome.resume_token.clone()),
            events_read: AtomicU64::new(welcome.events),
            back_after: AtomicU32::new(0),
            gone_in: Mutex::new(None),
            clock,
        })
    }

    /// What to say over a new carrier.
    pub fn resume(&self) -> Resume {
        Resume {
            version: VERSION,
            token: lock(&self.token).clone(),
            boxes: lock(&self.opener).opened(),
            events: self.events_read.load(Ordering::Relaxed),
        }
    }

    /// Goes on where it was.
    pub fn resumed(&self, welcome: &Welcome) -> Result<(), ClientError> {
        (*lock(&self.token)).clone_from(&welcome.resume_token);
        let live = (welcome.live_epoch > 0).then_some(Epoch(welcome.live_epoch));
        lock(&self.keys).renumber(number(welcome.participant)?, live, self.clock.moment());
        Ok(())
    }

    /// Opens a box; says whether to say that we are ready. A box that does not open ends the carrier: all later ones
    /// would not open either.
    pub fn announce(
        &self,
        announce: &Announce,
        counters: &Counters,
        incoming: &mpsc::Sender<Incoming>,
    ) -> Result<bool, ClientError> {
        let (epoch, participant) = (Epoch(announce.epoch), number(announce.participant)?);
        let opened = lock(&self.opener).open(epoch, participant, &announce.sealed_secret);
        let secret = opened.map_err(|error| ClientError::Unreadable(error.to_string()))?;
        let now = self.clock.moment();
        let learned = lock(&self.keys).announce(epoch, secret, now);
        let mut out = vec![0; SCREEN_FRAME_MAX];
        loop {
            let mut keys = lock(&self.keys);
            let Some(parked) = keys.receive_parked(now, &mut out) else { break };
            match parked {
                Ok(opened @ Opened::Opened { .. }) => hand_on(received(opened, now), counters, incoming),
                Ok(Opened::Parked { .. }) => {}
                Err(_) => {
                    counters.unopened.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Ok(learned == Learned::Ready)
    }

    pub fn switch(&self, epoch: Epoch, counters: &Counters) {
        counters.epochs.fetch_add(1, Ordering::Relaxed);
        lock(&self.keys).switch(epoch, self.clock.moment());
    }

    /// The appliance stops, and says when to come back.
    pub fn drains(&self, after_millis: u32) {
        self.back_after.store(after_millis, Ordering::Relaxed);
    }

    /// How long to wait for an appliance that stopped.
    pub fn back_after(&self) -> Duration {
        Duration::from_millis(u64::from(self.back_after.load(Ordering::Relaxed))).min(BACK_AFTER_MAX)
    }

    pub fn somebody_went(&self) {
        *lock(&self.gone_in) = lock(&self.keys).sealing();
    }

    pub fn barrier(&self, sender: Participant, epoch: Epoch) {
        lock(&self.keys).barrier(sender, epoch);
    }

    pub fn read_event(&self, sequence: u64) {
        self.events_read.fetch_max(sequence, Ordering::Relaxed);
    }

    /// The epoch that is sealed under.
    pub fn sealing(&self) -> Option<Epoch> {
        lock(&self.keys).sealing()
    }

    /// Seals a frame.
    pub fn seal(&self, channel: Channel, clear: Clear, plain: &[u8], out: &mut [u8]) -> Result<usize, ClientError> {
        lock(&self.keys).seal(channel, clear, plain, self.clock.moment(), out).map_err(not_sealed)
    }

    /// Seals a frame of a group that began in `epoch`.
    pub fn seal_screen(&self, epoch: Epoch, plain: &[u8], out: &mut [u8]) -> Result<usize, ClientError> {
        let over = lock(&self.gone_in).is_some_and(|gone| epoch <= gone);
        let mut keys = lock(&self.keys);
        if over && keys.sealing().is_some_and(|sealing| sealing > epoch) {
            return Err(ClientError::NotSent("somebody went and keys changed: begin another group"));
        }
        keys.seal_screen(epoch, plain, self.clock.moment(), out).map_err(not_sealed)
    }

    /// Opens what arrived and hands it on.
    pub fn receive(&self, frame: &Frame<'_>, out: &mut [u8], counters: &Counters, incoming: &mpsc::Sender<Incoming>) {
        let now = self.clock.moment();
        let mut keys = lock(&self.keys);
        match keys.receive(frame, now, out) {
            // What is our own comes back when we resumed: we know it.
            Err(MemberError::Own) => {}
            Err(_) => {
                counters.unopened.fetch_add(1, Ordering::Relaxed);
            }
            Ok(opened) => hand_on(received(opened, now), counters, incoming),
        }
    }
}

/// An opened frame as a program is handed it; nothing of one that waits for its key.
fn received(opened: Opened<'_>, at: Moment) -> Option<Received> {
    let Opened::Opened { kid, counter, clear, plain } = opened else { return None };
    let level = match clear {
        Clear::Level(level) => Some(level),
        Clear::Nothing => None,
    };
    Some(Received { kid, counter, level, bytes: plain.to_vec(), at })
}

/// Who does not read in time loses frames, and nothing else.
fn hand_on(received: Option<Received>, counters: &Counters, incoming: &mpsc::Sender<Incoming>) {
    let Some(received) = received else { return };
    counters.count_received(received.kid, received.counter);
    if incoming.try_send(Incoming::Frame(received)).is_err() {
        counters.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

fn not_sealed(error: MemberError) -> ClientError {
    match error {
        MemberError::NoEpoch => ClientError::NotSent("there are no keys yet"),
        MemberError::Stale => ClientError::NotSent("the keys of this group are over: begin another one"),
        _ => ClientError::NotSent("it does not fit into a frame"),
    }
}

/// Whether somebody went, in what the roster says.
pub(super) fn says_gone(roster: &schema::Roster) -> bool {
    !roster.gone.is_empty()
}
