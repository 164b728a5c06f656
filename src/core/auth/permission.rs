// SPDX-License-Identifier: AGPL-3.0-or-later
//! Roles, permissions, and who may administer whom.
//!
//! `docs/permissions.md` says for each permission where it is enforced.

use serde::{Deserialize, Serialize};

use crate::values::id::AccountId;

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

/// The roles of an account, one at least. The highest wins; one below it counts when the higher is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    highest: Role,
    bits: u8,
}

impl Roles {
    /// This one alone.
    pub const fn only(role: Role) -> Self {
        Self { highest: role, bits: 1 << role as u8 }
    }

    /// These; `None` when there are none.
    pub fn of(roles: impl IntoIterator<Item = Role>) -> Option<Self> {
        let all = roles
            .into_iter()
            .fold((None, 0), |(highest, bits), role| (highest.max(Some(role)), bits | 1 << role as u8));
        all.0.map(|highest| Self { highest, bits: all.1 })
    }

    /// The one that wins.
    pub const fn highest(self) -> Role {
        self.highest
    }

    /// All of them, the lowest first.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.bits & (1 << *role as u8) != 0)
    }

    /// Their names as they are stored: the lowest first, a space between two.
    pub fn to_names(self) -> String {
        self.iter().map(Role::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Reads stored names; `None` when one is none, or there are none.
    pub fn from_names(names: &str) -> Option<Self> {
        let roles: Option<Vec<_>> = names.split(' ').map(Role::from_name).collect();
        Self::of(roles?)
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

impl Permission {
    /// The permission with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == name)
    }

    /// Whether tickets grant it, for a room.
    pub const fn is_of_a_room(self) -> bool {
        matches!(self, Self::RoomJoin | Self::RoomVoice | Self::RoomScreenShare | Self::RoomModerate)
    }

    fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Permissions(u32);

impl Permissions {
    /// None.
    pub const NONE: Self = Self(0);

    /// Whether it is among them.
    pub fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// These and this one.
    #[must_use]
    pub fn with(self, permission: Permission) -> Self {
        Self(self.0 | permission.bit())
    }

    /// These without this one.
    #[must_use]
    pub fn without(self, permission: Permission) -> Self {
        Self(self.0 & !permission.bit())
    }

    /// All of them, in the order of [`Permission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.has(*permission))
    }

    /// Their names as they are stored: in alphabetical order, a space between two.
    pub fn to_names(self) -> String {
        let mut names: Vec<_> = self.iter().map(Permission::as_str).collect();
        names.sort_unstable();
        names.join(" ")
    }

    /// Reads stored names; `None` when one is none.
    pub fn from_names(names: &str) -> Option<Self> {
        let mut all = names.split(' ').filter(|name| !name.is_empty()).map(Permission::from_name);
        all.try_fold(Self::NONE, |all, permission| Some(all.with(permission?)))
    }
}

/// Where a permission comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The role carries it.
    Role,
    /// It was given by hand.
    Hand,
}

/// What an account may do: what its role carries, and what it was given by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Its role.
    pub role: Role,
    /// What it was given.
    pub by_hand: Permissions,
}

impl Rights {
    /// Those of a role, and nothing by hand.
    pub const fn of(role: Role) -> Self {
        Self { role, by_hand: Permissions::NONE }
    }

    /// Whether it has a permission.
    pub fn has(self, permission: Permission) -> bool {
        self.source(permission).is_some()
    }

    /// Where it has a permission from. What the role carries need not be given.
    pub fn source(self, permission: Permission) -> Option<Source> {
        if self.role.carries(permission) {
            return Some(Source::Role);
        }
        self.by_hand.has(permission).then_some(Source::Hand)
    }

    /// All of them, in the order of [`Permission::ALL`].
    pub fn permissions(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.has(*permission))
    }
}

/// Somebody who may look after accounts: by role, or as a Power User does because the right was given by hand.
#[derive(Debug, Clone, Copy)]
pub struct Administrator {
    rights: Rights,
    own: Option<AccountId>,
}

impl Administrator {
    /// With these rights; `own` is its account, when it has one in this workspace.
    pub const fn new(rights: Rights, own: Option<AccountId>) -> Self {
        Self { rights, own }
    }

    /// The role as which it acts.
    pub fn role(self) -> Role {
        self.rights.role.max(Role::PowerUser)
    }

    /// Whether it may change, or sign in for, this account. But for Admins: nobody itself, and nobody who was given what
    /// one does not have, or a new password would be a way to it.
    pub fn manages(self, account: AccountId, other: Rights) -> bool {
        let has_all = || other.by_hand.iter().all(|permission| self.rights.has(permission));
        self.role() == Role::Admin || self.role().manages(other.role) && self.own != Some(account) && has_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_by_hand_adds_to_the_role_and_takes_nothing() {
        let given = Permissions::NONE.with(Permission::RoomModerate).with(Permission::RoomJoin);
        let rights = Rights { role: Role::Guest, by_hand: given };
        let sources =
            [Permission::RoomJoin, Permission::RoomModerate, Permission::RoomCreate].map(|one| rights.source(one));
        assert_eq!(sources, [Some(Source::Role), Some(Source::Hand), None]);
        assert_eq!(rights.permissions().collect::<Vec<_>>(), [Permission::RoomJoin, Permission::RoomModerate]);
        assert_eq!(Rights::of(Role::Admin).permissions().count(), Permission::ALL.len() - 1);
    }

    #[test]
    fn who_was_given_accounts_manages_others_who_have_no_more_and_not_itself() {
        let [own, other] = [1, 2].map(|byte| AccountId::from_bytes([byte; 16]));
        let user = |given: &[Permission]| Rights {
            role: Role::User,
            by_hand: given.iter().fold(Permissions::NONE, |all, one| all.with(*one)),
        };
        let holder = Administrator::new(user(&[Permission::AccountManage]), Some(own));
        assert_eq!(holder.role(), Role::PowerUser);
        assert!(holder.manages(other, user(&[])) && holder.manages(other, user(&[Permission::AccountManage])));
        assert!(!holder.manages(other, user(&[Permission::WorkspaceAudit])));
        assert!(!holder.manages(own, user(&[Permission::AccountManage])));
        assert!(!holder.manages(other, Rights::of(Role::PowerUser)));
        let admin = Administrator::new(Rights::of(Role::Admin), Some(own));
        assert!(admin.manages(own, Rights::of(Role::Admin)) && admin.manages(other, user(&[Permission::EarlyAccess])));
        let power_user = Administrator::new(Rights::of(Role::PowerUser), Some(own));
        assert!(power_user.manages(other, user(&[Permission::RoomModerate])));
        assert!(!power_user.manages(other, user(&[Permission::AccountPasswordReset])));
    }

    #[test]
    fn sets_of_permissions_read_back_by_their_names() {
        let all = Permission::ALL.into_iter().fold(Permissions::NONE, Permissions::with);
        assert_eq!(Permissions::from_names(&all.to_names()), Some(all));
        assert_eq!(Permissions::from_names(""), Some(Permissions::NONE));
        assert_eq!(Permissions::from_names("room.join room.fly"), None);
        let two = Permissions::from_names("room.voice room.join").unwrap();
        assert_eq!(two.to_names(), "room.join room.voice");
        assert_eq!(two.without(Permission::RoomVoice).to_names(), "room.join");
        assert!(Permission::ALL.len() <= 32, "the set is 32 bits");
    }

    #[test]
    fn the_highest_of_several_roles_wins_and_their_names_read_back() {
        let roles = Roles::of([Role::User, Role::Guest, Role::PowerUser]).unwrap();
        assert_eq!(roles.highest(), Role::PowerUser);
        assert_eq!(roles.to_names(), "guest user power_user");
        assert_eq!(Roles::from_names(&roles.to_names()), Some(roles));
        assert_eq!(Roles::of([Role::Admin]), Some(Roles::only(Role::Admin)));
        assert_eq!(Roles::of([]), None);
        for bad in ["", "user  guest", "user root", " user"] {
            assert_eq!(Roles::from_names(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_guest_may_enter_and_nothing_else() {
        let names: Vec<_> = Rights::of(Role::Guest).permissions().map(Permission::as_str).collect();
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
