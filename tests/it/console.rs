// SPDX-License-Identifier: AGPL-3.0-or-later
//! The pages in real Chromium, with the appliance's root in its trust store and nothing ignored.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Appliance, BINARY, repository, tool};

/// Who signs in besides ada, in workspaces of their own, so that no test is in another's way.
fn people(appliance: &Appliance, operator: String) -> Value {
    let person = |workspace: &str, name: &str, role: &str| {
        let password = appliance.account(workspace, name, role);
        json!({ "workspace": workspace, "user": name, "password": password })
    };
    appliance.workspace("atelier");
    appliance.workspace("paused");
    for before_agreement in ["fresh", "waiting"] {
        appliance.cli_ok(&["workspace", "create", before_agreement]);
    }
    let people = json!({
        "operator": { "workspace": "system", "user": "root-operator", "password": operator },
        "grace": person("atelier", "grace", "admin"),
        "bob": person("atelier", "bob", "user"),
        "carol": person("atelier", "carol", "user"),
        "gus": person("atelier", "gus", "guest"),
        "pam": person("paused", "pam", "admin"),
        "fred": person("fresh", "fred", "admin"),
        "fay": person("fresh", "fay", "user"),
        "wanda": person("waiting", "wanda", "admin"),
        "will": person("waiting", "will", "user"),
    });
    appliance.cli_ok(&["workspace", "suspend", "paused"]);
    // Of two requests, one is of somebody else and one is grace's own.
    appliance.cli_ok(&["approval", "request", "account.erase", "bob", "-w", "atelier", "--reason", "Left the project"]);
    let token = appliance.sign_in("atelier", "grace", people["grace"]["password"].as_str().unwrap());
    let token = token["access_token"].as_str().unwrap();
    let carol = appliance.cli_json(&["account", "show", "-w", "atelier", "carol"])["id"].clone();
    let asked = json!({ "deed": "account.erase", "target": carol, "reason": "Asked for it by letter" });
    assert_eq!(appliance.with_token(token, "POST", "/api/v1/approvals", Some(&asked)).status, 201);
    people
}

#[test]
fn the_pages_work_in_a_real_browser() {
    let appliance = Appliance::start_with(&["--test-cheap-passwords"]);
    let operator = appliance.claim();
    appliance.workspace("demo");
    let password = appliance.account("demo", "ada", "admin");
    let people = people(&appliance, operator);
    appliance.cli_ok(&["room", "create", "-w", "demo", "lobby"]);
    appliance.cli_ok(&["account", "give", "-w", "demo", "ada", "xr.early_access"]);
    let home = tempfile::tempdir().unwrap();
    trust_root(home.path(), &appliance.root_pem());

    let mut tests = browser_tests(&appliance, ["demo", "ada", &password]);
    passes(tests.env("CONCLAVE_CA_HOME", home.path()).env("CONCLAVE_PEOPLE", people.to_string()));
}

#[test]
fn a_new_appliance_is_claimed_in_a_real_browser() {
    let appliance = Appliance::start();
    let code = appliance.cli_json(&["setup", "code"])["code"].as_str().unwrap().to_owned();
    let mut tests = browser_tests(&appliance, ["system", "olga", "walnut-orbit-cactus-ferry-42"]);
    tests.arg("claim.mjs").env("CONCLAVE_CODE", code).env("CONCLAVE_BINARY", BINARY);
    passes(tests.env("CONCLAVE_ADMIN_SOCKET", appliance.admin_socket()));
}

/// Node's own test runner, with who is to sign in where.
fn browser_tests(appliance: &Appliance, [workspace, user, password]: [&str; 3]) -> Command {
    let e2e = repository().join("tests/e2e");
    assert!(e2e.join("node_modules").is_dir(), "the browser tests are not installed: run `make setup-test`");
    let mut command = tool("node");
    command
        .args(["--test", "--test-concurrency=1", "--test-reporter=spec"])
        .current_dir(&e2e)
        .env("CONCLAVE_URL", appliance.origin())
        .env("CONCLAVE_WORKSPACE", workspace)
        .env("CONCLAVE_USER", user)
        .env("CONCLAVE_PASSWORD", password);
    command
}

/// Every test passes, and none is skipped.
fn passes(tests: &mut Command) {
    let output = tests.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let passed =
        text.lines().any(|line| line.trim_start_matches(['ℹ', '#', ' ']).starts_with("pass ") && !line.ends_with(" 0"));
    let skipped = text
        .lines()
        .any(|line| line.trim_start_matches(['ℹ', '#', ' ']).starts_with("skipped ") && !line.ends_with(" 0"));
    assert!(passed && !skipped, "{text}");
}

/// Imports the root where Chromium on Linux looks for it.
fn trust_root(home: &std::path::Path, pem: &str) {
    let database = home.join(".pki/nssdb");
    fs::create_dir_all(&database).unwrap();
    let certificate = home.join("root.pem");
    fs::write(&certificate, pem).unwrap();
    let database = format!("sql:{}", database.display());
    let run = |command: &mut Command| assert!(command.status().unwrap().success());
    run(tool("certutil").args(["-d", &database, "-N", "--empty-password"]));
    run(tool("certutil").args(["-d", &database, "-A", "-t", "C,,", "-n", "conclave", "-i"]).arg(&certificate));
}

#[test]
fn pages_and_assets_carry_their_headers() {
    let appliance = Appliance::claimed();
    for (path, kind) in [
        ("/", "text/html"),
        ("/account", "text/html"),
        ("/recover", "text/html"),
        ("/assets/words.txt", "text/plain"),
        ("/workspace", "text/html"),
        ("/operator", "text/html"),
        ("/assets/console.js", "text/javascript"),
        ("/assets/console.css", "text/css"),
        ("/source", "text/plain"),
    ] {
        let answer = appliance.https("GET", path, &[], None);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-type").unwrap().starts_with(kind), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
    }
}
