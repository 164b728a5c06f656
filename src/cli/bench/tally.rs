// SPDX-License-Identifier: AGPL-3.0-or-later
//! What was sent and what arrived: when each frame was sent, and how long those that arrived took.
//!
//! A frame is known by its sender, channel and counter. Its send time is kept in a table of atomics that the sending
//! thread writes and the receivers read; what arrives is counted when it was sent inside the measured window.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::Histogram;
use crate::values::time::Moment;
use crate::wire::kid::Channel;

/// Send times kept of each sender and channel: half a minute at the fastest rate, longer than anything may be on the way.
const KEPT: usize = 4_096;

/// What is counted by channel, in the order of [`Channel::ALL`].
pub(super) type ByChannel = [u64; Channel::ALL.len()];

/// The place of a channel in [`ByChannel`].
pub(super) fn place(channel: Channel) -> usize {
    usize::from(channel.number()) - 1
}

/// Adds to one channel.
pub(super) fn add(counts: &mut ByChannel, channel: Channel, more: u64) {
    if let Some(count) = counts.get_mut(place(channel)) {
        *count += more;
    }
}

/// When each frame was sent, and which are measured.
pub(super) struct SendTimes {
    origin: Moment,
    /// Nanoseconds after the origin, plus one; 0: never sent.
    times: Vec<AtomicU64>,
    begins: AtomicU64,
    ends: AtomicU64,
}

impl SendTimes {
    /// Of this many senders, from `origin` on. Nothing is measured yet.
    pub fn new(origin: Moment, senders: usize) -> Self {
        let times = (0..senders * Channel::ALL.len() * KEPT).map(|_| AtomicU64::new(0)).collect();
        Self { origin, times, begins: AtomicU64::new(u64::MAX), ends: AtomicU64::new(u64::MAX) }
    }

    fn time(&self, sender: usize, channel: Channel, counter: u64) -> Option<&AtomicU64> {
        let slot = usize::try_from(counter % KEPT as u64).ok()?;
        self.times.get((sender * Channel::ALL.len() + place(channel)) * KEPT + slot)
    }

    fn nanos(&self, moment: Moment) -> u64 {
        u64::try_from(moment.since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Notes a frame that is sent now.
    pub fn sent(&self, sender: usize, channel: Channel, counter: u64, now: Moment) {
        if let Some(time) = self.time(sender, channel, counter) {
            time.store(self.nanos(now) + 1, Ordering::Release);
        }
    }

    /// When a frame was sent.
    pub fn when(&self, sender: usize, channel: Channel, counter: u64) -> Option<Moment> {
        let nanos = self.time(sender, channel, counter)?.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.origin + Duration::from_nanos(nanos))
    }

    /// What is sent and received from now on is measured.
    pub fn begin(&self, now: Moment) {
        self.begins.store(self.nanos(now), Ordering::Release);
    }

    /// What is sent and received from now on is not.
    pub fn end(&self, now: Moment) {
        self.ends.store(self.nanos(now), Ordering::Release);
    }

    /// Whether a moment is inside the measured window.
    pub fn measures(&self, moment: Moment) -> bool {
        let nanos = self.nanos(moment);
        nanos >= self.begins.load(Ordering::Acquire) && nanos < self.ends.load(Ordering::Acquire)
    }
}

/// What arrived, at all receivers together.
#[derive(Debug, Clone, Default)]
pub(super) struct Arrivals {
    /// Frames that arrived inside the window, whenever they were sent: what the relay's CPU time was spent on.
    pub inside: u64,
    /// Frames that were sent inside the window, by channel.
    pub delivered: ByChannel,
    /// How long those took.
    pub latency: Histogram,
    /// Datagrams and streams that could not be read to their end, and frames of nobody.
    pub unreadable: u64,
    /// Frames that were opened, as a sample.
    pub opened: u64,
    /// Frames of the sample that did not open.
    pub damaged: u64,
}

impl Arrivals {
    /// Counts a frame.
    pub fn count(&mut self, times: &SendTimes, sender: usize, channel: Channel, counter: u64, now: Moment) {
        if times.measures(now) {
            self.inside += 1;
        }
        let Some(sent) = times.when(sender, channel, counter) else {
            self.unreadable += 1;
            return;
        };
        if times.measures(sent) {
            add(&mut self.delivered, channel, 1);
            self.latency.record(now.since(sent));
        }
    }
}

/// What was sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    /// Frames sent inside the window.
    pub frames: ByChannel,
    /// How often those should arrive: once at everybody else in the room.
    pub expected: ByChannel,
    /// Frames that the sender's own carrier or keys had no place for.
    pub unsent: u64,
    /// How late the sending thread was.
    pub lateness: Histogram,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::after_origin(Duration::from_millis(millis))
    }

    #[test]
    fn what_was_sent_inside_the_window_is_measured() {
        let times = SendTimes::new(at(100), 2);
        let mut arrivals = Arrivals::default();
        times.sent(0, Channel::Pose, 0, at(105));
        times.begin(at(110));
        times.sent(0, Channel::Pose, 1, at(115));
        times.sent(1, Channel::Voice, 1, at(118));
        // Sent before the window and received inside it; sent and received inside; received after it.
        arrivals.count(&times, 0, Channel::Pose, 0, at(112));
        arrivals.count(&times, 0, Channel::Pose, 1, at(117));
        times.end(at(120));
        arrivals.count(&times, 1, Channel::Voice, 1, at(125));
        assert_eq!((arrivals.inside, arrivals.delivered), (2, [1, 1, 0, 0]));
        assert_eq!(arrivals.latency.max(), Duration::from_millis(7));
    }

    #[test]
    fn a_frame_that_nobody_sent_is_not_delivered() {
        let times = SendTimes::new(at(0), 1);
        times.begin(at(0));
        let mut arrivals = Arrivals::default();
        arrivals.count(&times, 0, Channel::Pose, 5, at(1));
        arrivals.count(&times, 9, Channel::Pose, 0, at(1));
        assert_eq!((arrivals.delivered, arrivals.unreadable), ([0; 4], 2));
    }

    #[test]
    fn counters_go_round_the_table() {
        let times = SendTimes::new(at(0), 1);
        times.sent(0, Channel::Screen, 3 + KEPT as u64, at(9));
        assert_eq!(times.when(0, Channel::Screen, 3), Some(at(9)));
        assert_eq!(times.when(0, Channel::Screen, 4), None);
    }
}
