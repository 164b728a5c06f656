// SPDX-License-Identifier: AGPL-3.0-or-later
//! The API keeps to its document: schemathesis makes requests from the served document, good ones and bad ones, and
//! compares every answer with it.
//!
//! As nobody, as an Admin and as an operator; seeded and bounded. Over TLS that is verified against the appliance's root.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Appliance, BINARY, PATIENCE, repository};

/// What every answer is held to.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,negative_data_rejection,unsupported_method,allow_header_conformance,ignored_auth";
/// The requests are the same in every run.
const SEED: &str = "20261130";
/// Made-up requests of each route, besides those that try every bound of its parameters.
const EXAMPLES: &str = "3";

const NOBODY: &str = "0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11";

/// The program, from the packages of `tests/system/requirements.txt`.
fn schemathesis() -> Command {
    let local = repository().join(".venv/bin/python");
    let python = std::env::var_os("CONCLAVE_PYTHON").map_or(local, PathBuf::from);
    assert!(python.exists(), "{} is missing: `make setup-test` makes it", python.display());
    let mut command = Command::new(python);
    command.args(["-m", "schemathesis.cli"]).env("PYTHONDONTWRITEBYTECODE", "1").env("NO_COLOR", "1");
    command
}

/// An appliance that counts no requests worth speaking of, with people and rooms, and what is asked about them.
struct Scene {
    appliance: Appliance,
    operator: String,
    directory: TempDir,
    client: Option<Child>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(mut client) = self.client.take() {
            drop(client.kill());
            drop(client.wait());
        }
    }
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("conclave.toml");
        fs::write(&config, "[https]\nrequests_per_minute = 1000000\n").unwrap();
        let appliance = Appliance::start_in(dir, &["--test-cheap-passwords", "--config", config.to_str().unwrap()]);
        let operator = appliance.claim();
        appliance.workspace("demo");
        let directory = tempfile::tempdir().unwrap();
        let mut scene = Self { appliance, operator, directory, client: None };
        scene.write("root.pem", &scene.appliance.root_pem());
        scene.pin();
        scene
    }

    /// Somebody is in a meeting, and what is asked is asked about what there is. What is deleted is gone for the rest, so
    /// that is something else.
    fn pin(&mut self) {
        let account = self.made(&["account", "create", "-w", "demo", "bob"]);
        let rooms = ["lobby", "attic", "cellar"].map(|name| self.made(&["room", "create", "-w", "demo", name]));
        let [room, ones, operators] = &rooms;
        let (workspace, meeting) = (self.appliance.workspace_id("demo"), self.meet());
        let pinned = [("account", &account), ("room", room), ("workspace", &workspace), ("meeting", &meeting)];
        let mut config = "[parameters]\npermission = \"room.moderate\"\nnumber = 1\n".to_owned();
        config.extend(pinned.map(|(name, id)| format!("{name} = \"{id}\"\n")));
        for (prefix, room) in [("/api/v1", ones), ("/api/v1/system/workspaces/{workspace}", operators)] {
            for (route, parameter) in [
                ("rooms/{room}", format!("room = \"{room}\"")),
                ("meetings/{meeting}", format!("meeting = \"{NOBODY}\"")),
                ("meetings/{meeting}/participants/{number}", "number = 999".to_owned()),
            ] {
                config.push_str(&format!(
                    "[[operations]]\ninclude-name = \"DELETE {prefix}/{route}\"\nparameters = {{ {parameter} }}\n"
                ));
            }
        }
        // Besides what it takes for a refusal: what one did not read.
        config.push_str("[checks]\nnegative_data_rejection.expected-statuses = [\"4xx\"]\n");
        self.write("schemathesis.toml", &config);
    }

    /// Has somebody join a meeting; answers its id.
    fn meet(&mut self) -> String {
        self.write("password", &self.appliance.account("demo", "carol", "user"));
        let mut client = Command::new(BINARY);
        client.args([
            "client",
            "--server",
            &self.appliance.origin(),
            "--root",
            "root.pem",
            "-w",
            "demo",
            "--user",
            "carol",
        ]);
        client.args(["--password-file", "password", "--room", "lobby", "--pose", "generated"]);
        let client = client.current_dir(self.directory.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.client = Some(client.unwrap());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let meetings = self.appliance.cli_json(&["meeting", "list", "-w", "demo"]);
            if let Some(id) = meetings["meetings"][0]["id"].as_str() {
                return id.to_owned();
            }
            assert!(Instant::now() < deadline, "nobody meets");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).unwrap();
    }

    /// Makes something; answers its id.
    fn made(&self, arguments: &[&str]) -> String {
        let made = self.appliance.cli_json(arguments);
        let id = made.get("id").unwrap_or_else(|| &made["account"]["id"]);
        id.as_str().unwrap().to_owned()
    }

    /// Compares answers with a document.
    fn compare(&self, document: &str, more: &[&str]) -> Output {
        let mut command = schemathesis();
        command.args(["run", document, "--tls-verify", "root.pem", "--checks", CHECKS]);
        command.args(["--seed", SEED, "--max-examples", EXAMPLES, "--continue-on-failure", "--no-shrink"]);
        command.args(["--warnings", "off", "--suppress-health-check", "all"]).args(more);
        command.current_dir(self.directory.path()).output().unwrap()
    }

    /// Asks everything, as whoever has this token.
    fn keeps_to_its_document(&self, token: Option<&str>) {
        let document = format!("{}/api/v1/openapi.json", self.appliance.origin());
        let authorization = token.map(|token| format!("Authorization: Bearer {token}"));
        let more = match &authorization {
            // Somebody who tries everything would sign out, and be nobody for the rest.
            Some(authorization) => vec!["--header", authorization, "--exclude-path", "/api/v1/session"],
            None => vec![],
        };
        let output = self.compare(&document, &more);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let log = self.appliance.log();
        assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    }
}

#[test]
fn whoever_is_nobody_is_answered_as_the_document_says() {
    Scene::new().keeps_to_its_document(None);
}

#[test]
fn an_admin_is_answered_as_the_document_says() {
    let scene = Scene::new();
    let token = scene.appliance.signed_in("demo", "ada", "admin");
    scene.keeps_to_its_document(Some(&token));
}

#[test]
fn an_operator_is_answered_as_the_document_says() {
    let scene = Scene::new();
    let grant = scene.appliance.sign_in("system", "root-operator", &scene.operator);
    scene.keeps_to_its_document(grant["access_token"].as_str());
}

#[test]
fn an_answer_that_is_not_in_the_document_is_found() {
    let scene = Scene::new();
    let mut document: Value = scene.appliance.https("GET", "/api/v1/openapi.json", &[], None).json();
    document["components"]["schemas"]["SignInOffer"]["required"] = json!(["no-such-field"]);
    document["paths"]["/api/v1/sessions"]["post"]["responses"].as_object_mut().unwrap().remove("400");
    scene.write("another.json", &document.to_string());
    for (path, found) in [("/api/v1/sign-in", "no-such-field"), ("/api/v1/sessions", "Undocumented status code")] {
        let output = scene.compare("another.json", &["--url", &scene.appliance.origin(), "--include-path", path]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.code() == Some(1) && said.contains(found), "{path}: {said}");
    }
    let output =
        scene.compare("another.json", &["--url", &scene.appliance.origin(), "--include-path", "/api/v1/trust"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// What everybody in a workspace is answered that stands still, whatever they ask.
#[test]
fn a_workspace_that_stands_still_is_answered_as_the_document_says() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let appliance = Appliance::start();
    appliance.claim();
    appliance.cli_ok(&["workspace", "create", "acme", "--trial-days", "1", "--agreement-accepted-by", "Tess Ter"]);
    let password = appliance.account("acme", "ada", "admin");
    appliance.advance(DAY - Duration::from_secs(60));
    let token = appliance.sign_in("acme", "ada", &password)["access_token"].as_str().unwrap().to_owned();
    appliance.advance(Duration::from_secs(60));
    let document = appliance.https("GET", "/api/v1/openapi.json", &[], None).json();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            // Numbers are for tokens of programs, which belong to no workspace.
            if !operation["security"].is_array() || path.starts_with("/api/v1/system/") || path == "/metrics" {
                continue;
            }
            let method = method.to_uppercase();
            let filled = path.split('/').map(|part| if part.starts_with('{') { NOBODY } else { part });
            let filled = filled.collect::<Vec<_>>().join("/");
            let body = json!({});
            let body = ["POST", "PUT", "PATCH"].contains(&method.as_str()).then_some(&body);
            let refused = appliance.with_token(&token, &method, &filled, body);
            assert_eq!((refused.status, refused.code().as_str()), (403, "trial-over"), "{method} {path}");
            assert!(operation["responses"]["403"].is_object(), "{method} {path} does not say so");
            asked += 1;
        }
    }
    assert!(asked > 20, "{asked}");
}
