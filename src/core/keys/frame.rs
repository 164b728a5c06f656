// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Length framing: the one way in which several values become one unambiguous byte string.

/// A byte string under construction, begun with a label that says what it is for.
#[derive(Debug, Clone)]
pub struct Framed(Vec<u8>);

impl Framed {
    /// Begins with `label ‖ 0x00`, so that strings made for different uses never meet.
    pub fn labelled(label: &str) -> Self {
        let mut bytes = label.as_bytes().to_vec();
        bytes.push(0);
        Self(bytes)
    }

    /// Begins empty.
    pub const fn bare() -> Self {
        Self(Vec::new())
    }

    /// Appends bytes of a length that is fixed by the format.
    pub fn fixed(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends `u32(length) ‖ bytes`. Longer than 4 GiB cannot be framed; such input is cut off long before.
    pub fn frame(mut self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    /// The finished string.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Splits the first frame off `bytes`: its content and what follows it.
pub fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_split_as_they_were_written() {
        let bytes = Framed::bare().frame(b"ab").frame(b"").frame(b"c").into_bytes();
        let (first, rest) = split_frame(&bytes).unwrap();
        let (second, rest) = split_frame(rest).unwrap();
        let (third, rest) = split_frame(rest).unwrap();
        assert_eq!((first, second, third, rest), (&b"ab"[..], &b""[..], &b"c"[..], &b""[..]));
        assert_eq!(split_frame(&[0, 0, 0, 9, 1]), None);
        assert_eq!(split_frame(&[0, 0]), None);
    }
}
