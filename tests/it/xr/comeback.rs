// SPDX-License-Identifier: AGPL-3.0-or-later
//! Carriers are lost and appliances start again: people come back by themselves.

use std::sync::atomic::Ordering;

use conclave::client::ClientError;
use conclave::client::carrier::Kind;
use conclave::client::incoming::Entry;
use conclave::wire::close::CloseCode;
use conclave::wire::frame::AudioLevel;
use conclave::wire::kid::Channel;

use crate::xr::hall::{Guest, Hall, becomes, settled};

/// Says something until it is heard: the carrier may be on its way back.
fn is_heard(speaker: &Guest, listener: &Guest, what: &[u8]) {
    becomes("a word is heard", || {
        let _ = speaker.participant.send_voice(AudioLevel::SILENCE, what);
        let heard = listener.from(&[speaker.number()], Channel::Voice);
        heard.iter().any(|one| one.bytes == what)
    });
}

#[test]
fn who_loses_its_carrier_is_back_in_its_place_and_misses_no_event() {
    for kind in [Kind::Quic, Kind::WebTransport] {
        let hall = Hall::new(&[]);
        let (ada, bob) = (hall.enter("ada", kind), hall.enter("bob", Kind::Quic));
        settled(&[&ada, &bob]);
        let (first, sender) = (ada.number(), bob.number());
        is_heard(&ada, &bob, b"before");

        let mut said = 0_u32;
        let mut say = || {
            let sent = bob.participant.send_event(&said.to_be_bytes());
            said += u32::from(sent.is_ok());
        };
        (0..10).for_each(|_| say());
        becomes("ada hears events", || ada.count(sender, Channel::Event) >= 5);
        ada.participant.lose_carrier().unwrap();
        assert!(matches!(ada.participant.send_pose(b"pose"), Ok(()) | Err(ClientError::Lost)));
        (0..10).for_each(|_| say());
        becomes("ada is back", || ada.heard(|heard| heard.entries.len() == 2));
        (0..5).for_each(|_| say());

        let (entry, second) = ada.heard(|heard| heard.entries[1]);
        assert_eq!(entry, Entry::Resumed);
        assert_ne!(first, second, "a carrier has a number of its own, so no nonce is used twice");
        assert_eq!(ada.participant.counters().resumed.load(Ordering::Relaxed), 1);
        becomes("every event is there", || ada.count(sender, Channel::Event) as u32 == said);
        let events: Vec<_> = ada.from(&[sender], Channel::Event).into_iter().map(|one| one.bytes).collect();
        let expected: Vec<_> = (0..said).map(|n| n.to_be_bytes().to_vec()).collect();
        assert_eq!(events, expected, "each once, in order");
        is_heard(&ada, &bob, b"after");
        is_heard(&bob, &ada, b"back");
        let replaced = (u32::from(first.0), u32::from(second.0));
        let told = bob.heard(|heard| {
            let all = heard.rosters.iter().flat_map(|roster| &roster.replaced);
            all.filter(|one| (one.old, one.new) == replaced).count()
        });
        assert_eq!(told, 1);
        assert_eq!(hall.meeting()["participants"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn an_appliance_that_starts_again_finds_everybody_joined_again() {
    let mut hall = Hall::new(&[]);
    let (ada, bob) = (hall.enter("ada", Kind::Quic), hall.enter("bob", Kind::WebTransport));
    settled(&[&ada, &bob]);
    is_heard(&ada, &bob, b"before");
    for (round, kill) in [(1, false), (2, true)] {
        if kill {
            hall.appliance.kill()
        } else {
            hall.appliance.stop_well()
        }
        hall.appliance.restart_where_it_was();
        for guest in [&ada, &bob] {
            becomes("everybody is back", || guest.heard(|heard| heard.entries.len() == round + 1));
            let entry = guest.heard(|heard| heard.entries.last().unwrap().0);
            assert_eq!(entry, Entry::Again, "{} after round {round}", guest.name);
            // Who is told that it stops comes back when it was told to; who is not finds out.
            let said = (!kill).then_some(CloseCode::Draining);
            guest.heard(|heard| assert_eq!(heard.lost.last(), Some(&said), "{}", guest.name));
        }
        let word = format!("after {round}");
        is_heard(&ada, &bob, word.as_bytes());
        is_heard(&bob, &ada, word.as_bytes());
    }
    assert_eq!(ada.participant.counters().rejoined.load(Ordering::Relaxed), 2);
}
