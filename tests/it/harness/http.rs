// SPDX-License-Identifier: AGPL-3.0-or-later
//! A small blocking HTTP/1.1 client over TLS or a Unix socket, so that tests see every byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use conclave::core::keys::sealing::AnnouncedKey;
use conclave::platform::entropy;
use conclave::platform::pki::tls;
use conclave::values::time::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned};
use serde_json::{Value, json};

use super::PATIENCE;

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// One connection: for one request ([`Connection::raw`], [`Connection::json`]) or for one after another
/// ([`Connection::exchange`]).
pub struct Connection {
    stream: Box<dyn Stream>,
    host: String,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first answer in what a server sent.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        parse(bytes)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Everything somebody sees of it, but its date, its request id and how many requests are left: what must not differ
    /// where nothing may be told.
    pub fn face(&self) -> String {
        let id = self.header("x-request-id").unwrap_or_default();
        let told = |(name, _): &&(String, String)| name != "date" && name != "ratelimit";
        let headers: Vec<_> =
            self.headers.iter().filter(told).map(|(name, value)| format!("{name}: {value}")).collect();
        let whole = format!("{}\n{}\n\n{}", self.status, headers.join("\n"), self.text());
        if id.is_empty() { whole } else { whole.replace(id, "<request id>") }
    }

    /// Whether the body is as long as its header says. A chunked one is whole once it parses.
    fn is_whole(&self) -> bool {
        self.header("content-length").is_none_or(|length| length.parse() == Ok(self.body.len()))
    }

    /// The stable code of a problem.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        self.json()["code"].as_str().unwrap().to_owned()
    }
}

impl Connection {
    /// To an admin socket.
    pub fn unix(path: &Path) -> Self {
        Self::try_unix(path).unwrap()
    }

    /// To an admin socket that may not be there.
    pub fn try_unix(path: &Path) -> std::io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: Box::new(stream), host: "appliance".to_owned() })
    }

    /// To HTTPS, verified against `root_pem`.
    pub fn tls(address: SocketAddr, name: &str, root_pem: &str) -> Self {
        Self::tls_with(address, name, &client_config(root_pem))
    }

    /// To HTTPS, with a configuration that many connections share.
    pub fn tls_with(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> Self {
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_nodelay(true).unwrap();
        let session =
            ClientConnection::new(Arc::clone(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
        Self { stream: Box::new(StreamOwned::new(session, tcp)), host: format!("{name}:{}", address.port()) }
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush())
    }

    /// Reads to the end of the connection, and what of it is an answer.
    pub fn read(self) -> Option<Answer> {
        parse(&self.read_all())
    }

    /// Reads to the end of the connection.
    pub fn read_all(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A peer that closes without close_notify has still said what it said.
        drop(self.stream.read_to_end(&mut bytes));
        bytes
    }

    /// One request with these exact body bytes.
    pub fn raw(mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.host);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !headers.iter().any(|(name, _)| *name == "content-length") && (!body.is_empty() || method != "GET") {
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        // The peer may refuse before it has read everything.
        drop(self.write(&[request.as_bytes(), body].concat()));
        self.read().expect("an answer")
    }

    /// One request of several on this connection; nothing when the peer went away before it answered.
    pub fn exchange(&mut self, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
        let body = body.map(|body| serde_json::to_vec(body).unwrap());
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.host);
        if let Some(body) = &body {
            request.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
        } else if method != "GET" {
            request.push_str("content-length: 0\r\n");
        }
        request.push_str("\r\n");
        self.write(&[request.as_bytes(), body.as_deref().unwrap_or_default()].concat()).ok()?;
        let (mut bytes, mut more) = (Vec::new(), [0; 4_096]);
        loop {
            if let Some(answer) = parse(&bytes).filter(Answer::is_whole) {
                return Some(answer);
            }
            match self.stream.read(&mut more) {
                Ok(0) | Err(_) => return None,
                Ok(read) => bytes.extend_from_slice(&more[..read]),
            }
        }
    }

    /// One request with a JSON body.
    pub fn json(self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        match body {
            Some(body) => {
                let headers = [headers, &[("content-type", "application/json")]].concat();
                self.raw(method, path, &headers, &serde_json::to_vec(body).unwrap())
            }
            None => self.raw(method, path, headers, &[]),
        }
    }
}

/// A client that trusts `root_pem` alone.
pub fn client_config(root_pem: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root_pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// The same, for a client whose clock is so many seconds ahead, or behind.
pub fn client_config_at(root_pem: &str, ahead_secs: i64) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root_pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_details(Arc::new(tls::provider()), Arc::new(Ahead(ahead_secs)))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

#[derive(Debug)]
struct Ahead(i64);

impl TimeProvider for Ahead {
    fn current_time(&self) -> Option<UnixTime> {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap();
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.as_secs().checked_add_signed(self.0)?)))
    }
}

/// A client that takes any certificate, as a person does who compares its fingerprint: before the claim there is no root.
pub fn insecure_client() -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    Arc::new(config)
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::provider().signature_verification_algorithms.supported_schemes()
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let pair = |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    let headers: Vec<_> = lines.filter_map(pair).collect();
    let mut body = bytes[end + 4..].to_vec();
    if headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked") {
        body = unchunk(&body)?;
    }
    Some(Answer { status, headers, body })
}

fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = bytes.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(bytes.get(line + 2..line + 2 + size)?);
        bytes = bytes.get(line + 4 + size..)?;
    }
}

/// Seals `plain` to an offer of `GET /api/v1/sign-in`, after checking the offer's signature.
pub fn seal(offer: &Value, origin: &str, plain: &Value) -> Value {
    let bytes = |value: &Value| URL_SAFE_NO_PAD.decode(value.as_str().unwrap()).unwrap();
    let key = &offer["sealing_key"];
    let not_after: Timestamp = serde_json::from_value(key["not_after"].clone()).unwrap();
    let announced = AnnouncedKey {
        id: key["id"].as_str().unwrap().parse().unwrap(),
        public_key: bytes(&key["public_key"]).try_into().unwrap(),
        not_after,
        signature: bytes(&key["signature"]).try_into().unwrap(),
    };
    let identity = conclave::core::keys::identity::PublicIdentity::from_bytes(&bytes(&offer["identity_key"])).unwrap();
    announced.verify(identity).unwrap();
    let challenge = bytes(&offer["challenge"]);
    let plain = serde_json::to_vec(plain).unwrap();
    let (sealed, _) = announced.seal(origin, &challenge, &plain, &mut entropy::system()).unwrap();
    json!({
        "key_id": key["id"], "challenge": offer["challenge"], "origin": origin,
        "encapsulated_key": URL_SAFE_NO_PAD.encode(sealed.encapsulated_key),
        "ciphertext": URL_SAFE_NO_PAD.encode(sealed.ciphertext),
    })
}
