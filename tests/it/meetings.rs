// SPDX-License-Identifier: AGPL-3.0-or-later
//! Live meetings over the API and the command line: what moderators see and do, and what ends a stay. People come over
//! raw QUIC, with the control stream and nothing else.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use conclave::core::auth::ticket::KeyThumbprint;
use conclave::core::keys::boxes::MeetingKeyPair;
use conclave::platform::entropy;
use conclave::platform::pki::tls;
use conclave::wire::close::CloseCode;
use conclave::wire::control::schema::client_message::Body as Said;
use conclave::wire::control::schema::server_message::Body as Told;
use conclave::wire::control::schema::{ClientMessage, Join, SetSelf};
use conclave::wire::control::{self, Splitter};
use conclave::wire::stream::StreamKind;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::harness::http::{self, Answer};
use crate::harness::{Appliance, PATIENCE};

/// A claimed appliance with the room `lobby`, people with tokens, and a way to the relay.
struct Scene {
    appliance: Appliance,
    runtime: Runtime,
    endpoint: Endpoint,
    room: String,
}

/// Somebody with a session.
struct Person {
    token: String,
    key: [u8; 32],
}

/// Somebody at the relay.
struct Carrier {
    connection: Connection,
    send: SendStream,
    recv: RecvStream,
    splitter: Splitter,
}

impl Scene {
    fn new(policy: &[&str]) -> Self {
        let appliance = Appliance::claimed();
        let made = appliance.cli_json(&[&["room", "create", "-w", "demo", "lobby"], policy].concat());
        let room = format!("/api/v1/rooms/{}", made["id"].as_str().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let endpoint = runtime.block_on(async {
            let mut endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
            endpoint.set_default_client_config(quic(&appliance.root_pem()));
            endpoint
        });
        Self { appliance, runtime, endpoint, room }
    }

    fn person(&self, name: &str, role: &str) -> Person {
        let key = MeetingKeyPair::generate(&mut entropy::system()).public_key();
        Person { token: self.appliance.signed_in("demo", name, role), key }
    }

    fn ask(&self, who: &Person, method: &str, path: &str) -> Answer {
        self.appliance.with_token(&who.token, method, path, None)
    }

    fn ticket(&self, who: &Person) -> String {
        let print = serde_json::to_value(KeyThumbprint::of(&who.key)).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(print.as_str().unwrap()).unwrap().len(), 32);
        let path = format!("{}/tickets", self.room);
        let answer = self.appliance.with_token(&who.token, "POST", &path, Some(&json!({ "key_thumbprint": print })));
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["ticket"].as_str().unwrap().to_owned()
    }

    /// Shows a ticket to the relay.
    fn join_with(&self, who: &Person, ticket: String) -> Carrier {
        self.runtime.block_on(async {
            let connection = self.endpoint.connect(self.appliance.address, "localhost").unwrap().await.unwrap();
            let (send, recv) = connection.open_bi().await.unwrap();
            let mut carrier = Carrier { connection, send, recv, splitter: Splitter::default() };
            carrier.send.write_all(&[StreamKind::Control.number()]).await.unwrap();
            carrier.say(Said::Join(Join { version: 1, ticket, key: who.key.to_vec(), avatar: Vec::new() })).await;
            carrier
        })
    }

    fn join(&self, who: &Person) -> Carrier {
        self.join_with(who, self.ticket(who))
    }

    /// Joins and is let in; answers the participant number.
    fn enter(&self, who: &Person) -> (Carrier, u64) {
        let mut carrier = self.join(who);
        let number = self.welcomed(&mut carrier);
        (carrier, number)
    }

    fn welcomed(&self, carrier: &mut Carrier) -> u64 {
        self.until(carrier, |told| match told {
            Told::Welcome(welcome) => Some(u64::from(welcome.participant)),
            _ => None,
        })
    }

    /// Reads on until what is looked for is told.
    fn until<T>(&self, carrier: &mut Carrier, look: impl Fn(&Told) -> Option<T>) -> T {
        let read = async {
            loop {
                let told = carrier.next().await.expect("the carrier lives");
                if let Some(found) = look(&told) {
                    return found;
                }
            }
        };
        self.runtime.block_on(async { timeout(PATIENCE, read).await.expect("it is told in time") })
    }

    /// How the appliance ends a carrier.
    fn end_of(&self, carrier: &Carrier) -> CloseCode {
        let closed = self.runtime.block_on(async { timeout(PATIENCE, carrier.connection.closed()).await.unwrap() });
        let ConnectionError::ApplicationClosed(closed) = closed else { panic!("{closed}") };
        CloseCode::from_number(closed.error_code.into_inner().try_into().unwrap()).unwrap()
    }

    fn meeting(&self) -> Value {
        self.appliance.cli_json(&["meeting", "show", "-w", "demo", "lobby"])
    }

    fn act(&self, arguments: &[&str]) {
        self.appliance.cli_ok(&[&["meeting", arguments[0], "-w", "demo", "lobby"], &arguments[1..]].concat());
    }

    /// Looks again until something holds: the relay is told beside the API.
    fn becomes(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "it does not come about: {what}");
            // The carriers live on meanwhile.
            self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(5)).await });
        }
    }
}

impl Carrier {
    async fn say(&mut self, said: Said) {
        self.send.write_all(&control::encode(&ClientMessage::from(said)).unwrap()).await.unwrap();
    }

    async fn next(&mut self) -> Option<Told> {
        loop {
            while let Some(message) = self.splitter.take().unwrap() {
                if let Some(told) = control::decode_server(&message).unwrap() {
                    return Some(told);
                }
            }
            let chunk = self.recv.read_chunk(4_096, true).await.ok()??;
            self.splitter.push(&chunk.bytes);
        }
    }
}

fn quic(root_pem: &str) -> ClientConfig {
    let mut config = rustls::ClientConfig::clone(&http::client_config(root_pem));
    config.alpn_protocols = vec![tls::ALPN_UDP[0].to_vec()];
    let crypto = QuicClientConfig::with_initial(Arc::new(config), tls::quic_initial_suite().unwrap()).unwrap();
    ClientConfig::new(Arc::new(crypto))
}

fn actions(appliance: &Appliance, count: usize) -> Vec<String> {
    let audit = appliance.cli_json(&["audit", "list", "-w", "demo", "-n", &count.to_string()]);
    let text =
        |record: &Value| format!("{} {}", record["action"].as_str().unwrap(), record["target"].as_str().unwrap());
    audit["records"].as_array().unwrap().iter().map(text).collect()
}

#[test]
fn a_moderator_sees_who_is_there_and_a_power_user_no_admins_account() {
    let scene = Scene::new(&[]);
    let (ada, bob, pat) =
        (scene.person("ada", "admin"), scene.person("bob", "user"), scene.person("pat", "power_user"));
    let (_ada, first) = scene.enter(&ada);
    let (mut bobs, second) = scene.enter(&bob);
    scene.runtime.block_on(bobs.say(Said::SetSelf(SetSelf { muted: true })));
    scene.becomes("bob is muted", || scene.meeting()["participants"][1]["muted"] == true);

    let meeting = scene.meeting();
    let [one, two] = &meeting["participants"].as_array().unwrap()[..] else { panic!("{meeting}") };
    assert_eq!((&one["number"], &one["account"]["user_name"]), (&json!(first), &json!("ada")));
    assert_eq!((&two["number"], &two["account"]["user_name"]), (&json!(second), &json!("bob")));
    assert_eq!((&one["moderator"], &two["moderator"]), (&json!(true), &json!(false)));
    assert_eq!((&one["carrier"], &one["silenced"]), (&json!("quic"), &json!(false)));
    assert!(one["rtt_micros"].as_u64().is_some_and(|micros| micros < 1_000_000), "{one}");

    let path = format!("/api/v1/meetings/{}", meeting["id"].as_str().unwrap());
    let seen = scene.ask(&pat, "GET", &path);
    let there = seen.json()["participants"].clone();
    assert_eq!((&there[0]["display_name"], there[0].get("account")), (&json!("ada"), None));
    assert_eq!(there[1]["account"]["user_name"], "bob");
    assert!(!seen.text().contains(one["account"]["id"].as_str().unwrap()), "{}", seen.text());
    assert_eq!(scene.ask(&bob, "GET", &path).status, 403);
    let room = scene.ask(&bob, "GET", &scene.room).json();
    assert_eq!(room["live"], json!({ "participants": 2, "meeting": meeting["id"] }));
    assert_eq!(
        room["participants"],
        json!([
            { "display_name": "ada", "muted": false, "silenced": false },
            { "display_name": "bob", "muted": true, "silenced": false },
        ])
    );
    let text = scene.appliance.cli_ok(&["meeting", "show", "-w", "demo", "lobby"]);
    assert!(text.contains("NO  NAME") && text.contains("moderator  on") && text.contains("muted"), "{text}");
    assert!(scene.appliance.cli_ok(&["meeting", "list", "-w", "demo"]).contains("lobby  2      0        open"));

    // Another workspace's moderator finds none of it.
    scene.appliance.workspace("elsewhere");
    let elsewhere = scene.appliance.signed_in("elsewhere", "eve", "admin");
    let crossed = |method, rest: &str| scene.appliance.with_token(&elsewhere, method, &format!("{path}{rest}"), None);
    for (method, rest) in [("GET", ""), ("GET", "/ledger"), ("DELETE", ""), ("PUT", "/lock"), ("PUT", "/mute")] {
        assert_eq!(crossed(method, rest).status, 404, "{method} {rest}");
    }
    assert_eq!(crossed("DELETE", &format!("/participants/{first}")).status, 404);
    // Nor does one here whose role may not enter the room.
    let for_admins = json!({ "policy": { "entry": "admin" } });
    assert_eq!(scene.appliance.with_token(&ada.token, "PATCH", &scene.room, Some(&for_admins)).status, 200);
    assert_eq!(scene.ask(&pat, "GET", &path).status, 404);
    assert_eq!(scene.ask(&pat, "GET", "/api/v1/meetings").json()["meetings"], json!([]));
    assert_eq!(scene.ask(&ada, "GET", "/api/v1/meetings").json()["meetings"].as_array().unwrap().len(), 1);
}

#[test]
fn what_a_moderator_does_is_done_and_on_record() {
    let scene = Scene::new(&[]);
    let (ada, bob, eve) = (scene.person("ada", "admin"), scene.person("bob", "user"), scene.person("eve", "user"));
    let (adas, first) = scene.enter(&ada);
    let (bobs, second) = scene.enter(&bob);
    let silenced = |place: usize| scene.meeting()["participants"][place]["silenced"] == true;
    let number = second.to_string();

    scene.act(&["mute", &number]);
    scene.becomes("bob is silenced", || silenced(1) && !silenced(0));
    scene.act(&["unmute", &number]);
    scene.becomes("bob may be heard", || !silenced(1));
    scene.act(&["mute-all"]);
    scene.becomes("all are silenced", || silenced(1));
    scene.act(&["lock"]);
    assert_eq!(scene.meeting()["locked"], true);
    assert_eq!(scene.end_of(&scene.join(&eve)), CloseCode::RoomLocked);
    scene.act(&["unlock"]);
    let (eves, _) = scene.enter(&eve);
    scene.act(&["rotate"]);
    let ledger = || scene.appliance.cli_json(&["meeting", "ledger", "-w", "demo", "lobby"])["lines"].clone();
    let demanded = |line: &Value| line["fate"] == "announced" && line["reasons"].to_string().contains("demand");
    scene.becomes("keys change on demand", || ledger().as_array().unwrap().iter().any(demanded));
    assert!(scene.appliance.cli_ok(&["meeting", "ledger", "-w", "demo", "lobby"]).contains("announced"));
    scene.act(&["kick", &number]);
    assert_eq!(scene.end_of(&bobs), CloseCode::Kicked);
    scene.becomes("bob is gone", || scene.meeting()["participants"].as_array().unwrap().len() == 2);
    let again = scene.appliance.cli(&["meeting", "kick", "-w", "demo", "lobby", &number]);
    assert_eq!(again.status.code(), Some(1));

    let id = scene.meeting()["id"].as_str().unwrap().to_owned();
    let on_bob = format!("meeting:{id}/participant:{number}");
    let records: Vec<_> = actions(&scene.appliance, 9).into_iter().filter(|one| one.starts_with("meeting.")).collect();
    assert_eq!(records[0], format!("meeting.kick {on_bob}"));
    assert!(records.contains(&format!("meeting.mute {on_bob}")), "{records:?}");
    assert!(records.contains(&format!("meeting.lock meeting:{id}")), "{records:?}");
    assert_eq!(records.iter().filter(|one| one.starts_with("meeting.kick")).count(), 1, "{records:?}");

    assert_eq!(first, scene.meeting()["participants"][0]["number"].as_u64().unwrap());
    scene.act(&["end"]);
    assert_eq!(scene.end_of(&adas), CloseCode::Ended);
    assert_eq!(scene.end_of(&eves), CloseCode::Ended);
    scene.becomes("the meeting is over", || {
        scene.appliance.cli_json(&["meeting", "list", "-w", "demo"])["meetings"] == json!([])
    });
}

#[test]
fn who_waits_in_the_lobby_is_let_in_or_sent_away() {
    let scene = Scene::new(&["--lobby", "everyone"]);
    let (ada, bob, eve) = (scene.person("ada", "admin"), scene.person("bob", "user"), scene.person("eve", "user"));
    let (_ada, _) = scene.enter(&ada);
    let mut waiters = [scene.join(&bob), scene.join(&eve)];
    for waiter in &mut waiters {
        scene.until(waiter, |told| matches!(told, Told::Waiting(_)).then_some(()));
    }
    let waiting = scene.meeting()["waiting"].clone();
    let number = |name: &str| {
        let found = waiting.as_array().unwrap().iter().find(|waiter| waiter["account"]["user_name"] == name);
        found.unwrap()["number"].to_string()
    };
    assert!(scene.appliance.cli_ok(&["meeting", "show", "-w", "demo", "lobby"]).contains("In the lobby"));
    scene.act(&["admit", &number("bob")]);
    scene.welcomed(&mut waiters[0]);
    scene.act(&["turn-away", &number("eve")]);
    assert_eq!(scene.end_of(&waiters[1]), CloseCode::TurnedAway);
    assert_eq!(scene.appliance.cli(&["meeting", "admit", "-w", "demo", "lobby", "77"]).status.code(), Some(1));
}

#[test]
fn a_ticket_joins_once_and_not_when_what_it_says_does_not_hold_any_more() {
    let scene = Scene::new(&[]);
    let bob = scene.person("bob", "user");
    let refused = |ticket: String| scene.end_of(&scene.join_with(&bob, ticket));
    let used = scene.ticket(&bob);
    let mut carrier = scene.join_with(&bob, used.clone());
    scene.welcomed(&mut carrier);
    assert_eq!(refused(used), CloseCode::TicketRefused);
    assert_eq!(refused(bob.token.clone()), CloseCode::TicketRefused);

    let stale = scene.ticket(&bob);
    scene.appliance.cli_ok(&["room", "set", "-w", "demo", "lobby", "--lobby", "everyone"]);
    assert_eq!(refused(stale), CloseCode::TicketRefused);
    let stale = scene.ticket(&bob);
    scene.appliance.cli_ok(&["account", "set", "-w", "demo", "bob", "--voice", "off"]);
    assert_eq!(refused(stale), CloseCode::TicketRefused);
    // A new name voids nothing.
    let good = scene.ticket(&bob);
    scene.appliance.cli_ok(&["room", "set", "-w", "demo", "lobby", "--rename", "hall"]);
    let mut carrier = scene.join_with(&bob, good);
    scene.until(&mut carrier, |told| matches!(told, Told::Waiting(_)).then_some(()));
    let stale = scene.ticket(&bob);
    scene.appliance.cli_ok(&["room", "delete", "-w", "demo", "hall"]);
    assert_eq!(refused(stale), CloseCode::TicketRefused);
}

#[test]
fn a_stay_ends_with_the_session_the_account_the_role_or_the_room() {
    let scene = Scene::new(&[]);
    let cli = |arguments: &[&str]| scene.appliance.cli_ok(arguments);
    let names = ["ada", "bob", "cai", "dee", "eve"];
    let people = names.map(|name| scene.person(name, "power_user"));
    let carriers = [0, 1, 2, 3, 4].map(|place| scene.enter(&people[place]).0);

    cli(&["account", "set", "-w", "demo", "eve", "--voice", "off"]);
    scene.becomes("eve is silenced", || scene.meeting()["participants"][4]["silenced"] == true);
    cli(&["session", "revoke", "-w", "demo", "ada", "--all"]);
    assert_eq!(scene.end_of(&carriers[0]), CloseCode::SessionEnded);
    assert_eq!(scene.ask(&people[1], "DELETE", "/api/v1/session").status, 204);
    assert_eq!(scene.end_of(&carriers[1]), CloseCode::SessionEnded);
    cli(&["account", "disable", "-w", "demo", "cai"]);
    assert_eq!(scene.end_of(&carriers[2]), CloseCode::SessionEnded);
    cli(&["account", "role", "-w", "demo", "dee", "guest"]);
    assert_eq!(scene.end_of(&carriers[3]), CloseCode::Changed);
    // With what its role is now, it may come again.
    let (back, _) = scene.enter(&people[3]);
    assert_eq!(scene.meeting()["participants"][1]["moderator"], false);
    cli(&["room", "delete", "-w", "demo", "lobby"]);
    assert_eq!(scene.end_of(&carriers[4]), CloseCode::Ended);
    assert_eq!(scene.end_of(&back), CloseCode::Ended);
}
