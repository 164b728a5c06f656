// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a room permits, and to whom. Stored with the room; a meeting follows every change at once.

use serde::{Deserialize, Serialize};

use crate::core::auth::permission::{Permission, Rights, Role};
use crate::core::auth::ticket::Grant;
use crate::core::keys::epoch::RotationInterval;

/// Participants of a meeting at most. A relay on one core serves 100 with room to spare (docs/benchmarks.md).
pub const CAPACITY_MAX: u16 = 500;
/// Participants of a meeting when nobody says otherwise.
pub const CAPACITY_DEFAULT: u16 = 100;
/// Loudest voices forwarded when nobody says otherwise: more at once is noise to people.
pub const VOICES_DEFAULT: u16 = 8;

/// Who waits in the lobby until a moderator admits them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lobby {
    /// Nobody.
    Off,
    /// Guests.
    Guests,
    /// All but moderators.
    Everyone,
}

impl Lobby {
    /// Every value, in the order of the documents.
    pub const ALL: [Self; 3] = [Self::Off, Self::Guests, Self::Everyone];

    /// The name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Guests => "guests",
            Self::Everyone => "everyone",
        }
    }

    /// The value with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lobby| lobby.as_str() == name)
    }
}

/// What a room permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomPolicy {
    /// Voice is forwarded.
    pub voice: bool,
    /// Screens may be shared.
    pub screen_share: bool,
    /// Clients may put eye, face and body data into poses. The relay cannot see them.
    pub sensors: bool,
    /// Participants at most, 1 to [`CAPACITY_MAX`].
    pub capacity: u16,
    /// The lowest role that may enter.
    pub entry: Role,
    /// Who waits first.
    pub lobby: Lobby,
    /// Loudest voices forwarded to each; 0: all.
    pub voices: u16,
    /// How often keys change when nobody comes or goes.
    pub rotation: RotationInterval,
}

impl Default for RoomPolicy {
    fn default() -> Self {
        Self {
            voice: true,
            screen_share: true,
            sensors: false,
            capacity: CAPACITY_DEFAULT,
            entry: Role::Guest,
            lobby: Lobby::Off,
            voices: VOICES_DEFAULT,
            rotation: RotationInterval::default(),
        }
    }
}

impl RoomPolicy {
    /// What an account with these rights may do in the room; `None` when it may not enter, which is by its role.
    /// `voice_off`: an admin switched the account's voice off.
    pub fn grant(&self, rights: Rights, voice_off: bool) -> Option<Grant> {
        if rights.role < self.entry || !rights.has(Permission::RoomJoin) {
            return None;
        }
        let moderate = rights.has(Permission::RoomModerate);
        Some(Grant {
            voice: rights.has(Permission::RoomVoice),
            voice_off,
            screen: rights.has(Permission::RoomScreenShare),
            moderate,
            lobby: match self.lobby {
                Lobby::Off => false,
                Lobby::Guests => rights.role == Role::Guest,
                Lobby::Everyone => !moderate,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_gets_what_it_carries_and_no_more() {
        let policy = RoomPolicy::default();
        let grant = |voice, screen, moderate| Some(Grant { voice, voice_off: false, screen, moderate, lobby: false });
        assert_eq!(policy.grant(Rights::of(Role::Guest), false), grant(false, false, false));
        assert_eq!(policy.grant(Rights::of(Role::User), false), grant(true, true, false));
        assert_eq!(
            policy.grant(Rights::of(Role::User), true).map(|grant| (grant.voice, grant.voice_off)),
            Some((true, true))
        );
        assert_eq!(policy.grant(Rights::of(Role::PowerUser), false), grant(true, true, true));
    }

    #[test]
    fn entry_and_lobby_are_by_role() {
        let policy = RoomPolicy { entry: Role::User, lobby: Lobby::Everyone, ..RoomPolicy::default() };
        assert_eq!(policy.grant(Rights::of(Role::Guest), false), None);
        assert_eq!(policy.grant(Rights::of(Role::User), false).map(|grant| grant.lobby), Some(true));
        assert_eq!(policy.grant(Rights::of(Role::Admin), false).map(|grant| grant.lobby), Some(false));
        let guests = RoomPolicy { lobby: Lobby::Guests, ..RoomPolicy::default() };
        let waits =
            [Role::Guest, Role::User].map(|role| guests.grant(Rights::of(role), false).map(|grant| grant.lobby));
        assert_eq!(waits, [Some(true), Some(false)]);
    }
}
