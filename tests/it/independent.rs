// SPDX-License-Identifier: AGPL-3.0-or-later
//! The outsider's view: `tests/independent/reader.py` opens what the real binary wrote, from the documents and the master
//! key alone, and seals a credential that the binary takes;
//! `peer.py` knocks at the relay with another QUIC, HTTP/3 and WebTransport.

use std::path::PathBuf;
use std::process::{Command, Output};

use conclave::wire::close::CloseCode;
use serde_json::{Value, json};

use crate::harness::{self, Appliance};

/// The interpreter with the packages of `tests/independent/requirements-dev.txt`.
fn python() -> Command {
    let local = harness::repository().join(".venv/bin/python");
    let python = std::env::var_os("CONCLAVE_PYTHON").map_or(local, PathBuf::from);
    assert!(
        python.exists(),
        "{} is missing: `make setup-test` makes it, or name a Python with tests/independent/requirements-dev.txt in $CONCLAVE_PYTHON",
        python.display()
    );
    let mut command = Command::new(python);
    command.current_dir(harness::repository().join("tests/independent")).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn run(arguments: &[&str]) -> Output {
    python().arg("reader.py").args(arguments).output().unwrap()
}

/// Runs the reader, which must find everything in order; answers its result.
pub fn read(arguments: &[&str]) -> Value {
    let output = run(&[arguments, &["--json"]].concat());
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&answer["ok"], &answer["failures"]), (&json!(true), &json!([])), "{arguments:?}");
    answer["result"].clone()
}

/// Runs the reader, which must find `expected`.
fn finds(arguments: &[&str], expected: &str) {
    let output = run(arguments);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.code() == Some(1) && said.contains(expected), "{arguments:?}: {said}");
}

#[test]
fn an_outsider_opens_every_file_from_the_documents_and_the_master_key() {
    let mut appliance = Appliance::start();
    let operator = appliance.claim();
    appliance.workspace("demo");
    let password = appliance.account("demo", "ada", "admin");
    let workspace = appliance.workspace_id("demo");
    let operator_grant = appliance.sign_in("system", "root-operator", &operator);
    let grant = appliance.sign_in("demo", "ada", &password);
    let operator_token = operator_grant["access_token"].as_str().unwrap();
    let token = grant["access_token"].as_str().unwrap();
    // An operator over the network stands in the audit as one.
    let body = json!({ "name": "made-from-afar" });
    let made = appliance.with_token(operator_token, "POST", "/api/v1/system/workspaces", Some(&body));
    assert_eq!(made.status, 201, "{}", made.text());
    // So does a refusal, by nobody proven.
    for _ in 0..4 {
        appliance.try_sign_in("demo", "ada", "wrong");
        appliance.advance(std::time::Duration::from_secs(900));
    }
    appliance.tick();
    let data = appliance.data_dir().to_str().unwrap().to_owned();
    let plain = tempfile::tempdir().unwrap();

    let look = |when: &str| {
        let keys = read(&["keys", &data]);
        assert_eq!(keys["files"].as_array().unwrap().len(), 3, "{when}");
        for (what, tables) in [("system", "workspaces"), (&*workspace, "sessions")] {
            let out = plain.path().join(format!("{when}-{what}.db"));
            let opened = read(&["open", &data, what, "--out", out.to_str().unwrap()]);
            assert!(opened["tables"].as_array().unwrap().contains(&json!(tables)), "{when}: {opened}");
            let plain = std::fs::read(out).unwrap();
            assert!(plain.starts_with(b"SQLite format 3\0"), "{when}");
        }
        let both = [format!("ada={password}"), format!("root-operator={operator}")];
        let fields = read(&["fields", &data, "--password", &both[0], "--password", &both[1]]);
        let accounts = fields["accounts"].as_array().unwrap();
        assert_eq!(accounts.len(), 2, "{when}: {fields}");
        assert!(accounts.iter().all(|account| account["password_verifies"] == true), "{when}: {fields}");
        let sessions = fields["sessions"].as_array().unwrap();
        assert!(sessions.iter().any(|session| session["workspace"] == *workspace), "{when}: {fields}");
        finds(&["fields", &data, "--password", "ada=something else"], "does not verify");

        let audit = read(&["audit", &data]);
        assert_eq!(audit["not_yet_anchored"], json!([]), "{when}: {audit}");
        let records = |id: &str| {
            let chains = audit["chains"].as_array().unwrap();
            chains.iter().find(|chain| chain["workspace"] == id).unwrap()["records"].as_u64().unwrap()
        };
        assert!(records(&workspace) >= 5, "{when}: {audit}");
        assert!(records("00000000-0000-0000-0000-000000000000") >= 4, "{when}: {audit}");
        read(&["scan", &data, "--marker", "root-operator", "--marker", &password, "--marker", token]);
    };
    look("running");
    for (token, audience) in [(token, "conclave:member"), (operator_token, "conclave:system")] {
        let verified = read(&["token", &data, token]);
        assert_eq!(verified["claims"]["aud"], audience);
    }
    assert_eq!(read(&["token", &data, token])["claims"]["wid"], json!(workspace));
    // The first character of the signature: all six bits of it count.
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{signed}.{other}{}", &signature[1..]);
    finds(&["token", &data, &forged], "ignature");
    finds(&["token", &data, token, "--audience", "conclave:system"], "udience");

    // After a crash, then after a clean stop: the same files, once with a log beside them and once without.
    let kept = appliance.admin("GET", "/api/v1/sign-in", None).json();
    appliance.kill();
    look("killed");
    appliance.restart();
    // The list opens each of them, so that what the crash left in their logs is moved into the files.
    let listed = appliance.cli_json(&["workspace", "list"]);
    assert!(listed["workspaces"].as_array().unwrap().iter().all(|one| one["state"] == "open"), "{listed}");
    appliance.stop_well();
    look("stopped");
    // The identity outlives both.
    let saved = appliance.dir.path().join("offer.json");
    std::fs::write(&saved, kept.to_string()).unwrap();
    let identity = kept["identity_key"].as_str().unwrap();
    read(&["sign-in-key", saved.to_str().unwrap(), &format!("--identity-key={identity}")]);
}

#[test]
fn a_credential_sealed_by_the_outsider_signs_in() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "user");
    let saved = appliance.dir.path().join("offer.json");
    let body = |origin: &str| {
        let offer = appliance.https("GET", "/api/v1/sign-in", &[], None);
        std::fs::write(&saved, offer.body).unwrap();
        let file = saved.to_str().unwrap();
        read(&["sign-in-key", file]);
        let who = ["--workspace", "demo", "--user", "ada", "--password", &password];
        let output = run(&[&["seal", file, "--origin", origin][..], &who].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let sealed = body(&appliance.origin());
    let answer = appliance.https("POST", "/api/v1/sessions", &[], Some(&sealed));
    assert_eq!((answer.status, &answer.json()["account"]["user_name"]), (201, &json!("ada")), "{}", answer.text());
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    read(&["token", appliance.data_dir().to_str().unwrap(), &token]);

    let again = appliance.https("POST", "/api/v1/sessions", &[], Some(&sealed));
    assert_eq!((again.status, again.code().as_str()), (409, "challenge-stale"));
    let elsewhere = body("https://elsewhere.example:8443");
    let refused = appliance.https("POST", "/api/v1/sessions", &[], Some(&elsewhere));
    assert_eq!((refused.status, refused.code().as_str()), (400, "origin-unknown"));
}

#[test]
fn the_outsider_refuses_what_a_real_appliance_must_never_write() {
    let mut appliance = Appliance::claimed();
    appliance.account("demo", "ada", "user");
    appliance.tick();
    let workspace = appliance.workspace_id("demo");
    appliance.stop_well();
    let data = appliance.data_dir();
    let directory = data.to_str().unwrap();
    let file = data.join("workspaces").join(&workspace).join("workspace.db");
    let whole = std::fs::read(&file).unwrap();
    let mut changed = whole.clone();
    changed[9_000] ^= 1;
    std::fs::write(&file, changed).unwrap();
    finds(&["audit", directory], "HMAC does not hold");
    std::fs::write(&file, &whole).unwrap();
    std::fs::write(data.join("keys/left-behind"), "a note about marker-of-a-test").unwrap();
    finds(&["scan", directory, "--marker", "marker-of-a-test"], "marker-of-a-test");
    std::fs::remove_file(data.join("keys/left-behind")).unwrap();
    read(&["audit", directory]);
}

#[test]
fn another_webtransport_is_refused_by_name() {
    let appliance = Appliance::claimed();
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root.pem");
    std::fs::write(&root, appliance.root_pem()).unwrap();
    let (address, port) = (appliance.address.ip().to_string(), appliance.address.port().to_string());
    let output = python().args(["peer.py", &address, &port, "localhost"]).arg(&root).output().unwrap();
    let (said, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{errors}");
    let tries: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let closed = |title: &str, code: CloseCode| json!({ "try": title, "alpn": "h3", "status": 200, "code": code.number(), "reason": code.name() });
    let expected = [
        closed("no ticket", CloseCode::NoTicket),
        closed("a ticket that is none", CloseCode::TicketRefused),
        closed("no message", CloseCode::Malformed),
        closed("no control stream", CloseCode::NoTicket),
        json!({ "try": "another path", "alpn": "h3", "status": 404 }),
    ];
    assert_eq!(tries, expected);
}

#[test]
fn the_independent_reader_proves_itself() {
    let output = python().args(["-m", "unittest", "selftest"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("OK") && !said.contains("skipped"), "{said}");
}
