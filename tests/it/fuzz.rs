// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the fuzz targets of `tests/fuzz` are given, on a stable compiler: their corpus, and changes of it.
//!
//! `CONCLAVE_WRITE_CORPUS=1` writes the corpus anew. What a fuzzer found is put beside it as a file of any name, and stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use conclave::values::id::MeetingId;
use conclave::wire::control::schema::client_message::Body as Said;
use conclave::wire::control::schema::server_message::Body as Told;
use conclave::wire::control::schema::{
    Announce, ClientMessage, Join, Member, Moderate, Roster, ServerMessage, SetInterest, moderate,
};
use conclave::wire::datagram::{DATAGRAM_MAX, Tick, Writer};
use conclave::wire::frame::{AudioLevel, Clear, Frame, FrameSealer};
use conclave::wire::header::Header;
use conclave::wire::kid::{Channel, Epoch, Kid, Participant};
use conclave::wire::stream::{EventRecord, push_event_downstream, push_event_upstream};
use conclave::wire::{control, datagram, frame, header, kid, sframe, stream};

use crate::harness::{self, Random};

/// Changes of each file of the corpus.
const CHANGES: u64 = 2_000;

/// A decoder, and what it is given.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 7] = [
    ("control", control::exercise),
    ("datagram", datagram::exercise),
    ("frame", frame::exercise),
    ("header", header::exercise),
    ("kid", kid::exercise),
    ("sframe", sframe::exercise),
    ("stream", stream::exercise),
];

fn folder() -> PathBuf {
    harness::repository().join("tests/fuzz")
}

fn sealed(channel: Channel, plain: &[u8]) -> Vec<u8> {
    let kid = Kid { epoch: Epoch(7), participant: Participant(258), channel };
    let mut sealer = FrameSealer::derive(&[1; 32], MeetingId::from_bytes([2; 16]), kid).unwrap();
    let clear = match channel {
        Channel::Voice => Clear::Level(AudioLevel::SILENCE),
        _ => Clear::Nothing,
    };
    let mut out = vec![0; plain.len() + 64];
    let written = sealer.seal(clear, plain, &mut out).unwrap();
    out.truncate(written);
    out
}

/// Something of each kind that is right.
fn seeds() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let frames = Channel::ALL.map(|channel| sealed(channel, b"what somebody says"));
    let [pose, voice, event, screen] = &frames;
    let mut buffer = [0; DATAGRAM_MAX];
    let packed = |mut writer: Writer<'_>| {
        writer.push(pose).unwrap();
        writer.push(voice).unwrap();
        writer.finish().unwrap().to_vec()
    };
    let upstream = packed(Writer::upstream(&mut buffer, DATAGRAM_MAX));
    let downstream = packed(Writer::downstream(&mut buffer, DATAGRAM_MAX, Tick(9)).unwrap());

    let said = EventRecord::Event(Frame::decode(event).unwrap());
    let (mut up, mut down) = (Vec::new(), Vec::new());
    push_event_upstream(&mut up, EventRecord::Barrier(None, Epoch(7))).unwrap();
    push_event_upstream(&mut up, said).unwrap();
    push_event_downstream(&mut down, 41, said).unwrap();
    push_event_downstream(&mut down, 42, EventRecord::Barrier(Some(Participant(258)), Epoch(8))).unwrap();
    let picture = [&u32::try_from(screen.len()).unwrap().to_be_bytes()[..], screen].concat();

    let join = Join { version: 1, ticket: "a ticket".to_owned(), key: vec![3; 32], avatar: vec![4; 8] };
    let kick = Moderate { request: 5, action: Some(moderate::Action::Kick(258)) };
    let interest = SetInterest { default_rate: 2, named: Vec::new(), pinned: vec![1, 2, 3] };
    let client = [Said::Join(join), Said::Moderate(kick), Said::SetInterest(interest)]
        .map(|body| control::encode(&ClientMessage::from(body)).unwrap());
    let member = Member { participant: 258, display_name: "Ada".to_owned(), ..Member::default() };
    let roster = Roster { joined: vec![member], ..Roster::default() };
    let announce = Announce { epoch: 8, sealed_secret: vec![6; 48], participant: 258 };
    let server = [Told::Roster(roster), Told::Announce(announce)]
        .map(|body| control::encode(&ServerMessage::from(body)).unwrap());

    let headers = [(0, 0), (7, 8), (8, 300), (u64::MAX, u64::MAX)]
        .map(|(kid, counter)| Header { kid, counter }.encode().as_bytes().to_vec());
    let kids = Channel::ALL.map(|channel| {
        let kid = Kid { epoch: Epoch(u32::MAX), participant: Participant(258), channel };
        u64::from(kid).to_be_bytes().to_vec()
    });
    BTreeMap::from([
        ("control", vec![client.concat(), server.concat()]),
        ("datagram", vec![upstream, downstream]),
        ("frame", frames.to_vec()),
        ("header", headers.to_vec()),
        ("kid", kids.to_vec()),
        ("sframe", frames.to_vec()),
        ("stream", vec![up, down, picture]),
    ])
}

/// The files of a target's corpus.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = folder().join("corpus").join(target);
    let files = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}

/// The same bytes, a little different.
fn changed(bytes: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = usize::try_from(random.below(u64::try_from(bytes.len()).unwrap() + 1)).unwrap();
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.draw().to_be_bytes()[0]),
            2 => bytes.extend_from_slice(other.get(at..).unwrap_or_default()),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            4 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][usize::try_from(random.below(5)).unwrap()],
            _ if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
    bytes
}

#[test]
fn every_target_takes_its_corpus_and_changes_of_it() {
    let mut random = Random::seeded("fuzz");
    for (name, exercise) in TARGETS {
        let corpus = corpus(name);
        for (place, bytes) in corpus.iter().enumerate() {
            exercise(bytes);
            let other = &corpus[(place + 1) % corpus.len()];
            for _ in 0..CHANGES {
                exercise(&changed(bytes, other, &mut random));
            }
        }
    }
}

#[test]
fn the_corpus_has_something_of_each_kind_that_is_right() {
    for (name, seeds) in seeds() {
        let directory = folder().join("corpus").join(name);
        for (number, bytes) in seeds.into_iter().enumerate() {
            let file = directory.join(format!("right-{number}"));
            if std::env::var_os("CONCLAVE_WRITE_CORPUS").is_some() {
                fs::create_dir_all(&directory).unwrap();
                fs::write(&file, &bytes).unwrap();
            }
            assert!(fs::read(&file).is_ok_and(|found| found == bytes), "{} is not what is sent", file.display());
        }
    }
}

#[test]
fn every_decoder_has_a_target_and_every_target_a_corpus() {
    let names = |directory: PathBuf| -> BTreeSet<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let wire = names(harness::repository().join("src/wire"));
    let has_exercise = |name: &&String| {
        let paths = [format!("src/wire/{name}.rs"), format!("src/wire/{name}/mod.rs")];
        let mut texts = paths.iter().filter_map(|path| fs::read_to_string(harness::repository().join(path)).ok());
        texts.any(|text| text.contains("pub fn exercise("))
    };
    let decoders: BTreeSet<_> = wire.iter().filter(has_exercise).cloned().collect();
    let here: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(decoders, here);
    assert_eq!(names(folder().join("targets")), here);
    assert_eq!(names(folder().join("corpus")), here);
}
