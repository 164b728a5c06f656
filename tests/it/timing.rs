// SPDX-License-Identifier: AGPL-3.0-or-later
//! Whoever is refused at the door learns nothing from it: not from the bytes, not from the time it took.

use std::time::{Duration, Instant};

use crate::harness::http::{Answer, Connection};
use crate::harness::{Appliance, Client, Random};

/// Samples after which the times are judged, for as long as they could be told apart; the last judgement stands.
const STAGES: [usize; 3] = [60, 120, 240];
/// Below it two kinds of refusal cannot be told apart. Equal times go beyond it once in 16,000 judgements.
const CANNOT_TELL: f64 = 4.0;

/// How far the ranks of two samples are apart, in standard deviations (Mann and Whitney 1947; ties share their rank).
fn mann_whitney(a: &[f64], b: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> = a.iter().map(|x| (*x, true)).chain(b.iter().map(|x| (*x, false))).collect();
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (mut rank_sum, mut ties, mut begin) = (0.0, 0.0, 0);
    while begin < all.len() {
        let end = begin + all[begin..].iter().take_while(|(x, _)| *x == all[begin].0).count();
        let shared_rank = (begin + 1 + end) as f64 / 2.0;
        rank_sum += shared_rank * all[begin..end].iter().filter(|(_, of_a)| *of_a).count() as f64;
        let tied = (end - begin) as f64;
        ties += tied.powi(3) - tied;
        begin = end;
    }
    let (n, m) = (a.len() as f64, b.len() as f64);
    let u = rank_sum - n * (n + 1.0) / 2.0;
    let variance = n * m / 12.0 * ((n + m + 1.0) - ties / ((n + m) * (n + m - 1.0)));
    if variance == 0.0 { 0.0 } else { (u - n * m / 2.0) / variance.sqrt() }
}

#[test]
fn the_rank_test_tells_two_milliseconds_apart_and_equal_times_not() {
    let mut random = Random::new(7);
    // A computation of 40 ms on a busy machine: most runs within 3 ms, one in eight delayed by up to 40 ms.
    let mut sample = |shift: f64| -> Vec<f64> {
        let mut below = |bound: u64| random.below(bound * 1_000) as f64 / 1_000.0;
        (0..STAGES[1]).map(|_| 40.0 + shift + below(3) + if below(8) < 1.0 { below(40) } else { 0.0 }).collect()
    };
    let (quick, quick_again, slow) = (sample(0.0), sample(0.0), sample(2.0));
    assert!(mann_whitney(&quick, &quick_again).abs() < CANNOT_TELL);
    assert!(mann_whitney(&slow, &quick) > CANNOT_TELL);
    assert!(mann_whitney(&quick, &slow) < -CANNOT_TELL);
    // By hand: the ranks of {1, 2} among {1, 2, 2, 3} are 1 and 2.5 (twice), so U = 0.5, its mean 2, its variance 1.5.
    assert!((mann_whitney(&[1.0, 2.0], &[2.0, 3.0]) + 1.5 / 1.5_f64.sqrt()).abs() < 1e-9);
    assert!(mann_whitney(&[5.0; 9], &[5.0; 9]).abs() < 1e-9);
}

/// One refused sign-in and how long its answer took, in milliseconds.
fn try_once(client: &Client, connection: &mut Connection, credential: [&str; 3]) -> (Answer, f64) {
    let body = client.sealed(connection, credential).expect("an offer");
    let begun = Instant::now();
    let answer = connection.exchange("POST", "/api/v1/sessions", Some(&body)).expect("an answer");
    (answer, begun.elapsed().as_secs_f64() * 1_000.0)
}

/// Everything an answer says but the id of the request, the date, and how many requests are left.
fn said(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let id = answer.json()["request_id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("x-request-id"), Some(&*id));
    let blank = |text: &str| text.replace(&id, "-");
    let headers = answer.headers.iter().map(|(name, value)| {
        let value = if name == "date" || name == "ratelimit" { "-".to_owned() } else { blank(value) };
        (name.clone(), value)
    });
    (answer.status, headers.collect(), blank(&answer.text()))
}

#[test]
fn refused_sign_ins_cannot_be_told_apart_by_their_bytes_or_their_time() {
    let mut random = Random::seeded("times of refused sign-ins");
    let appliance = Appliance::claimed();
    appliance.account("demo", "ada", "user");
    let client = appliance.client();
    let kinds = [
        ("wrong password", ["demo", "ada", "certainly not it"]),
        ("unknown name", ["demo", "eva", "certainly not it"]),
        ("unknown workspace", ["dema", "ada", "certainly not it"]),
    ];
    let mut times: [Vec<f64>; 3] = Default::default();
    let mut first = None;
    for stage in STAGES {
        while times[0].len() < stage {
            // Interleaved, in a drawn order, so that whatever else the machine does meets all kinds alike. A connection a
            // round, because it would be idle for too long on the appliance's clock.
            let mut connection = client.connect();
            let mut order = [0, 1, 2];
            order.swap(0, usize::try_from(random.below(3)).unwrap());
            order.swap(1, usize::try_from(1 + random.below(2)).unwrap());
            for kind in order {
                let (answer, took) = try_once(&client, &mut connection, kinds[kind].1);
                assert_eq!(answer.status, 401, "{}: {}", kinds[kind].0, answer.text());
                let said = said(&answer);
                assert_eq!(first.get_or_insert_with(|| said.clone()), &said, "{}", kinds[kind].0);
                times[kind].push(took);
            }
            // Past the longest softlock.
            appliance.advance(Duration::from_secs(900));
        }
        let median = |times: &[f64]| {
            let mut times = times.to_vec();
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        };
        let pairs = [(0, 1), (0, 2), (1, 2)];
        let z = pairs.map(|(a, b)| mann_whitney(&times[a], &times[b]));
        let medians = [0, 1, 2].map(|kind| median(&times[kind]));
        eprintln!("{stage} samples: z = {z:.2?}, medians {medians:.1?} ms");
        if z.iter().all(|z| z.abs() < CANNOT_TELL) {
            return;
        }
    }
    panic!("the kinds of refusal take different times (see above)");
}

#[test]
fn an_id_of_another_workspace_takes_no_other_time_than_an_absent_one() {
    let mut random = Random::seeded("times of absent ids");
    let appliance = Appliance::claimed();
    appliance.workspace("elsewhere");
    appliance.account("demo", "ada", "user");
    appliance.cli_ok(&["room", "create", "-w", "demo", "lobby"]);
    let id = |arguments: &[&str]| appliance.cli_json(arguments)["id"].as_str().unwrap().to_owned();
    let (account, room) = (id(&["account", "show", "-w", "demo", "ada"]), id(&["room", "show", "-w", "demo", "lobby"]));
    let token = appliance.signed_in("elsewhere", "eve", "admin");
    let nobody = "0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11";
    for (kind, theirs) in [("accounts", account), ("rooms", room)] {
        let paths = [theirs.as_str(), nobody].map(|id| format!("/api/v1/{kind}/{id}"));
        let mut times: [Vec<f64>; 2] = Default::default();
        let is_equal = STAGES.iter().any(|stage| {
            while times[0].len() < *stage {
                let first = usize::try_from(random.below(2)).unwrap();
                for one in [first, 1 - first] {
                    let begun = Instant::now();
                    let answer = appliance.with_token(&token, "GET", &paths[one], None);
                    times[one].push(begun.elapsed().as_secs_f64() * 1_000.0);
                    assert_eq!(answer.status, 404, "{}", answer.text());
                }
            }
            let z = mann_whitney(&times[0], &times[1]);
            eprintln!("{kind}, {stage} samples: z = {z:.2}");
            z.abs() < CANNOT_TELL
        });
        assert!(is_equal, "{kind}: another workspace's id takes another time (see above)");
    }
}
