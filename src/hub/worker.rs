// SPDX-License-Identifier: AGPL-3.0-or-later
//! The ticks: on the relay's thread, each live meeting is flushed every few milliseconds.
//!
//! Datagrams are written into pooled buffers while the room is locked and handed to the carriers after it is unlocked. A
//! buffer is used again once the carriers have sent what is in it, so a tick allocates nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, sleep_until};

use crate::core::room::flush::{Path, Sink};
use crate::hub::Hub;
use crate::hub::meeting::{Meeting, Reach};

/// Up to this many people a meeting ticks as often as people can notice, above it as often as headsets draw.
const FEW: usize = 16;
/// A tick of few.
const TICK_OF_FEW: Duration = Duration::from_millis(5);
/// A tick of many: 72 Hz, the pose rate of most headsets.
const TICK_OF_MANY: Duration = Duration::from_micros(13_889);
/// Buffers of the pool: while carriers send what is in one, the next are filled.
const POOL: usize = 4;
/// Bytes of each: what a hundred people are sent in half a tick.
const POOLED: usize = 512 * 1_024;

/// Datagrams of one tick.
#[derive(Debug, Default)]
pub struct Batch {
    pool: [BytesMut; POOL],
    /// The buffer that is filled.
    filling: usize,
    datagrams: Vec<(Reach, Bytes)>,
}

impl Sink<Reach> for Batch {
    fn path(&mut self, recipient: &Reach) -> Option<Path> {
        recipient.carrier().path()
    }

    fn datagram(&mut self, recipient: &Reach, bytes: &[u8]) {
        let datagram = self.copy(bytes);
        self.datagrams.push((Arc::clone(recipient), datagram));
    }
}

impl Batch {
    /// Copies into the buffer that is filled, or into the next when that is full. When carriers keep more than the pool
    /// has, it has a new buffer.
    fn copy(&mut self, bytes: &[u8]) -> Bytes {
        let is_full = self.pool.get(self.filling).is_none_or(|buffer| buffer.capacity() < bytes.len());
        if is_full {
            self.filling = (self.filling + 1) % POOL;
        }
        let Some(buffer) = self.pool.get_mut(self.filling) else { return Bytes::copy_from_slice(bytes) };
        if is_full && !buffer.try_reclaim(POOLED) {
            buffer.reserve(POOLED);
        }
        buffer.extend_from_slice(bytes);
        buffer.split().freeze()
    }

    fn send(&mut self) {
        for (recipient, bytes) in self.datagrams.drain(..) {
            recipient.carrier().send_datagram(bytes);
        }
    }
}

/// Flushes every live meeting at its ticks, for ever.
pub async fn tick(hub: Arc<Hub>) {
    let mut batch = Batch::default();
    let mut live: Vec<(Arc<Meeting>, Instant)> = Vec::new();
    let mut seen = None;
    loop {
        hub.note_turn();
        let version = hub.version();
        if seen != Some(version) {
            seen = Some(version);
            let now = Instant::from_std(hub.clock().instant());
            let known = std::mem::take(&mut live);
            live = hub
                .live()
                .into_iter()
                .map(|meeting| {
                    let next = known.iter().find(|(other, _)| Arc::ptr_eq(other, &meeting)).map(|(_, next)| *next);
                    (meeting, next.unwrap_or(now))
                })
                .collect();
        }
        let Some(next) = live.iter().map(|(_, next)| *next).min() else {
            hub.changed().await;
            continue;
        };
        sleep_until(next).await;
        let now = Instant::from_std(hub.clock().instant());
        for (meeting, next) in live.iter_mut().filter(|(_, next)| *next <= now) {
            let people = meeting.tick(&mut batch);
            batch.send();
            let period = if people <= FEW { TICK_OF_FEW } else { TICK_OF_MANY };
            // After a stall the ticks that were missed are not made up for.
            *next = (*next + period).max(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::auth::ticket::Grant;
    use crate::core::keys::epoch::schedule::Output;
    use crate::core::room::member::Newcomer;
    use crate::core::room::policy::RoomPolicy;
    use crate::core::room::{Joined, Room};
    use crate::hub::egress::{Carrier, Egress, ScreenPiece};
    use crate::platform::entropy;
    use crate::values::id::{AccountId, MeetingId, SessionId};
    use crate::values::time::Moment;
    use crate::wire::close::CloseCode;
    use crate::wire::datagram::{DATAGRAM_MAX, Writer};
    use crate::wire::frame::{AudioLevel, Clear, FrameSealer};
    use crate::wire::kid::{Channel, Epoch, Kid, Participant};

    const PEOPLE: usize = 20;
    const TALKING: usize = 4;
    /// Ticks in which buffers find their size (a counter of 256 has a longer header), and then those that are looked at.
    const TICKS: (u32, u32) = (300, 400);

    /// A carrier that takes everything and keeps nothing.
    struct Nowhere;

    impl Carrier for Nowhere {
        fn kind(&self) -> &'static str {
            "quic"
        }

        fn path(&self) -> Option<Path> {
            Some(Path { datagram: 1_200, space: 64 * 1_024, waiting: 0 })
        }

        fn send_datagram(&self, _: Bytes) {}

        fn screen(&self, _: u64, _: ScreenPiece) {}

        fn close(&self, _: CloseCode) {}

        fn closed(&self) -> Option<CloseCode> {
            None
        }

        fn rtt(&self) -> Duration {
            Duration::ZERO
        }
    }

    /// Enters, with keys.
    fn enter(room: &mut Room<Reach>, now: Moment) -> Participant {
        let rng = &mut entropy::system();
        let who = Newcomer {
            account: AccountId::random(rng),
            session: SessionId::random(rng),
            name: "Ada".parse().unwrap(),
            avatar: Vec::new(),
            grant: Grant { voice: true, voice_off: false, screen: true, moderate: false, lobby: false },
        };
        let egress = Arc::new(Egress::new(Box::new(Nowhere)).0);
        match room.join(who, egress, now, rng).unwrap() {
            Joined::In(number) => number,
            Joined::Waits(_) => panic!("there is no lobby"),
        }
    }

    /// Everybody is given keys and says so: the epoch that everybody seals under.
    fn agree(room: &mut Room<Reach>, mut now: Moment) -> (Epoch, Moment) {
        for _ in 0..100 {
            while let Some(output) = room.poll_keys() {
                if let Output::Deliver { epoch, to, .. } = output {
                    to.into_iter().for_each(|member| room.ready(member, epoch, now, &mut entropy::system()));
                }
            }
            now = now + Duration::from_millis(50);
            room.handle_timeout(now, &mut entropy::system());
        }
        (room.epoch().unwrap(), now)
    }

    /// What somebody sends in one tick, sealed and packed.
    fn datagrams(sealers: &mut [(Participant, FrameSealer)], clear: Clear) -> Vec<(Participant, Vec<u8>)> {
        let pack = |(from, sealer): &mut (Participant, FrameSealer)| {
            let mut buffer = [0; DATAGRAM_MAX];
            let mut writer = Writer::upstream(&mut buffer, DATAGRAM_MAX);
            let written = sealer.seal(clear, &[7; 80], writer.spare()).unwrap();
            writer.commit(written).unwrap();
            (*from, writer.finish().unwrap().to_vec())
        };
        sealers.iter_mut().map(pack).collect()
    }

    #[test]
    fn nothing_is_allocated_once_everybody_has_moved_and_talked_for_a_while() {
        let policy = RoomPolicy { voices: 0, ..RoomPolicy::default() };
        let mut room = Room::new(MeetingId::from_bytes([1; 16]), policy);
        let begin = Moment::after_origin(Duration::from_secs(1));
        let people: Vec<_> = (0..PEOPLE).map(|_| enter(&mut room, begin)).collect();
        let (epoch, mut now) = agree(&mut room, begin);
        while room.poll_output().is_some() {}
        let sealer = |channel| {
            move |participant: &Participant| {
                let kid = Kid { epoch, participant: *participant, channel };
                (*participant, FrameSealer::derive(&[2; 32], MeetingId::from_bytes([1; 16]), kid).unwrap())
            }
        };
        let mut moving: Vec<_> = people.iter().map(sealer(Channel::Pose)).collect();
        let mut talking: Vec<_> = people.iter().take(TALKING).map(sealer(Channel::Voice)).collect();
        let mut batch = Batch::default();
        let mut allocated = 0;
        for tick in 0..TICKS.0 + TICKS.1 {
            let poses = datagrams(&mut moving, Clear::Nothing);
            let voices = datagrams(&mut talking, Clear::Level(AudioLevel::SILENCE));
            now = now + TICK_OF_MANY;
            let counted = allocation_counter::measure(|| {
                for (from, bytes) in poses.iter().chain(&voices) {
                    room.handle_datagram(*from, bytes, now);
                }
                room.flush(now, &mut batch);
                batch.send();
            });
            if tick >= TICKS.0 {
                allocated += counted.count_total;
            }
        }
        let sent: u64 =
            room.members().iter().flat_map(|member| member.counted().channels).map(|of| of.frames_out).sum();
        let expected = (PEOPLE + TALKING) * (PEOPLE - 1) * usize::try_from(TICKS.0 + TICKS.1).unwrap();
        assert_eq!((sent, allocated), (u64::try_from(expected).unwrap(), 0));
    }
}
