// SPDX-License-Identifier: AGPL-3.0-or-later
//! The replay windows of one sender, one for each epoch and channel, and what its counters say was lost.

use std::collections::VecDeque;

use crate::core::replay::{Replay, Replayed};
use crate::wire::kid::{Channel, Epoch};

/// Epochs of one sender that have windows at a time: the live one and those that retire within 15 s. With changes as
/// fast as they come (four a second) older ones would be retired before their time, so there is room for all of them.
const EPOCHS_MAX: usize = 64;

/// The windows of one sender.
#[derive(Debug, Default)]
pub(super) struct Windows {
    /// Oldest first.
    epochs: VecDeque<OfEpoch>,
    /// Lost under epochs that are over.
    lost_before: u64,
}

#[derive(Debug)]
struct OfEpoch {
    epoch: Epoch,
    channels: [OfChannel; Channel::ALL.len()],
}

#[derive(Debug)]
struct OfChannel {
    replay: Replay,
    newest: Option<u64>,
    arrived: u64,
}

impl OfEpoch {
    fn new(epoch: Epoch) -> Self {
        let channel = |channel| OfChannel { replay: Replay::new(channel), newest: None, arrived: 0 };
        Self { epoch, channels: Channel::ALL.map(channel) }
    }

    /// Frames that travelled in datagrams and did not arrive. A counter may leap as far as its sender likes.
    fn lost(&self) -> u64 {
        let of_datagrams = self.channels.iter().zip(Channel::ALL).filter(|(_, name)| in_datagrams(*name));
        let lost = of_datagrams.map(|(of, _)| {
            let sent = of.newest.map_or(0, |newest| newest.saturating_add(1));
            sent.saturating_sub(of.arrived)
        });
        lost.fold(0, u64::saturating_add)
    }
}

const fn in_datagrams(channel: Channel) -> bool {
    matches!(channel, Channel::Pose | Channel::Voice)
}

impl Windows {
    /// Whether `counter` may arrive. Makes the windows of an epoch that the schedule accepts.
    pub fn check(&mut self, epoch: Epoch, channel: Channel, counter: u64) -> Result<(), Replayed> {
        if self.find(epoch).is_none() {
            // An accepted epoch that is older than all there are is put first, so the order stays.
            let place = self.epochs.iter().take_while(|of| of.epoch < epoch).count();
            self.epochs.insert(place, OfEpoch::new(epoch));
            if self.epochs.len() > EPOCHS_MAX {
                self.forget_first();
            }
        }
        self.of(epoch, channel).map_or(Err(Replayed::Old), |of| of.replay.check(counter))
    }

    /// It arrived; [checked](Windows::check) just now.
    pub fn record(&mut self, epoch: Epoch, channel: Channel, counter: u64) {
        if let Some(of) = self.of(epoch, channel) {
            of.replay.record(counter);
            of.newest = of.newest.max(Some(counter));
            of.arrived += 1;
        }
    }

    /// Forgets epochs before this one.
    pub fn forget_before(&mut self, epoch: Epoch) {
        while self.epochs.front().is_some_and(|of| of.epoch < epoch) {
            self.forget_first();
        }
    }

    /// All windows begin anew: the sender has another number, so other keys.
    pub fn renumber(&mut self) {
        while !self.epochs.is_empty() {
            self.forget_first();
        }
    }

    /// Frames that did not arrive, by gaps in the counters.
    pub fn lost(&self) -> u64 {
        self.epochs.iter().map(OfEpoch::lost).fold(self.lost_before, u64::saturating_add)
    }

    fn forget_first(&mut self) {
        if let Some(first) = self.epochs.pop_front() {
            self.lost_before = self.lost_before.saturating_add(first.lost());
        }
    }

    fn find(&self, epoch: Epoch) -> Option<usize> {
        self.epochs.iter().rposition(|of| of.epoch == epoch)
    }

    fn of(&mut self, epoch: Epoch, channel: Channel) -> Option<&mut OfChannel> {
        let place = self.find(epoch)?;
        let channels = &mut self.epochs.get_mut(place)?.channels;
        channels.iter_mut().zip(Channel::ALL).find(|(_, name)| *name == channel).map(|(of, _)| of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_epoch_and_channel_has_its_own_window() {
        let mut windows = Windows::default();
        let mut arrive = |epoch, channel, counter| {
            windows.check(Epoch(epoch), channel, counter).inspect(|()| windows.record(Epoch(epoch), channel, counter))
        };
        assert_eq!(arrive(2, Channel::Pose, 5), Ok(()));
        assert_eq!(arrive(2, Channel::Voice, 5), Ok(()));
        assert_eq!(arrive(1, Channel::Pose, 5), Ok(()));
        assert_eq!(arrive(2, Channel::Pose, 5), Err(Replayed::Seen));
        assert_eq!(arrive(1, Channel::Pose, 4), Err(Replayed::Old));
        assert_eq!(arrive(2, Channel::Event, 1), Err(Replayed::Skipped));
        assert_eq!(windows.lost(), 15);
        windows.forget_before(Epoch(2));
        assert_eq!(windows.lost(), 15);
    }

    #[test]
    fn a_counter_that_leaps_to_the_end_is_counted_as_far_as_numbers_go() {
        let mut windows = Windows::default();
        for (epoch, channel) in [(1, Channel::Pose), (1, Channel::Voice), (2, Channel::Pose)] {
            windows.check(Epoch(epoch), channel, u64::MAX).unwrap();
            windows.record(Epoch(epoch), channel, u64::MAX);
        }
        windows.renumber();
        assert_eq!(windows.lost(), u64::MAX);
    }
}
