// SPDX-License-Identifier: AGPL-3.0-or-later
//! What arrives from members: each frame is refused by a named reason, or kept to be handed on.

use std::time::Duration;

use crate::core::keys::epoch::schedule::Schedule;
use crate::core::room::member::Member;
use crate::core::room::policy::RoomPolicy;
use crate::core::room::refusal::Refusal;
use crate::core::room::{Output, Room};
use crate::values::time::Moment;
use crate::wire::close::CloseCode;
use crate::wire::datagram;
use crate::wire::frame::{Clear, Frame};
use crate::wire::kid::{Channel, Epoch, Kid, Participant};
use crate::wire::stream::EventRecord;

/// A group of screen frames under way.
#[derive(Debug)]
pub struct Group<H> {
    kid: Kid,
    /// Who is handed it: who was there when it began, and is still.
    recipients: Vec<(Participant, H)>,
}

impl<H> Group<H> {
    /// Who is handed the next frame.
    pub fn recipients(&self) -> impl Iterator<Item = &H> {
        self.recipients.iter().map(|(_, handle)| handle)
    }
}

impl<H: Clone + PartialEq> Room<H> {
    /// Takes what a member sent in a datagram. What is refused is counted.
    pub fn handle_datagram(&mut self, from: Participant, bytes: &[u8], now: Moment) {
        let Some(place) = self.places.get(&from).copied() else { return };
        let Some(Some(member)) = self.members.get_mut(place) else { return };
        let Ok(frames) = datagram::upstream(bytes) else {
            return member.counted.refusals.count(Refusal::Malformed);
        };
        for frame in frames {
            let taken = match frame {
                Ok(frame) => take(&self.keys, &self.policy, member, &frame, now).map(|()| keep(member, &frame, now)),
                Err(datagram::DatagramError::Channel(_)) => Err(Refusal::OtherChannel),
                Err(_) => Err(Refusal::Malformed),
            };
            if let Err(refusal) = taken {
                member.counted.refusals.count(refusal);
            }
        }
    }

    /// Takes a record of a member's event stream.
    pub fn handle_event(&mut self, from: Participant, record: EventRecord<'_>, now: Moment) -> Result<(), Refusal> {
        let place = self.places.get(&from).copied().ok_or(Refusal::NotAMember)?;
        let Some(Some(member)) = self.members.get_mut(place) else { return Err(Refusal::NotAMember) };
        let taken = match record {
            EventRecord::Event(frame) if frame.kid().epoch < member.barrier => Err(Refusal::StaleEpoch),
            EventRecord::Event(frame) => take(&self.keys, &self.policy, member, &frame, now)
                .map(|()| member.counted.arrived(Channel::Event, frame.as_bytes().len())),
            EventRecord::Barrier(_, epoch) if self.keys.live().is_none_or(|live| epoch > live) => {
                Err(Refusal::FutureEpoch)
            }
            EventRecord::Barrier(_, epoch) if epoch <= member.barrier => Err(Refusal::Replayed),
            EventRecord::Barrier(_, epoch) => {
                member.barrier = epoch;
                Ok(())
            }
        };
        if let Err(refusal) = taken {
            member.counted.refusals.count(refusal);
            return Err(refusal);
        }
        // A record that was read can be written.
        let _ = self.events.append(from, record, now);
        let readers = self.members.iter().flatten().filter(|reader| reader.reads_events && reader.number != from);
        let readers = readers.filter_map(|reader| reader.handle().cloned());
        self.outputs.extend(readers.map(Output::Events));
        Ok(())
    }

    /// How long to wait before the next record of a member's event stream is read: nothing is dropped, as a receiver takes
    /// events without a gap only.
    pub fn pace_events(&mut self, from: Participant, now: Moment) -> Duration {
        let Some(member) = self.member_mut(from) else { return Duration::ZERO };
        if member.rates.take(Channel::Event, now) { Duration::ZERO } else { member.rates.wait(Channel::Event, now) }
    }

    /// A member opened its event stream.
    pub fn begin_events(&mut self, from: Participant) {
        if let Some(member) = self.member_mut(from) {
            member.reads_events = true;
            let handle = member.handle().cloned();
            self.outputs.extend(handle.map(Output::Events));
        }
    }

    /// Copies the next events for a member, up to `most` bytes or one record; nothing when there are none.
    pub fn read_events(&mut self, reader: Participant, most: usize, out: &mut Vec<u8>) {
        let Some(place) = self.places.get(&reader).copied() else { return };
        let Some(Some(member)) = self.members.get_mut(place) else { return };
        let before = out.len();
        let events = self.events.read(&mut member.events, reader, member.since, most, out);
        member.counted.sent(Channel::Event, events, out.len() - before);
    }

    pub(super) fn close_slow_readers(&mut self, now: Moment) {
        let log = &self.events;
        for member in self.members.iter_mut().flatten().filter(|member| member.reads_events) {
            log.skip(&mut member.events, member.number, member.since);
            if log.is_slow(member.events, now) {
                member.reads_events = false;
                let handle = member.handle().cloned();
                self.outputs.extend(handle.map(|handle| Output::Close(handle, CloseCode::SlowReader)));
            }
        }
    }

    /// Whether a member may begin a group of screen frames now, before anything is read of it.
    pub fn may_begin_group(&mut self, from: Participant, now: Moment) -> Result<(), Refusal> {
        let place = self.places.get(&from).copied().ok_or(Refusal::NotAMember)?;
        let Some(Some(member)) = self.members.get_mut(place) else { return Err(Refusal::NotAMember) };
        let is_in_time = member.rates.take(Channel::Screen, now).then_some(()).ok_or(Refusal::Rate);
        let may = is_in_time.and_then(|()| member.may_send(Channel::Screen, &self.policy));
        may.inspect_err(|refusal| member.counted.refusals.count(*refusal))
    }

    /// A member begins a group of screen frames with this one; it [may](Self::may_begin_group).
    pub fn begin_group(&mut self, from: Participant, first: &Frame<'_>, now: Moment) -> Result<Group<H>, Refusal> {
        let epoch = first.kid().epoch;
        let is_for = |since: Option<Epoch>| since.is_some_and(|since| epoch >= since);
        let others = self.members.iter().flatten().filter(|other| other.number != from && is_for(other.since));
        let recipients = others.filter_map(|other| Some((other.number, other.handle()?.clone()))).collect();
        let mut group = Group { kid: first.kid(), recipients };
        self.continue_group(from, &mut group, first, now)?;
        Ok(group)
    }

    /// The next frame of a group; a group keeps the epoch it began with.
    pub fn continue_group(
        &mut self,
        from: Participant,
        group: &mut Group<H>,
        frame: &Frame<'_>,
        now: Moment,
    ) -> Result<(), Refusal> {
        let place = self.places.get(&from).copied().ok_or(Refusal::NotAMember)?;
        let Some(Some(member)) = self.members.get_mut(place) else { return Err(Refusal::NotAMember) };
        let taken = if frame.kid() == group.kid {
            take(&self.keys, &self.policy, member, frame, now)
        } else {
            Err(Refusal::OtherSender)
        };
        if let Err(refusal) = taken {
            member.counted.refusals.count(refusal);
            return Err(refusal);
        }
        let bytes = frame.as_bytes().len();
        member.counted.arrived(Channel::Screen, bytes);
        group.recipients.retain(|(participant, handle)| {
            let there = self.places.get(participant).and_then(|place| self.members.get_mut(*place)?.as_mut());
            let there = there.filter(|member| member.handle() == Some(handle));
            there.map(|member| member.counted.sent(Channel::Screen, 1, bytes)).is_some()
        });
        Ok(())
    }
}

/// Whether a frame of a member may be taken: cheap questions first, and nothing is remembered of what is refused.
fn take<H>(
    keys: &Schedule,
    policy: &RoomPolicy,
    member: &mut Member<H>,
    frame: &Frame<'_>,
    now: Moment,
) -> Result<(), Refusal> {
    let Kid { epoch, participant, channel } = frame.kid();
    if participant != member.number {
        return Err(Refusal::OtherSender);
    }
    member.may_send(channel, policy)?;
    keys.accepts(epoch, participant, channel, now)?;
    member.windows.check(epoch, channel, frame.counter())?;
    // Also what is too much has been here.
    member.windows.record(epoch, channel, frame.counter());
    match channel {
        Channel::Pose | Channel::Voice if !member.rates.take(channel, now) => Err(Refusal::Rate),
        // Events wait before they are read, and groups of a screen are counted when they begin.
        _ => Ok(()),
    }
}

fn keep<H>(member: &mut Member<H>, frame: &Frame<'_>, now: Moment) {
    let (epoch, bytes) = (frame.kid().epoch, frame.as_bytes());
    member.counted.arrived(frame.kid().channel, bytes.len());
    match frame.clear() {
        Clear::Level(level) => {
            member.loudness.hear(level);
            member.voice.put(epoch, bytes, now);
        }
        Clear::Nothing => member.pose.put(epoch, bytes, now),
    }
}
