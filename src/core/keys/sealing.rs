// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sealed credentials: HPKE (RFC 9180) mode base, X25519-HKDF-SHA256, HKDF-SHA256, AES-256-GCM.
//!
//! A credential is sealed in the browser or client to a short-lived key that the identity key signed, bound to
//! the origin the person typed and to a one-time challenge. `docs/sign-in.md` §2 is the format.

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::core::keys::frame::Framed;
use crate::core::keys::identity::{Identity, PublicIdentity, SignatureError};
use crate::values::id::SealingKeyId;
use crate::values::secret::Key256;
use crate::values::time::Timestamp;

type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

/// The box does not open: another key, origin or challenge, or changed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed credential does not open")]
pub struct SealingError;

/// What a credential is bound to besides the key.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// Scheme, host and port the person typed, such as `https://meet.example.lan:8443`.
    pub origin: &'a str,
    /// Which sealing key.
    pub key_id: SealingKeyId,
    /// The decoded one-time challenge.
    pub challenge: &'a [u8],
}

impl Binding<'_> {
    fn info(&self) -> Vec<u8> {
        Framed::labelled("conclave-sign-in-1")
            .frame(self.origin.as_bytes())
            .fixed(self.key_id.as_bytes())
            .frame(self.challenge)
            .into_bytes()
    }
}

/// A credential in its box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedBox {
    /// The encapsulated key, 32 bytes.
    pub encapsulated_key: Vec<u8>,
    /// Ciphertext and tag.
    pub ciphertext: Vec<u8>,
}

/// What a sign-in leaves behind on both sides: a secret that only the device that sealed and the appliance have
/// (RFC 9180 §5.3). Boxes of meeting keys are bound to it.
const EXPORT_LABEL: &[u8] = b"conclave-session-psk-1";

/// An opened box.
pub struct Opened {
    /// What was sealed.
    pub plain: Zeroizing<Vec<u8>>,
    /// The secret that both sides have now.
    pub exported: Key256,
}

/// A key pair that credentials are sealed to. It lives in memory only, so a box recorded today is closed for good
/// once the appliance restarts or the key expires.
pub struct SealingKey {
    id: SealingKeyId,
    not_after: Timestamp,
    private: PrivateKey,
    public: PublicKey,
}

impl SealingKey {
    /// A fresh key pair that serves until `not_after`.
    pub fn generate(not_after: Timestamp, rng: &mut impl CryptoRng) -> Self {
        let (private, public) = X25519HkdfSha256::gen_keypair_with_rng(rng);
        Self { id: SealingKeyId::random(rng), not_after, private, public }
    }

    /// Its id.
    pub const fn id(&self) -> SealingKeyId {
        self.id
    }

    /// What the appliance publishes, signed.
    pub fn announce(&self, identity: &Identity) -> AnnouncedKey {
        let public_key = self.public.to_bytes().into();
        let signature = identity.sign(&announcement(self.id, &public_key, self.not_after));
        AnnouncedKey { id: self.id, public_key, not_after: self.not_after, signature }
    }

    /// Opens a box that was sealed to this key under exactly this binding.
    pub fn open(&self, binding: Binding<'_>, sealed: &SealedBox) -> Result<Opened, SealingError> {
        let encapped = EncappedKey::from_bytes(&sealed.encapsulated_key).map_err(|_| SealingError)?;
        let mut context = hpke::setup_receiver::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.private,
            &encapped,
            &binding.info(),
        )
        .map_err(|_| SealingError)?;
        let plain = context.open(&sealed.ciphertext, b"").map(Zeroizing::new).map_err(|_| SealingError)?;
        let mut exported = Zeroizing::new([0; 32]);
        context.export(EXPORT_LABEL, &mut *exported).map_err(|_| SealingError)?;
        Ok(Opened { plain, exported: Key256::new(*exported) })
    }
}

fn announcement(id: SealingKeyId, public_key: &[u8; 32], not_after: Timestamp) -> Vec<u8> {
    Framed::labelled("conclave-sealing-key-1")
        .fixed(id.as_bytes())
        .fixed(public_key)
        .fixed(&not_after.as_millis().to_be_bytes())
        .into_bytes()
}

/// A sealing key as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnouncedKey {
    /// Its id.
    pub id: SealingKeyId,
    /// The X25519 public key.
    pub public_key: [u8; 32],
    /// Until when the appliance opens boxes sealed to it.
    pub not_after: Timestamp,
    /// Ed25519 by the identity key.
    pub signature: [u8; 64],
}

impl AnnouncedKey {
    /// Checks the signature. Seal to nothing that has not passed this.
    pub fn verify(&self, identity: PublicIdentity) -> Result<(), SignatureError> {
        identity.verify(&announcement(self.id, &self.public_key, self.not_after), &self.signature)
    }

    /// Seals a credential to this key, and gives the secret that both sides have then.
    pub fn seal(
        &self,
        origin: &str,
        challenge: &[u8],
        credential: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(SealedBox, Key256), SealingError> {
        let public = PublicKey::from_bytes(&self.public_key).map_err(|_| SealingError)?;
        let info = Binding { origin, key_id: self.id, challenge }.info();
        let (encapped, mut context) =
            hpke::setup_sender_with_rng::<AesGcm256, HkdfSha256, X25519HkdfSha256>(&OpModeS::Base, &public, &info, rng)
                .map_err(|_| SealingError)?;
        let ciphertext = context.seal(credential, b"").map_err(|_| SealingError)?;
        let mut exported = Zeroizing::new([0; 32]);
        context.export(EXPORT_LABEL, &mut *exported).map_err(|_| SealingError)?;
        Ok((SealedBox { encapsulated_key: encapped.to_bytes().to_vec(), ciphertext }, Key256::new(*exported)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::entropy;
    use crate::values::secret::Key256;

    #[test]
    fn a_box_opens_under_its_own_binding_only() {
        let mut rng = entropy::system();
        let identity = Identity::from_seed(&Key256::new([1; 32]));
        let key = SealingKey::generate(Timestamp::from_millis(1_000), &mut rng);
        let announced = key.announce(&identity);
        announced.verify(identity.public()).unwrap();

        let (sealed, exported) = announced.seal("https://a.lan", b"once", b"credential", &mut rng).unwrap();
        let binding = Binding { origin: "https://a.lan", key_id: key.id(), challenge: b"once" };
        let opened = key.open(binding, &sealed).unwrap();
        assert_eq!(&**opened.plain, b"credential");
        assert!(opened.exported == exported);
        assert!(key.open(Binding { origin: "https://b.lan", ..binding }, &sealed).is_err());
        assert!(key.open(Binding { challenge: b"twice", ..binding }, &sealed).is_err());
        let other = SealingKey::generate(Timestamp::from_millis(1_000), &mut rng);
        assert!(other.open(Binding { key_id: other.id(), ..binding }, &sealed).is_err());
        for bit in 0..sealed.ciphertext.len() * 8 {
            let mut changed = sealed.clone();
            changed.ciphertext[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(binding, &changed).is_err());
        }
        let short = SealedBox { encapsulated_key: vec![1; 31], ..sealed };
        assert!(key.open(binding, &short).is_err());
    }

    #[test]
    fn an_announcement_with_another_key_does_not_verify() {
        let identity = Identity::from_seed(&Key256::new([1; 32]));
        let mut announced = SealingKey::generate(Timestamp::from_millis(1), &mut entropy::system()).announce(&identity);
        announced.public_key[0] ^= 1;
        assert!(announced.verify(identity.public()).is_err());
    }
}
