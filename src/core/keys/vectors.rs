// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Test vectors of boxes, which `docs/protocol.md` shows and these tests write. Key pairs come of the key material in
//! them as in RFC 9180 §7.1.3, so another implementation makes the same.

use std::convert::Infallible;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hpke::kem::X25519HkdfSha256;
use hpke::{Kem, Serializable};
use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};

use crate::core::keys::boxes::{BoxOpener, BoxSealer, MeetingKeyPair};
use crate::core::keys::epoch::EpochSecret;
use crate::core::keys::frame::Framed;
use crate::values::id::{MeetingId, SessionId};
use crate::values::secret::Key256;
use crate::wire::kid::{Epoch, Participant};

const MEETING: &str = "0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11";
const SESSION: &str = "0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a12";
/// Key material of the participant's key pair, of the appliance's, and the secret of the sign-in.
const IKM_R: [u8; 32] = [0x11; 32];
const IKM_E: [u8; 32] = [0x22; 32];
const PSK: [u8; 32] = [0x33; 32];
/// Epoch and number of each box, in the order of sealing: it came back in between.
const BOXES: [(Epoch, Participant); 2] = [(Epoch(7), Participant(258)), (Epoch(8), Participant(259))];

/// Draws the same bytes always.
struct Drawn([u8; 32]);

impl TryRng for Drawn {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("key material is drawn as bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("key material is drawn as bytes")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&self.0);
        Ok(())
    }
}

impl TryCryptoRng for Drawn {}

fn meeting() -> MeetingId {
    MEETING.parse().unwrap()
}

fn session() -> SessionId {
    SESSION.parse().unwrap()
}

/// The secret of an epoch: that of the frames for epoch 7, each byte one more for the next.
fn secret(epoch: Epoch) -> [u8; 32] {
    std::array::from_fn(|index| u8::try_from(index).unwrap() + u8::try_from(epoch.0 - 7).unwrap())
}

fn sealed() -> (MeetingKeyPair, [u8; 32], Vec<Vec<u8>>) {
    let pair = MeetingKeyPair::generate(&mut Drawn(IKM_R));
    let key = pair.public_key();
    let begun = BoxSealer::begin(meeting(), &key, &Key256::new(PSK), session(), &mut Drawn(IKM_E));
    let (mut sealer, encapsulated) = begun.unwrap();
    let mut seal = |(epoch, participant): (Epoch, Participant)| {
        sealer.seal(epoch, participant, &EpochSecret::from_slice(&secret(epoch)).unwrap()).unwrap()
    };
    let boxes = BOXES.map(&mut seal).into();
    (pair, encapsulated, boxes)
}

/// The block of JSON in `docs/protocol.md`.
fn show() -> String {
    let (pair, encapsulated, boxes) = sealed();
    let (private, _) = X25519HkdfSha256::derive_keypair(&IKM_R);
    let info = Framed::labelled("conclave-epoch-boxes-1").fixed(meeting().as_bytes()).into_bytes();
    let line = |name: &str, bytes: &[u8]| format!("\"{name}\": \"{}\",\n", hex::encode(bytes));
    let mut text = format!("{{\n\"meeting\": \"{MEETING}\",\n\"session\": \"{SESSION}\",\n");
    text += &line("ikmR", &IKM_R);
    text += &line("ikmE", &IKM_E);
    text += &line("skR", &private.to_bytes());
    text += &line("pkR", &pair.public_key());
    text += &format!("\"key_thumbprint\": \"{}\",\n", URL_SAFE_NO_PAD.encode(Sha256::digest(pair.public_key())));
    text += &line("enc", &encapsulated);
    text += &line("psk", &PSK);
    text += &line("psk_id", session().as_bytes());
    text += &line("info", &info);
    text += "\"boxes\": [\n";
    let shown = BOXES.iter().zip(&boxes).map(|((epoch, participant), sealed)| {
        let aad = Framed::labelled("conclave-epoch-box-1")
            .fixed(meeting().as_bytes())
            .fixed(&epoch.0.to_be_bytes())
            .fixed(&participant.0.to_be_bytes())
            .into_bytes();
        format!(
            "  {{ \"epoch\": {epoch}, \"participant\": {participant},\n    \"aad\": \"{}\",\n    \"secret\": \"{}\",\n    \"box\": \"{}\" }}",
            hex::encode(aad),
            hex::encode(secret(*epoch)),
            hex::encode(sealed)
        )
    });
    text += &shown.collect::<Vec<_>>().join(",\n");
    text + "\n]\n}\n"
}

#[test]
fn the_boxes_in_the_protocol_document_are_what_the_code_makes() {
    let document = include_str!("../../../docs/protocol.md");
    let (_, rest) = document.split_once("```json boxes\n").expect("a block that begins with ```json boxes");
    let (shown, _) = rest.split_once("```").unwrap();
    let expected = show();
    assert!(shown == expected, "docs/protocol.md should show these boxes:\n{expected}");
    assert!(serde_json::from_str::<serde_json::Value>(shown).unwrap()["boxes"][1]["box"].is_string());
}

#[test]
fn the_boxes_open_as_shown() {
    let (pair, encapsulated, boxes) = sealed();
    let mut opener = BoxOpener::begin(&pair, meeting(), &encapsulated, &Key256::new(PSK), session()).unwrap();
    for ((epoch, participant), sealed) in BOXES.into_iter().zip(boxes) {
        let expected = EpochSecret::from_slice(&secret(epoch)).unwrap();
        assert_eq!(opener.open(epoch, participant, &sealed), Ok(expected));
    }
}
