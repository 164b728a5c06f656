// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the room keeps of each sender until the next tick: the latest pose, and the voice of the last 100 ms. Buffers
//! are used again, so nothing is allocated once a sender has sent for a moment.

use std::time::Duration;

use crate::values::time::Moment;
use crate::wire::kid::Epoch;

/// Frames of voice kept: 100 ms at the highest rate the room takes, 120 a second, and some to spare.
const VOICE_KEPT: u64 = 16;
/// Voice older than this is not worth hearing any more.
pub(super) const VOICE_FOR: Duration = Duration::from_millis(100);

/// A frame as it will be handed on.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub epoch: Option<Epoch>,
    pub at: Option<Moment>,
    pub bytes: Vec<u8>,
}

impl Kept {
    fn keep(&mut self, epoch: Epoch, bytes: &[u8], now: Moment) {
        self.epoch = Some(epoch);
        self.at = Some(now);
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether somebody who was first given epoch `since` may be handed it.
    pub fn is_for(&self, since: Option<Epoch>) -> bool {
        since.is_some_and(|since| self.epoch.is_some_and(|epoch| epoch >= since))
    }

    fn is_fresh(&self, now: Moment) -> bool {
        self.at.is_some_and(|at| now.since(at) < VOICE_FOR)
    }
}

/// The latest pose: one slot, overwritten.
#[derive(Debug, Default)]
pub(super) struct PoseSlot {
    /// Poses so far.
    pub count: u64,
    pub latest: Kept,
}

impl PoseSlot {
    pub fn put(&mut self, epoch: Epoch, bytes: &[u8], now: Moment) {
        self.count += 1;
        self.latest.keep(epoch, bytes, now);
    }
}

/// The last frames of a voice: a ring, the oldest is overwritten.
#[derive(Debug, Default)]
pub(super) struct VoiceRing {
    /// Frames so far: the number of the next one.
    pub count: u64,
    frames: Vec<Kept>,
}

impl VoiceRing {
    pub fn put(&mut self, epoch: Epoch, bytes: &[u8], now: Moment) {
        let place = Self::place(self.count);
        if self.frames.len() <= place {
            self.frames.push(Kept::default());
        }
        if let Some(frame) = self.frames.get_mut(place) {
            frame.keep(epoch, bytes, now);
        }
        self.count += 1;
    }

    /// The number of the oldest frame that is kept and worth sending now.
    pub fn oldest(&self, now: Moment) -> u64 {
        let kept = self.count.saturating_sub(VOICE_KEPT);
        (kept..self.count)
            .find(|number| self.frame(*number).is_some_and(|frame| frame.is_fresh(now)))
            .unwrap_or(self.count)
    }

    pub fn frame(&self, number: u64) -> Option<&Kept> {
        let kept = number < self.count && self.count - number <= VOICE_KEPT;
        self.frames.get(Self::place(number)).filter(|_| kept)
    }

    fn place(number: u64) -> usize {
        usize::try_from(number % VOICE_KEPT).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::after_origin(Duration::from_millis(millis))
    }

    #[test]
    fn a_ring_keeps_what_is_new_and_few() {
        let mut ring = VoiceRing::default();
        for number in 0..20_u8 {
            ring.put(Epoch(1), &[number], at(u64::from(number)));
        }
        assert_eq!(ring.oldest(at(20)), 4);
        assert_eq!(ring.frame(3).map(|frame| frame.bytes.clone()), None);
        assert_eq!(ring.frame(4).map(|frame| frame.bytes.clone()), Some(vec![4]));
        assert_eq!(ring.frame(19).map(|frame| frame.bytes.clone()), Some(vec![19]));
        assert_eq!(ring.frame(20).map(|frame| frame.bytes.clone()), None);
        assert_eq!(ring.oldest(at(110)), 11);
        assert_eq!(ring.oldest(at(500)), 20);
    }

    #[test]
    fn a_frame_is_for_those_who_have_its_epoch() {
        let mut slot = PoseSlot::default();
        assert!(!slot.latest.is_for(Some(Epoch(0))));
        slot.put(Epoch(3), &[1], at(0));
        assert!(slot.latest.is_for(Some(Epoch(3))) && !slot.latest.is_for(Some(Epoch(4))) && !slot.latest.is_for(None));
    }
}
