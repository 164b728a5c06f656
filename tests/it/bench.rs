// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave bench` measures both relays, each in a process of its own. No claim about speed is made here.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::config::text;
use crate::harness::BINARY;

fn bench(arguments: &[&str]) -> Output {
    let short = ["bench", "--participants", "6", "--talking", "2", "--duration", "1s", "--rounds", "1"];
    Command::new(BINARY).args(short).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn measured(arguments: &[&str]) -> Value {
    let output = bench(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Something was sent, most of it arrived, whole, and the relay's CPU time was read.
fn holds(relay: &Value, delivered: &[&str]) {
    let figure = |name: &str| relay[name].as_f64().unwrap_or_else(|| panic!("no {name}: {relay}"));
    for name in delivered {
        let percent = figure(name);
        assert!(percent > 50.0 && percent <= 100.0, "{name}: {relay}");
    }
    assert!(figure("cpu_micros_per_frame") > 0.0 && figure("latency_max_ms") > 0.0, "{relay}");
    assert!(figure("generator_core_share") > 0.0, "{relay}");
}

fn has_no_damage(report: &Value) {
    for run in report["runs"].as_array().unwrap() {
        let doubts = run["doubts"].as_array().unwrap();
        assert!(!doubts.iter().any(|doubt| doubt == "damaged" || doubt == "carriers_lost"), "{run}");
    }
}

#[test]
fn both_relays_carry_the_same_load_and_are_compared() {
    let report = measured(&[]);
    let relays = report["relays"].as_array().unwrap();
    assert_eq!(relays.iter().map(|relay| &relay["relay"]).collect::<Vec<_>>(), ["conclave", "baseline"]);
    for relay in relays {
        holds(relay, &["delivered_percent", "pose_delivered_percent", "voice_delivered_percent"]);
    }
    assert!(report["ratio"]["median"].as_f64().unwrap() > 0.0, "{report}");
    has_no_damage(&report);
}

#[test]
fn events_and_screens_pass_over_webtransport_through_a_bad_network() {
    let arguments = "--relays conclave --carrier webtransport --rooms 2 --event-hz 5 --screen --loss 1 --delay 5";
    let report = measured(&arguments.split(' ').collect::<Vec<_>>());
    holds(&report["relays"][0], &["voice_delivered_percent", "event_delivered_percent", "screen_delivered_percent"]);
    assert!(report["relays"][0]["latency_p50_ms"].as_f64().unwrap() >= 10.0, "{report}");
    assert_eq!(report["load"]["carrier"], "webtransport");
    has_no_damage(&report);
}

#[test]
fn sign_ins_storm_the_appliance_beside_the_relay() {
    let report = measured(&["--relays", "conclave,storm"]);
    let relays = report["relays"].as_array().unwrap();
    assert_eq!(relays.iter().map(|relay| &relay["relay"]).collect::<Vec<_>>(), ["conclave", "storm"]);
    let figure = |name: &str| relays[1][name].as_f64().unwrap();
    assert!(figure("sign_ins_answered_per_second") > 0.0 && figure("generator_core_share") > 0.0, "{report}");
    assert!(relays[0].get("sign_ins_answered_per_second").is_none(), "{report}");
    has_no_damage(&report);
}

#[test]
fn options_that_make_no_sense_are_refused_by_name() {
    for (arguments, said) in [
        (&["--participants", "1"][..], "every room needs at least two"),
        (&["--screen"], "the baseline carries datagrams only"),
        (&["--loss", "200"], "--loss 200"),
        (&["--duration", "soon"], "is no duration"),
    ] {
        let output = Command::new(BINARY).arg("bench").args(arguments).stdin(Stdio::null()).output().unwrap();
        let error = text(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(said), "{arguments:?}: {error}");
    }
}
