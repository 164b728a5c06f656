// SPDX-License-Identifier: AGPL-3.0-or-later
//! One connection from accept to goodbye.
//!
//! Invariants: the protocol is known from the handshake (ALPN), never guessed from bytes that may not come; a
//! connection is always waited for together with its deadline and the drain signal. When a connection ends, hyper
//! ends the tasks of its HTTP/2 streams with it (a test holds it to that). Deliberately does not know what the router
//! routes.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;

use axum::Router;
use axum::body::Body as AxumBody;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::select;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use super::activity::{Activity, Verdict};
use super::body::{RequestBody, ResponseBody};
use super::drain::{Drain, Phase};
use super::gate::{Gate, Origin, Permit, count};
use super::limits::Limits;
use super::listen::{Backoff, Burst, is_of_one_connection};
use super::wire::Wire;
use super::{ALPN, Peer, TlsFor};

/// HTTP/2: bytes of request bodies on their way to us, per connection; two bodies of the default limit. RFC 9113,
/// section 6.9.2, starts at 65,535 and lets it be raised.
const H2_CONNECTION_WINDOW: u32 = 131_072;

/// HTTP/2: the same per request. RFC 9113's initial value.
const H2_STREAM_WINDOW: u32 = 65_535;

/// The smallest buffer hyper takes.
const H1_BUFFER_FLOOR: usize = 8_192;

/// What the connections of one listener are served with.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) gate: Arc<Gate>,
    pub(super) limits: Arc<Limits>,
    pub(super) drain: Drain,
    pub(super) router: Router,
}

/// Accepts TCP connections until the drain closes the listeners.
pub(super) async fn accept_network(listener: TcpListener, tls: Arc<dyn TlsFor>, site: Site) {
    let accept = || listener.accept();
    accept_loop(&site, accept, |(stream, remote)| {
        // The canonical form: an IPv4 client of a socket that takes both families is an IPv4 client.
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        if let Ok(permit) = site.gate.admit(Origin::Network(remote.ip())) {
            tokio::spawn(serve_network(stream, remote, permit, tls.clone(), site.clone()));
        }
    })
    .await;
}

/// Accepts connections of a Unix socket until the drain closes the listeners.
pub(super) async fn accept_local(listener: UnixListener, site: Site) {
    let accept = || listener.accept();
    accept_loop(&site, accept, |(stream, _)| {
        if let Ok(permit) = site.gate.admit(Origin::Local) {
            tokio::spawn(serve_local(stream, permit, site.clone()));
        }
    })
    .await;
}

/// Accepts until the drain says stop; hands over at once, so that nobody in the queue waits for another.
async fn accept_loop<T, F: Future<Output = io::Result<T>>>(site: &Site, accept: impl Fn() -> F, hand_over: impl Fn(T)) {
    let mut stop = pin!(site.drain.reached(Phase::Closed));
    let mut backoff = Backoff::default();
    loop {
        let accepted = select! {
            biased;
            () = &mut stop => return,
            accepted = accept() => accepted,
        };
        match accepted {
            Ok(connection) => {
                if backoff.recovered() {
                    tracing::info!("accepting connections again");
                }
                hand_over(connection);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                count(&site.gate.counters().accept_failed);
                let (pause, burst) = backoff.failed();
                if burst == Burst::Begins {
                    tracing::warn!(%error, "cannot accept connections; trying again until it works");
                }
                select! {
                    () = &mut stop => return,
                    () = sleep(pause) => {}
                }
            }
        }
    }
}

async fn serve_network(stream: TcpStream, remote: SocketAddr, permit: Permit, tls: Arc<dyn TlsFor>, site: Site) {
    let (stream, local) = select! {
        biased;
        // Who has no session yet has no request either.
        () = site.drain.reached(Phase::Finishing) => return,
        shaken = handshake(stream, &*tls, &site) => match shaken {
            Ok(established) => established,
            Err(error) => {
                let counters = site.gate.counters();
                count(match error {
                    HandshakeError::TimedOut => &counters.handshake_timed_out,
                    HandshakeError::Failed(_) => &counters.handshake_failed,
                });
                tracing::debug!(%error, "no TLS session");
                return;
            }
        },
    };
    let speaks_h2 = stream.get_ref().1.alpn_protocol() == Some(ALPN[0]);
    let peer = Peer::Network { remote, local };
    if speaks_h2 { serve_h2(stream, peer, permit, site).await } else { serve_h1(stream, peer, permit, site).await }
}

async fn serve_local(stream: UnixStream, permit: Permit, site: Site) {
    match stream.peer_cred() {
        Ok(cred) => {
            let peer = Peer::Local { uid: cred.uid(), gid: cred.gid(), pid: cred.pid() };
            serve_h1(stream, peer, permit, site).await;
        }
        Err(error) => tracing::debug!(%error, "a local peer without credentials was refused"),
    }
}

#[derive(Debug, thiserror::Error)]
enum HandshakeError {
    #[error("the handshake was not done at its deadline")]
    TimedOut,
    #[error("the handshake failed: {0}")]
    Failed(io::Error),
}

async fn handshake(
    stream: TcpStream,
    tls: &dyn TlsFor,
    site: &Site,
) -> Result<(TlsStream<TcpStream>, SocketAddr), HandshakeError> {
    let shaking = async {
        let local = stream.local_addr()?;
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        stream.set_nodelay(true)?;
        // Clamped: a bound of weeks is as good as none.
        let stall = u32::try_from(site.limits.stall.as_millis()).unwrap_or(u32::MAX);
        rustix::net::sockopt::set_tcp_user_timeout(&stream, stall)?;
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        // The turn is asked for only now: who connects and says nothing, or half a ClientHello, stands in
        // nobody's way.
        let _turn = site.gate.handshakes.acquire().await.map_err(io::Error::other)?;
        let stream = hello.into_stream(tls.tls_for(local)).await?;
        Ok((stream, local))
    };
    match timeout_at(Instant::now() + site.limits.handshake, shaking).await {
        Ok(shaken) => shaken.map_err(HandshakeError::Failed),
        Err(_) => Err(HandshakeError::TimedOut),
    }
}

async fn serve_h1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: Peer,
    permit: Permit,
    site: Site,
) {
    let activity = Activity::new(site.gate.clone(), Instant::now());
    let wire = Wire::new(stream, activity.clone(), site.limits.linger, permit);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(site.limits.header_read)
        .max_headers(site.limits.h1_headers)
        .max_buf_size(site.limits.h1_buffer.max(H1_BUFFER_FLOOR))
        .serve_connection(TokioIo::new(wire), Requests::new(&site, peer, activity.clone()))
        .with_upgrades();
    attend(connection, http1::UpgradeableConnection::graceful_shutdown, &activity, &site).await;
}

async fn serve_h2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: Peer,
    permit: Permit,
    site: Site,
) {
    let activity = Activity::new(site.gate.clone(), Instant::now());
    let wire = Wire::new(stream, activity.clone(), site.limits.linger, permit);
    let limits = &site.limits;
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_streams)
        .max_header_list_size(limits.h2_header_list)
        .max_send_buf_size(limits.h2_send_buffer)
        .max_pending_accept_reset_streams(limits.h2_pending_resets)
        .max_local_error_reset_streams(limits.h2_error_resets)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .keep_alive_interval(limits.h2_ping_interval)
        .keep_alive_timeout(limits.h2_ping_timeout)
        .serve_connection(TokioIo::new(wire), Requests::new(&site, peer, activity.clone()));
    attend(connection, http2::Connection::graceful_shutdown, &activity, &site).await;
}

/// Drives a connection until it ends, its deadlines end it, or the drain does.
async fn attend<C: Future>(connection: C, say_goodbye: fn(Pin<&mut C>), activity: &Activity, site: &Site) {
    let limits = &site.limits;
    let mut connection = pin!(connection);
    let mut finishing = pin!(site.drain.reached(Phase::Finishing));
    let mut aborting = pin!(site.drain.reached(Phase::Aborting));
    let mut is_finishing = false;
    // Set once the peer was told to go: when to stop waiting for it.
    let mut goodbye: Option<Instant> = None;
    loop {
        let now = Instant::now();
        let look_again = match activity.verdict(now, limits) {
            Verdict::Stalled => {
                count(&site.gate.counters().closed_stalled);
                return;
            }
            // A request that crossed our goodbye may finish.
            Verdict::Wait(until) if goodbye.is_none() || activity.busy() => until,
            Verdict::Idle | Verdict::Wait(_) => match goodbye {
                None => {
                    count(&site.gate.counters().closed_idle);
                    say_goodbye(connection.as_mut());
                    *goodbye.insert(now + limits.goodbye)
                }
                Some(until) if until <= now => return,
                Some(until) => until,
            },
        };
        select! {
            biased;
            () = &mut aborting => return,
            _ = connection.as_mut() => return,
            () = &mut finishing, if !is_finishing => {
                if activity.unused() {
                    return;
                }
                is_finishing = true;
                say_goodbye(connection.as_mut());
            }
            () = sleep_until(look_again) => {}
        }
    }
}

/// Hands requests to the router, with their peer and within their bounds.
struct Requests {
    router: Router,
    peer: Peer,
    limits: Arc<Limits>,
    activity: Arc<Activity>,
}

impl Requests {
    fn new(site: &Site, peer: Peer, activity: Arc<Activity>) -> Self {
        Self { router: site.router.clone(), peer, limits: site.limits.clone(), activity }
    }
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let exchange = self.activity.begin(Instant::now());
        let mut request = request.map(|body| AxumBody::new(RequestBody::new(body, &self.limits)));
        request.extensions_mut().insert(self.peer);
        let answer = self.router.clone().oneshot(request);
        Box::pin(async move { Ok(answer.await?.map(|body| ResponseBody::new(body, exchange))) })
    }
}
