// SPDX-License-Identifier: AGPL-3.0-or-later
//! Roles, permissions, and who may administer whom.
//!
//! `docs/permissions.md` says for each permission where it is enforced.

use serde::{Deserialize, Serialize};

/// A role; a later one includes the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May enter a room and has no features until given.
    Guest,
    /// A member.
    User,
    /// A member who runs rooms and looks after Users and Guests.
    PowerUser,
    /// Runs the workspace.
    Admin,
}

impl Role {
    /// Every role, lowest first.
    pub const ALL: [Self; 4] = [Self::Guest, Self::User, Self::PowerUser, Self::Admin];

    /// The name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::User => "user",
            Self::PowerUser => "power_user",
            Self::Admin => "admin",
        }
    }

    /// The role with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// Whether the role itself carries `permission`.
    pub fn carries(self, permission: Permission) -> bool {
        permission.lowest_role().is_some_and(|lowest| self >= lowest)
    }

    /// What the role carries, in the order of [`Permission::ALL`].
    pub fn permissions(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.carries(*permission))
    }

    /// Whether this role may create, change or disable accounts of role `other`.
    pub fn manages(self, other: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::PowerUser => other <= Self::User,
            Self::User | Self::Guest => false,
        }
    }

    /// Whether accounts of role `other` exist for this role in administration.
    pub fn sees(self, other: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::PowerUser => other < Self::Admin,
            Self::User | Self::Guest => false,
        }
    }
}

macro_rules! permissions {
    ($($variant:ident $name:literal $lowest:expr, $doc:literal;)*) => {
        /// A named right.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Permission {
            $(#[doc = $doc] $variant,)*
        }

        impl Permission {
            /// Every permission, in the order of the documents.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// The name in the API and in the documents.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The lowest role that carries it; `None`: by hand only.
            pub const fn lowest_role(self) -> Option<Role> {
                match self { $(Self::$variant => $lowest,)* }
            }
        }
    };
}

permissions! {
    PresentationsView "xr.presentations.view" Some(Role::User), "See presentations.";
    MenuTravel "xr.menu.travel" Some(Role::User), "Travel by the menu.";
    SmartScreenUse "xr.smartscreen.use" Some(Role::User), "Use smart screens.";
    Media360View "xr.media360.view" Some(Role::PowerUser), "See 360° media.";
    ModelsView "xr.models.view" Some(Role::PowerUser), "See 3D models.";
    RemoteDesktopStart "xr.remote_desktop.start" Some(Role::PowerUser), "Start a remote desktop.";
    CinematicUse "xr.cinematic.use" Some(Role::PowerUser), "Use cinematic mode.";
    ZonesRestricted "xr.zones.restricted" Some(Role::PowerUser), "Enter restricted zones.";
    EarlyAccess "xr.early_access" None, "Try features before their release.";
    RoomJoin "room.join" Some(Role::Guest), "Enter a room.";
    RoomVoice "room.voice" Some(Role::User), "Speak in a room.";
    RoomScreenShare "room.screen_share" Some(Role::User), "Share a screen in a room.";
    RoomModerate "room.moderate" Some(Role::PowerUser), "Mute, kick and lock.";
    RoomCreate "room.create" Some(Role::PowerUser), "Create rooms.";
    AccountManage "account.manage" Some(Role::PowerUser), "Create and change accounts.";
    AccountPasswordReset "account.password.reset" Some(Role::Admin), "Set the password of another account.";
    WorkspacePolicy "workspace.policy" Some(Role::Admin), "Change the policy of the workspace.";
    WorkspaceAudit "workspace.audit" Some(Role::Admin), "Read the audit.";
    PrivacyRequests "privacy.requests" Some(Role::Admin), "Handle privacy requests.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_may_enter_and_nothing_else() {
        let names: Vec<_> = Role::Guest.permissions().map(Permission::as_str).collect();
        assert_eq!(names, ["room.join"]);
    }

    #[test]
    fn early_access_comes_with_no_role() {
        assert!(Role::ALL.iter().all(|role| !role.carries(Permission::EarlyAccess)));
    }

    #[test]
    fn a_power_user_manages_users_and_guests_and_never_sees_an_admin() {
        use Role::{Admin, Guest, PowerUser, User};
        assert!(PowerUser.manages(User) && PowerUser.manages(Guest));
        assert!(!PowerUser.manages(PowerUser) && !PowerUser.manages(Admin));
        assert!(PowerUser.sees(PowerUser) && !PowerUser.sees(Admin));
        assert!(Admin.manages(Admin) && !User.manages(Guest));
    }

    #[test]
    fn names_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.as_str()), Some(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
    }
}
