// SPDX-License-Identifier: AGPL-3.0-or-later
//! Rooms and tickets: who sees a room, what a ticket grants, and what voids or refuses one.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use conclave::core::room::policy::RoomPolicy;
use conclave::platform::clock::Clock;
use conclave::platform::entropy;
use conclave::platform::store::files::Layout;
use conclave::platform::store::rooms::{self, ROOMS_MAX, Room};
use conclave::platform::store::{Limits, Store};
use conclave::values::id::RoomId;
use serde_json::{Value, json};

use crate::harness::Appliance;
use crate::harness::http::Answer;

const ROOMS: &str = "/api/v1/rooms";
const NOBODY: &str = "0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11";

/// A claimed appliance, and somebody of each role signed in to `demo`.
struct Scene {
    appliance: Appliance,
    tokens: Vec<(&'static str, String)>,
}

impl Scene {
    fn new() -> Self {
        let appliance = Appliance::claimed();
        let roles = ["guest", "user", "power_user", "admin"];
        let tokens = roles.map(|role| (role, appliance.signed_in("demo", role, role))).into();
        Self { appliance, tokens }
    }

    fn ask(&self, who: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let (_, token) = self.tokens.iter().find(|(name, _)| *name == who).unwrap();
        self.appliance.with_token(token, method, path, body)
    }

    /// Makes a room; answers its path.
    fn room(&self, name: &str, policy: Value) -> String {
        let made = self.ask("admin", "POST", ROOMS, Some(&json!({ "name": name, "policy": policy })));
        assert_eq!(made.status, 201, "{}", made.text());
        format!("{ROOMS}/{}", made.json()["id"].as_str().unwrap())
    }

    fn ticket(&self, who: &str, room: &str) -> Answer {
        self.ask(who, "POST", &format!("{room}/tickets"), Some(&thumbprint()))
    }

    /// What the ticket of somebody grants.
    fn grant(&self, who: &str, room: &str) -> Value {
        claims(&self.ticket(who, room))["grant"].clone()
    }
}

fn thumbprint() -> Value {
    json!({ "key_thumbprint": URL_SAFE_NO_PAD.encode([7; 32]) })
}

fn part(answer: &Answer, index: usize) -> Value {
    assert_eq!(answer.status, 201, "{}", answer.text());
    let ticket = answer.json()["ticket"].as_str().unwrap().to_owned();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(ticket.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

fn claims(answer: &Answer) -> Value {
    part(answer, 1)
}

fn is(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
}

#[test]
fn a_rooms_policy_decides_who_gets_which_ticket() {
    let scene = Scene::new();
    let grant = |voice, screen, moderate, lobby| json!({ "voice": voice, "voice_off": false, "screen": screen, "moderate": moderate, "lobby": lobby });
    let open = scene.room("open", json!({}));
    assert_eq!(scene.grant("guest", &open), grant(false, false, false, false));
    assert_eq!(scene.grant("user", &open), grant(true, true, false, false));
    assert_eq!(scene.grant("power_user", &open), grant(true, true, true, false));

    let guarded = scene.room("guarded", json!({ "entry": "user", "lobby": "everyone" }));
    is(&scene.ticket("guest", &guarded), 404, "not-found");
    assert_eq!(scene.grant("user", &guarded), grant(true, true, false, true));
    assert_eq!(scene.grant("admin", &guarded), grant(true, true, true, false));
    // Who may not enter sees none.
    is(&scene.ask("guest", "GET", &guarded, None), 404, "not-found");
    let seen = |who: &str| scene.ask(who, "GET", ROOMS, None).json()["rooms"].as_array().unwrap().len();
    assert_eq!((seen("guest"), seen("user")), (1, 2));
    let named = |who: &str, name: &str| scene.ask(who, "GET", &format!("{ROOMS}?name={name}"), None).face();
    assert_eq!(named("guest", "guarded"), named("guest", "nowhere"));

    let guests_wait = json!({ "policy": { "lobby": "guests" } });
    assert_eq!(scene.ask("power_user", "PATCH", &open, Some(&guests_wait)).status, 200);
    assert_eq!(scene.grant("guest", &open), grant(false, false, false, true));
    assert_eq!(scene.grant("user", &open), grant(true, true, false, false));
}

#[test]
fn an_account_whose_voice_is_off_says_so_in_its_tickets_until_it_is_on_again() {
    let scene = Scene::new();
    let room = scene.room("lobby", json!({}));
    let set = |to: &str| scene.appliance.cli_json(&["account", "set", "-w", "demo", "user", "--voice", to]);
    assert_eq!(scene.grant("user", &room)["voice_off"], false);
    assert_eq!(set("off")["voice_off"], true);
    assert_eq!(scene.grant("user", &room)["voice_off"], true);
    assert_eq!(scene.grant("admin", &room)["voice_off"], false);
    assert!(scene.appliance.cli_ok(&["account", "show", "-w", "demo", "user"]).contains("Voice         off"));
    assert_eq!(set("on")["voice_off"], false);
    assert_eq!(scene.grant("user", &room)["voice_off"], false);
    let audit = scene.appliance.cli_ok(&["audit", "list", "-w", "demo", "-n", "2"]);
    assert!(audit.contains("voice off") && audit.contains("voice on"), "{audit}");
}

#[test]
fn a_ticket_says_what_the_document_says() {
    let scene = Scene::new();
    let room = scene.room("lobby", json!({}));
    let answer = scene.ticket("user", &room);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let (body, claims, header) = (answer.json(), claims(&answer), part(&answer, 0));
    let port = scene.appliance.address.port();
    assert_eq!(body["carriers"]["quic"], format!("localhost:{port}"));
    assert_eq!(body["carriers"]["webtransport"], format!("https://localhost:{port}/xr/v1"));
    let trust = scene.appliance.admin("GET", "/api/v1/trust", None).json();
    assert_eq!(body["certificate_hashes"], trust["udp_certificate_hashes"]);
    assert_eq!(body["room"], json!({ "id": room.strip_prefix("/api/v1/rooms/").unwrap(), "name": "lobby" }));

    let names: Vec<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["aud", "exp", "grant", "iat", "iss", "jkt", "jti", "name", "room", "sid", "sub", "wid"]);
    let demo = scene.appliance.workspace_id("demo");
    assert_eq!(header, json!({ "typ": "JWT", "alg": "HS512", "kid": format!("{demo}.1") }));
    let me = scene.ask("user", "GET", "/api/v1/me", None).json();
    let sessions = scene.ask("user", "GET", "/api/v1/me/sessions", None).json();
    let status = scene.appliance.cli_json(&["status"]);
    assert_eq!(claims["iss"], format!("conclave:{}", status["appliance"].as_str().unwrap()));
    for (claim, expected) in [
        ("aud", json!("conclave:relay")),
        ("sub", me["id"].clone()),
        ("wid", json!(demo)),
        ("sid", sessions["sessions"][0]["id"].clone()),
        ("room", body["room"]["id"].clone()),
        ("jkt", thumbprint()["key_thumbprint"].clone()),
        ("name", me["display_name"].clone()),
    ] {
        assert_eq!(claims[claim], expected, "{claim}");
    }
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
    assert_ne!(claims["jti"], self::claims(&scene.ticket("user", &room))["jti"]);
    // It is no access token.
    let ticket = body["ticket"].as_str().unwrap();
    is(&scene.appliance.with_token(ticket, "GET", "/api/v1/me", None), 401, "unauthenticated");
}

#[test]
fn a_ticket_is_asked_for_with_the_print_of_one_key_and_nothing_else() {
    let scene = Scene::new();
    let path = format!("{}/tickets", scene.room("lobby", json!({})));
    for bad in [
        json!({}),
        json!({ "key_thumbprint": "" }),
        json!({ "key_thumbprint": URL_SAFE_NO_PAD.encode([7; 31]) }),
        json!({ "key_thumbprint": URL_SAFE_NO_PAD.encode([7; 33]) }),
        json!({ "key_thumbprint": format!("{}=", URL_SAFE_NO_PAD.encode([7; 32])) }),
        json!({ "key_thumbprint": URL_SAFE_NO_PAD.encode([7; 32]), "grant": { "moderate": true } }),
    ] {
        is(&scene.ask("user", "POST", &path, Some(&bad)), 400, "invalid-body");
    }
}

#[test]
fn a_session_that_was_begun_with_a_plain_password_gets_no_ticket() {
    let scene = Scene::new();
    let room = scene.room("lobby", json!({}));
    let appliance = &scene.appliance;
    let password = appliance.account("demo", "script", "user");
    appliance.cli_ok(&["policy", "set", "-w", "demo", "--plain-sign-in", "allow"]);
    let plain = json!({ "workspace": "demo", "user_name": "script", "password": password });
    let granted = appliance.https("POST", "/api/v1/sessions", &[], Some(&json!({ "plain": plain }))).json();
    let path = format!("{room}/tickets");
    let ask = |grant: &Value| {
        appliance.with_token(grant["access_token"].as_str().unwrap(), "POST", &path, Some(&thumbprint()))
    };
    is(&ask(&granted), 409, "sealed-session-required");
    // The control: the same account, sealed; also after a refresh and a restart of nothing but its tokens.
    let sealed = appliance.sign_in("demo", "script", &password);
    assert_eq!(ask(&sealed).status, 201);
    let refresh = json!({ "refresh_token": sealed["refresh_token"] });
    let refreshed = appliance.https("POST", "/api/v1/sessions/refresh", &[], Some(&refresh)).json();
    assert_eq!(ask(&refreshed).status, 201);
}

#[test]
fn tickets_end_with_their_session_and_their_account() {
    let scene = Scene::new();
    let room = scene.room("lobby", json!({}));
    assert_eq!(scene.ticket("user", &room).status, 201);
    scene.appliance.cli_ok(&["session", "revoke", "-w", "demo", "user", "--all"]);
    is(&scene.ticket("user", &room), 401, "unauthenticated");
    scene.appliance.cli_ok(&["account", "disable", "-w", "demo", "guest"]);
    is(&scene.ticket("guest", &room), 401, "unauthenticated");
    scene.appliance.advance(Duration::from_secs(700));
    is(&scene.ticket("admin", &room), 401, "unauthenticated");
}

#[test]
fn another_workspaces_room_answers_like_an_absent_one() {
    let scene = Scene::new();
    let room = scene.room("lobby", json!({}));
    let absent = format!("{ROOMS}/{NOBODY}");
    scene.appliance.workspace("elsewhere");
    let elsewhere = scene.appliance.signed_in("elsewhere", "admin", "admin");
    let ask = |method, path: &str, body: Option<&Value>| scene.appliance.with_token(&elsewhere, method, path, body);
    let rename = json!({ "name": "mine" });
    for (method, rest, body) in [
        ("GET", "", None),
        ("PATCH", "", Some(&rename)),
        ("DELETE", "", None),
        ("POST", "/tickets", Some(&thumbprint())),
    ] {
        let theirs = ask(method, &format!("{room}{rest}"), body);
        assert_eq!(theirs.status, 404);
        assert_eq!(theirs.face(), ask(method, &format!("{absent}{rest}"), body).face(), "{method} {rest}");
    }
    let named = |name: &str| ask("GET", &format!("{ROOMS}?name={name}"), None).face();
    assert_eq!(named("lobby"), named("nowhere"));
    // The same name is free there, and nothing happened here.
    assert_eq!(ask("POST", ROOMS, Some(&json!({ "name": "lobby" }))).status, 201);
    assert_eq!(scene.ask("guest", "GET", &room, None).json()["name"], "lobby");
}

#[test]
fn a_room_is_renamed_changed_and_deleted_within_its_bounds() {
    let scene = Scene::new();
    let (room, other) =
        (scene.room("lobby", json!({})), scene.room("stage", json!({ "capacity": 2, "sensors": true })));
    let ask = |who: &str, method: &str, path: &str, body: Value| scene.ask(who, method, path, Some(&body));
    is(&ask("admin", "POST", ROOMS, json!({ "name": "LOBBY" })), 409, "room-name-taken");
    is(&ask("admin", "PATCH", &other, json!({ "name": "lobby" })), 409, "room-name-taken");
    for policy in [
        json!({ "capacity": 0 }),
        json!({ "capacity": 501 }),
        json!({ "capacity": -1 }),
        json!({ "voices": 501 }),
        json!({ "rotation_seconds": 4 }),
        json!({ "rotation_seconds": 301 }),
        json!({ "entry": "king" }),
        json!({ "lobby": "sometimes" }),
        json!({ "colour": "red" }),
    ] {
        is(&ask("admin", "PATCH", &room, json!({ "policy": policy })), 400, "invalid-body");
    }
    for name in ["", "a", "-a", "two words", "über", &"x".repeat(64)] {
        is(&ask("admin", "POST", ROOMS, json!({ "name": name })), 400, "invalid-body");
    }
    // Nobody shuts itself out, or others out of what they could not undo.
    let for_admins = json!({ "policy": { "entry": "admin" } });
    is(&ask("power_user", "PATCH", &room, for_admins.clone()), 403, "forbidden");
    is(&ask("user", "PATCH", &room, for_admins.clone()), 403, "forbidden");
    assert_eq!(ask("admin", "PATCH", &other, for_admins).status, 200);
    for (method, body) in [("GET", None), ("PATCH", Some(json!({}))), ("DELETE", None)] {
        is(&scene.ask("power_user", method, &other, body.as_ref()), 404, "not-found");
    }

    let changed = ask("power_user", "PATCH", &room, json!({ "name": "hall", "policy": { "voice": false } })).json();
    assert_eq!((&changed["name"], &changed["policy"]["voice"]), (&json!("hall"), &json!(false)));
    assert_eq!(changed["policy"]["capacity"], 100, "the rest stays");
    assert_eq!(scene.ask("guest", "GET", &room, None).json(), changed);
    assert_eq!(scene.ask("power_user", "DELETE", &room, None).status, 204);
    is(&scene.ask("admin", "GET", &room, None), 404, "not-found");
    is(&scene.ticket("admin", &room), 404, "not-found");
    is(&scene.ask("power_user", "DELETE", &room, None), 404, "not-found");

    let audit = scene.appliance.cli_json(&["audit", "list", "-w", "demo"]);
    let told: Vec<_> = audit["records"].as_array().unwrap().iter().take(4).map(|record| &record["action"]).collect();
    assert_eq!(told, ["room.delete", "room.update", "room.update", "room.create"]);
}

#[test]
fn a_workspace_has_a_thousand_rooms_at_most_and_the_operators_have_none() {
    let mut appliance = Appliance::claimed();
    let id = appliance.workspace_id("demo");
    appliance.stop_well();
    fill(&appliance, &id, ROOMS_MAX - 1);
    appliance.restart();
    let path = format!("/api/v1/system/workspaces/{id}/rooms");
    let create = |name: &str| appliance.admin("POST", &path, Some(&json!({ "name": name })));
    assert_eq!(create("last").status, 201);
    is(&create("one-more"), 409, "too-many-rooms");
    assert_eq!(appliance.cli_json(&["room", "list", "-w", "demo"])["rooms"].as_array().unwrap().len(), 1_000);
    appliance.cli_ok(&["room", "delete", "-w", "demo", "last"]);
    assert_eq!(create("one-more").status, 201);
    let refused = appliance.cli(&["room", "create", "-w", "system", "lobby"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("has no rooms"));
}

/// Puts rooms into a workspace's file while nothing runs on it.
fn fill(appliance: &Appliance, workspace: &str, count: u64) {
    let id = workspace.parse().unwrap();
    let now = Clock::system().now();
    let room = |number: u64| Room {
        id: RoomId::random(&mut entropy::system()),
        name: format!("room-{number}").parse().unwrap(),
        policy: RoomPolicy::default(),
        created_at: now,
    };
    let all: Vec<Room> = (0..count).map(room).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(Layout::new(appliance.data_dir(), None), Limits { open_workspaces: 4 }).unwrap();
        let workspace = store.workspace(id).await.unwrap();
        let write = workspace.write(move |write| {
            for room in &all {
                rooms::insert(write, room)?.unwrap();
            }
            Ok(())
        });
        write.await.unwrap();
    });
}

#[test]
fn the_command_line_does_what_the_api_does_with_rooms_and_meetings() {
    let appliance = Appliance::claimed();
    let failed = |arguments: &[&str], expected: &str| {
        let output = appliance.cli(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    };
    assert!(appliance.cli_ok(&["room", "list", "-w", "demo"]).contains("conclave room create --workspace demo"));
    let create = ["room", "create", "-w", "demo", "stage", "--voice", "refuse", "--screen-share", "refuse"];
    let more = ["--sensors", "allow", "--capacity", "7", "--entry", "user", "--lobby", "guests", "--voices", "0"];
    let made = appliance.cli_json(&[&create[..], &more[..], &["--rotation", "60"]].concat());
    let policy = json!({
        "voice": false, "screen_share": false, "sensors": true, "capacity": 7, "entry": "user", "lobby": "guests",
        "voices": 0, "rotation_seconds": 60,
    });
    assert_eq!((&made["policy"], &made["live"]), (&policy, &json!({ "participants": 0 })));
    assert_eq!(appliance.cli_json(&["room", "show", "-w", "demo", "stage"]), made);
    let list = appliance.cli_ok(&["room", "list", "-w", "demo"]);
    assert!(list.starts_with("NAME   THERE   ENTRY  LOBBY   VOICE    SCREEN SHARE"), "{list}");
    assert!(list.contains("stage  0 of 7  user   guests  refused  refused"), "{list}");
    let set = ["room", "set", "-w", "demo", "stage", "--rename", "hall", "--voice", "allow", "--entry", "guest"];
    let changed = appliance.cli_ok(&set);
    for line in ["Name          hall", "Voice         allowed", "Voices        all", "Keys change   every 60 s"] {
        assert!(changed.contains(line), "{line}\n{changed}");
    }
    failed(&["room", "show", "-w", "demo", "stage"], "conclave room list --workspace demo");
    failed(&["room", "set", "-w", "demo", "hall", "--capacity", "0"], "`policy.capacity` is 1 to 500");

    assert_eq!(appliance.cli_ok(&["meeting", "list", "-w", "demo"]), "Nobody is meeting.\n");
    assert_eq!(appliance.cli_json(&["meeting", "list", "-w", "demo"]), json!({ "meetings": [] }));
    for command in ["show", "ledger", "mute-all", "lock", "unlock", "rotate", "end"] {
        failed(&["meeting", command, "-w", "demo", "hall"], "nobody is in room hall");
        failed(&["meeting", command, "-w", "demo", NOBODY], "not-found");
    }
    for command in ["kick", "mute", "unmute", "admit", "turn-away"] {
        failed(&["meeting", command, "-w", "demo", "hall", "1"], "nobody is in room hall");
        failed(&["meeting", command, "-w", "demo", NOBODY, "1"], "not-found");
    }
    assert_eq!(appliance.cli_json(&["room", "delete", "-w", "demo", "hall"])["deleted"], true);
    failed(&["room", "delete", "-w", "demo", "hall"], "there is no room \"hall\"");
}
