// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an SFrame key id says: `epoch · 2^20 + participant · 2^4 + channel`.
//!
//! So every epoch, sender and channel has its own key, its own counter and its own replay rule. An epoch is 32 bits,
//! so a key id is below 2^52 and exact as a number in JavaScript (which ends at 2^53).

use std::fmt;

/// Bits of the channel.
const CHANNEL_BITS: u32 = 4;
/// Bits of channel and participant together.
const EPOCH_SHIFT: u32 = 20;

/// Why a number is not a key id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KidError {
    /// The channel is none that there is.
    #[error("there is no channel {0:#x}")]
    Channel(u8),
    /// The number is 2^52 or more.
    #[error("the epoch is larger than 32 bits")]
    Epoch,
}

/// The number of an epoch, counted up within a meeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u32);

/// The number of a participant in a meeting. It counts up and is never reused inside two epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Participant(pub u16);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a frame carries. The numbers are those of the protocol; zero is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Channel {
    /// Where a head and hands are: datagrams, the latest one wins.
    Pose = 0x1,
    /// Speech: datagrams.
    Voice = 0x2,
    /// What happened: an ordered stream.
    Event = 0x3,
    /// A shared screen: a stream for each group of pictures.
    Screen = 0x4,
}

impl Channel {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Pose, Self::Voice, Self::Event, Self::Screen];

    /// Its number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name in facts and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pose => "pose",
            Self::Voice => "voice",
            Self::Event => "event",
            Self::Screen => "screen",
        }
    }
}

impl TryFrom<u8> for Channel {
    type Error = KidError;

    fn try_from(number: u8) -> Result<Self, KidError> {
        Self::ALL.into_iter().find(|channel| channel.number() == number).ok_or(KidError::Channel(number))
    }
}

/// Which key seals a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kid {
    /// When: the epoch whose secret the key derives from.
    pub epoch: Epoch,
    /// Who: the sender.
    pub participant: Participant,
    /// What: the channel.
    pub channel: Channel,
}

impl From<Kid> for u64 {
    fn from(kid: Kid) -> Self {
        Self::from(kid.epoch.0) << EPOCH_SHIFT
            | Self::from(kid.participant.0) << CHANNEL_BITS
            | Self::from(kid.channel.number())
    }
}

impl TryFrom<u64> for Kid {
    type Error = KidError;

    fn try_from(number: u64) -> Result<Self, KidError> {
        let epoch = u32::try_from(number >> EPOCH_SHIFT).map_err(|_| KidError::Epoch)?;
        let [.., high, middle, low] = number.to_be_bytes();
        // The 20 bits below the epoch: 4 in `high`, 8 in `middle`, 4 in `low`, then the channel.
        let participant = u16::from(high & 0xf) << 12 | u16::from(middle) << 4 | u16::from(low) >> CHANNEL_BITS;
        let channel = Channel::try_from(low & 0xf)?;
        Ok(Self { epoch: Epoch(epoch), participant: Participant(participant), channel })
    }
}

/// For fuzzing: reads the first 8 bytes as a key id, and panics when what was read has another spelling.
pub fn exercise(bytes: &[u8]) {
    if let Some(number) = bytes.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
        && let Ok(kid) = Kid::try_from(number)
    {
        assert_eq!(u64::from(kid), number);
        assert!(number < 1 << 52);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kid(epoch: u32, participant: u16, channel: Channel) -> Kid {
        Kid { epoch: Epoch(epoch), participant: Participant(participant), channel }
    }

    #[test]
    fn the_parts_have_their_places() {
        let check = |parts: Kid, number: u64| {
            assert_eq!(u64::from(parts), number);
            assert_eq!(Kid::try_from(number), Ok(parts));
        };
        check(kid(0, 0, Channel::Pose), 0x1);
        check(kid(1, 2, Channel::Voice), (1 << 20) + (2 << 4) + 2);
        check(kid(0xffff_ffff, 0xffff, Channel::Screen), 0xf_ffff_ffff_fff4);
        assert_eq!(Kid::try_from(1 << 52 | 1), Err(KidError::Epoch));
        for number in [0x0, 0x5, 0xf] {
            assert_eq!(Kid::try_from(u64::from(number)), Err(KidError::Channel(number)));
        }
    }

    proptest! {
        #[test]
        fn any_number_is_read_or_refused(number: u64, shift in 0_u32..64) {
            let number: u64 = number >> shift;
            exercise(&number.to_be_bytes());
        }

        #[test]
        fn any_key_id_reads_back(epoch: u32, participant: u16, channel in 0_usize..4) {
            let kid = kid(epoch, participant, Channel::ALL[channel]);
            prop_assert_eq!(Kid::try_from(u64::from(kid)), Ok(kid));
            prop_assert_eq!(
                u64::from(kid),
                u64::from(epoch) * (1 << 20) + u64::from(participant) * (1 << 4) + u64::from(kid.channel.number())
            );
        }
    }
}
