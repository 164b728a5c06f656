// SPDX-License-Identifier: AGPL-3.0-or-later
//! More sign-ins than the machine can hash: memory stays bounded, everybody is answered, and it passes.
//!
//! With the real cost of Argon2 (64 MiB a run), because that is what the bound is about.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::Appliance;
use crate::harness::http::Connection;

/// Clients at once, each with a connection of its own.
const CONNECTIONS: usize = 500;
/// How long they go on offering sign-ins.
const STORM: Duration = Duration::from_secs(7);
const MIB: u64 = 1_024 * 1_024;
/// Memory of one Argon2 run.
const RUN: u64 = 64 * MIB;
/// What 500 connections and 32 waiting sign-ins may take besides.
const SLACK: u64 = 64 * MIB;

/// A size in `/proc/PID/status`, in bytes.
fn memory(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1_024
}

/// What one client met: how often each status.
type Met = BTreeMap<u16, usize>;

#[test]
fn five_hundred_clients_at_twice_the_capacity_are_all_answered_in_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("conclave.toml");
    // All of them come from one address, which is not what is measured here.
    let limits =
        format!("[https]\nrequests_per_minute = 1000000\n[limits]\nconnections_per_address = {}\n", CONNECTIONS + 8);
    fs::write(&config, limits).unwrap();
    let appliance = Appliance::start_in(dir, &["--config", config.to_str().unwrap()]);
    appliance.claim();
    appliance.workspace("demo");
    let passwords: Vec<String> = (0..4).map(|n| appliance.account("demo", &format!("real-{n}"), "user")).collect();
    appliance.sign_in("demo", "real-0", &passwords[0]);

    let permits = std::thread::available_parallelism().unwrap().get().saturating_sub(1).max(1);
    let (client, pid) = (appliance.client(), appliance.pid());
    let base = memory(pid, "VmRSS:");
    let gone = AtomicUsize::new(0);
    let offer = |who: usize| -> Met {
        let mut connection = client.connect();
        let deadline = Instant::now() + STORM;
        let mut met = Met::new();
        for n in 0.. {
            // Names of their own, so that no softlock answers in place of the permits.
            let name = if who < 4 { format!("real-{who}") } else { format!("somebody-{who}-{n}") };
            let password = passwords.get(who).map_or("not a password of anybody", String::as_str);
            let begun = Instant::now();
            let body = client.sealed(&mut connection, ["demo", &name, password]).expect("an offer");
            let answer = connection.exchange("POST", "/api/v1/sessions", Some(&body)).expect("an answer");
            assert!(begun.elapsed() < Duration::from_secs(30), "an answer after {:?}", begun.elapsed());
            *met.entry(answer.status).or_default() += 1;
            let pause = match answer.status {
                201 => Duration::ZERO,
                401 => {
                    assert_eq!(answer.code(), "sign-in-refused");
                    Duration::ZERO
                }
                503 => {
                    assert_eq!(answer.code(), "busy");
                    let seconds: u64 = answer.header("retry-after").expect("when to retry").parse().unwrap();
                    assert!((1..=60).contains(&seconds), "{seconds}");
                    Duration::from_secs(seconds)
                }
                status => panic!("{status}: {}", answer.text()),
            };
            if Instant::now() + pause >= deadline {
                break;
            }
            std::thread::sleep(pause);
        }
        met
    };
    let begun = Instant::now();
    let (met, at_once) = std::thread::scope(|scope| {
        let (offer, gone) = (&offer, &gone);
        let start = |who| {
            let thread = std::thread::Builder::new().stack_size(1 << 20);
            let run = move || {
                let met = offer(who);
                gone.fetch_add(1, Ordering::Relaxed);
                met
            };
            thread.spawn_scoped(scope, run).unwrap()
        };
        let threads: Vec<_> = (0..CONNECTIONS).map(start).collect();
        let mut door = Connection::unix(&appliance.admin_socket());
        let mut at_once = 0;
        while gone.load(Ordering::Relaxed) == 0 {
            let status = door.exchange("GET", "/api/v1/system/status", None).unwrap().json();
            at_once = at_once.max(status["connections"].as_u64().unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
        let met: Vec<Met> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        (met, at_once)
    });
    let took = begun.elapsed();

    let total = |status| met.iter().filter_map(|met| met.get(&status)).sum::<usize>();
    let (granted, refused, busy) = (total(201), total(401), total(503));
    let highest = memory(pid, "VmHWM:");
    let bound = base + u64::try_from(permits).unwrap() * RUN + SLACK;
    eprintln!(
        "{granted} granted, {refused} refused, {busy} told to wait in {took:?}; {at_once} at once; {} of {} MiB, {permits} permits",
        highest / MIB,
        bound / MIB
    );
    assert!(highest <= bound, "{} MiB, more than {} MiB", highest / MIB, bound / MIB);
    assert!(granted + refused > 0 && busy >= granted + refused, "this was not twice the capacity");
    assert!(at_once >= u64::try_from(CONNECTIONS).unwrap(), "only {at_once} connections at once");
    // It passes: what waited is served, and then everything is as before.
    appliance.sign_in("demo", "real-3", &passwords[3]);
    assert_eq!(appliance.cli_json(&["status"])["system_state"], "open");
}
