// SPDX-License-Identifier: AGPL-3.0-or-later
//! What was acknowledged survives: kill -9 at drawn moments, and the order of system calls.
//!
//! A killed process loses nothing that it gave to the kernel, so the loop shows that an answer never overtakes its
//! transaction; that the transaction is on the disk by then, the trace shows.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::http::Connection;
use crate::harness::{self, Appliance, Random};

/// How often the appliance is killed: `$ROUNDS`, else 50 with `CI=true`, else 5.
fn rounds() -> u32 {
    let default = if std::env::var("CI").as_deref() == Ok("true") { 50 } else { 5 };
    std::env::var("ROUNDS").map_or(default, |rounds| rounds.parse().expect("ROUNDS is a number"))
}

/// What one client knows: the last acknowledged value, and the one it was sending when the appliance died.
#[derive(Debug, Default, Clone)]
struct Known {
    acknowledged: Vec<String>,
    pending: Option<String>,
}

impl Known {
    fn last(&self) -> Option<&String> {
        self.acknowledged.last()
    }
}

/// One client: sends what `next` gives until the appliance goes away. `next` answers method, path, body and the value
/// that the write leaves behind; `left` reads that value from an answer when only the appliance knows it.
fn write_until_death(
    socket: &Path,
    acknowledged: &AtomicU32,
    mut next: impl FnMut(u32, &Known) -> (&'static str, String, Value, String),
    left: impl Fn(&Value) -> Option<String>,
    mut known: Known,
) -> Known {
    known.pending = None;
    let Ok(mut connection) = Connection::try_unix(socket) else { return known };
    for n in 0.. {
        let (method, path, body, value) = next(n, &known);
        known.pending = Some(value.clone());
        let Some(answer) = connection.exchange(method, &path, Some(&body)) else { return known };
        assert!(matches!(answer.status, 200 | 201), "{method} {path}: {}", answer.text());
        known.acknowledged.push(left(&answer.json()).unwrap_or(value));
        known.pending = None;
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    known
}

#[test]
fn a_killed_appliance_keeps_every_acknowledged_write() {
    let mut random = Random::seeded("kill -9 between writes");
    let mut appliance = Appliance::claimed();
    let workspace = appliance.workspace_id("demo");
    let accounts = format!("/api/v1/system/workspaces/{workspace}/accounts");
    let password = appliance.account("demo", "renamed", "user");
    appliance.account("demo", "the-admin", "admin");
    let mut sessions: Vec<Known> = (0..2)
        .map(|_| {
            let grant = appliance.sign_in("demo", "renamed", &password);
            Known { acknowledged: vec![grant["refresh_token"].as_str().unwrap().to_owned()], pending: None }
        })
        .collect();
    let renamed = appliance.cli_json(&["account", "list", "--workspace", "demo"])["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|account| account["user_name"] == "renamed")
        .map(|account| format!("{accounts}/{}", account["id"].as_str().unwrap()))
        .unwrap();
    let mut acknowledged = 0;

    for round in 0..rounds() {
        let (socket, count) = (appliance.admin_socket(), AtomicU32::new(0));
        let pid = appliance.pid();
        let alive_for = Duration::from_millis(30 + random.below(350));
        let (created, names) = std::thread::scope(|scope| {
            let (socket, count, accounts, renamed) = (&socket, &count, &accounts, &renamed);
            let creators: Vec<_> = (0..2)
                .map(|who| {
                    let next = move |n, _: &Known| {
                        let name = format!("made-{round}-{who}-{n}");
                        ("POST", accounts.clone(), json!({ "user_name": name, "display_name": "X" }), name)
                    };
                    scope.spawn(move || write_until_death(socket, count, next, |_| None, Known::default()))
                })
                .collect();
            let renamer = scope.spawn(move || {
                let next = move |n, _: &Known| {
                    let name = format!("Round {round} name {n}");
                    ("PATCH", renamed.clone(), json!({ "display_name": name }), name)
                };
                write_until_death(socket, count, next, |_| None, Known::default())
            });
            let refreshers: Vec<_> = sessions
                .iter()
                .cloned()
                .map(|session| {
                    let next = |_, known: &Known| {
                        let token = known.last().unwrap().clone();
                        ("POST", "/api/v1/sessions/refresh".to_owned(), json!({ "refresh_token": token }), token)
                    };
                    let left = |answer: &Value| answer["refresh_token"].as_str().map(str::to_owned);
                    scope.spawn(move || write_until_death(socket, count, next, left, session))
                })
                .collect();
            // The anchor is written meanwhile, so that kills hit that as well.
            scope.spawn(move || {
                let Ok(mut connection) = Connection::try_unix(socket) else { return };
                while connection.exchange("POST", "/test-hooks/tick", None).is_some() {}
            });
            std::thread::sleep(alive_for);
            harness::signal(pid, "KILL");
            sessions = refreshers.into_iter().map(|thread| thread.join().unwrap()).collect();
            let created: Vec<Known> = creators.into_iter().map(|thread| thread.join().unwrap()).collect();
            (created, renamer.join().unwrap())
        });
        appliance.kill();
        appliance.restart();

        let mut connection = Connection::unix(&appliance.admin_socket());
        for name in created.iter().flat_map(|known| &known.acknowledged) {
            let found = connection.exchange("GET", &format!("{accounts}?user_name={name}"), None).unwrap().json();
            assert_eq!(found["accounts"][0]["user_name"], *name, "round {round}: an acknowledged account is gone");
        }
        if let Some(last) = names.last() {
            let found = connection.exchange("GET", &renamed, None).unwrap().json();
            let found = found["display_name"].as_str().unwrap().to_owned();
            assert!(found == *last || Some(&found) == names.pending.as_ref(), "round {round}: {found} for {names:?}");
        }
        for session in &mut sessions {
            let body = json!({ "refresh_token": session.last().unwrap() });
            let answer = connection.exchange("POST", "/api/v1/sessions/refresh", Some(&body)).unwrap();
            assert_eq!(answer.status, 200, "round {round}: {}", answer.text());
            session.acknowledged = vec![answer.json()["refresh_token"].as_str().unwrap().to_owned()];
        }
        let status = connection.exchange("GET", "/api/v1/system/status", None).unwrap().json();
        assert_eq!(
            (&status["system_state"], &status["anchor_current"]),
            (&json!("open"), &json!(true)),
            "round {round}"
        );
        let verdict = format!("/api/v1/system/workspaces/{workspace}/audit/verification");
        let verdict = connection.exchange("GET", &verdict, None).unwrap().json();
        assert_eq!(verdict["ok"], true, "round {round}: {verdict}");
        acknowledged += count.into_inner();
    }
    eprintln!("{acknowledged} acknowledged writes in {} rounds", rounds());
    assert!(acknowledged > 5 * rounds(), "only {acknowledged} writes were acknowledged: the rounds tried nothing");
}

#[test]
fn a_first_start_that_is_killed_starts_again() {
    let mut random = Random::seeded("kill -9 in the first start");
    for round in 0..rounds() {
        let mut appliance = Appliance::start();
        appliance.kill();
        std::fs::remove_dir_all(appliance.data_dir()).unwrap();
        // A first start takes a tenth of a second; most of its files are made in the first fifth.
        let alive_for = Duration::from_micros(random.below(60_000));
        appliance.start_and_kill(alive_for);
        let left = harness::files_below(appliance.dir.path(), "").len();
        appliance.restart();
        let status = appliance.cli_json(&["status"]);
        assert_eq!(status["claim"], "unclaimed", "round {round}, {alive_for:?}, {left} files");
    }
}

/// What a system call in a trace of `strace -f -y` is to us.
#[derive(Debug, PartialEq, Eq)]
enum Call<'t> {
    LogWritten(&'t str),
    LogSynced(&'t str),
    Answered,
}

/// Goes through a trace of one appliance: every answer `HTTP/1.1 201` must come after a write to a write-ahead log, and
/// begin after each written log was synced by a call that began after its last write and has returned. Says how many
/// answers there were.
fn answers_after_sync(trace: &str) -> Result<usize, String> {
    let (mut answers, mut written) = (0, false);
    let mut unsynced: HashSet<&str> = HashSet::new();
    // The log that a thread is syncing, as long as nobody has written to it since the call began.
    let mut syncing: HashMap<&str, &str> = HashMap::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.trim_start().split_once(' ') else { continue };
        let rest = rest.trim_start();
        if rest.starts_with("<... fsync resumed") || rest.starts_with("<... fdatasync resumed") {
            if let Some(log) = syncing.remove(thread)
                && rest.ends_with("= 0")
            {
                unsynced.remove(log);
            }
            continue;
        }
        match call(rest) {
            Some(Call::LogWritten(log)) => {
                written = true;
                unsynced.insert(log);
                syncing.retain(|_, syncing| *syncing != log);
            }
            Some(Call::LogSynced(log)) if rest.ends_with("<unfinished ...>") => {
                syncing.insert(thread, log);
            }
            Some(Call::LogSynced(log)) if rest.ends_with("= 0") => {
                unsynced.remove(log);
            }
            Some(Call::LogSynced(_)) | None => {}
            Some(Call::Answered) if !written => return Err(format!("answered before anything was written: {line}")),
            Some(Call::Answered) if !unsynced.is_empty() => {
                return Err(format!("answered before the log was synced: {line}, {unsynced:?}"));
            }
            Some(Call::Answered) => (answers, written) = (answers + 1, false),
        }
    }
    Ok(answers)
}

fn call(text: &str) -> Option<Call<'_>> {
    let (name, arguments) = text.split_once('(')?;
    let path = arguments.split_once('<').and_then(|(_, path)| path.split_once('>')).map(|(path, _)| path);
    let log = path.filter(|path| path.ends_with("-wal"));
    match name {
        "write" | "pwrite64" if log.is_some() => log.map(Call::LogWritten),
        "fsync" | "fdatasync" => log.map(Call::LogSynced),
        "write" | "writev" | "sendto" | "sendmsg" if arguments.contains("\"HTTP/1.1 201 ") => Some(Call::Answered),
        _ => None,
    }
}

#[test]
fn a_trace_in_the_wrong_order_is_refused() {
    const WRITE: &str = "11 pwrite64(9</d/workspaces/x/workspace.db-wal>, \"..\"..., 4096, 56) = 4096\n";
    const SYNC: &str = "11 fdatasync(9</d/workspaces/x/workspace.db-wal>) = 0\n";
    const ANSWER: &str =
        "10 sendto(12<socket:[7]>, \"HTTP/1.1 201 Created\\r\\n\"..., 300, MSG_NOSIGNAL, NULL, 0) = 300\n";
    let check = |trace: &[&str], expected: Result<usize, &str>| {
        let found = answers_after_sync(&trace.concat());
        assert_eq!(
            found.as_ref().map_err(|error| error.split(':').next().unwrap()),
            expected.as_ref().map_err(|e| *e),
            "{trace:?}"
        );
    };
    check(&[WRITE, SYNC, ANSWER], Ok(1));
    check(&[WRITE, SYNC, ANSWER, WRITE, SYNC, ANSWER], Ok(2));
    check(&[], Ok(0));
    let unsynced = Err("answered before the log was synced");
    check(&[WRITE, ANSWER, SYNC], unsynced);
    check(&[SYNC, WRITE, ANSWER], unsynced);
    check(&[WRITE, SYNC, WRITE, ANSWER], unsynced);
    check(&[WRITE, "11 fdatasync(8</d/workspaces/x/workspace.db>) = 0\n", ANSWER], unsynced);
    check(
        &[WRITE, "11 fdatasync(9</d/workspaces/x/workspace.db-wal>) = -1 EIO (Input/output error)\n", ANSWER],
        unsynced,
    );
    check(&[WRITE, SYNC.replace("/x/", "/y/").as_str(), ANSWER], unsynced);
    check(&[WRITE, SYNC, ANSWER, ANSWER], Err("answered before anything was written"));
    // Calls of two threads overlap: what counts is that the sync has returned, and began after the write.
    const BEGUN: &str = "11 fdatasync(9</d/workspaces/x/workspace.db-wal> <unfinished ...>\n";
    const DONE: &str = "11 <... fdatasync resumed>) = 0\n";
    check(&[WRITE, BEGUN, DONE, ANSWER], Ok(1));
    check(&[WRITE, BEGUN, ANSWER, DONE], unsynced);
    check(&[BEGUN, WRITE, DONE, ANSWER], unsynced);
    check(&[WRITE, BEGUN, "12 <... fdatasync resumed>) = 0\n", ANSWER], unsynced);
}

#[test]
fn a_write_is_on_disk_before_its_answer() {
    drop(harness::tool("strace"));
    let dir = tempfile::tempdir().unwrap();
    let trace: PathBuf = dir.path().join("trace");
    let calls = "trace=pwrite64,write,fsync,fdatasync,sendto,sendmsg,writev";
    // With -D the appliance is our own child, so signals reach it and not strace.
    let strace = ["strace", "-D", "-f", "-y", "-e", calls, "-e", "signal=none", "-o", trace.to_str().unwrap()];
    let mut appliance = Appliance::start_wrapped(dir, &strace, &["--test-cheap-passwords", "--test-traceable"]);
    appliance.claim();
    appliance.workspace("demo");
    let workspace = appliance.workspace_id("demo");
    let accounts = format!("/api/v1/system/workspaces/{workspace}/accounts");
    let made = appliance.admin("POST", &accounts, Some(&json!({ "user_name": "ada", "display_name": "Ada" })));
    assert_eq!(made.status, 201, "{}", made.text());
    appliance.stop_well();

    // strace ends by itself, after the appliance; its last line says so.
    let deadline = Instant::now() + harness::PATIENCE;
    let text = loop {
        let text = std::fs::read_to_string(&trace).unwrap();
        if text.trim_end().lines().next_back().is_some_and(|line| line.contains("+++ exited with 0")) {
            break text;
        }
        assert!(Instant::now() < deadline, "strace does not end");
        std::thread::sleep(Duration::from_millis(5));
    };
    // The claim, the workspace, the account: each answered with 201 after its own write.
    assert_eq!(answers_after_sync(&text), Ok(3));
    let of_the_workspace = format!("{workspace}/workspace.db-wal>");
    assert!(text.contains(&of_the_workspace), "the account went into the workspace's own log");
    // The same trace without its syncs is refused.
    let doctored: String = text.lines().filter(|line| !line.contains("sync")).map(|line| format!("{line}\n")).collect();
    assert!(answers_after_sync(&doctored).is_err());
}
