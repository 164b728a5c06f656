// SPDX-License-Identifier: AGPL-3.0-or-later
//! One tick: what each member is handed now, voice first, packed into as few datagrams as its path takes.
//!
//! Per recipient: *plan* what is due in class order, *pack* it into datagrams while there is room, *settle* what was
//! sent and what was not. Datagrams that leave together have one size (quinn sends them in one system call then).

use crate::core::room::interest::Thinning;
use crate::core::room::media::Kept;
use crate::core::room::member::Member;
use crate::core::room::policy::RoomPolicy;
use crate::values::time::Moment;
use crate::wire::datagram::{DATAGRAM_MAX, LENGTH_LEN, TICK_LEN, Tick, Writer};
use crate::wire::kid::Channel;

/// Bytes that may wait on a path before poses stay here, where newer ones supersede them: one tick of a full room.
const WAITING_MAX: usize = 16 * 1_024;

/// What the path to a recipient takes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// Longest datagram, in bytes.
    pub datagram: usize,
    /// Bytes that may be handed over now.
    pub space: usize,
    /// Bytes that wait to be sent.
    pub waiting: usize,
}

/// Takes what a tick hands out.
pub trait Sink<H> {
    /// What the path takes now; `None` when nothing may be sent.
    fn path(&mut self, recipient: &H) -> Option<Path>;
    /// Takes a datagram for a recipient. It is copied before this returns.
    fn datagram(&mut self, recipient: &H, bytes: &[u8]);
}

/// A frame that is due.
#[derive(Debug, Clone, Copy)]
struct Due {
    sender: usize,
    channel: Channel,
    /// Number of the frame among those of its sender and channel.
    number: u64,
}

/// Buffers of a flush, used again at each.
#[derive(Debug)]
pub(super) struct Flush {
    plan: Vec<Due>,
    /// Senders with a voice to be heard, and whether everybody hears them.
    voices: Vec<(usize, Audible)>,
    ranked: Vec<(usize, f32)>,
    datagram: [u8; DATAGRAM_MAX],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audible {
    ToAll,
    ToThoseWhoPinned,
}

impl Default for Flush {
    fn default() -> Self {
        Self { plan: Vec::new(), voices: Vec::new(), ranked: Vec::new(), datagram: [0; DATAGRAM_MAX] }
    }
}

impl Flush {
    /// Hands every member what is due.
    pub fn run<H>(
        &mut self,
        members: &mut [Option<Member<H>>],
        policy: &RoomPolicy,
        tick: u32,
        now: Moment,
        sink: &mut impl Sink<H>,
    ) {
        self.choose_voices(members, policy, now);
        for place in 0..members.len() {
            // Taken out, so that it and the others can be looked at together.
            let Some(mut recipient) = members.get_mut(place).and_then(Option::take) else { continue };
            if let Some(path) = recipient.handle().and_then(|handle| sink.path(handle)) {
                self.plan_voices(&mut recipient, members, now);
                self.plan_poses(&mut recipient, members, tick, path);
                let sent = self.pack(&recipient, members, tick, path, sink);
                self.settle(&mut recipient, members, sent);
            }
            if let Some(slot) = members.get_mut(place) {
                *slot = Some(recipient);
            }
        }
    }

    /// The loudest of those who spoke in the last moment.
    fn choose_voices<H>(&mut self, members: &mut [Option<Member<H>>], policy: &RoomPolicy, now: Moment) {
        self.ranked.clear();
        for (place, member) in members.iter().enumerate() {
            let Some(member) = member else { continue };
            if member.voice.oldest(now) < member.voice.count && !member.is_silenced(policy) {
                self.ranked.push((place, member.loudness.score(now)));
            }
        }
        let most = usize::from(policy.voices);
        if most > 0 && self.ranked.len() > most {
            self.ranked.sort_unstable_by(|(_, one), (_, other)| other.total_cmp(one));
        }
        self.voices.clear();
        for (rank, (place, _)) in self.ranked.iter().enumerate() {
            let audible = if most == 0 || rank < most { Audible::ToAll } else { Audible::ToThoseWhoPinned };
            self.voices.push((*place, audible));
            if let (Audible::ToAll, Some(Some(member))) = (audible, members.get_mut(*place)) {
                member.loudness.hold(now);
            }
        }
    }

    fn plan_voices<H>(&mut self, recipient: &mut Member<H>, members: &[Option<Member<H>>], now: Moment) {
        self.plan.clear();
        for (sender, audible) in &self.voices {
            let Some(Some(member)) = members.get(*sender) else { continue };
            let Some(given) = recipient.given.get_mut(*sender) else { continue };
            let oldest = member.voice.oldest(now);
            if *audible == Audible::ToThoseWhoPinned && !given.pinned {
                given.voice = member.voice.count;
                continue;
            }
            recipient.counted.culled += oldest.saturating_sub(given.voice);
            given.voice = given.voice.max(oldest);
            let due = |number| Due { sender: *sender, channel: Channel::Voice, number };
            self.plan.extend((given.voice..member.voice.count).map(due));
        }
    }

    fn plan_poses<H>(&mut self, recipient: &mut Member<H>, members: &[Option<Member<H>>], tick: u32, path: Path) {
        if path.waiting > WAITING_MAX {
            return;
        }
        // Another one is first each time, so that nobody is left out for good when there is not room for all.
        let first = usize::try_from(tick).unwrap_or(0) % members.len().max(1);
        for sender in (first..members.len()).chain(0..first) {
            let (Some(Some(member)), Some(given)) = (members.get(sender), recipient.given.get_mut(sender)) else {
                continue;
            };
            if member.pose.count == given.poses {
                continue;
            }
            if !member.pose.latest.is_for(recipient.since) {
                given.poses = member.pose.count;
            } else if given.thinning.is_due(given.poses, member.pose.count, u64::from(member.number.0)) {
                self.plan.push(Due { sender, channel: Channel::Pose, number: member.pose.count });
            }
        }
    }

    /// Packs the plan in order, and says how many of it were handed over.
    fn pack<H>(
        &mut self,
        recipient: &Member<H>,
        members: &[Option<Member<H>>],
        tick: u32,
        path: Path,
        sink: &mut impl Sink<H>,
    ) -> usize {
        let Some(handle) = recipient.handle() else { return 0 };
        let mut space = path.space;
        let mut next = 0;
        while next < self.plan.len() {
            let size = path.datagram.min(space);
            let Ok(mut writer) = Writer::downstream(&mut self.datagram, size, Tick(tick)) else { break };
            let mut taken = next;
            while let Some(due) = self.plan.get(taken) {
                let frame = frame(members, *due).filter(|frame| frame.is_for(recipient.since));
                // What is not for it, or is longer than any datagram of this path, is passed over.
                let fits_at_all = |bytes: &[u8]| bytes.len() + LENGTH_LEN + TICK_LEN <= path.datagram;
                if let Some(frame) = frame.filter(|frame| fits_at_all(&frame.bytes))
                    && writer.push(&frame.bytes).is_err()
                {
                    break;
                }
                taken += 1;
            }
            if writer.frames() > 0 {
                if taken < self.plan.len() {
                    writer.pad_to(size);
                }
                let Ok(bytes) = writer.finish() else { break };
                space -= bytes.len().min(space);
                sink.datagram(handle, bytes);
            } else if taken == next {
                break;
            }
            next = taken;
        }
        next
    }

    fn settle<H>(&self, recipient: &mut Member<H>, members: &[Option<Member<H>>], sent: usize) {
        for (place, due) in self.plan.iter().enumerate() {
            let Some(given) = recipient.given.get_mut(due.sender) else { continue };
            let bytes =
                frame(members, *due).filter(|frame| frame.is_for(recipient.since)).map(|frame| frame.bytes.len());
            match due.channel {
                Channel::Pose if place < sent => {
                    // What was thinned was not wanted; what was culled is counted as that.
                    if given.thinning == Thinning::FULL {
                        let between = due.number.saturating_sub(given.poses + 1);
                        recipient.counted.superseded += between.saturating_sub(given.culled);
                    }
                    (given.poses, given.culled) = (due.number, 0);
                }
                Channel::Voice if place < sent => given.voice = due.number + 1,
                // It is tried again: a pose until it is superseded, a voice until it is too old.
                Channel::Pose => {
                    if given.poses + given.culled < due.number {
                        recipient.counted.culled += 1;
                        given.culled += 1;
                    }
                    continue;
                }
                _ => continue,
            }
            if let Some(bytes) = bytes {
                recipient.counted.sent(due.channel, 1, bytes);
            }
        }
    }
}

fn frame<H>(members: &[Option<Member<H>>], due: Due) -> Option<&Kept> {
    let member = members.get(due.sender)?.as_ref()?;
    match due.channel {
        Channel::Voice => member.voice.frame(due.number),
        Channel::Pose => Some(&member.pose.latest),
        Channel::Event | Channel::Screen => None,
    }
}
