// SPDX-License-Identifier: AGPL-3.0-or-later
//! One participant of a meeting: who it is, what it may do, what it sent, what it was sent.

use std::time::Duration;

use crate::core::auth::ticket::Grant;
use crate::core::room::events::Cursor;
use crate::core::room::interest::{Interest, Thinning};
use crate::core::room::loudness::Loudness;
use crate::core::room::media::{PoseSlot, VoiceRing};
use crate::core::room::policy::RoomPolicy;
use crate::core::room::rate::{Bucket, Rate};
use crate::core::room::refusal::{Refusal, Refusals};
use crate::core::room::windows::Windows;
use crate::values::id::{AccountId, SessionId};
use crate::values::name::DisplayName;
use crate::values::time::Moment;
use crate::wire::control::schema;
use crate::wire::kid::{Channel, Epoch, Participant};

/// How long a member whose carrier was lost may come back.
pub const RESUME_WITHIN: Duration = Duration::from_secs(15);

/// Who wants to come in, as the ticket says.
#[derive(Debug, Clone)]
pub struct Newcomer {
    /// Which account.
    pub account: AccountId,
    /// Which session.
    pub session: SessionId,
    /// What others see.
    pub name: DisplayName,
    /// How the avatar looks; opaque.
    pub avatar: Vec<u8>,
    /// What it may do.
    pub grant: Grant,
}

/// What was counted on a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames accepted from the member.
    pub frames_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Frames sent to the member.
    pub frames_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
}

/// What was counted of a member.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    /// By channel, in the order of [`Channel::ALL`].
    pub channels: [Traffic; Channel::ALL.len()],
    /// Poses that were overwritten before they were sent to it.
    pub superseded: u64,
    /// Frames it was not sent for want of room.
    pub culled: u64,
    /// Its frames that were refused.
    pub refusals: Refusals,
}

impl Counted {
    /// The traffic of a channel.
    pub fn channel(&mut self, channel: Channel) -> &mut Traffic {
        let [pose, voice, event, screen] = &mut self.channels;
        match channel {
            Channel::Pose => pose,
            Channel::Voice => voice,
            Channel::Event => event,
            Channel::Screen => screen,
        }
    }

    /// Adds what was counted of somebody else.
    pub fn add(&mut self, other: &Self) {
        for (sum, traffic) in self.channels.iter_mut().zip(&other.channels) {
            sum.frames_in += traffic.frames_in;
            sum.bytes_in += traffic.bytes_in;
            sum.frames_out += traffic.frames_out;
            sum.bytes_out += traffic.bytes_out;
        }
        self.superseded += other.superseded;
        self.culled += other.culled;
        self.refusals.add(&other.refusals);
    }

    pub(super) fn arrived(&mut self, channel: Channel, bytes: usize) {
        let traffic = self.channel(channel);
        traffic.frames_in += 1;
        traffic.bytes_in += u64::try_from(bytes).unwrap_or(0);
    }

    pub(super) fn sent(&mut self, channel: Channel, frames: u64, bytes: usize) {
        let traffic = self.channel(channel);
        traffic.frames_out += frames;
        traffic.bytes_out += u64::try_from(bytes).unwrap_or(0);
    }
}

/// What a member was given of one other, by the other's place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given {
    pub poses: u64,
    /// Poses since then that there was no room for.
    pub culled: u64,
    pub voice: u64,
    pub thinning: Thinning,
    pub pinned: bool,
}

/// Where a member is reached.
#[derive(Debug)]
pub(super) enum Presence<H> {
    /// Over this carrier.
    Here(H),
    /// Nowhere, until it comes back.
    Away(Moment),
}

/// A participant.
#[derive(Debug)]
pub(super) struct Member<H> {
    pub number: Participant,
    pub who: Newcomer,
    pub joined_at: Moment,
    pub presence: Presence<H>,
    /// The first epoch it was given; nothing older is for it.
    pub since: Option<Epoch>,
    /// Says so itself.
    pub muted: bool,
    /// By a moderator.
    pub muted_by_moderator: bool,
    /// By an admin, for the account.
    pub voice_off: bool,
    pub pose: PoseSlot,
    pub voice: VoiceRing,
    pub loudness: Loudness,
    pub windows: Windows,
    pub rates: Rates,
    /// The epoch of its last barrier: it seals no event under an older one.
    pub barrier: Epoch,
    pub interest: Interest,
    pub given: Vec<Given>,
    pub events: Cursor,
    pub reads_events: bool,
    pub counted: Counted,
}

/// What is left of each rate.
#[derive(Debug)]
pub(super) struct Rates {
    pose: Bucket,
    voice: Bucket,
    event: Bucket,
    screen: Bucket,
}

impl Rates {
    fn new() -> Self {
        let bucket = |channel| Bucket::new(Rate::of(channel));
        Self {
            pose: bucket(Channel::Pose),
            voice: bucket(Channel::Voice),
            event: bucket(Channel::Event),
            screen: bucket(Channel::Screen),
        }
    }

    pub fn take(&mut self, channel: Channel, now: Moment) -> bool {
        self.of(channel).take(now)
    }

    /// How long until there is one.
    pub fn wait(&mut self, channel: Channel, now: Moment) -> Duration {
        self.of(channel).wait(now)
    }

    const fn of(&mut self, channel: Channel) -> &mut Bucket {
        match channel {
            Channel::Pose => &mut self.pose,
            Channel::Voice => &mut self.voice,
            Channel::Event => &mut self.event,
            Channel::Screen => &mut self.screen,
        }
    }
}

impl<H> Member<H> {
    pub fn new(number: Participant, who: Newcomer, handle: H, events: u64, now: Moment) -> Self {
        let voice_off = who.grant.voice_off;
        Self {
            number,
            who,
            joined_at: now,
            presence: Presence::Here(handle),
            since: None,
            muted: false,
            muted_by_moderator: false,
            voice_off,
            pose: PoseSlot::default(),
            voice: VoiceRing::default(),
            loudness: Loudness::default(),
            windows: Windows::default(),
            rates: Rates::new(),
            barrier: Epoch(0),
            interest: Interest::default(),
            given: Vec::new(),
            events: Cursor { given: events },
            reads_events: false,
            counted: Counted::default(),
        }
    }

    pub const fn handle(&self) -> Option<&H> {
        match &self.presence {
            Presence::Here(handle) => Some(handle),
            Presence::Away(_) => None,
        }
    }

    /// Whether the relay forwards nothing of its voice.
    pub const fn is_silenced(&self, policy: &RoomPolicy) -> bool {
        !policy.voice || !self.who.grant.voice || self.muted_by_moderator || self.voice_off
    }

    /// Whether it may send on a channel.
    pub fn may_send(&self, channel: Channel, policy: &RoomPolicy) -> Result<(), Refusal> {
        match channel {
            Channel::Voice if self.is_silenced(policy) => Err(Refusal::Silenced),
            Channel::Screen if !policy.screen_share || !self.who.grant.screen => Err(Refusal::NotPermitted),
            _ => Ok(()),
        }
    }

    /// As the others see it.
    pub fn shown(&self, policy: &RoomPolicy) -> schema::Member {
        schema::Member {
            participant: u32::from(self.number.0),
            display_name: self.who.name.to_string(),
            avatar: self.who.avatar.clone(),
            muted: self.muted,
            silenced: self.is_silenced(policy),
            away: matches!(self.presence, Presence::Away(_)),
        }
    }

    /// What the room permits, and what it may do.
    pub fn policy(&self, policy: &RoomPolicy, locked: bool) -> schema::Policy {
        schema::Policy {
            voice: policy.voice,
            screen_share: policy.screen_share,
            sensors: policy.sensors,
            locked,
            voices: u32::from(policy.voices),
            capacity: u32::from(policy.capacity),
            silenced: self.is_silenced(policy),
            may_share_screen: policy.screen_share && self.who.grant.screen,
            may_moderate: self.who.grant.moderate,
        }
    }
}
