// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One media frame: `SFrame ciphertext ‖ clear fields`, sealed by a participant for the others.
//!
//! The key id in the SFrame header says the channel, and the channel says how many bytes of clear fields end the
//! frame. The relay reads key id, counter and clear fields; receivers also find them authenticated, together with the
//! meeting: a frame of one meeting opens in no other one.

use crate::values::id::MeetingId;
use crate::wire::header::{Header, HeaderError};
use crate::wire::kid::{Channel, Kid, KidError};
use crate::wire::sframe::{COUNTER_LIMIT, OpeningKey, SealingKey, SframeError, TAG_LEN};

/// Bytes of metadata at most: meeting id, channel, clear fields.
const METADATA_MAX: usize = 16 + 1 + 1;

/// Why bytes are not a frame, or a frame was not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The SFrame header cannot be read.
    #[error("the SFrame header cannot be read")]
    Header(#[from] HeaderError),
    /// The key id names no channel, or no epoch.
    #[error("the key id cannot be read")]
    Kid(#[from] KidError),
    /// The counter is 2^32 or more.
    #[error("the counter is larger than 32 bits")]
    Counter,
    /// No room for the tag and the clear fields.
    #[error("the bytes end before the frame does")]
    Truncated,
    /// The audio level has its high bit set.
    #[error("an audio level is at most 127")]
    Level,
    /// Clear fields of another channel.
    #[error("the clear fields are not those of the channel")]
    ClearFields,
    /// Not sealed, or not opened.
    #[error("the frame was not sealed or not opened")]
    Sframe(#[from] SframeError),
}

/// How loud a voice is, in −dBov: 0 is the loudest, 127 is silence (RFC 6464 §3, without its flag).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AudioLevel(u8);

impl AudioLevel {
    /// No sound.
    pub const SILENCE: Self = Self(127);

    /// The level, 0 to 127.
    pub const fn negative_dbov(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for AudioLevel {
    type Error = FrameError;

    fn try_from(level: u8) -> Result<Self, FrameError> {
        if level > Self::SILENCE.0 { Err(FrameError::Level) } else { Ok(Self(level)) }
    }
}

/// What the relay may read of a frame, besides its header. For the relay it is what the sender claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clear {
    /// Nothing: pose, event, screen.
    Nothing,
    /// The level of a voice, one byte.
    Level(AudioLevel),
}

impl Clear {
    /// Bytes of the clear fields of `channel`.
    const fn len(channel: Channel) -> usize {
        match channel {
            Channel::Voice => 1,
            Channel::Pose | Channel::Event | Channel::Screen => 0,
        }
    }

    fn decode(channel: Channel, bytes: &[u8]) -> Result<Self, FrameError> {
        match (channel, bytes) {
            (Channel::Voice, [level]) => Ok(Self::Level(AudioLevel::try_from(*level)?)),
            (Channel::Pose | Channel::Event | Channel::Screen, []) => Ok(Self::Nothing),
            _ => Err(FrameError::ClearFields),
        }
    }

    fn byte(self) -> Option<u8> {
        match self {
            Self::Nothing => None,
            Self::Level(level) => Some(level.0),
        }
    }

    fn belongs_to(self, channel: Channel) -> bool {
        Self::len(channel) == usize::from(self.byte().is_some())
    }
}

/// A frame as it lies in the bytes that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    kid: Kid,
    counter: u64,
    clear: Clear,
    sealed: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame that takes all of `bytes`.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (header, body) = Header::decode(bytes)?;
        let kid = Kid::try_from(header.kid)?;
        if header.counter >= COUNTER_LIMIT {
            return Err(FrameError::Counter);
        }
        let clear_len = Clear::len(kid.channel);
        if body.len() < TAG_LEN + clear_len {
            return Err(FrameError::Truncated);
        }
        let (sealed, clear) = bytes.split_at_checked(bytes.len() - clear_len).ok_or(FrameError::Truncated)?;
        Ok(Self { kid, counter: header.counter, clear: Clear::decode(kid.channel, clear)?, sealed, bytes })
    }

    /// Whose frame it says it is.
    pub const fn kid(&self) -> Kid {
        self.kid
    }

    /// The counter, below 2^32: what the replay rules look at.
    pub const fn counter(&self) -> u64 {
        self.counter
    }

    /// The clear fields.
    pub const fn clear(&self) -> Clear {
        self.clear
    }

    /// The whole frame, as it is handed on.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Seals what one participant sends on one channel in one epoch.
#[derive(Debug)]
pub struct FrameSealer {
    meeting: MeetingId,
    kid: Kid,
    key: SealingKey,
}

impl FrameSealer {
    /// Derives the key from the secret of the epoch. Make one for each key id, once: a second one would count from
    /// zero again.
    pub fn derive(epoch_secret: &[u8], meeting: MeetingId, kid: Kid) -> Result<Self, FrameError> {
        Ok(Self { meeting, kid, key: SealingKey::derive(epoch_secret, kid.into())? })
    }

    /// Writes a frame to the start of `out` and says how many bytes it takes: at most
    /// [`OVERHEAD_MAX`](super::sframe::OVERHEAD_MAX) more than `plain`, and the clear fields.
    pub fn seal(&mut self, clear: Clear, plain: &[u8], out: &mut [u8]) -> Result<usize, FrameError> {
        let metadata = Metadata::new(self.meeting, self.kid.channel, clear)?;
        let clear = clear.byte();
        // The last bytes are kept free for the clear fields, so a buffer too small is seen before a counter is used.
        let room = out.len().checked_sub(usize::from(clear.is_some())).ok_or(SframeError::Buffer)?;
        let (sealed, _) = out.split_at_mut_checked(room).ok_or(SframeError::Buffer)?;
        let written = self.key.seal(metadata.as_bytes(), plain, sealed)?;
        let Some(byte) = clear else { return Ok(written) };
        *out.get_mut(written).ok_or(SframeError::Buffer)? = byte;
        Ok(written + 1)
    }
}

/// Opens what one participant sends on one channel in one epoch.
#[derive(Debug)]
pub struct FrameOpener {
    meeting: MeetingId,
    kid: Kid,
    key: OpeningKey,
}

impl FrameOpener {
    /// Derives the key from the secret of the epoch.
    pub fn derive(epoch_secret: &[u8], meeting: MeetingId, kid: Kid) -> Result<Self, FrameError> {
        Ok(Self { meeting, kid, key: OpeningKey::derive(epoch_secret, kid.into())? })
    }

    /// Opens a frame into the start of `out` and gives the plaintext. What opens is authentic, with its clear fields;
    /// whether it was seen before is for the replay rules.
    pub fn open<'o>(&self, frame: &Frame<'_>, out: &'o mut [u8]) -> Result<&'o [u8], FrameError> {
        let metadata = Metadata::new(self.meeting, self.kid.channel, frame.clear)?;
        Ok(self.key.open(frame.sealed, metadata.as_bytes(), out)?)
    }
}

/// What a frame is bound to besides its header: `meeting id (16) ‖ channel (1) ‖ clear fields`.
pub(super) struct Metadata {
    bytes: [u8; METADATA_MAX],
    len: usize,
}

impl Metadata {
    pub(super) fn new(meeting: MeetingId, channel: Channel, clear: Clear) -> Result<Self, FrameError> {
        if !clear.belongs_to(channel) {
            return Err(FrameError::ClearFields);
        }
        let (channel, clear) = ([channel.number()], clear.byte());
        let mut metadata = Self { bytes: [0; METADATA_MAX], len: 0 };
        let parts = meeting.as_bytes().iter().chain(&channel).chain(&clear);
        for (place, byte) in metadata.bytes.iter_mut().zip(parts) {
            *place = *byte;
            metadata.len += 1;
        }
        Ok(metadata)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// For fuzzing: decodes `bytes`, and panics when what was read has another spelling or opens under a key that sealed
/// nothing.
pub fn exercise(bytes: &[u8]) {
    let meeting = MeetingId::from_bytes([0x5a; 16]);
    if let Ok(frame) = Frame::decode(bytes) {
        let header = Header { kid: frame.kid.into(), counter: frame.counter }.encode();
        let clear = frame.clear.byte();
        assert!(bytes.starts_with(header.as_bytes()) && bytes.ends_with(clear.as_slice()));
        assert!(bytes.len() >= header.as_bytes().len() + TAG_LEN + usize::from(clear.is_some()));
        assert_eq!(frame.as_bytes(), bytes);
        if let Ok(opener) = FrameOpener::derive(&[0x5a; 32], meeting, frame.kid) {
            assert!(opener.open(&frame, &mut [0; 64]).is_err());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::kid::{Epoch, Participant};

    const MEETING: MeetingId = MeetingId::from_bytes([1; 16]);
    const SECRET: &[u8] = &[7; 32];
    const LEVEL: Clear = Clear::Level(AudioLevel(42));

    fn kid(channel: Channel) -> Kid {
        Kid { epoch: Epoch(3), participant: Participant(500), channel }
    }

    fn clear(channel: Channel) -> Clear {
        if channel == Channel::Voice { LEVEL } else { Clear::Nothing }
    }

    fn sealed(channel: Channel, plain: &[u8]) -> Vec<u8> {
        let mut out = vec![0; plain.len() + 64];
        let mut sealer = FrameSealer::derive(SECRET, MEETING, kid(channel)).unwrap();
        let written = sealer.seal(clear(channel), plain, &mut out).unwrap();
        out.truncate(written);
        out
    }

    #[test]
    fn a_frame_of_every_channel_reads_and_opens() {
        for channel in Channel::ALL {
            let bytes = sealed(channel, b"something");
            let frame = Frame::decode(&bytes).unwrap();
            assert_eq!((frame.kid(), frame.counter(), frame.clear()), (kid(channel), 0, clear(channel)));
            let opener = FrameOpener::derive(SECRET, MEETING, kid(channel)).unwrap();
            assert_eq!(opener.open(&frame, &mut [0; 64]), Ok(&b"something"[..]));
        }
    }

    #[test]
    fn one_flipped_bit_anywhere_is_refused_also_in_the_level() {
        for channel in Channel::ALL {
            let bytes = sealed(channel, b"something");
            let opener = FrameOpener::derive(SECRET, MEETING, kid(channel)).unwrap();
            let opens =
                |bytes: &[u8]| Frame::decode(bytes).and_then(|frame| opener.open(&frame, &mut [0; 64]).map(drop));
            assert_eq!(opens(&bytes), Ok(()));
            for bit in 0..bytes.len() * 8 {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert!(opens(&changed).is_err(), "{channel:?}, bit {bit}");
            }
        }
    }

    #[test]
    fn another_meeting_channel_sender_or_epoch_opens_nothing() {
        let bytes = sealed(Channel::Pose, b"something");
        let frame = Frame::decode(&bytes).unwrap();
        let opens =
            |meeting, kid| FrameOpener::derive(SECRET, meeting, kid).unwrap().open(&frame, &mut [0; 64]).map(drop);
        let own = kid(Channel::Pose);
        assert_eq!(opens(MEETING, own), Ok(()));
        let other_key = Err(FrameError::Sframe(SframeError::OtherKey));
        assert_eq!(opens(MeetingId::from_bytes([2; 16]), own), Err(FrameError::Sframe(SframeError::Refused)));
        assert_eq!(opens(MEETING, kid(Channel::Event)), other_key);
        assert_eq!(opens(MEETING, Kid { participant: Participant(501), ..own }), other_key);
        assert_eq!(opens(MEETING, Kid { epoch: Epoch(4), ..own }), other_key);
    }

    #[test]
    fn clear_fields_are_those_of_the_channel() {
        let mut pose = FrameSealer::derive(SECRET, MEETING, kid(Channel::Pose)).unwrap();
        let mut voice = FrameSealer::derive(SECRET, MEETING, kid(Channel::Voice)).unwrap();
        assert_eq!(pose.seal(LEVEL, b"", &mut [0; 64]), Err(FrameError::ClearFields));
        assert_eq!(voice.seal(Clear::Nothing, b"", &mut [0; 64]), Err(FrameError::ClearFields));
        assert_eq!(AudioLevel::try_from(128), Err(FrameError::Level));
    }

    #[test]
    fn a_buffer_without_room_for_the_level_uses_no_counter() {
        let length = sealed(Channel::Voice, b"opus").len();
        let mut voice = FrameSealer::derive(SECRET, MEETING, kid(Channel::Voice)).unwrap();
        for short in 0..length {
            assert_eq!(voice.seal(LEVEL, b"opus", &mut vec![0; short]), Err(SframeError::Buffer.into()));
        }
        assert_eq!(voice.seal(LEVEL, b"opus", &mut vec![0; length]), Ok(length));
        assert_eq!(voice.key.next_counter(), 1);
    }

    #[test]
    fn what_is_no_frame_says_why() {
        let check = |bytes: &[u8], error: FrameError| assert_eq!(Frame::decode(bytes), Err(error), "{bytes:02x?}");
        check(&[], FrameError::Header(HeaderError::Truncated));
        check(&[0x07; 40], FrameError::Kid(KidError::Channel(0)));
        // Key id 0x1 (pose), counter 2^32.
        check(&[&[0x1c, 1, 0, 0, 0, 0][..], &[0; 16]].concat(), FrameError::Counter);
        // Pose without a whole tag; voice without its level; voice with a level of 128.
        check(&[0x10; 16], FrameError::Truncated);
        check(&[0x20; 17], FrameError::Truncated);
        check(&[&[0x20; 17][..], &[0x80]].concat(), FrameError::Level);
        assert!(Frame::decode(&[0x10; 17]).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            exercise(&bytes);
        }
    }
}
