// SPDX-License-Identifier: AGPL-3.0-or-later
//! Certificates and TLS, as other people's programs see them: OpenSSL, rustls-webpki, Chromium.
//!
//! Every negative case has a control without the protection, in which the same certificate or the same client
//! passes; so no case is refused for a reason of its own. Needs `openssl`, `chromium` and NSS' `certutil`.
//! Here: what the three parts share.

mod constraints;
mod policy;
mod renewal;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, HandshakeKind, NamedGroup, RootCertStore, ServerConfig,
    ServerConnection,
};

use conclave::platform::clock::Clock;
use conclave::platform::pki::{Authority, Fingerprint, Leaf, LeafUse, Scope, Subject};
use conclave::values::time::Timestamp;

/// A client or server of a test that says nothing for so long is stuck.
const STUCK: Duration = Duration::from_secs(20);

fn scope() -> Scope {
    Scope::parse(&["conclave.test"], &["10.20.0.0/16", "fd20::/16", "127.0.0.1"]).unwrap()
}

fn now() -> Timestamp {
    Clock::system().now()
}

fn loopback_subject() -> Subject {
    Subject::new(["xr.conclave.test".parse().unwrap()], [IpAddr::from(Ipv4Addr::LOCALHOST)])
}

fn loopback() -> (Authority, Leaf) {
    let (authority, _) = Authority::mint(scope(), "Lab 3", now()).unwrap();
    let leaf = authority.issue(LeafUse::Tcp, &loopback_subject(), now()).unwrap();
    (authority, leaf)
}

/// Answers every request with one text, on a port of its own, until dropped.
struct Server {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn tls(config: Arc<ServerConfig>) -> Self {
        Self::start(move |stream| {
            let connection = ServerConnection::new(config.clone()).unwrap();
            // Clients that refuse the certificate hang up; they are asked what they saw.
            _ = answer(rustls::StreamOwned::new(connection, stream), "text/javascript", "1");
        })
    }

    fn plain(page: String) -> Self {
        Self::start(move |stream| _ = answer(stream, "text/html", &page))
    }

    fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (address, over) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let (stop, serve) = (over.clone(), Arc::new(serve));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (stream, serve) = (stream.unwrap(), serve.clone());
                stream.set_read_timeout(Some(STUCK)).unwrap();
                // Browsers open connections they may never use.
                thread::spawn(move || serve(stream));
            }
        });
        Self { address, over, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
        _ = self.thread.take().map(JoinHandle::join);
    }
}

fn answer(stream: impl Read + Write, kind: &str, body: &str) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line)? > 2 {
        line.clear();
    }
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let stream = stream.get_mut();
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    stream.flush()
}

/// One leaf for everybody.
#[derive(Debug)]
struct Fixed(Arc<CertifiedKey>);

impl ResolvesServerCert for Fixed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

fn fixed(leaf: &Leaf) -> Arc<dyn ResolvesServerCert> {
    Arc::new(Fixed(leaf.certified_key().clone()))
}

/// What a client saw of a handshake.
struct Seen {
    leaf: Fingerprint,
    suite: CipherSuite,
    group: NamedGroup,
    alpn: Option<Vec<u8>>,
    resumed: Option<HandshakeKind>,
}

fn connect(address: SocketAddr, authority: &Authority, provider: CryptoProvider, alpn: &[&[u8]]) -> Seen {
    handshake(address, client_config(authority, provider, alpn))
}

fn client_config(authority: &Authority, provider: CryptoProvider, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.root_der().to_vec())).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

fn handshake(address: SocketAddr, config: Arc<ClientConfig>) -> Seen {
    let connection = ClientConnection::new(config, ServerName::from(address.ip()).to_owned()).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(STUCK)).unwrap();
    let mut tls = rustls::StreamOwned::new(connection, stream);
    tls.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // To the end, so that tickets are seen if there are any.
    let mut text = Vec::new();
    _ = tls.read_to_end(&mut text);
    assert!(text.starts_with(b"HTTP/1.1 200"));
    Seen {
        leaf: Fingerprint::of(tls.conn.peer_certificates().unwrap().first().unwrap()),
        suite: tls.conn.negotiated_cipher_suite().unwrap().suite(),
        group: tls.conn.negotiated_key_exchange_group().map(|group| group.name()).unwrap(),
        alpn: tls.conn.alpn_protocol().map(<[u8]>::to_vec),
        resumed: tls.conn.handshake_kind(),
    }
}
