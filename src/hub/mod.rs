// SPDX-License-Identifier: AGPL-3.0-or-later
//! Live meetings, and what everybody outside the relay may know of them and do with them.
//!
//! Knows no socket, no route and no file.

use std::sync::Arc;

use crate::core::room::policy::RoomPolicy;
use crate::hub::facts::MeetingFacts;
use crate::hub::tickets::Tickets;
use crate::platform::clock::Clock;
use crate::values::id::{AccountId, MeetingId, RoomId, SessionId, WorkspaceId};
use crate::wire::kid::Participant;

pub mod facts;
pub mod tickets;

/// What somebody who may moderate does with a meeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Do not forward this voice.
    Mute(Participant),
    /// Forward it again.
    Unmute(Participant),
    /// Do not forward any voice of those who are there, but this one's.
    MuteAll {
        /// Who is left out.
        but: Option<Participant>,
    },
    /// Remove.
    Kick(Participant),
    /// Let nobody else enter, or let them again.
    Lock(bool),
    /// Let somebody in from the lobby.
    Admit(u32),
    /// Send somebody in the lobby away.
    TurnAway(u32),
    /// Change keys.
    Rotate,
    /// Send everybody away.
    End,
}

/// There is no such meeting, participant or waiter (any more).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such meeting, participant or waiter")]
pub struct NotThere;

/// The live meetings.
pub struct Hub {
    clock: Clock,
    tickets: Tickets,
}

impl Hub {
    /// Without meetings.
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, tickets: Tickets::default() })
    }

    /// Tickets handed out.
    pub const fn tickets(&self) -> &Tickets {
        &self.tickets
    }

    /// The live meetings of a workspace, the oldest first.
    pub fn meetings(&self, _workspace: WorkspaceId) -> Vec<MeetingFacts> {
        Vec::new()
    }

    /// One live meeting.
    pub fn meeting(&self, _workspace: WorkspaceId, _meeting: MeetingId) -> Option<MeetingFacts> {
        None
    }

    /// Does what a moderator says.
    pub fn moderate(&self, _workspace: WorkspaceId, _meeting: MeetingId, _action: Action) -> Result<(), NotThere> {
        Err(NotThere)
    }

    /// The room permits something else from now on.
    pub fn apply_policy(&self, _workspace: WorkspaceId, _room: RoomId, _policy: RoomPolicy) {}

    /// The room is gone: its meeting ends.
    pub fn close_room(&self, _workspace: WorkspaceId, _room: RoomId) {}

    /// A session ended: what was joined with it ends too.
    pub fn end_session(&self, _workspace: WorkspaceId, _session: SessionId) {}

    /// All sessions of an account ended, but perhaps one.
    pub fn end_account(&self, _workspace: WorkspaceId, _account: AccountId, _keep: Option<SessionId>) {}

    /// An admin switched the voice of an account off or on.
    pub fn set_account_voice(&self, _workspace: WorkspaceId, _account: AccountId, _voice_off: bool) {}
}
