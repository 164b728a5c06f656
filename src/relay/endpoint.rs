// SPDX-License-Identifier: AGPL-3.0-or-later
//! Sockets, QUIC's configuration, and who may knock how often.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::{hkdf, hmac};
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use web_transport_quinn::{Request, Session};

use crate::hub::Hub;
use crate::platform::pki::tls;
use crate::relay::carrier::{DATAGRAMS_WAITING_MAX, Kind};
use crate::relay::socket::TakenOver;
use crate::relay::{RelayError, Settings, session};
use crate::values::secret::Key256;

/// Where browsers connect.
const PATH: &str = "/xr/v1";
/// Carriers of which nothing is heard are gone after this.
const IDLE: Duration = Duration::from_secs(8);
/// How often a quiet carrier is probed: three may be lost.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// How long a handshake may take, HTTP/3 included.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Carriers that were not let in yet, from which on an address has to be proven first (a Retry, RFC 9000 §8.1.2).
const KNOCKING_UNPROVEN: usize = 256;
/// Carriers that were not let in yet, at most.
const KNOCKING_MAX: usize = 1_024;
/// Those of one address. Addresses that were not proven are counted apart: nobody shuts somebody else out.
const KNOCKING_OF_ADDRESS: usize = 32;
/// Streams a client may have open at once: control and events.
const BIDIRECTIONAL: u32 = 4;
/// Groups of screen frames a client may send at once, and what HTTP/3 needs.
const UNIDIRECTIONAL: u32 = 12;
/// Bytes a client may send ahead on one stream: a key frame.
const STREAM_WINDOW: u32 = 2 << 20;
/// Bytes a client may send ahead on all streams.
const WINDOW: u32 = 8 << 20;
/// Bytes that may wait in QUIC for one client on all streams: what a network of 100 ms and 80 Mbit/s has under way.
const SEND_WINDOW: u64 = 1 << 20;
/// Datagrams that arrived and were not read, in bytes: a tick of the largest rates.
const DATAGRAMS_UNREAD_MAX: usize = 256 * 1_024;

/// QUIC as the relay serves it.
pub(super) fn server_config(settings: &Settings) -> Result<ServerConfig, RelayError> {
    let initial = tls::quic_initial_suite().ok_or(RelayError::Tls)?;
    let crypto = QuicServerConfig::with_initial(Arc::clone(&settings.tls), initial).map_err(|_| RelayError::Tls)?;
    let token_key = hkdf::Salt::new(hkdf::HKDF_SHA256, b"conclave-quic-token-1").extract(settings.secret.expose());
    let mut config = ServerConfig::new(Arc::new(crypto), Arc::new(token_key));
    config.transport_config(Arc::new(transport()?));
    config.max_incoming(KNOCKING_MAX);
    Ok(config)
}

fn transport() -> Result<TransportConfig, RelayError> {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IDLE.try_into().map_err(|_| RelayError::Tls)?))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(VarInt::from_u32(BIDIRECTIONAL))
        .max_concurrent_uni_streams(VarInt::from_u32(UNIDIRECTIONAL))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(Some(DATAGRAMS_UNREAD_MAX))
        .datagram_send_buffer_size(DATAGRAMS_WAITING_MAX);
    Ok(transport)
}

/// Takes over the sockets. Must be called inside the runtime that is to serve them.
pub(super) fn open(settings: Settings, server: &ServerConfig) -> std::io::Result<Vec<Endpoint>> {
    let Settings { sockets, secret, .. } = settings;
    sockets
        .into_iter()
        .map(|socket| {
            let reset = hmac::Key::new(hmac::HMAC_SHA256, &derived::<32>(&secret, b"conclave-quic-reset-1"));
            let mut config = EndpointConfig::new(Arc::new(reset));
            let ids = u64::from_be_bytes(derived(&secret, b"conclave-quic-ids-1"));
            config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
            let socket = TakenOver::new(socket)?;
            Endpoint::new_with_abstract_socket(config, Some(server.clone()), socket, Arc::new(TokioRuntime))
        })
        .collect()
}

/// Bytes for one purpose, the same at each start.
fn derived<const N: usize>(secret: &Key256, label: &[u8]) -> [u8; N] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.expose()), label);
    let mut bytes = [0; N];
    for (place, byte) in bytes.iter_mut().zip(tag.as_ref()) {
        *place = *byte;
    }
    bytes
}

/// Carriers that were not let in yet, in all and of each address: their handshake or their ticket is not seen.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<Knocking>);

#[derive(Debug, Default)]
struct Knocking {
    all: usize,
    of_address: HashMap<Claimed, usize>,
}

/// An address, and whether it is proven to be whose it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Claimed {
    address: IpAddr,
    is_proven: bool,
}

/// Somebody who is counted as long as this lives.
pub(super) struct Counted {
    gate: Arc<Gate>,
    claimed: Claimed,
}

/// What becomes of somebody who knocks.
enum Knock {
    Enter(Counted),
    ProveAddress,
    GoAway,
}

impl Gate {
    fn knock(self: &Arc<Self>, incoming: &Incoming) -> Knock {
        let address = incoming.remote_address().ip().to_canonical();
        let claimed = Claimed { address, is_proven: incoming.remote_address_validated() };
        let mut knocking = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = knocking.of_address.get(&claimed).copied().unwrap_or(0);
        let most = if claimed.is_proven { KNOCKING_MAX } else { KNOCKING_UNPROVEN };
        if knocking.all >= most || of_address >= KNOCKING_OF_ADDRESS {
            return if claimed.is_proven { Knock::GoAway } else { Knock::ProveAddress };
        }
        knocking.all += 1;
        *knocking.of_address.entry(claimed).or_default() += 1;
        Knock::Enter(Counted { gate: Arc::clone(self), claimed })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut knocking = self.gate.0.lock().unwrap_or_else(PoisonError::into_inner);
        knocking.all -= 1;
        if let Some(count) = knocking.of_address.get_mut(&self.claimed) {
            *count -= 1;
            if *count == 0 {
                knocking.of_address.remove(&self.claimed);
            }
        }
    }
}

/// Lets carriers in until the endpoint is closed.
pub(super) async fn accept(endpoint: Endpoint, hub: Arc<Hub>, gate: Arc<Gate>) {
    while let Some(incoming) = endpoint.accept().await {
        match gate.knock(&incoming) {
            Knock::Enter(counted) => {
                tokio::spawn(enter(incoming, counted, Arc::clone(&hub)));
            }
            // Nothing is kept of it until it comes again.
            Knock::ProveAddress => drop(incoming.retry()),
            Knock::GoAway => incoming.ignore(),
        }
    }
}

async fn enter(incoming: Incoming, counted: Counted, hub: Arc<Hub>) {
    let Ok(Some(arrived)) = tokio::time::timeout(HANDSHAKE, handshake(incoming)).await else { return };
    match arrived {
        Arrived::Here(session, kind) => session::run(session, kind, hub, counted).await,
        Arrived::Elsewhere(refused) => {
            // It is held until that was heard: with HTTP/3's own streams the answer would be lost. Then nothing of it
            // stays: a session that is only dropped lives on.
            let _ = tokio::time::timeout(session::GOODBYE_WITHIN, refused.closed()).await;
            quinn::Connection::close(&refused, VarInt::from_u32(0), b"");
        }
    }
}

/// Who shook hands.
enum Arrived {
    /// A carrier of either kind.
    Here(Session, Kind),
    /// At a path where nobody is; answered by 404.
    Elsewhere(Session),
}

/// A carrier; `None` when it does not come about.
async fn handshake(incoming: Incoming) -> Option<Arrived> {
    let connection = incoming.accept().ok()?.await.ok()?;
    let data = connection.handshake_data()?.downcast::<HandshakeData>().ok()?;
    let [native, browser] = tls::ALPN_UDP;
    match data.protocol.as_deref()? {
        protocol if protocol == native => Some(Arrived::Here(Session::raw(connection), Kind::Quic)),
        protocol if protocol == browser => {
            let request = Request::accept(connection).await.ok()?;
            if request.url.path() == PATH {
                return Some(Arrived::Here(request.ok().await.ok()?, Kind::WebTransport));
            }
            request.respond(web_transport_quinn::http::StatusCode::NOT_FOUND).await.ok().map(Arrived::Elsewhere)
        }
        _ => None,
    }
}
