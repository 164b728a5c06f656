// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a program is told of a meeting, in one stream.

use crate::client::ClientError;
use crate::values::id::MeetingId;
use crate::values::time::Moment;
use crate::wire::close::CloseCode;
use crate::wire::control::schema;
use crate::wire::frame::AudioLevel;
use crate::wire::kid::{Epoch, Kid, Participant};

/// How somebody came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// For the first time.
    First,
    /// Back in the same meeting, where it had been.
    Resumed,
    /// Back with a new ticket: nothing of what was before holds.
    Again,
}

/// What happened.
#[derive(Debug)]
pub enum Incoming {
    /// We are in.
    Joined {
        /// How.
        entry: Entry,
        /// Which meeting.
        meeting: MeetingId,
        /// Our number.
        participant: Participant,
        /// Who else is there.
        roster: Vec<schema::Member>,
    },
    /// We wait in the lobby.
    Waiting,
    /// Who came, went, came back, changed.
    Roster(schema::Roster),
    /// What we may do.
    Policy(schema::Policy),
    /// Who waits in the lobby.
    Lobby(schema::Lobby),
    /// What became of something we wanted as a moderator.
    Outcome(schema::Outcome),
    /// What the relay counts of us.
    Statistics(schema::Statistics),
    /// Keys changed.
    Switched(Epoch),
    /// Somebody sent something.
    Frame(Received),
    /// The carrier is gone, and why if the appliance said it; we are coming back.
    Lost(Option<CloseCode>),
    /// It is over, and we do not come back. The last there is.
    Ended(ClientError),
}

/// An opened frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Sender, channel and epoch.
    pub kid: Kid,
    /// Its counter under that key.
    pub counter: u64,
    /// How loud, for voice.
    pub level: Option<AudioLevel>,
    /// What was sealed.
    pub bytes: Vec<u8>,
    /// When it was opened.
    pub at: Moment,
}
