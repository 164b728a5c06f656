// SPDX-License-Identifier: AGPL-3.0-or-later
//! Accounts and their passwords over HTTPS: what an admin gives, what a person changes, and who must remain.

use serde_json::{Value, json};

use crate::harness::Appliance;
use crate::harness::http::Answer;

const ACCOUNTS: &str = "/api/v1/accounts";
const STRONG: &str = "quiet harbour lantern moss";
const STRONGER: &str = "velvet turbine orchard sleet";

/// A workspace with an admin who is signed in.
struct Scene {
    appliance: Appliance,
    admin: String,
}

impl Scene {
    fn new() -> Self {
        let appliance = Appliance::claimed();
        let admin = appliance.signed_in("demo", "ada", "admin");
        Self { appliance, admin }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.appliance.with_token(&self.admin, method, path, Some(body))
    }

    fn sealed(&self, new_password: &str) -> Value {
        self.appliance.seal(&json!({ "new_password": new_password }))
    }

    fn id_of(&self, name: &str) -> String {
        self.appliance.cli_json(&["account", "show", "-w", "demo", name])["id"].as_str().unwrap().to_owned()
    }
}

fn is(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
}

#[test]
fn an_admin_gives_a_sealed_password_and_replaces_it() {
    let scene = Scene::new();
    let body = json!({ "user_name": "bob", "display_name": "Bob", "sealed": scene.sealed(STRONG) });
    let made = scene.ask("POST", ACCOUNTS, &body);
    assert_eq!(made.status, 201, "{}", made.text());
    // Whoever chose it knows it; it is not told.
    assert!(made.json().get("initial_password").is_none() && !made.text().contains(STRONG), "{}", made.text());
    let session = scene.appliance.sign_in("demo", "bob", STRONG)["access_token"].clone();
    let path = format!("{ACCOUNTS}/{}/password", scene.id_of("bob"));
    let set = scene.ask("PUT", &path, &json!({ "sealed": scene.sealed(STRONGER) }));
    assert_eq!((set.status, set.json()), (200, json!({ "sessions_ended": 1 })));
    assert_eq!(scene.appliance.with_token(session.as_str().unwrap(), "GET", "/api/v1/me", None).status, 401);
    is(&scene.appliance.try_sign_in("demo", "bob", STRONG), 401, "sign-in-refused");
    scene.appliance.advance(std::time::Duration::from_secs(1));
    scene.appliance.sign_in("demo", "bob", STRONGER);
    // Without one the appliance makes one, and tells it once.
    let made = scene.ask("PUT", &path, &json!({})).json();
    scene.appliance.sign_in("demo", "bob", made["initial_password"].as_str().unwrap());
    for secret in [STRONG, STRONGER] {
        assert!(!scene.appliance.log().contains(secret));
    }
}

#[test]
fn a_password_in_clear_is_refused_over_the_network() {
    let scene = Scene::new();
    let clear = json!({ "user_name": "bob", "display_name": "Bob", "password": STRONG });
    is(&scene.ask("POST", ACCOUNTS, &clear), 400, "must-be-sealed");
    let both = json!({ "user_name": "bob", "display_name": "Bob", "password": STRONG, "sealed": scene.sealed(STRONG) });
    is(&scene.ask("POST", ACCOUNTS, &both), 400, "invalid-body");
    let path = format!("{ACCOUNTS}/{}/password", scene.id_of("ada"));
    is(&scene.ask("PUT", &path, &json!({ "password": STRONG })), 400, "must-be-sealed");
    is(&scene.ask("PUT", "/api/v1/me/password", &json!({ "new_password": STRONG })), 400, "invalid-body");
    // A box for one purpose does not serve another.
    let credential = scene.appliance.seal(&json!({ "workspace": "demo", "user_name": "ada", "password": STRONG }));
    is(&scene.ask("PUT", &path, &json!({ "sealed": credential })), 400, "sealed-unreadable");
    let list = scene.appliance.cli_json(&["account", "list", "-w", "demo"]);
    assert_eq!(list["accounts"].as_array().unwrap().len(), 1, "nobody was made");
}

#[test]
fn a_weak_password_is_refused_with_advice() {
    let scene = Scene::new();
    // Strong, were it not for the names it is made of.
    scene.appliance.workspace("qzxvbnkwpl");
    let admin = scene.appliance.signed_in("qzxvbnkwpl", "wkvjqhtmzr", "admin");
    let ask = |method: &str, path: &str, body: Value| scene.appliance.with_token(&admin, method, path, Some(&body));
    let own = ask("GET", "/api/v1/me", Value::Null).json()["id"].as_str().unwrap().to_owned();
    for (password, advice) in [
        ("short", "four unrelated words"),
        ("", "at least 12"),
        ("password1234", "easy to guess"),
        ("wkvjqhtmzr11", "easy to guess"),
        ("qzxvbnkwpl11", "easy to guess"),
        ("aaaaaaaaaaaaaaaaaaaa", "easy to guess"),
        ("quiet\0harbour lantern", "visible characters"),
        (&"quiet harbour ".repeat(100), "at most 1024"),
    ] {
        let made = json!({
            "user_name": "wkvjqhtmzr1", "display_name": "wkvjqhtmzr", "sealed": scene.sealed(password),
        });
        let reset = json!({ "sealed": scene.sealed(password) });
        for answer in [ask("POST", ACCOUNTS, made), ask("PUT", &format!("{ACCOUNTS}/{own}/password"), reset)] {
            is(&answer, 422, "password-refused");
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(advice), "{password:?}: {detail}");
            assert!(password.len() < 6 || !answer.text().contains(password), "{}", answer.text());
        }
    }
    let longer = json!({ "sealed": scene.sealed("qzxvbnkwpl11 dtgbyjfsac") });
    assert_eq!(ask("PUT", &format!("{ACCOUNTS}/{own}/password"), longer).status, 200);
}

#[test]
fn changing_my_password_ends_my_other_sessions() {
    let appliance = Appliance::claimed();
    let first = appliance.account("demo", "ada", "user");
    let token = || appliance.sign_in("demo", "ada", &first)["access_token"].as_str().unwrap().to_owned();
    let (here, there) = (token(), token());
    let change = |current: &str, new: &str| {
        let sealed = appliance.seal(&json!({ "current_password": current, "new_password": new }));
        appliance.with_token(&here, "PUT", "/api/v1/me/password", Some(&json!({ "sealed": sealed })))
    };
    let alive = |token: &str| appliance.with_token(token, "GET", "/api/v1/me", None).status == 200;
    for weak in ["password1234", "demodemodemo", "ada.ada.ada.ada"] {
        is(&change(&first, weak), 422, "password-refused");
    }
    // Guessing here waits as it does at the door.
    appliance.hold_now();
    is(&change("not the password", STRONG), 422, "current-password-wrong");
    is(&change(&first, STRONG), 429, "sign-in-throttled");
    appliance.hold(None);
    assert!(alive(&here) && alive(&there), "nothing was changed");
    appliance.advance(std::time::Duration::from_secs(1));
    assert_eq!(change(&first, STRONG).status, 204);
    assert!(alive(&here) && !alive(&there));
    is(&appliance.try_sign_in("demo", "ada", &first), 401, "sign-in-refused");
    appliance.advance(std::time::Duration::from_secs(1));
    appliance.sign_in("demo", "ada", STRONG);
    let audit = appliance.cli_json(&["audit", "list", "-w", "demo"]);
    let records = audit["records"].as_array().unwrap();
    let changes: Vec<_> = records.iter().filter(|record| record["action"] == "account.password").collect();
    let outcomes: Vec<_> = changes.iter().map(|record| record["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["allowed", "refused"], "{audit}");
}

#[test]
fn the_last_active_admin_stays() {
    let scene = Scene::new();
    let ada = format!("{ACCOUNTS}/{}", scene.id_of("ada"));
    let workspace = scene.appliance.workspace_id("demo");
    let from_above = ada.replace("/api/v1", &format!("/api/v1/system/workspaces/{workspace}"));
    let off = json!({ "status": "disabled" });
    let down = json!({ "role": "power_user" });
    for body in [&off, &down, &json!({ "role": "user", "status": "disabled" })] {
        is(&scene.ask("PATCH", &ada, body), 409, "last-admin");
        is(&scene.appliance.admin("PATCH", &from_above, Some(body)), 409, "last-admin");
    }
    assert_eq!(scene.ask("PATCH", &ada, &json!({ "display_name": "Ada L." })).status, 200, "but may change otherwise");
    // An admin who is switched off does not count.
    scene.appliance.account("demo", "bob", "admin");
    scene.appliance.cli_ok(&["account", "disable", "-w", "demo", "bob"]);
    is(&scene.ask("PATCH", &ada, &down), 409, "last-admin");
    scene.appliance.cli_ok(&["account", "enable", "-w", "demo", "bob"]);
    assert_eq!(scene.ask("PATCH", &ada, &down).status, 200);
    is(&scene.ask("PATCH", &ada, &json!({ "role": "admin" })), 403, "forbidden");
    // So it is for operators, among whom the first is the last.
    let operator = scene.appliance.cli(&["account", "disable", "-w", "system", "root-operator"]);
    assert_eq!(operator.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&operator.stderr).contains("last-admin"));
}
