// SPDX-License-Identifier: AGPL-3.0-or-later
//! Shapes of live meetings, as moderators see them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::types::rooms::RoomRef;
use crate::core::auth::permission::Role;
use crate::values::id::{AccountId, MeetingId};
use crate::values::name::{DisplayName, UserName};
use crate::values::time::Timestamp;

/// A live meeting, in a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MeetingSummary {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    pub id: MeetingId,
    /// Where.
    pub room: RoomRef,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub began_at: Timestamp,
    /// Nobody else may enter.
    pub locked: bool,
    /// How many are there.
    pub participants: usize,
    /// How many wait in the lobby.
    pub waiting: usize,
}

/// Live meetings, the oldest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MeetingList {
    /// All of them.
    pub meetings: Vec<MeetingSummary>,
}

/// A live meeting.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MeetingView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    pub id: MeetingId,
    /// Where.
    pub room: RoomRef,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub began_at: Timestamp,
    /// Nobody else may enter.
    pub locked: bool,
    /// The epoch that participants seal under; absent until the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// Who is there, by number.
    pub participants: Vec<ParticipantView>,
    /// Who waits in the lobby.
    pub waiting: Vec<WaiterView>,
}

/// Whose account somebody came with.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AccountRef {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    pub id: AccountId,
    /// What the person signs in with.
    pub user_name: UserName,
    /// Its role.
    pub role: Role,
}

/// Somebody in a meeting.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ParticipantView {
    /// Its number; another one after every time it comes back.
    pub number: u16,
    /// What others see.
    pub display_name: DisplayName,
    /// Its account, unless that is not for the caller to see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountRef>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub joined_at: Timestamp,
    /// `quic` or `webtransport`; absent while it is away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// Says so itself.
    pub muted: bool,
    /// Its voice is not forwarded: a moderator, an admin or the room.
    pub silenced: bool,
    /// May moderate.
    pub moderator: bool,
    /// Round trip time in microseconds, as QUIC measures it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_micros: Option<u64>,
    /// What was counted on each channel.
    pub channels: ChannelsView,
    /// Poses that were overwritten before it was sent them: by design.
    pub superseded: u64,
    /// Frames it was not sent because its path or its budget was full.
    pub culled: u64,
    /// Frames of it that never reached the relay.
    pub lost: u64,
    /// Frames of it that were refused, by reason.
    pub refusals: BTreeMap<String, u64>,
}

/// What was counted on each channel.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct ChannelsView {
    /// Pose.
    pub pose: ChannelView,
    /// Voice.
    pub voice: ChannelView,
    /// Event.
    pub event: ChannelView,
    /// Screen.
    pub screen: ChannelView,
}

/// What was counted on a channel.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct ChannelView {
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
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct WaiterView {
    /// The number to admit or turn away.
    pub number: u32,
    /// What others will see.
    pub display_name: DisplayName,
    /// Its account, unless that is not for the caller to see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountRef>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

/// How the keys of a meeting changed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LedgerView {
    /// The last 256 lines, oldest first.
    pub lines: Vec<LedgerLineView>,
}

/// A line of the epoch ledger. Never a key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LedgerLineView {
    /// Which epoch.
    pub epoch: u32,
    /// Why it began: `timer`, `join`, `leave`, `kick`, `lost_resume`, `demand`.
    pub reasons: Vec<String>,
    /// When this became of it.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What became of it: `announced`, `discarded`, `switched` or `retired`.
    pub fate: String,
    /// Members that were handed its secret, or told of the switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<usize>,
    /// Of these, those that had not said they were ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<usize>,
}
