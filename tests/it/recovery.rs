// SPDX-License-Identifier: AGPL-3.0-or-later
//! What must not be recovered: a password by a link that somebody else should have had, a master key that is not the
//! appliance's, anything by a `recovery.json` of a claim that never was.

use std::fs;

use conclave::core::keys::recovery::RecoveryPublicKey;
use conclave::platform::recovery::seal_master_key;
use conclave::platform::store::files::write_private;
use conclave::values::id::WorkspaceId;
use conclave::values::secret::Key256;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::claim::{STRONG, kit, operators, recover, recovery_token, refused};
use crate::config::{run, text};
use crate::files::raw_key;
use crate::harness::Appliance;

const OTHER: &str = "violet-hammer-lagoon-siren-17";

/// A claimed appliance with a second operator, `olga`; and her password.
fn two_operators() -> (Appliance, String) {
    let appliance = Appliance::start();
    appliance.claim();
    let password = appliance.account("system", "olga", "admin");
    (appliance, password)
}

fn set(appliance: &Appliance, change: &Value) {
    let list = appliance.cli_json(&["account", "list", "-w", "system"]);
    let all = list["accounts"].as_array().unwrap();
    let id = all.iter().find(|one| one["user_name"] == "olga").unwrap()["id"].as_str().unwrap();
    let path = format!("/api/v1/system/workspaces/{}/accounts/{id}", WorkspaceId::SYSTEM);
    let answer = appliance.admin("PATCH", &path, Some(change));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn a_link_is_void_once_the_password_is_set_in_another_way() {
    let (appliance, password) = two_operators();
    let token = recovery_token(&appliance, "olga");
    let grant = appliance.sign_in("system", "olga", &password);
    let change = appliance.seal(&json!({ "current_password": password, "new_password": OTHER }));
    let body = json!({ "sealed": change });
    let access = grant["access_token"].as_str().unwrap();
    assert_eq!(appliance.with_token(access, "PUT", "/api/v1/me/password", Some(&body)).status, 204);
    refused(&recover(&appliance, &token, STRONG), 401, "link-refused");

    let token = recovery_token(&appliance, "olga");
    let others = recovery_token(&appliance, "root-operator");
    let given = appliance.cli_json(&["account", "password", "-w", "system", "olga"]);
    refused(&recover(&appliance, &token, STRONG), 401, "link-refused");
    appliance.sign_in("system", "olga", given["initial_password"].as_str().unwrap());
    assert_eq!(recover(&appliance, &others, STRONG).status, 200, "a link of somebody else stays");
}

#[test]
fn a_link_is_void_once_its_account_is_switched_off_or_no_operators() {
    let (appliance, _) = two_operators();
    for (down, up) in [
        (json!({ "status": "disabled" }), json!({ "status": "active" })),
        (json!({ "role": "power_user" }), json!({ "role": "admin" })),
    ] {
        let token = recovery_token(&appliance, "olga");
        set(&appliance, &down);
        refused(&recover(&appliance, &token, STRONG), 401, "link-refused");
        let none = appliance.cli(&["operator", "recover", "olga"]);
        assert_eq!(none.status.code(), Some(1), "{down}");
        set(&appliance, &up);
        refused(&recover(&appliance, &token, STRONG), 401, "link-refused");
    }
    // Another change of the account leaves it.
    let token = recovery_token(&appliance, "olga");
    set(&appliance, &json!({ "display_name": "Olga O." }));
    assert_eq!(recover(&appliance, &token, STRONG).status, 200);
}

#[test]
fn a_link_sets_no_password_of_an_account_that_is_no_active_operators() {
    let (mut appliance, _) = two_operators();
    for change in ["status = 'disabled'", "role = 'power_user', roles = 'power_user'"] {
        let token = recovery_token(&appliance, "olga");
        appliance.stop_well();
        // However that came about.
        let sql = Connection::open(appliance.data_dir().join("system.db")).unwrap();
        let key = raw_key(&appliance.data_dir(), &WorkspaceId::SYSTEM.to_string());
        sql.pragma_update(None, "key", format!("x'{key}'")).unwrap();
        assert_eq!(sql.execute(&format!("UPDATE accounts SET {change} WHERE user_name = 'olga'"), []).unwrap(), 1);
        drop(sql);
        appliance.restart();
        refused(&recover(&appliance, &token, STRONG), 401, "link-refused");
        set(&appliance, &json!({ "status": "active", "role": "admin" }));
    }
}

/// A claimed appliance, stopped; and the text of its kit.
fn claimed_with_a_kit() -> (Appliance, String) {
    let mut appliance = Appliance::start();
    let file = appliance.dir.path().join("kit.txt");
    let claim = ["setup", "claim", "--name", "localhost", "--operator", "olga", "--kit-file", file.to_str().unwrap()];
    appliance.cli_ok(&claim);
    appliance.stop_well();
    (appliance, fs::read_to_string(file).unwrap())
}

#[test]
fn a_master_key_that_is_not_of_these_keys_is_not_written() {
    let (mut appliance, kit) = claimed_with_a_kit();
    let (data, file) = (appliance.data_dir(), appliance.dir.path().join("kit.txt"));
    let (recovery, master) = (data.join("recovery.json"), data.join("master.key"));
    let right = fs::read(&recovery).unwrap();
    let known: Value = serde_json::from_slice(&right).unwrap();
    let public = hex::decode(known["public_key"].as_str().unwrap()).unwrap();
    let public = RecoveryPublicKey::new(public.try_into().unwrap());
    let forged = seal_master_key(&Key256::new([7; 32]), known["appliance"].as_str().unwrap(), &public).unwrap();
    write_private(&recovery, &forged).unwrap();
    fs::remove_file(&master).unwrap();
    let restore = ["recovery", "restore", "--data-dir", data.to_str().unwrap(), "--words-file", file.to_str().unwrap()];
    let output = run(&restore);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let parts = ["00000000-0000-0000-0000-000000000000.json", "is not the one of these keys", "one backup"];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    assert!(!master.exists());

    write_private(&recovery, &right).unwrap();
    let output = run(&restore);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let fact = |text: &str, name: &str| {
        let found = text.lines().find_map(|line| line.trim().strip_prefix(name));
        found.unwrap_or_else(|| panic!("no {name:?} in: {text}")).trim().to_owned()
    };
    for name in ["Appliance", "Identity key"] {
        assert_eq!(fact(&said, name), fact(&kit, name), "it can be compared with the paper");
    }
    appliance.restart();
    assert_eq!(operators(&appliance), ["olga"]);
}

#[test]
fn a_claim_without_a_kit_leaves_no_recovery_file_of_an_earlier_one() {
    let mut appliance = Appliance::start();
    let file = appliance.data_dir().join("recovery.json");
    write_private(&file, b"of a claim that was broken off").unwrap();
    appliance.claim();
    assert!(!file.exists(), "a file that no kit opens looks like a recovery");
    appliance.stop_well();
    appliance.restart();
    assert!(!appliance.log().contains("recovery.json"));
    appliance.stop_well();
    write_private(&file, b"put back from somewhere").unwrap();
    appliance.restart();
    let log = appliance.log();
    assert!(log.contains("recovery.json") && log.contains("claimed without a recovery kit"), "{log}");
}

#[test]
fn a_start_says_when_the_recovery_file_is_not_that_of_the_claim() {
    let (mut appliance, _) = claimed_with_a_kit();
    let file = appliance.data_dir().join("recovery.json");
    let right = fs::read(&file).unwrap();
    let known: Value = serde_json::from_slice(&right).unwrap();
    let said_at_start = |appliance: &mut Appliance| {
        let begin = appliance.log().len();
        appliance.restart();
        appliance.stop_well();
        let log = appliance.log()[begin..].to_owned();
        log.lines().find(|line| line.contains("WARN") && line.contains("recovery.json")).map(str::to_owned)
    };
    assert_eq!(said_at_start(&mut appliance), None);
    fs::remove_file(&file).unwrap();
    let said = said_at_start(&mut appliance).expect("a missing file is not noticed");
    assert!(said.contains("opens nothing without this file") && said.contains("from a backup"), "{said}");

    use base64::Engine;
    let other = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(kit()).unwrap();
    let other =
        String::from_utf8(right.clone()).unwrap().replace(known["public_key"].as_str().unwrap(), &hex::encode(other));
    write_private(&file, other.as_bytes()).unwrap();
    let said = said_at_start(&mut appliance).expect("another kit is not noticed");
    assert!(said.contains("another recovery kit") && said.contains("from a backup"), "{said}");
    write_private(&file, &right).unwrap();
    assert_eq!(said_at_start(&mut appliance), None);
}
