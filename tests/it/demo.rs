// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave demo`, and how an appliance stops.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use conclave::client::media::{ivf, ogg_opus};
use serde_json::{Value, json};

use crate::harness::http::{Answer, Connection, seal};
use crate::harness::{Appliance, BINARY, PATIENCE, files_below, signal, wait};

/// What a program printed so far, line by line.
struct Said {
    lines: Receiver<String>,
    text: String,
}

impl Said {
    fn by(child: &mut Child) -> Self {
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // It ends with the program.
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { lines, text: String::new() }
    }

    /// Reads until a line holds this, and answers the line.
    fn until(&mut self, what: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("{what:?} is not said ({error}): {}", self.text));
            self.text.push_str(&line);
            self.text.push('\n');
            if line.contains(what) {
                return line;
            }
        }
    }
}

/// A running demo and what it printed.
struct Demo {
    child: Child,
    data: PathBuf,
    said: Said,
}

/// Two demos that begin at once look for a free port and find the same one.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Demo {
    fn start(data: &Path, arguments: &[&str]) -> Self {
        let log = fs::OpenOptions::new().create(true).append(true).open(data.with_extension("log")).unwrap();
        let mut command = Command::new(BINARY);
        command.args(["demo", "--data-dir"]).arg(data).args(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut said = Said::by(&mut child);
        said.until("Ctrl-C stops it.");
        Self { child, data: data.to_owned(), said }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.data.with_extension("log")).unwrap()
    }

    /// Runs the command line, as it was printed.
    fn cli(&self, arguments: &[&str]) -> Output {
        let printed = self.fact("Command line").strip_suffix(" status").unwrap();
        let mut words = printed.split(' ');
        Command::new(words.next().unwrap()).args(words).args(arguments).output().unwrap()
    }

    /// Who is in the lobby; nobody, when there is no meeting.
    fn people(&self) -> Vec<Value> {
        let output = self.cli(&["--json", "meeting", "show", "-w", "demo", "lobby"]);
        let meeting = serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default();
        meeting["participants"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until these are in the lobby, over a carrier, and answers what is known of them.
    fn meets(&self, names: &[&str]) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let people = self.people();
            let there = people.iter().filter(|one| one["carrier"].is_string());
            let mut there: Vec<_> = there.map(|one| one["display_name"].as_str().unwrap()).collect();
            there.sort_unstable();
            if there == names {
                return people;
            }
            assert!(Instant::now() < deadline, "{there:?} are there, not {names:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The value of a line such as `  Workspace  demo`.
    fn fact(&self, name: &str) -> &str {
        let line = self.said.text.lines().find_map(|line| line.trim_start().strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}: {}", self.said.text)).trim()
    }

    fn port(&self) -> u16 {
        let address = self.fact("Open").strip_prefix("https://localhost:").unwrap();
        address.trim_end_matches('/').parse().unwrap()
    }

    fn interrupt(&mut self) {
        signal(self.child.id(), "INT");
        let status = wait(&mut self.child);
        assert_eq!(status.code(), Some(0), "{status}");
    }
}

/// The three that the demo brings.
const PEOPLE: [&str; 3] = ["Alan Turing", "Grace Hopper", "Hedy Lamarr"];

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Signs in as somebody who read the terminal and nothing else would.
fn sign_in_with_what_was_printed(demo: &Demo, data: &Path) {
    let address = SocketAddr::from(([127, 0, 0, 1], demo.port()));
    let admin = || Connection::unix(&data.join("admin.sock"));
    let trust = admin().json("GET", "/api/v1/trust", &[], None).json();
    let printed: String = demo.fact("Root SHA-256").split_whitespace().collect();
    assert_eq!(printed.to_lowercase(), trust["fingerprint"].as_str().unwrap());
    let root = trust["root_pem"].as_str().unwrap();
    let served = Connection::tls(address, "localhost", root).raw("GET", "/api/v1/trust/root.pem", &[], b"");
    assert_eq!(served.text(), root);
    assert!(demo.fact("Root to trust").ends_with("/api/v1/trust/root.pem"));

    let offer = Connection::tls(address, "localhost", root).json("GET", "/api/v1/sign-in", &[], None).json();
    let password = demo.fact("Password").split_whitespace().next().unwrap();
    let credential = json!({
        "workspace": demo.fact("Workspace"), "user_name": demo.fact("User name"), "password": password,
    });
    let sealed = seal(&offer, &format!("https://localhost:{}", address.port()), &credential);
    let body = json!({ "sealed": sealed });
    let answer = Connection::tls(address, "localhost", root).json("POST", "/api/v1/sessions", &[], Some(&body));
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.json()["account"]["role"], "admin");
}

#[test]
fn the_demo_says_where_to_go_lets_in_and_starts_again_on_its_files() {
    let _turn = turn();
    // Taken by us, or by somebody else: either way it is not free.
    let taken = TcpListener::bind(("127.0.0.1", 8_443));
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("demo");
    let mut demo = Demo::start(&data, &[]);
    assert_ne!(demo.port(), 8_443, "{}", demo.said.text);
    assert!((8_444..8_543).contains(&demo.port()), "{}", demo.said.text);
    sign_in_with_what_was_printed(&demo, &data);
    let (fingerprint, password) = (demo.fact("Root SHA-256").to_owned(), demo.fact("Password").to_owned());
    let status = demo.cli(&["status"]);
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    demo.meets(&PEOPLE);
    demo.interrupt();
    drop(taken);
    assert_eq!(demo.cli(&["status"]).status.code(), Some(69));
    assert!(!data.join("admin.sock").exists());

    let mut again = Demo::start(&data, &["--port", "0"]);
    assert_eq!(again.fact("Root SHA-256"), fingerprint, "the same appliance");
    assert_ne!(again.fact("Password"), password, "a new password at every start");
    sign_in_with_what_was_printed(&again, &data);
    again.meets(&PEOPLE);
    again.interrupt();
    let log = again.log();
    assert!(log.matches("stopped").count() >= 2 && !log.contains("panicked") && !log.contains("ERROR"), "{log}");
}

#[test]
fn people_talk_move_and_share_in_the_lobby_and_the_printed_command_joins_them() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(&dir.path().join("demo"), &["--figures", "200ms"]);
    let people = demo.meets(&PEOPLE);
    for carrier in ["quic", "webtransport"] {
        assert!(people.iter().any(|one| one["carrier"] == carrier), "{people:?}");
    }

    // As somebody who pastes it into a shell that is elsewhere.
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let printed = demo.said.text.split_once("To join without a headset:").unwrap().1;
    let command = printed.trim_start().split("\n\n").next().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(&elsewhere).stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let mut shell = shell.spawn().unwrap();
    let mut ada = Said::by(&mut shell);
    demo.meets(&["Ada Lovelace", PEOPLE[0], PEOPLE[1], PEOPLE[2]]);
    let figures = demo.said.until("  4 people  ");
    for figure in ["pose ", "voice ", "event ", "screen ", "cpu ", "rtt ", "epoch ", "lost ", "refused "] {
        assert!(figures.contains(figure), "{figure}: {figures}");
    }
    until("all four channels reach her", || {
        let people = demo.people();
        let ada = people.iter().find(|one| one["display_name"] == "Ada Lovelace").unwrap();
        let sent = |channel: &str| ada["channels"][channel]["frames_out"].as_u64().unwrap();
        // The last ones may still be on their way.
        sent("pose") > 100 && sent("voice") > 100 && sent("screen") > 20 && sent("event") > 2
    });

    // Who is sent away comes back.
    let number_of =
        |people: &[Value]| people.iter().find(|one| one["display_name"] == PEOPLE[0]).unwrap()["number"].clone();
    let before = number_of(&demo.people());
    let kick = demo.cli(&["meeting", "kick", "-w", "demo", "lobby", &before.to_string()]);
    assert!(kick.status.success(), "{}", String::from_utf8_lossy(&kick.stderr));
    ada.until("Alan Turing was removed");
    ada.until("Alan Turing came");

    // The three leave before anything stops, so that she hears it.
    demo.interrupt();
    ada.until(" left");
    // As a terminal does it, to all that runs there.
    let group = format!("-{}", shell.id());
    assert!(Command::new("kill").args(["-INT", "--", &group]).status().unwrap().success());
    ada.until("LEFT");
    wait(&mut shell);

    let heard = elsewhere.join("heard");
    // Two speak and one shares; who came back has another number.
    let voices = files_below(&heard, ".opus");
    assert!(voices.len() >= 2, "{voices:?}");
    for voice in voices {
        assert!(ogg_opus::read(&voice).unwrap().iter().filter(|one| one.packet.len() > 10).count() > 10);
    }
    let screens = files_below(&heard, ".ivf");
    assert!(
        !screens.is_empty() && screens.iter().all(|screen| !ivf::read(screen).unwrap().1.is_empty()),
        "{screens:?}"
    );
    let lines = |name: &str| -> Vec<Value> {
        let text = fs::read_to_string(heard.join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let movers: BTreeSet<_> = lines("poses.jsonl").iter().map(|line| line["from"].as_u64().unwrap()).collect();
    assert!(movers.len() >= PEOPLE.len(), "{movers:?}");
    let events = lines("events.jsonl");
    assert!(!events.is_empty() && events.iter().all(|line| line["event"]["gesture"].is_string()), "{events:?}");
}

#[test]
fn the_lobby_may_be_left_empty() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(&dir.path().join("demo"), &["--empty", "--figures", "200ms"]);
    assert!(demo.fact("Room").starts_with("lobby, nobody"), "{}", demo.said.text);
    demo.said.until("  nobody  ");
    let rooms = demo.cli(&["--json", "room", "list", "-w", "demo"]);
    let rooms: Value = serde_json::from_slice(&rooms.stdout).unwrap();
    assert_eq!((&rooms["rooms"][0]["name"], rooms["rooms"].as_array().unwrap().len()), (&json!("lobby"), 1));
    demo.interrupt();
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it does not come about: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until the log says something.
fn until_logged(appliance: &Appliance, what: &str) {
    until(&format!("{what:?} is logged"), || appliance.log().contains(what));
}

#[test]
fn a_request_in_flight_is_finished_when_the_appliance_is_told_to_stop() {
    for name in ["TERM", "INT"] {
        let mut appliance = Appliance::claimed();
        let body = json!({ "name": "late" }).to_string();
        let mut stream = UnixStream::connect(appliance.admin_socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "POST /api/v1/system/workspaces HTTP/1.1\r\nhost: appliance\r\ncontent-type: application/json\r\n\
             expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        // The handler waits for the body: the request is under way.
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");

        signal(appliance.pid(), name);
        until_logged(&appliance, "stopping");
        stream.write_all(body.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let answer = Answer::parse(&bytes).unwrap();
        assert_eq!((answer.status, &answer.json()["name"]), (201, &json!("late")), "{name}");
        assert!(appliance.ended().success(), "{name}");
        let cli = appliance.cli(&["status"]);
        assert_eq!(cli.status.code(), Some(69), "{name}");
        assert!(String::from_utf8_lossy(&cli.stderr).contains("not running"));
        assert!(!appliance.admin_socket().exists());
        // And what was answered is there.
        appliance.restart();
        appliance.cli_ok(&["workspace", "show", "late"]);
    }
}
