// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who is in the simulated meeting, how they are connected, and what travels between them and the relay.

use std::collections::{BTreeMap, BTreeSet};

use super::link::Link;
use crate::core::keys::epoch::member::MemberKeys;
use crate::core::replay::Replay;
use crate::wire::kid::{Epoch, Participant};

/// How a member is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Quality {
    /// Its control round trip stays below 400 ms.
    Good,
    /// Its control stream loses nothing and keeps the order, but is seconds late.
    Slow,
    /// Its control messages are lost, repeated, late and in any order, which no carrier does. It is promised nothing, and
    /// what holds for everybody holds all the same.
    Bad,
}

impl Quality {
    pub fn control(self) -> Link {
        match self {
            Self::Good => Link::STREAM,
            Self::Slow => Link::SLOW_STREAM,
            Self::Bad => Link::BAD_STREAM,
        }
    }

    pub fn datagrams(self) -> Link {
        match self {
            Self::Good | Self::Slow => Link::DATAGRAMS,
            Self::Bad => Link::BAD_DATAGRAMS,
        }
    }
}

/// A carrier that was lost and the one that came after it are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Carrier(pub u64);

/// The two directions of what a carrier has, to the member first.
pub(super) struct Links {
    pub control: [Link; 2],
    pub datagrams: [Link; 2],
    pub events: [Link; 2],
    /// Each group has a stream of its own: they overtake each other, and lose nothing.
    pub screens: [Link; 2],
}

impl Links {
    pub fn new(quality: Quality) -> Self {
        Self {
            control: [quality.control(), quality.control()],
            datagrams: [quality.datagrams(), quality.datagrams()],
            events: [Link::STREAM; 2],
            screens: [Link::GROUPS; 2],
        }
    }
}

/// A member, as the appliance and as it itself knows it.
pub(super) struct Peer {
    pub quality: Quality,
    pub joined: u64,
    /// Every secret ever handed to it: its boxes, in order.
    pub boxes: Vec<(Epoch, [u8; 32])>,
    /// `None` while it is away.
    pub carrier: Option<Carrier>,
    pub last_carrier: Carrier,
    pub links: Links,
    /// What the relay keeps of its event stream.
    pub barrier: Epoch,
    pub windows: BTreeMap<Epoch, Replay>,
    /// How many records of the log it was sent, once it opened its event stream.
    pub cursor: Option<usize>,

    pub keys: MemberKeys,
    /// When it last had to catch up.
    pub back_at: u64,
    /// Its numbers, the last one is its own.
    pub numbers: Vec<Participant>,
    pub boxes_opened: usize,
    pub events_read: usize,
    pub last_event: Option<Epoch>,
    /// Marks that arrived and did not open yet, and when.
    pub waiting: BTreeMap<u32, u64>,
    /// The last mark of each sender's events.
    pub heard: BTreeMap<Participant, u32>,
    /// All that was ever opened.
    pub opened: BTreeSet<u32>,
}

impl Peer {
    pub fn handed(&self, epoch: Epoch) -> bool {
        self.boxes.iter().any(|(handed, _)| *handed == epoch)
    }
}

/// Somebody who was removed and kept everything.
pub(super) struct Gone {
    pub at: u64,
    pub boxes: Vec<(Epoch, [u8; 32])>,
    /// The first switch to an epoch it was not handed.
    pub shut_out: Option<Epoch>,
    /// An earlier removal may have used up the time in which a switch is put off.
    pub crowded: bool,
}

/// A frame, and by what its content is known on the channels that lose nothing.
#[derive(Debug, Clone)]
pub(super) struct Marked {
    pub mark: u32,
    pub bytes: Vec<u8>,
}

/// A record of an event stream.
#[derive(Debug, Clone)]
pub(super) enum Record {
    Event(Marked),
    Barrier(Participant, Epoch),
}

/// From the appliance to a member.
pub(super) enum Down {
    /// To who comes back: its number, and the live epoch.
    Welcome(Participant, Option<Epoch>),
    Box {
        place: usize,
        epoch: Epoch,
        secret: [u8; 32],
    },
    Switch(Epoch),
    Frame(Marked),
    /// With the place in the log that comes after it.
    Event(usize, Record),
}

/// From a member to the appliance.
pub(super) enum Up {
    Ready(Epoch),
    /// Opens the event stream, having read this many records of the log.
    Events(usize),
    Frame(Marked),
    Event(Record),
}

pub(super) enum Happening {
    Down(Participant, Carrier, Down),
    Up(Participant, Carrier, Up),
    Speak(Participant, Carrier),
    /// The one who lost this carrier comes back.
    ComeBack(Participant, Carrier),
    /// The one who lost this carrier did not come back in time.
    GiveUp(Participant, Carrier),
}
