// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What travels in streams besides control messages: events, and groups of screen frames.
//!
//! ```text
//! stream    = kind (1) ‖ content
//! control   0x01, bidirectional, opened by the client    messages of `control`
//! event     0x03, bidirectional, opened by the client
//!   upstream    n × (u16 length ‖ frame)                 or  u16 0 ‖ u32 epoch                       a barrier
//!   downstream  n × (u64 sequence ‖ u16 length ‖ frame)  or  u64 sequence ‖ u16 0 ‖ u16 participant ‖ u32 epoch
//! screen    0x04, unidirectional, one group of frames    n × (u32 length ‖ frame), until its end
//! ```
//!
//! A barrier says: of what this participant sends from here on, nothing is sealed under an epoch before this one.

use crate::wire::frame::{Frame, FrameError};
use crate::wire::kid::{Channel, Epoch, Participant};
use crate::wire::sframe::OVERHEAD_MAX;

/// Longest event, in bytes of plaintext.
pub const EVENT_MAX: usize = 16_384;
/// Longest frame of an event.
pub const EVENT_FRAME_MAX: usize = EVENT_MAX + OVERHEAD_MAX;
/// Longest frame of a screen: a key frame of a 4K desktop at good quality is about half of that.
pub const SCREEN_FRAME_MAX: usize = 1 << 20;

/// Why the bytes of a stream are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The first byte is none of the kinds.
    #[error("there is no stream of kind {0:#x}")]
    Kind(u8),
    /// Longer than the channel allows, or empty.
    #[error("the frame is longer than it may be, or empty")]
    Length,
    /// A frame of another channel.
    #[error("the frame is of another channel than its stream")]
    Channel(Channel),
    /// A frame that cannot be read.
    #[error("a frame cannot be read")]
    Frame(#[from] FrameError),
}

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum StreamKind {
    /// Control messages.
    Control = 0x1,
    /// Events.
    Event = 0x3,
    /// A group of screen frames.
    Screen = 0x4,
}

impl StreamKind {
    /// The first byte of the stream.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl TryFrom<u8> for StreamKind {
    type Error = StreamError;

    fn try_from(number: u8) -> Result<Self, StreamError> {
        let kinds = [Self::Control, Self::Event, Self::Screen];
        kinds.into_iter().find(|kind| kind.number() == number).ok_or(StreamError::Kind(number))
    }
}

/// What stands in an event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventRecord<'a> {
    /// An event.
    Event(Frame<'a>),
    /// The sender seals under this epoch or later ones from here on. `None`: upstream, where the sender is known.
    Barrier(Option<Participant>, Epoch),
}

/// Reads the first record of what a participant sent, and says how many bytes it takes; `None` until it is whole.
pub fn event_upstream(bytes: &[u8]) -> Result<Option<(EventRecord<'_>, usize)>, StreamError> {
    let Some((length, rest)) = bytes.split_first_chunk() else { return Ok(None) };
    match usize::from(u16::from_be_bytes(*length)) {
        0 => Ok(rest.first_chunk().map(|epoch| {
            let epoch = Epoch(u32::from_be_bytes(*epoch));
            (EventRecord::Barrier(None, epoch), 2 + 4)
        })),
        length => Ok(event(rest, length)?.map(|event| (event, 2 + length))),
    }
}

/// Reads the first record of what the relay sent: its sequence, itself, and how many bytes it takes.
pub fn event_downstream(bytes: &[u8]) -> Result<Option<(u64, EventRecord<'_>, usize)>, StreamError> {
    let Some((sequence, rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let sequence = u64::from_be_bytes(*sequence);
    let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
    match usize::from(u16::from_be_bytes(*length)) {
        0 => Ok(rest.first_chunk::<6>().map(|[a, b, epoch @ ..]| {
            let participant = Participant(u16::from_be_bytes([*a, *b]));
            (sequence, EventRecord::Barrier(Some(participant), Epoch(u32::from_be_bytes(*epoch))), 8 + 2 + 6)
        })),
        length => Ok(event(rest, length)?.map(|event| (sequence, event, 8 + 2 + length))),
    }
}

fn event(bytes: &[u8], length: usize) -> Result<Option<EventRecord<'_>>, StreamError> {
    if length > EVENT_FRAME_MAX {
        return Err(StreamError::Length);
    }
    bytes.get(..length).map(|frame| of_channel(frame, Channel::Event).map(EventRecord::Event)).transpose()
}

fn of_channel(bytes: &[u8], channel: Channel) -> Result<Frame<'_>, StreamError> {
    let frame = Frame::decode(bytes)?;
    if frame.kid().channel == channel { Ok(frame) } else { Err(StreamError::Channel(frame.kid().channel)) }
}

/// Appends an upstream record.
pub fn push_event_upstream(out: &mut Vec<u8>, record: EventRecord<'_>) -> Result<(), StreamError> {
    match record {
        EventRecord::Event(frame) => push_frame(out, &frame),
        EventRecord::Barrier(_, epoch) => {
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(&epoch.0.to_be_bytes());
            Ok(())
        }
    }
}

/// Appends a downstream record; a barrier without a participant is none.
pub fn push_event_downstream(out: &mut Vec<u8>, sequence: u64, record: EventRecord<'_>) -> Result<(), StreamError> {
    match record {
        EventRecord::Event(frame) => {
            let before = out.len();
            out.extend_from_slice(&sequence.to_be_bytes());
            push_frame(out, &frame).inspect_err(|_| out.truncate(before))
        }
        EventRecord::Barrier(Some(participant), epoch) => {
            out.extend_from_slice(&sequence.to_be_bytes());
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(&participant.0.to_be_bytes());
            out.extend_from_slice(&epoch.0.to_be_bytes());
            Ok(())
        }
        EventRecord::Barrier(None, _) => Err(StreamError::Length),
    }
}

fn push_frame(out: &mut Vec<u8>, frame: &Frame<'_>) -> Result<(), StreamError> {
    let bytes = frame.as_bytes();
    let length = u16::try_from(bytes.len()).map_err(|_| StreamError::Length)?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Bytes before a frame of a screen.
pub const SCREEN_LENGTH_LEN: usize = 4;

/// Reads the length of the next frame of a screen group; `None` until it is whole.
pub fn screen_length(bytes: &[u8]) -> Result<Option<usize>, StreamError> {
    let Some(length) = bytes.first_chunk() else { return Ok(None) };
    match usize::try_from(u32::from_be_bytes(*length)) {
        Ok(length @ 1..=SCREEN_FRAME_MAX) => Ok(Some(length)),
        _ => Err(StreamError::Length),
    }
}

/// Reads a frame of a screen.
pub fn screen_frame(bytes: &[u8]) -> Result<Frame<'_>, StreamError> {
    of_channel(bytes, Channel::Screen)
}

/// For fuzzing: reads `bytes` as each kind of stream, and panics when what was read has another spelling.
pub fn exercise(bytes: &[u8]) {
    let (mut rest, mut written) = (bytes, Vec::new());
    while let Ok(Some((record, taken))) = event_upstream(rest) {
        assert_eq!(push_event_upstream(&mut written, record), Ok(()));
        rest = rest.get(taken..).unwrap_or_default();
    }
    assert!(bytes.starts_with(&written));
    let (mut rest, mut written) = (bytes, Vec::new());
    while let Ok(Some((sequence, record, taken))) = event_downstream(rest) {
        assert_eq!(push_event_downstream(&mut written, sequence, record), Ok(()));
        rest = rest.get(taken..).unwrap_or_default();
    }
    assert!(bytes.starts_with(&written));
    if let Ok(Some(length)) = screen_length(bytes) {
        let end = SCREEN_LENGTH_LEN + length;
        let _ = bytes.get(SCREEN_LENGTH_LEN..end).map(screen_frame);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An event, as short as it can be.
    const EVENT: [u8; 17] = [0x30; 17];

    fn event_frame() -> EventRecord<'static> {
        EventRecord::Event(Frame::decode(&EVENT).unwrap())
    }

    #[test]
    fn records_are_whole_or_awaited() {
        let mut up = Vec::new();
        push_event_upstream(&mut up, event_frame()).unwrap();
        push_event_upstream(&mut up, EventRecord::Barrier(None, Epoch(7))).unwrap();
        assert_eq!(event_upstream(&up), Ok(Some((event_frame(), 19))));
        assert_eq!(event_upstream(&up[19..]), Ok(Some((EventRecord::Barrier(None, Epoch(7)), 6))));
        (0..19).for_each(|end| assert_eq!(event_upstream(&up[..end]), Ok(None)));

        let barrier = EventRecord::Barrier(Some(Participant(258)), Epoch(7));
        let mut down = Vec::new();
        push_event_downstream(&mut down, 5, event_frame()).unwrap();
        push_event_downstream(&mut down, 6, barrier).unwrap();
        assert_eq!(event_downstream(&down), Ok(Some((5, event_frame(), 27))));
        assert_eq!(event_downstream(&down[27..]), Ok(Some((6, barrier, 16))));
        (0..27).for_each(|end| assert_eq!(event_downstream(&down[..end]), Ok(None)));
        assert_eq!(push_event_downstream(&mut down, 7, EventRecord::Barrier(None, Epoch(1))), Err(StreamError::Length));
    }

    #[test]
    fn what_does_not_belong_is_refused() {
        assert_eq!(event_upstream(&[0xff, 0xff]), Err(StreamError::Length));
        let voice = [&[0, 18][..], &[0x20; 18]].concat();
        assert_eq!(event_upstream(&voice), Err(StreamError::Channel(Channel::Voice)));
        assert_eq!(screen_length(&[0, 0, 0, 0]), Err(StreamError::Length));
        assert_eq!(screen_length(&[0, 0x10, 0, 1]), Err(StreamError::Length));
        assert_eq!(screen_length(&[0, 0x10, 0, 0]), Ok(Some(SCREEN_FRAME_MAX)));
        assert_eq!(screen_frame(&EVENT), Err(StreamError::Channel(Channel::Event)));
        assert_eq!(StreamKind::try_from(2), Err(StreamError::Kind(2)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            exercise(&bytes);
        }
    }
}
