// SPDX-License-Identifier: AGPL-3.0-or-later
//! What `conclave bench` answers: a verdict in plain words, or everything as JSON.

use serde::Serialize;

use super::figures::{Doubt, Figures, Spread};
use super::load::{Carrier, Load};
use super::subject::Subject;
use super::usage::Machine;
use crate::cli::output::wide_table;
use crate::values::time::Timestamp;

/// Everything that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// When it began.
    pub began_at: Timestamp,
    /// On what.
    pub machine: Machine,
    /// The command line.
    pub command: String,
    /// Whether this is an optimised build.
    pub optimised: bool,
    /// What was sent.
    pub load: Load,
    /// Percent of datagrams that the network lost, each way.
    pub loss_percent: f64,
    /// Milliseconds that the network took, each way.
    pub delay_ms: u64,
    /// Seconds of each measured window.
    pub window_s: f64,
    /// Medians of each relay.
    pub relays: Vec<Medians>,
    /// CPU a delivered frame, Conclave ÷ baseline, over the rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Spread>,
    /// Every run, in the order of time.
    pub runs: Vec<RunFigures>,
}

/// Medians of one relay over the rounds.
#[derive(Debug, Clone, Serialize)]
pub struct Medians {
    /// Which.
    pub relay: Subject,
    /// Each figure's median.
    #[serde(flatten)]
    pub figures: Figures,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct RunFigures {
    /// From 1.
    pub round: u32,
    /// Which.
    pub relay: Subject,
    /// What was found.
    #[serde(flatten)]
    pub figures: Figures,
    /// Why to doubt it.
    pub doubts: Vec<Doubt>,
}

/// A row of the table: what it is called, and how it is written.
type Row = (&'static str, fn(&Figures) -> String);

/// The rows of the table of medians.
const ROWS: [Row; 14] = [
    ("share of one core", |of| format!("{:.1} %", 100.0 * of.core_share)),
    ("CPU a delivered frame", |of| format!("{:.3} µs", of.cpu_micros_per_frame)),
    ("frames a CPU second", |of| grouped(of.frames_per_cpu_second)),
    ("frames a second", |of| grouped(of.frames_per_second)),
    ("latency p50 / p99 / max", |of| {
        format!("{:.2} / {:.2} / {:.1} ms", of.latency_p50_ms, of.latency_p99_ms, of.latency_max_ms)
    }),
    ("delivered", |of| format!("{:.2} %", of.delivered_percent)),
    ("of it poses / voices / events / screens", |of| {
        let all = [
            of.delivered.pose_delivered_percent,
            of.delivered.voice_delivered_percent,
            of.delivered.event_delivered_percent,
            of.delivered.screen_delivered_percent,
        ];
        all.map(|one| one.map_or("–".to_owned(), |percent| format!("{percent:.2} %"))).join(" / ")
    }),
    ("superseded", |of| grouped(of.superseded)),
    ("culled", |of| grouped(of.culled)),
    ("lost on the way in", |of| grouped(of.lost)),
    ("allocations a delivered frame", |of| {
        of.allocations_per_frame.map_or("not counted".to_owned(), |count| format!("{count:.4}"))
    }),
    ("sign-ins a second: answered / told to wait / failed", |of| {
        let all = [of.sign_ins_answered_per_second, of.sign_ins_busy_per_second, of.sign_ins_failed_per_second];
        all.map(|one| one.map_or("–".to_owned(), |rate| format!("{rate:.1}"))).join(" / ")
    }),
    ("generator: all / busiest thread", |of| {
        format!("{:.0} % / {:.0} % of a core", 100.0 * of.generator_core_share, 100.0 * of.generator_busiest_thread)
    }),
    ("generator: late, p99", |of| format!("{:.2} ms", of.sent_late_p99_ms)),
];

impl Report {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.question());
        for medians in &self.relays {
            text.push_str(&self.verdict(medians));
        }
        if let Some(ratio) = self.ratio {
            text.push_str(&comparison(ratio));
            text.push_str(&self.unfair());
        }
        text.push('\n');
        text.push_str(&self.medians());
        text.push_str(&self.doubts());
        text.push_str(&format!(
            "\nMeasured {} on {} × {}, loopback, with\n  {}\n",
            self.began_at, self.machine.cores, self.machine.model, self.command
        ));
        text
    }

    /// What was asked.
    fn question(&self) -> String {
        let Load { participants, rooms, talking, pose, voice, event, screen, carrier } = &self.load;
        let mut sent = Vec::new();
        if pose.hz > 0.0 {
            sent.push(format!("all send {} poses a second of {} B", pose.hz, pose.bytes));
        }
        if voice.hz > 0.0 && *talking > 0 {
            sent.push(format!("{talking} send {} voice frames a second of {} B", voice.hz, voice.bytes));
        }
        if event.hz > 0.0 {
            sent.push(format!("all send {} events a second of {} B", event.hz, event.bytes));
        }
        if screen.hz > 0.0 {
            sent.push("one in each room shares a screen".to_owned());
        }
        let room = if *rooms == 1 { "one room".to_owned() } else { format!("{rooms} rooms") };
        let carrier = match carrier {
            Carrier::Quic => "QUIC",
            Carrier::WebTransport => "WebTransport",
        };
        let network = match (self.loss_percent > 0.0, self.delay_ms > 0) {
            (false, false) => String::new(),
            _ => format!(" over a network that loses {} % and takes {} ms each way", self.loss_percent, self.delay_ms),
        };
        format!("{participants} participants in {room} by {carrier}{network}: {}.", sent.join(", "))
    }

    fn verdict(&self, medians: &Medians) -> String {
        let of = &medians.figures;
        let name = match medians.relay {
            Subject::Conclave => "Conclave's relay",
            Subject::Baseline => "Forwarding on arrival",
            Subject::Storm => "Conclave's relay and its API beside a storm of sign-ins",
        };
        format!(
            "{name} takes {:.1} % of one core: {:.2} µs of CPU a delivered frame. Half of the frames arrive within {:.1} ms, 99 % \
             within {:.1} ms. {:.2} % of what was to arrive did{}.\n",
            100.0 * of.core_share,
            of.cpu_micros_per_frame,
            of.latency_p50_ms,
            of.latency_p99_ms,
            of.delivered_percent,
            self.missing(medians)
        )
    }

    /// Where the rest of the frames is, as far as the relay says.
    fn missing(&self, medians: &Medians) -> String {
        let Figures { superseded, culled, lost, .. } = medians.figures;
        let named = [("superseded", superseded), ("culled", culled), ("lost before the relay", lost)];
        let counted: Vec<_> = named.iter().filter(|(_, count)| *count > 0.0).collect();
        if counted.is_empty() {
            return String::new();
        }
        let told: Vec<_> = counted.iter().map(|(name, count)| format!("{} {name}", grouped(*count))).collect();
        format!(" ({}, in {} s)", told.join(", "), self.window_s)
    }

    /// What the comparison hides when a relay was behind.
    fn unfair(&self) -> String {
        let of = |relay| self.runs.iter().filter(move |run| run.relay == relay);
        let behind = |relay| of(relay).filter(|run| run.doubts.contains(&Doubt::RelayBehind)).count();
        match (behind(Subject::Conclave), behind(Subject::Baseline)) {
            (0, 0) => String::new(),
            (0, baseline) => format!(
                "But forwarding on arrival was behind in {baseline} of {} rounds. What it sends late goes out together, which \
                 saves it CPU and costs latency: the ratio says too little for Conclave.\n",
                of(Subject::Baseline).count()
            ),
            (conclave, _) => format!(
                "But Conclave's relay was behind in {conclave} of {} rounds: this load is too much for this machine, and the \
                 ratio says nothing.\n",
                of(Subject::Conclave).count()
            ),
        }
    }

    fn medians(&self) -> String {
        let mut headings = vec!["MEDIAN"];
        headings.extend(self.relays.iter().map(|medians| medians.relay.as_str()));
        let row = |row: &Row| {
            let mut cells = vec![row.0.to_owned()];
            cells.extend(self.relays.iter().map(|medians| row.1(&medians.figures)));
            cells
        };
        wide_table(&headings, &ROWS.iter().map(row).collect::<Vec<_>>())
    }

    fn doubts(&self) -> String {
        let mut lines = Vec::new();
        if !self.optimised {
            lines.push(
                "Doubt: this build is not optimised; its figures say nothing (cargo build --release).\n".to_owned(),
            );
        }
        for run in &self.runs {
            let of = format!("round {}, {}", run.round, run.relay.as_str());
            lines.extend(run.doubts.iter().map(|doubt| format!("Doubt: {of}: {}.\n", doubt.as_str())));
        }
        if lines.is_empty() { String::new() } else { format!("\n{}", lines.concat()) }
    }
}

fn comparison(ratio: Spread) -> String {
    let Spread { min, median, max } = ratio;
    let times = if median > 0.0 { 1.0 / median } else { 0.0 };
    format!(
        "Conclave spends {median:.3} of the CPU a delivered frame that forwarding on arrival does ({min:.3} to {max:.3} \
         over the rounds): {times:.1} times less.\n"
    )
}

/// A whole number in groups of three.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::bench::figures::tests::outcome;
    use crate::cli::bench::load::Rate;

    fn report(relays: &[Subject]) -> Report {
        let figures = Figures::of(&outcome());
        let none = Rate { hz: 0.0, bytes: 0 };
        Report {
            began_at: Timestamp::from_millis(1_795_451_400_000),
            machine: Machine { cores: 2, model: "Some CPU".to_owned() },
            command: "conclave bench".to_owned(),
            optimised: true,
            load: Load {
                participants: 10,
                rooms: 1,
                talking: 2,
                pose: Rate { hz: 72.0, bytes: 110 },
                voice: Rate { hz: 50.0, bytes: 100 },
                event: none,
                screen: none,
                carrier: Carrier::Quic,
            },
            loss_percent: 0.0,
            delay_ms: 0,
            window_s: 10.0,
            relays: relays.iter().map(|relay| Medians { relay: *relay, figures: figures.clone() }).collect(),
            ratio: (relays.len() > 1).then_some(Spread { min: 0.1, median: 0.125, max: 0.2 }),
            runs: vec![RunFigures { round: 1, relay: Subject::Conclave, figures, doubts: vec![Doubt::SentLate] }],
        }
    }

    #[test]
    fn the_verdict_is_in_plain_words() {
        let text = report(&[Subject::Conclave, Subject::Baseline]).text();
        for said in [
            "10 participants in one room by QUIC: all send 72 poses a second of 110 B, 2 send 50 voice frames a second of 100 B.",
            "Conclave's relay takes 20.0 % of one core: 200.00 µs of CPU a delivered frame.",
            "99.00 % of what was to arrive did (8 superseded, 2 culled, 1 lost before the relay, in 10 s).",
            "0.125 of the CPU a delivered frame that forwarding on arrival does (0.100 to 0.200 over the rounds): 8.0 times less.",
            "MEDIAN                                               conclave",
            "Doubt: round 1, conclave: senders ran more than 2 ms late",
            "on 2 × Some CPU, loopback, with\n  conclave bench\n",
        ] {
            assert!(text.contains(said), "{said}\n\n{text}");
        }
    }

    #[test]
    fn a_ratio_against_a_relay_that_was_behind_is_not_left_to_stand_alone() {
        let mut report = report(&[Subject::Conclave, Subject::Baseline]);
        assert!(!report.text().contains("But "));
        let mut run = report.runs[0].clone();
        (run.relay, run.doubts) = (Subject::Baseline, vec![Doubt::RelayBehind]);
        report.runs.push(run);
        assert!(report.text().contains("But forwarding on arrival was behind in 1 of 1 rounds."));
        report.runs[0].doubts.push(Doubt::RelayBehind);
        assert!(report.text().contains("But Conclave's relay was behind in 1 of 1 rounds"));
    }

    #[test]
    fn one_relay_is_compared_with_nothing() {
        let text = report(&[Subject::Baseline]).text();
        assert!(text.contains("baseline") && !text.contains("times less") && !text.contains("conclave  "), "{text}");
    }

    #[test]
    fn an_unoptimised_build_and_a_bad_network_are_said() {
        let report = Report { optimised: false, loss_percent: 2.0, delay_ms: 30, ..report(&[Subject::Conclave]) };
        let text = report.text();
        assert!(text.contains("over a network that loses 2 % and takes 30 ms each way"), "{text}");
        assert!(text.contains("not optimised"), "{text}");
    }

    #[test]
    fn json_has_every_figure_by_its_name() {
        let json = serde_json::to_value(report(&[Subject::Conclave, Subject::Baseline])).unwrap();
        assert_eq!(json["relays"][0]["relay"], "conclave");
        assert_eq!(json["relays"][1]["delivered_percent"], 99.0);
        assert_eq!(json["relays"][0]["pose_delivered_percent"], 99.0);
        assert_eq!(json["relays"][0].get("voice_delivered_percent"), None);
        assert_eq!(json["ratio"], json!({ "min": 0.1, "median": 0.125, "max": 0.2 }));
        assert_eq!(json["runs"][0]["doubts"], json!(["sent_late"]));
        assert_eq!(json["load"]["carrier"], "quic");
        assert_eq!(json["machine"]["model"], "Some CPU");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            ["949000", "12", "1000"].map(|text| grouped(text.parse().unwrap())),
            ["949\u{202f}000", "12", "1\u{202f}000"]
        );
    }
}
