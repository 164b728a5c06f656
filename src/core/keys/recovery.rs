// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The recovery key pair: X25519, made where the kit is printed. The appliance has its public half alone, and seals to
//! it what a lost machine would take with it. HPKE (RFC 9180) mode base, X25519-HKDF-SHA256, HKDF-SHA256, AES-256-GCM;
//! `docs/files.md`, "Recovery", is the format.

use std::fmt;

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::core::keys::frame::Framed;
use crate::core::keys::sealing::SealedBox;
use crate::values::secret::Key256;

type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

/// Not a key, another key, another appliance, or changed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// The public key agrees with everybody.
    #[error("the recovery key is no key to seal to")]
    Key,
    /// It was sealed to another key or for another appliance, or it was changed.
    #[error("the box does not open with this recovery key")]
    Refused,
}

/// What is sealed. A box of one purpose never opens as one of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedFor {
    /// The master key, in `recovery.json`.
    MasterKey,
    /// Nothing that is kept: a try whether one can seal to a key at all.
    Trial,
}

impl SealedFor {
    const fn as_str(self) -> &'static str {
        match self {
            Self::MasterKey => "master-key",
            Self::Trial => "trial",
        }
    }
}

fn info(purpose: SealedFor, appliance: &str) -> Vec<u8> {
    let info = Framed::labelled("conclave-recovery-1").frame(purpose.as_str().as_bytes());
    info.fixed(appliance.as_bytes()).into_bytes()
}

/// The private half: 32 bytes, an X25519 private key (RFC 7748), printed as words.
pub struct RecoverySeed(Key256);

impl RecoverySeed {
    /// A fresh one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(Key256::random(rng))
    }

    /// The one with these bytes.
    pub const fn new(seed: Key256) -> Self {
        Self(seed)
    }

    /// The bytes themselves, to be printed once.
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    fn private(&self) -> Result<PrivateKey, RecoveryError> {
        PrivateKey::from_bytes(self.0.expose()).map_err(|_| RecoveryError::Key)
    }

    /// The public half.
    pub fn public(&self) -> Result<RecoveryPublicKey, RecoveryError> {
        Ok(RecoveryPublicKey(X25519HkdfSha256::sk_to_pk(&self.private()?).to_bytes().into()))
    }

    /// Opens what was sealed to its public half by this appliance.
    pub fn open(
        &self,
        purpose: SealedFor,
        appliance: &str,
        sealed: &SealedBox,
    ) -> Result<Zeroizing<Vec<u8>>, RecoveryError> {
        let encapped = EncappedKey::from_bytes(&sealed.encapsulated_key).map_err(|_| RecoveryError::Refused)?;
        let mut context = hpke::setup_receiver::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.private()?,
            &encapped,
            &info(purpose, appliance),
        )
        .map_err(|_| RecoveryError::Refused)?;
        context.open(&sealed.ciphertext, b"").map(Zeroizing::new).map_err(|_| RecoveryError::Refused)
    }
}

impl fmt::Debug for RecoverySeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoverySeed(…)")
    }
}

/// The public half: what the appliance keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryPublicKey([u8; 32]);

impl RecoveryPublicKey {
    /// The key with these bytes. Whether one can seal to it is known when one does.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn to_bytes(&self) -> [u8; 32] {
        self.0
    }

    /// Seals what only the kit shall open, for this appliance.
    pub fn seal(
        &self,
        purpose: SealedFor,
        appliance: &str,
        plain: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<SealedBox, RecoveryError> {
        let public = PublicKey::from_bytes(&self.0).map_err(|_| RecoveryError::Key)?;
        let (encapped, mut context) = hpke::setup_sender_with_rng::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            &info(purpose, appliance),
            rng,
        )
        .map_err(|_| RecoveryError::Key)?;
        let ciphertext = context.seal(plain, b"").map_err(|_| RecoveryError::Key)?;
        Ok(SealedBox { encapsulated_key: encapped.to_bytes().to_vec(), ciphertext })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::entropy;

    #[test]
    fn only_the_kit_of_this_appliance_opens_what_was_sealed_to_it() {
        let mut rng = entropy::system();
        let seed = RecoverySeed::random(&mut rng);
        let purpose = SealedFor::MasterKey;
        let sealed = seed.public().unwrap().seal(purpose, "aa", b"the master key", &mut rng).unwrap();
        assert_eq!(&**seed.open(purpose, "aa", &sealed).unwrap(), b"the master key");
        assert_eq!(seed.open(purpose, "ab", &sealed).unwrap_err(), RecoveryError::Refused);
        assert_eq!(seed.open(SealedFor::Trial, "aa", &sealed).unwrap_err(), RecoveryError::Refused);
        assert!(RecoverySeed::random(&mut rng).open(purpose, "aa", &sealed).is_err());
        for bit in 0..sealed.ciphertext.len() * 8 {
            let mut changed = sealed.clone();
            changed.ciphertext[bit / 8] ^= 1 << (bit % 8);
            assert!(seed.open(purpose, "aa", &changed).is_err());
        }
    }

    #[test]
    fn a_key_that_agrees_with_everybody_is_refused() {
        let sealed = RecoveryPublicKey::new([0; 32]).seal(SealedFor::Trial, "aa", b"x", &mut entropy::system());
        assert_eq!(sealed.unwrap_err(), RecoveryError::Key);
    }

    /// As OpenSSL makes it of the same bytes: the seed is the private key itself.
    #[test]
    fn any_x25519_finds_the_public_half() {
        let seed = RecoverySeed::new(Key256::new(std::array::from_fn(|index| u8::try_from(index).unwrap())));
        let public = hex::encode(seed.public().unwrap().to_bytes());
        assert_eq!(public, "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f");
    }
}
