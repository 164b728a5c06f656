// SPDX-License-Identifier: Apache-2.0 OR MIT
//! SFrame (RFC 9605 §4.4) with cipher suite 0x0005, AES_256_GCM_SHA512_128: HKDF-SHA-512 and AES-256-GCM with a tag
//! of 128 bits.
//!
//! A key that seals counts by itself and cannot be cloned, so no counter meets a key twice. A key that opens holds no
//! replay state (`core::replay` does). Keys are expanded once and wiped when dropped; sealing and opening allocate
//! nothing. `docs/decisions/0020-sframe.md` says why this is not the crate `sframe`.

use std::fmt;

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit, Nonce};
use hkdf::Hkdf;
use sha2::Sha512;
use zeroize::Zeroizing;

use crate::wire::header::{HEADER_MAX, Header, HeaderError};

/// The cipher suite, as it enters key derivation (RFC 9605 §8.1).
pub const SUITE: u16 = 0x0005;
/// Bytes of the authentication tag (Nt).
pub const TAG_LEN: usize = 16;
/// Bytes that sealing adds at most.
pub const OVERHEAD_MAX: usize = HEADER_MAX + TAG_LEN;
/// Longest metadata, in bytes. Ours is 18 at most; the bound lets the associated data live on the stack.
pub const METADATA_MAX: usize = 32;
/// Frames that one key seals at most: what NIST SP 800-38D §8.3 allows a key of AES-GCM. A key is used for minutes;
/// a thousand frames a second would take 49 days.
pub const COUNTER_LIMIT: u64 = 1 << 32;

/// Bytes of the AES-256 key (Nk).
const KEY_LEN: usize = 32;
/// Bytes of the nonce and of the salt (Nn).
const NONCE_LEN: usize = 12;

/// Labels of key derivation (RFC 9605 §4.4.2), each followed by u64(KID) ‖ u16(suite).
const KEY_LABEL: &[u8] = b"SFrame 1.0 Secret key ";
const SALT_LABEL: &[u8] = b"SFrame 1.0 Secret salt ";

/// Why something was not sealed or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SframeError {
    /// The header cannot be read.
    #[error("the SFrame header cannot be read")]
    Header(#[from] HeaderError),
    /// Shorter than a header and a tag.
    #[error("the bytes end before the SFrame tag")]
    Truncated,
    /// Sealed under the key of another key id.
    #[error("the frame names another key")]
    OtherKey,
    /// The caller's buffer is too small.
    #[error("the buffer is too small")]
    Buffer,
    /// More metadata than [`METADATA_MAX`].
    #[error("the metadata is longer than {METADATA_MAX} bytes")]
    Metadata,
    /// The key has sealed [`COUNTER_LIMIT`] frames.
    #[error("the key has sealed as many frames as it may")]
    Exhausted,
    /// No key can be derived.
    #[error("no key can be derived")]
    Derivation,
    /// The cipher refused: changed bytes, other metadata, or another key. Which of them cannot be known.
    #[error("the frame does not open: it was changed, bound to something else, or sealed under another key")]
    Refused,
}

/// A key that seals, with its counter.
pub struct SealingKey {
    kid: u64,
    key: CipherKey,
    next: u64,
}

impl SealingKey {
    /// Derives the key of `kid` from the secret that all senders share. Make one for each key id, once: a second one
    /// would count from zero again.
    pub fn derive(base_key: &[u8], kid: u64) -> Result<Self, SframeError> {
        Ok(Self { kid, key: CipherKey::derive(base_key, kid)?, next: 0 })
    }

    /// The counter of the next frame.
    pub const fn next_counter(&self) -> u64 {
        self.next
    }

    /// Writes `header ‖ ciphertext ‖ tag` to the start of `out` and says how many bytes that is
    /// (RFC 9605 §4.4.3). A failed call uses no counter.
    pub fn seal(&mut self, metadata: &[u8], plain: &[u8], out: &mut [u8]) -> Result<usize, SframeError> {
        if self.next >= COUNTER_LIMIT {
            return Err(SframeError::Exhausted);
        }
        let written = self.key.seal(Header { kid: self.kid, counter: self.next }, metadata, plain, out)?;
        self.next += 1;
        Ok(written)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({:#x}, {}, …)", self.kid, self.next)
    }
}

/// A key that opens.
pub struct OpeningKey {
    kid: u64,
    key: CipherKey,
}

impl OpeningKey {
    /// Derives the key of `kid` from the secret that all senders share.
    pub fn derive(base_key: &[u8], kid: u64) -> Result<Self, SframeError> {
        Ok(Self { kid, key: CipherKey::derive(base_key, kid)? })
    }

    /// Opens `header ‖ ciphertext ‖ tag` into the start of `out` and gives the plaintext (RFC 9605 §4.4.4). `out`
    /// is written only when the tag holds.
    pub fn open<'o>(&self, sealed: &[u8], metadata: &[u8], out: &'o mut [u8]) -> Result<&'o [u8], SframeError> {
        let (header, body) = Header::decode(sealed)?;
        if header.kid != self.kid {
            return Err(SframeError::OtherKey);
        }
        self.key.open(header, body, metadata, out)
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpeningKey({:#x}, …)", self.kid)
    }
}

/// The expanded AES key and the salt: what a key id stands for.
struct CipherKey {
    cipher: Aes256Gcm,
    salt: Zeroizing<[u8; NONCE_LEN]>,
}

impl CipherKey {
    fn derive(base_key: &[u8], kid: u64) -> Result<Self, SframeError> {
        let (key, salt) = derive(base_key, kid)?;
        Ok(Self { cipher: Aes256Gcm::new((&*key).into()), salt })
    }

    fn seal(&self, header: Header, metadata: &[u8], plain: &[u8], out: &mut [u8]) -> Result<usize, SframeError> {
        let aad = AssociatedData::new(header, metadata)?;
        let encoded = aad.header();
        let (head, rest) = out.split_at_mut_checked(encoded.len()).ok_or(SframeError::Buffer)?;
        let (body, rest) = rest.split_at_mut_checked(plain.len()).ok_or(SframeError::Buffer)?;
        let tag = rest.first_chunk_mut::<TAG_LEN>().ok_or(SframeError::Buffer)?;
        let written = encoded.len() + plain.len() + TAG_LEN;
        let buffer = InOutBuf::new(plain, body).map_err(|_| SframeError::Buffer)?;
        let nonce = Nonce::from(nonce(&self.salt, header.counter));
        *tag = self
            .cipher
            .encrypt_inout_detached(&nonce, aad.as_bytes(), buffer)
            .map_err(|_| SframeError::Refused)?
            .into();
        head.copy_from_slice(encoded);
        Ok(written)
    }

    fn open<'o>(
        &self,
        header: Header,
        body: &[u8],
        metadata: &[u8],
        out: &'o mut [u8],
    ) -> Result<&'o [u8], SframeError> {
        let aad = AssociatedData::new(header, metadata)?;
        let (cipher, tag) = body.split_last_chunk::<TAG_LEN>().ok_or(SframeError::Truncated)?;
        let out = out.get_mut(..cipher.len()).ok_or(SframeError::Buffer)?;
        let buffer = InOutBuf::new(cipher, out).map_err(|_| SframeError::Buffer)?;
        let nonce = Nonce::from(nonce(&self.salt, header.counter));
        // The tag is compared before a byte is decrypted.
        self.cipher
            .decrypt_inout_detached(&nonce, aad.as_bytes(), buffer, tag.into())
            .map_err(|_| SframeError::Refused)?;
        Ok(out)
    }
}

/// `header ‖ metadata`, in this order (RFC 9605 §4.4.3).
struct AssociatedData {
    bytes: [u8; HEADER_MAX + METADATA_MAX],
    header_len: usize,
    len: usize,
}

impl AssociatedData {
    fn new(header: Header, metadata: &[u8]) -> Result<Self, SframeError> {
        if metadata.len() > METADATA_MAX {
            return Err(SframeError::Metadata);
        }
        let encoded = header.encode();
        let mut bytes = [0; HEADER_MAX + METADATA_MAX];
        for (place, byte) in bytes.iter_mut().zip(encoded.as_bytes().iter().chain(metadata)) {
            *place = *byte;
        }
        let header_len = encoded.as_bytes().len();
        Ok(Self { bytes, header_len, len: header_len + metadata.len() })
    }

    fn header(&self) -> &[u8] {
        self.bytes.get(..self.header_len).unwrap_or_default()
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Key and salt of a key id (RFC 9605 §4.4.2).
type KeyAndSalt = (Zeroizing<[u8; KEY_LEN]>, Zeroizing<[u8; NONCE_LEN]>);

/// Derives key and salt (RFC 9605 §4.4.2).
pub(super) fn derive(base_key: &[u8], kid: u64) -> Result<KeyAndSalt, SframeError> {
    let secret = Hkdf::<Sha512>::new(None, base_key);
    let (kid, suite) = (kid.to_be_bytes(), SUITE.to_be_bytes());
    let (mut key, mut salt) = (Zeroizing::new([0; KEY_LEN]), Zeroizing::new([0; NONCE_LEN]));
    // HKDF refuses more than 255 hashes of output (RFC 5869 §2.3); these are less than one.
    secret.expand_multi_info(&[KEY_LABEL, &kid, &suite], &mut *key).map_err(|_| SframeError::Derivation)?;
    secret.expand_multi_info(&[SALT_LABEL, &kid, &suite], &mut *salt).map_err(|_| SframeError::Derivation)?;
    Ok((key, salt))
}

/// The salt, XORed with the counter as a big-endian integer of the same length (RFC 9605 §4.4.3).
pub(super) fn nonce(salt: &[u8; NONCE_LEN], counter: u64) -> [u8; NONCE_LEN] {
    let mut nonce = *salt;
    for (byte, part) in nonce.iter_mut().rev().zip(counter.to_be_bytes().iter().rev()) {
        *byte ^= part;
    }
    nonce
}

/// For fuzzing: `bytes` never open under a key that sealed nothing.
pub fn exercise(bytes: &[u8]) {
    let mut out = [0; 64];
    if let Ok((header, _)) = Header::decode(bytes)
        && let Ok(key) = OpeningKey::derive(&[0x5a; KEY_LEN], header.kid)
    {
        assert!(key.open(bytes, b"metadata", &mut out).is_err());
        assert_eq!(out, [0; 64]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sframe::CipherSuite;
    use sframe::frame::{EncryptedFrameView, MediaFrameView, SingleUseCounter};
    use sframe::key::{DecryptionKey, EncryptionKey};

    use super::*;

    const BASE: &[u8] = &[7; 32];

    fn keys(kid: u64) -> (SealingKey, OpeningKey) {
        (SealingKey::derive(BASE, kid).unwrap(), OpeningKey::derive(BASE, kid).unwrap())
    }

    fn sealed(key: &mut SealingKey, metadata: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut out = vec![0; plain.len() + OVERHEAD_MAX];
        let written = key.seal(metadata, plain, &mut out).unwrap();
        out.truncate(written);
        out
    }

    #[test]
    fn the_vector_of_the_rfc_derives_seals_and_opens() {
        let vectors = super::super::vectors::rfc9605();
        let vector = &vectors["suite_0x0005"];
        let bytes = |name: &str| hex::decode(vector[name].as_str().unwrap()).unwrap();
        let (kid, counter) = (vector["kid"].as_u64().unwrap(), vector["ctr"].as_u64().unwrap());

        let label = |label: &[u8]| [label, &kid.to_be_bytes(), &SUITE.to_be_bytes()].concat();
        assert_eq!(label(KEY_LABEL), bytes("sframe_key_label"));
        assert_eq!(label(SALT_LABEL), bytes("sframe_salt_label"));
        let (key, salt) = derive(&bytes("base_key"), kid).unwrap();
        assert_eq!(key.as_slice(), bytes("sframe_key"));
        assert_eq!(salt.as_slice(), bytes("sframe_salt"));
        assert_eq!(nonce(&salt, counter).as_slice(), bytes("nonce"));
        let aad = AssociatedData::new(Header { kid, counter }, &bytes("metadata")).unwrap();
        assert_eq!(aad.as_bytes(), bytes("aad"));

        let mut key = SealingKey { next: counter, ..SealingKey::derive(&bytes("base_key"), kid).unwrap() };
        assert_eq!(sealed(&mut key, &bytes("metadata"), &bytes("pt")), bytes("ct"));
        let key = OpeningKey::derive(&bytes("base_key"), kid).unwrap();
        let mut out = [0; 64];
        assert_eq!(key.open(&bytes("ct"), &bytes("metadata"), &mut out), Ok(&bytes("pt")[..]));
    }

    #[test]
    fn one_flipped_bit_anywhere_is_refused_and_writes_nothing() {
        let (mut seal, open) = keys(0x123_4562);
        for plain in [&b""[..], b"a pose"] {
            let frame = sealed(&mut seal, b"where", plain);
            let mut out = [0; 64];
            assert_eq!(open.open(&frame, b"where", &mut out), Ok(plain));
            out.fill(0);
            for bit in 0..frame.len() * 8 {
                let mut changed = frame.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert!(open.open(&changed, b"where", &mut out).is_err(), "bit {bit}");
            }
            for bit in 0..5 * 8 {
                let mut metadata = *b"where";
                metadata[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(open.open(&frame, &metadata, &mut out), Err(SframeError::Refused), "bit {bit}");
            }
            assert_eq!(open.open(&frame, b"wher", &mut out), Err(SframeError::Refused));
            for end in 0..frame.len() {
                assert!(open.open(&frame[..end], b"where", &mut out).is_err(), "{end} bytes");
            }
            assert_eq!(out, [0; 64]);
        }
    }

    #[test]
    fn another_secret_or_another_key_id_opens_nothing() {
        let (mut seal, _) = keys(0x12);
        let frame = sealed(&mut seal, b"", b"a pose");
        let mut out = [0; 64];
        let other_secret = OpeningKey::derive(&[8; 32], 0x12).unwrap();
        assert_eq!(other_secret.open(&frame, b"", &mut out), Err(SframeError::Refused));
        assert_eq!(keys(0x22).1.open(&frame, b"", &mut out), Err(SframeError::OtherKey));
    }

    #[test]
    fn a_counter_is_used_once_and_not_by_a_failed_call() {
        let (mut seal, _) = keys(9);
        let mut small = [0; 4];
        assert_eq!(seal.seal(b"", b"a pose", &mut small), Err(SframeError::Buffer));
        assert_eq!(seal.seal(&[0; METADATA_MAX + 1], b"", &mut [0; 64]), Err(SframeError::Metadata));
        assert_eq!(seal.next_counter(), 0);
        for expected in 0..300 {
            let frame = sealed(&mut seal, b"", b"");
            assert_eq!(Header::decode(&frame).unwrap().0, Header { kid: 9, counter: expected });
        }
        seal.next = COUNTER_LIMIT - 1;
        assert!(seal.seal(b"", b"", &mut [0; 64]).is_ok());
        assert_eq!(seal.seal(b"", b"", &mut [0; 64]), Err(SframeError::Exhausted));
    }

    #[test]
    fn a_buffer_that_fits_exactly_is_enough() {
        let (mut seal, open) = keys(0x12);
        let mut out = [0; 2 + 6 + TAG_LEN];
        assert_eq!(seal.seal(b"", b"a pose", &mut out), Ok(out.len()));
        assert_eq!(open.open(&out, b"", &mut [0; 6]), Ok(&b"a pose"[..]));
        assert_eq!(open.open(&out, b"", &mut [0; 5]), Err(SframeError::Buffer));
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let (seal, open) = keys(0x12);
        assert_eq!(format!("{seal:?} {open:?}"), "SealingKey(0x12, 0, …) OpeningKey(0x12, …)");
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            exercise(&bytes);
        }

        /// The crate `sframe` is the second opinion: what we seal it opens, and the other way round.
        #[test]
        fn an_independent_implementation_agrees(
            base: [u8; 32],
            kid: u64,
            kid_bits in 0_u32..64,
            counter in 0..COUNTER_LIMIT,
            metadata in proptest::collection::vec(any::<u8>(), 0..=METADATA_MAX),
            plain in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            const THEIRS: CipherSuite = CipherSuite::AesGcm256Sha512;
            let kid = kid >> kid_bits;
            let mut key = SealingKey { next: counter, ..SealingKey::derive(&base, kid).unwrap() };
            let ours = sealed(&mut key, &metadata, &plain);

            let their_key = EncryptionKey::derive_from(THEIRS, kid, base).unwrap();
            let mut their_counter = SingleUseCounter::new(counter);
            let frame = MediaFrameView::try_with_meta_data(&mut their_counter, &plain, &metadata).unwrap();
            let theirs = frame.encrypt(&their_key).unwrap();
            prop_assert_eq!(theirs.sframe_cipher_text(), &ours[..]);

            let their_key = DecryptionKey::derive_from(THEIRS, kid, base).unwrap();
            let frame = EncryptedFrameView::try_with_meta_data(&ours, &metadata).unwrap();
            let opened = frame.decrypt(&their_key).unwrap();
            prop_assert_eq!(opened.payload(), &plain[..]);

            let mut out = vec![0; plain.len()];
            let key = OpeningKey::derive(&base, kid).unwrap();
            prop_assert_eq!(key.open(theirs.sframe_cipher_text(), &metadata, &mut out), Ok(&plain[..]));
        }
    }
}
