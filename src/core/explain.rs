// SPDX-License-Identifier: AGPL-3.0-or-later
//! Why somebody may do something, or not: the role, what was given by hand, and what stands in the way.

use crate::core::auth::permission::{Permission, Rights, Role, Source};
use crate::core::room::policy::RoomPolicy;
use crate::core::workspace::Standstill;
use crate::core::workspace::policy::WorkspacePolicy;

/// What stands in the way of a permission, whether one has it or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The account is switched off.
    AccountDisabled,
    /// An admin switched the voice of the account off.
    AccountVoiceOff,
    /// Nobody may use the workspace now.
    Standstill(Standstill),
    /// Nobody accepted the agreement for the workspace.
    AgreementMissing,
    /// The workspace lets no guests in.
    WorkspaceGuestsOff,
    /// The workspace has no voice.
    WorkspaceVoiceOff,
    /// The workspace has no screen sharing.
    WorkspaceScreenShareOff,
    /// Voice is off for the whole appliance.
    ApplianceVoiceOff,
    /// The room is for higher roles.
    RoomEntry,
    /// The room has no voice.
    RoomVoiceOff,
    /// The room has no screen sharing.
    RoomScreenShareOff,
    /// The files of the workspace are read-only.
    WorkspaceReadOnly,
    /// It is of no use without the right to manage accounts.
    AccountManageMissing,
}

impl Obstacle {
    /// The name in the API and in the documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountDisabled => "account-disabled",
            Self::AccountVoiceOff => "account-voice-off",
            Self::Standstill(Standstill::TrialOver) => "workspace-trial-over",
            Self::Standstill(Standstill::Suspended) => "workspace-suspended",
            Self::Standstill(Standstill::Closed) => "workspace-closed",
            Self::AgreementMissing => "workspace-agreement-missing",
            Self::WorkspaceGuestsOff => "workspace-guests-off",
            Self::WorkspaceVoiceOff => "workspace-voice-off",
            Self::WorkspaceScreenShareOff => "workspace-screen-share-off",
            Self::ApplianceVoiceOff => "appliance-voice-off",
            Self::RoomEntry => "room-entry",
            Self::RoomVoiceOff => "room-voice-off",
            Self::RoomScreenShareOff => "room-screen-share-off",
            Self::WorkspaceReadOnly => "workspace-read-only",
            Self::AccountManageMissing => "account-manage-missing",
        }
    }
}

/// Of whom and where it is asked.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What the account has.
    pub rights: Rights,
    /// Whether it may be used.
    pub is_active: bool,
    /// Whether its voice is switched off.
    pub voice_off: bool,
    /// Whether the workspace takes writes.
    pub is_writable: bool,
    /// Why nobody may use the workspace, if so.
    pub standstill: Option<Standstill>,
    /// Whether an agreement was accepted for it, or none is needed.
    pub is_agreed: bool,
    /// What the workspace permits.
    pub workspace: WorkspacePolicy,
    /// Whether voice is on for the whole appliance.
    pub appliance_voice: bool,
    /// The rules of the room in question; without one, of no room.
    pub room: Option<RoomPolicy>,
}

/// Why a permission is effective, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Where it comes from; `None`: the account does not have it.
    pub source: Option<Source>,
    /// What stands in its way.
    pub obstacles: Vec<Obstacle>,
}

impl Explained {
    /// Whether the account may do it now.
    pub fn is_effective(&self) -> bool {
        self.source.is_some() && self.obstacles.is_empty()
    }
}

/// Whether it ends in something written; each ticket is.
const fn writes(permission: Permission) -> bool {
    matches!(
        permission,
        Permission::AccountManage
            | Permission::AccountPasswordReset
            | Permission::RoomJoin
            | Permission::RoomVoice
            | Permission::RoomScreenShare
            | Permission::RoomCreate
            | Permission::RoomModerate
            | Permission::WorkspacePolicy
            | Permission::PrivacyRequests
    )
}

impl Case {
    /// Explains a permission.
    pub fn explain(&self, permission: Permission) -> Explained {
        use Permission::{RoomScreenShare, RoomVoice};
        let room = self.room.filter(|_| permission.is_of_a_room());
        let is_guest = self.rights.role == Role::Guest;
        let stopped = self.standstill.map(|standstill| (Obstacle::Standstill(standstill), true));
        let stands = [
            (Obstacle::AgreementMissing, !self.is_agreed),
            (Obstacle::AccountDisabled, !self.is_active),
            (Obstacle::WorkspaceGuestsOff, is_guest && !self.workspace.guests),
            (Obstacle::ApplianceVoiceOff, permission == RoomVoice && !self.appliance_voice),
            (Obstacle::WorkspaceVoiceOff, permission == RoomVoice && !self.workspace.voice),
            (Obstacle::WorkspaceScreenShareOff, permission == RoomScreenShare && !self.workspace.screen_share),
            (Obstacle::AccountVoiceOff, permission == RoomVoice && self.voice_off),
            (Obstacle::RoomEntry, room.is_some_and(|room| room.grant(self.rights, false).is_none())),
            (Obstacle::RoomVoiceOff, permission == RoomVoice && room.is_some_and(|room| !room.voice)),
            (
                Obstacle::RoomScreenShareOff,
                permission == RoomScreenShare && room.is_some_and(|room| !room.screen_share),
            ),
            (Obstacle::WorkspaceReadOnly, writes(permission) && !self.is_writable),
            (
                Obstacle::AccountManageMissing,
                permission == Permission::AccountPasswordReset && !self.rights.has(Permission::AccountManage),
            ),
        ];
        let obstacles =
            stopped.into_iter().chain(stands).filter(|(_, stands)| *stands).map(|(obstacle, _)| obstacle).collect();
        Explained { source: self.rights.source(permission), obstacles }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::auth::permission::{Permissions, Role};

    #[test]
    fn the_table_of_reasons() {
        let by_hand = Permissions::NONE.with(Permission::RoomModerate);
        let user = Case {
            rights: Rights { role: Role::User, by_hand },
            is_active: true,
            voice_off: false,
            is_writable: true,
            standstill: None,
            is_agreed: true,
            workspace: WorkspacePolicy::default(),
            appliance_voice: true,
            room: None,
        };
        let deaf = RoomPolicy { voice: false, screen_share: false, ..RoomPolicy::default() };
        let quiet = WorkspacePolicy { voice: false, guests: false, ..WorkspacePolicy::default() };
        let over = Obstacle::Standstill(Standstill::TrialOver);
        let high = RoomPolicy { entry: Role::Admin, ..RoomPolicy::default() };
        let (role, hand) = (Some(Source::Role), Some(Source::Hand));
        for (case, permission, source, obstacles) in [
            (user, Permission::RoomVoice, role, vec![]),
            (user, Permission::RoomModerate, hand, vec![]),
            (user, Permission::WorkspaceAudit, None, vec![]),
            (Case { is_active: false, ..user }, Permission::RoomJoin, role, vec![Obstacle::AccountDisabled]),
            (Case { voice_off: true, ..user }, Permission::RoomVoice, role, vec![Obstacle::AccountVoiceOff]),
            (Case { voice_off: true, ..user }, Permission::RoomScreenShare, role, vec![]),
            (Case { room: Some(deaf), ..user }, Permission::RoomVoice, role, vec![Obstacle::RoomVoiceOff]),
            (Case { room: Some(deaf), ..user }, Permission::RoomScreenShare, role, vec![Obstacle::RoomScreenShareOff]),
            (Case { room: Some(deaf), ..user }, Permission::RoomJoin, role, vec![]),
            (Case { room: Some(high), ..user }, Permission::RoomModerate, hand, vec![Obstacle::RoomEntry]),
            (Case { room: Some(high), ..user }, Permission::MenuTravel, role, vec![]),
            (Case { workspace: quiet, ..user }, Permission::RoomVoice, role, vec![Obstacle::WorkspaceVoiceOff]),
            (Case { workspace: quiet, ..user }, Permission::RoomJoin, role, vec![]),
            (
                Case { workspace: quiet, rights: Rights::of(Role::Guest), ..user },
                Permission::RoomJoin,
                role,
                vec![Obstacle::WorkspaceGuestsOff],
            ),
            (Case { appliance_voice: false, ..user }, Permission::RoomVoice, role, vec![Obstacle::ApplianceVoiceOff]),
            (Case { standstill: Some(Standstill::TrialOver), ..user }, Permission::RoomJoin, role, vec![over]),
            (Case { is_agreed: false, ..user }, Permission::RoomJoin, role, vec![Obstacle::AgreementMissing]),
            (Case { is_writable: false, ..user }, Permission::RoomModerate, hand, vec![Obstacle::WorkspaceReadOnly]),
            (Case { is_writable: false, ..user }, Permission::RoomJoin, role, vec![Obstacle::WorkspaceReadOnly]),
            (Case { is_writable: false, ..user }, Permission::MenuTravel, role, vec![]),
            (user, Permission::AccountPasswordReset, None, vec![Obstacle::AccountManageMissing]),
            (Case { rights: Rights::of(Role::Admin), ..user }, Permission::AccountPasswordReset, role, vec![]),
        ] {
            let explained = case.explain(permission);
            let is_effective = source.is_some() && obstacles.is_empty();
            assert_eq!(explained, Explained { source, obstacles }, "{permission:?}");
            assert_eq!(explained.is_effective(), is_effective);
        }
    }
}
