// SPDX-License-Identifier: AGPL-3.0-or-later
//! What people say, show and do arrives at the others as it was sent, over both carriers.

use std::fs;
use std::process::Command;

use conclave::client::carrier::Kind;
use conclave::client::incoming::Received;
use conclave::client::media::motion::generated;
use conclave::client::perform::{Again, Motion, Performance};
use conclave::platform::clock::Clock;
use conclave::wire::kid::Channel;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::harness::BINARY;
use crate::xr::hall::{Guest, Hall, becomes, media, pictures, settled, speech};

/// Frames in the order in which they were sealed.
fn in_order(mut frames: Vec<Received>) -> Vec<Vec<u8>> {
    frames.sort_by_key(|frame| (frame.kid.epoch, frame.counter));
    frames.into_iter().map(|frame| frame.bytes).collect()
}

/// What came of `sent` is of it, in its order, without change.
fn is_part_of(came: &[Vec<u8>], sent: &[Vec<u8>]) -> bool {
    let mut left = sent.iter();
    came.iter().all(|one| left.any(|other| other == one))
}

/// Frames that the relay knows to be missing at somebody: no room on its path, or lost on the way in.
fn known_missing(hall: &Hall, speaker: &Guest, listener: &Guest) -> u64 {
    hall.count(&speaker.name, "/lost") + hall.count(&listener.name, "/culled")
}

#[test]
fn speech_a_screen_events_and_poses_arrive_as_they_were_sent() {
    let hall = Hall::new(&[]);
    let ada = hall.enter("ada", Kind::Quic);
    let bob = hall.enter("bob", Kind::WebTransport);
    let cai = hall.enter("cai", Kind::Quic);
    settled(&[&ada, &bob, &cai]);

    let said: Vec<_> = speech(&media("speech.opus"));
    let packets: Vec<_> = said.iter().map(|one| one.packet.clone()).collect();
    let shown = pictures(&media("screen.ivf"));
    let gestures: Vec<_> = (0..30).map(|n| json!({ "gesture": "wave", "n": n }).to_string().into_bytes()).collect();
    let (sender, events) = mpsc::channel(64);
    for gesture in &gestures {
        sender.try_send(gesture.clone()).unwrap();
    }
    drop(sender);
    let (_, screen) = conclave::client::media::ivf::read(&media("screen.ivf")).unwrap();
    let all = Performance {
        voice: Some((said.clone(), Again::Once)),
        pose: None,
        events: Some(events),
        screen: Some((screen, Again::Once)),
    };
    let speaks = Performance { voice: Some((said, Again::Once)), ..Performance::default() };
    let clock = Clock::system();
    hall.runtime.block_on(async {
        tokio::join!(all.perform(&ada.participant, &clock), speaks.perform(&bob.participant, &clock));
    });

    // Streams lose nothing, so what is last comes last.
    for listener in [&bob, &cai] {
        becomes("all events and pictures are there", || {
            listener.count(ada.number(), Channel::Event) == gestures.len()
                && listener.count(ada.number(), Channel::Screen) == shown.len()
        });
        let came: Vec<_> = listener.from(&[ada.number()], Channel::Event).into_iter().map(|one| one.bytes).collect();
        assert_eq!(came, gestures, "{}", listener.name);
        assert!(came.iter().all(|event| serde_json::from_slice::<Value>(event).is_ok()));
        assert_eq!(in_order(listener.from(&[ada.number()], Channel::Screen)), shown, "{}", listener.name);
    }
    for (speaker, listener) in [(&ada, &bob), (&ada, &cai), (&bob, &ada), (&bob, &cai)] {
        let (from, of) = ([speaker.number()], packets.len() as u64);
        // A datagram is lost when the machine is too busy; then the relay has counted it.
        becomes("every packet is there or accounted for", || {
            listener.count(speaker.number(), Channel::Voice) as u64 + known_missing(&hall, speaker, listener) >= of
        });
        let heard = in_order(listener.from(&from, Channel::Voice));
        assert!(is_part_of(&heard, &packets), "{} heard other packets of {}", listener.name, speaker.name);
        assert!(heard.len() * 10 >= packets.len() * 9, "{} of {of} packets", heard.len());
    }
    assert_eq!(ada.count(ada.number(), Channel::Voice), 0, "nobody hears itself");
    for guest in [&ada, &bob, &cai] {
        assert_eq!(guest.participant.counters().unopened.load(std::sync::atomic::Ordering::Relaxed), 0);
        assert_eq!(hall.facts(&guest.name)["refusals"], json!({}), "{}", guest.name);
    }
    assert_eq!(hall.count("ada", "/channels/voice/frames_in") + hall.count("ada", "/lost"), packets.len() as u64);
    assert_eq!(hall.count("cai", "/channels/screen/frames_out"), shown.len() as u64);
}

#[test]
fn everybody_sees_everybody_move_and_only_the_newest_pose_counts() {
    let hall = Hall::new(&[]);
    let guests = [("ada", Kind::Quic), ("bob", Kind::WebTransport), ("cai", Kind::WebTransport)];
    let guests = guests.map(|(name, kind)| hall.enter(name, kind));
    settled(&guests.each_ref());
    let clock = Clock::system();
    let moves = |who| Performance { pose: Some(Motion::Generated { who }), ..Performance::default() };
    hall.runtime.block_on(async {
        let all = async {
            let [a, b, c] = guests.each_ref().map(|guest| &guest.participant);
            tokio::join!(moves(1).perform(a, &clock), moves(2).perform(b, &clock), moves(3).perform(c, &clock));
        };
        assert!(tokio::time::timeout(std::time::Duration::from_secs(2), all).await.is_err(), "they move for ever");
    });
    for mover in &guests {
        for watcher in guests.iter().filter(|one| one.name != mover.name) {
            becomes("poses are there", || watcher.count(mover.number(), Channel::Pose) > 0);
            let poses = watcher.from(&[mover.number()], Channel::Pose);
            assert!(poses.iter().all(|pose| pose.bytes.len() == generated(1, std::time::Duration::ZERO).len()));
            let newest_last = poses.windows(2).all(|two| two[0].counter < two[1].counter || two[0].kid != two[1].kid);
            assert!(newest_last, "an older pose came after a newer one");
            // Sent, and either delivered, replaced by a newer one, or without room.
            let (came, sent) = (poses.len() as u64, mover.participant.counters().sent(Channel::Pose));
            assert!(came <= sent, "{came} of {sent}");
        }
        let facts = hall.facts(&mover.name);
        assert!(facts["channels"]["pose"]["frames_in"].as_u64() > Some(0), "{facts}");
    }
}

#[test]
fn the_command_line_client_speaks_records_and_leaves() {
    let hall = Hall::new(&[]);
    let listener = hall.enter("ada", Kind::Quic);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("root.pem"), hall.appliance.root_pem()).unwrap();
    fs::write(path("events.jsonl"), "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n").unwrap();
    let start = |name: &str, carrier: &str, more: &[&str]| {
        let password = hall.appliance.account("demo", name, "user");
        let mut command = Command::new(BINARY);
        command.args(["client", "--json", "--server", &hall.appliance.origin(), "--root", &path("root.pem")]);
        command.args(["--workspace", "demo", "--user", name, "--room", "lobby", "--carrier", carrier]).args(more);
        command.env("CONCLAVE_PASSWORD", password).stdout(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    let (voice, screen) = (media("speech.opus"), media("screen.ivf"));
    let (voice, screen) = (voice.to_str().unwrap(), screen.to_str().unwrap());
    let events = path("events.jsonl");
    let hears = start("eve", "webtransport", &["--pose", "generated", "--record", &path("heard"), "--duration", "20s"]);
    becomes("eve is there", || hall.meeting()["participants"].as_array().unwrap().len() == 2);
    let speaks = start("bob", "quic", &["--voice", voice, "--events", &events, "--screen", screen]);

    let summary = |child: std::process::Child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let spoken = summary(speaks);
    let heard = summary(hears);
    assert_eq!((&spoken["ended"], &heard["ended"]), (&json!("LEFT"), &json!("LEFT")));
    let packets: Vec<_> = speech(&media("speech.opus")).into_iter().map(|one| one.packet).collect();
    assert_eq!(spoken["sent"]["voice"], json!(packets.len()));
    assert_eq!((&spoken["sent"]["event"], &heard["received"]["event"]), (&json!(3), &json!(3)));
    assert_eq!(heard["received"]["screen"], spoken["sent"]["screen"]);
    assert_eq!(heard["unopened"], json!(0));
    assert!(listener.heard(|heard| !heard.frames.is_empty()));

    // Playable, by a player that is not ours, and the same packets but for those that were lost.
    let recorded = |start: &str| {
        let files = fs::read_dir(path("heard")).unwrap().map(|entry| entry.unwrap().path());
        files.into_iter().find(|file| file.file_name().unwrap().to_str().unwrap().starts_with(start)).unwrap()
    };
    let file = recorded("voice-");
    let written: Vec<_> = speech(&file).into_iter().map(|one| one.packet).collect();
    assert_eq!(json!(written.len()), heard["received"]["voice"]);
    assert!(is_part_of(&written, &packets));
    let played = Command::new("opusdec").args(["--quiet", "--force-wav"]).arg(&file).arg(path("played.wav")).output();
    let played = played.expect("opusdec is there: `make setup-test` installs opus-tools");
    assert!(played.status.success(), "{played:?}");
    assert!(fs::metadata(path("played.wav")).unwrap().len() > 48_000, "there is sound in it");
    let (format, shown) = conclave::client::media::ivf::read(&recorded("screen-")).unwrap();
    assert_eq!((&format.codec, format.width, format.height), (b"VP80", 320, 180));
    assert_eq!(shown.into_iter().map(|one| one.data).collect::<Vec<_>>(), pictures(&media("screen.ivf")));
    let lines = fs::read_to_string(recorded("events")).unwrap();
    assert_eq!(lines.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count(), 3, "{lines}");
}
