// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a workspace permits its people. Its admins decide; rooms and accounts can only be stricter.

use std::time::Duration;

use crate::core::auth::refresh::Lifetime;
use crate::core::room::policy::RoomPolicy;
use crate::core::workspace::DAY;

/// An hour.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A persistent cookie ends after this, however often it is renewed.
const PERSISTENT_AT_MOST: Duration = Duration::from_secs(365 * DAY.as_secs());

/// What a workspace permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkspacePolicy {
    /// Voice is forwarded in its meetings.
    pub voice: bool,
    /// Screens may be shared in its meetings.
    pub screen_share: bool,
    /// Guests may sign in.
    pub guests: bool,
    /// Scripts may sign in without sealing the credential.
    pub plain_sign_in: bool,
    /// Who signs in is signed out everywhere else.
    pub single_device: bool,
    /// Hours after which a session that nobody uses ends, 1 to 168.
    pub idle_hours: u16,
    /// Days after which a session ends however busy, 1 to 90.
    pub session_days: u16,
    /// Days for which a browser may stay signed in without a visit, 0 (not at all) to 90.
    pub persistent_days: u16,
}

impl Default for WorkspacePolicy {
    fn default() -> Self {
        Self {
            voice: true,
            screen_share: true,
            guests: true,
            plain_sign_in: false,
            single_device: false,
            idle_hours: 12,
            session_days: 30,
            persistent_days: 30,
        }
    }
}

/// A number that a policy does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is {least} to {most}")]
pub struct OutOfBounds {
    /// Of what.
    pub name: &'static str,
    /// The least.
    pub least: u16,
    /// The most.
    pub most: u16,
}

impl WorkspacePolicy {
    /// The same, when its numbers are within their bounds.
    pub fn checked(self) -> Result<Self, OutOfBounds> {
        let bounds = [
            ("idle_hours", self.idle_hours, 1, 168),
            ("session_days", self.session_days, 1, 90),
            ("persistent_days", self.persistent_days, 0, 90),
        ];
        let outside = bounds.into_iter().find(|(_, value, least, most)| !(least..=most).contains(&value));
        outside.map_or(Ok(self), |(name, _, least, most)| Err(OutOfBounds { name, least, most }))
    }

    /// How long its sessions live; `None`: it has no persistent ones.
    pub fn lifetime(&self, persistent: bool) -> Option<Lifetime> {
        if !persistent {
            return Some(Lifetime {
                idle: HOUR * u32::from(self.idle_hours),
                absolute: DAY * u32::from(self.session_days),
            });
        }
        let idle = DAY * u32::from(self.persistent_days);
        (!idle.is_zero()).then_some(Lifetime { idle, absolute: PERSISTENT_AT_MOST })
    }

    /// What a room with this policy permits here.
    #[must_use]
    pub const fn within(&self, room: RoomPolicy) -> RoomPolicy {
        RoomPolicy { voice: room.voice && self.voice, screen_share: room.screen_share && self.screen_share, ..room }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_can_only_be_stricter() {
        let (open, quiet) = (RoomPolicy::default(), RoomPolicy { voice: false, ..RoomPolicy::default() });
        let all = WorkspacePolicy::default();
        let without_voice = WorkspacePolicy { voice: false, ..all };
        let without_screens = WorkspacePolicy { screen_share: false, ..all };
        assert_eq!((all.within(open), all.within(quiet)), (open, quiet));
        assert!(!without_voice.within(open).voice && without_voice.within(open).screen_share);
        assert!(without_screens.within(open).voice && !without_screens.within(open).screen_share);
    }

    #[test]
    fn numbers_have_bounds_and_the_refusal_names_them() {
        let all = WorkspacePolicy::default();
        assert_eq!(all.checked(), Ok(all));
        let refused = WorkspacePolicy { idle_hours: 0, ..all }.checked().unwrap_err();
        assert_eq!(refused.to_string(), "`idle_hours` is 1 to 168");
        assert!(WorkspacePolicy { session_days: 91, ..all }.checked().is_err());
        assert!(WorkspacePolicy { persistent_days: 0, ..all }.checked().is_ok());
    }

    #[test]
    fn a_workspace_without_persistent_sessions_has_none() {
        let none = WorkspacePolicy { persistent_days: 0, ..WorkspacePolicy::default() };
        assert_eq!(none.lifetime(true), None);
        assert_eq!(none.lifetime(false).unwrap().idle, HOUR * 12);
        assert_eq!(WorkspacePolicy::default().lifetime(true).unwrap().idle, DAY * 30);
    }
}
