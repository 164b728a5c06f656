// SPDX-License-Identifier: AGPL-3.0-or-later
//! The HTTP shell against clients that are slow, silent, greedy or in the way, and against its own drain.
//!
//! Every limit that a test is about is small, and every other one is an hour: so a refusal can come from nowhere
//! else, and a test whose protection is off runs into [`soon`].
//!
//! Proven by switching off each protection in turn (its limit overridden with an hour or with plenty inside
//! `Server::new`, or its line in `platform/https` taken out): each time the tests about it failed.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, Request};
use axum::routing::{get, post};
use bytes::Bytes;
use conclave::platform::https::{self, BodyError, Counts, Drain, Drained, Limits, LocalListener, Peer, Phase, Server};
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const HOUR: Duration = Duration::from_secs(3_600);

/// Long enough to measure by on a busy machine, short enough to wait for.
const SHORT: Duration = Duration::from_millis(300);

// ---- what is served

/// Limits that let everything pass, for a test to narrow down.
fn generous() -> Limits {
    Limits {
        connections: 10_000,
        connections_per_address: 10_000,
        local_connections: 10_000,
        handshakes: 10_000,
        handshake: HOUR,
        header_read: HOUR,
        body_bytes: 1 << 30,
        body_read: HOUR,
        idle: HOUR,
        stall: HOUR,
        goodbye: SHORT,
        h2_ping_interval: HOUR,
        drain_streams: HOUR,
        drain_finish: HOUR,
        ..Limits::default()
    }
}

/// A body whose pieces come from a channel.
struct Pieces(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}

fn events(drain: Drain) -> Body {
    let (sender, pieces) = mpsc::channel(4);
    tokio::spawn(async move {
        let _ = sender.send(Bytes::from_static(b"hello\n")).await;
        drain.streams_closed().await;
        let _ = sender.send(Bytes::from_static(b"bye\n")).await;
    });
    Body::new(Pieces(pieces))
}

/// As much as `/big`, in pieces of 1 MiB.
fn pieces() -> Body {
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(async move {
        for _ in 0..32 {
            let _ = sender.send(Bytes::from(vec![0x2e; 1 << 20])).await;
        }
    });
    Body::new(Pieces(pieces))
}

async fn upload(body: Result<Bytes, BytesRejection>) -> (StatusCode, String) {
    match body {
        Ok(bytes) => (StatusCode::OK, bytes.len().to_string()),
        Err(rejection) => match BodyError::find_in(&rejection) {
            Some(error @ BodyError::TooLarge { .. }) => (StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
            Some(error @ BodyError::TooSlow { .. }) => (StatusCode::REQUEST_TIMEOUT, error.to_string()),
            Some(error @ BodyError::Broken { .. }) => (StatusCode::BAD_REQUEST, error.to_string()),
            None => (StatusCode::INTERNAL_SERVER_ERROR, format!("not found in the chain: {rejection:?}")),
        },
    }
}

async fn peer(Extension(peer): Extension<Peer>) -> String {
    match peer {
        Peer::Network { remote, local } => format!("{remote} {local}"),
        Peer::Local { uid, gid, pid } => format!("{uid} {gid} {}", pid.unwrap_or(0)),
    }
}

/// Never answers with an end. Takes the connection away from HTTP, and echoes.
async fn upgrade(request: Request) -> Response<Body> {
    tokio::spawn(async move {
        let mut stream = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let _ = stream.read(&mut bytes).await;
    });
    let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    response.header("connection", "upgrade").header("upgrade", "echo").body(Body::empty()).unwrap()
}

struct House {
    server: Server,
    address: SocketAddr,
    roots: Identity,
    held_up: Arc<HeldUp>,
    /// Held by each handler of `/stuck` while it exists.
    stuck: Arc<()>,
}

/// The requests to `/wait`.
#[derive(Default)]
struct HeldUp {
    waiting: AtomicUsize,
    /// Lets them go on.
    go: Notify,
}

#[derive(Clone)]
struct Identity {
    certificate: CertificateDer<'static>,
    tls: Arc<ServerConfig>,
}

fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    tls.alpn_protocols = https::ALPN.map(<[u8]>::to_vec).to_vec();
    Identity { certificate, tls: Arc::new(tls) }
}

fn router(server: &Server, held_up: &Arc<HeldUp>, stuck: &Arc<()>) -> Router {
    let drain = server.drain_signal();
    let (health, held_up, stuck) = (drain.clone(), held_up.clone(), stuck.clone());
    Router::new()
        .route("/hello", get(async || "hello"))
        .route("/health", get(async move || if health.is_stopping() { "stopping" } else { "ready" }))
        .route("/peer", get(peer))
        .route("/upload", post(upload))
        .route("/big", get(async || Bytes::from(vec![0x2e; 32 << 20])))
        .route("/pieces", get(async || pieces()))
        .route("/events", get(async move || events(drain.clone())))
        .route("/upgrade", get(upgrade))
        .route(
            "/wait",
            get(async move || {
                let going = held_up.go.notified();
                held_up.waiting.fetch_add(1, Ordering::Relaxed);
                going.await;
                "waited"
            }),
        )
        .route(
            "/stuck",
            get(async move || {
                let _held = stuck.clone();
                std::future::pending::<()>().await;
            }),
        )
}

fn open_house(limits: Limits) -> House {
    let roots = identity();
    let mut server = Server::new(limits);
    let (held_up, stuck) = (Arc::default(), Arc::new(()));
    let router = router(&server, &held_up, &stuck);
    let listener = https::bind(&[SocketAddr::from((Ipv4Addr::LOCALHOST, 0))]).unwrap().0.remove(0);
    let address = listener.address();
    let tls = roots.tls.clone();
    server.serve_tls(listener, Arc::new(move |_| tls.clone()), router).unwrap();
    House { server, address, roots, held_up, stuck }
}

impl House {
    fn counts(&self) -> Counts {
        self.server.counters().snapshot()
    }

    fn waiting(&self) -> usize {
        self.held_up.waiting.load(Ordering::Relaxed)
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn tls(&self, alpn: &[u8]) -> io::Result<TlsStream<TcpStream>> {
        shake_hands(self.tcp().await, &self.roots.certificate, alpn).await
    }

    async fn h1(&self) -> http1::SendRequest<Full<Bytes>> {
        h1_over(self.tls(b"http/1.1").await.unwrap()).await
    }

    async fn h2(&self) -> http2::SendRequest<Full<Bytes>> {
        let stream = self.tls(b"h2").await.unwrap();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// An honest visitor's whole visit.
    async fn visit(&self) {
        let answer = self.h1().await.send_request(ask("/hello")).await.unwrap();
        assert_eq!(text(answer).await, (StatusCode::OK, "hello".to_owned()));
    }

    /// Sends raw bytes over TLS as HTTP/1.1, and reads to the end whatever comes.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.tls(b"http/1.1").await.unwrap();
        stream.write_all(bytes).await.unwrap();
        to_end(&mut stream).await
    }
}

// ---- who asks

async fn shake_hands(
    stream: TcpStream,
    trusted: &CertificateDer<'static>,
    alpn: &[u8],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

async fn h1_over<S>(stream: S) -> http1::SendRequest<Full<Bytes>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn ask(path: &str) -> hyper::Request<Full<Bytes>> {
    let uri = format!("https://localhost{path}");
    hyper::Request::get(uri).header("host", "localhost").body(Full::default()).unwrap()
}

async fn text(answer: Response<Incoming>) -> (StatusCode, String) {
    let status = answer.status();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

/// Everything until the other side is done, in whichever way it ends.
async fn to_end(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    let mut some = [0; 4_096];
    while let Ok(1..) = stream.read(&mut some).await.inspect(|n| all.extend_from_slice(&some[..*n])) {}
    String::from_utf8_lossy(&all).into_owned()
}

/// What must happen, and does so in far less than the hour of a limit that is off.
async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(15), happens).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// Waits until `holds`.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    soon(what, async {
        while !holds() {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

// ---- who is served

#[tokio::test]
async fn both_versions_are_served_and_know_their_peer() {
    let house = open_house(generous());
    let stream = house.tls(b"http/1.1").await.unwrap();
    let from = stream.get_ref().0.local_addr().unwrap();
    let expected = (StatusCode::OK, format!("{from} {}", house.address));
    assert_eq!(text(h1_over(stream).await.send_request(ask("/peer")).await.unwrap()).await, expected);
    let answer = house.h2().await.send_request(ask("/peer")).await.unwrap();
    assert_eq!(answer.version(), hyper::Version::HTTP_2);
    assert!(text(answer).await.1.ends_with(&house.address.to_string()));
}

#[tokio::test]
async fn a_local_peer_is_who_the_kernel_says() {
    let mut house = open_house(Limits { local_connections: 1, ..generous() });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let listener = LocalListener::from_std(std::os::unix::net::UnixListener::bind(&path).unwrap()).unwrap();
    let router = router(&house.server, &house.held_up, &house.stuck);
    house.server.serve_local(listener, router).unwrap();

    let mut sender = h1_over(UnixStream::connect(&path).await.unwrap()).await;
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let expected = format!("{uid} {gid} {}", std::process::id());
    assert_eq!(text(sender.send_request(ask("/peer")).await.unwrap()).await, (StatusCode::OK, expected));

    let mut second = UnixStream::connect(&path).await.unwrap();
    assert_eq!(soon("the second is closed", to_end(&mut second)).await, "");
    assert_eq!(house.counts().refused_total, 1);
}

#[tokio::test]
async fn a_new_certificate_serves_the_next_connection() {
    let (old, new) = (identity(), identity());
    let current = Arc::new(Mutex::new(old.tls.clone()));
    let mut house = open_house(generous());
    let listener = https::bind(&[SocketAddr::from((Ipv4Addr::LOCALHOST, 0))]).unwrap().0.remove(0);
    let address = listener.address();
    let (chosen, asked_for) = (current.clone(), Arc::new(Mutex::new(Vec::new())));
    let log = asked_for.clone();
    let tls = move |local: SocketAddr| {
        log.lock().unwrap().push(local);
        chosen.lock().unwrap().clone()
    };
    let router = router(&house.server, &house.held_up, &house.stuck);
    house.server.serve_tls(listener, Arc::new(tls), router).unwrap();

    let connect = async |trusted: &Identity| {
        let stream = TcpStream::connect(address).await.unwrap();
        shake_hands(stream, &trusted.certificate, b"http/1.1").await
    };
    let mut kept = h1_over(connect(&old).await.unwrap()).await;
    assert!(connect(&new).await.is_err());
    *current.lock().unwrap() = new.tls.clone();
    let mut fresh = h1_over(connect(&new).await.unwrap()).await;
    assert!(connect(&old).await.is_err());
    assert_eq!(text(fresh.send_request(ask("/hello")).await.unwrap()).await.1, "hello");
    assert_eq!(text(kept.send_request(ask("/hello")).await.unwrap()).await.1, "hello");
    assert!(asked_for.lock().unwrap().iter().all(|local| *local == address));
}

#[tokio::test]
async fn an_upgraded_connection_keeps_its_permit() {
    let house = open_house(generous());
    let mut stream = house.tls(b"http/1.1").await.unwrap();
    let request = b"GET /upgrade HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    stream.write_all(b"howdy").await.unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!((&echo, house.counts().open), (b"howdy", 1));
    drop(stream);
    eventually("the permit is back", || house.counts().open == 0).await;
}

// ---- who is slow, silent or stuck

#[tokio::test]
async fn headers_that_dribble_are_cut_at_the_deadline() {
    let house = open_house(Limits { header_read: SHORT, ..generous() });
    let (mut reader, mut writer) = tokio::io::split(house.tls(b"http/1.1").await.unwrap());
    let dribble = tokio::spawn(async move {
        writer.write_all(b"GET /hello HTTP/1.1\r\nx: ").await.unwrap();
        while writer.write_all(b"y").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(soon("the connection is closed", to_end(&mut reader)).await, "");
    eventually("its permit is back", || house.counts().open == 0).await;
    dribble.abort();
    house.visit().await;
}

#[tokio::test]
async fn a_session_without_a_request_is_closed() {
    let house = open_house(Limits { header_read: SHORT, ..generous() });
    for alpn in https::ALPN {
        let mut stream = house.tls(alpn).await.unwrap();
        soon("the silent session is closed", to_end(&mut stream)).await;
    }
    eventually("permits are back", || house.counts().open == 0).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_waiting_one_is_not() {
    let house = open_house(Limits { idle: SHORT, stall: SHORT, ..generous() });
    let mut waiting = house.h2().await;
    let answer = tokio::spawn(waiting.send_request(ask("/wait")));
    let mut idle = house.h2().await;
    assert_eq!(text(idle.send_request(ask("/hello")).await.unwrap()).await.1, "hello");
    eventually("the idle one is told to go", || idle.is_closed()).await;
    eventually("one is left", || house.counts().open == 1).await;
    house.held_up.go.notify_one();
    assert_eq!(text(answer.await.unwrap().unwrap()).await.1, "waited");
}

#[tokio::test]
async fn who_does_not_read_the_answer_is_cut() {
    let house = open_house(Limits { stall: SHORT, ..generous() });
    for (cut, path) in (1..).zip(["/big", "/pieces"]) {
        let mut stream = house.tls(b"http/1.1").await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
        eventually("the HTTP/1.1 connection is cut", || house.counts().closed_stalled == cut).await;
        drop(stream);
    }
    // An HTTP/2 client can close the window and answer every ping meanwhile.
    let answer = house.h2().await.send_request(ask("/pieces")).await.unwrap();
    eventually("the HTTP/2 connection is cut", || house.counts().closed_stalled == 3).await;
    eventually("permits are back", || house.counts().open == 0).await;
    drop(answer);
}

#[tokio::test]
async fn a_response_that_waits_behind_a_closed_window_is_idle() {
    let house = open_house(Limits { idle: SHORT, ..generous() });
    let answer = house.h2().await.send_request(ask("/big")).await.unwrap();
    eventually("permits are back", || house.counts().open == 0).await;
    assert_eq!(house.counts().closed_idle, 1);
    drop(answer);
}

#[tokio::test]
async fn half_open_tls_is_dropped_at_the_deadline() {
    let house = open_house(Limits { handshake: SHORT, ..generous() });
    let mut silent = house.tcp().await;
    eventually("it holds a permit", || house.counts().open == 1).await;
    assert_eq!(soon("it is closed", to_end(&mut silent)).await, "");
    eventually("its permit is back", || house.counts().open == 0).await;
    assert_eq!(house.counts().handshake_timed_out, 1);
    house.visit().await;
}

#[tokio::test]
async fn three_hundred_half_open_connections_are_in_nobodys_way() {
    // Fewer turns than dawdlers: who has not sent a whole ClientHello must hold none.
    let house = open_house(Limits { handshakes: 4, ..generous() });
    let mut dawdlers = Vec::new();
    for number in 0..300 {
        let mut stream = house.tcp().await;
        if number % 3 == 0 {
            // A handshake record of 512 bytes (RFC 8446, section 5.1) that stops after its first ones.
            stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00]).await.unwrap();
        }
        dawdlers.push(stream);
    }
    eventually("all are in", || house.counts().open == 300).await;
    soon("the honest one is served", house.visit()).await;
    assert_eq!(house.counts().accepted, 301);
}

// ---- who sends too much, or not what was agreed

#[tokio::test]
async fn an_absurd_content_length_is_refused_unread() {
    let house = open_house(Limits { body_bytes: 1_000, ..generous() });
    for expect in ["", "expect: 100-continue\r\n"] {
        let head = format!("POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000000\r\n{expect}\r\n");
        let answer = soon("it is refused without a byte of it", house.raw(head.as_bytes())).await;
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("larger than 1000 bytes"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_without_length_is_cut_at_the_limit() {
    let house = open_house(Limits { body_bytes: 1_000, ..generous() });
    let chunked = |length: usize| {
        let body = "y".repeat(length);
        format!("POST /upload HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n")
    };
    let answer = soon("a longer one is cut", house.raw(chunked(1_001).as_bytes())).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");

    let mut stream = house.tls(b"http/1.1").await.unwrap();
    stream.write_all(format!("{}0\r\n\r\n", chunked(1_000)).as_bytes()).await.unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK", "one of just the limit passes");

    let stream = house.tls(b"h2").await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (pieces, body) = mpsc::channel(4);
    pieces.send(Bytes::from(vec![0; 1_001])).await.unwrap();
    let answer = sender.send_request(hyper::Request::post("https://localhost/upload").body(Pieces(body)).unwrap());
    let answer = soon("over HTTP/2 too", answer).await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn the_refusal_reaches_a_client_that_is_still_sending() {
    let house = open_house(Limits { body_bytes: 1_000, ..generous() });
    for _ in 0..20 {
        let mut stream = house.tls(b"http/1.1").await.unwrap();
        stream.write_all(b"POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 300000\r\n\r\n").await.unwrap();
        // More than our side reads, less than it is ready to throw away.
        for _ in 0..20 {
            stream.write_all(&[0x2e; 15_000]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let answer = soon("it is answered", to_end(&mut stream)).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_that_dribbles_is_refused_at_the_deadline() {
    let house = open_house(Limits { body_read: SHORT, ..generous() });
    let (mut reader, mut writer) = tokio::io::split(house.tls(b"http/1.1").await.unwrap());
    let dribble = tokio::spawn(async move {
        writer.write_all(b"POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 50000\r\n\r\n").await.unwrap();
        while writer.write_all(b"y").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    let answer = soon("it is refused", to_end(&mut reader)).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    dribble.abort();
}

#[tokio::test]
async fn huge_headers_are_refused() {
    let house = open_house(generous());
    let one_long = format!("GET /hello HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    let many = format!("GET /hello HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(64));
    for request in [one_long, many] {
        let answer = soon("it is refused", house.raw(request.as_bytes())).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let mut request = ask("/hello");
    request.headers_mut().insert("x", "y".repeat(20_000).parse().unwrap());
    let answer = soon("over HTTP/2 too", house.h2().await.send_request(request)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn what_is_not_tls_is_hung_up_on() {
    let house = open_house(generous());
    let garbage: Vec<u8> = (0..2_000_u32).map(|n| u8::try_from(n * 167 % 251).unwrap()).collect();
    for (failed, bytes) in
        [&garbage[..], b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n", &[0x16, 0x03, 0x01, 0, 4, 0xff, 0, 0, 0]]
            .into_iter()
            .enumerate()
    {
        let mut stream = house.tcp().await;
        stream.write_all(bytes).await.unwrap();
        let answer = soon("it is closed", to_end(&mut stream)).await;
        assert!(!answer.contains("HTTP"), "{answer}");
        assert_eq!(house.counts().handshake_failed, u64::try_from(failed).unwrap() + 1);
    }
    eventually("permits are back", || house.counts().open == 0).await;
    house.visit().await;
}

// ---- how many there may be

#[tokio::test]
async fn a_full_house_refuses_and_recovers() {
    let house = open_house(Limits { connections: 2, ..generous() });
    let (first, _second) = (house.tcp().await, house.h1().await);
    eventually("the house is full", || house.counts().open == 2).await;
    let mut third = house.tcp().await;
    assert_eq!(soon("the third is closed at once", to_end(&mut third)).await, "");
    assert_eq!((house.counts().refused_total, house.counts().refused_address), (1, 0));
    drop(first);
    eventually("a permit is back", || house.counts().open == 1).await;
    house.visit().await;
}

#[tokio::test]
async fn one_address_cannot_take_the_house() {
    let house = open_house(Limits { connections_per_address: 2, ..generous() });
    let held = (house.tcp().await, house.tcp().await);
    eventually("both are in", || house.counts().open == 2).await;
    let mut third = house.tcp().await;
    assert_eq!(soon("the third is closed at once", to_end(&mut third)).await, "");
    assert_eq!((house.counts().refused_total, house.counts().refused_address), (0, 1));

    let neighbour = TcpSocket::new_v4().unwrap();
    neighbour.bind(SocketAddr::new(IpAddr::from([127, 0, 0, 2]), 0)).unwrap();
    let stream = neighbour.connect(house.address).await.unwrap();
    let mut sender = h1_over(shake_hands(stream, &house.roots.certificate, b"http/1.1").await.unwrap()).await;
    assert_eq!(text(sender.send_request(ask("/hello")).await.unwrap()).await.1, "hello");

    drop(held);
    eventually("permits are back", || house.counts().open == 1).await;
    house.visit().await;
}

// ---- how it stops

#[tokio::test]
async fn the_drain_goes_in_order() {
    let house = open_house(generous());
    let drain = house.server.drain_signal();
    let mut stream = house.h2().await.send_request(ask("/events")).await.unwrap().into_body();
    assert_eq!(stream.frame().await.unwrap().unwrap().into_data().unwrap(), "hello\n");
    let mut idle = house.h1().await;
    assert_eq!(text(idle.send_request(ask("/health")).await.unwrap()).await.1, "ready");
    let mut busy = house.h1().await;
    let answer = tokio::spawn(busy.send_request(ask("/wait")));
    let mut half_open = house.tcp().await;
    eventually("all are in", || house.counts().open == 4 && house.waiting() == 1).await;

    let phases = tokio::spawn({
        let drain = drain.clone();
        async move {
            let all = [Phase::Stopping, Phase::Closed, Phase::StreamsClosing, Phase::Finishing, Phase::Aborting];
            for phase in all {
                drain.reached(phase).await;
                assert_eq!(drain.phase(), phase);
            }
        }
    });
    let House { server, address, held_up, .. } = house;
    let drained = tokio::spawn(server.drain());

    // Streams end while everybody else is still served, and nobody new is let in.
    let last_word = soon("the stream says goodbye", stream.frame()).await;
    assert_eq!(last_word.unwrap().unwrap().into_data().unwrap(), "bye\n");
    assert_eq!(soon("the stream ends", stream.collect()).await.unwrap().to_bytes(), "");
    assert_eq!(drain.phase(), Phase::StreamsClosing);
    assert!(TcpStream::connect(address).await.is_err());
    assert_eq!(text(idle.send_request(ask("/health")).await.unwrap()).await.1, "stopping");

    // The last request finishes; idle and half-open connections are closed.
    held_up.go.notify_one();
    assert_eq!(text(soon("it finishes", answer).await.unwrap().unwrap()).await.1, "waited");
    eventually("the idle connection is closed", || idle.is_closed()).await;
    assert_eq!(soon("the half-open one is closed", to_end(&mut half_open)).await, "");
    let report = soon("the drain ends", drained).await.unwrap();
    assert_eq!(report, Drained { finished: 4, aborted: 0 });
    soon("all phases pass", phases).await.unwrap();
    assert_eq!(drain.phase(), Phase::Stopped);
}

#[tokio::test]
async fn a_request_in_flight_finishes_after_idle_connections_are_gone() {
    let house = open_house(Limits { drain_streams: Duration::ZERO, ..generous() });
    let drain = house.server.drain_signal();
    let (mut over_h1, mut over_h2, mut idle) = (house.h1().await, house.h2().await, house.h1().await);
    let answers = [tokio::spawn(over_h1.send_request(ask("/wait"))), tokio::spawn(over_h2.send_request(ask("/wait")))];
    assert_eq!(text(idle.send_request(ask("/hello")).await.unwrap()).await.1, "hello");
    eventually("both handlers wait", || house.waiting() == 2).await;
    let counters = house.server.counters();
    let drained = tokio::spawn(house.server.drain());
    eventually("the idle one is gone", || counters.snapshot().open == 2).await;
    assert_eq!(drain.phase(), Phase::Finishing);
    house.held_up.go.notify_waiters();
    for answer in answers {
        assert_eq!(text(answer.await.unwrap().unwrap()).await, (StatusCode::OK, "waited".to_owned()));
    }
    assert_eq!(soon("the drain ends", drained).await.unwrap(), Drained { finished: 3, aborted: 0 });
}

#[tokio::test]
async fn what_is_stuck_is_aborted_and_reported() {
    let limits = Limits { drain_streams: Duration::ZERO, drain_finish: SHORT, ..generous() };
    let house = open_house(limits);
    let (mut over_h1, mut over_h2) = (house.h1().await, house.h2().await);
    let answers =
        [tokio::spawn(over_h1.send_request(ask("/stuck"))), tokio::spawn(over_h2.send_request(ask("/stuck")))];
    let others = Arc::strong_count(&house.stuck);
    eventually("both handlers run", || Arc::strong_count(&house.stuck) >= others + 2).await;
    assert_eq!(soon("the drain ends", house.server.drain()).await, Drained { finished: 0, aborted: 2 });
    for answer in answers {
        let error = soon("the client learns it", answer).await.unwrap().unwrap_err();
        assert!(error.source().is_some() || error.is_incomplete_message() || error.is_closed(), "{error:?}");
    }
    eventually("the handlers are gone", || Arc::strong_count(&house.stuck) <= 1).await;
}
