// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave bench`: what the relay costs, measured here, against a relay that forwards on arrival.
//!
//! This process drives; the relay under test is this program again in a process of its own, so that its CPU time is its
//! own. A round runs each relay once, the first of them in turn, for the same time under the same load.
//!
//! | file | what |
//! |---|---|
//! | `load` | what is sent: options, presets, expected deliveries |
//! | `subject` | the relays that are compared, and how to get into each: `conclave` with `participant`, `baseline` |
//! | `api`, `storm` | the API of an appliance beside the relay, and the sign-ins that storm it |
//! | `process` | the relay's process, from both ends |
//! | `generator` | one run; `speak` and `pace` send, `listen` receives, `tally` and `histogram` count |
//! | [`netem`] | a bad network in between |
//! | `usage` | CPU time, allocations, the machine |
//! | `figures`, `report` | what follows from it, in words and in JSON |

use std::io::{self, BufReader, Write};
use std::time::Duration;

use clap::Args;

use self::error::BenchError;
use self::figures::{Figures, doubts, ratios};
use self::generator::{Meter, Run, drive};
use self::load::{Load, LoadArgs};
use self::netem::{Conditions, Netem};
use self::process::{RelayProcess, Snapshot, obey};
use self::report::{Medians, Report, RunFigures};
use self::storm::Storm;
use self::subject::Subject;
use self::usage::Machine;
use super::exit::Failure;
use super::output::Output;
use crate::platform::clock::Clock;

mod api;
mod baseline;
mod conclave;
pub mod error;
mod figures;
mod generator;
mod histogram;
mod listen;
pub(super) use load::duration;
mod load;
pub mod netem;
mod pace;
mod participant;
mod process;
mod report;
mod socket;
mod speak;
mod storm;
mod subject;
mod tally;
mod tls;
pub(super) mod usage;

/// Before each window: paths find their size, tables their room.
const WARM_UP: Duration = Duration::from_secs(2);
/// After each window, besides the time that the network takes: a saturated relay is this far behind at most.
const TAIL: Duration = Duration::from_millis(500);
/// The seed of the bad network, so that every run has the same one.
const NETWORK_SEED: u64 = 1;

/// Measure the relay on this machine.
#[derive(Debug, Args)]
#[command(after_help = "Example: conclave bench --participants 25 --duration 5s --rounds 3")]
pub struct Bench {
    #[command(flatten)]
    load: LoadArgs,
    /// Relays to measure, alternating
    #[arg(long, value_enum, value_delimiter = ',', value_name = "RELAYS", default_value = "conclave,baseline")]
    relays: Vec<Subject>,
    /// Percent of datagrams that are lost on the way, each way
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    loss: f64,
    /// Milliseconds that datagrams take, each way
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay: u64,
    /// How long each run is measured
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = load::duration)]
    duration: Duration,
    /// How often each relay is measured
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u32,
    /// Be the relay under test: reads orders, answers on standard output
    #[arg(long = process::RELAY_OPTION, hide = true)]
    relay_process: bool,
}

/// Measures, or is the relay that is measured.
pub(super) fn run(bench: &Bench, output: Output) -> Result<(), Failure> {
    if bench.relay_process {
        return Ok(obey(BufReader::new(io::stdin()), io::stdout())?);
    }
    let load = bench.check()?;
    let report = bench.measure(load, &say)?;
    Ok(output.print(&report, Report::text)?)
}

/// Progress, for whoever waits.
fn say(text: &str) {
    // Nobody has to watch.
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

impl Meter for RelayProcess {
    fn read(&mut self) -> Result<Snapshot, BenchError> {
        self.report()
    }
}

impl Bench {
    /// The load, when all options make sense together.
    fn check(&self) -> Result<Load, BenchError> {
        let load = Load::try_from(&self.load)?;
        if !(0.0..=100.0).contains(&self.loss) {
            return Err(BenchError::Loss(self.loss));
        }
        if self.rounds == 0 || self.duration.is_zero() {
            return Err(BenchError::NoTime);
        }
        if load.has_streams() && self.relays.contains(&Subject::Baseline) {
            return Err(BenchError::StreamsOnBaseline);
        }
        Ok(load)
    }

    fn measure(&self, load: Load, say: &dyn Fn(&str)) -> Result<Report, BenchError> {
        let began_at = Clock::system().now();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(BenchError::io("the generator's runtime"))?;
        let mut found: Vec<(Subject, u32, Figures)> = Vec::new();
        let mut runs = Vec::new();
        for round in 1..=self.rounds {
            for relay in self.order(round) {
                say(&format!("round {round} of {}: {} … ", self.rounds, relay.as_str()));
                let run = self.run_once(&runtime, relay, round, &load).inspect_err(|_| say("\n"))?;
                let of = &run.figures;
                say(&format!(
                    "{:.1} % of a core, {:.2} µs a frame, p99 {:.1} ms, {:.1} % delivered{}\n",
                    100.0 * of.core_share,
                    of.cpu_micros_per_frame,
                    of.latency_p99_ms,
                    of.delivered_percent,
                    if run.doubts.is_empty() { "" } else { ", doubtful" }
                ));
                found.push((relay, round, run.figures.clone()));
                runs.push(run);
            }
        }
        let medians = |relay: Subject| {
            let of: Vec<_> =
                found.iter().filter(|(one, ..)| *one == relay).map(|(.., figures)| figures.clone()).collect();
            Figures::medians(&of).map(|figures| Medians { relay, figures })
        };
        Ok(Report {
            began_at,
            machine: Machine::this(),
            command: std::env::args().collect::<Vec<_>>().join(" "),
            optimised: !cfg!(debug_assertions),
            load,
            loss_percent: self.loss,
            delay_ms: self.delay,
            window_s: self.duration.as_secs_f64(),
            relays: Subject::ALL.into_iter().filter_map(medians).collect(),
            ratio: ratios(&found),
            runs,
        })
    }

    /// The relays of a round. Who is first alternates, so that a machine that warms up or slows down favours neither.
    fn order(&self, round: u32) -> Vec<Subject> {
        let mut relays = self.relays.clone();
        relays.sort_unstable();
        relays.dedup();
        if round.is_multiple_of(2) {
            relays.reverse();
        }
        relays
    }

    fn run_once(
        &self,
        runtime: &tokio::runtime::Runtime,
        subject: Subject,
        round: u32,
        load: &Load,
    ) -> Result<RunFigures, BenchError> {
        let (relay, invitation) = RelayProcess::start(subject, load)?;
        let network = self.network(invitation.address)?;
        let address = network.as_ref().map_or(invitation.address, Netem::address);
        // To the relay and on to the others.
        let across = 2 * Duration::from_millis(self.delay);
        let run = Run {
            subject,
            load,
            invitation: &invitation,
            address,
            warm_up: WARM_UP,
            duration: self.duration,
            tail: TAIL + across,
        };
        let storm = invitation.api.as_ref().map(Storm::begin).transpose()?;
        let driven = runtime.block_on(async {
            match &storm {
                Some(storm) => storm.count(drive(&run, relay)).await,
                None => (drive(&run, relay).await, storm::Stormed::default()),
            }
        });
        let is_stormed = storm.is_some();
        storm.into_iter().for_each(Storm::end);
        let ((outcome, relay), stormed) = (driven.0?, driven.1);
        drop((relay, network));
        let figures = Figures::of(&outcome).with_storm(is_stormed.then_some(stormed));
        let doubts = doubts(&outcome, &figures, across);
        Ok(RunFigures { round, relay: subject, figures, doubts })
    }

    /// The bad network that was asked for.
    fn network(&self, relay: std::net::SocketAddr) -> Result<Option<Netem>, BenchError> {
        let (loss, delay) = (self.loss / 100.0, Duration::from_millis(self.delay));
        if loss == 0.0 && delay.is_zero() {
            return Ok(None);
        }
        let conditions = Conditions { loss, delay, ..Conditions::default() };
        Netem::start(relay, conditions, NETWORK_SEED).map(Some).map_err(BenchError::io("the network in between"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        bench: Bench,
    }

    fn bench(arguments: &str) -> Bench {
        Line::try_parse_from(std::iter::once("bench").chain(arguments.split_whitespace())).unwrap().bench
    }

    #[test]
    fn both_relays_are_measured_and_take_turns_in_being_first() {
        let both = bench("");
        assert_eq!(both.order(1), [Subject::Conclave, Subject::Baseline]);
        assert_eq!(both.order(2), [Subject::Baseline, Subject::Conclave]);
        assert_eq!(bench("--relays baseline,baseline").order(1), [Subject::Baseline]);
        assert_eq!((both.rounds, both.duration), (5, Duration::from_secs(10)));
    }

    #[test]
    fn options_that_make_no_sense_together_are_refused_by_name() {
        let refused = |arguments: &str| bench(arguments).check().unwrap_err();
        assert!(matches!(refused("--loss 101"), BenchError::Loss(_)));
        assert!(matches!(refused("--rounds 0"), BenchError::NoTime));
        assert!(matches!(refused("--duration 0s"), BenchError::NoTime));
        assert!(matches!(refused("--screen"), BenchError::StreamsOnBaseline));
        assert!(matches!(refused("--participants 1"), BenchError::Load(_)));
        assert!(bench("--event-hz 1 --relays conclave").check().is_ok());
    }
}
