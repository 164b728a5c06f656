// SPDX-License-Identifier: AGPL-3.0-or-later
//! The API keeps to its document: schemathesis makes requests from the served document, good ones and bad ones, and
//! compares every answer with it.
//!
//! As nobody, as an Admin and as an operator; seeded and bounded. Over TLS that is verified against the appliance's root.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Appliance, repository};

/// What every answer is held to.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance";
/// The requests are the same in every run.
const SEED: &str = "20261130";
/// Made-up requests of each route, besides those that try every bound of its parameters.
const EXAMPLES: &str = "5";

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
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("conclave.toml");
        fs::write(&config, "[https]\nrequests_per_minute = 1000000\n").unwrap();
        let appliance = Appliance::start_in(dir, &["--test-cheap-passwords", "--config", config.to_str().unwrap()]);
        let operator = appliance.claim();
        appliance.cli_ok(&["workspace", "create", "demo"]);
        let directory = tempfile::tempdir().unwrap();
        let scene = Self { appliance, operator, directory };
        scene.write("root.pem", &scene.appliance.root_pem());
        let account = scene.made(&["account", "create", "-w", "demo", "bob"]);
        let rooms = ["lobby", "hall", "attic"].map(|name| scene.made(&["room", "create", "-w", "demo", name]));
        let [room, ones, operators] = rooms;
        let known = [("account", account), ("room", room), ("workspace", scene.appliance.workspace_id("demo"))];
        let known = known.map(|(name, id)| format!("{name} = \"{id}\"\n")).concat();
        // What is deleted is gone for the rest.
        let deleted =
            [("/api/v1/rooms", ones), ("/api/v1/system/workspaces/{workspace}/rooms", operators)].map(|(path, id)| {
                format!(
                    "[[operations]]\ninclude-name = \"DELETE {path}/{{room}}\"\nparameters = {{ room = \"{id}\" }}\n"
                )
            });
        let known = format!("[parameters]\n{known}permission = \"room.moderate\"\n{}", deleted.concat());
        scene.write("schemathesis.toml", &known);
        scene
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
    for (path, found) in [("/api/v1/sign-in", "no-such-field"), ("/api/v1/sessions", "Undocumented HTTP status code")] {
        let output = scene.compare("another.json", &["--url", &scene.appliance.origin(), "--include-path", path]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.code() == Some(1) && said.contains(found), "{path}: {said}");
    }
    let output =
        scene.compare("another.json", &["--url", &scene.appliance.origin(), "--include-path", "/api/v1/trust"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
