// SPDX-License-Identifier: AGPL-3.0-or-later
//! Opaque tokens: 256 random bits, of which only the hash is stored. Behind the `#` of a link that does one thing once, or
//! in the hands of a program.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};

use crate::values::secret::{Key256, SecretText};

/// One of them.
pub struct OpaqueToken(Key256);

impl OpaqueToken {
    /// A fresh one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(Key256::random(rng))
    }

    /// What somebody brought, when it has the form of one.
    pub fn parse(text: &SecretText) -> Option<Self> {
        let bytes = zeroize::Zeroizing::new(URL_SAFE_NO_PAD.decode(text.expose()).ok()?);
        Key256::from_slice(&bytes).map(Self)
    }

    /// The text to hand out.
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.expose())
    }

    /// What is stored of it.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.expose()).into()
    }
}

impl fmt::Debug for OpaqueToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::entropy;

    #[test]
    fn a_token_reads_back_and_nothing_else_is_one() {
        let token = OpaqueToken::random(&mut entropy::system());
        let read = OpaqueToken::parse(&SecretText::new(token.expose())).unwrap();
        assert_eq!(read.hash(), token.hash());
        assert!(!format!("{token:?}").contains(&token.expose()));
        for bad in ["", "short", &"A".repeat(44), &"=".repeat(43)] {
            assert!(OpaqueToken::parse(&SecretText::new(bad.to_owned())).is_none(), "{bad}");
        }
    }
}
