// SPDX-License-Identifier: AGPL-3.0-or-later
//! A room with people in it, in virtual time.

use std::time::Duration;

use crate::core::auth::ticket::Grant;
use crate::core::keys::epoch::schedule::Output as Keys;
use crate::core::keys::epoch::simulation::Seeded;
use crate::core::room::flush::{Path, Sink};
use crate::core::room::member::Newcomer;
use crate::core::room::policy::RoomPolicy;
use crate::core::room::{Joined, Output, Room};
use crate::values::id::{AccountId, MeetingId, SessionId};
use crate::values::time::Moment;
use crate::wire::kid::{Epoch, Participant};

mod roster;

mod simulation;

/// How a person is reached: the number of its carrier.
type Handle = u64;

/// What a person may do.
const SPEAKER: Grant = Grant { voice: true, voice_off: false, screen: true, moderate: false, lobby: false };

/// A room and its time.
struct Scene {
    room: Room<Handle>,
    rng: Seeded,
    millis: u64,
    carriers: Handle,
}

impl Scene {
    fn new(seed: u64, policy: RoomPolicy) -> Self {
        let mut rng = Seeded(seed);
        let meeting = MeetingId::random(&mut rng);
        Self { room: Room::new(meeting, policy), rng, millis: 0, carriers: 0 }
    }

    const fn now(&self) -> Moment {
        Moment::after_origin(Duration::from_millis(self.millis))
    }

    fn carrier(&mut self) -> Handle {
        self.carriers += 1;
        self.carriers
    }

    /// Somebody with this grant and avatar, of an account of its own.
    fn newcomer(&mut self, grant: Grant, avatar: Vec<u8>) -> Newcomer {
        let name = "Ada".parse().unwrap();
        let (account, session) = (AccountId::random(&mut self.rng), SessionId::random(&mut self.rng));
        Newcomer { account, session, name, avatar, grant }
    }

    /// Somebody comes in.
    fn enter(&mut self, avatar: Vec<u8>) -> (Participant, Handle) {
        let (who, handle, now) = (self.newcomer(SPEAKER, avatar), self.carrier(), self.now());
        match self.room.join(who, handle, now, &mut self.rng).unwrap() {
            Joined::In(number) => (number, handle),
            Joined::Waits(_) => panic!("there is no lobby"),
        }
    }

    /// Lets time pass in steps of a tick.
    fn wait(&mut self, millis: u64) {
        for _ in 0..millis.div_ceil(5) {
            self.millis += 5;
            let now = self.now();
            if self.room.poll_timeout().is_some_and(|due| due <= now) {
                self.room.handle_timeout(now, &mut self.rng);
            }
            self.room.flush(now, &mut Nowhere);
        }
    }

    fn outputs(&mut self) -> Vec<Output<Handle>> {
        std::iter::from_fn(|| self.room.poll_output()).collect()
    }

    /// Who is delivered which epoch.
    fn delivered(&mut self) -> Vec<(Epoch, Vec<Participant>)> {
        let keys = std::iter::from_fn(|| self.room.poll_keys());
        let delivered = keys.filter_map(|output| match output {
            Keys::Deliver { epoch, to, .. } => Some((epoch, to)),
            Keys::Switch { .. } | Keys::Ledger(_) | Keys::Exhausted => None,
        });
        delivered.collect()
    }
}

/// A way on which nothing can be sent.
struct Nowhere;

impl Sink<Handle> for Nowhere {
    fn path(&mut self, _: &Handle) -> Option<Path> {
        None
    }

    fn datagram(&mut self, _: &Handle, _: &[u8]) {}
}
