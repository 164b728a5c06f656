// SPDX-License-Identifier: AGPL-3.0-or-later
//! Shapes of rooms and tickets.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::types::{Base64, object};
use crate::core::auth::permission::Role;
use crate::core::auth::ticket::KeyThumbprint;
use crate::core::room::policy::{Lobby, RoomPolicy};
use crate::values::id::{MeetingId, RoomId};
use crate::values::name::{DisplayName, RoomName};
use crate::values::time::Timestamp;

/// What a room permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyView {
    /// Voice is forwarded.
    pub voice: bool,
    /// Screens may be shared.
    pub screen_share: bool,
    /// Clients may put eye, face and body data into poses.
    pub sensors: bool,
    /// Participants at most.
    pub capacity: u16,
    /// The lowest role that may enter.
    pub entry: Role,
    /// Who waits until a moderator admits them: `off`, `guests` or `everyone` (but moderators).
    pub lobby: Lobby,
    /// Loudest voices forwarded to each; 0: all.
    pub voices: u16,
    /// How often keys change when nobody comes or goes, in seconds.
    pub rotation_seconds: u64,
}

impl From<RoomPolicy> for PolicyView {
    fn from(policy: RoomPolicy) -> Self {
        let RoomPolicy { voice, screen_share, sensors, capacity, entry, lobby, voices, rotation } = policy;
        let rotation_seconds = rotation.as_duration().as_secs();
        Self { voice, screen_share, sensors, capacity, entry, lobby, voices, rotation_seconds }
    }
}

/// What a room shall permit; what is absent stays, in a new room at its default.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyChange {
    /// Voice is forwarded; `true` in a new room.
    pub voice: Option<bool>,
    /// Screens may be shared; `true` in a new room.
    pub screen_share: Option<bool>,
    /// Clients may put eye, face and body data into poses; `false` in a new room.
    pub sensors: Option<bool>,
    /// Participants at most; 100 in a new room.
    #[schema(minimum = 1, maximum = 500)]
    pub capacity: Option<u16>,
    /// The lowest role that may enter, at most one's own; `guest` in a new room.
    pub entry: Option<Role>,
    /// Who waits until a moderator admits them: `off`, `guests` or `everyone` (but moderators); `off` in a new room.
    pub lobby: Option<Lobby>,
    /// Loudest voices forwarded to each, 0: all; 8 in a new room.
    #[schema(minimum = 0, maximum = 500)]
    pub voices: Option<u16>,
    /// How often keys change when nobody comes or goes; 30 in a new room.
    #[schema(minimum = 5, maximum = 300)]
    pub rotation_seconds: Option<u64>,
}

/// `POST …/rooms`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRoom {
    /// What people will type: a to z, digits and hyphens.
    pub name: RoomName,
    /// What it permits.
    #[serde(default, deserialize_with = "object::required")]
    pub policy: PolicyChange,
}

/// `PATCH …/rooms/{room}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateRoom {
    /// A new name.
    pub name: Option<RoomName>,
    /// What it shall permit; a live meeting follows at once.
    #[serde(default, deserialize_with = "object::required")]
    pub policy: PolicyChange,
}

/// A room.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RoomView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    pub id: RoomId,
    /// What people type.
    pub name: RoomName,
    /// What it permits.
    pub policy: PolicyView,
    /// What happens in it now.
    pub live: LiveView,
    /// Who is there now.
    pub participants: Vec<PresentView>,
    /// Since when it exists.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// What happens in a room now.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LiveView {
    /// How many are there.
    pub participants: usize,
    /// The meeting they are in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub meeting: Option<MeetingId>,
}

/// Somebody in a room, as everybody sees them who may enter it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PresentView {
    /// What others see.
    pub display_name: DisplayName,
    /// Says so itself.
    pub muted: bool,
    /// Its voice is not forwarded: a moderator, an admin or the room.
    pub silenced: bool,
}

/// Rooms by name.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RoomList {
    /// This page of those that the caller may enter.
    pub rooms: Vec<RoomView>,
    /// Give this as `after` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<RoomName>,
}

/// A room, by id and name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RoomRef {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    pub id: RoomId,
    /// What people type.
    pub name: RoomName,
}

/// `POST /api/v1/rooms/{room}/tickets`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskTicket {
    /// SHA-256 of a fresh X25519 public key, 32 bytes as base64url without padding.
    pub key_thumbprint: KeyThumbprint,
}

/// A ticket, and where to show it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TicketView {
    /// JWT (HS512); joins once.
    pub ticket: String,
    /// When it is dead.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// For which room.
    pub room: RoomRef,
    /// Where the relay is.
    pub carriers: CarriersView,
    /// SHA-256 of the current and the next certificate of the relay (`serverCertificateHashes`).
    pub certificate_hashes: Vec<Base64>,
}

/// Where the relay is, by the name the appliance was addressed by.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CarriersView {
    /// `host:port` for raw QUIC (ALPN `conclave/1`).
    pub quic: String,
    /// The URL for WebTransport.
    pub webtransport: String,
}
