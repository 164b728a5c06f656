// SPDX-License-Identifier: AGPL-3.0-or-later
//! The sending side of synthetic participants: one thread seals and hands over every frame when it is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;
use web_transport_quinn::{SendStream, Session};

use super::listen::Hearing;
use super::load::Load;
use super::pace::{self, Due, Schedule};
use super::subject::{Framing, Keys};
use super::tally::{Sent, add};
use crate::values::time::Moment;
use crate::wire::datagram::{DATAGRAM_MAX, Writer};
use crate::wire::frame::{AudioLevel, Clear, Frame};
use crate::wire::kid::{Channel, Epoch};
use crate::wire::sframe::OVERHEAD_MAX;
use crate::wire::stream::{EventRecord, StreamKind, push_event_upstream};

/// How loud who talks is, in −dBov: ordinary speech.
const LEVEL: u8 = 30;
/// Frames that may wait for a stream; more are not sent.
const STREAM_WAITING_MAX: usize = 64;
/// Frames of a group of a screen: two seconds.
const GROUP: u32 = 30;

/// Where one participant's frames go.
pub(super) struct Mouth {
    /// Its carrier.
    pub session: Session,
    /// Its keys.
    pub keys: Arc<dyn Keys>,
    /// Its events, when there are any.
    pub events: Option<mpsc::Sender<Bytes>>,
    /// Its screen, when it shares one.
    pub screen: Option<mpsc::Sender<Bytes>>,
}

/// A queue for frames of a stream.
pub(super) fn queue() -> (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>) {
    mpsc::channel(STREAM_WAITING_MAX)
}

/// Sends everything of everybody until it is stopped. Blocks its thread.
pub(super) fn run(load: &Load, mouths: &[Mouth], hearing: &Hearing, stop: &AtomicBool) -> Sent {
    let mut sent = Sent::default();
    let plain: Vec<Vec<u8>> = Channel::ALL.map(|channel| vec![0x5a; load.rate(channel).bytes]).into();
    let longest = plain.iter().map(Vec::len).max().unwrap_or(0);
    let mut buffer = vec![0; (longest + OVERHEAD_MAX).max(DATAGRAM_MAX)];
    let schedule = Schedule::new(load.beats());
    let start = hearing.clock.moment();
    pace::run(
        &hearing.clock,
        start,
        schedule,
        || !stop.load(Ordering::Relaxed),
        |due, late| {
            let Due { sender, channel, .. } = due;
            let (Some(mouth), Some(plain)) = (mouths.get(sender), plain.get(usize::from(channel.number()) - 1)) else {
                return;
            };
            let said = mouth.say(hearing, sender, channel, plain, &mut buffer);
            let measured = hearing.times.measures(said.unwrap_or_else(|| hearing.clock.moment()));
            if measured {
                sent.lateness.record(late);
            }
            match said {
                Some(_) if measured => {
                    add(&mut sent.frames, channel, 1);
                    add(&mut sent.expected, channel, load.receivers_of(sender) as u64);
                }
                None if measured => sent.unsent += 1,
                Some(_) | None => {}
            }
        },
    );
    sent
}

impl Mouth {
    /// Seals a frame and hands it over. When that was; `None`: it was not possible.
    fn say(
        &self,
        hearing: &Hearing,
        sender: usize,
        channel: Channel,
        plain: &[u8],
        buffer: &mut [u8],
    ) -> Option<Moment> {
        match (channel, hearing.framing) {
            (Channel::Pose | Channel::Voice, Framing::Bare) => {
                let length = self.seal(channel, plain, buffer)?;
                let frame = buffer.get(..length)?;
                let now = note(hearing, sender, frame)?;
                self.session.send_datagram(Bytes::copy_from_slice(frame)).ok()?;
                Some(now)
            }
            (Channel::Pose | Channel::Voice, Framing::Protocol) => {
                let mut writer = Writer::upstream(buffer, self.session.max_datagram_size());
                let length = self.seal(channel, plain, writer.spare())?;
                let now = note(hearing, sender, writer.spare().get(..length)?)?;
                writer.commit(length).ok()?;
                self.session.send_datagram(Bytes::copy_from_slice(writer.finish().ok()?)).ok()?;
                Some(now)
            }
            (Channel::Event | Channel::Screen, _) => {
                let stream = if channel == Channel::Event { &self.events } else { &self.screen };
                // A place first: a sealed frame that is thrown away would leave a gap in the counters.
                let place = stream.as_ref()?.try_reserve().ok()?;
                let length = self.seal(channel, plain, buffer)?;
                let frame = buffer.get(..length)?;
                let now = note(hearing, sender, frame)?;
                place.send(Bytes::copy_from_slice(frame));
                Some(now)
            }
        }
    }

    fn seal(&self, channel: Channel, plain: &[u8], out: &mut [u8]) -> Option<usize> {
        let clear = match channel {
            Channel::Voice => Clear::Level(AudioLevel::try_from(LEVEL).unwrap_or(AudioLevel::SILENCE)),
            Channel::Pose | Channel::Event | Channel::Screen => Clear::Nothing,
        };
        self.keys.seal(channel, clear, plain, out)
    }
}

/// Notes that a frame is sent now.
fn note(hearing: &Hearing, sender: usize, frame: &[u8]) -> Option<Moment> {
    let frame = Frame::decode(frame).ok()?;
    let now = hearing.clock.moment();
    hearing.times.sent(sender, frame.kid().channel, frame.counter(), now);
    Some(now)
}

/// Writes events to their stream, with a barrier before the first of each later epoch.
pub(super) async fn events(mut stream: SendStream, mut frames: mpsc::Receiver<Bytes>) {
    let mut last: Option<Epoch> = None;
    while let Some(bytes) = frames.recv().await {
        let Ok(frame) = Frame::decode(&bytes) else { continue };
        let mut out = Vec::with_capacity(bytes.len() + 16);
        let epoch = frame.kid().epoch;
        let barrier = last.replace(epoch).filter(|last| *last < epoch).map(|_| EventRecord::Barrier(None, epoch));
        for record in barrier.into_iter().chain([EventRecord::Event(frame)]) {
            if push_event_upstream(&mut out, record).is_err() {
                return;
            }
        }
        if stream.write_all(&out).await.is_err() {
            return;
        }
    }
}

/// Writes a screen, each group of frames on a stream of its own. A group is of one epoch.
pub(super) async fn screen(session: Session, mut frames: mpsc::Receiver<Bytes>) {
    let mut open: Option<(SendStream, Epoch, u32)> = None;
    while let Some(bytes) = frames.recv().await {
        let Ok(frame) = Frame::decode(&bytes) else { continue };
        let epoch = frame.kid().epoch;
        if open.as_ref().is_none_or(|(_, of, count)| *of != epoch || *count == GROUP) {
            if let Some((mut done, ..)) = open.take() {
                // It was stopped already when there is nothing to finish.
                let _ = done.finish();
            }
            let Ok(mut stream) = session.open_uni().await else { return };
            if stream.write_all(&[StreamKind::Screen.number()]).await.is_err() {
                continue;
            }
            open = Some((stream, epoch, 0));
        }
        let Some((stream, _, count)) = &mut open else { continue };
        *count += 1;
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
        if stream.write_all(&length).await.is_err() || stream.write_chunk(bytes).await.is_err() {
            // Stopped by the relay: the next frame begins a group.
            open = None;
        }
    }
}
