// SPDX-License-Identifier: AGPL-3.0-or-later
//! The receiving side of synthetic participants: every frame is read, its time looked up, and one in 256 really opened.

use std::sync::{Arc, Mutex, PoisonError};

use web_transport_quinn::{RecvStream, Session};

use super::load::Load;
use super::subject::{Framing, Joined, Keys};
use super::tally::{Arrivals, SendTimes};
use crate::platform::clock::Clock;
use crate::values::time::Moment;
use crate::wire::datagram;
use crate::wire::frame::Frame;
use crate::wire::stream::{EventRecord, SCREEN_FRAME_MAX, StreamKind, event_downstream, screen_frame, screen_length};

/// One frame in this many is opened, at each receiver: opening all would measure our own cryptography.
const SAMPLE: u64 = 256;
/// Longest plaintext of a datagram's frame or an event.
const SCRATCH: usize = 32 * 1_024;

/// What receivers share.
pub(super) struct Hearing {
    pub clock: Clock,
    pub times: SendTimes,
    pub framing: Framing,
    /// Index of a participant, by room and number.
    crowd: Vec<Vec<Option<usize>>>,
    arrivals: Mutex<Arrivals>,
}

/// One receiver.
pub(super) struct Ear {
    shared: Arc<Hearing>,
    room: usize,
    keys: Arc<dyn Keys>,
    heard: u64,
    scratch: Vec<u8>,
}

impl Hearing {
    /// Of these people, by index.
    pub fn new(clock: Clock, framing: Framing, load: &Load, people: &[Joined]) -> Self {
        let mut crowd: Vec<Vec<Option<usize>>> = vec![Vec::new(); load.rooms];
        for (index, person) in people.iter().enumerate() {
            let number = usize::from(person.number.0);
            if let Some(room) = crowd.get_mut(load.room_of(index)) {
                if room.len() <= number {
                    room.resize(number + 1, None);
                }
                if let Some(place) = room.get_mut(number) {
                    *place = Some(index);
                }
            }
        }
        let times = SendTimes::new(clock.moment(), people.len());
        Self { clock, times, framing, crowd, arrivals: Mutex::default() }
    }

    /// What arrived so far.
    pub fn arrivals(&self) -> Arrivals {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arrivals> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sender(&self, room: usize, frame: &Frame<'_>) -> Option<usize> {
        self.crowd.get(room)?.get(usize::from(frame.kid().participant.0)).copied().flatten()
    }
}

impl Ear {
    /// Of a participant in this room.
    pub fn new(shared: &Arc<Hearing>, room: usize, keys: &Arc<dyn Keys>) -> Self {
        Self { shared: Arc::clone(shared), room, keys: Arc::clone(keys), heard: 0, scratch: vec![0; SCRATCH] }
    }

    fn frame(&mut self, frame: &Frame<'_>, now: Moment, arrivals: &mut Arrivals) {
        match self.shared.sender(self.room, frame) {
            Some(sender) => arrivals.count(&self.shared.times, sender, frame.kid().channel, frame.counter(), now),
            None => arrivals.unreadable += 1,
        }
        self.heard += 1;
        if self.heard.is_multiple_of(SAMPLE) {
            arrivals.opened += 1;
            if frame.as_bytes().len() > self.scratch.len() {
                self.scratch.resize(SCREEN_FRAME_MAX, 0);
            }
            if !self.keys.opens(frame, &mut self.scratch) {
                arrivals.damaged += 1;
            }
        }
    }

    /// All frames of a datagram, under one lock and with one look at the clock.
    fn datagram(&mut self, bytes: &[u8]) {
        let shared = Arc::clone(&self.shared);
        let now = shared.clock.moment();
        let mut arrivals = shared.lock();
        match shared.framing {
            Framing::Bare => match Frame::decode(bytes) {
                Ok(frame) => self.frame(&frame, now, &mut arrivals),
                Err(_) => arrivals.unreadable += 1,
            },
            Framing::Protocol => match datagram::downstream(bytes) {
                Ok((_, frames)) => {
                    for frame in frames {
                        match frame {
                            Ok(frame) => self.frame(&frame, now, &mut arrivals),
                            Err(_) => arrivals.unreadable += 1,
                        }
                    }
                }
                Err(_) => arrivals.unreadable += 1,
            },
        }
    }

    fn one(&mut self, frame: &Frame<'_>) {
        let shared = Arc::clone(&self.shared);
        let now = shared.clock.moment();
        self.frame(frame, now, &mut shared.lock());
    }

    fn unreadable(&self) {
        self.shared.lock().unreadable += 1;
    }
}

/// Reads datagrams until the carrier ends.
pub(super) async fn datagrams(session: Session, mut ear: Ear) {
    while let Ok(bytes) = session.read_datagram().await {
        ear.datagram(&bytes);
    }
}

/// Reads events until the stream ends.
pub(super) async fn events(mut stream: RecvStream, mut ear: Ear) {
    let mut waiting = Vec::new();
    let mut chunk = vec![0; SCRATCH];
    while let Ok(Some(length)) = stream.read(&mut chunk).await {
        waiting.extend_from_slice(chunk.get(..length).unwrap_or_default());
        let mut read = 0;
        loop {
            match event_downstream(waiting.get(read..).unwrap_or_default()) {
                Ok(Some((_, record, taken))) => {
                    if let EventRecord::Event(frame) = record {
                        ear.one(&frame);
                    }
                    read += taken;
                }
                Ok(None) => break,
                Err(_) => return ear.unreadable(),
            }
        }
        waiting.drain(..read);
    }
}

/// Reads groups of screen frames until the carrier ends.
pub(super) async fn screens(session: Session, shared: Arc<Hearing>, room: usize, keys: Arc<dyn Keys>) {
    while let Ok(stream) = session.accept_uni().await {
        tokio::spawn(group(stream, Ear::new(&shared, room, &keys)));
    }
}

/// A group ends with its stream; one that is cut off is useless by now and no fault.
async fn group(mut stream: RecvStream, mut ear: Ear) {
    let mut kind = [0];
    if stream.read_exact(&mut kind).await.is_err() || kind != [StreamKind::Screen.number()] {
        return ear.unreadable();
    }
    let mut length = [0; 4];
    while stream.read_exact(&mut length).await.is_ok() {
        let Ok(Some(length)) = screen_length(&length) else { return ear.unreadable() };
        let mut bytes = vec![0; length];
        if stream.read_exact(&mut bytes).await.is_err() {
            return;
        }
        match screen_frame(&bytes) {
            Ok(frame) => ear.one(&frame),
            Err(_) => return ear.unreadable(),
        }
    }
}
