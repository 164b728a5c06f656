// SPDX-License-Identifier: AGPL-3.0-or-later
//! Links that do one thing once: 256 random bits behind the `#` of an address, of which only the hash is stored.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};

use crate::values::secret::{Key256, SecretText};

/// How long a link holds.
pub const LINK_LIFE: Duration = Duration::from_secs(3_600);
/// How long it is remembered that there was one.
pub const REMEMBERED: Duration = Duration::from_secs(30 * 86_400);

/// What stands in a link.
pub struct LinkToken(Key256);

impl LinkToken {
    /// A fresh one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(Key256::random(rng))
    }

    /// What somebody brought, when it has the form of one.
    pub fn parse(text: &SecretText) -> Option<Self> {
        let bytes = zeroize::Zeroizing::new(URL_SAFE_NO_PAD.decode(text.expose()).ok()?);
        Key256::from_slice(&bytes).map(Self)
    }

    /// The text for the link.
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.expose())
    }

    /// What is stored of it.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.expose()).into()
    }
}

impl fmt::Debug for LinkToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::entropy;

    #[test]
    fn a_token_reads_back_and_nothing_else_is_one() {
        let token = LinkToken::random(&mut entropy::system());
        let read = LinkToken::parse(&SecretText::new(token.expose())).unwrap();
        assert_eq!(read.hash(), token.hash());
        assert!(!format!("{token:?}").contains(&token.expose()));
        for bad in ["", "short", &"A".repeat(44), &"=".repeat(43)] {
            assert!(LinkToken::parse(&SecretText::new(bad.to_owned())).is_none(), "{bad}");
        }
    }
}
