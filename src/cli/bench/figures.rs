// SPDX-License-Identifier: AGPL-3.0-or-later
//! From a run to figures, and from the figures of several rounds to their medians and spread.
//!
//! CPU time a delivered frame never stands alone: a starved relay batches more and looks better while it gets worse, so
//! latency and the delivered share are with it, and what makes a run doubtful is said.

use std::time::Duration;

use serde::Serialize;

use super::generator::Outcome;
use super::storm::Stormed;
use super::subject::{Facts, Subject};
use super::tally::ByChannel;
use crate::wire::kid::Channel;

/// Share of a core from which on the generator's busiest thread was the bottleneck.
const GENERATOR_FULL: f64 = 0.9;
/// Share of a core from which on the relay's busiest thread had more to do than it could.
const RELAY_FULL: f64 = 0.9;
/// How long half of the frames may take besides the network: four ticks of a large room. Only queues take longer.
const QUEUED: Duration = Duration::from_millis(50);
/// How late the 99th percentile of sends may be.
const LATE: Duration = Duration::from_millis(2);

/// What makes a run doubtful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// The relay had more to do than it could, or half of the frames took longer than 50 ms.
    RelayBehind,
    /// A thread of the generator used more than 90 % of a core.
    GeneratorSaturated,
    /// The 99th percentile of sends was more than 2 ms late.
    SentLate,
    /// Frames were not sent at all.
    NotSent,
    /// Carriers ended before the run did.
    CarriersLost,
    /// Frames did not open, or could not be read.
    Damaged,
}

impl Doubt {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RelayBehind => {
                "the relay was behind: what is sent late goes out together, so its CPU a frame is too low"
            }
            Self::GeneratorSaturated => "the generator used more than 90 % of a core: it was the bottleneck",
            Self::SentLate => "senders ran more than 2 ms late (p99): batching was given away for free",
            Self::NotSent => "the generator could not send everything",
            Self::CarriersLost => "participants lost their carriers",
            Self::Damaged => "frames arrived that do not read or open",
        }
    }
}

/// Figures of one run, or the medians of several.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// CPU time of the relay's process, as a share of one core.
    pub core_share: f64,
    /// Microseconds of CPU a delivered frame.
    pub cpu_micros_per_frame: f64,
    /// Delivered frames for a second of CPU.
    pub frames_per_cpu_second: f64,
    /// Delivered frames a second.
    pub frames_per_second: f64,
    /// Milliseconds from sending to having been read, median.
    pub latency_p50_ms: f64,
    /// The same, 99th percentile.
    pub latency_p99_ms: f64,
    /// The same, the longest.
    pub latency_max_ms: f64,
    /// Percent of what should have arrived that did.
    pub delivered_percent: f64,
    /// The same by channel; absent where nothing was sent.
    #[serde(flatten)]
    pub delivered: DeliveredByChannel,
    /// Counted by the relay: poses replaced by newer ones, by design.
    pub superseded: f64,
    /// Counted by the relay: frames for which a path or a budget had no room.
    pub culled: f64,
    /// Counted by the relay: frames that never reached it.
    pub lost: f64,
    /// Allocations of the relay's process a delivered frame; absent unless counted (feature `bench-alloc`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocations_per_frame: Option<f64>,
    /// Sign-ins that were hashed and answered, a second; absent where none are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_ins_answered_per_second: Option<f64>,
    /// Sign-ins that were told to come back later, a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_ins_busy_per_second: Option<f64>,
    /// Sign-ins that failed in another way, a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_ins_failed_per_second: Option<f64>,
    /// CPU time of the generator, as a share of one core.
    pub generator_core_share: f64,
    /// The same of its busiest thread.
    pub generator_busiest_thread: f64,
    /// Milliseconds that sends were late, 99th percentile.
    pub sent_late_p99_ms: f64,
}

/// Percent delivered of each channel.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DeliveredByChannel {
    /// Poses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pose_delivered_percent: Option<f64>,
    /// Voices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voice_delivered_percent: Option<f64>,
    /// Events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_delivered_percent: Option<f64>,
    /// Screens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screen_delivered_percent: Option<f64>,
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn percent(delivered: &ByChannel, expected: &ByChannel, channel: Channel) -> Option<f64> {
    let place = usize::from(channel.number()) - 1;
    let (delivered, expected) = (*delivered.get(place)?, *expected.get(place)?);
    (expected > 0).then(|| 100.0 * delivered as f64 / expected as f64)
}

impl Figures {
    /// Of one run.
    pub(super) fn of(outcome: &Outcome) -> Self {
        let Outcome { sent, arrivals, relay, generator, window, .. } = outcome;
        let window = window.as_secs_f64();
        let (cpu, frames) = (relay.usage.cpu().as_secs_f64(), arrivals.inside as f64);
        let Facts { superseded, culled, lost } = relay.facts;
        let of = |channel| percent(&arrivals.delivered, &sent.expected, channel);
        let (delivered, expected): (u64, u64) = (arrivals.delivered.iter().sum(), sent.expected.iter().sum());
        Self {
            core_share: ratio(cpu, window),
            cpu_micros_per_frame: ratio(cpu * 1e6, frames),
            frames_per_cpu_second: ratio(frames, cpu),
            frames_per_second: ratio(frames, window),
            latency_p50_ms: millis(arrivals.latency.percentile(0.5)),
            latency_p99_ms: millis(arrivals.latency.percentile(0.99)),
            latency_max_ms: millis(arrivals.latency.max()),
            delivered_percent: 100.0 * ratio(delivered as f64, expected as f64),
            delivered: DeliveredByChannel {
                pose_delivered_percent: of(Channel::Pose),
                voice_delivered_percent: of(Channel::Voice),
                event_delivered_percent: of(Channel::Event),
                screen_delivered_percent: of(Channel::Screen),
            },
            superseded: superseded as f64,
            culled: culled as f64,
            lost: lost as f64,
            allocations_per_frame: relay.usage.allocations.map(|count| ratio(count as f64, frames)),
            sign_ins_answered_per_second: None,
            sign_ins_busy_per_second: None,
            sign_ins_failed_per_second: None,
            generator_core_share: ratio(generator.cpu().as_secs_f64(), window),
            generator_busiest_thread: ratio(generator.busiest().as_secs_f64(), window),
            sent_late_p99_ms: millis(sent.lateness.percentile(0.99)),
        }
    }

    /// With what became of the sign-ins that stormed the appliance meanwhile.
    pub(super) fn with_storm(self, stormed: Option<Stormed>) -> Self {
        Self {
            sign_ins_answered_per_second: stormed.map(|stormed| stormed.answered_per_second),
            sign_ins_busy_per_second: stormed.map(|stormed| stormed.busy_per_second),
            sign_ins_failed_per_second: stormed.map(|stormed| stormed.failed_per_second),
            ..self
        }
    }

    /// The median of each figure by itself; `None` of none.
    pub fn medians(all: &[Self]) -> Option<Self> {
        let of = |figure: fn(&Self) -> f64| median(all.iter().map(figure));
        let channel = |figure: fn(&DeliveredByChannel) -> Option<f64>| {
            median(all.iter().filter_map(|figures| figure(&figures.delivered)))
        };
        Some(Self {
            core_share: of(|figures| figures.core_share)?,
            cpu_micros_per_frame: of(|figures| figures.cpu_micros_per_frame)?,
            frames_per_cpu_second: of(|figures| figures.frames_per_cpu_second)?,
            frames_per_second: of(|figures| figures.frames_per_second)?,
            latency_p50_ms: of(|figures| figures.latency_p50_ms)?,
            latency_p99_ms: of(|figures| figures.latency_p99_ms)?,
            latency_max_ms: of(|figures| figures.latency_max_ms)?,
            delivered_percent: of(|figures| figures.delivered_percent)?,
            delivered: DeliveredByChannel {
                pose_delivered_percent: channel(|delivered| delivered.pose_delivered_percent),
                voice_delivered_percent: channel(|delivered| delivered.voice_delivered_percent),
                event_delivered_percent: channel(|delivered| delivered.event_delivered_percent),
                screen_delivered_percent: channel(|delivered| delivered.screen_delivered_percent),
            },
            superseded: of(|figures| figures.superseded)?,
            culled: of(|figures| figures.culled)?,
            lost: of(|figures| figures.lost)?,
            allocations_per_frame: median(all.iter().filter_map(|figures| figures.allocations_per_frame)),
            sign_ins_answered_per_second: median(all.iter().filter_map(|figures| figures.sign_ins_answered_per_second)),
            sign_ins_busy_per_second: median(all.iter().filter_map(|figures| figures.sign_ins_busy_per_second)),
            sign_ins_failed_per_second: median(all.iter().filter_map(|figures| figures.sign_ins_failed_per_second)),
            generator_core_share: of(|figures| figures.generator_core_share)?,
            generator_busiest_thread: of(|figures| figures.generator_busiest_thread)?,
            sent_late_p99_ms: of(|figures| figures.sent_late_p99_ms)?,
        })
    }
}

/// What makes this run doubtful, over a network that takes this long from sender to receiver.
pub(super) fn doubts(outcome: &Outcome, figures: &Figures, network: Duration) -> Vec<Doubt> {
    let is_stormed = figures.sign_ins_answered_per_second.is_some();
    let relay_busiest = ratio(outcome.relay.usage.busiest().as_secs_f64(), outcome.window.as_secs_f64());
    let found = [
        // Beside a storm the busiest thread hashes passwords: what is late says whether the relay is behind.
        (
            Doubt::RelayBehind,
            (!is_stormed && relay_busiest > RELAY_FULL) || figures.latency_p50_ms > millis(network + QUEUED),
        ),
        (Doubt::GeneratorSaturated, figures.generator_busiest_thread > GENERATOR_FULL),
        (Doubt::SentLate, figures.sent_late_p99_ms > millis(LATE)),
        (Doubt::NotSent, outcome.sent.unsent > 0),
        (Doubt::CarriersLost, outcome.gone > 0),
        (Doubt::Damaged, outcome.arrivals.damaged > 0 || outcome.arrivals.unreadable > 0),
    ];
    found.into_iter().filter(|(_, found)| *found).map(|(doubt, _)| doubt).collect()
}

/// A figure over several rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The one in the middle.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of these; `None` of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let min = values.iter().copied().reduce(f64::min)?;
        let max = values.iter().copied().reduce(f64::max)?;
        Some(Self { min, median: median(values.iter().copied())?, max })
    }
}

/// The value in the middle, or between the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    match sorted.len() % 2 {
        0 => Some(f64::midpoint(*sorted.get(middle - 1)?, upper)),
        _ => Some(upper),
    }
}

/// CPU a delivered frame of Conclave against the baseline, round by round.
pub(super) fn ratios(rounds: &[(Subject, u32, Figures)]) -> Option<Spread> {
    let of = |subject: Subject, round: u32| {
        let found = rounds.iter().find(|(one, number, _)| *one == subject && *number == round);
        found.map(|(.., figures)| figures.cpu_micros_per_frame).filter(|micros| *micros > 0.0)
    };
    let numbers = rounds.iter().filter(|(subject, ..)| *subject == Subject::Conclave).map(|(_, round, _)| *round);
    let ratios: Vec<f64> =
        numbers.filter_map(|round| Some(of(Subject::Conclave, round)? / of(Subject::Baseline, round)?)).collect();
    Spread::of(&ratios)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cli::bench::process::Snapshot;
    use crate::cli::bench::tally::{Arrivals, Sent};
    use crate::cli::bench::usage::Usage;

    /// A second in which the relay used 200 ms for 1,000 frames.
    pub fn outcome() -> Outcome {
        let usage = |nanos, allocations| Usage { threads: [(1, nanos)].into(), allocations };
        let mut outcome = Outcome {
            sent: Sent { frames: [100, 0, 0, 0], expected: [1_000, 0, 0, 0], ..Sent::default() },
            arrivals: Arrivals { inside: 1_000, delivered: [990, 0, 0, 0], ..Arrivals::default() },
            relay: Snapshot { usage: usage(200_000_000, Some(50)), facts: Facts { superseded: 8, culled: 2, lost: 1 } },
            generator: usage(700_000_000, None),
            window: Duration::from_secs(1),
            gone: 0,
        };
        outcome.arrivals.latency.record(Duration::from_millis(6));
        outcome
    }

    #[test]
    fn figures_follow_from_what_was_counted() {
        let figures = Figures::of(&outcome());
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        near(figures.core_share, 0.2);
        near(figures.cpu_micros_per_frame, 200.0);
        near(figures.frames_per_cpu_second, 5_000.0);
        near(figures.delivered_percent, 99.0);
        near(figures.delivered.pose_delivered_percent.unwrap(), 99.0);
        assert_eq!(figures.delivered.voice_delivered_percent, None);
        near(figures.allocations_per_frame.unwrap(), 0.05);
        near(figures.latency_max_ms, 6.0);
        assert_eq!(doubts(&outcome(), &figures, Duration::ZERO), []);
    }

    #[test]
    fn a_run_without_deliveries_has_figures_too() {
        let mut nothing = outcome();
        nothing.arrivals = Arrivals::default();
        let figures = Figures::of(&nothing);
        assert_eq!((figures.cpu_micros_per_frame, figures.delivered_percent), (0.0, 0.0));
    }

    #[test]
    fn doubtful_runs_are_marked() {
        let mut doubtful = outcome();
        doubtful.generator = Usage { threads: [(1, 950_000_000)].into(), allocations: None };
        doubtful.sent.lateness.record(Duration::from_millis(3));
        doubtful.sent.unsent = 1;
        doubtful.gone = 1;
        doubtful.arrivals.damaged = 1;
        let all = [Doubt::GeneratorSaturated, Doubt::SentLate, Doubt::NotSent, Doubt::CarriersLost, Doubt::Damaged];
        assert_eq!(doubts(&doubtful, &Figures::of(&doubtful), Duration::ZERO), all);
    }

    #[test]
    fn a_relay_that_is_behind_is_marked_by_its_load_or_by_its_latency() {
        let check = |change: fn(&mut Outcome), network: u64, behind: bool| {
            let mut outcome = outcome();
            change(&mut outcome);
            let doubts = doubts(&outcome, &Figures::of(&outcome), Duration::from_millis(network));
            assert_eq!(doubts, if behind { vec![Doubt::RelayBehind] } else { vec![] });
        };
        let full = |outcome: &mut Outcome| outcome.relay.usage.threads = [(1, 950_000_000)].into();
        let shared = |outcome: &mut Outcome| outcome.relay.usage.threads = [(1, 500_000_000), (2, 500_000_000)].into();
        let slow = |outcome: &mut Outcome| {
            outcome.arrivals.latency = Default::default();
            outcome.arrivals.latency.record(Duration::from_millis(108));
        };
        check(full, 0, true);
        check(shared, 0, false);
        check(slow, 0, true);
        check(slow, 60, false);
    }

    #[test]
    fn medians_and_spread() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
        assert!(Figures::medians(&[]).is_none());
    }

    #[test]
    fn the_ratio_is_taken_within_each_round() {
        let with = |micros| Figures { cpu_micros_per_frame: micros, ..Figures::of(&outcome()) };
        let rounds = [
            (Subject::Conclave, 1, with(1.0)),
            (Subject::Baseline, 1, with(8.0)),
            (Subject::Baseline, 2, with(4.0)),
            (Subject::Conclave, 2, with(1.0)),
            // Nothing to compare it with.
            (Subject::Conclave, 3, with(1.0)),
        ];
        assert_eq!(ratios(&rounds), Some(Spread { min: 0.125, median: 0.1875, max: 0.25 }));
        assert_eq!(ratios(&rounds[..1]), None);
    }
}
