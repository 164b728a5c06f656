// SPDX-License-Identifier: AGPL-3.0-or-later
//! Sign-in, sessions and refresh, end to end.

use std::time::Duration;

use serde_json::json;

use crate::harness::Appliance;

#[test]
fn a_person_signs_in_with_a_sealed_credential_looks_around_and_signs_out() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "admin");
    let grant = appliance.sign_in("demo", "Ada", &password);
    let token = grant["access_token"].as_str().unwrap();
    assert_eq!(grant["account"]["workspace"]["name"], "demo");

    let me = appliance.with_token(token, "GET", "/api/v1/me", None);
    assert_eq!((me.status, &me.json()["user_name"]), (200, &json!("ada")));
    let sessions = appliance.with_token(token, "GET", "/api/v1/me/sessions", None).json();
    assert_eq!(sessions["sessions"][0]["device_name"], "test device");
    assert_eq!(sessions["sessions"][0]["current"], true);

    assert_eq!(appliance.with_token(token, "DELETE", "/api/v1/session", None).status, 204);
    let after = appliance.with_token(token, "GET", "/api/v1/me", None);
    assert_eq!((after.status, after.code().as_str()), (401, "unauthenticated"));
}

#[test]
fn a_refresh_token_rotates_repeats_once_and_a_replay_ends_the_session() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "user");
    let grant = appliance.sign_in("demo", "ada", &password);
    let refresh = |token: &serde_json::Value| {
        appliance.https("POST", "/api/v1/sessions/refresh", &[], Some(&json!({ "refresh_token": token })))
    };
    let first = grant["refresh_token"].clone();
    let second = refresh(&first).json()["refresh_token"].clone();
    assert_ne!(first, second);
    // The answer was lost: the same successor again.
    assert_eq!(refresh(&first).json()["refresh_token"], second);
    let third = refresh(&second).json();
    assert_eq!(appliance.with_token(third["access_token"].as_str().unwrap(), "GET", "/api/v1/me", None).status, 200);
    // A true replay: the session is over for everybody, and the audit says so.
    let replay = refresh(&first);
    assert_eq!((replay.status, replay.code().as_str()), (401, "session-ended"));
    assert_eq!(refresh(&third["refresh_token"]).status, 401);
    assert_eq!(appliance.with_token(third["access_token"].as_str().unwrap(), "GET", "/api/v1/me", None).status, 401);
    let audit = appliance.cli_ok(&["audit", "list", "--workspace", "demo"]);
    assert!(audit.contains("session.refresh") && audit.contains("refused"), "{audit}");
    // The person is told, until there is a new password.
    let grant = appliance.sign_in("demo", "ada", &password);
    assert!(grant["account"]["session_replayed_at"].is_string(), "{grant}");
    let fresh = appliance.cli_json(&["account", "password", "--workspace", "demo", "ada"]);
    let grant = appliance.sign_in("demo", "ada", fresh["initial_password"].as_str().unwrap());
    assert!(grant["account"].get("session_replayed_at").is_none(), "{grant}");
}

#[test]
fn a_disabled_account_learns_why_only_after_it_proved_itself() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "user");
    let token = appliance.sign_in("demo", "ada", &password)["access_token"].as_str().unwrap().to_owned();
    appliance.cli_ok(&["account", "disable", "--workspace", "demo", "ada"]);
    assert_eq!(appliance.with_token(&token, "GET", "/api/v1/me", None).status, 401);
    let right = appliance.try_sign_in("demo", "ada", &password);
    assert_eq!((right.status, right.code().as_str()), (403, "account-disabled"));
    let wrong = appliance.try_sign_in("demo", "ada", "not the password");
    assert_eq!((wrong.status, wrong.code().as_str()), (401, "sign-in-refused"));
}

#[test]
fn wrong_tries_lock_the_name_for_a_while_whether_or_not_it_exists() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "user");
    // Waits are seconds, and a busy machine takes its time: the clock goes on by hand.
    let begun = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    appliance.hold(Some(begun));
    for (name, later) in [("ada", 1_000), ("nobody", 2_000)] {
        assert_eq!(appliance.try_sign_in("demo", name, "wrong").status, 401, "{name}");
        let locked = appliance.try_sign_in("demo", name, "wrong");
        assert_eq!((locked.status, locked.header("retry-after")), (429, Some("1")), "{name}");
        appliance.hold(Some(begun + later));
        assert_eq!(appliance.try_sign_in("demo", name, "wrong").status, 401, "{name}");
    }
    // Locked even with the right password, until the wait is over.
    assert_eq!(appliance.try_sign_in("demo", "ada", &password).status, 429);
    appliance.hold(Some(begun + 4_000));
    appliance.sign_in("demo", "ada", &password);
}

#[test]
fn a_password_reset_wins_over_sign_ins_that_are_under_way() {
    let appliance = Appliance::claimed();
    let old = appliance.account("demo", "ada", "user");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                // Until the old password is refused.
                while appliance.try_sign_in("demo", "ada", &old).status == 201 {}
            });
        }
        std::thread::sleep(Duration::from_millis(200));
        appliance.cli_ok(&["account", "password", "--workspace", "demo", "ada"]);
    });
    let left = appliance.cli_json(&["session", "list", "--workspace", "demo", "ada"]);
    assert_eq!(left["sessions"], json!([]), "sessions of the old password outlived the reset");
}

#[test]
fn changes_of_one_account_at_the_same_moment_do_not_undo_each_other() {
    let appliance = Appliance::claimed();
    appliance.account("demo", "ada", "user");
    let accounts = format!("/api/v1/system/workspaces/{}/accounts", appliance.workspace_id("demo"));
    let id = appliance.admin("GET", &format!("{accounts}?user_name=ada"), None).json()["accounts"][0]["id"].clone();
    let (appliance, path) = (&appliance, &format!("{accounts}/{}", id.as_str().unwrap()));
    for round in 0..40 {
        let (from, to) = if round % 2 == 0 { ("user", "power_user") } else { ("power_user", "user") };
        assert_eq!(appliance.admin("GET", path, None).json()["role"], from);
        std::thread::scope(|scope| {
            scope.spawn(|| appliance.admin("PATCH", path, Some(&json!({ "role": to }))));
            let name = format!("Ada {round}");
            scope.spawn(move || appliance.admin("PATCH", path, Some(&json!({ "display_name": name }))));
        });
        let after = appliance.admin("GET", path, None).json();
        assert_eq!((&after["role"], &after["display_name"]), (&json!(to), &json!(format!("Ada {round}"))));
    }
}

#[test]
fn an_admin_sees_who_waits_and_lets_them_try() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "user");
    let try_in = |user: &str, password: &str| {
        let plain = json!({ "workspace": "demo", "user_name": user, "password": password });
        let body = json!({ "sealed": appliance.seal(&plain), "device_name": "desk" });
        appliance.https("POST", "/api/v1/sessions", &[], Some(&body)).status
    };
    assert_eq!(appliance.cli_json(&["throttle", "list", "-w", "demo"]), json!({ "throttles": [] }));
    // The wait is a second, and a busy machine takes longer than that.
    appliance.hold_now();
    assert_eq!((try_in("ada", "wrong"), try_in("nobody", "wrong")), (401, 401));
    assert_eq!(try_in("ada", &password), 429);
    let list = appliance.cli_json(&["throttle", "list", "-w", "demo"]);
    let throttles = list["throttles"].as_array().unwrap();
    let mut names: Vec<_> = throttles.iter().map(|one| one["user_name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!((names, &throttles[0]["wrong_tries"]), (vec!["ada", "nobody"], &json!(1)));
    assert!(appliance.cli_ok(&["throttle", "list", "-w", "demo"]).contains("WRONG TRIES"));
    assert_eq!(appliance.cli_json(&["throttle", "list", "-w", "system"]), json!({ "throttles": [] }));

    appliance.cli_ok(&["throttle", "clear", "-w", "demo", "ada"]);
    assert_eq!(try_in("ada", &password), 201);
    assert_eq!(appliance.cli(&["throttle", "clear", "-w", "demo", "ada"]).status.code(), Some(1));
    appliance.cli_ok(&["throttle", "clear", "-w", "demo", "nobody"]);
    let records = appliance.cli_json(&["audit", "list", "-w", "demo", "--action", "throttle."]);
    let told: Vec<_> =
        records["records"].as_array().unwrap().iter().map(|one| one["target"].as_str().unwrap()).collect();
    assert!(told[0].is_empty() && told[1].starts_with("account:"), "{told:?}");
}

#[test]
fn a_person_ends_all_their_other_sessions_at_once() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "guest");
    let sign_in = || appliance.sign_in("demo", "ada", &password)["access_token"].as_str().unwrap().to_owned();
    let (here, elsewhere) = (sign_in(), [sign_in(), sign_in()]);
    let other = appliance.signed_in("demo", "bob", "guest");
    let alive = |token: &str| appliance.with_token(token, "GET", "/api/v1/me", None).status == 200;
    let end = || {
        let answer = appliance.with_token(&here, "DELETE", "/api/v1/me/sessions", None);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    assert_eq!(end(), json!({ "sessions_ended": 2 }));
    assert!(alive(&here) && alive(&other), "neither the one that asks nor anybody else's");
    assert!(elsewhere.iter().all(|token| !alive(token)));
    let records = appliance.cli_json(&["audit", "list", "-w", "demo", "--action", "session.delete"]);
    assert_eq!(records["records"].as_array().unwrap().len(), 1, "one record for all of them: {records}");
    assert_eq!(end(), json!({ "sessions_ended": 0 }));
}
