// SPDX-License-Identifier: AGPL-3.0-or-later
//! What moderators and admins decide, decided at the relay: a client that does not obey is not heard.

use conclave::client::ClientError;
use conclave::client::carrier::Kind;
use conclave::wire::close::CloseCode;
use conclave::wire::control::schema::{Answer, moderate::Action};
use conclave::wire::frame::AudioLevel;
use conclave::wire::kid::Channel;
use serde_json::Value;

use crate::xr::hall::{Guest, Hall, becomes, settled};

/// Speaks until the relay has taken or refused so many frames, as its facts say.
fn speaks_until(hall: &Hall, speaker: &Guest, pointer: &str, more: u64) {
    let goal = hall.count(&speaker.name, pointer) + more;
    becomes(pointer, || {
        let _ = speaker.participant.send_voice(AudioLevel::SILENCE, b"can you hear me");
        hall.count(&speaker.name, pointer) >= goal
    });
}

/// Somebody is heard; then something is done, and it is not; then it is undone.
fn silences(hall: &Hall, speaker: &Guest, listener: &Guest, off: &dyn Fn(), on: &dyn Fn()) {
    let heard = || listener.count(speaker.number(), Channel::Voice);
    let hears_more = |than: usize| {
        becomes("the voice is heard", || {
            let _ = speaker.participant.send_voice(AudioLevel::SILENCE, b"can you hear me");
            heard() > than
        });
    };
    hears_more(heard());
    off();
    becomes("it is silenced", || hall.facts(&speaker.name)["silenced"] == true);
    becomes("it is told", || speaker.heard(|heard| heard.policy.silenced || !heard.policy.voice));
    // What was on its way when it was silenced arrives or is gone; an event that is sent later comes later.
    let flushed = listener.count(speaker.number(), Channel::Event);
    becomes("an event is taken", || speaker.participant.send_event(b"a mark").is_ok());
    becomes("the mark is there", || listener.count(speaker.number(), Channel::Event) > flushed);
    std::thread::sleep(std::time::Duration::from_millis(200));
    let before = heard();
    speaks_until(hall, speaker, "/refusals/silenced", 20);
    assert_eq!(heard(), before, "a silenced voice was forwarded");
    on();
    becomes("it may speak", || hall.facts(&speaker.name)["silenced"] == false);
    hears_more(before);
}

#[test]
fn a_voice_that_is_off_is_not_forwarded_whoever_switched_it_off() {
    let hall = Hall::new(&[]);
    let ada = hall.enter_as("ada", "admin", Kind::Quic);
    let bob = hall.enter("bob", Kind::WebTransport);
    settled(&[&ada, &bob]);
    let number = bob.number().0.to_string();
    let cli = |arguments: &[&str]| drop(hall.appliance.cli_ok(arguments));

    silences(&hall, &bob, &ada, &|| hall.act(&["mute", &number]), &|| hall.act(&["unmute", &number]));
    silences(&hall, &bob, &ada, &|| ada.participant.moderate(1, Action::MuteAll(Default::default())).unwrap(), &|| {
        ada.participant.moderate(2, Action::Unmute(u32::from(bob.number().0))).unwrap()
    });
    becomes("outcomes are told", || ada.heard(|heard| heard.outcomes.len() == 2));
    assert!(ada.heard(|heard| heard.outcomes.values().all(|answer| *answer == i32::from(Answer::Done))));
    silences(&hall, &bob, &ada, &|| cli(&["account", "set", "-w", "demo", "bob", "--voice", "off"]), &|| {
        cli(&["account", "set", "-w", "demo", "bob", "--voice", "on"])
    });
    silences(&hall, &bob, &ada, &|| cli(&["room", "set", "-w", "demo", "lobby", "--voice", "refuse"]), &|| {
        cli(&["room", "set", "-w", "demo", "lobby", "--voice", "allow"])
    });
}

#[test]
fn who_may_not_moderate_changes_nothing() {
    let hall = Hall::new(&[]);
    let (ada, bob) = (hall.enter("ada", Kind::Quic), hall.enter("bob", Kind::Quic));
    let at = u32::from(ada.number().0);
    let wishes = [
        Action::Mute(at),
        Action::MuteAll(Default::default()),
        Action::Kick(at),
        Action::Lock(true),
        Action::Rotate(Default::default()),
    ];
    for (request, wish) in (1_u32..).zip(wishes) {
        bob.participant.moderate(request, wish).unwrap();
        becomes("it is answered", || bob.heard(|heard| heard.outcomes.contains_key(&request)));
        assert_eq!(bob.heard(|heard| heard.outcomes[&request]), i32::from(Answer::NotPermitted), "{request}");
    }
    let meeting = hall.meeting();
    assert_eq!((&meeting["locked"], hall.facts("ada")["silenced"].as_bool()), (&false.into(), Some(false)));
    assert_eq!(meeting["participants"].as_array().unwrap().len(), 2);
    assert_eq!(ada.ended(), None);
    assert_eq!(on_record(&hall), Vec::<Value>::new());
}

/// What the audit says of moderators, the latest first.
fn on_record(hall: &Hall) -> Vec<Value> {
    let audit = hall.appliance.cli_json(&["audit", "list", "-w", "demo"]);
    let records = audit["records"].as_array().unwrap().iter();
    records.filter(|record| record["action"].as_str().unwrap().starts_with("meeting.")).cloned().collect()
}

#[test]
fn who_is_sent_away_hears_why_over_either_carrier_and_from_wherever_it_is_done() {
    let hall = Hall::new(&[]);
    let ada = hall.enter_as("ada", "admin", Kind::Quic);
    for (number, kind) in (0..).zip([Kind::Quic, Kind::WebTransport]) {
        let out = |guest: &Guest, code| becomes("it hears why", || guest.ended() == Some(code));
        let bob = hall.enter(&format!("bob-{number}"), kind);
        ada.participant.kick(number, bob.number()).unwrap();
        out(&bob, CloseCode::Kicked);
        let cai = hall.enter(&format!("cai-{number}"), kind);
        hall.act(&["kick", &cai.number().0.to_string()]);
        out(&cai, CloseCode::Kicked);
        let dee = hall.enter(&format!("dee-{number}"), kind);
        hall.appliance.cli_ok(&["session", "revoke", "-w", "demo", &dee.name, "--all"]);
        out(&dee, CloseCode::SessionEnded);
    }
    let eve = hall.enter("eve", Kind::WebTransport);
    hall.appliance.cli_ok(&["room", "delete", "-w", "demo", "lobby"]);
    becomes("it hears why", || eve.ended() == Some(CloseCode::Ended));
}

#[test]
fn who_was_removed_is_out_and_is_handed_nothing_more() {
    let hall = Hall::new(&[]);
    let ada = hall.enter_as("ada", "admin", Kind::Quic);
    let (bob, eve) = (hall.enter("bob", Kind::WebTransport), hall.enter("eve", Kind::Quic));
    settled(&[&ada, &bob, &eve]);
    let old = ada.participant.epoch().unwrap();
    ada.participant.kick(1, eve.number()).unwrap();
    becomes("eve is out", || eve.ended() == Some(CloseCode::Kicked));
    let (meeting, number) = (hall.meeting(), eve.number());
    let [record] = &on_record(&hall)[..] else { panic!("{:?}", on_record(&hall)) };
    assert_eq!(record["action"], "meeting.kick");
    assert_eq!(record["target"], format!("meeting:{}/participant:{number}", meeting["id"].as_str().unwrap()));
    let account = hall.facts("ada")["account"]["id"].as_str().unwrap().to_owned();
    assert_eq!(record["actor"], format!("account:{account}"));
    let last = eve.heard(|heard| heard.frames.len());
    becomes("keys change without her", || {
        let _ = ada.participant.send_voice(AudioLevel::SILENCE, b"she is gone");
        let epochs = [&ada, &bob].map(|guest| guest.participant.epoch());
        epochs.iter().all(|epoch| *epoch > Some(old))
    });
    becomes("the others hear each other", || {
        let _ = bob.participant.send_voice(AudioLevel::SILENCE, b"she is gone");
        ada.count(bob.number(), Channel::Voice) > 0
    });
    assert_eq!(eve.heard(|heard| heard.frames.len()), last);
    assert!(eve.heard(|heard| heard.epochs.iter().all(|epoch| *epoch <= old)), "a key came after the removal");
    // The meeting is locked, and she has a session still.
    hall.act(&["lock"]);
    let account = hall.account(&hall.credential("eva", "user"));
    let refused = hall.try_join("eva", account, Kind::Quic);
    assert!(matches!(refused, Err(ClientError::Closed(CloseCode::RoomLocked))));
    hall.act(&["end"]);
    becomes("it is over", || ada.ended() == Some(CloseCode::Ended) && bob.ended() == Some(CloseCode::Ended));
}
