// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave demo`, and how an appliance stops.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use serde_json::json;

use crate::harness::http::{Answer, Connection, seal};
use crate::harness::{Appliance, BINARY, PATIENCE, signal, wait};

/// A running demo and what it printed.
struct Demo {
    child: Child,
    _output: BufReader<ChildStdout>,
    said: String,
}

impl Demo {
    fn start(data: &Path, arguments: &[&str]) -> Self {
        let log = fs::OpenOptions::new().create(true).append(true).open(data.with_extension("log")).unwrap();
        let mut command = Command::new(BINARY);
        command.args(["demo", "--data-dir"]).arg(data).args(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("Ctrl-C stops it.") {
            assert_ne!(output.read_line(&mut said).unwrap(), 0, "the demo ended: {said}");
        }
        Self { child, _output: output, said }
    }

    /// The value of a line such as `  Workspace  demo`.
    fn fact(&self, name: &str) -> &str {
        let line = self.said.lines().find_map(|line| line.trim_start().strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}: {}", self.said)).trim()
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
    // Taken by us, or by somebody else: either way it is not free.
    let taken = TcpListener::bind(("127.0.0.1", 8_443));
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("demo");
    let mut demo = Demo::start(&data, &[]);
    assert_ne!(demo.port(), 8_443, "{}", demo.said);
    assert!((8_444..8_543).contains(&demo.port()), "{}", demo.said);
    sign_in_with_what_was_printed(&demo, &data);
    let (fingerprint, password) = (demo.fact("Root SHA-256").to_owned(), demo.fact("Password").to_owned());
    let arguments = demo.fact("Command line").strip_prefix("conclave ").unwrap().to_owned();
    let status = Command::new(BINARY).args(arguments.split(' ')).output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    demo.interrupt();
    drop(taken);
    let after = Command::new(BINARY).args(arguments.split(' ')).output().unwrap();
    assert_eq!(after.status.code(), Some(69));
    assert!(!data.join("admin.sock").exists());

    let mut again = Demo::start(&data, &["--port", "0"]);
    assert_eq!(again.fact("Root SHA-256"), fingerprint, "the same appliance");
    assert_ne!(again.fact("Password"), password, "a new password at every start");
    sign_in_with_what_was_printed(&again, &data);
    again.interrupt();
    let log = fs::read_to_string(data.with_extension("log")).unwrap();
    assert!(log.matches("stopped").count() >= 2 && !log.contains("panicked") && !log.contains("ERROR"), "{log}");
}

/// Waits until the log says something.
fn until_logged(appliance: &Appliance, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !appliance.log().contains(what) {
        assert!(Instant::now() < deadline, "{what:?} is never logged");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
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
