// SPDX-License-Identifier: AGPL-3.0-or-later
//! The command line's side of the admin socket: HTTP/1.1 over a Unix socket, with the API's own types.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::api::error::ProblemBody;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("the appliance is not running: nothing answers on {path}. Start it (`systemctl start conclave`, or `conclave serve`), or name its socket with --admin-socket", path = path.display())]
    NotRunning {
        /// The socket that was tried.
        path: PathBuf,
    },
    /// The socket is not for this user.
    #[error("{path}: permission denied. Run this command as root (`sudo conclave …`) or as the appliance's own user", path = path.display())]
    NotPermitted {
        /// The socket that was tried.
        path: PathBuf,
    },
    /// The appliance refused.
    #[error("{}", .0.detail)]
    Refused(Box<ProblemBody>),
    /// The connection broke.
    #[error("the appliance broke off: {0}. If it is stopping, try again when it has started")]
    Broken(String),
    /// An answer of another release.
    #[error("the appliance gave an answer this command does not understand ({0}): use the command of the same release")]
    Unreadable(String),
}

/// A client of one admin socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the socket at `path`.
    pub fn new(path: &Path) -> Self {
        Self { socket: path.to_owned() }
    }

    /// `GET`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        read(&self.send(Method::GET, path, None).await?)
    }

    /// A request with a body and an answer.
    pub async fn send_json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Unreadable(error.to_string()))?;
        read(&self.send(method, path, Some(body)).await?)
    }

    /// A request that is answered by its status alone.
    pub async fn send_empty(&self, method: Method, path: &str) -> Result<(), ClientError> {
        self.send(method, path, None).await.map(drop)
    }

    /// `GET` of something long, piece by piece.
    pub async fn download(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<std::io::Result<()>, ClientError> {
        let mut body = self.ask(Method::GET, path, None).await?;
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(broken)?.into_data() else { continue };
            if let Err(error) = take(&piece) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    async fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Bytes, ClientError> {
        Ok(self.ask(method, path, body).await?.collect().await.map_err(broken)?.to_bytes())
    }

    /// The body of a good answer.
    async fn ask(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Incoming, ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.refused(&error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Ends with the connection; what goes wrong there shows in the request.
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "appliance");
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = Full::new(Bytes::from(body.unwrap_or_default()));
        let request = request.body(body).map_err(|error| ClientError::Unreadable(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let bytes = response.into_body().collect().await.map_err(broken)?.to_bytes();
        match serde_json::from_slice::<ProblemBody>(&bytes) {
            Ok(problem) if problem.status == StatusCode::UNAUTHORIZED.as_u16() => {
                Err(ClientError::NotPermitted { path: self.socket.clone() })
            }
            Ok(problem) => Err(ClientError::Refused(Box::new(problem))),
            Err(_) => Err(ClientError::Unreadable(format!("status {status}"))),
        }
    }

    fn refused(&self, error: &std::io::Error) -> ClientError {
        let path = self.socket.clone();
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => ClientError::NotPermitted { path },
            _ => ClientError::NotRunning { path },
        }
    }
}

/// Percent-encodes for a path or a query value (RFC 3986 §2.1).
pub fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(encode).collect()
}

fn broken(error: hyper::Error) -> ClientError {
    ClientError::Broken(error.to_string())
}

fn read<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, ClientError> {
    // Some answers are empty on purpose.
    let bytes: &[u8] = if bytes.is_empty() { b"null" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| ClientError::Unreadable(error.to_string()))
}
