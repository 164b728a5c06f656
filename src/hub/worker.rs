// SPDX-License-Identifier: AGPL-3.0-or-later
//! The ticks: on the relay's thread, each live meeting is flushed every few milliseconds.
//!
//! Datagrams are written into one pooled buffer while the room is locked and handed to the carriers after it is
//! unlocked. The buffer is used again once the carriers have sent what is in it, so a tick allocates nothing.

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
/// Bytes of the pool's buffer: what a full room sends in half a tick. The pool grows when carriers keep more than that.
const POOL: usize = 1 << 20;

/// Datagrams of one tick.
#[derive(Debug, Default)]
pub struct Batch {
    pool: BytesMut,
    datagrams: Vec<(Reach, Bytes)>,
}

impl Sink<Reach> for Batch {
    fn path(&mut self, recipient: &Reach) -> Option<Path> {
        recipient.carrier().path()
    }

    fn datagram(&mut self, recipient: &Reach, bytes: &[u8]) {
        if self.pool.capacity() < bytes.len() {
            self.pool.reserve(POOL);
        }
        self.pool.extend_from_slice(bytes);
        self.datagrams.push((Arc::clone(recipient), self.pool.split().freeze()));
    }
}

impl Batch {
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
