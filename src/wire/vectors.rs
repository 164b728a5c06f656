// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Test vectors: those of RFC 9605, and our own, which `docs/protocol.md` shows and these tests write.

use std::fmt::Write as _;

use crate::values::id::MeetingId;
use crate::wire::control::schema::client_message::Body as Said;
use crate::wire::control::schema::server_message::Body as Told;
use crate::wire::control::schema::{Announce, ClientMessage, Join, Ready, Resume, ServerMessage, Switch};
use crate::wire::control::{self, Splitter, VERSION};
use crate::wire::datagram::{self, DatagramError, Tick, Writer};
use crate::wire::frame::{AudioLevel, Clear, Frame, FrameOpener, FrameSealer, Metadata};
use crate::wire::header::Header;
use crate::wire::kid::{Channel, Epoch, Kid, Participant};
use crate::wire::sframe;
use crate::wire::stream::{self, EventRecord, StreamError, StreamKind};

const MEETING: &str = "0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11";
const EPOCH: Epoch = Epoch(7);
const PARTICIPANT: Participant = Participant(258);
/// Some frame that is long enough to need two bytes for its counter.
const COUNTER: u64 = 300;
const TICK: Tick = Tick(0x0001_e240);
const DOWNSTREAM_SIZE: usize = 120;
/// Sequence of the event; the barrier comes after it.
const SEQUENCE: u64 = 41;
/// The epoch of the barrier.
const NEXT_EPOCH: Epoch = Epoch(8);

/// The vectors of RFC 9605 that concern us.
pub(super) fn rfc9605() -> serde_json::Value {
    serde_json::from_str(include_str!("../../tests/vectors/sframe-rfc9605.json")).unwrap()
}

fn epoch_secret() -> [u8; 32] {
    std::array::from_fn(|index| u8::try_from(index).unwrap())
}

fn meeting() -> MeetingId {
    MEETING.parse().unwrap()
}

/// Channel, counter, clear fields, plaintext.
type Content = (Channel, u64, Clear, &'static [u8]);

fn contents() -> [Content; 4] {
    [
        (Channel::Pose, 0, Clear::Nothing, b"head and hands"),
        (Channel::Voice, COUNTER, Clear::Level(AudioLevel::try_from(42).unwrap()), b"opus"),
        (Channel::Event, 7, Clear::Nothing, b"{}"),
        (Channel::Screen, 8, Clear::Nothing, b""),
    ]
}

fn kid(channel: Channel) -> Kid {
    Kid { epoch: EPOCH, participant: PARTICIPANT, channel }
}

fn frame((channel, counter, clear, plain): Content) -> Vec<u8> {
    let mut sealer = FrameSealer::derive(&epoch_secret(), meeting(), kid(channel)).unwrap();
    let mut out = [0; 128];
    for _ in 0..counter {
        sealer.seal(clear, b"", &mut out).unwrap();
    }
    let written = sealer.seal(clear, plain, &mut out).unwrap();
    out[..written].to_vec()
}

fn show_frame(text: &mut String, content: Content) {
    let (channel, counter, clear, plain) = content;
    let number = u64::from(kid(channel));
    let (key, salt) = sframe::derive(&epoch_secret(), number).unwrap();
    let metadata = Metadata::new(meeting(), channel, clear).unwrap();
    let header = Header { kid: number, counter }.encode();
    let aad = [header.as_bytes(), metadata.as_bytes()].concat();
    let level = match clear {
        Clear::Nothing => "null".to_owned(),
        Clear::Level(level) => level.negative_dbov().to_string(),
    };
    let name = format!("{channel:?}").to_lowercase();
    writeln!(text, "  {{ \"channel\": \"{name}\", \"kid\": {number}, \"counter\": {counter}, \"level\": {level},")
        .unwrap();
    for (name, bytes) in [
        ("key", &key[..]),
        ("salt", &salt[..]),
        ("nonce", &sframe::nonce(&salt, counter)),
        ("aad", &aad),
        ("plaintext", plain),
    ] {
        writeln!(text, "    \"{name}\": \"{}\",", hex::encode(bytes)).unwrap();
    }
    write!(text, "    \"frame\": \"{}\" }}", hex::encode(frame(content))).unwrap();
}

fn upstream() -> Vec<u8> {
    let [pose, voice, ..] = contents();
    let mut buffer = [0xff; 200];
    let mut writer = Writer::upstream(&mut buffer, 200);
    writer.push(&frame(pose)).unwrap();
    writer.push(&frame(voice)).unwrap();
    writer.finish().unwrap().to_vec()
}

fn downstream() -> Vec<u8> {
    let [pose, voice, ..] = contents();
    let mut buffer = [0xff; 200];
    let mut writer = Writer::downstream(&mut buffer, 200, TICK).unwrap();
    writer.push(&frame(voice)).unwrap();
    writer.push(&frame(pose)).unwrap();
    writer.pad_to(DOWNSTREAM_SIZE);
    writer.finish().unwrap().to_vec()
}

/// Upstream datagrams that are refused, each for one reason.
fn refused() -> Vec<(&'static str, Vec<u8>)> {
    let [pose, voice, event, _] = contents().map(frame);
    let one = |frame: &[u8]| [&u16::try_from(frame.len()).unwrap().to_be_bytes(), frame].concat();
    let bare = |header: &[u8]| one(&[header, &[0; sframe::TAG_LEN]].concat());
    let mut loud = voice;
    *loud.last_mut().unwrap() = 128;
    vec![
        ("no frame", vec![0; 4]),
        ("the frame is cut off", one(&pose)[..30].to_vec()),
        ("padding is not zero", [one(&pose), vec![0, 0, 1]].concat()),
        ("a channel that has a stream", one(&event)),
        ("an audio level above 127", one(&loud)),
        ("no channel 5", bare(&[0x50])),
        ("the key id 1 is not in its shortest form", bare(&[0x80, 0x01])),
        ("the key id is 2^52 + 1", bare(&[0xe0, 0x10, 0, 0, 0, 0, 0, 0x01])),
        ("the counter is 2^32", bare(&[0x1c, 0x01, 0, 0, 0, 0])),
        ("shorter than header and tag", one(&[0x10; sframe::TAG_LEN])),
    ]
}

fn event() -> Vec<u8> {
    let [_, _, event, _] = contents();
    frame(event)
}

/// The event and a barrier after it, as their sender writes them, with the kind of the stream.
fn event_upstream() -> Vec<u8> {
    let event = event();
    let mut bytes = vec![StreamKind::Event.number()];
    stream::push_event_upstream(&mut bytes, EventRecord::Event(Frame::decode(&event).unwrap())).unwrap();
    stream::push_event_upstream(&mut bytes, EventRecord::Barrier(None, NEXT_EPOCH)).unwrap();
    bytes
}

/// The same, as the others read them.
fn event_downstream() -> Vec<u8> {
    let event = event();
    let barrier = EventRecord::Barrier(Some(PARTICIPANT), NEXT_EPOCH);
    let mut bytes = Vec::new();
    stream::push_event_downstream(&mut bytes, SEQUENCE, EventRecord::Event(Frame::decode(&event).unwrap())).unwrap();
    stream::push_event_downstream(&mut bytes, SEQUENCE + 1, barrier).unwrap();
    bytes
}

/// A group of a screen with two frames, counters 8 and 9, with the kind of the stream.
fn screen_group() -> Vec<u8> {
    let [_, _, _, first] = contents();
    let second = (Channel::Screen, first.1 + 1, Clear::Nothing, &b"delta"[..]);
    let mut bytes = vec![StreamKind::Screen.number()];
    for frame in [first, second].map(frame) {
        bytes.extend_from_slice(&u32::try_from(frame.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(&frame);
    }
    bytes
}

/// Messages of the control stream, behind their lengths.
fn control() -> [(&'static str, Vec<u8>); 5] {
    let said = |said: Said| control::encode(&ClientMessage::from(said)).unwrap();
    let told = |told: Told| control::encode(&ServerMessage::from(told)).unwrap();
    let join = Join { version: VERSION, ticket: "a.b.c".to_owned(), key: vec![0x5a; 32], avatar: b"blue".to_vec() };
    let resume = Resume { version: VERSION, token: vec![0xa5; 3], boxes: 300, events: SEQUENCE };
    let number = u32::from(PARTICIPANT.0);
    [
        ("Join 1, a.b.c, 32 × 5a, blue", said(Said::Join(join))),
        ("Resume 1, 3 × a5, 300 boxes, 41 events", said(Said::Resume(resume))),
        ("Ready 7", said(Said::Ready(Ready { epoch: EPOCH.0 }))),
        (
            "Announce 7, 48 × c3, to 258",
            told(Told::Announce(Announce { epoch: EPOCH.0, sealed_secret: vec![0xc3; 48], participant: number })),
        ),
        ("Switch 7", told(Told::Switch(Switch { epoch: EPOCH.0 }))),
    ]
}

/// What is refused in streams, each for one reason.
fn refused_in_streams() -> Vec<(&'static str, Vec<u8>)> {
    let pose = [&[0, 17][..], &[0x10; 17]].concat();
    vec![
        ("an event of 16,418 bytes", vec![0x40, 0x22]),
        ("a pose in an event stream", pose),
        ("an event whose key id names no channel", [&[0, 17][..], &[0; 17]].concat()),
    ]
}

/// Lengths of a frame of a screen that are refused.
const REFUSED_SCREEN_LENGTHS: [[u8; 4]; 2] = [[0; 4], [0, 0x10, 0, 1]];

fn show_named(text: &mut String, named: &[(&str, Vec<u8>)]) {
    let lines: Vec<_> =
        named.iter().map(|(name, bytes)| format!("  [\"{name}\", \"{}\"]", hex::encode(bytes))).collect();
    text.push_str(&lines.join(",\n"));
}

/// The block of JSON in `docs/protocol.md`.
fn show() -> String {
    let mut text = format!(
        "{{\n\"epoch_secret\": \"{}\",\n\"meeting\": \"{MEETING}\",\n\"epoch\": {EPOCH},\n\"participant\": {PARTICIPANT},\n\"frames\": [\n",
        hex::encode(epoch_secret())
    );
    for (index, content) in contents().into_iter().enumerate() {
        if index > 0 {
            text.push_str(",\n");
        }
        show_frame(&mut text, content);
    }
    write!(
        text,
        "\n],\n\"upstream\": \"{}\",\n\"downstream\": {{ \"tick\": {}, \"size\": {DOWNSTREAM_SIZE},\n  \"bytes\": \"{}\" }},\n\"refused_upstream\": [\n",
        hex::encode(upstream()),
        TICK.0,
        hex::encode(downstream()),
    )
    .unwrap();
    show_named(&mut text, &refused());
    write!(
        text,
        "\n],\n\"event_upstream\": \"{}\",\n\"event_downstream\": \"{}\",\n\"screen_group\": \"{}\",\n\"control\": [\n",
        hex::encode(event_upstream()),
        hex::encode(event_downstream()),
        hex::encode(screen_group()),
    )
    .unwrap();
    show_named(&mut text, &control());
    text.push_str("\n],\n\"refused_event_upstream\": [\n");
    show_named(&mut text, &refused_in_streams());
    let lengths = REFUSED_SCREEN_LENGTHS.map(|length| format!("\"{}\"", hex::encode(length)));
    write!(text, "\n],\n\"refused_screen_lengths\": [{}]\n}}\n", lengths.join(", ")).unwrap();
    text
}

#[test]
fn the_vectors_in_the_protocol_document_are_what_the_code_makes() {
    let document = include_str!("../../docs/protocol.md");
    let (_, rest) = document.split_once("```json vectors\n").expect("a block that begins with ```json vectors");
    let (shown, _) = rest.split_once("```").unwrap();
    let expected = show();
    assert!(shown == expected, "docs/protocol.md should show these vectors:\n{expected}");
    let json: serde_json::Value = serde_json::from_str(shown).unwrap();
    assert_eq!(json["frames"].as_array().unwrap().len(), Channel::ALL.len());
}

#[test]
fn the_vectors_read_open_and_are_refused_as_shown() {
    let (tick, frames) = datagram::downstream(&downstream()).map(|(tick, frames)| (tick, frames.count())).unwrap();
    assert_eq!((tick, frames, downstream().len()), (TICK, 2, DOWNSTREAM_SIZE));
    assert_eq!(datagram::upstream(&upstream()).unwrap().filter(Result::is_ok).count(), 2);
    for content in contents() {
        let bytes = frame(content);
        let opener = FrameOpener::derive(&epoch_secret(), meeting(), kid(content.0)).unwrap();
        assert_eq!(opener.open(&Frame::decode(&bytes).unwrap(), &mut [0; 64]), Ok(content.3));
    }
    let mut reasons: Vec<DatagramError> = Vec::new();
    for (why, bytes) in refused() {
        let error = datagram::upstream(&bytes).unwrap().find_map(Result::err).expect(why);
        assert!(!reasons.contains(&error), "{why}: {error:?} again");
        reasons.push(error);
    }
}

#[test]
fn the_streams_read_as_shown_and_what_is_refused_is() {
    let bytes = event_upstream();
    assert_eq!(StreamKind::try_from(bytes[0]), Ok(StreamKind::Event));
    let (record, taken) = stream::event_upstream(&bytes[1..]).unwrap().unwrap();
    let EventRecord::Event(read) = record else { panic!("{record:?}") };
    assert_eq!(read.as_bytes(), event());
    let barrier = (EventRecord::Barrier(None, NEXT_EPOCH), bytes.len() - 1 - taken);
    assert_eq!(stream::event_upstream(&bytes[1 + taken..]), Ok(Some(barrier)));

    let bytes = event_downstream();
    let (sequence, _, taken) = stream::event_downstream(&bytes).unwrap().unwrap();
    let barrier = (SEQUENCE + 1, EventRecord::Barrier(Some(PARTICIPANT), NEXT_EPOCH), bytes.len() - taken);
    assert_eq!((sequence, stream::event_downstream(&bytes[taken..])), (SEQUENCE, Ok(Some(barrier))));

    let bytes = screen_group();
    let mut rest = &bytes[1..];
    let opener = FrameOpener::derive(&epoch_secret(), meeting(), kid(Channel::Screen)).unwrap();
    for plain in [&b""[..], b"delta"] {
        let length = stream::screen_length(rest).unwrap().unwrap();
        let (frame, more) = rest[4..].split_at(length);
        assert_eq!(opener.open(&stream::screen_frame(frame).unwrap(), &mut [0; 64]), Ok(plain));
        rest = more;
    }
    assert!(rest.is_empty());

    for (name, bytes) in control() {
        let mut splitter = Splitter::default();
        splitter.push(&bytes);
        let message = splitter.take().unwrap().unwrap();
        let read = control::decode_client(&message).is_ok() || control::decode_server(&message).unwrap().is_some();
        assert!(read && splitter.take() == Ok(None), "{name}");
    }

    let mut reasons: Vec<StreamError> = Vec::new();
    for (why, bytes) in refused_in_streams() {
        let error = stream::event_upstream(&bytes).expect_err(why);
        assert!(!reasons.contains(&error), "{why}: {error:?} again");
        reasons.push(error);
    }
    for length in REFUSED_SCREEN_LENGTHS {
        assert_eq!(stream::screen_length(&length), Err(StreamError::Length));
    }
}
