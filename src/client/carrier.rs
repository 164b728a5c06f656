// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A carrier to the relay: raw QUIC, or WebTransport over HTTP/3. Both are one kind of session from there on.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use quinn::Endpoint;
use tokio::time::timeout;
use web_transport_quinn::proto::ConnectRequest;
use web_transport_quinn::{Session, SessionError, WebTransportError};

use crate::client::ClientError;
use crate::client::resolve::Server;
use crate::client::trust::Trust;
use crate::platform::suites::ALPN_UDP;
use crate::wire::close::CloseCode;

/// How long a carrier may take to come about.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Raw QUIC.
    Quic,
    /// WebTransport over HTTP/3.
    WebTransport,
}

/// Opens a carrier to the first address that answers.
pub async fn connect(
    kind: Kind,
    server: &Server,
    addresses: &[SocketAddr],
    trust: &Trust,
) -> Result<Session, ClientError> {
    let unreachable = |reason: String| ClientError::Connect { server: server.to_string(), reason };
    let mut last = unreachable("it has no address".to_owned());
    for address in addresses {
        match timeout(PATIENCE, open(kind, server, *address, trust)).await {
            Ok(Ok(session)) => return Ok(session),
            Ok(Err(reason)) => last = unreachable(reason),
            Err(_) => last = unreachable("the relay does not answer over UDP".to_owned()),
        }
    }
    Err(last)
}

async fn open(kind: Kind, server: &Server, address: SocketAddr, trust: &Trust) -> Result<Session, String> {
    let own: SocketAddr =
        if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let endpoint = Endpoint::client(own).map_err(|error| error.to_string())?;
    let [native, browser] = ALPN_UDP;
    let protocol = match kind {
        Kind::Quic => native,
        Kind::WebTransport => browser,
    };
    let config = trust.quic(protocol).map_err(|error| error.to_string())?;
    let connecting = endpoint.connect_with(config, address, server.name()).map_err(|error| error.to_string())?;
    let connection = connecting.await.map_err(|error| error.to_string())?;
    match kind {
        Kind::Quic => Ok(Session::raw(connection)),
        Kind::WebTransport => {
            let url: url::Url = format!("{server}/xr/v1").parse().map_err(|_| "no URL".to_owned())?;
            Session::connect(connection, ConnectRequest::new(url)).await.map_err(|error| error.to_string())
        }
    }
}

/// Why a carrier ended.
pub fn ending(session: &Session) -> ClientError {
    match session.close_reason() {
        Some(SessionError::WebTransportError(WebTransportError::Closed(code, _))) => {
            CloseCode::from_number(code).map_or(ClientError::Lost, ClientError::Closed)
        }
        _ => ClientError::Lost,
    }
}
