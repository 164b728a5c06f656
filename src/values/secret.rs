// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Secrets as types: wiped when dropped, never printed, compared in constant time.

use std::fmt;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// `N` secret bytes.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes<const N: usize>([u8; N]);

/// A 256-bit symmetric key.
pub type Key256 = SecretBytes<32>;

/// A 512-bit symmetric key, for HMAC-SHA-512.
pub type Key512 = SecretBytes<64>;

impl<const N: usize> SecretBytes<N> {
    /// Takes over bytes that are already secret.
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// Fresh random bytes.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; N];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The same bytes, when there are exactly `N`.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes themselves. The name is long so that a reviewer sees it.
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> PartialEq for SecretBytes<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl<const N: usize> Eq for SecretBytes<N> {}

impl<const N: usize> fmt::Debug for SecretBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes<{N}>(…)")
    }
}

/// Secret text, such as a password somebody typed.
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes over text that is already secret.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

impl<'de> serde::Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_secret() {
        let key = Key256::new([0x5a; 32]);
        let text = SecretText::new("hunter2".to_owned());
        let shown = format!("{key:?} {text:?}");
        assert!(!shown.contains("5a") && !shown.contains("90") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_slice_of_another_length_is_no_key() {
        assert!(Key256::from_slice(&[0; 31]).is_none());
        assert_eq!(Key256::from_slice(&[7; 32]), Some(Key256::new([7; 32])));
    }
}
