// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The appliance's identity: an Ed25519 key (RFC 8032) made at first start, not a CA key.
//!
//! It signs the sign-in sealing key, audit heads and the anchor. Whoever knows its public half can check them all.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::values::secret::Key256;

/// A signature did not hold, or the key was no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not by this appliance's identity key")]
pub struct SignatureError;

/// The private half.
pub struct Identity(SigningKey);

impl Identity {
    /// The identity with this seed.
    pub fn from_seed(seed: &Key256) -> Self {
        Self(SigningKey::from_bytes(&Zeroizing::new(*seed.expose())))
    }

    /// The public half.
    pub fn public(&self) -> PublicIdentity {
        PublicIdentity(self.0.verifying_key())
    }

    /// Signs bytes that begin with a label of their own (`Framed::labelled`).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.public().appliance_id())
    }
}

/// The public half of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicIdentity(VerifyingKey);

impl PublicIdentity {
    /// Reads the 32 bytes of a public key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SignatureError> {
        let bytes = bytes.try_into().map_err(|_| SignatureError)?;
        VerifyingKey::from_bytes(bytes).map(Self).map_err(|_| SignatureError)
    }

    /// The 32 bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The appliance id: the first 16 bytes of SHA-256 of the public key, in hex.
    pub fn appliance_id(self) -> String {
        let digest = Sha256::digest(self.0.as_bytes());
        hex::encode(digest.get(..16).unwrap_or_default())
    }

    /// Checks a signature strictly (no malleable forms).
    pub fn verify(self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let signature = Signature::from_slice(signature).map_err(|_| SignatureError)?;
        self.0.verify_strict(message, &signature).map_err(|_| SignatureError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_signed_message_verifies() {
        let identity = Identity::from_seed(&Key256::new([3; 32]));
        let signature = identity.sign(b"head");
        let public = PublicIdentity::from_bytes(&identity.public().to_bytes()).unwrap();
        assert_eq!(public.verify(b"head", &signature), Ok(()));
        assert!(public.verify(b"tail", &signature).is_err());
        assert!(public.verify(b"head", &signature[..63]).is_err());
        assert!(Identity::from_seed(&Key256::new([4; 32])).public().verify(b"head", &signature).is_err());
    }
}
