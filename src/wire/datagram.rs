// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Datagrams: frames side by side, each behind its length.
//!
//! ```text
//! upstream              n × (u16 length ‖ frame)      one participant to the relay
//! downstream  u32 tick ‖ n × (u16 length ‖ frame)      the relay to one participant
//! ```
//!
//! n is at least 1. A length of zero, or a single zero byte at the end, begins padding: every byte after it is zero.
//! Pose and voice travel in datagrams; the other channels have streams. Decoding is one pass and ends at the first
//! fault: the frames before it count, nothing after it is looked at.

use crate::wire::frame::{Frame, FrameError};
use crate::wire::kid::Channel;

/// Longest datagram, in bytes: what a path over Ethernet carries under IPv6 and UDP (1,500 − 40 − 8). QUIC takes some
/// of it; carriers that could hand over more (a WebSocket message) have the same bound.
pub const DATAGRAM_MAX: usize = 1_452;
/// Bytes of a length.
pub const LENGTH_LEN: usize = 2;
/// Bytes of a tick.
pub const TICK_LEN: usize = 4;

/// Why bytes are not a datagram, or a frame was not added to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// Longer than [`DATAGRAM_MAX`].
    #[error("a datagram is at most {DATAGRAM_MAX} bytes")]
    TooLong,
    /// The bytes end inside the tick, a length or a frame.
    #[error("the bytes end inside a tick, a length or a frame")]
    Truncated,
    /// No frame at all.
    #[error("the datagram has no frame")]
    Empty,
    /// Padding that is not zero.
    #[error("padding is zero to the end")]
    Padding,
    /// A channel that does not travel in datagrams.
    #[error("the channel does not travel in datagrams")]
    Channel(Channel),
    /// A frame that cannot be read.
    #[error("a frame cannot be read")]
    Frame(#[from] FrameError),
    /// The frame does not fit the size that is left.
    #[error("the frame does not fit into what is left of the datagram")]
    Full,
}

/// The number of a tick of the relay: it counts up, wraps, and is the same in all datagrams of one flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tick(pub u32);

/// Reads what a participant sent.
pub fn upstream(bytes: &[u8]) -> Result<Frames<'_>, DatagramError> {
    if bytes.len() > DATAGRAM_MAX {
        return Err(DatagramError::TooLong);
    }
    Ok(Frames { rest: bytes, found: 0, ended: false })
}

/// Reads what the relay sent.
pub fn downstream(bytes: &[u8]) -> Result<(Tick, Frames<'_>), DatagramError> {
    if bytes.len() > DATAGRAM_MAX {
        return Err(DatagramError::TooLong);
    }
    let (tick, rest) = bytes.split_first_chunk().ok_or(DatagramError::Truncated)?;
    Ok((Tick(u32::from_be_bytes(*tick)), Frames { rest, found: 0, ended: false }))
}

/// The frames of a datagram, in order. After an error there is nothing more.
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    rest: &'a [u8],
    found: usize,
    ended: bool,
}

impl<'a> Frames<'a> {
    /// The next frame; `None` at the end.
    fn read(&mut self) -> Result<Option<Frame<'a>>, DatagramError> {
        let frame = match self.rest {
            [] | [0] => return self.end(),
            [0, 0, ..] => return self.end(),
            rest => {
                let (length, rest) = rest.split_first_chunk::<LENGTH_LEN>().ok_or(DatagramError::Truncated)?;
                let length = usize::from(u16::from_be_bytes(*length));
                let (frame, rest) = rest.split_at_checked(length).ok_or(DatagramError::Truncated)?;
                self.rest = rest;
                Frame::decode(frame)?
            }
        };
        match frame.kid().channel {
            Channel::Pose | Channel::Voice => Ok(Some(frame)),
            other @ (Channel::Event | Channel::Screen) => Err(DatagramError::Channel(other)),
        }
    }

    fn end(&self) -> Result<Option<Frame<'a>>, DatagramError> {
        if self.rest.iter().any(|byte| *byte != 0) {
            return Err(DatagramError::Padding);
        }
        if self.found == 0 { Err(DatagramError::Empty) } else { Ok(None) }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, DatagramError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.read().transpose();
        match &next {
            Some(Ok(_)) => self.found += 1,
            Some(Err(_)) | None => self.ended = true,
        }
        next
    }
}

impl std::iter::FusedIterator for Frames<'_> {}

/// A datagram under construction in the caller's buffer, which may hold old bytes.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    len: usize,
    frames: usize,
}

impl<'b> Writer<'b> {
    /// Begins an upstream datagram of at most `budget` bytes (what the path carries), less when `buffer` is smaller.
    pub fn upstream(buffer: &'b mut [u8], budget: usize) -> Self {
        let size = buffer.len().min(budget).min(DATAGRAM_MAX);
        Self { buffer: buffer.get_mut(..size).unwrap_or_default(), len: 0, frames: 0 }
    }

    /// Begins a downstream datagram of at most `budget` bytes.
    pub fn downstream(buffer: &'b mut [u8], budget: usize, tick: Tick) -> Result<Self, DatagramError> {
        let mut writer = Self::upstream(buffer, budget);
        *writer.buffer.first_chunk_mut::<TICK_LEN>().ok_or(DatagramError::Full)? = tick.0.to_be_bytes();
        writer.len = TICK_LEN;
        Ok(writer)
    }

    /// Bytes of the longest frame that still fits.
    pub fn space(&self) -> usize {
        self.buffer.len().saturating_sub(self.len + LENGTH_LEN)
    }

    /// Frames added so far.
    pub const fn frames(&self) -> usize {
        self.frames
    }

    /// Adds the bytes of a frame, or leaves the datagram as it was.
    pub fn push(&mut self, frame: &[u8]) -> Result<(), DatagramError> {
        self.spare().get_mut(..frame.len()).ok_or(DatagramError::Full)?.copy_from_slice(frame);
        self.commit(frame.len())
    }

    /// Where the bytes of the next frame go: [`space`](Writer::space) bytes, to be sealed into in place. They count
    /// once they are [committed](Writer::commit).
    pub fn spare(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.len + LENGTH_LEN..).unwrap_or_default()
    }

    /// Adds the first `length` bytes of [`spare`](Writer::spare) as a frame.
    pub fn commit(&mut self, length: usize) -> Result<(), DatagramError> {
        if length == 0 {
            return Err(DatagramError::Empty);
        }
        if length > self.space() {
            return Err(DatagramError::Full);
        }
        let prefix = u16::try_from(length).map_err(|_| DatagramError::Full)?;
        let place = self.buffer.get_mut(self.len..).and_then(|rest| rest.first_chunk_mut::<LENGTH_LEN>());
        *place.ok_or(DatagramError::Full)? = prefix.to_be_bytes();
        self.len += LENGTH_LEN + length;
        self.frames += 1;
        Ok(())
    }

    /// Fills up with zeros to `size` bytes, so that datagrams sent together have one size. Does nothing when it is
    /// that long already; never exceeds the budget.
    pub fn pad_to(&mut self, size: usize) {
        let size = size.min(self.buffer.len()).max(self.len);
        if let Some(padding) = self.buffer.get_mut(self.len..size) {
            padding.fill(0);
        }
        self.len = size;
    }

    /// The datagram. Without a frame it is none.
    pub fn finish(self) -> Result<&'b [u8], DatagramError> {
        if self.frames == 0 {
            return Err(DatagramError::Empty);
        }
        self.buffer.get(..self.len).ok_or(DatagramError::Full)
    }
}

/// For fuzzing: decodes `bytes` both ways, and panics when what was read has another spelling.
pub fn exercise(bytes: &[u8]) {
    if let Ok(frames) = upstream(bytes) {
        let mut buffer = [0xff; DATAGRAM_MAX];
        write_again(bytes, frames, Writer::upstream(&mut buffer, DATAGRAM_MAX));
    }
    if let Ok((tick, frames)) = downstream(bytes) {
        let mut buffer = [0xff; DATAGRAM_MAX];
        if let Ok(writer) = Writer::downstream(&mut buffer, DATAGRAM_MAX, tick) {
            write_again(bytes, frames, writer);
        }
    }
}

fn write_again(bytes: &[u8], frames: Frames<'_>, mut writer: Writer<'_>) {
    let mut whole = true;
    for frame in frames {
        whole &= frame.and_then(|frame| writer.push(frame.as_bytes())).is_ok();
    }
    if whole {
        writer.pad_to(bytes.len());
        assert_eq!(writer.finish(), Ok(bytes));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::header::HeaderError;

    /// Frames of pose and voice, as short as they can be.
    const POSE: [u8; 17] = [0x10; 17];
    const VOICE: [u8; 18] = [0x20; 18];

    fn datagram(frames: &[&[u8]], padding: usize) -> Vec<u8> {
        let length = |frame: &[u8]| u16::try_from(frame.len()).unwrap().to_be_bytes();
        let mut bytes: Vec<u8> = frames.iter().flat_map(|frame| [&length(frame)[..], frame].concat()).collect();
        bytes.resize(bytes.len() + padding, 0);
        bytes
    }

    fn read(bytes: &[u8]) -> (Vec<&[u8]>, Option<DatagramError>) {
        let mut frames = Vec::new();
        for frame in upstream(bytes).unwrap() {
            match frame {
                Ok(frame) => frames.push(frame.as_bytes()),
                Err(error) => return (frames, Some(error)),
            }
        }
        (frames, None)
    }

    #[test]
    fn frames_come_out_as_they_went_in_with_any_padding() {
        for padding in 0..5 {
            let bytes = datagram(&[&POSE, &VOICE, &POSE], padding);
            assert_eq!(read(&bytes), (vec![&POSE[..], &VOICE, &POSE], None));
        }
    }

    #[test]
    fn the_frames_before_a_fault_count() {
        let check = |tail: &[u8], error: DatagramError| {
            let bytes = [&datagram(&[&VOICE], 0), tail].concat();
            assert_eq!(read(&bytes), (vec![&VOICE[..]], Some(error)), "{tail:02x?}");
            let mut frames = upstream(&bytes).unwrap();
            assert_eq!(frames.by_ref().count(), 2);
            assert_eq!(frames.next(), None);
        };
        check(&[1], DatagramError::Truncated);
        check(&[0, 17, 0x10], DatagramError::Truncated);
        check(&[0xff; 100], DatagramError::Truncated);
        check(&[0, 0, 1], DatagramError::Padding);
        check(&datagram(&[&[0x80]], 0), DatagramError::Frame(HeaderError::Truncated.into()));
        check(&datagram(&[&[0x30; 17]], 0), DatagramError::Channel(Channel::Event));
        check(&datagram(&[&[0x40; 17]], 0), DatagramError::Channel(Channel::Screen));
    }

    #[test]
    fn a_datagram_without_a_frame_is_none() {
        for empty in [&[][..], &[0], &[0; 2], &[0; DATAGRAM_MAX]] {
            assert_eq!(read(empty), (vec![], Some(DatagramError::Empty)));
        }
        for short in 0..TICK_LEN {
            assert_eq!(downstream(&[1; TICK_LEN][..short]).unwrap_err(), DatagramError::Truncated);
        }
        let (tick, mut frames) = downstream(&[0, 0, 1, 2]).unwrap();
        assert_eq!((tick, frames.next(), frames.next()), (Tick(258), Some(Err(DatagramError::Empty)), None));
        assert_eq!(upstream(&[0; DATAGRAM_MAX + 1]).unwrap_err(), DatagramError::TooLong);
        assert_eq!(downstream(&[0; DATAGRAM_MAX + 1]).unwrap_err(), DatagramError::TooLong);
    }

    #[test]
    fn the_writer_keeps_its_budget() {
        let mut buffer = [0xff; 100];
        let budget = TICK_LEN + LENGTH_LEN + POSE.len() + LENGTH_LEN + VOICE.len();
        let mut writer = Writer::downstream(&mut buffer, budget, Tick(7)).unwrap();
        assert_eq!(writer.push(&[]), Err(DatagramError::Empty));
        writer.push(&POSE).unwrap();
        assert_eq!(writer.space(), VOICE.len());
        assert_eq!(writer.push(&[0x10; 19]), Err(DatagramError::Full));
        assert_eq!(writer.commit(writer.space() + 1), Err(DatagramError::Full));
        writer.spare().fill(0x20);
        writer.commit(VOICE.len()).unwrap();
        assert_eq!((writer.space(), writer.frames()), (0, 2));
        assert_eq!(writer.push(&[1]), Err(DatagramError::Full));
        writer.pad_to(1_000);
        let bytes = writer.finish().unwrap();
        assert_eq!(bytes, [&[0, 0, 0, 7][..], &datagram(&[&POSE, &VOICE], 0)].concat());

        for size in 0..TICK_LEN {
            assert!(Writer::downstream(&mut buffer[..size], 100, Tick(0)).is_err());
            assert!(Writer::downstream(&mut buffer, size, Tick(0)).is_err());
        }
        assert_eq!(Writer::upstream(&mut buffer, 100).finish(), Err(DatagramError::Empty));
        assert_eq!(Writer::upstream(&mut [0; 2_000], 2_000).space(), DATAGRAM_MAX - LENGTH_LEN);
    }

    #[test]
    fn padding_makes_one_size() {
        let mut buffer = [0xff; 100];
        let mut writer = Writer::upstream(&mut buffer, 100);
        writer.push(&POSE).unwrap();
        writer.pad_to(10);
        writer.pad_to(40);
        let bytes = writer.finish().unwrap();
        assert_eq!((bytes.len(), read(bytes)), (40, (vec![&POSE[..]], None)));
    }

    /// Well-formed to a point, then damaged: reaches deeper than random bytes.
    fn damaged() -> impl Strategy<Value = Vec<u8>> {
        let frame = prop_oneof![
            proptest::collection::vec(any::<u8>(), 1..60),
            (17_usize..200).prop_map(|length| vec![0x10; length]),
            (18_usize..200).prop_map(|length| vec![0x20; length]),
        ];
        (proptest::collection::vec(frame, 0..8), 0_usize..6, any::<proptest::sample::Index>(), any::<u8>()).prop_map(
            |(frames, padding, at, flip)| {
                let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
                let mut bytes = datagram(&frames, padding);
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] ^= flip & 0x81;
                }
                bytes
            },
        )
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..DATAGRAM_MAX + 8)) {
            exercise(&bytes);
        }

        #[test]
        fn damaged_datagrams_are_read_or_refused(bytes in damaged(), tick: u32) {
            exercise(&bytes);
            exercise(&[&tick.to_be_bytes()[..], &bytes].concat());
        }

        /// Every length there is, of one repeated byte: lengths, headers and padding in every position.
        #[test]
        fn every_length_is_read_or_refused(byte: u8) {
            for length in 0..=DATAGRAM_MAX {
                exercise(&vec![byte; length]);
            }
        }
    }
}
