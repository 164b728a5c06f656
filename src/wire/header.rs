// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The SFrame header (RFC 9605 §4.3): a configuration byte, then the key id and the counter as far as they do not fit
//! into it.
//!
//! Only the shortest form is read, so a header has one spelling. What a key id means is [`kid`](super::kid)'s business.

/// Longest header, in bytes: the configuration byte and two integers of 8 bytes.
pub const HEADER_MAX: usize = 17;

/// Largest value that the configuration byte itself holds, in three bits.
const INLINE_MAX: u64 = 7;
/// Set in a half of the configuration byte when that half holds a length (minus one), not a value.
const EXTENDED: u8 = 0x8;

/// Why bytes are not an SFrame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The bytes end inside the header.
    #[error("the bytes end inside the SFrame header")]
    Truncated,
    /// An integer takes more bytes than it needs.
    #[error("an integer of the SFrame header is not in its shortest form")]
    NotShortest,
}

/// The two fields of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// Key id (KID): names the key.
    pub kid: u64,
    /// Counter (CTR): never the same twice under one key.
    pub counter: u64,
}

impl Header {
    /// Reads a header and gives what follows it.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), HeaderError> {
        let (config, rest) = bytes.split_first().ok_or(HeaderError::Truncated)?;
        let (kid, rest) = decode_field(config >> 4, rest)?;
        let (counter, rest) = decode_field(config & 0xf, rest)?;
        Ok((Self { kid, counter }, rest))
    }

    /// The header as bytes.
    pub fn encode(self) -> EncodedHeader {
        let (kid, counter) = (self.kid.to_be_bytes(), self.counter.to_be_bytes());
        let (kid, counter) = (Field::of(self.kid, &kid), Field::of(self.counter, &counter));
        let config = [kid.half << 4 | counter.half];
        let mut encoded = EncodedHeader { bytes: [0; HEADER_MAX], len: 0 };
        let parts = config.iter().chain(kid.extension).chain(counter.extension);
        for (place, byte) in encoded.bytes.iter_mut().zip(parts) {
            *place = *byte;
            encoded.len += 1;
        }
        encoded
    }
}

/// The bytes of a header.
#[derive(Debug, Clone, Copy)]
pub struct EncodedHeader {
    bytes: [u8; HEADER_MAX],
    len: usize,
}

impl EncodedHeader {
    /// The bytes, 1 to [`HEADER_MAX`].
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// One integer: its half of the configuration byte, and the bytes that follow it.
struct Field<'a> {
    half: u8,
    extension: &'a [u8],
}

impl<'a> Field<'a> {
    fn of(value: u64, big_endian: &'a [u8; 8]) -> Self {
        if value <= INLINE_MAX {
            let [.., half] = *big_endian;
            return Self { half, extension: &[] };
        }
        let mut extension = big_endian.as_slice();
        let mut length_minus_one = 7;
        while let [0, shorter @ ..] = extension {
            extension = shorter;
            length_minus_one -= 1;
        }
        Self { half: EXTENDED | length_minus_one, extension }
    }
}

fn decode_field(half: u8, rest: &[u8]) -> Result<(u64, &[u8]), HeaderError> {
    let low = half & 0x7;
    if half & EXTENDED == 0 {
        return Ok((u64::from(low), rest));
    }
    let (bytes, rest) = rest.split_at_checked(usize::from(low) + 1).ok_or(HeaderError::Truncated)?;
    let value = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    if value <= INLINE_MAX || bytes.first() == Some(&0) {
        return Err(HeaderError::NotShortest);
    }
    Ok((value, rest))
}

/// For fuzzing: decodes `bytes`, and panics when what was read has another spelling.
pub fn exercise(bytes: &[u8]) {
    if let Ok((header, rest)) = Header::decode(bytes) {
        assert_eq!([header.encode().as_bytes(), rest].concat(), bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_header_vector_of_the_rfc_encodes_and_decodes() {
        let vectors = super::super::vectors::rfc9605();
        let headers = vectors["header"].as_array().unwrap();
        assert_eq!(headers.len(), 289);
        for vector in headers {
            let header = Header { kid: vector[0].as_u64().unwrap(), counter: vector[1].as_u64().unwrap() };
            let bytes = hex::decode(vector[2].as_str().unwrap()).unwrap();
            assert_eq!(header.encode().as_bytes(), bytes, "{header:?}");
            assert_eq!(Header::decode(&bytes), Ok((header, &[][..])), "{header:?}");
            for end in 0..bytes.len() {
                assert_eq!(Header::decode(&bytes[..end]), Err(HeaderError::Truncated), "{header:?}");
            }
        }
    }

    #[test]
    fn a_longer_form_is_refused() {
        for longer in [&[0x80, 7][..], &[0x90, 0, 8], &[0x08, 0], &[0x09, 0, 0xff], &[0xf0, 0, 0, 0, 0, 0, 0, 0, 9]] {
            assert_eq!(Header::decode(longer), Err(HeaderError::NotShortest), "{longer:02x?}");
        }
        assert_eq!(Header::decode(&[0x80, 8]), Ok((Header { kid: 8, counter: 0 }, &[][..])));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            exercise(&bytes);
        }

        #[test]
        fn any_header_reads_back(kid: u64, counter: u64, kid_bits in 0_u32..64, counter_bits in 0_u32..64) {
            let header = Header { kid: kid >> kid_bits, counter: counter >> counter_bits };
            let encoded = header.encode();
            prop_assert_eq!(Header::decode(encoded.as_bytes()), Ok((header, &[][..])));
        }
    }
}
