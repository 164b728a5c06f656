// SPDX-License-Identifier: AGPL-3.0-or-later
//! People come and go for a while: nothing of them is left in the appliance.

use std::fs;
use std::time::{Duration, Instant};

use conclave::client::ClientError;
use conclave::client::account::Credential;
use conclave::client::carrier::Kind;
use conclave::wire::close::CloseCode;
use conclave::wire::frame::AudioLevel;
use serde_json::Value;

use crate::harness::{PATIENCE, Random};
use crate::xr::hall::{Guest, Hall, becomes};

/// Memory that comes and goes by itself: pools, caches of the allocator, pages of databases.
const NOISE_KIB: u64 = 16 * 1_024;

/// Requests at a time that fill what a store keeps: up to four readers of each file stay open, from the first time that so
/// many read at once.
const READERS: usize = 16;

/// How long people come and go: two minutes, less where somebody waits for the result.
fn churn_for() -> Duration {
    let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    Duration::from_secs(if is_ci { 120 } else { 20 })
}

/// What the appliance holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    tasks: u64,
    descriptors: usize,
    memory_kib: u64,
}

impl Held {
    fn by(hall: &Hall) -> Self {
        let process = format!("/proc/{}", hall.appliance.pid());
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        let memory_kib = memory.trim().trim_end_matches(" kB").parse().unwrap();
        let answer = hall.appliance.admin("GET", "/test-hooks/tasks", None).json();
        Self {
            tasks: answer["alive"].as_u64().unwrap(),
            descriptors: fs::read_dir(format!("{process}/fd")).unwrap().count(),
            memory_kib,
        }
    }
}

/// Three people come by either carrier, talk, and go in one of the ways in which people go.
fn come_and_go(hall: &Hall, credentials: &[Credential], random: &mut Random) {
    let guests: Vec<Guest> = credentials
        .iter()
        .filter_map(|credential| {
            let kind = if random.below(2) == 0 { Kind::Quic } else { Kind::WebTransport };
            match hall.try_join(&credential.user_name, hall.account(credential), kind) {
                Ok(guest) => Some(guest),
                // Four of this account are lost, and may come back for 15 s.
                Err(ClientError::Closed(CloseCode::RoomFull)) => None,
                Err(error) => panic!("{error}"),
            }
        })
        .collect();
    becomes("there are keys", || guests.iter().all(|guest| guest.participant.epoch().is_some()));
    for _ in 0..random.below(20) {
        for guest in &guests {
            let _ = guest.participant.send_voice(AudioLevel::SILENCE, &[0x11; 80]);
            let _ = guest.participant.send_pose(&[0x22; 110]);
            let _ = guest.participant.send_event(b"{}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    for guest in guests {
        hall.runtime.block_on(async {
            match random.below(4) {
                // Says goodbye.
                0..2 => guest.participant.leave().await,
                // Is lost, and does not come back.
                2 => {
                    let _ = guest.participant.lose_carrier();
                    guest.participant.leave().await;
                }
                // Ends in the middle of it.
                _ => drop(guest),
            }
        });
    }
}

fn nobody_is_there(hall: &Hall) {
    becomes("the meeting is over", || {
        hall.appliance.cli_json(&["meeting", "list", "-w", "demo"])["meetings"] == Value::Array(Vec::new())
    });
}

/// Opens every reader that is kept.
fn fill_readers(hall: &Hall) {
    let demo = hall.appliance.workspace_id("demo");
    let rooms = format!("/api/v1/system/workspaces/{demo}/rooms");
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                for path in [&rooms, "/api/v1/system/workspaces"].repeat(10) {
                    assert_eq!(hall.appliance.admin("GET", path, None).status, 200);
                }
            });
        }
    });
}

#[test]
fn tasks_descriptors_and_memory_return_to_where_they_were() {
    let hall = Hall::new(&[]);
    let credentials = ["ada", "bob", "cai"].map(|name| hall.credential(name, "user"));
    let mut random = Random::seeded("churn");
    let round = |random: &mut Random, time: Duration| {
        let began = Instant::now();
        let mut rounds = 0;
        while began.elapsed() < time {
            come_and_go(&hall, &credentials, random);
            rounds += 1;
        }
        nobody_is_there(&hall);
        rounds
    };
    // Pools and caches fill first.
    round(&mut random, churn_for() / 4);
    fill_readers(&hall);
    let before = Held::by(&hall);
    let rounds = round(&mut random, churn_for());
    let deadline = Instant::now() + PATIENCE;
    let after = loop {
        let after = Held::by(&hall);
        if after.tasks <= before.tasks && after.descriptors <= before.descriptors {
            break after;
        }
        assert!(Instant::now() < deadline, "{rounds} rounds; before: {before:?}; after: {after:?}");
        std::thread::sleep(Duration::from_millis(100));
    };
    eprintln!("{rounds} rounds; before: {before:?}; after: {after:?}");
    assert!(rounds > 5);
    assert!(after.memory_kib <= before.memory_kib + NOISE_KIB, "before: {before:?}; after: {after:?}");
}
