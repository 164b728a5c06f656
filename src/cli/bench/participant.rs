// SPDX-License-Identifier: AGPL-3.0-or-later
//! A synthetic participant of Conclave's relay: it joins, keeps its keys, and opens its event stream.
//!
//! Only what a measurement needs. Coming back, the roster and everything that a person does are in the client library.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use web_transport_quinn::{RecvStream, SendStream, Session};

use super::conclave::Credential;
use super::load::Carrier;
use super::subject::{Door, Joined, Keys};
use super::tls::{self, SERVER_NAME};
use crate::core::auth::ticket::KeyThumbprint;
use crate::core::keys::boxes::{BoxOpener, MeetingKeyPair};
use crate::core::keys::epoch::member::{Learned, MemberKeys, Received};
use crate::platform::clock::Clock;
use crate::platform::entropy;
use crate::platform::pki::tls::ALPN_UDP;
use crate::values::id::MeetingId;
use crate::values::secret::Key256;
use crate::wire::control::schema::{Announce, ClientMessage, Join, Ready, Welcome, client_message, server_message};
use crate::wire::control::{Splitter, VERSION, decode_server, encode};
use crate::wire::frame::{Clear, Frame};
use crate::wire::kid::{Channel, Epoch, Participant};
use crate::wire::stream::StreamKind;

/// Bytes of the control stream read at once.
const CHUNK: usize = 4_096;

/// In words, for whoever reads why somebody did not join.
fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Joins a meeting.
pub(super) async fn join(door: &Door, credential: &str) -> Result<Joined, String> {
    let Credential { mut claims, psk } = serde_json::from_str(credential).map_err(told)?;
    let pair = MeetingKeyPair::generate(&mut entropy::system());
    claims.jkt = KeyThumbprint::of(&pair.public_key());
    let ticket = serde_json::to_string(&claims).map_err(told)?;

    let session = connect(door).await?;
    let (mut send, receive) = session.open_bi().await.map_err(told)?;
    send.write_all(&[StreamKind::Control.number()]).await.map_err(told)?;
    let join = Join { version: VERSION, ticket, key: pair.public_key().to_vec(), avatar: Vec::new() };
    say(&mut send, client_message::Body::Join(join)).await?;
    let mut control = Control { receive, splitter: Splitter::default() };
    let welcome = control.welcome().await.ok_or_else(|| refusal(&session))?;

    let meeting = <[u8; 16]>::try_from(&welcome.meeting[..]).map(MeetingId::from_bytes).map_err(told)?;
    let number = u16::try_from(welcome.participant).map(Participant).map_err(told)?;
    let opener = BoxOpener::begin(&pair, meeting, &welcome.encapsulated_key, &Key256::new(psk), claims.sid);
    let keys = Arc::new(MeetingKeys { clock: Clock::system(), member: Mutex::new(MemberKeys::new(meeting, number)) });
    tokio::spawn(keep_keys(control, send, opener.map_err(told)?, Arc::clone(&keys)));

    let (mut send, receive) = session.open_bi().await.map_err(told)?;
    send.write_all(&[StreamKind::Event.number()]).await.map_err(told)?;
    Ok(Joined { session, number, keys, events: Some((send, receive)) })
}

async fn connect(door: &Door) -> Result<Session, String> {
    let [native, browser] = ALPN_UDP;
    match door.carrier {
        Carrier::Quic => {
            let config = tls::client(&door.certificate, native).map_err(told)?;
            let connecting = door.endpoint.connect_with(config, door.address, SERVER_NAME).map_err(told)?;
            Ok(Session::raw(connecting.await.map_err(told)?))
        }
        Carrier::WebTransport => {
            let config = tls::client(&door.certificate, browser).map_err(told)?;
            // An address needs no resolver, and is in the certificate.
            let url = url::Url::parse(&format!("https://{}/xr/v1", door.address)).map_err(told)?;
            web_transport_quinn::Client::new(door.endpoint.clone(), config).connect(url).await.map_err(told)
        }
    }
}

/// Why the relay closed the carrier instead of saying welcome.
fn refusal(session: &Session) -> String {
    session.close_reason().map_or_else(|| "no welcome came".to_owned(), told)
}

async fn say(send: &mut SendStream, body: client_message::Body) -> Result<(), String> {
    let bytes = encode(&ClientMessage::from(body)).map_err(told)?;
    send.write_all(&bytes).await.map_err(told)
}

/// The control stream, from the relay.
struct Control {
    receive: RecvStream,
    splitter: Splitter,
}

impl Control {
    /// The next message that this version knows; `None` at the end.
    async fn next(&mut self) -> Option<server_message::Body> {
        loop {
            while let Some(message) = self.splitter.take().ok()? {
                if let Some(body) = decode_server(&message).ok()? {
                    return Some(body);
                }
            }
            self.splitter.push(&self.receive.read_chunk(CHUNK, true).await.ok()??.bytes);
        }
    }

    async fn welcome(&mut self) -> Option<Welcome> {
        loop {
            if let server_message::Body::Welcome(welcome) = self.next().await? {
                return Some(welcome);
            }
        }
    }
}

/// Opens each box as it comes and switches as the relay says, until the carrier ends.
async fn keep_keys(mut control: Control, mut send: SendStream, mut opener: BoxOpener, keys: Arc<MeetingKeys>) {
    while let Some(message) = control.next().await {
        match message {
            server_message::Body::Announce(Announce { epoch, sealed_secret, participant }) => {
                let Ok(participant) = u16::try_from(participant).map(Participant) else { continue };
                // Without it this participant falls silent, and the frames it does not send are reported.
                let Ok(secret) = opener.open(Epoch(epoch), participant, &sealed_secret) else { continue };
                let learned = keys.member().announce(Epoch(epoch), secret, keys.clock.moment());
                if learned == Learned::Ready
                    && say(&mut send, client_message::Body::Ready(Ready { epoch })).await.is_err()
                {
                    return;
                }
            }
            server_message::Body::Switch(switch) => keys.member().switch(Epoch(switch.epoch), keys.clock.moment()),
            _ => {}
        }
    }
}

/// The keys of a member, between the thread that sends and the one that receives.
struct MeetingKeys {
    clock: Clock,
    member: Mutex<MemberKeys>,
}

impl MeetingKeys {
    fn member(&self) -> MutexGuard<'_, MemberKeys> {
        self.member.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys for MeetingKeys {
    fn ready(&self) -> bool {
        self.member().sealing().is_some()
    }

    fn seal(&self, channel: Channel, clear: Clear, plain: &[u8], out: &mut [u8]) -> Option<usize> {
        self.member().seal(channel, clear, plain, self.clock.moment(), out).ok()
    }

    fn opens(&self, frame: &Frame<'_>, out: &mut [u8]) -> bool {
        matches!(self.member().receive(frame, self.clock.moment(), out), Ok(Received::Opened { .. }))
    }
}
