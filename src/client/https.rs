// SPDX-License-Identifier: Apache-2.0 OR MIT
//! JSON over HTTPS: one connection a request, problems (RFC 9457) as errors.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::client::ClientError;
use crate::client::resolve::Server;
use crate::client::trust::Trust;

/// How long an answer may take, the connection included: a sign-in waits for its password hash.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest answer, in bytes.
const ANSWER_MAX: usize = 1 << 20;

/// A client of one appliance's API.
#[derive(Clone)]
pub struct Https {
    server: Server,
    addresses: Vec<SocketAddr>,
    tls: TlsConnector,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    title: String,
    detail: String,
    way_out: String,
}

impl Https {
    /// A client that trusts one root and tries these addresses.
    pub fn new(server: Server, addresses: Vec<SocketAddr>, trust: &Trust) -> Result<Self, ClientError> {
        let tls = TlsConnector::from(Arc::new(trust.tls(&[b"http/1.1"])?));
        Ok(Self { server, addresses, tls })
    }

    /// The appliance.
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// Its addresses.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// A request; `null` is the answer of one that is answered by its status alone.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let unreachable = |reason: String| ClientError::Connect { server: self.server.to_string(), reason };
        let slow = |_| unreachable("it does not answer in time".to_owned());
        timeout(PATIENCE, self.exchange(method, path, token, body)).await.map_err(slow)?
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let broken =
            |error: hyper::Error| ClientError::Connect { server: self.server.to_string(), reason: error.to_string() };
        let stream = self.connect().await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Ends with the request; what goes wrong there shows in it.
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", self.server.authority());
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| ClientError::Unreadable(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let bytes = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        let bytes = bytes.map_err(|error| ClientError::Unreadable(error.to_string()))?.to_bytes();
        if status.is_success() {
            let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
            return serde_json::from_slice(bytes).map_err(|error| ClientError::Unreadable(error.to_string()));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Problem { code, title, detail, way_out }) => Err(ClientError::Refused { code, title, detail, way_out }),
            Err(_) => Err(ClientError::Unreadable(format!("status {status}"))),
        }
    }

    async fn connect(&self) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ClientError> {
        let unreachable = |reason: String| ClientError::Connect { server: self.server.to_string(), reason };
        let name = ServerName::try_from(self.server.name().to_owned());
        let name = name.map_err(|error| unreachable(error.to_string()))?;
        let mut last = unreachable("it has no address".to_owned());
        for address in &self.addresses {
            let stream = match TcpStream::connect(address).await {
                Ok(stream) => stream,
                Err(error) => {
                    last = unreachable(error.to_string());
                    continue;
                }
            };
            match self.tls.connect(name.clone(), stream).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = unreachable(error.to_string()),
            }
        }
        Err(last)
    }
}
