// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Test vectors: those of RFC 9605, and our own, which `docs/protocol.md` shows and these tests write.

use std::fmt::Write as _;

use crate::values::id::MeetingId;
use crate::wire::datagram::{self, DatagramError, Tick, Writer};
use crate::wire::frame::{AudioLevel, Clear, Frame, FrameOpener, FrameSealer, Metadata};
use crate::wire::header::Header;
use crate::wire::kid::{Channel, Epoch, Kid, Participant};
use crate::wire::sframe;

const MEETING: &str = "0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11";
const EPOCH: Epoch = Epoch(7);
const PARTICIPANT: Participant = Participant(258);
/// Some frame that is long enough to need two bytes for its counter.
const COUNTER: u64 = 300;
const TICK: Tick = Tick(0x0001_e240);
const DOWNSTREAM_SIZE: usize = 120;

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
    let refused = refused().into_iter().map(|(why, bytes)| format!("  [\"{why}\", \"{}\"]", hex::encode(bytes)));
    text.push_str(&refused.collect::<Vec<_>>().join(",\n"));
    text.push_str("\n]\n}\n");
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
