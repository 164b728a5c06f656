// SPDX-License-Identifier: AGPL-3.0-or-later
//! What watches the appliance: health page, metrics with a token of their own, doctor.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use conclave::client::carrier::Kind;
use serde_json::{Value, json};

use crate::harness::http::{Connection, insecure_client};
use crate::harness::{self, Appliance, BINARY};
use crate::xr::hall::{Hall, becomes, settled};

/// The value of a metric, labels included.
fn values(text: &str) -> HashMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').map(|(name, value)| (name, value.parse().unwrap())).unwrap()).collect()
}

fn check<'a>(checkup: &'a Value, name: &str) -> &'a Value {
    let mut checks = checkup["checks"].as_array().unwrap().iter();
    checks.find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name:?}: {checkup}"))
}

/// The doctor's half inside the appliance.
fn doctor(appliance: &Appliance) -> Value {
    appliance.admin("GET", "/api/v1/system/doctor", None).json()
}

#[test]
fn numbers_are_for_the_host_and_for_whoever_has_a_token_for_them() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "user");
    appliance.sign_in("demo", "ada", &password);
    appliance.try_sign_in("demo", "ada", "a wrong password");
    let made = appliance.cli_json(&["token", "create", "prometheus", "--days", "30"]);
    let token = made["token"].as_str().unwrap();
    let answer = appliance.with_token(token, "GET", "/metrics", None);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text; version=1.0.0"));
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let values = values(&text);
    assert_eq!(values["conclave_sign_ins_total{outcome=\"granted\"}"], 1.0, "{text}");
    assert_eq!(values["conclave_sign_ins_total{outcome=\"refused\"}"], 1.0, "{text}");
    assert_eq!((values["conclave_claimed"], values["conclave_workspaces"]), (1.0, 1.0), "{text}");
    assert!(values["conclave_http_requests_total{method=\"POST\",status=\"2xx\"}"] >= 3.0, "{text}");
    assert!(values["conclave_data_free_bytes"] > 0.0 && values["process_resident_memory_bytes"] > 1e6, "{text}");
    for secret in ["ada", "demo", "127.0.0.1", token] {
        assert!(!text.contains(secret), "{secret} is in the numbers");
    }

    // It opens nothing else, and nothing else opens it.
    assert_eq!(appliance.with_token(token, "GET", "/api/v1/system/status", None).status, 401);
    assert_eq!(appliance.with_token(token, "GET", "/api/v1/me", None).status, 401);
    let operator = appliance.signed_in("demo", "an-admin", "admin");
    for other in [operator.as_str(), "", &"A".repeat(43)] {
        assert_eq!(appliance.with_token(other, "GET", "/metrics", None).status, 401);
    }
    assert_eq!(appliance.https("GET", "/metrics", &[], None).status, 401);
    assert_eq!(appliance.admin("GET", "/metrics", None).status, 200);

    // It ends when its days are over, or when it is removed.
    appliance.advance(Duration::from_secs(31 * 86_400));
    assert_eq!(appliance.with_token(token, "GET", "/metrics", None).status, 401);
    let made = appliance.cli_json(&["token", "create", "grafana"]);
    let (token, id) = (made["token"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert_eq!(appliance.with_token(token, "GET", "/metrics", None).status, 200);
    let listed = appliance.cli_ok(&["token", "list"]);
    assert!(listed.contains("prometheus") && listed.contains("grafana") && !listed.contains(token), "{listed}");
    appliance.cli_ok(&["token", "remove", id]);
    assert_eq!(appliance.with_token(token, "GET", "/metrics", None).status, 401);
}

#[test]
fn a_token_has_a_name_and_an_end_that_can_be() {
    let appliance = Appliance::claimed();
    for wrong in [json!({ "name": "" }), json!({ "name": "x", "days": 0 }), json!({ "name": "x", "days": 4000 })] {
        let answer = appliance.admin("POST", "/api/v1/system/tokens", Some(&wrong));
        assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("invalid-body")), "{wrong}");
    }
    for n in 0..100 {
        appliance.admin("POST", "/api/v1/system/tokens", Some(&json!({ "name": format!("t{n}") })));
    }
    let answer = appliance.admin("POST", "/api/v1/system/tokens", Some(&json!({ "name": "one too many" })));
    assert_eq!(answer.status, 409, "{}", answer.text());
}

#[test]
fn numbers_of_meetings_stay_when_people_go() {
    let hall = Hall::new(&[]);
    let numbers = || hall.appliance.admin("GET", "/metrics", None).text();
    let (ada, bob) = (hall.enter("ada", Kind::Quic), hall.enter("bob", Kind::WebTransport));
    settled(&[&ada, &bob]);
    let during = numbers();
    assert_eq!(
        (values(&during)["conclave_meetings"], values(&during)["conclave_participants"]),
        (1.0, 2.0),
        "{during}"
    );
    hall.talk(&ada, &bob);
    hall.act(&["end"]);
    becomes("the meeting is over", || values(&numbers())["conclave_meetings"] == 0.0);
    let after = numbers();
    let values = values(&after);
    for direction in ["in", "out"] {
        let name = format!("conclave_relay_frames_total{{channel=\"voice\",direction=\"{direction}\"}}");
        assert!(values[name.as_str()] > 20.0, "{after}");
    }
}

#[test]
fn the_health_page_names_checks_and_says_no_more() {
    let appliance = Appliance::claimed();
    assert_eq!(appliance.https("GET", "/healthz", &[], None).text(), "ok\n");
    becomes("the watch looked", || {
        let verbose = appliance.https("GET", "/healthz?verbose", &[], None);
        assert_eq!(verbose.status, 200);
        let mut lines: Vec<String> = verbose.text().lines().map(str::to_owned).collect();
        lines.sort();
        lines == ["ok certificates", "ok disk", "ok hashing", "ok relay", "ok serving", "ok store"]
    });
    assert_eq!(appliance.https("GET", "/healthz?who=a-balancer", &[], None).text(), "ok\n");
    // The host sees what was seen, and the way out.
    let local = appliance.admin("GET", "/healthz?verbose", None).text();
    assert!(local.contains("ok anchor: as new as system.db\n"), "{local}");
    assert!(local.contains("warn master key: a file") && local.contains(" → `conclave key seal`"), "{local}");
}

#[test]
fn the_doctor_sees_what_is_wrong_and_says_the_way_out() {
    let appliance = Appliance::claimed();
    let well = doctor(&appliance);
    for name in ["files", "schema", "anchor", "clock", "descriptors", "workspaces", "keys"] {
        assert_eq!(check(&well, name)["state"], "ok", "{well}");
    }
    assert_eq!(check(&well, "master key")["state"], "warn", "a file beside the data: {well}");
    assert_eq!(check(&well, "recovery kit")["state"], "warn", "claimed without one: {well}");
    assert_eq!(check(&well, "fence")["state"], "warn", "nothing is fenced here: {well}");

    let anchor = appliance.data_dir().join("anchor");
    appliance.tick();
    fs::set_permissions(&anchor, fs::Permissions::from_mode(0o644)).unwrap();
    appliance.shift(-2 * 3_600_000);
    let ill = doctor(&appliance);
    assert_eq!(check(&ill, "files")["state"], "fail", "{ill}");
    assert!(check(&ill, "files")["says"].as_str().unwrap().contains("anchor"), "{ill}");
    assert!(check(&ill, "files")["way_out"].as_str().unwrap().starts_with("chmod"), "{ill}");
    assert_eq!(check(&ill, "clock")["state"], "fail", "{ill}");

    // The command adds the host's half, prints a line for each, and fails when something does.
    let output = appliance.cli(&["doctor"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["fail  files", "→ chmod", "ok    anchor", "disk latency", "swap"] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[test]
fn the_host_tells_its_addresses_and_links_name_them() {
    let mut appliance = Appliance::start();
    let told = |addresses: &Value| appliance.admin("PUT", "/api/v1/system/addresses", Some(addresses));
    let answer = told(&json!({ "addresses": ["192.0.2.9", "::ffff:192.0.2.9", "192.0.2.7"] }));
    assert_eq!(answer.json(), json!({ "addresses": ["192.0.2.9", "192.0.2.7"] }), "in the order of the host");
    for wrong in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "127.0.0.1", "::1"] {
        assert_eq!(told(&json!({ "addresses": [wrong] })).status, 400, "{wrong}");
    }
    let many: Vec<String> = (0..65).map(|n| format!("192.0.2.{n}")).collect();
    assert_eq!(told(&json!({ "addresses": many })).status, 400);
    // An address it does not listen on is no link.
    let code = appliance.admin("POST", "/api/v1/system/setup/code", Some(&json!({}))).json();
    assert!(!code["urls"].to_string().contains("192.0.2"), "{code}");

    appliance.stop_well();
    appliance.restart_on_all();
    let code = appliance.admin("POST", "/api/v1/system/setup/code", Some(&json!({}))).json();
    let urls: Vec<&str> = code["urls"].as_array().unwrap().iter().map(|url| url.as_str().unwrap()).collect();
    let port = appliance.address.port();
    assert_eq!(urls, [format!("https://192.0.2.9:{port}/setup"), format!("https://192.0.2.7:{port}/setup")]);
    // Who comes over the network learns of no other network of the host.
    let proposed = Connection::tls_with(appliance.address, "localhost", &insecure_client())
        .json("GET", "/api/v1/setup", &[], None)
        .json()["networks"]
        .to_string();
    assert!(!proposed.contains("192.0.2"), "{proposed}");
    let log = appliance.log();
    assert!(log.contains(code["code"].as_str().unwrap()) && log.contains('█'), "no code for a camera in:\n{log}");
}

#[test]
fn where_no_person_and_no_journal_reads_the_log_it_is_json() {
    let directory = tempfile::tempdir().unwrap();
    let (data, socket, log) =
        (directory.path().join("data"), directory.path().join("admin.sock"), directory.path().join("log"));
    let mut command = Command::new(BINARY);
    command.arg("serve").arg("--data-dir").arg(&data).arg("--admin-socket").arg(&socket);
    command.args(["--listen", "127.0.0.1:0", "--test-cheap-passwords"]).env_remove("JOURNAL_STREAM");
    let mut child = command.stdin(Stdio::null()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    let read = || fs::read_to_string(&log).unwrap();
    becomes("it serves", || read().contains("\"serving\""));
    harness::signal(child.id(), "TERM");
    assert!(harness::wait(&mut child).success());
    let lines: Vec<Value> = read().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let serving = lines.iter().find(|line| line["message"] == "serving").unwrap();
    assert!(serving["https.addresses"].as_str().unwrap().contains("127.0.0.1"), "{serving}");
    assert!(lines.iter().all(|line| line["level"].is_string() && line["timestamp"].is_string()), "{lines:?}");
}
