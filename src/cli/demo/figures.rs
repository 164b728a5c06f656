// SPDX-License-Identifier: AGPL-3.0-or-later
//! The line of live figures: what the relay counts in the room, and what this process costs. On a terminal one line that
//! is written over itself, elsewhere a line with its time.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::api::types::meetings::{ChannelView, ChannelsView, MeetingView, ParticipantView};
use crate::cli::bench::usage::Usage;
use crate::cli::demo::stage::Stage;
use crate::cli::output::print;
use crate::platform::clock::Clock;
use crate::values::time::Timestamp;

/// How often, on a terminal and elsewhere.
const EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// More often than this nobody can read.
const EVERY_MIN: Duration = Duration::from_millis(100);
/// Does not wrap a line that is too long, clears what was there, wraps again, and goes to its begin, so that whatever is
/// printed next stands on it.
const OVER_ITSELF: (&str, &str) = ("\x1b[?7l", "\x1b[K\x1b[?7h\r");
/// The line is empty, whatever a terminal showed of the key that was pressed.
const CLEARED: &str = "\r\x1b[K";

/// One channel of all.
type Of = fn(&ChannelsView) -> ChannelView;

/// What is known at one moment.
struct Sample {
    at: Instant,
    cpu: Option<Usage>,
    meeting: Option<MeetingView>,
}

/// Where figures go, and how often.
pub struct Figures {
    every: Duration,
    terminal: bool,
}

impl Figures {
    /// As often as asked, or as suits standard output.
    pub fn new(every: Option<Duration>) -> Self {
        let terminal = std::io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let suits = if terminal { EVERY.0 } else { EVERY.1 };
        Self { every: every.unwrap_or(suits).max(EVERY_MIN), terminal }
    }

    /// Prints them, without end.
    pub async fn show(&self, stage: &Stage) {
        let clock = Clock::system();
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before: Option<Sample> = None;
        loop {
            ticks.tick().await;
            let meeting = stage.meeting().await;
            let now = Sample { at: clock.instant(), cpu: Usage::of_this_process().ok(), meeting };
            if let Some(before) = &before {
                self.print(&line(before, &now), &clock);
            }
            before = Some(now);
        }
    }

    fn print(&self, line: &str, clock: &Clock) {
        let text = if self.terminal {
            format!("{}{line}{}", OVER_ITSELF.0, OVER_ITSELF.1)
        } else {
            format!("{}  {line}\n", Timestamp::from_millis(clock.now().as_secs() * 1_000))
        };
        // Nothing else can be done about a closed standard output.
        drop(print(&text));
    }

    /// Takes away the line that is written over itself.
    pub fn end(&self) {
        if self.terminal {
            drop(print(CLEARED));
        }
    }
}

/// Frames a second on each channel, to the relay → from it; what was counted of who is there now.
fn line(before: &Sample, now: &Sample) -> String {
    let elapsed = now.at.duration_since(before.at).as_secs_f64();
    let there = now.meeting.as_ref().map_or(&[][..], |meeting| &meeting.participants);
    let sum = |of: fn(&ParticipantView) -> u64| there.iter().map(of).sum::<u64>();
    let mut line = match there.len() {
        0 => "nobody  ".to_owned(),
        1 => "1 person".to_owned(),
        count => format!("{count} people"),
    };
    // Events are rare: they are told in tenths.
    let channels: [(&str, usize, usize, Of); 4] = [
        ("pose", 3, 0, |channels| channels.pose),
        ("voice", 3, 0, |channels| channels.voice),
        ("event", 3, 1, |channels| channels.event),
        ("screen", 2, 0, |channels| channels.screen),
    ];
    for (name, width, tenths, of) in channels {
        let rate = |count: fn(ChannelView) -> u64| per_second(grown(before, now, &|all| count(of(all))), elapsed);
        let (to, from) = (rate(|channel| channel.frames_in), rate(|channel| channel.frames_out));
        // Writing to a string cannot fail.
        let _ = write!(line, "  {name} {to:>width$.tenths$}→{from:<width$.tenths$}");
    }
    let cpu = before.cpu.as_ref().zip(now.cpu.as_ref()).map(|(before, now)| now.since(before).cpu().as_secs_f64());
    if let Some(cpu) = cpu {
        let _ = write!(line, "  cpu {:>2.0} %", 100.0 * per_second(cpu, elapsed));
    }
    if let Some(slowest) = there.iter().filter_map(|one| one.rtt_micros).max() {
        let _ = write!(line, "  rtt {:.1} ms", slowest as f64 / 1_000.0);
    }
    if let Some(epoch) = now.meeting.as_ref().and_then(|meeting| meeting.epoch) {
        let _ = write!(line, "  epoch {epoch}");
    }
    let refused = sum(|one| one.refusals.values().sum());
    let _ = write!(line, "  lost {}  refused {refused}", sum(|one| one.lost));
    line
}

/// How much a count grew, of those who were there at both moments.
fn grown(before: &Sample, now: &Sample, count: &dyn Fn(&ChannelsView) -> u64) -> f64 {
    let (Some(before), Some(now)) = (&before.meeting, &now.meeting) else { return 0.0 };
    if before.id != now.id {
        return 0.0;
    }
    let grown = |one: &ParticipantView| {
        let earlier = before.participants.iter().find(|earlier| earlier.number == one.number)?;
        count(&one.channels).checked_sub(count(&earlier.channels))
    };
    now.participants.iter().filter_map(grown).sum::<u64>() as f64
}

fn per_second(count: f64, elapsed: f64) -> f64 {
    if elapsed > 0.0 { count / elapsed } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::values::time::Moment;

    fn channels(frames: [u64; 4]) -> Value {
        let channel = |frames| json!({ "frames_in": frames, "bytes_in": 0, "frames_out": 2 * frames, "bytes_out": 0 });
        let [pose, voice, event, screen] = frames.map(channel);
        json!({ "pose": pose, "voice": voice, "event": event, "screen": screen })
    }

    fn person(number: u16, frames: [u64; 4]) -> Value {
        json!({
            "number": number, "display_name": "Grace", "joined_at": "2026-01-01T00:00:00Z", "muted": false,
            "silenced": false, "moderator": false, "rtt_micros": 400 + u64::from(number), "channels": channels(frames),
            "superseded": 0, "culled": 0, "lost": 1, "refusals": { "rate": 2, "replayed": 3 },
        })
    }

    fn sample(clock: &Clock, seconds: u64, id: u8, people: &[Value]) -> Sample {
        let meeting = json!({
            "id": uuid(id), "room": { "id": uuid(9), "name": "lobby" }, "began_at": "2026-01-01T00:00:00Z",
            "locked": false, "epoch": 7, "participants": people, "waiting": [],
        });
        let at = clock.instant_of(Moment::after_origin(Duration::from_secs(seconds)));
        Sample { at, cpu: None, meeting: Some(serde_json::from_value(meeting).unwrap()) }
    }

    fn uuid(last: u8) -> String {
        format!("00000000-0000-4000-8000-0000000000{last:02}")
    }

    #[test]
    fn rates_are_of_those_who_were_there_before() {
        let clock = Clock::system();
        let before = sample(&clock, 0, 1, &[person(1, [10, 20, 0, 0]), person(2, [1_000; 4])]);
        let now = sample(&clock, 2, 1, &[person(1, [154, 120, 1, 30]), person(3, [9_999; 4])]);
        assert_eq!(
            line(&before, &now),
            "2 people  pose  72→144  voice  50→100  event 0.5→1.0  screen 15→30  rtt 0.4 ms  epoch 7  lost 2  refused 10"
        );
    }

    #[test]
    fn another_meeting_is_counted_from_its_begin() {
        let clock = Clock::system();
        let before = sample(&clock, 0, 1, &[person(1, [1_000; 4])]);
        let now = sample(&clock, 1, 2, &[person(1, [2_000; 4])]);
        assert!(line(&before, &now).starts_with("1 person  pose   0→0    voice   0→0  "));
        let nobody = Sample { meeting: None, ..sample(&clock, 2, 2, &[]) };
        let line = line(&now, &nobody);
        assert!(line.starts_with("nobody  ") && line.ends_with("lost 0  refused 0"), "{line}");
    }
}
