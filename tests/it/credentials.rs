// SPDX-License-Identifier: AGPL-3.0-or-later
//! How a credential and a refresh token may travel: sealed, for this appliance, once; in a cookie, from our own page.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::Appliance;
use crate::harness::http::{Answer, seal};

const SESSIONS: &str = "/api/v1/sessions";
const REFRESH: &str = "/api/v1/sessions/refresh";
const COOKIE: &str = "__Host-conclave-refresh";

fn is(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
}

fn post(appliance: &Appliance, sealed: &Value) -> Answer {
    appliance.https("POST", SESSIONS, &[], Some(&json!({ "sealed": sealed })))
}

fn plain(appliance: &Appliance, workspace: &str, name: &str, password: &str) -> Answer {
    let plain = json!({ "workspace": workspace, "user_name": name, "password": password });
    appliance.https("POST", SESSIONS, &[], Some(&json!({ "plain": plain })))
}

#[test]
fn a_plain_credential_is_refused_as_a_wrong_one_until_the_workspace_allows_it() {
    let appliance = Appliance::start();
    let operator = appliance.claim();
    appliance.workspace("demo");
    appliance.workspace("other");
    let ada = appliance.account("demo", "ada", "user");
    let eve = appliance.account("other", "eve", "user");
    appliance.account("demo", "bob", "user");

    // One face for every reason, each with a name of its own: the second try of a name has to wait.
    let faces = [
        ("right, but plain", plain(&appliance, "demo", "ada", &ada)),
        ("right, but plain, for an operator", plain(&appliance, "system", "root-operator", &operator)),
        ("wrong password", appliance.try_sign_in("demo", "bob", "wrong")),
        ("unknown name", appliance.try_sign_in("demo", "nobody", "wrong")),
        ("unknown name, plain", plain(&appliance, "demo", "nobody.else", "wrong")),
        ("unknown workspace", appliance.try_sign_in("nowhere", "ada", &ada)),
        ("unknown workspace, plain", plain(&appliance, "nowhere", "bob", "wrong")),
    ];
    for (what, answer) in &faces {
        is(answer, 401, "sign-in-refused");
        assert_eq!(answer.face(), faces[0].1.face(), "{what}");
    }

    let set = |to: &str| appliance.cli_ok(&["policy", "set", "-w", "demo", "--plain-sign-in", to]);
    set("allow");
    appliance.advance(Duration::from_secs(1));
    assert_eq!(plain(&appliance, "demo", "ada", &ada).status, 201);
    // In this workspace and no other, and never for operators.
    is(&plain(&appliance, "other", "eve", &eve), 401, "sign-in-refused");
    is(&plain(&appliance, "system", "root-operator", &operator), 401, "sign-in-refused");
    set("refuse");
    is(&plain(&appliance, "demo", "ada", &ada), 401, "sign-in-refused");
    appliance.advance(Duration::from_secs(1));
    appliance.sign_in("demo", "ada", &ada);
}

#[test]
fn a_box_opens_for_its_origin_its_key_and_once() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "user");
    let credential = json!({ "workspace": "demo", "user_name": "ada", "password": password });
    let changed = |field: &str, to: Value| {
        let mut sealed = appliance.seal(&credential);
        sealed[field] = to;
        sealed
    };
    let port = appliance.address.port();
    for origin in [
        "https://evil.example".to_owned(),
        format!("https://evil.example:{port}"),
        format!("http://localhost:{port}"),
        format!("https://localhost:{}", port ^ 1),
        "https://localhost".to_owned(),
        format!("https://localhost:{port}.evil.example"),
        format!("https://evil@localhost:{port}"),
        format!("https://localhost:{port}/"),
        format!("localhost:{port}"),
        "null".to_owned(),
        String::new(),
    ] {
        is(&post(&appliance, &appliance.seal_for(&origin, &credential)), 400, "origin-unknown");
    }
    // An origin that is spoken to, and none of ours.
    let foreign = appliance.seal_for("https://evil.example", &credential);
    let body = serde_json::to_vec(&json!({ "sealed": foreign })).unwrap();
    let mut connection = appliance.connect();
    let head = format!(
        "POST {SESSIONS} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.write(&[head.as_bytes(), &body].concat()).unwrap();
    is(&connection.read().unwrap(), 400, "origin-unknown");

    // Sealed for another origin, then said to be for this one: the box itself knows.
    let mut moved = appliance.seal_for("https://evil.example", &credential);
    moved["origin"] = json!(appliance.origin());
    is(&post(&appliance, &moved), 400, "sealed-unreadable");
    is(&post(&appliance, &changed("ciphertext", json!("AAAA"))), 400, "sealed-unreadable");
    is(&post(&appliance, &changed("ciphertext", json!("A".repeat(20_000)))), 400, "sealed-unreadable");
    is(&post(&appliance, &changed("encapsulated_key", json!("AAAA"))), 400, "sealed-unreadable");
    let zero = URL_SAFE_NO_PAD.encode([0; 32]);
    is(&post(&appliance, &changed("encapsulated_key", json!(zero))), 400, "sealed-unreadable");

    let unknown = json!("0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11");
    is(&post(&appliance, &changed("key_id", unknown)), 409, "challenge-stale");
    // A box that says it is for another challenge does not open; one sealed to a challenge that we did not make does.
    is(&post(&appliance, &changed("challenge", json!("AAAA"))), 400, "sealed-unreadable");
    let mut offer = appliance.admin("GET", "/api/v1/sign-in", None).json();
    for invented in ["", "AAAA", &"A".repeat(75), &"A".repeat(2_000)] {
        offer["challenge"] = json!(invented);
        is(&post(&appliance, &seal(&offer, &appliance.origin(), &credential)), 409, "challenge-stale");
    }
    let late = appliance.seal(&credential);
    let used = appliance.seal(&credential);
    assert_eq!(post(&appliance, &used).status, 201);
    is(&post(&appliance, &used), 409, "challenge-stale");
    appliance.advance(Duration::from_millis(120_001));
    is(&post(&appliance, &late), 409, "challenge-stale");
    // None of them was a try: nobody has to wait.
    appliance.sign_in("demo", "ada", &password);
    assert_eq!(appliance.cli_json(&["session", "list", "-w", "demo", "ada"])["sessions"].as_array().unwrap().len(), 2);
}

/// Signs in with the cookie carrier; answers the grant and the cookie's value.
fn with_cookie(appliance: &Appliance, password: &str) -> (Value, String) {
    let sealed = appliance.seal(&json!({ "workspace": "demo", "user_name": "ada", "password": password }));
    let answer = appliance.https("POST", SESSIONS, &[], Some(&json!({ "sealed": sealed, "carrier": "cookie" })));
    assert_eq!(answer.status, 201, "{}", answer.text());
    (answer.json(), cookie_of(&answer))
}

fn cookie_of(answer: &Answer) -> String {
    let cookies: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "set-cookie").collect();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    let (pair, attributes) = cookies[0].1.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Strict");
    let (name, value) = pair.split_once('=').unwrap();
    assert_eq!(name, COOKIE);
    assert!(URL_SAFE_NO_PAD.decode(value).unwrap().len() >= 32 + 32, "{value}");
    value.to_owned()
}

#[test]
fn the_cookie_carries_the_refresh_token_and_nothing_else_does() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "user");
    let (grant, cookie) = with_cookie(&appliance, &password);
    assert!(grant.get("refresh_token").is_none(), "{grant}");
    assert_eq!(appliance.sign_in("demo", "ada", &password)["refresh_token"].as_str().map(str::is_empty), Some(false));

    let header = format!("theme=dark; {COOKIE}={cookie}");
    let origin = appliance.origin();
    let answer = appliance.https("POST", REFRESH, &[("cookie", &header), ("origin", &origin)], Some(&json!({})));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.json().get("refresh_token").is_none());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let next = cookie_of(&answer);
    assert_ne!(next, cookie);
    // What a cookie carried does not serve as a token of a program.
    is(&appliance.https("POST", REFRESH, &[], Some(&json!({ "refresh_token": next }))), 401, "session-ended");

    let (grant, _) = with_cookie(&appliance, &password);
    let token = grant["access_token"].as_str().unwrap();
    let out = appliance.with_token(token, "DELETE", "/api/v1/session", None);
    assert_eq!(out.status, 204);
    let cleared = "__Host-conclave-refresh=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict";
    assert_eq!(out.header("set-cookie"), Some(cleared));
}

#[test]
fn a_cookie_counts_only_from_our_own_page() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "user");
    let (_, cookie) = with_cookie(&appliance, &password);
    let header = format!("{COOKIE}={cookie}");
    let port = appliance.address.port();
    for origin in [
        "https://evil.example".to_owned(),
        format!("https://evil.example:{port}"),
        format!("http://localhost:{port}"),
        format!("https://localhost:{}", port ^ 1),
        "https://localhost".to_owned(),
        format!("https://localhost:{port}.evil.example"),
        format!("https://localhost:{port}/"),
        "null".to_owned(),
        String::new(),
    ] {
        let headers = [("cookie", header.as_str()), ("origin", origin.as_str())];
        is(&appliance.https("POST", REFRESH, &headers, Some(&json!({}))), 403, "cross-site");
    }
    is(&appliance.https("POST", REFRESH, &[("cookie", &header)], Some(&json!({}))), 403, "cross-site");
    let (origin, evil) = (appliance.origin(), "https://evil.example");
    let twice = [("cookie", header.as_str()), ("origin", evil), ("origin", &origin)];
    is(&appliance.https("POST", REFRESH, &twice, Some(&json!({}))), 403, "cross-site");
    // A form of another site cannot send JSON, and what it can send is not taken.
    let form = [("cookie", header.as_str()), ("origin", &origin), ("content-type", "text/plain")];
    is(&appliance.connect().raw("POST", REFRESH, &form, b"{}"), 415, "unsupported-media-type");
    let none = [("origin", origin.as_str())];
    is(&appliance.https("POST", REFRESH, &none, Some(&json!({}))), 401, "session-ended");
    for value in ["", "AAAA", "!!!", &"A".repeat(2_000)] {
        let header = format!("{COOKIE}={value}");
        let headers = [("cookie", header.as_str()), ("origin", &origin)];
        is(&appliance.https("POST", REFRESH, &headers, Some(&json!({}))), 401, "session-ended");
    }
    // After all that the session is as it was.
    let own = [("cookie", header.as_str()), ("origin", origin.as_str())];
    assert_eq!(appliance.https("POST", REFRESH, &own, Some(&json!({}))).status, 200);
}
