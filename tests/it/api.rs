// SPDX-License-Identifier: AGPL-3.0-or-later
//! What programs rely on: the document, repeating a request, changing what nobody else changed, pages, and how many
//! requests one may send.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::http::{Answer, Connection};
use crate::harness::{Appliance, PATIENCE, repository};

const ACCOUNTS: &str = "/api/v1/accounts";
const KEY: (&str, &str) = ("idempotency-key", "0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11");

/// One request of a signed-in device.
fn ask(appliance: &Appliance, token: &str, method: &str, path: &str, header: (&str, &str), body: &Value) -> Answer {
    let authorization = format!("Bearer {token}");
    let body = if body.is_null() { None } else { Some(body) };
    appliance.https(method, path, &[("authorization", &authorization), header], body)
}

fn create(appliance: &Appliance, token: &str, header: (&str, &str), name: &str) -> Answer {
    let body = json!({ "user_name": name, "display_name": "Made" });
    ask(appliance, token, "POST", ACCOUNTS, header, &body)
}

#[test]
fn the_document_is_served_as_it_is_in_the_repository() {
    let appliance = Appliance::claimed();
    let served = appliance.https("GET", "/api/v1/openapi.json", &[], None);
    assert_eq!((served.status, served.header("content-type")), (200, Some("application/json")));
    assert_eq!(served.text(), fs::read_to_string(repository().join("docs/openapi.json")).unwrap());
    let tag = served.header("etag").unwrap();
    let again = appliance.https("GET", "/api/v1/openapi.json", &[("if-none-match", tag)], None);
    assert_eq!((again.status, again.header("etag"), again.body.len()), (304, Some(tag), 0));
    let codes = &served.json()["components"]["schemas"]["ProblemBody"]["properties"]["code"]["enum"];
    assert!(codes.as_array().unwrap().contains(&json!("not-found")), "{codes}");
}

#[test]
fn a_repeated_create_is_done_once_and_answered_alike() {
    let appliance = Appliance::claimed();
    let token = appliance.signed_in("demo", "ada", "admin");
    let first = create(&appliance, &token, KEY, "bob");
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None), "{}", first.text());
    let second = create(&appliance, &token, KEY, "bob");
    assert_eq!((second.status, second.header("idempotency-replayed")), (201, Some("true")), "{}", second.text());
    assert_eq!(second.json(), first.json());
    assert!(second.json()["initial_password"].is_string());

    let reused = create(&appliance, &token, KEY, "eve");
    assert_eq!((reused.status, reused.code().as_str()), (422, "idempotency-key-reused"));
    let (another, none) = (("idempotency-key", "another"), ("x-nothing", "x"));
    for header in [another, none] {
        assert_eq!(create(&appliance, &token, header, "bob").code(), "user-name-taken");
    }
    // What stands behind the path changes nothing of what is done.
    let body = json!({ "user_name": "bob", "display_name": "Made" });
    let queried = ask(&appliance, &token, "POST", &format!("{ACCOUNTS}?a=1"), KEY, &body);
    assert_eq!((queried.status, queried.header("idempotency-replayed")), (201, Some("true")), "{}", queried.text());
    // The key is one's own: whoever else sends it asks for something else.
    let other = appliance.signed_in("demo", "eva", "admin");
    assert_eq!(create(&appliance, &other, KEY, "bob").code(), "user-name-taken");
    assert_eq!(create(&appliance, &other, KEY, "bob").header("idempotency-replayed"), None);
    assert_eq!(create(&appliance, "no token", KEY, "bob").code(), "unauthenticated");
    for header in [("idempotency-key", "two words"), ("idempotency-key", "")] {
        assert_eq!(create(&appliance, &token, header, "carol").code(), "idempotency-key-invalid");
    }
}

#[test]
fn whoever_may_not_or_could_not_may_try_again_with_the_same_key() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "power_user");
    let token = appliance.sign_in("demo", "ada", &password)["access_token"].as_str().unwrap().to_owned();
    let body = json!({ "user_name": "bob", "display_name": "Bob", "role": "power_user" });
    let promoted = || ask(&appliance, &token, "POST", ACCOUNTS, KEY, &body);
    assert_eq!(promoted().code(), "forbidden");
    appliance.cli_ok(&["account", "role", "-w", "demo", "ada", "admin"]);
    let made = promoted();
    assert_eq!((made.status, made.header("idempotency-replayed")), (201, None), "{}", made.text());
    // A body that is wrong stays wrong.
    let (key, wrong) = (("idempotency-key", "wrong"), json!({ "user_name": "carol" }));
    let refused = || ask(&appliance, &token, "POST", ACCOUNTS, key, &wrong);
    assert_eq!((refused().code().as_str(), refused().header("idempotency-replayed")), ("invalid-body", Some("true")));
    // A session that ended is told nothing of what it made.
    appliance.cli_ok(&["session", "revoke", "-w", "demo", "ada", "--all"]);
    assert_eq!(promoted().code(), "unauthenticated");
}

#[test]
fn who_may_do_less_than_before_is_not_told_again_what_was_made() {
    let appliance = Appliance::claimed();
    let (ada, bea) = (appliance.signed_in("demo", "ada", "admin"), appliance.signed_in("demo", "bea", "user"));
    let operator = appliance.signed_in("system", "olga", "admin");
    appliance.account("system", "eva", "admin");
    let id = appliance.with_token(&bea, "GET", "/api/v1/me", None).json()["id"].as_str().unwrap().to_owned();
    let by_hand = format!("{ACCOUNTS}/{id}/permissions/account.manage");
    let eva = appliance.signed_in("demo", "eve", "admin");
    assert_eq!(appliance.with_token(&eva, "PUT", &by_hand, None).status, 204);
    let of_demo = format!("/api/v1/system/workspaces/{}/accounts", appliance.workspace_id("demo"));
    let made = |token: &str, path: &str, name: &str| {
        let body = json!({ "user_name": name, "display_name": "Made", "role": "guest" });
        ask(&appliance, token, "POST", path, KEY, &body)
    };
    let asked = [(&ada, ACCOUNTS, "one"), (&bea, ACCOUNTS, "two"), (&operator, of_demo.as_str(), "three")];
    for (token, path, name) in asked {
        assert_eq!(made(token, path, name).status, 201, "{name}");
        let again = made(token, path, name);
        assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")), "{name}");
        assert!(again.json()["initial_password"].is_string());
    }
    appliance.cli_ok(&["account", "role", "-w", "demo", "ada", "user"]);
    assert_eq!(appliance.with_token(&eva, "DELETE", &by_hand, None).status, 204);
    appliance.cli_ok(&["account", "role", "-w", "system", "olga", "user"]);
    for (token, path, name) in asked {
        let refused = made(token, path, name);
        assert_eq!((refused.status, refused.code().as_str()), (403, "forbidden"), "{name}");
        assert_eq!(refused.header("idempotency-replayed"), None);
    }
}

#[test]
fn a_refusal_that_depends_on_the_moment_is_not_repeated() {
    let appliance = Appliance::claimed();
    let token = appliance.signed_in("demo", "ada", "admin");
    let room = |key| ask(&appliance, &token, "POST", "/api/v1/rooms", key, &json!({ "name": "lobby" }));
    let first = room(("x-nothing", "x")).json()["id"].as_str().unwrap().to_owned();
    assert_eq!(room(KEY).code(), "room-name-taken");
    let path = format!("/api/v1/rooms/{first}");
    assert_eq!(appliance.with_token(&token, "DELETE", &path, None).status, 204);
    let made = room(KEY);
    assert_eq!((made.status, made.header("idempotency-replayed")), (201, None), "{}", made.text());
}

#[test]
fn a_refusal_quotes_little_of_what_was_sent() {
    let appliance = Appliance::claimed();
    let token = appliance.signed_in("demo", "ada", "admin");
    let long = "ä".repeat(20_000);
    for refused in [
        ask(&appliance, &token, "POST", ACCOUNTS, KEY, &json!({ long.as_str(): "" })),
        appliance.with_token(&token, "GET", &format!("{ACCOUNTS}?{}=1", "x".repeat(5_000)), None),
    ] {
        assert_eq!(refused.status, 400);
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!((1..=500).contains(&detail.chars().count()), "{detail}");
    }
}

#[test]
fn every_create_takes_a_key_also_of_the_local_operator() {
    let appliance = Appliance::claimed();
    let demo = appliance.workspace_id("demo");
    let below = format!("/api/v1/system/workspaces/{demo}");
    for (path, body) in [
        ("/api/v1/system/workspaces".to_owned(), json!({ "name": "acme" })),
        (format!("{below}/rooms"), json!({ "name": "lobby" })),
        (format!("{below}/accounts"), json!({ "user_name": "bob", "display_name": "Bob" })),
    ] {
        let ask = || Connection::unix(&appliance.admin_socket()).json("POST", &path, &[KEY], Some(&body));
        let (first, second) = (ask(), ask());
        assert_eq!((first.status, second.status), (201, 201), "{path}: {}", second.text());
        assert_eq!(second.header("idempotency-replayed"), Some("true"), "{path}");
        assert_eq!(first.json(), second.json(), "{path}");
    }
    // The same key and body in another workspace is another request.
    let acme = appliance.workspace_id("acme");
    let rooms = format!("/api/v1/system/workspaces/{acme}/rooms");
    let door = Connection::unix(&appliance.admin_socket());
    let made = door.json("POST", &rooms, &[KEY], Some(&json!({ "name": "lobby" })));
    assert_eq!((made.status, made.header("idempotency-replayed")), (201, None));
}

#[test]
fn a_create_goes_on_when_its_sender_is_gone_and_is_answered_to_who_comes_back() {
    // With the real cost of a password, so that there is time to go away.
    let appliance = Appliance::claimed_with(&[]);
    let token = appliance.signed_in("demo", "ada", "admin");
    for n in 0..20 {
        let (name, key) = (format!("bob-{n}"), format!("key-{n}"));
        let body = json!({ "user_name": name, "display_name": "Made" }).to_string();
        let mut sender = appliance.connect();
        let request = format!(
            "POST {ACCOUNTS} HTTP/1.1\r\nhost: localhost:{}\r\nauthorization: Bearer {token}\r\nidempotency-key: {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            appliance.address.port(),
            body.len()
        );
        sender.write(request.as_bytes()).unwrap();
        let again = || create(&appliance, &token, ("idempotency-key", &key), &name);
        let early = again();
        drop(sender);
        if early.status != 409 {
            // It was done before the second came, or came second: try with another.
            continue;
        }
        assert_eq!(early.code(), "idempotency-in-progress");
        assert!(early.header("retry-after").is_some());
        let deadline = Instant::now() + PATIENCE;
        let answer = loop {
            let answer = again();
            if answer.status != 409 {
                break answer;
            }
            assert!(Instant::now() < deadline, "{}", answer.text());
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!((answer.status, answer.header("idempotency-replayed")), (201, Some("true")), "{}", answer.text());
        assert!(answer.json()["initial_password"].is_string());
        return;
    }
    panic!("no request was ever under way when another came");
}

/// The tag of a resource, and what it is of.
fn tagged(answer: &Answer) -> (String, Value) {
    (answer.header("etag").unwrap_or_else(|| panic!("no ETag: {}", answer.text())).to_owned(), answer.json())
}

#[test]
fn a_change_of_what_somebody_else_changed_is_refused() {
    let appliance = Appliance::claimed();
    let token = appliance.signed_in("demo", "ada", "admin");
    let operator = appliance.signed_in("system", "olga", "admin");
    let account = create(&appliance, &token, ("x-nothing", "x"), "bob").json()["account"]["id"].clone();
    let room = ask(&appliance, &token, "POST", "/api/v1/rooms", ("x-nothing", "x"), &json!({ "name": "lobby" })).json();
    let account_path = format!("{ACCOUNTS}/{}", account.as_str().unwrap());
    let room_path = format!("/api/v1/rooms/{}", room["id"].as_str().unwrap());
    let demo = format!("/api/v1/system/workspaces/{}", appliance.workspace_id("demo"));
    for (token, path, one, other) in [
        (&token, account_path.as_str(), json!({ "display_name": "One" }), json!({ "voice_off": true })),
        (&token, &room_path, json!({ "policy": { "capacity": 7 } }), json!({ "policy": { "voice": false } })),
        (&token, "/api/v1/policy", json!({ "idle_hours": 21 }), json!({ "guests": false })),
        (&operator, &format!("{demo}/policy"), json!({ "idle_hours": 22 }), json!({ "guests": true })),
        (&operator, &demo, json!({ "seats": 50 }), json!({ "residency": "Graz" })),
        (&operator, "/api/v1/system/appliance", json!({ "residency": "Vienna" }), json!({ "voice": false })),
    ] {
        let ask = |method: &str, header, body: &Value| ask(&appliance, token, method, path, header, body);
        let (read, _) = tagged(&ask("GET", ("x-nothing", "x"), &Value::Null));
        let (changed, _) = tagged(&ask("PATCH", ("if-match", &read), &one));
        assert_ne!(changed, read, "{path}");
        let late = ask("PATCH", ("if-match", &read), &other);
        assert_eq!((late.status, late.code().as_str()), (412, "precondition-failed"), "{path}");
        let (now, shown) = tagged(&ask("GET", ("x-nothing", "x"), &Value::Null));
        assert_eq!(now, changed, "{path}: the answer of a change has the new tag, and nothing else was changed");
        // With the new tag, with any, and with none.
        for header in [("if-match", changed.as_str()), ("if-match", "*"), ("x-nothing", "x")] {
            let answer = ask("PATCH", header, &other);
            assert_eq!(answer.status, 200, "{path} {header:?}: {}", answer.text());
        }
        assert_ne!(tagged(&ask("GET", ("x-nothing", "x"), &Value::Null)), (now, shown));
    }
    // By hand and away, too.
    let by_hand = format!("{account_path}/permissions/room.moderate");
    let stale = ("if-match", "\"00000000000000000000000000000000\"");
    for (method, path) in [("PUT", &by_hand), ("DELETE", &by_hand), ("DELETE", &room_path)] {
        let refused = ask(&appliance, &token, method, path, stale, &Value::Null);
        assert_eq!((refused.status, refused.code().as_str()), (412, "precondition-failed"), "{method} {path}");
        assert_eq!(ask(&appliance, &token, method, path, ("if-match", "*"), &Value::Null).status, 204);
    }
}

#[test]
fn what_one_has_is_not_sent_again() {
    let appliance = Appliance::claimed();
    let token = appliance.signed_in("demo", "ada", "admin");
    let operator = appliance.signed_in("system", "olga", "admin");
    let id = create(&appliance, &token, ("x-nothing", "x"), "bob").json()["account"]["id"].clone();
    let path = format!("{ACCOUNTS}/{}", id.as_str().unwrap());
    for (token, path, change) in [
        (&token, path.as_str(), &["account", "role", "-w", "demo", "bob", "guest"][..]),
        (&token, "/api/v1/policy", &["policy", "set", "-w", "demo", "--idle-hours", "21"]),
        (&operator, "/api/v1/system/appliance", &["appliance", "set", "--voice", "off"]),
    ] {
        let (tag, _) = tagged(&ask(&appliance, token, "GET", path, ("x-nothing", "x"), &Value::Null));
        let again = || ask(&appliance, token, "GET", path, ("if-none-match", &tag), &Value::Null);
        let have = again();
        assert_eq!((have.status, have.body.len(), have.header("etag")), (304, 0, Some(tag.as_str())), "{path}");
        appliance.cli_ok(change);
        assert_eq!(again().status, 200, "{path}");
    }
    // What counts and states a workspace shows is not in its tag, so it is always sent.
    let demo = format!("/api/v1/system/workspaces/{}", appliance.workspace_id("demo"));
    let (tag, shown) = tagged(&ask(&appliance, &operator, "GET", &demo, ("x-nothing", "x"), &Value::Null));
    appliance.account("demo", "carl", "user");
    let again = ask(&appliance, &operator, "GET", &demo, ("if-none-match", &tag), &Value::Null);
    assert_eq!((again.status, again.header("etag")), (200, Some(tag.as_str())));
    assert_ne!(again.json()["accounts"], shown["accounts"]);
    // What one may not see is no more there with a tag.
    let user = appliance.signed_in("demo", "carol", "user");
    assert_eq!(ask(&appliance, &user, "GET", &path, ("if-none-match", "*"), &Value::Null).status, 403);
}

/// Walks all pages of a list; answers the names, and how many pages there were.
fn walk(appliance: &Appliance, path: &str, list: &str) -> (Vec<String>, usize) {
    let (mut names, mut pages, mut after) = (Vec::new(), 0, String::new());
    loop {
        let page = appliance.admin("GET", &format!("{path}?limit=2{after}"), None).json();
        let items = page[list].as_array().unwrap();
        assert!(items.len() <= 2, "{page}");
        names.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(next) = page["next"].as_str() else { return (names, pages) };
        after = format!("&after={next}");
    }
}

#[test]
fn lists_come_in_pages() {
    let appliance = Appliance::claimed();
    let names = ["a", "b", "c", "d", "e"].map(|name| format!("{name}-1"));
    let demo = appliance.workspace_id("demo");
    for name in &names {
        appliance.cli_ok(&["room", "create", "-w", "demo", name]);
        appliance.cli_ok(&["workspace", "create", name]);
    }
    let rooms = walk(&appliance, &format!("/api/v1/system/workspaces/{demo}/rooms"), "rooms");
    assert_eq!(rooms, (names.to_vec(), 3));
    let (workspaces, pages) = walk(&appliance, "/api/v1/system/workspaces", "workspaces");
    assert_eq!(workspaces, [&names[..4], &["demo".to_owned()], &names[4..]].concat());
    assert_eq!(pages, 3);
    // A page has no holes where a room would be that one may not enter.
    appliance.cli_ok(&["room", "set", "-w", "demo", "b-1", "--entry", "admin"]);
    let guest = appliance.signed_in("demo", "gil", "guest");
    let page = appliance.with_token(&guest, "GET", "/api/v1/rooms?limit=2", None).json();
    let shown: Vec<_> = page["rooms"].as_array().unwrap().iter().map(|room| room["name"].as_str().unwrap()).collect();
    assert_eq!((shown, page["next"].as_str()), (vec!["a-1", "c-1"], Some("c-1")));
}

#[test]
fn the_command_line_walks_all_pages() {
    let appliance = Appliance::claimed();
    let demo = appliance.workspace_id("demo");
    let mut door = Connection::unix(&appliance.admin_socket());
    for n in 0..203 {
        let path = format!("/api/v1/system/workspaces/{demo}/rooms");
        let made = door.exchange("POST", &path, Some(&json!({ "name": format!("room-{n:03}") }))).unwrap();
        assert_eq!(made.status, 201, "{}", made.text());
    }
    let list = appliance.cli_json(&["room", "list", "-w", "demo"]);
    assert_eq!(list["rooms"].as_array().unwrap().len(), 203);
    assert_eq!((&list["rooms"][202]["name"], list.get("next")), (&json!("room-202"), None));
}

/// An appliance that takes 15 requests at once of one caller, and one a second then.
fn strict() -> Appliance {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("conclave.toml");
    fs::write(&config, "[https]\nrequests_per_minute = 60\n").unwrap();
    let appliance = Appliance::start_in(dir, &["--test-cheap-passwords", "--config", config.to_str().unwrap()]);
    appliance.claim();
    appliance.cli_ok(&["workspace", "create", "demo"]);
    appliance
}

/// How many requests are left, as an answer says.
fn left(answer: &Answer) -> u32 {
    let said = answer.header("ratelimit").unwrap_or_else(|| panic!("{}: {}", answer.status, answer.text()));
    let said = said.strip_prefix("\"requests\";r=").and_then(|rest| rest.split(';').next());
    said.unwrap().parse().unwrap()
}

#[test]
fn one_caller_sends_so_many_requests_and_others_have_theirs() {
    let appliance = strict();
    let token = appliance.signed_in("demo", "ada", "admin");
    let mut stranger = appliance.connect();
    // What may be asked comes back with time.
    appliance.hold_now();
    let mut trust = || stranger.exchange("GET", "/api/v1/trust", None).unwrap();
    let mut answers = (0..500).map(|_| trust());
    let first = answers.next().unwrap();
    assert_eq!((first.status, first.header("ratelimit-policy")), (200, Some("\"requests\";q=15;w=15")));
    assert!(left(&first) < 15);
    let refused = answers.find(|answer| answer.status != 200).expect("a refusal");
    assert_eq!((refused.status, refused.code().as_str(), left(&refused)), (429, "rate-limited", 0));
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    // A session at the same address has its own, and root on the host is not counted.
    let me = appliance.with_token(&token, "GET", "/api/v1/me", None);
    assert_eq!((me.status, left(&me) > 0), (200, true), "{}", me.text());
    for _ in 0..40 {
        let status = appliance.admin("GET", "/api/v1/system/status", None);
        assert_eq!((status.status, status.header("ratelimit")), (200, None));
    }
    // A token that is none counts for the address.
    let forged = appliance.with_token("forged", "GET", "/api/v1/me", None);
    assert!([401, 429].contains(&forged.status) && left(&forged) == 0, "{}", forged.text());
}

#[test]
fn nothing_else_that_an_address_asks_keeps_people_from_signing_in() {
    let appliance = strict();
    let password = appliance.account("demo", "ada", "user");
    appliance.hold_now();
    let trust = || appliance.https("GET", "/api/v1/trust", &[], None);
    assert_eq!((0..16).map(|_| trust().status).max(), Some(429));
    assert_eq!(left(&appliance.https("GET", "/api/v1/sign-in", &[], None)), 14);
    let signed_in = appliance.try_sign_in("demo", "ada", &password);
    assert_eq!((signed_in.status, left(&signed_in)), (201, 13), "{}", signed_in.text());
    let refresh = json!({ "refresh_token": signed_in.json()["refresh_token"] });
    let refreshed = appliance.https("POST", "/api/v1/sessions/refresh", &[], Some(&refresh));
    assert_eq!((refreshed.status, left(&refreshed)), (200, 12), "{}", refreshed.text());
    // And the other way round: the door has its bounds too.
    assert_eq!((0..13).map(|_| appliance.https("GET", "/api/v1/sign-in", &[], None).status).max(), Some(429));
}

#[test]
fn a_refused_sign_in_costs_the_same_whether_or_not_there_is_such_an_account() {
    let appliance = Appliance::claimed();
    appliance.account("demo", "ada", "user");
    // Nothing comes back while the clock stands still.
    appliance.hold_now();
    for (name, still) in [("ada", 1_499), ("eva", 1_498)] {
        let refused = appliance.try_sign_in("demo", name, "certainly not it");
        assert_eq!(refused.status, 401, "{}", refused.text());
        assert_eq!(refused.header("ratelimit-policy"), Some("\"requests\";q=1500;w=15"));
        // The offer is asked for over the admin socket, which is not counted.
        assert_eq!(left(&refused), still, "{name}");
    }
}
