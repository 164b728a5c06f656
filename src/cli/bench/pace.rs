// SPDX-License-Identifier: AGPL-3.0-or-later
//! Evenly paced sending: who is due when, and a thread that wakes for each.
//!
//! Timers that round to a millisecond let many senders fire at once, and hand a relay batching that people would not
//! give it. So the senders of a channel are spread over its period, and the thread sleeps with a slack of 1 ns. Where the
//! process may, the thread also goes before others: it does little, and relay and receivers keep all cores busy at a tick.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::platform::clock::Clock;
use crate::values::time::Moment;
use crate::wire::kid::Channel;

/// Longest sleep before the thread looks whether it is to stop.
const LOOK_UP: Duration = Duration::from_millis(20);

/// Niceness of the thread: well before everything else that is not the kernel's.
const NICENESS: i32 = -15;

/// Senders of one channel, each with the same rate.
#[derive(Debug, Clone)]
pub struct Beat {
    /// What they send.
    pub channel: Channel,
    /// Who sends, by index.
    pub senders: Vec<usize>,
    /// Frames a second of each.
    pub hz: f64,
}

/// Who is due when, from zero on. The senders of a beat come one after another, at equal distances.
#[derive(Debug)]
pub struct Schedule {
    beats: Vec<(Beat, u64)>,
}

/// Somebody is to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When, from the start.
    pub at: Duration,
    /// Who.
    pub sender: usize,
    /// What.
    pub channel: Channel,
}

impl Schedule {
    /// Of these beats; those in which nobody sends are left out.
    pub fn new(beats: Vec<Beat>) -> Self {
        let sounding = beats.into_iter().filter(|beat| beat.hz > 0.0 && !beat.senders.is_empty());
        Self { beats: sounding.map(|beat| (beat, 0)).collect() }
    }
}

impl Iterator for Schedule {
    type Item = Due;

    /// The next one; `None` when nobody sends at all.
    fn next(&mut self) -> Option<Due> {
        let (beat, count) = self.beats.iter_mut().min_by(|(a, i), (b, j)| time_of(a, *i).cmp(&time_of(b, *j)))?;
        let at = time_of(beat, *count);
        let turn = usize::try_from(*count % beat.senders.len() as u64).unwrap_or(0);
        *count += 1;
        Some(Due { at, sender: *beat.senders.get(turn)?, channel: beat.channel })
    }
}

/// When the frame with this number is due.
fn time_of(beat: &Beat, count: u64) -> Duration {
    Duration::from_secs_f64(count as f64 / (beat.hz * beat.senders.len() as f64))
}

/// Calls `send` for each that is due, with how late it is, until `go_on` says no. Blocks the thread.
pub fn run(
    clock: &Clock,
    start: Moment,
    schedule: Schedule,
    go_on: impl Fn() -> bool,
    mut send: impl FnMut(Due, Duration),
) {
    // A kernel that refuses only makes sleeps longer, and the lateness that is reported shows that. On Linux the
    // priority of "this process" is that of the thread that asks.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let _ = rustix::process::setpriority_process(None, NICENESS);
    for due in schedule {
        let at = start + due.at;
        loop {
            if !go_on() {
                return;
            }
            let early = at.since(clock.moment());
            if early.is_zero() {
                break;
            }
            std::thread::sleep(early.min(LOOK_UP));
        }
        send(due, clock.moment().since(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(channel: Channel, senders: &[usize], hz: f64) -> Beat {
        Beat { channel, senders: senders.to_vec(), hz }
    }

    #[test]
    fn senders_are_spread_over_the_period() {
        let schedule = Schedule::new(vec![beat(Channel::Pose, &[4, 5], 50.0)]);
        let due: Vec<_> = schedule.take(4).map(|due| (due.at.as_millis(), due.sender)).collect();
        assert_eq!(due, [(0, 4), (10, 5), (20, 4), (30, 5)]);
    }

    #[test]
    fn channels_are_merged_in_the_order_of_time() {
        let beats = vec![
            beat(Channel::Pose, &[0, 1, 2], 10.0),
            beat(Channel::Voice, &[1], 20.0),
            beat(Channel::Event, &[], 9.0),
            beat(Channel::Screen, &[1], 0.0),
        ];
        let due: Vec<_> = Schedule::new(beats).take_while(|due| due.at < Duration::from_secs(10)).collect();
        assert!(due.is_sorted_by_key(|due| due.at));
        let count = |channel| due.iter().filter(|due| due.channel == channel).count();
        assert_eq!((count(Channel::Pose), count(Channel::Voice)), (300, 200));
        assert_eq!(due.len(), 500);
    }

    #[test]
    fn nobody_is_never_due() {
        assert_eq!(Schedule::new(vec![]).next(), None);
    }

    #[test]
    fn nothing_is_sent_before_it_is_due_and_nothing_is_left_out() {
        let clock = Clock::system();
        let start = clock.moment();
        let sent = std::cell::RefCell::new(Vec::new());
        let schedule = Schedule::new(vec![beat(Channel::Pose, &[0, 1], 500.0)]);
        run(
            &clock,
            start,
            schedule,
            || sent.borrow().len() < 50,
            |due, _| {
                sent.borrow_mut().push((due, clock.moment()));
            },
        );
        let sent = sent.into_inner();
        assert!(sent.iter().all(|(due, at)| *at >= start + due.at));
        assert!(sent.iter().enumerate().all(|(index, (due, _))| due.sender == index % 2));
    }
}
