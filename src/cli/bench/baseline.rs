// SPDX-License-Identifier: AGPL-3.0-or-later
//! What Conclave's relay is compared with: a QUIC relay that forwards each datagram to everybody else on arrival, as one
//! would write it first.
//!
//! It is meant to be fair: the same QUIC library, TLS suites, runtime, buffers and sealed frames; it checks nothing,
//! counts nothing and has no control messages. It only does not wait to put what goes to one person into one datagram.

use std::collections::HashMap;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use quinn::{Connection, Endpoint, EndpointConfig, TokioRuntime, TransportConfig};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use web_transport_quinn::Session;

use super::error::BenchError;
use super::load::Load;
use super::subject::{Door, Facts, Joined, Keys, Running, Started};
use super::tls::{self, IDLE, Identity, KEEP_ALIVE};
use crate::relay::carrier::DATAGRAMS_WAITING_MAX;
use crate::values::id::MeetingId;
use crate::wire::frame::{Clear, Frame, FrameOpener, FrameSealer};
use crate::wire::kid::{Channel, Epoch, Kid, Participant};

/// The application protocol (RFC 7301).
const PROTOCOL: &[u8] = b"conclave-bench-baseline/1";
/// Datagrams that arrived and were not read, in bytes: as the relay has it.
const DATAGRAMS_UNREAD_MAX: usize = 256 * 1_024;
/// Everybody's secret and meeting: there is nobody here to keep them from.
const SECRET: &[u8] = &[0x5a; 32];
const MEETING: MeetingId = MeetingId::from_bytes([0x5a; 16]);
const EPOCH: Epoch = Epoch(1);

/// What a participant tells the relay: where to be, as whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Credential {
    room: u16,
    number: u16,
}

/// Starts the relay.
pub(super) fn start(socket: UdpSocket, load: &Load) -> Result<Started, BenchError> {
    let identity = Identity::new()?;
    let mut server = identity.server(PROTOCOL)?;
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IDLE.try_into().map_err(|_| BenchError::Tls("idle timeout".to_owned()))?))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .datagram_receive_buffer_size(Some(DATAGRAMS_UNREAD_MAX))
        .datagram_send_buffer_size(DATAGRAMS_WAITING_MAX);
    server.transport_config(Arc::new(transport));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(BenchError::io("the baseline's runtime"))?;
    let endpoint = {
        let _inside = runtime.enter();
        Endpoint::new(EndpointConfig::default(), Some(server), socket, Arc::new(TokioRuntime))
            .map_err(BenchError::io("the baseline's socket"))?
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let run = move || {
        runtime.block_on(async {
            tokio::select! {
                () = serve(&endpoint) => {}
                // Dropped is as good as sent.
                _ = stopped => {}
            }
            endpoint.close(0_u32.into(), b"");
        });
    };
    let thread = std::thread::Builder::new()
        .name("baseline".to_owned())
        .spawn(run)
        .map_err(BenchError::io("the baseline's thread"))?;
    let credentials = (0..load.participants).map(|index| credential(load, index)).collect::<Result<_, _>>()?;
    let running = Box::new(Baseline { stop, thread });
    Ok(Started { certificate: identity.certificate.to_vec(), credentials, api: None, running })
}

fn credential(load: &Load, index: usize) -> Result<String, BenchError> {
    let unusable = |_| BenchError::Relay("more participants than there are numbers".to_owned());
    let room = u16::try_from(load.room_of(index)).map_err(unusable)?;
    let number = u16::try_from(index).map_err(unusable)?;
    serde_json::to_string(&Credential { room, number }).map_err(|error| BenchError::Relay(error.to_string()))
}

struct Baseline {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Running for Baseline {
    fn facts(&self) -> Facts {
        Facts::default()
    }

    fn stop(self: Box<Self>) {
        drop(self.stop);
        // Its panic was printed where it happened.
        drop(self.thread.join());
    }
}

/// Who is in which room.
#[derive(Debug, Default)]
struct Rooms(Mutex<HashMap<u16, Vec<Connection>>>);

impl Rooms {
    fn enter(&self, room: u16, connection: &Connection) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(room).or_default().push(connection.clone());
    }

    fn leave(&self, room: u16, connection: &Connection) {
        if let Some(people) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&room) {
            people.retain(|other| other.stable_id() != connection.stable_id());
        }
    }

    fn forward(&self, room: u16, from: &Connection, bytes: &Bytes) {
        let rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others = rooms.get(&room).into_iter().flatten().filter(|other| other.stable_id() != from.stable_id());
        for other in others {
            // What cannot be sent is lost, as datagrams are.
            drop(other.send_datagram(bytes.clone()));
        }
    }
}

async fn serve(endpoint: &Endpoint) {
    let rooms = Arc::new(Rooms::default());
    while let Some(incoming) = endpoint.accept().await {
        let rooms = Arc::clone(&rooms);
        tokio::spawn(async move {
            if let Ok(connection) = incoming.await {
                participate(&connection, &rooms).await;
            }
        });
    }
}

/// One participant: it says its room and hears that it is in; then whatever it sends is for the others.
async fn participate(connection: &Connection, rooms: &Rooms) {
    let Ok((mut send, mut receive)) = connection.accept_bi().await else { return };
    let mut room = [0; 2];
    if receive.read_exact(&mut room).await.is_err() {
        return;
    }
    let room = u16::from_be_bytes(room);
    rooms.enter(room, connection);
    if send.write_all(&[1]).await.is_ok() && send.finish().is_ok() {
        while let Ok(bytes) = connection.read_datagram().await {
            rooms.forward(room, connection, &bytes);
        }
    }
    rooms.leave(room, connection);
}

/// Enters a room.
pub(super) async fn join(door: &Door, credential: &str) -> Result<Joined, String> {
    let credential: Credential = serde_json::from_str(credential).map_err(|error| error.to_string())?;
    let config = tls::client(&door.certificate, PROTOCOL).map_err(|error| error.to_string())?;
    let connecting = door.endpoint.connect_with(config, door.address, tls::SERVER_NAME);
    let connection = connecting.map_err(|error| error.to_string())?.await.map_err(|error| error.to_string())?;
    let (mut send, mut receive) = connection.open_bi().await.map_err(|error| error.to_string())?;
    send.write_all(&credential.room.to_be_bytes()).await.map_err(|error| error.to_string())?;
    receive.read_exact(&mut [0; 1]).await.map_err(|error| error.to_string())?;
    let number = Participant(credential.number);
    let keys = Arc::new(FixedKeys { number, sealers: Mutex::default(), openers: Mutex::default() });
    Ok(Joined { session: Session::raw(connection), number, keys, events: None })
}

/// Keys from the one secret, derived when they are first needed.
struct FixedKeys {
    number: Participant,
    sealers: Mutex<HashMap<Channel, FrameSealer>>,
    openers: Mutex<HashMap<Kid, FrameOpener>>,
}

impl Keys for FixedKeys {
    fn ready(&self) -> bool {
        true
    }

    fn seal(&self, channel: Channel, clear: Clear, plain: &[u8], out: &mut [u8]) -> Option<usize> {
        let mut sealers = self.sealers.lock().unwrap_or_else(PoisonError::into_inner);
        let sealer = match sealers.entry(channel) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                let kid = Kid { epoch: EPOCH, participant: self.number, channel };
                place.insert(FrameSealer::derive(SECRET, MEETING, kid).ok()?)
            }
        };
        sealer.seal(clear, plain, out).ok()
    }

    fn opens(&self, frame: &Frame<'_>, out: &mut [u8]) -> bool {
        let mut openers = self.openers.lock().unwrap_or_else(PoisonError::into_inner);
        let opener = match openers.entry(frame.kid()) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                let Ok(opener) = FrameOpener::derive(SECRET, MEETING, frame.kid()) else { return false };
                place.insert(opener)
            }
        };
        opener.open(frame, out).is_ok()
    }
}
