// SPDX-License-Identifier: AGPL-3.0-or-later
//! The audit is searched, exported, and verified where there is no appliance.

use std::fs;
use std::process::{Command, Stdio};

use conclave::core::audit::Head;
use conclave::core::keys::identity::PublicIdentity;
use conclave::values::time::Timestamp;
use serde_json::{Value, json};

use crate::config::text;
use crate::harness::{Appliance, BINARY};

/// The actions that a search finds, the latest first.
fn found(appliance: &Appliance, wanted: &[&str]) -> Vec<String> {
    let list = appliance.cli_json(&[&["audit", "list", "-w", "demo", "-n", "1000"], wanted].concat());
    let records = list["records"].as_array().unwrap();
    records.iter().map(|record| record["action"].as_str().unwrap().to_owned()).collect()
}

/// Verifies a file as somebody does who has it and the key, and no appliance.
fn verified(file: &str, key: &str, after: &str) -> Result<Value, String> {
    let output = Command::new(BINARY)
        .args(["--json", "--admin-socket", "/nowhere", "audit", "verify", file, "--key", key, "--after", after])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    match output.status.code() {
        Some(0) => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        Some(1) => Err(text(&output.stderr)),
        other => panic!("{other:?}: {}", text(&output.stderr)),
    }
}

#[test]
fn the_audit_is_searched_by_who_what_whom_and_when() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "admin");
    let grant = appliance.sign_in("demo", "ada", &password);
    let account = grant["account"]["id"].as_str().unwrap().to_owned();
    let token = grant["access_token"].as_str().unwrap();
    appliance.cli_ok(&["room", "create", "-w", "demo", "lobby"]);
    let body = json!({ "name": "stage" });
    assert_eq!(appliance.with_token(token, "POST", "/api/v1/rooms", Some(&body)).status, 201);

    assert_eq!(found(&appliance, &["--action", "room."]), ["room.create", "room.create"]);
    assert_eq!(found(&appliance, &["--action", "room.", "--actor", "operator:"]), ["room.create"]);
    assert_eq!(found(&appliance, &["--actor", &format!("account:{account}")]), ["room.create", "session.create"]);
    assert_eq!(found(&appliance, &["--target", &format!("account:{account}")]), ["account.create"]);
    assert_eq!(found(&appliance, &["--outcome", "refused"]), Vec::<String>::new());
    let all = found(&appliance, &[]);
    let list = appliance.cli_json(&["audit", "list", "-w", "demo", "-n", "1"]);
    let last = list["records"][0]["at"].as_str().unwrap();
    assert_eq!(found(&appliance, &["--since", last]), all[..1]);
    assert_eq!(found(&appliance, &["--until", last]), all[1..]);

    // A page that is full says where the next one begins, whatever was passed over.
    let page = |query: &str| appliance.with_token(token, "GET", &format!("/api/v1/audit?{query}"), None).json();
    let first = page("action=room.&limit=1");
    let next = first["next"].as_u64().unwrap();
    let second = page(&format!("action=room.&limit=1&before={next}"));
    assert!(second["records"][0]["sequence"].as_u64().unwrap() < next, "{second}");
    let rest = page(&format!("action=room.&before={}", second["next"]));
    assert_eq!(rest, json!({ "records": [] }));
    for wrong in ["since=yesterday", "limit=many", "who=ada", "outcome=denied"] {
        let refused = appliance.with_token(token, "GET", &format!("/api/v1/audit?{wrong}"), None);
        assert_eq!((refused.status, refused.code().as_str()), (400, "invalid-parameter"), "{wrong}");
    }
}

#[test]
fn the_signed_heads_are_in_the_log() {
    let mut appliance = Appliance::claimed();
    appliance.account("demo", "ada", "user");
    let workspace = appliance.workspace_id("demo");
    let verdict = appliance.cli_json(&["audit", "verify", "-w", "demo"]);
    let key = hex::decode(identity_key(&appliance)).unwrap();
    appliance.stop_well();
    let log = appliance.log();
    let head = log.lines().find(|line| line.contains("audit head") && line.contains(&workspace)).unwrap();
    let field = |name: &str| {
        let (_, rest) = head.split_once(&format!(" audit.{name}=")).unwrap_or_else(|| panic!("{name}: {head}"));
        rest.split_whitespace().next().unwrap().trim_matches('"').to_owned()
    };
    assert_eq!((field("sequence"), json!(field("hash"))), (verdict["records"].to_string(), verdict["head"].clone()));
    let head = Head {
        sequence: field("sequence").parse().unwrap(),
        hash: hex::decode(field("hash")).unwrap().try_into().unwrap(),
    };
    let at = Timestamp::from_millis(field("at").parse().unwrap());
    let signature = hex::decode(field("signature")).unwrap();
    let key = PublicIdentity::from_bytes(&key).unwrap();
    assert_eq!(head.verify(workspace.parse().unwrap(), at, key, &signature), Ok(()));
}

/// The key that verifies, as `conclave status` shows it.
fn identity_key(appliance: &Appliance) -> String {
    let shown = appliance.cli_ok(&["status"]);
    shown.lines().find_map(|line| line.strip_prefix("Identity key")).unwrap().trim().to_owned()
}

#[test]
fn an_export_verifies_on_a_machine_without_an_appliance() {
    let mut appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "admin");
    let grant = appliance.sign_in("demo", "ada", &password);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("audit.jsonl");
    let name = file.to_str().unwrap();
    appliance.cli_ok(&["audit", "export", "-w", "demo", "--out", name]);
    let again = appliance.cli(&["audit", "export", "-w", "demo", "--out", name]);
    assert_eq!(again.status.code(), Some(74), "nothing that is there is overwritten");
    let key = identity_key(&appliance);
    let tail = appliance.cli_ok(&["audit", "export", "-w", "demo", "--after", "2"]);
    let workspace = appliance.workspace_id("demo");
    assert!(found(&appliance, &[]).iter().filter(|action| *action == "audit.export").count() >= 2);
    for (format, begin) in [("rfc5424", "<109>1 "), ("cef", "CEF:0|Conclave|")] {
        let lines = appliance.cli_ok(&["audit", "export", "-w", "demo", "--format", format]);
        assert!(lines.lines().all(|line| line.starts_with(begin)), "{lines}");
        assert!(lines.lines().count() > 4);
    }
    let answer = appliance.with_token(grant["access_token"].as_str().unwrap(), "GET", "/api/v1/audit/export", None);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
    assert!(answer.text().lines().last().unwrap().contains("\"head\""));
    let format =
        appliance.admin("GET", &format!("/api/v1/system/workspaces/{workspace}/audit/export?format=pdf"), None);
    assert_eq!((format.status, format.code().as_str()), (400, "invalid-parameter"));
    let far = appliance.cli(&["audit", "export", "-w", "demo", "--after", "1000"]);
    assert_eq!(far.status.code(), Some(1));
    appliance.stop_well();

    let whole = fs::read_to_string(&file).unwrap();
    let records = whole.lines().count() - 1;
    let holds = verified(name, &key, "0").unwrap();
    assert_eq!(
        (&holds["ok"], &holds["workspace"], &holds["first"], &holds["last"]),
        (&json!(true), &json!(workspace), &json!(1), &json!(records))
    );
    let after = |text: &str, after: &str| {
        let changed = directory.path().join("changed.jsonl");
        fs::write(&changed, text).unwrap();
        verified(changed.to_str().unwrap(), &key, after)
    };
    assert_eq!(after(&tail, "2").unwrap()["first"], 3);
    let with = |text: &str| after(text, "0");
    let lines: Vec<_> = whole.lines().collect();
    for (text, said) in [
        (whole.replacen("account.create", "account.delete", 1), "says something else than the record in it"),
        (lines[1..].join("\n").replacen(lines[2], "", 1), "is no line of an audit export"),
        ([&lines[..1], &lines[2..]].concat().join("\n"), "record 2 is missing"),
        ([&lines[..records - 1], &lines[records..]].concat().join("\n"), "records at the end are missing"),
        (lines[..records].join("\n"), "the end of the export was cut off"),
        (lines[1..].join("\n"), "its beginning is missing"),
        (tail, "its beginning is missing"),
    ] {
        let error = with(&text).unwrap_err();
        assert!(error.contains(said), "{said}: {error}");
    }
    let other = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    assert!(verified(name, other, "0").unwrap_err().contains("was not signed by this key"));
    assert!(verified(name, "short", "0").unwrap_err().contains("no Ed25519 public key"));
}
