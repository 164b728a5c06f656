// SPDX-License-Identifier: AGPL-3.0-or-later
//! A clock that is a year ahead, or a year behind: while the appliance runs, and over a restart.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use conclave::client::carrier;
use conclave::wire::close::CloseCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::{doctor, id_of, nothing_is_lost, write};
use crate::harness::http::{self, Answer, Connection};
use crate::harness::{Appliance, PATIENCE};
use crate::xr::hall::Hall;
use crate::xr::hostile::knock;

/// In milliseconds.
const YEAR: i64 = 365 * 86_400_000;

/// A request of somebody who does not look at the certificate: its time is not theirs.
fn https(appliance: &Appliance, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    let connection = Connection::tls_with(appliance.address, "localhost", &http::insecure_client());
    connection.json(method, path, &headers, body)
}

fn sign_in(appliance: &Appliance, password: &str) -> Value {
    let sealed = appliance.seal(&json!({ "workspace": "demo", "user_name": "ada", "password": password }));
    let body = json!({ "sealed": sealed, "device_name": "test device" });
    let answer = https(appliance, "POST", "/api/v1/sessions", None, Some(&body));
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

fn text<'v>(grant: &'v Value, name: &str) -> &'v str {
    grant[name].as_str().unwrap()
}

/// What was granted a year before or after opens nothing.
fn is_over(appliance: &Appliance, grant: &Value, when: &str) {
    let me = https(appliance, "GET", "/api/v1/me", Some(text(grant, "access_token")), None);
    assert_eq!(me.status, 401, "{when}: {}", me.text());
    let body = json!({ "refresh_token": grant["refresh_token"] });
    let refreshed = https(appliance, "POST", "/api/v1/sessions/refresh", None, Some(&body));
    assert_eq!(refreshed.status, 401, "{when}: {}", refreshed.text());
}

/// Whether somebody whose clock is as far ahead, or behind, is content with the certificate.
fn is_trusted(appliance: &Appliance, ahead: i64) -> bool {
    let config = http::client_config_at(&appliance.root_pem(), ahead / 1_000);
    let mut connection = Connection::tls_with(appliance.address, "localhost", &config);
    connection.exchange("GET", "/healthz", None).is_some_and(|answer| answer.status == 200)
}

#[test]
fn a_clock_that_jumps_while_it_runs_ends_what_was_granted_and_loses_nothing() {
    let appliance = Appliance::claimed();
    let demo = appliance.workspace_id("demo");
    let password = appliance.account("demo", "ada", "admin");
    let mut names = vec!["ada".to_owned()];
    for (by, ahead) in [(YEAR, YEAR), (-2 * YEAR, -YEAR), (YEAR, 0)] {
        let when = format!("moved by {by} ms");
        let grant = sign_in(&appliance, &password);
        // The chain of the appliance ends with a record of now, which the doctor compares with.
        appliance.workspace(&format!("w{}", names.len()));
        appliance.shift(by);
        appliance.tick();
        let (state, says) = doctor(&appliance, "clock");
        assert_eq!(state, if by < 0 { "fail" } else { "ok" }, "{when}: {says}");
        assert!(by > 0 || (says.contains("set back") && says.contains("timedatectl")), "{when}: {says}");
        is_over(&appliance, &grant, &when);
        // Before there was a root nothing can be signed by it.
        assert!(ahead < 0 || is_trusted(&appliance, ahead), "{when}: the certificate does not hold");
        let name = format!("made-{}", names.len());
        id_of(&write(&appliance.admin_socket(), &demo, &name));
        names.push(name);
        let grant = sign_in(&appliance, &password);
        let me = https(&appliance, "GET", "/api/v1/me", Some(text(&grant, "access_token")), None);
        assert_eq!(me.status, 200, "{when}: {}", me.text());
        appliance.tick();
        nothing_is_lost(&appliance, &demo, &names);
    }
}

#[test]
fn a_clock_that_is_wrong_over_a_restart_stops_nobody() {
    let mut appliance = Appliance::claimed();
    let demo = appliance.workspace_id("demo");
    let password = appliance.account("demo", "ada", "admin");
    let mut names = vec!["ada".to_owned()];
    let mut before = 0;
    for (round, ahead) in [YEAR, 0, -YEAR, 0].into_iter().enumerate() {
        let when = format!("{before} ms ahead, then {ahead}");
        let grant = sign_in(&appliance, &password);
        appliance.workspace(&format!("w{round}"));
        if round % 2 == 0 {
            appliance.kill();
        } else {
            appliance.stop_well();
        }
        appliance.restart_with(&["--test-cheap-passwords", "--test-clock-offset", &ahead.to_string()]);
        let (state, says) = doctor(&appliance, "clock");
        assert_eq!(state, if ahead < before { "fail" } else { "ok" }, "{when}: {says}");
        is_over(&appliance, &grant, &when);
        assert!(ahead < 0 || is_trusted(&appliance, ahead), "{when}: the certificate does not hold");
        let name = format!("made-{round}");
        id_of(&write(&appliance.admin_socket(), &demo, &name));
        names.push(name);
        sign_in(&appliance, &password);
        appliance.tick();
        nothing_is_lost(&appliance, &demo, &names);
        before = ahead;
    }
}

#[test]
fn a_ticket_of_another_year_opens_no_door() {
    const KEY: [u8; 32] = [9; 32];
    let hall = Hall::new(&[]);
    let appliance = &hall.appliance;
    let password = appliance.account("demo", "ada", "user");
    let ticket = || {
        let grant = sign_in(appliance, &password);
        let token = Some(text(&grant, "access_token"));
        let rooms = https(appliance, "GET", "/api/v1/rooms?name=lobby", token, None).json();
        let path = format!("/api/v1/rooms/{}/tickets", rooms["rooms"][0]["id"].as_str().unwrap());
        let body = json!({ "key_thumbprint": URL_SAFE_NO_PAD.encode(Sha256::digest(KEY)) });
        let answer = https(appliance, "POST", &path, token, Some(&body));
        assert_eq!(answer.status, 201, "{}", answer.text());
        text(&answer.json(), "ticket").to_owned()
    };
    for by in [YEAR, -YEAR] {
        appliance.shift(by);
        let ticket = ticket();
        appliance.shift(-by);
        hall.runtime.block_on(async {
            let (session, _send, _receive) = knock(&hall, &ticket, KEY).await;
            timeout(PATIENCE, session.closed()).await.expect("it is refused");
            assert_eq!(carrier::ending(&session).to_string(), CloseCode::TicketRefused.meaning(), "{by}");
        });
    }
    let ticket = ticket();
    hall.runtime.block_on(async {
        let (_session, _send, mut receive) = knock(&hall, &ticket, KEY).await;
        let told = timeout(PATIENCE, receive.read_chunk(1, true)).await.expect("a ticket of now joins");
        assert!(told.unwrap().is_some());
    });
}

#[test]
fn a_setup_code_holds_an_hour_whatever_the_clock_does() {
    let appliance = Appliance::start();
    let code = appliance.cli_json(&["setup", "code"])["code"].as_str().unwrap().to_owned();
    let try_it = |code: &str| {
        let body = json!({ "code": code, "names": ["localhost"], "networks": ["127.0.0.0/8"] });
        let answer = Connection::tls_with(appliance.address, "localhost", &http::insecure_client());
        answer.json("PUT", "/api/v1/setup/scope", &[], Some(&body))
    };
    for by in [YEAR, -2 * YEAR] {
        appliance.shift(by);
        let answer = try_it(&code);
        assert_eq!((answer.status, answer.code().as_str()), (403, "setup-code-void"), "{by}");
    }
    let fresh = appliance.cli_json(&["setup", "code"])["code"].as_str().unwrap().to_owned();
    let answer = try_it(&fresh);
    assert_eq!(answer.status, 200, "{}", answer.text());
}
