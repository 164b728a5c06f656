// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Frames that came before the secret of their epoch.
//!
//! Poses and voices are worth little soon: a few wait, for a short while, and the oldest makes room. Events and frames
//! of a screen wait apart from them and from each other, as long as their secret may come. Where there is no room for
//! another one it is the newest that goes: an event without those before it is worth nothing, nor is a frame of a
//! screen without the key frame.

use std::collections::VecDeque;
use std::time::Duration;

use crate::core::keys::epoch::KEEP_STREAMS_FOR;
use crate::values::time::Moment;
use crate::wire::kid::{Channel, Epoch, Kid};
use crate::wire::stream::SCREEN_FRAME_MAX;

/// Frames of datagrams parked at most: what eight voices and four near poses send in about 100 ms.
pub(super) const DATAGRAMS_MAX: usize = 64;
/// How long they are worth waiting for: the longest time a switch waits for members. Older speech is not played.
pub(super) const DATAGRAMS_FOR: Duration = Duration::from_millis(500);
/// Bytes of events parked at most: three of the longest, or some hundreds of usual ones.
pub(super) const EVENTS_BYTES_MAX: usize = 64 * 1_024;
/// Bytes of screens parked at most: the longest key frame, and as much of what follows it.
const SCREENS_BYTES_MAX: usize = 2 * SCREEN_FRAME_MAX;
/// How long events and frames of a screen wait: as long as they would be opened. The secret may come over the next carrier.
pub(super) const STREAMS_FOR: Duration = KEEP_STREAMS_FOR;
/// What a parked frame takes besides its own bytes, so that short ones are bounded too.
const OVERHEAD: usize = size_of::<Parked>();

/// There is no room for another frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// The parked frames.
#[derive(Debug, Default)]
pub(super) struct ParkedFrames {
    datagrams: VecDeque<Parked>,
    events: VecDeque<Parked>,
    screens: VecDeque<Parked>,
}

#[derive(Debug)]
struct Parked {
    epoch: Epoch,
    until: Moment,
    frame: Vec<u8>,
}

impl ParkedFrames {
    /// Keeps `frame`, and says whether an older one had to go for it.
    pub fn park(&mut self, kid: Kid, frame: &[u8], now: Moment) -> Result<bool, Full> {
        let (queue, bytes_max) = match kid.channel {
            Channel::Pose | Channel::Voice => {
                let displaced = self.datagrams.len() >= DATAGRAMS_MAX && self.datagrams.pop_front().is_some();
                self.datagrams.push_back(Parked::new(kid.epoch, frame, now + DATAGRAMS_FOR));
                return Ok(displaced);
            }
            Channel::Event => (&mut self.events, EVENTS_BYTES_MAX),
            Channel::Screen => (&mut self.screens, SCREENS_BYTES_MAX),
        };
        let taken: usize = queue.iter().map(|parked| parked.frame.len() + OVERHEAD).sum();
        if taken + frame.len() + OVERHEAD > bytes_max {
            return Err(Full);
        }
        queue.push_back(Parked::new(kid.epoch, frame, now + STREAMS_FOR));
        Ok(false)
    }

    /// The oldest frame of an epoch that is `known` now; events first.
    pub fn take(&mut self, known: impl Fn(Epoch) -> bool) -> Option<Vec<u8>> {
        [&mut self.events, &mut self.screens, &mut self.datagrams].into_iter().find_map(|queue| {
            let place = queue.iter().position(|parked| known(parked.epoch))?;
            queue.remove(place).map(|parked| parked.frame)
        })
    }

    /// Drops what waited too long, and says how many frames that were.
    pub fn expire(&mut self, now: Moment) -> usize {
        let mut dropped = 0;
        for queue in [&mut self.datagrams, &mut self.events, &mut self.screens] {
            // All of a queue wait equally long.
            while queue.pop_front_if(|parked| now >= parked.until).is_some() {
                dropped += 1;
            }
        }
        dropped
    }

    /// When something has waited too long.
    pub fn until(&self) -> Option<Moment> {
        [&self.datagrams, &self.events, &self.screens].into_iter().filter_map(|queue| Some(queue.front()?.until)).min()
    }
}

impl Parked {
    fn new(epoch: Epoch, frame: &[u8], until: Moment) -> Self {
        Self { epoch, until, frame: frame.to_vec() }
    }
}
