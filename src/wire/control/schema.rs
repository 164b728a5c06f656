// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Made from `xr.proto` (`CONCLAVE_WRITE_SCHEMA=1 cargo test --lib wire::control`); do not edit.
/// What a participant says.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ClientMessage {
    #[prost(oneof = "client_message::Body", tags = "1, 2, 3, 4, 5, 6, 7, 8")]
    pub body: ::core::option::Option<client_message::Body>,
}
/// Nested message and enum types in `ClientMessage`.
pub mod client_message {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Body {
        #[prost(message, tag = "1")]
        Join(super::Join),
        #[prost(message, tag = "2")]
        Resume(super::Resume),
        #[prost(message, tag = "3")]
        Ready(super::Ready),
        #[prost(message, tag = "4")]
        SetInterest(super::SetInterest),
        #[prost(message, tag = "5")]
        SetSelf(super::SetSelf),
        #[prost(message, tag = "6")]
        Moderate(super::Moderate),
        #[prost(message, tag = "7")]
        Ping(super::Ping),
        #[prost(message, tag = "8")]
        Leave(super::Leave),
    }
}
/// The first message over a new carrier.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Join {
    /// 1.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// From POST /api/v1/rooms/{room}/tickets.
    #[prost(string, tag = "2")]
    pub ticket: ::prost::alloc::string::String,
    /// X25519, 32 bytes; the ticket names its SHA-256.
    #[prost(bytes = "vec", tag = "3")]
    pub key: ::prost::alloc::vec::Vec<u8>,
    /// How the avatar looks: opaque to the appliance, 1,024 bytes at most.
    #[prost(bytes = "vec", tag = "4")]
    pub avatar: ::prost::alloc::vec::Vec<u8>,
}
/// The first message over a new carrier, within 15 s after the last one was lost.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Resume {
    /// 1.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// From Welcome; used up by this. Opaque.
    #[prost(bytes = "vec", tag = "2")]
    pub token: ::prost::alloc::vec::Vec<u8>,
    /// Boxes opened so far.
    #[prost(uint64, tag = "3")]
    pub boxes: u64,
    /// Sequence of the last event read.
    #[prost(uint64, tag = "4")]
    pub events: u64,
}
/// The secret of this epoch is here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Ready {
    #[prost(uint32, tag = "1")]
    pub epoch: u32,
}
/// What to be sent of the others, from now on; replaces what was said before.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SetInterest {
    /// Pose of those not named below. Unspecified: full.
    #[prost(enumeration = "Rate", tag = "1")]
    pub default_rate: i32,
    #[prost(message, repeated, tag = "2")]
    pub named: ::prost::alloc::vec::Vec<Interest>,
    /// Whose voice to be sent however quiet it is; 16 at most.
    #[prost(uint32, repeated, tag = "3")]
    pub pinned: ::prost::alloc::vec::Vec<u32>,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Interest {
    #[prost(uint32, tag = "1")]
    pub participant: u32,
    #[prost(enumeration = "Rate", tag = "2")]
    pub rate: i32,
}
/// About oneself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct SetSelf {
    #[prost(bool, tag = "1")]
    pub muted: bool,
}
/// For moderators. Answered by Outcome with the same request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Moderate {
    #[prost(uint32, tag = "1")]
    pub request: u32,
    #[prost(oneof = "moderate::Action", tags = "2, 3, 4, 5, 6, 7, 8, 9")]
    pub action: ::core::option::Option<moderate::Action>,
}
/// Nested message and enum types in `Moderate`.
pub mod moderate {
    #[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Oneof)]
    pub enum Action {
        #[prost(uint32, tag = "2")]
        Mute(u32),
        #[prost(uint32, tag = "3")]
        Unmute(u32),
        /// Everybody but the one who asks.
        #[prost(message, tag = "4")]
        MuteAll(super::Nothing),
        #[prost(uint32, tag = "5")]
        Kick(u32),
        #[prost(bool, tag = "6")]
        Lock(bool),
        /// A number from Lobby.
        #[prost(uint32, tag = "7")]
        Admit(u32),
        #[prost(uint32, tag = "8")]
        TurnAway(u32),
        #[prost(message, tag = "9")]
        Rotate(super::Nothing),
    }
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Nothing {
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Ping {
    /// Comes back in Pong.
    #[prost(uint64, tag = "1")]
    pub token: u64,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Leave {
}
/// What the appliance says.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ServerMessage {
    #[prost(oneof = "server_message::Body", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11")]
    pub body: ::core::option::Option<server_message::Body>,
}
/// Nested message and enum types in `ServerMessage`.
pub mod server_message {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Body {
        #[prost(message, tag = "1")]
        Welcome(super::Welcome),
        #[prost(message, tag = "2")]
        Waiting(super::Waiting),
        #[prost(message, tag = "3")]
        Roster(super::Roster),
        #[prost(message, tag = "4")]
        Policy(super::Policy),
        #[prost(message, tag = "5")]
        Announce(super::Announce),
        #[prost(message, tag = "6")]
        Switch(super::Switch),
        #[prost(message, tag = "7")]
        Lobby(super::Lobby),
        #[prost(message, tag = "8")]
        Outcome(super::Outcome),
        #[prost(message, tag = "9")]
        Draining(super::Draining),
        #[prost(message, tag = "10")]
        Statistics(super::Statistics),
        #[prost(message, tag = "11")]
        Pong(super::Pong),
    }
}
/// The answer to Join and to Resume.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Welcome {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub meeting: ::prost::alloc::vec::Vec<u8>,
    /// Who you are.
    #[prost(uint32, tag = "2")]
    pub participant: u32,
    /// Who else is here; in a large meeting the rest follows in Roster.
    #[prost(message, repeated, tag = "3")]
    pub roster: ::prost::alloc::vec::Vec<Member>,
    #[prost(message, optional, tag = "4")]
    pub policy: ::core::option::Option<Policy>,
    #[prost(message, optional, tag = "5")]
    pub limits: ::core::option::Option<Limits>,
    /// HPKE (RFC 9180) encapsulated key of the context in which all boxes of this participant are sealed, 32 bytes;
    /// empty when resuming: the context goes on.
    #[prost(bytes = "vec", tag = "6")]
    pub encapsulated_key: ::prost::alloc::vec::Vec<u8>,
    /// For Resume, once. Opaque.
    #[prost(bytes = "vec", tag = "7")]
    pub resume_token: ::prost::alloc::vec::Vec<u8>,
    /// Sequence of the last event before you came.
    #[prost(uint64, tag = "8")]
    pub events: u64,
    /// When resuming: an epoch that was switched to meanwhile; otherwise 0.
    #[prost(uint32, tag = "9")]
    pub live_epoch: u32,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Member {
    #[prost(uint32, tag = "1")]
    pub participant: u32,
    #[prost(string, tag = "2")]
    pub display_name: ::prost::alloc::string::String,
    #[prost(bytes = "vec", tag = "3")]
    pub avatar: ::prost::alloc::vec::Vec<u8>,
    /// Says so itself.
    #[prost(bool, tag = "4")]
    pub muted: bool,
    /// The relay does not forward its voice.
    #[prost(bool, tag = "5")]
    pub silenced: bool,
    /// Lost its carrier and may come back.
    #[prost(bool, tag = "6")]
    pub away: bool,
}
/// You wait in the lobby until somebody admits you.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Waiting {
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Roster {
    #[prost(message, repeated, tag = "1")]
    pub joined: ::prost::alloc::vec::Vec<Member>,
    #[prost(message, repeated, tag = "2")]
    pub gone: ::prost::alloc::vec::Vec<Gone>,
    #[prost(message, repeated, tag = "3")]
    pub replaced: ::prost::alloc::vec::Vec<Replaced>,
    /// Each as it is now; you may be among them.
    #[prost(message, repeated, tag = "4")]
    pub changed: ::prost::alloc::vec::Vec<Member>,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Gone {
    #[prost(uint32, tag = "1")]
    pub participant: u32,
    #[prost(enumeration = "Departure", tag = "2")]
    pub departure: i32,
}
/// Somebody came back over a new carrier, under a fresh number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Replaced {
    #[prost(uint32, tag = "1")]
    pub old: u32,
    #[prost(uint32, tag = "2")]
    pub new: u32,
}
/// What the room permits, and what you may do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Policy {
    #[prost(bool, tag = "1")]
    pub voice: bool,
    #[prost(bool, tag = "2")]
    pub screen_share: bool,
    /// Eye, face and body data in poses; the appliance cannot see it, clients obey.
    #[prost(bool, tag = "3")]
    pub sensors: bool,
    #[prost(bool, tag = "4")]
    pub locked: bool,
    /// Loudest voices forwarded; 0: all.
    #[prost(uint32, tag = "5")]
    pub voices: u32,
    #[prost(uint32, tag = "6")]
    pub capacity: u32,
    /// About you: voice is off for your account, or a moderator muted you.
    #[prost(bool, tag = "7")]
    pub silenced: bool,
    #[prost(bool, tag = "8")]
    pub may_share_screen: bool,
    #[prost(bool, tag = "9")]
    pub may_moderate: bool,
}
/// Bounds a client keeps to, so that nothing of it is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Limits {
    #[prost(uint32, tag = "1")]
    pub pose_hz: u32,
    #[prost(uint32, tag = "2")]
    pub voice_hz: u32,
    #[prost(uint32, tag = "3")]
    pub events_per_second: u32,
    #[prost(uint32, tag = "4")]
    pub event_bytes: u32,
    #[prost(uint32, tag = "5")]
    pub screen_frame_bytes: u32,
}
/// A new epoch: the box in it opens to its secret. Say Ready, seal when Switch comes.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Announce {
    #[prost(uint32, tag = "1")]
    pub epoch: u32,
    /// Ciphertext and tag, 48 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub sealed_secret: ::prost::alloc::vec::Vec<u8>,
    /// Your number when it was sealed: part of its associated data.
    #[prost(uint32, tag = "3")]
    pub participant: u32,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Switch {
    #[prost(uint32, tag = "1")]
    pub epoch: u32,
}
/// For moderators: who waits.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Lobby {
    #[prost(message, repeated, tag = "1")]
    pub waiting: ::prost::alloc::vec::Vec<Waiter>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Waiter {
    #[prost(uint32, tag = "1")]
    pub number: u32,
    #[prost(string, tag = "2")]
    pub display_name: ::prost::alloc::string::String,
}
/// What became of a Moderate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Outcome {
    #[prost(uint32, tag = "1")]
    pub request: u32,
    #[prost(enumeration = "Answer", tag = "2")]
    pub answer: i32,
}
/// The appliance stops. Come back with a new ticket, after this long.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Draining {
    #[prost(uint32, tag = "1")]
    pub after_millis: u32,
}
/// What the relay counts of you, every 5 s.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Statistics {
    #[prost(uint64, tag = "1")]
    pub frames_in: u64,
    #[prost(uint64, tag = "2")]
    pub frames_out: u64,
    #[prost(uint64, tag = "3")]
    pub superseded: u64,
    #[prost(uint64, tag = "4")]
    pub culled: u64,
    #[prost(uint64, tag = "5")]
    pub refused: u64,
    #[prost(uint32, tag = "6")]
    pub rtt_micros: u32,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Pong {
    #[prost(uint64, tag = "1")]
    pub token: u64,
}
/// How many of the poses: all, every second, fourth or twelfth, none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum Rate {
    Unspecified = 0,
    Full = 1,
    Half = 2,
    Quarter = 3,
    Twelfth = 4,
    Off = 5,
}
impl Rate {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "RATE_UNSPECIFIED",
            Self::Full => "RATE_FULL",
            Self::Half => "RATE_HALF",
            Self::Quarter => "RATE_QUARTER",
            Self::Twelfth => "RATE_TWELFTH",
            Self::Off => "RATE_OFF",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "RATE_UNSPECIFIED" => Some(Self::Unspecified),
            "RATE_FULL" => Some(Self::Full),
            "RATE_HALF" => Some(Self::Half),
            "RATE_QUARTER" => Some(Self::Quarter),
            "RATE_TWELFTH" => Some(Self::Twelfth),
            "RATE_OFF" => Some(Self::Off),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum Departure {
    Unspecified = 0,
    Left = 1,
    Kicked = 2,
    Lost = 3,
}
impl Departure {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "DEPARTURE_UNSPECIFIED",
            Self::Left => "DEPARTURE_LEFT",
            Self::Kicked => "DEPARTURE_KICKED",
            Self::Lost => "DEPARTURE_LOST",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "DEPARTURE_UNSPECIFIED" => Some(Self::Unspecified),
            "DEPARTURE_LEFT" => Some(Self::Left),
            "DEPARTURE_KICKED" => Some(Self::Kicked),
            "DEPARTURE_LOST" => Some(Self::Lost),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum Answer {
    Unspecified = 0,
    Done = 1,
    NotPermitted = 2,
    NotFound = 3,
    NotRecorded = 4,
}
impl Answer {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "ANSWER_UNSPECIFIED",
            Self::Done => "ANSWER_DONE",
            Self::NotPermitted => "ANSWER_NOT_PERMITTED",
            Self::NotFound => "ANSWER_NOT_FOUND",
            Self::NotRecorded => "ANSWER_NOT_RECORDED",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "ANSWER_UNSPECIFIED" => Some(Self::Unspecified),
            "ANSWER_DONE" => Some(Self::Done),
            "ANSWER_NOT_PERMITTED" => Some(Self::NotPermitted),
            "ANSWER_NOT_FOUND" => Some(Self::NotFound),
            "ANSWER_NOT_RECORDED" => Some(Self::NotRecorded),
            _ => None,
        }
    }
}
