// SPDX-License-Identifier: AGPL-3.0-or-later
//! What is compared: relays that can be started in a process, and how a participant gets into each.
//!
//! Everything that differs between the relays is behind [`start`] (in the relay's process) and [`join`] (in the one
//! that drives); the generator knows no more of them.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use web_transport_quinn::{RecvStream, SendStream, Session};

use super::api::Address;
use super::error::BenchError;
use super::load::{Carrier, Load};
use super::{baseline, conclave, participant};
use crate::wire::frame::{Clear, Frame};
use crate::wire::kid::{Channel, Participant};

/// A relay under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// Conclave's own relay
    Conclave,
    /// A QUIC relay that forwards each datagram on arrival
    Baseline,
    /// Conclave's own relay, while more sign-ins than it can hash storm the appliance
    Storm,
}

impl Subject {
    /// All of them, in the order of the documents.
    pub const ALL: [Self; 3] = [Self::Conclave, Self::Baseline, Self::Storm];

    /// How frames lie in its datagrams.
    pub const fn framing(self) -> Framing {
        match self {
            Self::Conclave | Self::Storm => Framing::Protocol,
            Self::Baseline => Framing::Bare,
        }
    }

    /// What people call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conclave => "conclave",
            Self::Baseline => "baseline",
            Self::Storm => "storm",
        }
    }
}

/// How frames lie in datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// As `docs/protocol.md` says: several frames in each, behind their lengths.
    Protocol,
    /// A datagram is a frame.
    Bare,
}

/// A relay that runs in this process, on threads of its own that last as long as it does.
pub trait Running: Send {
    /// What it counted so far.
    fn facts(&self) -> Facts;

    /// Ends it.
    fn stop(self: Box<Self>);
}

/// What a relay counts, in all rooms together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Poses that a newer one replaced before they were sent: by design.
    pub superseded: u64,
    /// Frames not sent because a path or a budget was full.
    pub culled: u64,
    /// Frames of participants that never reached the relay.
    pub lost: u64,
}

impl Facts {
    /// What was counted since `earlier`.
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            superseded: self.superseded.saturating_sub(earlier.superseded),
            culled: self.culled.saturating_sub(earlier.culled),
            lost: self.lost.saturating_sub(earlier.lost),
        }
    }
}

/// A relay that was started.
pub struct Started {
    /// The certificate that it presents, DER.
    pub certificate: Vec<u8>,
    /// What each participant needs to get in, by index; only [`join`] understands it.
    pub credentials: Vec<String>,
    /// Where sign-ins go, when they are part of it.
    pub api: Option<Address>,
    /// The relay.
    pub running: Box<dyn Running>,
}

/// Starts a relay on a bound socket, ready for the participants of this load.
pub fn start(subject: Subject, socket: UdpSocket, load: &Load) -> Result<Started, BenchError> {
    match subject {
        Subject::Conclave => conclave::start(socket, load, false),
        Subject::Storm => conclave::start(socket, load, true),
        Subject::Baseline => baseline::start(socket, load),
    }
}

/// Where a participant knocks.
#[derive(Debug, Clone)]
pub struct Door {
    /// Sockets to connect from.
    pub endpoint: quinn::Endpoint,
    /// The relay, or the bad network in front of it.
    pub address: SocketAddr,
    /// What the relay presents, DER.
    pub certificate: Vec<u8>,
    /// How to reach it.
    pub carrier: Carrier,
}

/// Seals what one participant sends, and opens what it receives, under the keys of this moment.
pub trait Keys: Send + Sync {
    /// Whether there is a key to seal with.
    fn ready(&self) -> bool;

    /// Seals a frame into the start of `out` and says how long it is; `None` when there is no key or no room.
    fn seal(&self, channel: Channel, clear: Clear, plain: &[u8], out: &mut [u8]) -> Option<usize>;

    /// Whether a frame is whole: it opens. `out` has room for its plaintext.
    fn opens(&self, frame: &Frame<'_>, out: &mut [u8]) -> bool;
}

/// A participant that is in.
pub struct Joined {
    /// Its carrier; [`Session::raw`] around a connection for raw QUIC. What else keeps it in the meeting (its control
    /// stream) is a task that ends with the carrier.
    pub session: Session,
    /// Its number in its room.
    pub number: Participant,
    /// Its keys.
    pub keys: Arc<dyn Keys>,
    /// Its event stream, with the kind written; `None` when the relay has none.
    pub events: Option<(SendStream, RecvStream)>,
}

/// Lets a participant in, as far as it can be before others are there too. Its keys may become ready later.
pub async fn join(subject: Subject, door: &Door, credential: &str) -> Result<Joined, String> {
    match subject {
        Subject::Conclave | Subject::Storm => participant::join(door, credential).await,
        Subject::Baseline => baseline::join(door, credential).await,
    }
}
