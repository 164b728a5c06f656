// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Envelopes: AES-256-GCM around keys and fields, bound by associated data to the one place they belong.
//!
//! An envelope copied to another workspace, purpose, version, table, column or row does not open.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::core::keys::frame::Framed;
use crate::values::id::WorkspaceId;
use crate::values::secret::Key256;

/// Bytes of an AES-GCM nonce (NIST SP 800-38D §5.2.1.1). Random ones are safe for 2^32 envelopes a key.
pub const NONCE_LEN: usize = 12;

/// The envelope does not open: wrong key, another place, or changed bytes. Which of them cannot be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed bytes do not open: they were changed, moved from another place, or sealed under another key")]
pub struct EnvelopeError;

/// What a workspace key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// The raw key of the workspace's database file.
    File,
    /// Sealed fields and refresh tokens.
    Field,
    /// Access tokens (HS512).
    Token,
    /// The appliance's Ed25519 identity; in workspace `system` only.
    Identity,
}

impl Purpose {
    /// The name that enters the associated data.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Field => "field",
            Self::Token => "token",
            Self::Identity => "identity",
        }
    }
}

/// A key wrapped under the master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// The nonce it was sealed with.
    pub nonce: [u8; NONCE_LEN],
    /// Ciphertext and tag.
    pub sealed: Vec<u8>,
}

fn cipher(key: &Key256) -> Aes256Gcm {
    Aes256Gcm::new(key.expose().into())
}

fn seal(key: &Key256, nonce: [u8; NONCE_LEN], aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    cipher(key).encrypt(&Nonce::from(nonce), Payload { msg, aad }).map_err(|_| EnvelopeError)
}

fn open(key: &Key256, nonce: [u8; NONCE_LEN], aad: &[u8], msg: &[u8]) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    cipher(key).decrypt(&Nonce::from(nonce), Payload { msg, aad }).map(Zeroizing::new).map_err(|_| EnvelopeError)
}

fn fresh_nonce(rng: &mut impl CryptoRng) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    nonce
}

fn key_aad(workspace: WorkspaceId, purpose: Purpose, version: u32) -> Vec<u8> {
    Framed::labelled("conclave-key-1")
        .fixed(workspace.as_bytes())
        .fixed(&version.to_be_bytes())
        .fixed(purpose.as_str().as_bytes())
        .into_bytes()
}

/// Wraps `key` under the master key for one workspace, purpose and version.
pub fn wrap_key(
    master: &Key256,
    workspace: WorkspaceId,
    purpose: Purpose,
    version: u32,
    key: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<WrappedKey, EnvelopeError> {
    let nonce = fresh_nonce(rng);
    let sealed = seal(master, nonce, &key_aad(workspace, purpose, version), key)?;
    Ok(WrappedKey { nonce, sealed })
}

/// Unwraps what [`wrap_key`] wrapped for exactly this workspace, purpose and version.
pub fn unwrap_key(
    master: &Key256,
    workspace: WorkspaceId,
    purpose: Purpose,
    version: u32,
    wrapped: &WrappedKey,
) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    open(master, wrapped.nonce, &key_aad(workspace, purpose, version), &wrapped.sealed)
}

/// The place of a sealed field: it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct FieldPlace<'a> {
    /// Whose database.
    pub workspace: WorkspaceId,
    /// Which table.
    pub table: &'a str,
    /// Which column.
    pub column: &'a str,
    /// Which row: its id, or its text key.
    pub row: &'a [u8],
}

impl FieldPlace<'_> {
    fn aad(&self, version: u32) -> Vec<u8> {
        Framed::labelled("conclave-field-1")
            .fixed(self.workspace.as_bytes())
            .fixed(&version.to_be_bytes())
            .frame(self.table.as_bytes())
            .frame(self.column.as_bytes())
            .frame(self.row)
            .into_bytes()
    }
}

/// Seals one field: `u32(version) ‖ nonce ‖ ciphertext ‖ tag`.
pub fn seal_field(
    key: &Key256,
    version: u32,
    place: FieldPlace<'_>,
    plain: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, EnvelopeError> {
    let nonce = fresh_nonce(rng);
    let sealed = seal(key, nonce, &place.aad(version), plain)?;
    Ok(Framed::bare().fixed(&version.to_be_bytes()).fixed(&nonce).fixed(&sealed).into_bytes())
}

/// Opens a sealed field at its place; `key_of` finds the field key of a version.
pub fn open_field<'k>(
    key_of: impl FnOnce(u32) -> Option<&'k Key256>,
    place: FieldPlace<'_>,
    blob: &[u8],
) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    let (version, rest) = blob.split_first_chunk::<4>().ok_or(EnvelopeError)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(EnvelopeError)?;
    let version = u32::from_be_bytes(*version);
    open(key_of(version).ok_or(EnvelopeError)?, *nonce, &place.aad(version), sealed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::entropy;

    const A: WorkspaceId = WorkspaceId::from_bytes([1; 16]);
    const B: WorkspaceId = WorkspaceId::from_bytes([2; 16]);

    #[test]
    fn a_wrapped_key_opens_at_its_place_only() {
        let mut rng = entropy::system();
        let master = Key256::random(&mut rng);
        let wrapped = wrap_key(&master, A, Purpose::File, 1, &[9; 32], &mut rng).unwrap();
        assert_eq!(*unwrap_key(&master, A, Purpose::File, 1, &wrapped).unwrap(), [9; 32]);
        assert!(unwrap_key(&master, B, Purpose::File, 1, &wrapped).is_err());
        assert!(unwrap_key(&master, A, Purpose::Field, 1, &wrapped).is_err());
        assert!(unwrap_key(&master, A, Purpose::File, 2, &wrapped).is_err());
        assert!(unwrap_key(&Key256::random(&mut rng), A, Purpose::File, 1, &wrapped).is_err());
    }

    #[test]
    fn a_field_opens_in_its_row_only_and_one_flipped_bit_anywhere_is_refused() {
        let mut rng = entropy::system();
        let key = Key256::random(&mut rng);
        let place = FieldPlace { workspace: A, table: "accounts", column: "password_hash", row: &[7; 16] };
        let blob = seal_field(&key, 1, place, b"secret", &mut rng).unwrap();
        let opens = |place, blob: &[u8]| open_field(|v| (v == 1).then_some(&key), place, blob);
        assert_eq!(&**opens(place, &blob).unwrap(), b"secret");
        assert!(opens(FieldPlace { row: &[8; 16], ..place }, &blob).is_err());
        assert!(opens(FieldPlace { column: "other", ..place }, &blob).is_err());
        assert!(opens(FieldPlace { workspace: B, ..place }, &blob).is_err());
        for bit in 0..blob.len() * 8 {
            let mut changed = blob.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(opens(place, &changed).is_err(), "bit {bit}");
        }
        assert!(opens(place, &[]).is_err());
    }
}
