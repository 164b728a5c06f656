// SPDX-License-Identifier: AGPL-3.0-or-later
//! The life of a workspace, what it permits, the agreement for it, and what two persons decide together.

use std::time::Duration;

use conclave::client::carrier::Kind;
use conclave::wire::close::CloseCode;
use serde_json::{Value, json};

use crate::harness::Appliance;
use crate::harness::http::Answer;
use crate::xr::hall::{Hall, becomes};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn records(appliance: &Appliance, workspace: &str, action: &str) -> Vec<Value> {
    let found = appliance.cli_json(&["audit", "list", "-w", workspace, "--action", action]);
    found["records"].as_array().unwrap().clone()
}

/// An approved request, as another operator than root on the host decided it.
fn approved(appliance: &Appliance, operator: &str, deed: &str, target: &[&str]) -> String {
    let asked = [&["approval", "request", deed], target, &["--reason", "the test wants it"]].concat();
    let asked = appliance.cli_json(&asked);
    let id = asked["id"].as_str().unwrap().to_owned();
    let workspace = target.iter().position(|word| *word == "-w").map_or("system", |at| target[at + 1]);
    let workspace = match workspace {
        "system" => "00000000-0000-0000-0000-000000000000".to_owned(),
        other => appliance.workspace_id(other),
    };
    let path = format!("/api/v1/system/workspaces/{workspace}/approvals/{id}/decision");
    let answer = appliance.with_token(operator, "PUT", &path, Some(&json!({ "verdict": "approved" })));
    assert_eq!(answer.status, 200, "{}", answer.text());
    id
}

fn operator_token(appliance: &Appliance) -> String {
    let password = appliance.account("system", "second", "admin");
    appliance.sign_in("system", "second", &password)["access_token"].as_str().unwrap().to_owned()
}

#[test]
fn a_trial_ends_with_a_reason_loses_nothing_and_goes_on_at_once() {
    let appliance = Appliance::start();
    appliance.claim();
    let made = ["workspace", "create", "acme", "--trial-days", "30", "--agreement-accepted-by", "Tess Ter"];
    let shown = appliance.cli_json(&made);
    assert_eq!((&shown["stage"], &shown["standstill"]), (&json!("trial"), &Value::Null));
    let password = appliance.account("acme", "ada", "admin");
    let grant = appliance.sign_in("acme", "ada", &password);
    let token = grant["access_token"].as_str().unwrap();
    let me = || appliance.with_token(token, "GET", "/api/v1/me", None);
    assert_eq!(me().status, 200);
    // Its last second, and its first one afterwards.
    appliance.advance(DAY * 30 - Duration::from_secs(60));
    assert_eq!(appliance.try_sign_in("acme", "ada", &password).status, 201);
    appliance.advance(Duration::from_secs(60));
    assert_eq!(refusal(&appliance.try_sign_in("acme", "ada", &password)), refused(403, "trial-over"));
    // Who did not prove it learns nothing of it.
    assert_eq!(refusal(&appliance.try_sign_in("acme", "ada", "wrong")), refused(401, "sign-in-refused"));
    appliance.advance(Duration::from_secs(30));
    let shown = appliance.cli_json(&["workspace", "show", "acme"]);
    assert_eq!((&shown["stage"], &shown["standstill"]), (&json!("trial"), &json!("trial-over")));
    assert_eq!(appliance.cli_json(&["account", "list", "-w", "acme"])["accounts"].as_array().unwrap().len(), 1);
    // What time does by itself: sessions end, once, and it is on record.
    appliance.tick();
    appliance.tick();
    assert_eq!(appliance.cli_json(&["workspace", "show", "acme"])["sessions"], 0);
    assert_eq!(records(&appliance, "acme", "workspace.stop").len(), 1);

    let past = appliance.cli(&["workspace", "extend", "acme", "--until", "2020-01-01T00:00:00Z"]);
    assert!(String::from_utf8_lossy(&past.stderr).contains("not later than now"), "{past:?}");
    appliance.cli_ok(&["workspace", "extend", "acme", "--until", "2099-01-01T00:00:00Z"]);
    assert_eq!(appliance.try_sign_in("acme", "ada", &password).status, 201);
    assert_eq!(appliance.cli_json(&["workspace", "subscribe", "acme"])["stage"], "subscribed");
    appliance.advance(DAY * 40_000);
    assert_eq!(appliance.try_sign_in("acme", "ada", &password).status, 201);
}

#[test]
fn a_suspension_ends_sessions_and_meetings_at_once_until_it_is_over() {
    let hall = Hall::new(&[]);
    let ada = hall.enter("ada", Kind::Quic);
    let credential = hall.appliance.account("demo", "bob", "user");
    let appliance = &hall.appliance;
    let shown = appliance.cli_json(&["workspace", "suspend", "demo"]);
    assert_eq!((&shown["stage"], &shown["sessions"]), (&json!("suspended"), &json!(0)));
    becomes("ada is out", || ada.ended() == Some(CloseCode::SessionEnded));
    let try_again = || appliance.try_sign_in("demo", "bob", &credential);
    assert_eq!(refusal(&try_again()), refused(403, "workspace-suspended"));
    let twice = appliance.cli(&["workspace", "suspend", "demo"]);
    assert!(String::from_utf8_lossy(&twice.stderr).contains("suspended already"), "{twice:?}");
    appliance.cli_ok(&["workspace", "resume", "demo"]);
    assert_eq!(try_again().status, 201);
    assert_eq!(records(appliance, "system", "workspace.suspend").len(), 1);
    assert_eq!(records(appliance, "demo", "workspace.suspend").len(), 1);
}

#[test]
fn seats_are_counted_when_accounts_are_made_and_switched_on() {
    let appliance = Appliance::claimed();
    appliance.cli_ok(&["workspace", "set", "demo", "--seats", "2"]);
    for name in ["ada", "bob"] {
        appliance.account("demo", name, "admin");
    }
    let full = appliance.cli(&["account", "create", "-w", "demo", "cleo"]);
    assert!(String::from_utf8_lossy(&full.stderr).contains("seats-taken"), "{full:?}");
    appliance.cli_ok(&["account", "disable", "-w", "demo", "bob"]);
    appliance.account("demo", "cleo", "user");
    let full = appliance.cli(&["account", "enable", "-w", "demo", "bob"]);
    assert!(String::from_utf8_lossy(&full.stderr).contains("seats-taken"), "{full:?}");
    // What somebody who has a seat changes takes none.
    appliance.cli_ok(&["account", "role", "-w", "demo", "cleo", "guest"]);
    appliance.cli_ok(&["workspace", "set", "demo", "--seats", "0"]);
    appliance.cli_ok(&["account", "enable", "-w", "demo", "bob"]);
}

#[test]
fn a_former_name_leads_to_the_workspace_for_ninety_days_and_is_nobody_elses() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "admin");
    let id = appliance.workspace_id("demo");
    assert_eq!(appliance.cli_json(&["workspace", "rename", "demo", "acme"])["name"], "acme");
    for name in ["demo", "acme"] {
        assert_eq!(appliance.sign_in(name, "ada", &password)["account"]["workspace"]["name"], "acme");
    }
    assert_eq!(appliance.workspace_id("demo"), id);
    let taken = appliance.cli(&["workspace", "create", "demo"]);
    assert!(String::from_utf8_lossy(&taken.stderr).contains("workspace-name-taken"), "{taken:?}");
    appliance.advance(DAY * 90);
    assert_eq!(appliance.try_sign_in("demo", "ada", &password).status, 401);
    appliance.workspace("demo");
    assert_ne!(appliance.workspace_id("demo"), id);
    // Back to a name of its own, and over a restart.
    appliance.cli_ok(&["workspace", "rename", "acme", "acme-two"]);
    let mut appliance = appliance;
    appliance.stop_well();
    appliance.restart();
    appliance.advance(DAY * 90);
    assert_eq!(appliance.workspace_id("acme"), id);
    assert_eq!(appliance.cli_json(&["workspace", "rename", "acme-two", "acme"])["name"], "acme");
    assert_eq!(appliance.workspace_id("acme-two"), id);
}

#[test]
fn nobody_uses_a_workspace_before_the_agreement_is_accepted() {
    let appliance = Appliance::start();
    appliance.claim();
    appliance.cli_ok(&["workspace", "create", "acme"]);
    let admin = appliance.signed_in("acme", "ada", "admin");
    let user = appliance.signed_in("acme", "bob", "user");
    let ask =
        |token: &str, method: &str, path: &str, body: Option<&Value>| appliance.with_token(token, method, path, body);
    let nobody = "0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11";
    for path in ["/api/v1/rooms", "/api/v1/accounts", "/api/v1/policy", "/api/v1/audit"] {
        assert_eq!(refusal(&ask(&admin, "GET", path, None)), refused(403, "agreement-required"), "{path}");
    }
    let ticket = json!({ "key_thumbprint": "A".repeat(43) });
    let ticket = ask(&user, "POST", &format!("/api/v1/rooms/{nobody}/tickets"), Some(&ticket));
    assert_eq!(refusal(&ticket), refused(403, "agreement-required"));
    assert_eq!(ask(&user, "GET", "/api/v1/me", None).status, 200);

    let shown = ask(&user, "GET", "/api/v1/agreement", None).json();
    assert!(shown["text"].as_str().unwrap().contains("Article 28") && shown["accepted"] == false, "{shown}");
    let sha256 = shown["sha256"].clone();
    let accept = |token: &str, sha256: &Value| {
        ask(token, "POST", "/api/v1/agreement/acceptances", Some(&json!({ "sha256": sha256 })))
    };
    assert_eq!(refusal(&accept(&user, &sha256)), refused(403, "forbidden"));
    assert_eq!(refusal(&accept(&admin, &json!("00"))), refused(409, "agreement-changed"));
    let accepted = accept(&admin, &sha256);
    assert_eq!(accepted.status, 201, "{}", accepted.text());
    let accepted = accepted.json();
    let (one, id) = (&accepted["acceptances"][0], ask(&admin, "GET", "/api/v1/me", None).json()["id"].clone());
    assert_eq!((&one["sha256"], &one["person"]), (&sha256, &json!("ada")));
    assert_eq!(one["actor"], format!("account:{}", id.as_str().unwrap()));
    assert_eq!(ask(&user, "GET", "/api/v1/rooms", None).status, 200);
    assert_eq!(records(&appliance, "acme", "agreement.accept").len(), 1);

    // A newer text stops nobody, and is told.
    let text = appliance.dir.path().join("agreement.txt");
    std::fs::write(&text, "A newer agreement.\n").unwrap();
    appliance.cli_ok(&["agreement", "set", text.to_str().unwrap()]);
    let shown = ask(&user, "GET", "/api/v1/agreement", None).json();
    assert_eq!((&shown["text"], &shown["outdated"]), (&json!("A newer agreement.\n"), &json!(true)));
    assert_eq!(ask(&user, "GET", "/api/v1/rooms", None).status, 200);
    assert_eq!(refusal(&accept(&admin, &sha256)), refused(409, "agreement-changed"));
    appliance.cli_ok(&["agreement", "accept", "-w", "acme", "--person", "Olga Operator"]);
    let shown = appliance.cli_ok(&["agreement", "show", "-w", "acme"]);
    assert!(shown.contains("Olga Operator") && shown.contains("operator:local"), "{shown}");
    let own = appliance.cli(&["agreement", "accept", "-w", "system", "--person", "Olga"]);
    assert_eq!(own.status.code(), Some(1));
}

#[test]
fn a_policy_is_followed_by_meetings_and_sessions_at_once() {
    let hall = Hall::new(&[]);
    let (ada, appliance) = (hall.enter("ada", Kind::Quic), &hall.appliance);
    let set = |arguments: &[&str]| appliance.cli_json(&[&["policy", "set", "-w", "demo"], arguments].concat());
    let silenced = || hall.facts("ada")["silenced"] == true;
    assert!(!silenced());
    assert_eq!(set(&["--voice", "refuse"])["voice"], false);
    becomes("the voice of the workspace is off", silenced);
    // The room still permits it, and a change of the room does not bring it back.
    appliance.cli_ok(&["room", "set", "-w", "demo", "lobby", "--capacity", "90"]);
    assert!(silenced());
    set(&["--voice", "allow"]);
    becomes("and on again", || !silenced());

    // The whole appliance.
    appliance.cli_ok(&["appliance", "set", "--voice", "off"]);
    becomes("the voice of the appliance is off", silenced);
    set(&["--voice", "refuse"]);
    set(&["--voice", "allow"]);
    assert!(silenced(), "what the appliance forbids nobody allows");
    assert_eq!(appliance.cli_json(&["policy", "show", "-w", "demo"])["appliance_voice"], false);
    appliance.cli_ok(&["appliance", "set", "--voice", "on"]);
    becomes("and on again", || !silenced());
    assert_eq!(ada.ended(), None);

    // Guests.
    let guest = hall.appliance.account("demo", "gus", "guest");
    let token = appliance.sign_in("demo", "gus", &guest)["access_token"].as_str().unwrap().to_owned();
    let me = || appliance.with_token(&token, "GET", "/api/v1/me", None).status;
    assert_eq!(me(), 200);
    set(&["--guests", "refuse"]);
    assert_eq!(me(), 401);
    let again = appliance.try_sign_in("demo", "gus", &guest);
    assert_eq!(refusal(&again), refused(403, "guests-not-admitted"));
    assert_eq!(ada.ended(), None);
    for (bad, said) in [
        (&["--idle-hours", "0"][..], "`idle_hours` is 1 to 168"),
        (&["--session-days", "91"], "`session_days` is 1 to 90"),
        (&["--persistent-days", "91"], "`persistent_days` is 0 to 90"),
    ] {
        let refused = appliance.cli(&[&["policy", "set", "-w", "demo"], bad].concat());
        assert!(String::from_utf8_lossy(&refused.stderr).contains(said), "{refused:?}");
    }
}

#[test]
fn the_voice_of_the_appliance_is_off_over_a_restart_and_for_meetings_that_begin() {
    let mut hall = Hall::new(&[]);
    hall.appliance.cli_ok(&["appliance", "set", "--voice", "off"]);
    hall.appliance.stop_well();
    hall.appliance.restart_where_it_was();
    let _ada = hall.enter("ada", Kind::Quic);
    assert_eq!(hall.facts("ada")["silenced"], true);
}

/// For how many days a browser keeps a cookie, rounded; `None`: until it is closed.
fn days_kept(cookie: &str) -> Option<u64> {
    let age = cookie.split("; ").find_map(|part| part.strip_prefix("Max-Age="))?;
    Some((age.parse::<u64>().unwrap() + 3_600) / (24 * 3_600))
}

#[test]
fn sessions_live_as_long_as_the_policy_says() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "admin");
    let sign_in = |persistent: bool| {
        let plain = json!({ "workspace": "demo", "user_name": "ada", "password": password });
        let body = json!({ "sealed": appliance.seal(&plain), "persistent": persistent, "carrier": "cookie" });
        let answer = appliance.https("POST", "/api/v1/sessions", &[], Some(&body));
        assert_eq!(answer.status, 201, "{}", answer.text());
        let cookie = answer.header("set-cookie").unwrap().to_owned();
        (answer.json()["session"].as_str().unwrap().to_owned(), cookie)
    };
    let ids = || {
        let list = appliance.cli_json(&["session", "list", "-w", "demo", "ada"])["sessions"].clone();
        list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let ((_, cookie), (persistent, kept)) = (sign_in(false), sign_in(true));
    // Clause 10: one ends with the browser, one by itself.
    for cookie in [&cookie, &kept] {
        for part in ["__Host-", "Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(part), "{cookie}");
        }
    }
    assert_eq!(days_kept(&cookie), None, "{cookie}");
    assert_eq!(days_kept(&kept), Some(30), "{kept}");
    // Renewed on each visit.
    let visit = |cookie: &str| {
        let pair = cookie.split(';').next().unwrap().to_owned();
        let origin = appliance.origin();
        let headers = [("cookie", pair.as_str()), ("origin", origin.as_str())];
        appliance.https("POST", "/api/v1/sessions/refresh", &headers, Some(&json!({})))
    };
    appliance.advance(DAY * 29);
    let visited = visit(&kept);
    assert_eq!(visited.status, 200, "{}", visited.text());
    let kept = visited.header("set-cookie").unwrap().to_owned();
    assert_eq!(days_kept(&kept), Some(30), "{kept}");
    assert_eq!(visit(&cookie).status, 401, "nobody used it for twelve hours");
    assert_eq!(ids(), [persistent]);
    // Stricter for those that live.
    appliance.advance(DAY * 10);
    appliance.cli_ok(&["policy", "set", "-w", "demo", "--persistent-days", "5"]);
    assert_eq!(visit(&kept).status, 401);
    let (short, cookie) = sign_in(true);
    assert_eq!(days_kept(&cookie), Some(5), "{cookie}");
    assert_eq!(ids(), [short]);
    // Without persistent ones they end, and who asks for one gets one that ends with the browser.
    appliance.cli_ok(&["policy", "set", "-w", "demo", "--persistent-days", "0"]);
    assert!(ids().is_empty());
    assert_eq!(days_kept(&sign_in(true).1), None);
    // One device.
    sign_in(false);
    assert_eq!(ids().len(), 2);
    appliance.cli_ok(&["policy", "set", "-w", "demo", "--several-devices", "refuse"]);
    let (only, _) = sign_in(false);
    assert_eq!(ids(), [only]);
}

#[test]
fn what_takes_two_persons_is_done_once_and_by_nobody_alone() {
    let appliance = Appliance::claimed();
    let passwords = ["ada", "bob"].map(|name| appliance.account("demo", name, "admin"));
    let token = |name: &str, password: &str| {
        appliance.sign_in("demo", name, password)["access_token"].as_str().unwrap().to_owned()
    };
    let (ada, bob) = (token("ada", &passwords[0]), token("bob", &passwords[1]));
    let victim = appliance.signed_in("demo", "victor", "user");
    let id = appliance.cli_json(&["account", "show", "-w", "demo", "victor"])["id"].as_str().unwrap().to_owned();
    let ask = |token: &str, method: &str, path: &str, body: Value| {
        let body = (!body.is_null()).then_some(body);
        appliance.with_token(token, method, path, body.as_ref())
    };
    let request = |token: &str, deed: &str, target: &str| {
        let body = json!({ "deed": deed, "target": target, "reason": "asked for it by letter" });
        ask(token, "POST", "/api/v1/approvals", body)
    };
    let decide = |token: &str, approval: &str, verdict: &str| {
        let path = format!("/api/v1/approvals/{approval}/decision");
        ask(token, "PUT", &path, json!({ "verdict": verdict }))
    };
    let erase = |token: &str, account: &str, approval: &str| {
        ask(token, "DELETE", &format!("/api/v1/accounts/{account}?approval={approval}"), Value::Null)
    };
    let asked = request(&ada, "account.erase", &id).json()["id"].as_str().unwrap().to_owned();
    assert_eq!(refusal(&erase(&ada, &id, &asked)), refused(409, "approval-missing"));
    assert_eq!(refusal(&decide(&ada, &asked, "approved")), refused(409, "own-approval"));
    assert_eq!(refusal(&decide(&victim, &asked, "approved")), refused(403, "forbidden"));
    assert_eq!(decide(&bob, &asked, "approved").json()["state"], "approved");
    // For exactly this, and once.
    let own = appliance.cli_json(&["account", "show", "-w", "demo", "bob"])["id"].as_str().unwrap().to_owned();
    assert_eq!(refusal(&erase(&ada, &own, &asked)), refused(409, "approval-missing"));
    assert_eq!(erase(&ada, &id, &asked).status, 204);
    assert_eq!(erase(&ada, &id, &asked).status, 404);
    assert_eq!(appliance.with_token(&victim, "GET", "/api/v1/me", None).status, 401);
    let shown = ask(&bob, "GET", &format!("/api/v1/approvals/{asked}"), Value::Null).json();
    assert_eq!(shown["state"], "used");
    assert_eq!(records(&appliance, "demo", "approval.").len(), 2);
    assert_eq!(records(&appliance, "demo", "account.erase").len(), 1);

    // Nobody makes a second person for a request.
    let early = request(&ada, "account.erase", &own).json()["id"].as_str().unwrap().to_owned();
    let made = appliance.signed_in("demo", "made-for-it", "admin");
    assert_eq!(refusal(&decide(&made, &early, "approved")), refused(409, "approver-too-new"));
    let fresh = appliance.cli_json(&["account", "password", "-w", "demo", "bob"]);
    let fresh = token("bob", fresh["initial_password"].as_str().unwrap());
    assert_eq!(refusal(&decide(&fresh, &early, "approved")), refused(409, "approver-too-new"));
    assert_eq!(decide(&fresh, &early, "rejected").status, 200);
    let bob = fresh;
    appliance.cli_ok(&["account", "disable", "-w", "demo", "made-for-it"]);

    // Withdrawn, too late to decide, too late to use.
    let withdrawn = request(&ada, "account.erase", &own).json()["id"].as_str().unwrap().to_owned();
    assert_eq!(decide(&ada, &withdrawn, "rejected").json()["state"], "rejected");
    assert_eq!(refusal(&decide(&bob, &withdrawn, "approved")), refused(409, "conflict"));
    assert_eq!(refusal(&request(&ada, "account.erase", &asked)), refused(404, "not-found"));
    assert_eq!(refusal(&request(&ada, "workspace.close", &id)), refused(409, "conflict"));
    assert_eq!(refusal(&request(&ada, "account.forget", &id)), refused(400, "invalid-body"));
    let late = request(&ada, "account.erase", &own).json()["id"].as_str().unwrap().to_owned();
    let local = |approval: &str, verdict: &str| appliance.cli(&["approval", verdict, "-w", "demo", approval]);
    assert!(local(&late, "approve").status.success());
    appliance.advance(DAY);
    assert_eq!(appliance.cli_json(&["approval", "show", "-w", "demo", &late])["state"], "expired");
    let list = appliance.cli_ok(&["approval", "list", "-w", "demo"]);
    assert!(list.contains("account.erase") && list.contains("expired") && list.contains("used"), "{list}");
    // The last admin cannot be erased, whoever agrees: the approval is not used up by the refusal.
    appliance.cli_ok(&["account", "disable", "-w", "demo", "ada"]);
    let (operator, target) = (operator_token(&appliance), ["bob", "-w", "demo"]);
    let last = approved(&appliance, &operator, "account.erase", &target);
    let refused = appliance.cli(&["account", "erase", "-w", "demo", "bob", "--approval", &last]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("last-admin"), "{refused:?}");
    appliance.cli_ok(&["account", "enable", "-w", "demo", "ada"]);
    appliance.cli_ok(&["account", "erase", "-w", "demo", "bob", "--approval", &last]);
    assert_eq!(appliance.cli(&["account", "show", "-w", "demo", "bob"]).status.code(), Some(1));
}

/// Days go by, as they do where somebody looks at the clock meanwhile.
fn pass(appliance: &Appliance, days: u32) {
    for _ in 0..days {
        appliance.advance(DAY);
        appliance.tick();
    }
}

#[test]
fn a_clock_that_leaps_ahead_deletes_no_workspace_until_it_is_right_or_long_believed() {
    let mut appliance = Appliance::claimed();
    let operator = operator_token(&appliance);
    let keys = appliance.data_dir().join("keys").join(format!("{}.json", appliance.workspace_id("demo")));
    let close = |appliance: &Appliance| {
        let approval = approved(appliance, &operator, "workspace.close", &["demo"]);
        appliance.cli_ok(&["workspace", "close", "demo", "--approval", &approval]);
    };
    let doctor = |appliance: &Appliance| {
        let answer = appliance.admin("GET", "/api/v1/system/doctor", None).json();
        let checks = answer["checks"].as_array().unwrap().clone();
        let clock = checks.into_iter().find(|check| check["name"] == "clock").unwrap();
        (clock["state"].as_str().unwrap().to_owned(), clock["says"].as_str().unwrap().to_owned())
    };
    let year = 365 * 86_400_000;
    close(&appliance);
    assert_eq!(doctor(&appliance).0, "ok");
    // Set right by half, and wholly.
    appliance.shift(year);
    appliance.tick();
    let (state, says) = doctor(&appliance);
    assert!(state == "warn" && says.contains("no closed workspace is deleted"), "{state}: {says}");
    appliance.shift(-year / 2);
    appliance.tick();
    assert!(keys.exists() && doctor(&appliance).0 == "warn");
    appliance.shift(-year / 2);
    appliance.tick();
    assert!(keys.exists() && doctor(&appliance).0 == "ok");
    // Kept although its time has come.
    appliance.shift(year);
    appliance.tick();
    assert_eq!(appliance.cli_json(&["workspace", "reopen", "demo"])["stage"], "subscribed");
    appliance.shift(-year);
    appliance.tick();
    // Over a restart, and left so.
    close(&appliance);
    appliance.tick();
    appliance.stop_well();
    appliance.restart_with(&["--test-cheap-passwords", "--test-clock-offset", &year.to_string()]);
    appliance.tick();
    assert_eq!(doctor(&appliance).0, "warn");
    pass(&appliance, 29);
    assert!(keys.exists());
    for _ in 0..30 * 24 {
        appliance.advance(Duration::from_secs(60 * 60));
        appliance.tick();
    }
    assert!(!keys.exists());
    assert_eq!(doctor(&appliance).0, "ok");
}

#[test]
fn a_deletion_that_has_begun_is_done_to_its_end_whatever_the_clock_says() {
    let appliance = Appliance::claimed();
    let (id, operator) = (appliance.workspace_id("demo"), operator_token(&appliance));
    let approval = approved(&appliance, &operator, "workspace.close", &["demo"]);
    appliance.cli_ok(&["workspace", "close", "demo", "--approval", &approval]);
    pass(&appliance, 29);
    // It cannot be overwritten.
    let keys = appliance.data_dir().join("keys").join(format!("{id}.json"));
    let aside = appliance.dir.path().join("aside");
    std::fs::rename(&keys, &aside).unwrap();
    std::fs::create_dir(&keys).unwrap();
    pass(&appliance, 1);
    assert!(appliance.log().contains("a closed workspace cannot be deleted"));
    for millis in [0, 365 * 86_400_000, -730 * 86_400_000] {
        appliance.shift(millis);
        let reopened = appliance.cli(&["workspace", "reopen", "demo"]);
        assert!(String::from_utf8_lossy(&reopened.stderr).contains("the cooling-off is over"), "{reopened:?}");
    }
    std::fs::remove_dir(&keys).unwrap();
    std::fs::rename(&aside, &keys).unwrap();
    appliance.tick();
    assert!(!keys.exists() && !appliance.data_dir().join("workspaces").join(&id).exists());
    assert_eq!(appliance.cli(&["workspace", "show", "demo"]).status.code(), Some(1));
    assert_eq!(records(&appliance, "system", "workspace.purge").len(), 1);
}

#[test]
fn a_closed_workspace_is_exported_reopened_and_in_the_end_destroyed() {
    let mut appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "admin");
    appliance.account("demo", "bob", "user");
    appliance.cli_ok(&["room", "create", "-w", "demo", "lobby"]);
    let (id, operator) = (appliance.workspace_id("demo"), operator_token(&appliance));
    let alone = ["workspace", "close", "demo", "--approval", "0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11"];
    let refused_alone = appliance.cli(&alone);
    assert!(String::from_utf8_lossy(&refused_alone.stderr).contains("approval-missing"), "{refused_alone:?}");
    let close = |appliance: &Appliance, days: &str| {
        let approval = approved(appliance, &operator, "workspace.close", &["demo"]);
        let closed = ["workspace", "close", "demo", "--approval", &approval, "--cooling-off-days", days];
        appliance.cli_json(&closed)
    };
    // Nobody shortens what another one approved.
    let approval = approved(&appliance, &operator, "workspace.close", &["demo"]);
    let hasty = appliance.cli(&["workspace", "close", "demo", "--approval", &approval, "--cooling-off-days", "0"]);
    assert!(String::from_utf8_lossy(&hasty.stderr).contains("30 to 365"), "{hasty:?}");
    let closed = close(&appliance, "30");
    assert_eq!((&closed["stage"], &closed["sessions"]), (&json!("closed"), &json!(0)));
    assert_eq!(refusal(&appliance.try_sign_in("demo", "ada", &password)), refused(403, "workspace-closed"));

    // Everything is exported, signed, and without a secret.
    let (file, key) =
        (appliance.dir.path().join("demo.jsonl"), appliance.cli_json(&["status"])["identity_key"].clone());
    let file = file.to_str().unwrap();
    let approval = approved(&appliance, &operator, "workspace.export", &["demo"]);
    appliance.cli_ok(&["workspace", "export", "demo", "--approval", &approval, "--out", file]);
    let text = std::fs::read_to_string(file).unwrap();
    for part in [
        "\"kind\":\"account\"",
        "\"user_name\":\"bob\"",
        "\"kind\":\"room\"",
        "\"kind\":\"agreement\"",
        "workspace.close",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(!text.contains("argon2") && !text.contains("password_hash"), "{text}");
    let head: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let key_hex = head["identity_key"].as_str().unwrap().to_owned();
    assert!(key.is_string());
    let verify = |file: &str| appliance.cli(&["workspace", "verify-export", file, "--key", &key_hex]);
    assert!(verify(file).status.success(), "{:?}", verify(file));
    let changed = appliance.dir.path().join("changed.jsonl");
    std::fs::write(&changed, text.replace("bob", "rob")).unwrap();
    let found = verify(changed.to_str().unwrap());
    assert!(!found.status.success() && String::from_utf8_lossy(&found.stderr).contains("was changed"), "{found:?}");
    let again = ["workspace", "export", "demo", "--approval", &approval, "--out", "/nonexistent/x"];
    assert_eq!(appliance.cli(&again).status.code(), Some(74));
    let other = appliance.dir.path().join("again.jsonl");
    let again =
        appliance.cli(&["workspace", "export", "demo", "--approval", &approval, "--out", other.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("approval-missing") && !other.exists(), "{again:?}");

    // Kept after all.
    assert_eq!(appliance.cli_json(&["workspace", "reopen", "demo"])["stage"], "subscribed");
    assert_eq!(appliance.try_sign_in("demo", "ada", &password).status, 201);

    // And destroyed, keys first.
    close(&appliance, "30");
    pass(&appliance, 29);
    assert_eq!(appliance.cli_json(&["workspace", "show", "demo"])["stage"], "closed");
    let (keys, database) = (
        appliance.data_dir().join("keys").join(format!("{id}.json")),
        appliance.data_dir().join("workspaces").join(&id),
    );
    assert!(keys.exists() && database.exists());
    pass(&appliance, 1);
    assert!(!keys.exists() && !database.exists());
    let gone = appliance.cli(&["workspace", "show", "demo"]);
    assert_eq!(gone.status.code(), Some(1));
    assert_eq!(records(&appliance, "system", "workspace.purge").len(), 1);
    assert_eq!(refusal(&appliance.try_sign_in("demo", "ada", &password)), refused(401, "sign-in-refused"));
    appliance.tick();
    appliance.stop_well();
    appliance.restart();
    assert_eq!(appliance.cli_json(&["status"])["anchor_current"], true);
    appliance.workspace("demo");
    assert_ne!(appliance.workspace_id("demo"), id);
}

#[test]
fn who_runs_this_is_known_to_everybody() {
    let appliance = Appliance::claimed();
    let shown = || appliance.https("GET", "/api/v1/operator", &[], None).json();
    assert_eq!(shown()["supervisory_authority"]["name"], "Autoriteit Persoonsgegevens");
    let set = ["appliance", "set", "--operator", "Acme B.V.", "--privacy-contact", "privacy@acme.example"];
    appliance.cli_ok(&[&set[..], &["--authority", "de", "--residency", "Rack 4, Utrecht"]].concat());
    let after = shown();
    assert_eq!(after["operator"]["name"], "Acme B.V.");
    assert_eq!(after["operator"]["privacy_contact"], "privacy@acme.example");
    assert_eq!(
        (&after["supervisory_authority"]["country"], &after["residency"]),
        (&json!("DE"), &json!("Rack 4, Utrecht"))
    );
    // What is not named stays.
    appliance.cli_ok(&["appliance", "set", "--address", "Keizersgracht 1, Amsterdam"]);
    assert_eq!(shown()["operator"]["name"], "Acme B.V.");
    let unknown = appliance.cli(&["appliance", "set", "--authority", "xx"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("supervisory_authority"), "{unknown:?}");
    let all = appliance.cli_json(&["appliance", "authorities"])["authorities"].as_array().unwrap().len();
    assert_eq!(all, 30);
}

#[test]
fn of_several_roles_the_highest_counts_and_the_next_when_it_is_taken() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "bob", "user");
    let shown = appliance.cli_json(&["account", "role", "-w", "demo", "bob", "user", "power_user", "guest"]);
    assert_eq!((&shown["role"], &shown["roles"]), (&json!("power_user"), &json!(["guest", "user", "power_user"])));
    let token = appliance.sign_in("demo", "bob", &password)["access_token"].as_str().unwrap().to_owned();
    assert_eq!(appliance.with_token(&token, "GET", "/api/v1/accounts", None).status, 200);
    let explained = appliance.cli_json(&["account", "permissions", "-w", "demo", "bob"]);
    let of = |name: &str| {
        let all = explained["permissions"].as_array().unwrap();
        all.iter().find(|one| one["permission"] == name).unwrap()["carried_by"].clone()
    };
    assert_eq!((of("room.voice"), of("room.moderate")), (json!(["user", "power_user"]), json!(["power_user"])));
    appliance.cli_ok(&["account", "role", "-w", "demo", "bob", "user", "guest"]);
    assert_eq!(appliance.with_token(&token, "GET", "/api/v1/accounts", None).status, 403);
    let both = appliance.admin(
        "POST",
        &format!("/api/v1/system/workspaces/{}/accounts", appliance.workspace_id("demo")),
        Some(&json!({ "user_name": "cleo", "display_name": "Cleo", "role": "user", "roles": ["guest"] })),
    );
    assert_eq!(refusal(&both), refused(400, "invalid-body"));
}

#[test]
fn who_was_stopped_while_the_request_was_under_way_changes_nothing() {
    let appliance = Appliance::claimed();
    let admin = appliance.signed_in("demo", "ada", "admin");
    appliance.account("demo", "other", "admin");
    let operator = operator_token(&appliance);
    let body = json!({ "user_name": "made", "display_name": "Made", "role": "admin" }).to_string();
    let workspace = appliance.workspace_id("demo");
    let begun = |token: &str, path: &str| {
        let mut connection = appliance.connect();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        connection.write(head.as_bytes()).unwrap();
        // Time to be asked who it is, if anybody asks before the body is there.
        std::thread::sleep(Duration::from_millis(200));
        connection
    };
    let ended = |mut connection: crate::harness::http::Connection| {
        connection.write(body.as_bytes()).unwrap();
        refusal(&connection.read().unwrap())
    };
    let demoted = begun(&admin, "/api/v1/accounts");
    appliance.cli_ok(&["account", "role", "-w", "demo", "ada", "user"]);
    assert_eq!(ended(demoted), refused(401, "unauthenticated"));
    let suspended = begun(&appliance.signed_in("demo", "eve", "admin"), "/api/v1/accounts");
    appliance.cli_ok(&["workspace", "suspend", "demo"]);
    assert_eq!(ended(suspended).0, 403);
    let path = format!("/api/v1/system/workspaces/{workspace}/accounts");
    let dismissed = begun(&operator, &path);
    appliance.cli_ok(&["account", "disable", "-w", "system", "second"]);
    assert_eq!(ended(dismissed), refused(401, "unauthenticated"));
    let list = appliance.cli_json(&["account", "list", "-w", "demo"]);
    assert!(!list.to_string().contains("\"made\""), "{list}");
}

#[test]
fn who_becomes_a_guest_where_none_are_let_in_is_out() {
    let appliance = Appliance::claimed();
    let token = appliance.signed_in("demo", "bob", "user");
    appliance.cli_ok(&["policy", "set", "-w", "demo", "--guests", "refuse"]);
    let me = || appliance.with_token(&token, "GET", "/api/v1/me", None).status;
    assert_eq!(me(), 200);
    appliance.cli_ok(&["account", "role", "-w", "demo", "bob", "guest"]);
    assert_eq!(me(), 401);
    assert_eq!(appliance.cli_json(&["session", "list", "-w", "demo", "bob"])["sessions"], json!([]));
}

#[test]
fn a_stricter_policy_ends_what_is_over_by_it_meetings_too() {
    let hall = Hall::new(&[]);
    let ada = hall.enter("ada", Kind::Quic);
    hall.appliance.advance(Duration::from_secs(3 * 3_600));
    assert_eq!(ada.ended(), None);
    hall.appliance.cli_ok(&["policy", "set", "-w", "demo", "--idle-hours", "2"]);
    becomes("ada is out", || ada.ended() == Some(CloseCode::SessionEnded));
}

#[test]
fn an_older_registry_stops_and_destroys_nobody() {
    let mut appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "admin");
    let (id, operator) = (appliance.workspace_id("demo"), operator_token(&appliance));
    let approval = approved(&appliance, &operator, "workspace.close", &["demo"]);
    appliance.cli_ok(&["workspace", "close", "demo", "--approval", &approval]);
    appliance.tick();
    appliance.stop_well();
    let (database, older) = (appliance.data_dir().join("system.db"), appliance.dir.path().join("older.db"));
    std::fs::copy(&database, &older).unwrap();
    appliance.restart();
    appliance.cli_ok(&["workspace", "reopen", "demo"]);
    appliance.sign_in("demo", "ada", &password);
    appliance.tick();
    appliance.stop_well();
    std::fs::copy(&older, &database).unwrap();
    appliance.restart();
    assert_eq!(appliance.cli_json(&["status"])["system_state"], "rolled-back");
    appliance.tick();
    assert_eq!(appliance.cli_json(&["workspace", "show", "demo"])["sessions"], 1);
    pass(&appliance, 31);
    let keys = appliance.data_dir().join("keys").join(format!("{id}.json"));
    assert!(keys.exists() && appliance.data_dir().join("workspaces").join(&id).exists());
}
