// SPDX-License-Identifier: AGPL-3.0-or-later
//! Permissions that are given by hand, and why somebody may do something or not.

use conclave::client::carrier::Kind;
use conclave::wire::close::CloseCode;
use serde_json::{Value, json};

use crate::harness::Appliance;
use crate::xr::hall::{Hall, becomes};

/// Source, whether it is effective, and what stands in the way.
fn explained(appliance: &Appliance, arguments: &[&str], permission: &str) -> (Value, bool, Value) {
    let explanation = appliance.cli_json(&[&["account", "permissions", "-w", "demo", "bob"], arguments].concat());
    let all = explanation["permissions"].as_array().unwrap();
    let view = all.iter().find(|view| view["permission"] == permission).unwrap();
    (view["source"].clone(), view["effective"].as_bool().unwrap(), view["obstacles"].clone())
}

#[test]
fn a_permission_given_by_hand_counts_until_it_is_taken() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "bob", "user");
    let grant = appliance.sign_in("demo", "bob", &password);
    let token = grant["access_token"].as_str().unwrap();
    let meetings = || appliance.with_token(token, "GET", "/api/v1/meetings", None).status;
    let mine = || appliance.with_token(token, "GET", "/api/v1/me", None).json();
    let none = (Value::Null, false, json!([]));
    assert_eq!((meetings(), explained(&appliance, &[], "room.moderate")), (403, none.clone()));

    let shown = appliance.cli_ok(&["account", "give", "-w", "demo", "bob", "room.moderate"]);
    assert!(shown.contains("By hand") && shown.contains("room.moderate"), "{shown}");
    assert_eq!((meetings(), explained(&appliance, &[], "room.moderate")), (200, (json!("hand"), true, json!([]))));
    assert_eq!(mine()["by_hand"], json!(["room.moderate"]));
    assert!(mine()["permissions"].as_array().unwrap().contains(&json!("room.moderate")));
    let table = appliance.cli_ok(&["account", "permissions", "-w", "demo", "bob"]);
    assert!(table.contains("by hand") && table.contains("CARRIED FROM"), "{table}");
    // Once more changes nothing, and neither does taking what the role carries.
    appliance.cli_ok(&["account", "give", "-w", "demo", "bob", "room.moderate"]);
    appliance.cli_ok(&["account", "take", "-w", "demo", "bob", "room.voice"]);
    assert_eq!(explained(&appliance, &[], "room.voice"), (json!("role"), true, json!([])));

    appliance.cli_ok(&["account", "take", "-w", "demo", "bob", "room.moderate"]);
    assert_eq!((meetings(), explained(&appliance, &[], "room.moderate")), (403, none));
    let records = appliance.cli_json(&["audit", "list", "-w", "demo", "--action", "account.permission."]);
    let told: Vec<_> =
        records["records"].as_array().unwrap().iter().map(|one| (&one["action"], &one["detail"])).collect();
    let (give, take, what) =
        (json!("account.permission.give"), json!("account.permission.take"), json!("room.moderate"));
    assert_eq!(told, [(&take, &what), (&give, &what)]);
    let refused = appliance.cli(&["account", "give", "-w", "demo", "bob", "room.fly"]);
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn who_was_given_accounts_looks_after_them_as_a_power_user_does_and_gives_nothing_away() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "bob", "user");
    appliance.account("demo", "ada", "admin");
    appliance.account("demo", "eve", "user");
    let grant = appliance.sign_in("demo", "bob", &password);
    let token = grant["access_token"].as_str().unwrap();
    let list = || appliance.with_token(token, "GET", "/api/v1/accounts", None);
    assert_eq!(list().status, 403);
    appliance.cli_ok(&["account", "give", "-w", "demo", "bob", "account.manage"]);
    let seen = list().json();
    let names: Vec<_> =
        seen["accounts"].as_array().unwrap().iter().map(|one| one["user_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["bob", "eve"]);
    let eve = seen["accounts"][1]["id"].as_str().unwrap();
    let promote =
        appliance.with_token(token, "PATCH", &format!("/api/v1/accounts/{eve}"), Some(&json!({ "role": "admin" })));
    assert_eq!(promote.status, 403);
    // Neither itself, nor who was given more.
    let own = seen["accounts"][0]["id"].as_str().unwrap();
    let change = |id: &str| {
        let body = json!({ "voice_off": true });
        appliance.with_token(token, "PATCH", &format!("/api/v1/accounts/{id}"), Some(&body)).status
    };
    assert_eq!((change(own), change(eve)), (403, 200));
    appliance.cli_ok(&["account", "give", "-w", "demo", "eve", "workspace.audit"]);
    appliance.cli_ok(&["account", "give", "-w", "demo", "bob", "account.password.reset"]);
    assert_eq!(change(eve), 403);
    let reset = appliance.with_token(token, "PUT", &format!("/api/v1/accounts/{eve}/password"), Some(&json!({})));
    assert_eq!(reset.status, 403, "{}", reset.text());
    assert_eq!(appliance.with_token(token, "GET", "/api/v1/throttles", None).status, 403);
    let give = appliance.with_token(token, "PUT", &format!("/api/v1/accounts/{eve}/permissions/workspace.audit"), None);
    assert_eq!(give.status, 403);
}

#[test]
fn a_lower_role_takes_what_was_given_too() {
    let appliance = Appliance::claimed();
    appliance.account("demo", "bob", "power_user");
    appliance.cli_ok(&["account", "give", "-w", "demo", "bob", "workspace.audit"]);
    let given = |role: &str| appliance.cli_json(&["account", "role", "-w", "demo", "bob", role])["by_hand"].clone();
    assert_eq!(given("power_user"), json!(["workspace.audit"]));
    assert_eq!(given("user"), json!([]));
}

#[test]
fn what_would_be_is_told_and_nothing_is_changed() {
    let appliance = Appliance::claimed();
    appliance.account("demo", "bob", "user");
    appliance.cli_ok(&["room", "create", "-w", "demo", "quiet", "--voice", "refuse"]);
    appliance.cli_ok(&["room", "create", "-w", "demo", "board", "--entry", "admin"]);
    let before = appliance.cli_json(&["account", "permissions", "-w", "demo", "bob"]);
    let ask = |arguments: &[&str], permission: &str| explained(&appliance, arguments, permission);
    assert_eq!(ask(&["--role", "guest"], "room.voice"), (Value::Null, false, json!([])));
    assert_eq!(ask(&["--role", "guest", "--give", "room.voice"], "room.voice"), (json!("hand"), true, json!([])));
    assert_eq!(ask(&["--give", "xr.early_access"], "xr.early_access"), (json!("hand"), true, json!([])));
    assert_eq!(ask(&["--room", "quiet"], "room.voice"), (json!("role"), false, json!(["room-voice-off"])));
    assert_eq!(ask(&["--room", "board"], "room.join"), (json!("role"), false, json!(["room-entry"])));
    assert_eq!(ask(&["--room", "board", "--role", "admin"], "room.join"), (json!("role"), true, json!([])));
    assert_eq!(appliance.cli_json(&["account", "permissions", "-w", "demo", "bob"]), before);
    assert_eq!(before["simulated"], false);
    appliance.cli_ok(&["account", "set", "-w", "demo", "bob", "--voice", "off"]);
    assert_eq!(ask(&[], "room.voice"), (json!("role"), false, json!(["account-voice-off"])));
    appliance.cli_ok(&["account", "disable", "-w", "demo", "bob"]);
    assert_eq!(ask(&[], "room.join"), (json!("role"), false, json!(["account-disabled"])));
    let wrong = appliance.cli(&["account", "permissions", "-w", "demo", "bob", "--give", "room.fly"]);
    assert_eq!(wrong.status.code(), Some(1));
}

#[test]
fn who_is_given_something_in_a_meeting_comes_in_anew_with_it() {
    let hall = Hall::new(&[]);
    let bob = hall.enter("bob", Kind::Quic);
    assert_eq!(hall.facts("bob")["moderator"], false);
    hall.appliance.cli_ok(&["account", "give", "-w", "demo", "bob", "room.moderate"]);
    becomes("bob is back", || bob.heard(|heard| heard.entries.len() == 2 && heard.policy.may_moderate));
    assert_eq!(bob.heard(|heard| heard.lost.clone()), [Some(CloseCode::Changed)]);
    assert_eq!(hall.facts("bob")["moderator"], true);
}
