// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Frames that came before the secret of their epoch: a few, for a short while. The oldest makes room.

use std::collections::VecDeque;
use std::time::Duration;

use crate::values::time::Moment;
use crate::wire::kid::Epoch;

/// Frames parked at most: what eight voices and four near poses send in about 100 ms.
pub(super) const PARKED_MAX: usize = 64;
/// How long a frame is worth waiting for: the longest time a switch waits for members. Older speech is not played.
pub(super) const PARKED_FOR: Duration = Duration::from_millis(500);

/// The parked frames, oldest first.
#[derive(Debug, Default)]
pub(super) struct ParkedFrames(VecDeque<Parked>);

#[derive(Debug)]
struct Parked {
    epoch: Epoch,
    until: Moment,
    frame: Vec<u8>,
}

impl ParkedFrames {
    /// Keeps `frame`, and says whether an older one had to go for it.
    pub fn park(&mut self, epoch: Epoch, frame: &[u8], now: Moment) -> bool {
        let displaced = self.0.len() >= PARKED_MAX && self.0.pop_front().is_some();
        self.0.push_back(Parked { epoch, until: now + PARKED_FOR, frame: frame.to_vec() });
        displaced
    }

    /// The oldest frame of an epoch that is not `unknown` any more.
    pub fn take(&mut self, unknown: impl Fn(Epoch) -> bool) -> Option<Vec<u8>> {
        let place = self.0.iter().position(|parked| !unknown(parked.epoch))?;
        self.0.remove(place).map(|parked| parked.frame)
    }

    /// Drops what waited too long, and says how many frames that were.
    pub fn expire(&mut self, now: Moment) -> usize {
        let before = self.0.len();
        self.0.retain(|parked| now < parked.until);
        before - self.0.len()
    }

    pub fn until(&self) -> Option<Moment> {
        self.0.front().map(|parked| parked.until)
    }
}
