// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Boxes of epoch secrets: one HPKE context (RFC 9180, mode_psk) for each participant, one `seal` for each epoch.
//!
//! The context is made to the key that the ticket names and bound to a secret that only the device and the appliance
//! have since the sealed sign-in. So whoever reads TLS in between sees no key, and can put none in place. Boxes open in the
//! order they were sealed; `docs/protocol.md`, "Boxes", is the format.

use std::fmt;

use hpke::aead::{AeadCtxR, AeadCtxS, AesGcm256};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, PskBundle, Serializable};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::core::keys::epoch::EpochSecret;
use crate::core::keys::frame::Framed;
use crate::values::id::{MeetingId, SessionId};
use crate::values::secret::Key256;
use crate::wire::kid::{Epoch, Participant};

type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

/// Why there is no box, or one does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BoxError {
    /// Not an X25519 key, or one that agrees with everybody.
    #[error("the meeting key is no key to seal to")]
    Key,
    /// Out of turn, changed, or sealed for somebody else.
    #[error("the box does not open: it is out of turn, was changed, or is for somebody else")]
    Refused,
    /// What is inside is no secret of an epoch.
    #[error("what is in the box is no secret of an epoch")]
    Content,
}

/// The key pair of one device in one meeting.
pub struct MeetingKeyPair {
    private: PrivateKey,
    public: PublicKey,
}

impl MeetingKeyPair {
    /// A fresh one. Make one for each ticket.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let (private, public) = X25519HkdfSha256::gen_keypair_with_rng(rng);
        Self { private, public }
    }

    /// The public half, for the ticket (its SHA-256) and for joining.
    pub fn public_key(&self) -> [u8; 32] {
        self.public.to_bytes().into()
    }
}

impl fmt::Debug for MeetingKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeetingKeyPair(…)")
    }
}

fn info(meeting: MeetingId) -> Vec<u8> {
    Framed::labelled("conclave-epoch-boxes-1").fixed(meeting.as_bytes()).into_bytes()
}

fn bound_to(meeting: MeetingId, epoch: Epoch, participant: Participant) -> Vec<u8> {
    Framed::labelled("conclave-epoch-box-1")
        .fixed(meeting.as_bytes())
        .fixed(&epoch.0.to_be_bytes())
        .fixed(&participant.0.to_be_bytes())
        .into_bytes()
}

/// Seals the secrets of epochs for one participant, in order.
pub struct BoxSealer {
    meeting: MeetingId,
    context: AeadCtxS<AesGcm256, HkdfSha256, X25519HkdfSha256>,
}

impl BoxSealer {
    /// Begins with the key that a participant brings; gives what it needs to open.
    pub fn begin(
        meeting: MeetingId,
        key: &[u8],
        psk: &Key256,
        session: SessionId,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, [u8; 32]), BoxError> {
        let key = PublicKey::from_bytes(key).map_err(|_| BoxError::Key)?;
        let psk = PskBundle::new(psk.expose(), session.as_bytes()).map_err(|_| BoxError::Key)?;
        let (encapsulated, context) =
            hpke::setup_sender_with_rng(&OpModeS::Psk(psk), &key, &info(meeting), rng).map_err(|_| BoxError::Key)?;
        Ok((Self { meeting, context }, encapsulated.to_bytes().into()))
    }

    /// Seals the secret of an epoch: 48 bytes.
    pub fn seal(&mut self, epoch: Epoch, participant: Participant, secret: &EpochSecret) -> Result<Vec<u8>, BoxError> {
        let bound_to = bound_to(self.meeting, epoch, participant);
        self.context.seal(secret.expose(), &bound_to).map_err(|_| BoxError::Refused)
    }
}

impl fmt::Debug for BoxSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxSealer(…)")
    }
}

/// Opens what a [`BoxSealer`] sealed, in the same order.
pub struct BoxOpener {
    meeting: MeetingId,
    context: AeadCtxR<AesGcm256, HkdfSha256, X25519HkdfSha256>,
    opened: u64,
}

impl BoxOpener {
    /// Begins with what the appliance answered.
    pub fn begin(
        pair: &MeetingKeyPair,
        meeting: MeetingId,
        encapsulated: &[u8],
        psk: &Key256,
        session: SessionId,
    ) -> Result<Self, BoxError> {
        let encapsulated = EncappedKey::from_bytes(encapsulated).map_err(|_| BoxError::Key)?;
        let psk = PskBundle::new(psk.expose(), session.as_bytes()).map_err(|_| BoxError::Key)?;
        let context = hpke::setup_receiver(&OpModeR::Psk(psk), &pair.private, &encapsulated, &info(meeting))
            .map_err(|_| BoxError::Key)?;
        Ok(Self { meeting, context, opened: 0 })
    }

    /// Opens the next box. One that does not open is not counted: the right one still may come.
    pub fn open(&mut self, epoch: Epoch, participant: Participant, sealed: &[u8]) -> Result<EpochSecret, BoxError> {
        let bound_to = bound_to(self.meeting, epoch, participant);
        let plain = self.context.open(sealed, &bound_to).map(Zeroizing::new).map_err(|_| BoxError::Refused)?;
        self.opened += 1;
        EpochSecret::from_slice(&plain).ok_or(BoxError::Content)
    }

    /// Boxes opened so far: what to say when resuming.
    pub const fn opened(&self) -> u64 {
        self.opened
    }
}

impl fmt::Debug for BoxOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoxOpener({} opened, …)", self.opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::entropy;

    const MEETING: MeetingId = MeetingId::from_bytes([1; 16]);
    const SESSION: SessionId = SessionId::from_bytes([2; 16]);
    const ADA: Participant = Participant(7);

    fn psk(byte: u8) -> Key256 {
        Key256::new([byte; 32])
    }

    fn secret(byte: u8) -> EpochSecret {
        EpochSecret::from_slice(&[byte; 32]).unwrap()
    }

    fn pair() -> (BoxSealer, BoxOpener) {
        let device = MeetingKeyPair::generate(&mut entropy::system());
        let (sealer, key) =
            BoxSealer::begin(MEETING, &device.public_key(), &psk(3), SESSION, &mut entropy::system()).unwrap();
        (sealer, BoxOpener::begin(&device, MEETING, &key, &psk(3), SESSION).unwrap())
    }

    #[test]
    fn boxes_open_in_order_and_bound_to_epoch_and_number() {
        let (mut sealer, mut opener) = pair();
        let one = sealer.seal(Epoch(1), ADA, &secret(1)).unwrap();
        let two = sealer.seal(Epoch(2), ADA, &secret(2)).unwrap();
        assert_eq!((one.len(), opener.opened()), (48, 0));
        assert_eq!(opener.open(Epoch(2), ADA, &two), Err(BoxError::Refused));
        assert_eq!(opener.open(Epoch(2), ADA, &one), Err(BoxError::Refused));
        assert_eq!(opener.open(Epoch(1), Participant(8), &one), Err(BoxError::Refused));
        for bit in 0..one.len() * 8 {
            let mut changed = one.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opener.open(Epoch(1), ADA, &changed), Err(BoxError::Refused));
        }
        assert_eq!(opener.open(Epoch(1), ADA, &one), Ok(secret(1)));
        assert_eq!(opener.open(Epoch(1), ADA, &one), Err(BoxError::Refused));
        assert_eq!(opener.open(Epoch(2), ADA, &two), Ok(secret(2)));
        assert_eq!(opener.opened(), 2);
    }

    #[test]
    fn nobody_else_opens_or_seals() {
        let device = MeetingKeyPair::generate(&mut entropy::system());
        let begin = |meeting, psk: &Key256, session| {
            BoxSealer::begin(meeting, &device.public_key(), psk, session, &mut entropy::system()).unwrap()
        };
        let opens = |(mut sealer, key): (BoxSealer, [u8; 32]), device: &MeetingKeyPair| {
            let sealed = sealer.seal(Epoch(1), ADA, &secret(1)).unwrap();
            let mut opener = BoxOpener::begin(device, MEETING, &key, &psk(3), SESSION).unwrap();
            opener.open(Epoch(1), ADA, &sealed).is_ok()
        };
        assert!(opens(begin(MEETING, &psk(3), SESSION), &device));
        assert!(!opens(begin(MEETING, &psk(4), SESSION), &device));
        assert!(!opens(begin(MEETING, &psk(3), SessionId::from_bytes([9; 16])), &device));
        assert!(!opens(begin(MeetingId::from_bytes([9; 16]), &psk(3), SESSION), &device));
        let other = MeetingKeyPair::generate(&mut entropy::system());
        assert!(!opens(begin(MEETING, &psk(3), SESSION), &other));
    }

    #[test]
    fn what_is_no_key_and_a_point_of_low_order_are_refused_by_both() {
        let device = MeetingKeyPair::generate(&mut entropy::system());
        let one = [&[1][..], &[0; 31]].concat();
        // p − 1, of order two.
        let minus_one = [&[0xec][..], &[0xff; 30], &[0x7f]].concat();
        for bad in [&[][..], &[5; 31], &[5; 33], &[0; 32], &one, &minus_one] {
            let begun = BoxSealer::begin(MEETING, bad, &psk(3), SESSION, &mut entropy::system());
            assert_eq!(begun.err(), Some(BoxError::Key), "{bad:?}");
            let begun = BoxOpener::begin(&device, MEETING, bad, &psk(3), SESSION);
            assert_eq!(begun.err(), Some(BoxError::Key), "{bad:?}");
        }
    }

    #[test]
    fn both_ends_move_between_threads_and_show_nothing() {
        fn moves<T: Send + 'static>(_: &T) {}
        let (sealer, opener) = pair();
        moves(&sealer);
        moves(&opener);
        assert_eq!(format!("{sealer:?} {opener:?}"), "BoxSealer(…) BoxOpener(0 opened, …)");
    }
}
