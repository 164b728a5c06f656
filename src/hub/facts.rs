// SPDX-License-Identifier: AGPL-3.0-or-later
//! What can be known of a meeting from outside: who is there, what was counted, how keys changed. No content, no key,
//! no address of a person.

use std::time::Duration;

use crate::core::keys::epoch::reason::{Fate, Reasons};
use crate::core::room::member::Counted;
use crate::values::id::{AccountId, MeetingId, RoomId, SessionId, WorkspaceId};
use crate::values::name::{DisplayName, RoomName};
use crate::values::time::Timestamp;
use crate::wire::kid::{Channel, Epoch, Participant};

/// A live meeting.
#[derive(Debug, Clone)]
pub struct MeetingFacts {
    /// Its id.
    pub id: MeetingId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// Where.
    pub room: RoomId,
    /// What the room is called.
    pub room_name: RoomName,
    /// Since when.
    pub began_at: Timestamp,
    /// Nobody else may enter.
    pub locked: bool,
    /// The epoch that participants seal under.
    pub epoch: Option<Epoch>,
    /// Who is there, by number.
    pub participants: Vec<ParticipantFacts>,
    /// Who waits in the lobby.
    pub waiting: Vec<WaiterFacts>,
    /// How keys changed, the last 256 lines, oldest first.
    pub ledger: Vec<LedgerLine>,
}

/// All meetings together.
#[derive(Debug, Clone, Copy)]
pub struct Totals {
    /// Live ones.
    pub meetings: usize,
    /// People in them, those who are away included.
    pub participants: usize,
    /// People in lobbies.
    pub waiting: usize,
    /// Since the start, in those that are over too.
    pub counted: Counted,
}

/// Somebody in a meeting.
#[derive(Debug, Clone)]
pub struct ParticipantFacts {
    /// Its number.
    pub number: Participant,
    /// Which account.
    pub account: AccountId,
    /// Which session.
    pub session: SessionId,
    /// What others see.
    pub display_name: DisplayName,
    /// Since when.
    pub joined_at: Timestamp,
    /// `quic` or `webtransport`; `None` while it is away.
    pub carrier: Option<&'static str>,
    /// Says so itself.
    pub muted: bool,
    /// The relay does not forward its voice: a moderator, its account or the room.
    pub silenced: bool,
    /// A moderator may do things.
    pub moderator: bool,
    /// Round trip time, as QUIC measures it.
    pub rtt: Option<Duration>,
    /// By channel, in the order of [`Channel::ALL`].
    pub channels: [ChannelFacts; Channel::ALL.len()],
    /// Poses that were overwritten before this participant was sent them: by design.
    pub superseded: u64,
    /// Frames this participant was not sent because its path or its budget was full.
    pub culled: u64,
    /// Frames of this participant that never reached the relay, by gaps in its counters.
    pub lost: u64,
    /// Refused frames by reason, those that happened.
    pub refusals: Vec<(&'static str, u64)>,
}

/// What was counted on a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChannelFacts {
    /// Frames accepted from the participant.
    pub frames_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Frames sent to the participant.
    pub frames_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
}

/// Somebody in the lobby.
#[derive(Debug, Clone)]
pub struct WaiterFacts {
    /// The number to admit or turn away.
    pub number: u32,
    /// Which account.
    pub account: AccountId,
    /// What others will see.
    pub display_name: DisplayName,
    /// Since when.
    pub since: Timestamp,
}

/// A line of the epoch ledger.
#[derive(Debug, Clone, Copy)]
pub struct LedgerLine {
    /// Which epoch.
    pub epoch: Epoch,
    /// Why it began.
    pub reasons: Reasons,
    /// When this became of it.
    pub at: Timestamp,
    /// What became of it.
    pub fate: Fate,
}
