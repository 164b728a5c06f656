// SPDX-License-Identifier: AGPL-3.0-or-later
//! How one participant is reached: a carrier of the relay, and a bounded queue of control messages before it.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use crate::core::room::flush::Path;
use crate::hub::driver::seat::Seat;
use crate::wire::close::CloseCode;
use crate::wire::control::schema::{ServerMessage, server_message};
use crate::wire::control::{self, MESSAGE_MAX};
use crate::wire::kid::Participant;

/// Control messages that may wait for a reader: two hundred people who come within a second, and what goes on besides.
/// Longer ones are rosters, so this is a few hundred kilobytes at most.
const CONTROL_WAITING_MAX: usize = 512;

/// What travels in a group of screen frames.
#[derive(Debug, Clone)]
pub enum ScreenPiece {
    /// A group begins.
    Begin,
    /// The next frame, as it travels.
    Frame(Bytes),
    /// There are no more.
    End,
    /// What was sent of it is worth nothing.
    Abandon,
}

/// How bytes reach one participant. Nothing here blocks.
pub trait Carrier: Send + Sync {
    /// `quic` or `webtransport`.
    fn kind(&self) -> &'static str;
    /// What the path takes now; `None` when the carrier is gone or takes no datagrams.
    fn path(&self) -> Option<Path>;
    /// Sends a datagram, or loses it.
    fn send_datagram(&self, bytes: Bytes);
    /// Sends a piece of a group of screen frames.
    fn screen(&self, group: u64, piece: ScreenPiece);
    /// Ends it.
    fn close(&self, code: CloseCode);
    /// With what we ended it, if it was us.
    fn closed(&self) -> Option<CloseCode>;
    /// Round trip time.
    fn rtt(&self) -> Duration;
}

/// One participant's way out.
pub struct Egress {
    id: u64,
    carrier: Box<dyn Carrier>,
    control: mpsc::Sender<Bytes>,
    /// Set when there are events to be read.
    events: Notify,
    /// The participant's number; [`NOBODY`] until it is in.
    participant: AtomicU32,
    /// Its boxes, until it has a number.
    seat: Mutex<Option<Seat>>,
}

const NOBODY: u32 = u32::MAX;

impl Egress {
    /// A way out over this carrier, and the control messages that its writer sends.
    pub fn new(carrier: Box<dyn Carrier>) -> (Self, mpsc::Receiver<Bytes>) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (control, messages) = mpsc::channel(CONTROL_WAITING_MAX);
        let egress = Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            carrier,
            control,
            events: Notify::new(),
            participant: AtomicU32::new(NOBODY),
            seat: Mutex::new(None),
        };
        (egress, messages)
    }

    /// The carrier.
    pub fn carrier(&self) -> &dyn Carrier {
        &*self.carrier
    }

    /// The participant, once it is in.
    pub fn participant(&self) -> Option<Participant> {
        u16::try_from(self.participant.load(Ordering::Acquire)).ok().map(Participant)
    }

    /// Waits until there may be events to be read.
    pub async fn events(&self) {
        self.events.notified().await;
    }

    /// Tells it something. Who does not read is closed.
    pub fn tell(&self, message: server_message::Body) {
        let message = ServerMessage::from(message);
        let sent = match control::encode(&message) {
            Ok(bytes) => self.control.try_send(bytes.into()).map_err(|_| CloseCode::SlowReader),
            Err(_) => Err(CloseCode::Internal),
        };
        if let Err(code) = sent {
            tracing::debug!(close.code = code.name(), control.max = MESSAGE_MAX, "a control message cannot be sent");
            self.carrier.close(code);
        }
    }

    pub(super) fn wake_events(&self) {
        self.events.notify_one();
    }

    pub(super) fn is_now(&self, participant: Participant) {
        self.participant.store(u32::from(participant.0), Ordering::Release);
    }

    pub(super) fn bring(&self, seat: Seat) {
        *self.seat.lock().unwrap_or_else(PoisonError::into_inner) = Some(seat);
    }

    pub(super) fn take_seat(&self) -> Option<Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl PartialEq for Egress {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Egress({}, {})", self.id, self.carrier.kind())
    }
}
