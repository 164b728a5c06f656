// SPDX-License-Identifier: AGPL-3.0-or-later
//! Private keys on their way to and from storage, and fingerprints.
//!
//! A key is wiped when dropped and never printed. The one copy out of reach is the one `rcgen` makes inside its
//! [`KeyPair`]. Knows nothing of what a key signs.

use std::fmt;

use rcgen::KeyPair;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A private key as PKCS#8 DER (RFC 5958), to be stored sealed.
#[derive(Clone)]
pub struct KeyPkcs8(Zeroizing<Vec<u8>>);

impl KeyPkcs8 {
    /// Takes over bytes that are already secret.
    pub fn new(der: Vec<u8>) -> Self {
        Self(Zeroizing::new(der))
    }

    /// The DER bytes. The name is long so that a reviewer sees it.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The private half of a fresh key pair.
    pub(super) fn of(pair: &KeyPair) -> Self {
        Self::new(pair.serialize_der())
    }

    /// As `rcgen` and `rustls` take it: a borrow, so that no copy outlives the call.
    pub(super) fn as_private_key(&self) -> PrivateKeyDer<'_> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.expose()))
    }
}

impl fmt::Debug for KeyPkcs8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPkcs8(…)")
    }
}

/// SHA-256 of a certificate's DER: what people compare, and what `serverCertificateHashes` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of these DER bytes.
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    /// `AB:CD:…`, as browsers and `openssl x509 -fingerprint -sha256` show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02X}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_key() {
        assert_eq!(format!("{:?}", KeyPkcs8::new(vec![0x5a; 64])), "KeyPkcs8(…)");
    }

    #[test]
    fn a_fingerprint_reads_as_browsers_show_it() {
        let text = Fingerprint::of(b"").to_string();
        assert!(text.starts_with("E3:B0:C4:42:98:FC") && text.len() == 95, "{text}");
    }
}
