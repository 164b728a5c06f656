// SPDX-License-Identifier: AGPL-3.0-or-later
//! Tickets (RFC 7519 §4.1): the short-lived right to join one room once, with one meeting key.
//!
//! A ticket carries what its holder may do in the meeting, so the relay asks nobody. The signature is checked in
//! `platform::token`, that it was not used before in `hub::tickets`; the rest here, against a `now` that is told.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::core::auth::token::ClaimsError;
use crate::values::id::{AccountId, RoomId, SessionId, TicketId, WorkspaceId};
use crate::values::name::DisplayName;
use crate::values::time::Timestamp;

/// Life of a ticket: long enough to open a carrier over a bad network.
pub const LIFETIME: Duration = Duration::from_secs(60);

/// The surface a ticket is for: the relay and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TicketAudience {
    /// The relay.
    #[serde(rename = "conclave:relay")]
    Relay,
}

/// SHA-256 of a meeting key (X25519, 32 bytes). In JSON: base64url without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyThumbprint([u8; 32]);

impl KeyThumbprint {
    /// Of this public key.
    pub fn of(public_key: &[u8]) -> Self {
        Self(Sha256::digest(public_key).into())
    }

    /// The 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl Serialize for KeyThumbprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for KeyThumbprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = URL_SAFE_NO_PAD.decode(String::deserialize(deserializer)?).ok();
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("expected 32 bytes as base64url without padding"))
    }
}

/// What the holder may do in the meeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Speak.
    pub voice: bool,
    /// An admin switched the account's voice off; it may be switched on again in the meeting.
    pub voice_off: bool,
    /// Share a screen.
    pub screen: bool,
    /// Mute, kick, lock, admit, rotate.
    pub moderate: bool,
    /// Wait in the lobby first.
    pub lobby: bool,
}

/// The claims of a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketClaims {
    /// Issuer: `conclave:<appliance id>`.
    pub iss: String,
    /// Surface.
    pub aud: TicketAudience,
    /// Account.
    pub sub: AccountId,
    /// Workspace.
    pub wid: WorkspaceId,
    /// Session: when it ends, so does what was joined with it.
    pub sid: SessionId,
    /// Room.
    pub room: RoomId,
    /// This ticket, to be used once.
    pub jti: TicketId,
    /// SHA-256 of the meeting key.
    pub jkt: KeyThumbprint,
    /// What others see.
    pub name: DisplayName,
    /// What it allows.
    pub grant: Grant,
    /// Issued at, seconds since the epoch.
    pub iat: i64,
    /// Expires: the first second in which it is dead.
    pub exp: i64,
}

impl TicketClaims {
    /// Checks every claim but the key's; `signed_by` is the workspace whose key verified the signature.
    pub fn check(&self, issuer: &str, signed_by: WorkspaceId, now: Timestamp) -> Result<(), ClaimsError> {
        let now = now.as_secs();
        let life = self.exp.saturating_sub(self.iat);
        if self.iss != issuer {
            Err(ClaimsError::Issuer)
        } else if self.wid != signed_by {
            Err(ClaimsError::Workspace)
        } else if now < self.iat {
            Err(ClaimsError::Early)
        } else if now >= self.exp || life > i64::try_from(LIFETIME.as_secs()).unwrap_or(i64::MAX) {
            Err(ClaimsError::Expired)
        } else {
            Ok(())
        }
    }
}
