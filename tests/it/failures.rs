// SPDX-License-Identifier: AGPL-3.0-or-later
//! What an appliance does when the machine fails it: killed in an upgrade, a disk that is full or read-only, a bit that
//! flipped, a clock that is wrong. Nothing that was acknowledged is lost, the message names the file and the way out,
//! and the doctor sees it.
//!
//! Kills during writes are in `crash.rs`, files that were swapped, cut, changed or older in `files.rs`.

use std::fs;
use std::path::Path;

use rusqlite::Connection as Database;
use serde_json::{Value, json};

use crate::files::raw_key;
use crate::harness::Appliance;
use crate::harness::http::{Answer, Connection};

mod bits;
mod clock;
mod disk;
mod migration;

/// How often something is drawn anew: `$ROUNDS`, else more with `CI=true`.
fn rounds(few: u32, with_ci: u32) -> u32 {
    let default = if std::env::var("CI").as_deref() == Ok("true") { with_ci } else { few };
    std::env::var("ROUNDS").map_or(default, |rounds| rounds.parse().expect("ROUNDS is a number"))
}

/// A database of a stopped appliance, opened with its key.
fn database(data: &Path, path: &Path, workspace: &str) -> Database {
    let database = Database::open(path).unwrap();
    database.pragma_update(None, "key", format!("x'{}'", raw_key(data, workspace))).unwrap();
    database
}

/// What the doctor sees from inside: state, words and way out of a check.
fn doctor(appliance: &Appliance, name: &str) -> (String, String) {
    let checkup = appliance.admin("GET", "/api/v1/system/doctor", None).json();
    let mut checks = checkup["checks"].as_array().unwrap().iter();
    let check = checks.find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name:?}: {checkup}"));
    let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
    (text("state"), format!("{} → {}", text("says"), text("way_out")))
}

/// Makes an account over the admin socket.
fn write(socket: &Path, workspace: &str, name: &str) -> Answer {
    let path = format!("/api/v1/system/workspaces/{workspace}/accounts");
    let body = json!({ "user_name": name, "display_name": name.repeat(8) });
    Connection::unix(socket).json("POST", &path, &[], Some(&body))
}

/// Every one of these accounts is there, and the chains of workspace and appliance hold.
fn nothing_is_lost(appliance: &Appliance, workspace: &str, names: &[String]) {
    for name in names {
        let path = format!("/api/v1/system/workspaces/{workspace}/accounts?user_name={name}");
        let found = appliance.admin("GET", &path, None).json();
        assert_eq!(found["accounts"][0]["user_name"], **name, "an acknowledged account is gone");
    }
    chains_hold(appliance);
}

fn chains_hold(appliance: &Appliance) {
    assert_eq!(doctor(appliance, "workspaces").0, "ok");
    assert_eq!(appliance.cli_json(&["status"])["anchor_current"], true);
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn id_of(made: &Answer) -> Value {
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()["id"].clone()
}
