// SPDX-License-Identifier: AGPL-3.0-or-later
//! The event stream of one participant: reads its events at the rate it may send them, writes those of the others.

use web_transport_quinn::{RecvStream, SendStream};

use crate::platform::probe;
use crate::relay::session::Seated;
use crate::wire::close::CloseCode;
use crate::wire::kid::Participant;
use crate::wire::stream::{StreamError, event_upstream};

/// Bytes read and written at once.
const CHUNK: usize = 16_384;

impl From<StreamError> for CloseCode {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Length => Self::TooLarge,
            StreamError::Kind(_) | StreamError::Channel(_) | StreamError::Frame(_) => Self::Malformed,
        }
    }
}

/// Reads events until the stream ends or something in it cannot be read.
pub(super) async fn read(seated: Seated, from: Participant, mut stream: RecvStream) {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = stream.read_chunk(CHUNK, true).await {
        probe::arrived(&chunk.bytes);
        bytes.extend_from_slice(&chunk.bytes);
        if let Err(error) = take(&seated, from, &mut bytes).await {
            return seated.close(error.into());
        }
    }
}

/// Takes the whole records at the front of `bytes`.
async fn take(seated: &Seated, from: Participant, bytes: &mut Vec<u8>) -> Result<(), StreamError> {
    loop {
        let Some((record, taken)) = event_upstream(bytes)? else { return Ok(()) };
        let wait = seated.meeting.act(|room, now, _| room.pace_events(from, now));
        if !wait.is_zero() {
            // Who sends too much is read later; QUIC's flow control tells it.
            tokio::time::sleep(wait).await;
            continue;
        }
        // A refusal is counted by the room.
        let _ = seated.meeting.act(|room, now, _| room.handle_event(from, record, now));
        bytes.drain(..taken);
    }
}

/// Writes the events of the others as the participant reads them.
pub(super) async fn write(seated: Seated, reader: Participant, mut stream: SendStream) {
    let _ = stream.set_priority(1);
    seated.meeting.act(|room, _, _| room.begin_events(reader));
    let mut bytes = Vec::with_capacity(CHUNK);
    loop {
        seated.egress.events().await;
        loop {
            bytes.clear();
            seated.meeting.read_events(reader, CHUNK, &mut bytes);
            if bytes.is_empty() {
                break;
            }
            probe::leaves(&bytes);
            if stream.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }
}
