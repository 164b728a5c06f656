// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The control stream: protobuf messages, each behind its length (a varint), [`MESSAGE_MAX`] bytes at most.
//!
//! [`schema`] is made from `xr.proto` beside this file; a test writes it anew and compares, so building needs no
//! protobuf compiler. What a number or a byte string in a message means is parsed by whoever acts on it.

use prost::Message;

use crate::wire::control::schema::{ClientMessage, ServerMessage, client_message, server_message};

#[rustfmt::skip]
#[expect(missing_docs, clippy::doc_markdown, reason = "made from xr.proto, which says it")]
pub mod schema;

/// The version of the protocol.
pub const VERSION: u32 = 1;
/// Longest message, in bytes: a roster of 500 with an avatar of 100 bytes each fits.
pub const MESSAGE_MAX: usize = 65_536;
/// Longest avatar look, in bytes.
pub const AVATAR_MAX: usize = 1_024;
/// Voices that may be pinned.
pub const PINNED_MAX: usize = 16;
/// Bytes of a length at most: 65,536 takes three.
const LENGTH_MAX: usize = 3;

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// More than [`MESSAGE_MAX`].
    #[error("a control message is at most {MESSAGE_MAX} bytes")]
    TooLarge,
    /// Not protobuf, or without a body that this version knows.
    #[error("the control message cannot be read")]
    Malformed,
}

impl From<client_message::Body> for ClientMessage {
    fn from(body: client_message::Body) -> Self {
        Self { body: Some(body) }
    }
}

impl From<server_message::Body> for ServerMessage {
    fn from(body: server_message::Body) -> Self {
        Self { body: Some(body) }
    }
}

/// A message behind its length.
pub fn encode(message: &impl Message) -> Result<Vec<u8>, ControlError> {
    if message.encoded_len() > MESSAGE_MAX {
        return Err(ControlError::TooLarge);
    }
    Ok(message.encode_length_delimited_to_vec())
}

/// Reads what a client said.
pub fn decode_client(bytes: &[u8]) -> Result<client_message::Body, ControlError> {
    ClientMessage::decode(bytes).ok().and_then(|message| message.body).ok_or(ControlError::Malformed)
}

/// Reads what the appliance said; `None` is a message of a later version, to be passed over.
pub fn decode_server(bytes: &[u8]) -> Result<Option<server_message::Body>, ControlError> {
    ServerMessage::decode(bytes).map(|message| message.body).map_err(|_| ControlError::Malformed)
}

/// Cuts a stream of bytes into messages.
#[derive(Debug, Default)]
pub struct Splitter {
    bytes: Vec<u8>,
}

impl Splitter {
    /// Takes bytes as they arrive. At most one message and a piece of the next are kept, when each is taken with
    /// [`Splitter::take`] before more is pushed.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, without its length; `None` until there is one.
    pub fn take(&mut self) -> Result<Option<Vec<u8>>, ControlError> {
        let mut length = 0;
        let mut taken = 0;
        loop {
            let Some(byte) = self.bytes.get(taken) else { return Ok(None) };
            length |= usize::from(byte & 0x7f) << (7 * taken);
            taken += 1;
            if byte & 0x80 == 0 {
                break;
            }
            if taken == LENGTH_MAX {
                return Err(ControlError::TooLarge);
            }
        }
        if length > MESSAGE_MAX {
            return Err(ControlError::TooLarge);
        }
        if self.bytes.len() < taken + length {
            return Ok(None);
        }
        let rest = self.bytes.split_off(taken + length);
        let mut message = std::mem::replace(&mut self.bytes, rest);
        Ok(Some(message.split_off(taken)))
    }
}

/// For fuzzing: cuts `bytes` into messages and reads each both ways.
pub fn exercise(bytes: &[u8]) {
    let mut splitter = Splitter::default();
    for chunk in bytes.chunks(7) {
        splitter.push(chunk);
        while let Ok(Some(message)) = splitter.take() {
            drop(decode_client(&message));
            drop(decode_server(&message));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::control::schema::{Join, Nothing, Ping};

    fn join() -> ClientMessage {
        let key = vec![7; 32];
        client_message::Body::Join(Join { version: VERSION, ticket: "t".repeat(700), key, avatar: vec![] }).into()
    }

    #[test]
    fn the_schema_is_what_the_proto_file_says() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/wire/control");
        let out = tempfile::tempdir().unwrap();
        let set = protox::compile([format!("{folder}/xr.proto")], [folder]).unwrap();
        prost_build::Config::new().out_dir(out.path()).compile_fds(set).unwrap();
        let made = std::fs::read_to_string(out.path().join("conclave.xr.v1.rs")).unwrap();
        let head = "// SPDX-License-Identifier: Apache-2.0 OR MIT\n//! Made from `xr.proto` (`CONCLAVE_WRITE_SCHEMA=1 cargo test --lib wire::control`); do not edit.\n";
        let made = format!("{head}{}", made.trim_start_matches("// This file is @generated by prost-build.\n"));
        let file = format!("{folder}/schema.rs");
        if std::env::var_os("CONCLAVE_WRITE_SCHEMA").is_some() {
            std::fs::write(&file, &made).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), made);
    }

    /// `Message number`, `Message field number` and `Enumeration number`, of the schema.
    fn in_the_schema() -> BTreeSet<String> {
        let mut of = "";
        let mut found = BTreeSet::new();
        for line in include_str!("xr.proto").lines().map(str::trim) {
            match line.split([' ', ';']).collect::<Vec<_>>()[..] {
                ["//", ..] => {}
                ["message" | "enum", name, ..] => of = name,
                // One of what a message of a side may be.
                [name, _, "=", number, ..] if of.ends_with("Message") => drop(found.insert(format!("{name} {number}"))),
                [_, name, "=", number, ..] | ["repeated", _, name, "=", number, ..] => {
                    found.insert(format!("{of} {name} {number}"));
                }
                [name, "=", number, ..] if name != "syntax" => drop(found.insert(format!("{of} {number}"))),
                _ => {}
            }
        }
        found
    }

    /// The same, of the document's tables.
    fn in_the_document() -> BTreeSet<String> {
        let document = include_str!("../../../docs/protocol.md");
        let (_, rest) = document.split_once("\n## The control stream\n").unwrap();
        let (section, _) = rest.split_once("\n## ").unwrap();
        let first_word = |text: &str| text.split_whitespace().next().unwrap_or_default().to_owned();
        let mut found = BTreeSet::new();
        for row in section.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let name = cells[1].trim_matches('`');
            match cells.len() {
                // Name, number, fields, meaning.
                6 => drop(found.insert(format!("{name} {}", cells[2]))),
                // Values of an enumeration.
                4 => found.extend(cells[2].split(", ").map(|value| format!("{name} {}", first_word(value)))),
                _ => {}
            }
            let fields = cells[cells.len() - 3].split('`').skip(1).collect::<Vec<_>>();
            found.extend(fields.chunks(2).filter(|_| cells.len() > 4).map(|field| {
                let number = first_word(field[1]);
                format!("{name} {} {number}", field[0])
            }));
        }
        found
    }

    #[test]
    fn the_document_has_every_message_and_field_and_no_other() {
        assert_eq!(in_the_document(), in_the_schema());
    }

    #[test]
    fn messages_come_out_of_any_cut() {
        let ping: ClientMessage = client_message::Body::Ping(Ping { token: 1 }).into();
        let stream = [encode(&join()).unwrap(), encode(&ping).unwrap(), encode(&join()).unwrap()].concat();
        for cut in 1..40 {
            let (mut splitter, mut found) = (Splitter::default(), Vec::new());
            for chunk in stream.chunks(cut) {
                splitter.push(chunk);
                while let Some(message) = splitter.take().unwrap() {
                    found.push(ClientMessage { body: Some(decode_client(&message).unwrap()) });
                }
            }
            assert_eq!(found, [join(), ping.clone(), join()], "cut into {cut}");
        }
    }

    #[test]
    fn what_is_too_large_is_refused_by_its_length_alone() {
        let length = |length: usize| {
            let mut bytes = Vec::new();
            prost::encoding::encode_varint(u64::try_from(length).unwrap(), &mut bytes);
            let mut splitter = Splitter::default();
            splitter.push(&bytes);
            splitter.take()
        };
        assert_eq!(length(MESSAGE_MAX), Ok(None));
        assert_eq!(length(MESSAGE_MAX + 1), Err(ControlError::TooLarge));
        assert_eq!(length(usize::MAX), Err(ControlError::TooLarge));
        let avatar = vec![0; MESSAGE_MAX];
        let large: ClientMessage = client_message::Body::Join(Join { avatar, ..Join::default() }).into();
        assert_eq!(encode(&large), Err(ControlError::TooLarge));
        assert_eq!(decode_client(&[]), Err(ControlError::Malformed));
        assert_eq!(decode_client(&Nothing {}.encode_to_vec()), Err(ControlError::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            exercise(&bytes);
        }
    }
}
