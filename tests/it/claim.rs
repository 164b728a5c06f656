// SPDX-License-Identifier: AGPL-3.0-or-later
//! An appliance is claimed once, by whoever has the setup code or the host, and never by anybody else.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use conclave::core::keys::recovery::RecoverySeed;
use conclave::platform::entropy;
use serde_json::{Value, json};

use crate::harness::http::{Answer, Connection, insecure_client};
use crate::harness::{Appliance, Random};

pub const STRONG: &str = "walnut-orbit-cactus-ferry-42";

/// The setup page's side of the wire: HTTPS with a certificate that nobody vouches for.
fn page(appliance: &Appliance) -> Connection {
    Connection::tls_with(appliance.address, "localhost", &insecure_client())
}

fn code(appliance: &Appliance) -> String {
    appliance.cli_json(&["setup", "code"])["code"].as_str().unwrap().to_owned()
}

pub fn kit() -> String {
    let public = RecoverySeed::random(&mut entropy::system()).public().unwrap().to_bytes();
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(public)
}

fn scope(appliance: &Appliance, code: &str) -> Answer {
    let body = json!({ "code": code, "names": ["localhost"], "networks": ["127.0.0.0/8"] });
    page(appliance).json("PUT", "/api/v1/setup/scope", &[], Some(&body))
}

fn claim_body(code: &str, root: &str, operator: &str) -> Value {
    json!({
        "code": code, "root_fingerprint": root, "recovery_public_key": kit(),
        "operator": { "user_name": operator, "display_name": operator },
    })
}

fn claim(appliance: &Appliance, body: &Value) -> Answer {
    page(appliance).json("POST", "/api/v1/setup/claim", &[], Some(body))
}

fn fixed_root(appliance: &Appliance, code: &str) -> String {
    let answer = scope(appliance, code);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["root_fingerprint"].as_str().unwrap().to_owned()
}

pub fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
    let body = answer.json();
    assert!(!body["detail"].as_str().unwrap().is_empty() && !body["way_out"].as_str().unwrap().is_empty());
}

pub fn operators(appliance: &Appliance) -> Vec<String> {
    let list = appliance.cli_json(&["account", "list", "-w", "system"]);
    let names = list["accounts"].as_array().unwrap().iter().map(|one| one["user_name"].as_str().unwrap().to_owned());
    names.collect()
}

/// What the network sees of the claim once it is over: nothing.
fn is_gone(appliance: &Appliance) {
    let body = claim_body("0000-0000-0000-0000", "", "eve");
    refused(&appliance.https("GET", "/api/v1/setup", &[], None), 404, "not-found");
    refused(&appliance.https("PUT", "/api/v1/setup/scope", &[], Some(&json!({}))), 404, "not-found");
    refused(&appliance.https("POST", "/api/v1/setup/claim", &[], Some(&body)), 404, "not-found");
    refused(&appliance.admin("POST", "/api/v1/system/setup/code", Some(&json!({}))), 409, "already-claimed");
}

#[test]
fn the_setup_page_claims_with_the_code_of_the_journal() {
    let mut appliance = Appliance::start();
    let log = appliance.log();
    let said = |field: &str| {
        let rest = log.split(&format!("{field}=")).nth(1).unwrap_or_else(|| panic!("no {field} in: {log}"));
        rest.split_whitespace().next().unwrap().trim_matches('"').to_owned()
    };
    let code = said("setup.code");
    assert_eq!(said("setup.url"), format!("https://{}/setup", appliance.address));
    let facts = page(&appliance).json("GET", "/api/v1/setup", &[], None).json();
    assert_eq!((&facts["fingerprint"], &facts["tries_left"]), (&json!(said("setup.fingerprint")), &json!(5)));
    assert_eq!((&facts["names"], &facts["networks"]), (&json!(["localhost"]), &json!(["127.0.0.0/8"])));
    assert_eq!(code, appliance.cli_json(&["setup", "code"])["code"]);

    // Without a root nothing is claimed, nor with another one than was confirmed.
    refused(&claim(&appliance, &claim_body(&code, "00", "olga")), 409, "root-not-confirmed");
    let first = fixed_root(&appliance, &code);
    let root = fixed_root(&appliance, &code);
    assert_ne!(first, root);
    refused(&claim(&appliance, &claim_body(&code, &first, "olga")), 409, "root-not-confirmed");
    // The page is not lost meanwhile: TLS stays as it was, over a restart too.
    assert_eq!(page(&appliance).json("GET", "/api/v1/trust", &[], None).json()["fingerprint"], facts["fingerprint"]);
    appliance.stop_well();
    appliance.restart();
    let facts = page(&appliance).json("GET", "/api/v1/setup", &[], None).json();
    assert_eq!(facts["root"]["root_fingerprint"], json!(root));
    let trust = page(&appliance).json("GET", "/api/v1/trust", &[], None).json();
    assert_eq!((&trust["fingerprint"], &trust["root_pem"]), (&facts["fingerprint"], &Value::Null));
    assert_ne!(facts["fingerprint"], json!(root));
    refused(&claim(&appliance, &claim_body(&code, &root, "olga")), 403, "setup-code-wrong");
    let code = self::code(&appliance);

    // In small letters and without dashes, as people type it; the password sealed for the address in the browser.
    let mut body = claim_body(&code.to_lowercase().replace('-', ""), &root, "olga");
    let sealed = |origin: &str, password: &str| appliance.seal_for(origin, &json!({ "new_password": password }));
    body["password"] = json!(STRONG);
    refused(&claim(&appliance, &body), 400, "must-be-sealed");
    body.as_object_mut().unwrap().remove("password");
    body["sealed"] = sealed("https://elsewhere.example", STRONG);
    refused(&claim(&appliance, &body), 400, "origin-unknown");
    body["sealed"] = sealed(&appliance.origin(), "password1234");
    refused(&claim(&appliance, &body), 422, "password-refused");
    body["sealed"] = sealed(&appliance.origin(), STRONG);
    body["recovery_public_key"] = json!("A".repeat(43));
    refused(&claim(&appliance, &body), 400, "invalid-body");
    body["recovery_public_key"] = json!(kit());
    body["sealed"] = sealed(&appliance.origin(), STRONG);
    let done = claim(&appliance, &body);
    assert_eq!(done.status, 201, "{}", done.text());
    assert_eq!((&done.json()["root_fingerprint"], &done.json()["initial_password"]), (&json!(root), &Value::Null));

    // From here on TLS presents the root that was confirmed, and the setup is gone.
    appliance.sign_in("system", "olga", STRONG);
    assert_eq!(appliance.https("GET", "/api/v1/trust", &[], None).json()["fingerprint"], json!(root));
    is_gone(&appliance);
    appliance.stop_well();
    appliance.restart();
    is_gone(&appliance);
    assert_eq!(operators(&appliance), ["olga"]);
    let mode = fs::metadata(appliance.data_dir().join("recovery.json")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
    assert!(!appliance.log().split("serving").last().unwrap().contains("setup.code"));
    let audit = appliance.cli_json(&["audit", "list", "-w", "system"]).to_string();
    for part in ["appliance.claim", "setup.scope", "setup.code", "on the setup page, with recovery kit", "setup-code"] {
        assert!(audit.contains(part), "no {part:?} in: {audit}");
    }
    assert!(!audit.contains(&code));
}

#[test]
fn fifty_clients_with_the_right_code_make_one_operator() {
    let appliance = Appliance::start();
    let code = code(&appliance);
    let root = fixed_root(&appliance, &code);
    let start = Barrier::new(50);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..50)
            .map(|number| {
                let (start, appliance, code, root) = (&start, &appliance, &code, &root);
                scope.spawn(move || {
                    let connection = page(appliance);
                    let body = claim_body(code, root, &format!("operator-{number}"));
                    start.wait();
                    connection.json("POST", "/api/v1/setup/claim", &[], Some(&body))
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!(won.len(), 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    for answer in lost {
        // Too late by a moment, after the page is gone, or behind more hashing than is done at once.
        let named = [(409, "already-claimed"), (404, "not-found"), (503, "busy")];
        assert!(named.contains(&(answer.status, answer.code().as_str())), "{}", answer.text());
    }
    let winner = won[0].json();
    assert_eq!(operators(&appliance), [winner["operator"]["user_name"].as_str().unwrap()]);
    let (name, password) = (&winner["operator"]["user_name"], &winner["initial_password"]);
    appliance.sign_in("system", name.as_str().unwrap(), password.as_str().unwrap());
    is_gone(&appliance);
}

#[test]
fn guesses_in_parallel_get_five_tries_and_then_the_right_code_is_refused_too() {
    let appliance = Appliance::start();
    let code = code(&appliance);
    let root = fixed_root(&appliance, &code);
    let start = Barrier::new(20);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20)
            .map(|number: u32| {
                let (start, appliance, root) = (&start, &appliance, &root);
                scope.spawn(move || {
                    let connection = page(appliance);
                    let body = claim_body(&format!("0000-0000-0000-{number:04}"), root, "eve");
                    start.wait();
                    connection.json("POST", "/api/v1/setup/claim", &[], Some(&body))
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let count = |code: &str| answers.iter().filter(|answer| answer.status == 403 && answer.code() == code).count();
    assert_eq!((count("setup-code-wrong"), count("setup-code-void")), (5, 15));
    refused(&claim(&appliance, &claim_body(&code, &root, "olga")), 403, "setup-code-void");
    refused(&scope(&appliance, &code), 403, "setup-code-void");
    // What is no code at all takes no try, and a new one is made on the host.
    refused(&scope(&appliance, "guess"), 400, "invalid-body");
    let fresh = self::code(&appliance);
    assert_ne!(fresh, code);
    refused(&scope(&appliance, &code), 403, "setup-code-wrong");
    assert_eq!(page(&appliance).json("GET", "/api/v1/setup", &[], None).json()["tries_left"], 4);
    assert_eq!(claim(&appliance, &claim_body(&fresh, &root, "olga")).status, 201);
}

#[test]
fn a_code_holds_for_an_hour() {
    let appliance = Appliance::start();
    let code = code(&appliance);
    let root = fixed_root(&appliance, &code);
    appliance.advance(Duration::from_secs(3_600));
    refused(&claim(&appliance, &claim_body(&code, &root, "olga")), 403, "setup-code-void");
    let facts = page(&appliance).json("GET", "/api/v1/setup", &[], None).json();
    assert_eq!((&facts["tries_left"], &facts["code_expires_at"]), (&json!(0), &Value::Null));
    let fresh = self::code(&appliance);
    // Asked again it is the same; a new one replaces it.
    assert_eq!(self::code(&appliance), fresh);
    let newest = appliance.cli_json(&["setup", "code", "--new"])["code"].as_str().unwrap().to_owned();
    refused(&claim(&appliance, &claim_body(&fresh, &root, "olga")), 403, "setup-code-wrong");
    assert_eq!(claim(&appliance, &claim_body(&newest, &root, "olga")).status, 201);
}

#[test]
fn a_kill_around_the_claim_leaves_an_appliance_that_is_claimed_or_can_be() {
    let mut random = Random::seeded("kill -9 around the claim");
    for _ in 0..6 {
        let mut appliance = Appliance::start();
        let code = code(&appliance);
        let root = fixed_root(&appliance, &code);
        let body = claim_body(&code, &root, "olga");
        let (address, connected) = (appliance.address, std::sync::mpsc::channel::<()>());
        let claiming = std::thread::spawn(move || {
            let mut connection = Connection::tls_with(address, "localhost", &insecure_client());
            drop(connection.exchange("GET", "/api/v1/setup", None));
            drop(connected.0);
            connection.exchange("POST", "/api/v1/setup/claim", Some(&body)).map(|answer| answer.status)
        });
        let _ = connected.1.recv();
        std::thread::sleep(Duration::from_millis(random.below(120)));
        appliance.kill();
        let answered = claiming.join().unwrap();
        appliance.restart();
        let claimed = appliance.cli_json(&["status"])["claim"] == "claimed";
        assert!(claimed || answered.is_none(), "an acknowledged claim is gone");
        if claimed {
            assert_eq!(operators(&appliance), ["olga"]);
            assert!(appliance.data_dir().join("recovery.json").exists());
            assert_eq!(appliance.https("GET", "/api/v1/trust", &[], None).json()["fingerprint"], json!(root));
            is_gone(&appliance);
        } else {
            assert_eq!(operators(&appliance), [""; 0]);
            let code = self::code(&appliance);
            let root = fixed_root(&appliance, &code);
            assert_eq!(claim(&appliance, &claim_body(&code, &root, "olga")).status, 201);
        }
        assert_eq!(appliance.cli_json(&["audit", "verify", "-w", "system"])["ok"], true);
    }
}

/// Copies a data directory, without one file.
fn copy_without(from: &Path, to: &Path, without: &str) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_without(&entry.path(), &target, without);
        } else if entry.file_name() != without {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn the_words_of_the_kit_and_a_copy_of_the_data_are_enough() {
    let mut appliance = Appliance::start();
    let kit_file = appliance.dir.path().join("kit.txt");
    let kit_path = kit_file.to_str().unwrap();
    let claim = ["setup", "claim", "--name", "localhost", "--network", "127.0.0.0/8", "--operator", "olga"];
    let claim = [&claim[..], &["--kit-file", kit_path]].concat();
    let done = appliance.cli_json(&claim);
    let password = done["initial_password"].as_str().unwrap();
    let kit = fs::read_to_string(&kit_file).unwrap();
    let status = appliance.cli_ok(&["status"]);
    let fact = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    for part in [fact("Identity key"), fact("Appliance"), fact("Fingerprint")] {
        assert!(kit.contains(&part), "no {part:?} in: {kit}");
    }
    let again = appliance.cli(&claim);
    assert_eq!(again.status.code(), Some(74), "a kit is not overwritten");
    assert_eq!(fs::read_to_string(&kit_file).unwrap(), kit);
    appliance.cli_ok(&["workspace", "create", "demo"]);
    let ada = appliance.account("demo", "ada", "admin");
    appliance.stop_well();

    // Another machine: everything but the master key.
    let elsewhere = tempfile::tempdir().unwrap();
    let data = elsewhere.path().join("data");
    copy_without(&appliance.data_dir(), &data, "master.key");
    let data_path = data.to_str().unwrap();
    let restore = |words: &str| {
        let file = elsewhere.path().join("words");
        conclave::platform::store::files::write_private(&file, words.as_bytes()).unwrap();
        let arguments = ["recovery", "restore", "--data-dir", data_path, "--words-file", file.to_str().unwrap()];
        let output = crate::config::run(&arguments);
        (output.status.code(), crate::config::text(&output.stderr))
    };
    let words: Vec<String> = (1..=24)
        .map(|n| kit.split(&format!(" {n}. ")).nth(1).unwrap().split_whitespace().next().unwrap().to_owned())
        .collect();
    let mut wrong = words.clone();
    wrong.swap(0, 1);
    if wrong != words {
        let (code, said) = restore(&wrong.join(" "));
        assert!(code == Some(1) && (said.contains("checksum") || said.contains("another kit")), "{said}");
    }
    wrong[3] = "conclave".to_owned();
    for (what, expected) in [
        (wrong.join(" "), "word 4 is in no recovery kit"),
        (words[..23].join(" "), "these are 23"),
        (format!("{} art", "abandon ".repeat(23).trim()), "another kit"),
    ] {
        let (code, said) = restore(&what);
        assert!(code == Some(1) && said.contains(expected), "{said}");
        assert!(!data.join("master.key").exists() && !said.contains("abandon"));
    }
    assert_eq!(restore(&words.join(" ")), (Some(0), String::new()));
    let (code, said) = restore(&kit);
    assert!(code == Some(1) && said.contains("there is a master key already"), "{said}");
    assert_eq!(fs::read(data.join("master.key")).unwrap(), fs::read(appliance.data_dir().join("master.key")).unwrap());

    let restored = Appliance::start_in(elsewhere, &["--test-cheap-passwords"]);
    restored.sign_in("system", "olga", password);
    restored.sign_in("demo", "ada", &ada);
}

#[test]
fn a_kit_that_was_made_elsewhere_is_taken_by_its_public_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kit");
    let made = crate::config::run(&["--json", "recovery", "new", "--kit-file", file.to_str().unwrap()]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let key = made["recovery_public_key"].as_str().unwrap();
    let mut appliance = Appliance::start();
    let claim = ["setup", "claim", "--name", "localhost", "--operator", "olga"];
    let without = appliance.cli(&claim);
    assert_eq!(without.status.code(), Some(2), "without a terminal the kit needs a place");
    assert!(crate::config::text(&without.stderr).contains("--kit-file"));
    // One key in 64 begins with a dash.
    for no_key in ["short", "-short"] {
        assert_eq!(appliance.cli(&[&claim[..], &["--recovery-public-key", no_key]].concat()).status.code(), Some(1));
    }
    assert_eq!(appliance.cli_json(&["status"])["claim"], "unclaimed");
    appliance.cli_ok(&[&claim[..], &["--recovery-public-key", key]].concat());
    appliance.stop_well();

    fs::remove_file(appliance.data_dir().join("master.key")).unwrap();
    let data = appliance.data_dir();
    let restore = ["recovery", "restore", "--data-dir", data.to_str().unwrap(), "--words-file", file.to_str().unwrap()];
    let output = crate::config::run(&restore);
    assert!(output.status.success(), "{}", crate::config::text(&output.stderr));
    appliance.restart();
    assert_eq!(operators(&appliance), ["olga"]);
}

/// Sets a password by a link, as its page does.
pub fn recover(appliance: &Appliance, token: &str, password: &str) -> Answer {
    let sealed = appliance.seal(&json!({ "new_password": password }));
    appliance.https("POST", "/api/v1/recovery", &[], Some(&json!({ "token": token, "sealed": sealed })))
}

pub fn recovery_token(appliance: &Appliance, name: &str) -> String {
    let link = appliance.cli_json(&["operator", "recover", name]);
    let (page, token) = link["url"].as_str().unwrap().split_once('#').unwrap();
    assert_eq!(page, format!("{}/recover", appliance.origin()));
    token.to_owned()
}

#[test]
fn an_operator_who_is_locked_out_gets_in_by_a_link_of_the_host_once() {
    let appliance = Appliance::start();
    let old = appliance.claim();
    appliance.sign_in("system", "root-operator", &old);
    let sessions = || appliance.cli_json(&["session", "list", "-w", "system", "root-operator"])["sessions"].clone();

    let unknown = appliance.cli(&["operator", "recover", "nobody"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(crate::config::text(&unknown.stderr).contains("no operator \"nobody\" who is active"));
    appliance.account("system", "helper", "user");
    assert_eq!(appliance.cli(&["operator", "recover", "helper"]).status.code(), Some(1), "a helper is no operator");

    let replaced = recovery_token(&appliance, "root-operator");
    let expired = recovery_token(&appliance, "root-operator");
    refused(&recover(&appliance, &replaced, STRONG), 401, "link-refused");
    appliance.advance(Duration::from_secs(3_600));
    let token = recovery_token(&appliance, "root-operator");
    // A weak password does not use the link up, and nothing has happened so far.
    refused(&recover(&appliance, &token, "password1234"), 422, "password-refused");
    assert_eq!(sessions().as_array().unwrap().len(), 1);
    assert_eq!(recover(&appliance, &token, STRONG).json()["user_name"], "root-operator");
    assert_eq!(sessions(), json!([]));
    appliance.sign_in("system", "root-operator", STRONG);
    assert_eq!(appliance.try_sign_in("system", "root-operator", &old).status, 401);

    // Used, replaced, expired, never there, no token at all: one answer.
    let face = recover(&appliance, &"A".repeat(43), STRONG).face();
    for void in [token.as_str(), &replaced, &expired, "", "x", &token[1..]] {
        let answer = recover(&appliance, void, STRONG);
        refused(&answer, 401, "link-refused");
        assert_eq!(answer.face(), face);
    }
    let audit = appliance.cli_json(&["audit", "list", "-w", "system"])["records"].clone();
    let found = |action: &str, strength: &str| {
        let records = audit.as_array().unwrap().iter();
        records.filter(|one| one["action"] == action && one["strength"] == strength).count()
    };
    assert_eq!((found("operator.recovery", "local-socket"), found("account.password", "one-time-link")), (3, 1));
    assert!(!audit.to_string().contains(&token) && !appliance.log().contains(&token));
}

#[test]
fn every_operator_sees_who_asked_for_a_recovery_link_and_whether_it_was_used() {
    let appliance = Appliance::start();
    appliance.claim();
    let other = appliance.signed_in("system", "other", "admin");
    recovery_token(&appliance, "root-operator");
    let token = recovery_token(&appliance, "root-operator");
    assert_eq!(recover(&appliance, &token, STRONG).status, 200);
    let notices = appliance.with_token(&other, "GET", "/api/v1/system/notices", None).json();
    let recoveries = notices["recoveries"].as_array().unwrap();
    assert_eq!(recoveries.len(), 2);
    assert!(recoveries.iter().all(|one| one["user_name"] == "root-operator"));
    assert_eq!(recoveries.iter().filter(|one| one["used_at"].is_string()).count(), 1, "{notices}");
    let status = appliance.cli_ok(&["status"]);
    assert!(status.contains("for root-operator, made 2") && status.contains("USED 2"), "{status}");
    appliance.advance(Duration::from_secs(30 * 86_400));
    assert_eq!(appliance.admin("GET", "/api/v1/system/notices", None).json()["recoveries"], json!([]));
}

#[test]
fn one_link_in_many_hands_sets_one_password() {
    let appliance = Appliance::start();
    appliance.claim();
    let token = recovery_token(&appliance, "root-operator");
    let start = Barrier::new(8);
    let answers: Vec<(String, u16)> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|number| {
                let (start, appliance, token) = (&start, &appliance, &token);
                scope.spawn(move || {
                    let password = format!("{STRONG}-{number}");
                    let sealed = appliance.seal(&json!({ "new_password": password }));
                    let (connection, body) = (appliance.connect(), json!({ "token": token, "sealed": sealed }));
                    start.wait();
                    (password, connection.json("POST", "/api/v1/recovery", &[], Some(&body)).status)
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let won: Vec<_> = answers.iter().filter(|(_, status)| *status == 200).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    assert!(answers.iter().all(|(_, status)| matches!(status, 200 | 401)), "{answers:?}");
    appliance.sign_in("system", "root-operator", &won[0].0);
}

/// A configuration with a provision file, and an appliance that starts by it.
fn provisioned(provision: &str) -> (Appliance, (i32, String)) {
    let dir = tempfile::tempdir().unwrap();
    let (file, config) = (dir.path().join("provision.toml"), dir.path().join("conclave.toml"));
    fs::write(&file, provision).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&config, format!("provision = {file:?}\n")).unwrap();
    let config = config.to_str().unwrap().to_owned();
    Appliance::try_start(dir, &["--test-cheap-passwords", "--config", &config])
}

pub const PROVISION: &str = "names = [\"localhost\"]\nnetworks = [\"127.0.0.0/8\"]\nwithout_recovery_kit = true\n\
    [operator]\nuser_name = \"olga\"\ndisplay_name = \"Olga Operator\"\n";

#[test]
fn a_provision_file_claims_without_a_person_and_is_not_looked_at_again() {
    let (mut appliance, refusal) = provisioned(PROVISION);
    assert_eq!(refusal, (0, String::new()));
    is_gone(&appliance);
    assert_eq!(operators(&appliance), ["olga"]);
    assert!(!appliance.log().contains("setup.code"), "there was never a code");
    // Nobody knows a password; the host lets the operator in.
    let token = recovery_token(&appliance, "olga");
    assert_eq!(recover(&appliance, &token, STRONG).status, 200);
    appliance.stop_well();
    fs::write(appliance.dir.path().join("provision.toml"), "names = 7").unwrap();
    appliance.restart();
    appliance.stop_well();
    fs::remove_file(appliance.dir.path().join("provision.toml")).unwrap();
    appliance.restart();
    assert!(appliance.log().contains("`provision` is ignored"));
    appliance.sign_in("system", "olga", STRONG);
    let audit = appliance.cli_json(&["audit", "list", "-w", "system"]).to_string();
    assert!(audit.contains("by a provision file, without recovery kit"), "{audit}");
}

#[test]
fn a_provision_file_with_a_password_and_a_kit() {
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    conclave::platform::store::files::write_private(&password, format!("{STRONG}\n").as_bytes()).unwrap();
    let text = PROVISION.replace("without_recovery_kit = true", &format!("recovery_public_key = {:?}", kit()));
    let (appliance, _) = provisioned(&format!("{text}password_file = {password:?}\n"));
    appliance.sign_in("system", "olga", STRONG);
    assert!(appliance.data_dir().join("recovery.json").exists());
}

#[test]
fn a_provision_file_that_does_not_hold_ends_the_start_before_any_socket() {
    let weak = tempfile::tempdir().unwrap();
    let (missing, weak) = (weak.path().join("missing"), weak.path().join("weak"));
    conclave::platform::store::files::write_private(&weak, b"password1234").unwrap();
    for (provision, expected) in [
        ("names = 7".to_owned(), ["provision.toml", "line 1, column 9", "expected"]),
        (
            format!("{PROVISION}password = \"{STRONG}\"\n"),
            ["provision.toml", "line 7, column 1", "unknown field `password`"],
        ),
        (PROVISION.replace("without_recovery_kit = true\n", ""), ["recovery_public_key", "is missing", "recovery new"]),
        (format!("{PROVISION}password_file = {missing:?}\n"), ["operator.password_file", "missing", "first line"]),
        (
            format!("{PROVISION}password_file = {weak:?}\n"),
            ["operator.password_file", "easy to guess", "another password"],
        ),
    ] {
        let (appliance, (code, said)) = provisioned(&provision);
        assert_eq!(code, 64, "{said}");
        assert!(expected.iter().all(|part| said.contains(part)), "{expected:?}: {said}");
        assert!(!said.contains(STRONG), "a line with a password is in the journal: {said}");
        assert!(!appliance.admin_socket().exists());
    }
}

#[test]
fn a_provision_file_that_others_can_write_claims_nothing() {
    let (mut appliance, _) = provisioned("names = 7");
    let file = appliance.dir.path().join("provision.toml");
    fs::write(&file, PROVISION).unwrap();
    for mode in [0o664, 0o646] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let (code, said) = appliance.refused_start();
        assert_eq!(code, 64, "{said}");
        assert!(
            ["provision =", "can be written by others", "chmod go-w"].iter().all(|part| said.contains(part)),
            "{said}"
        );
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    appliance.restart();
    assert_eq!(operators(&appliance), ["olga"]);
}

#[test]
fn the_code_of_the_start_is_the_appliances_and_a_new_one_the_hosts() {
    let appliance = Appliance::start();
    appliance.cli_ok(&["setup", "code", "--new"]);
    let audit = appliance.cli_json(&["audit", "list", "-w", "system"]);
    let records = audit["records"].as_array().unwrap().iter().filter(|one| one["action"] == "setup.code");
    let actors: Vec<&str> = records.map(|one| one["actor"].as_str().unwrap()).collect();
    assert_eq!(actors, ["operator:local", "appliance"]);
}

/// A socket that passes on what comes, and breaks off where a claim should be answered.
fn breaks_off_at_the_claim(at: &Path, appliance: &Path) {
    let (listener, appliance) = (UnixListener::bind(at).unwrap(), appliance.to_owned());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut behind = UnixStream::connect(&appliance).unwrap();
            let mut begin = [0; 65_536];
            let length = client.read(&mut begin).unwrap();
            behind.write_all(&begin[..length]).unwrap();
            if begin.starts_with(b"POST /api/v1/setup/claim") {
                let length = behind.read(&mut begin).unwrap();
                assert!(begin[..length].starts_with(b"HTTP/1.1 201"));
                client.shutdown(Shutdown::Both).unwrap();
                continue;
            }
            let (mut from, mut to) = (client.try_clone().unwrap(), behind.try_clone().unwrap());
            std::thread::spawn(move || {
                drop(std::io::copy(&mut from, &mut to));
                to.shutdown(Shutdown::Both)
            });
            std::thread::spawn(move || std::io::copy(&mut behind, &mut client));
        }
    });
}

#[test]
fn a_kit_goes_with_a_claim_that_was_refused_and_stays_with_one_that_was_not_answered() {
    let appliance = Appliance::start();
    let kit_file = appliance.dir.path().join("kit.txt");
    let claim = ["setup", "claim", "--name", "localhost", "--kit-file", kit_file.to_str().unwrap(), "--operator"];
    let refused = appliance.cli(&[&claim[..], &["o"]].concat());
    assert_eq!(refused.status.code(), Some(1));
    assert!(!kit_file.exists(), "a kit of nothing would mislead");

    let socket = appliance.dir.path().join("breaks.sock");
    breaks_off_at_the_claim(&socket, &appliance.admin_socket());
    let broken = [&["--admin-socket", socket.to_str().unwrap()], &claim[..], &["olga"]].concat();
    let broken = crate::config::run(&broken);
    let said = crate::config::text(&broken.stderr);
    assert_eq!(broken.status.code(), Some(70), "{said}");
    assert!(["broke off", "kit.txt", "conclave status"].iter().all(|part| said.contains(part)), "{said}");
    assert_eq!(appliance.cli_json(&["status"])["claim"], "claimed");
    let kit = fs::read_to_string(&kit_file).expect("the only kit of a claimed appliance is gone");
    assert!(kit.contains("CONCLAVE RECOVERY KIT"));
}
