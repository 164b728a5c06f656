// SPDX-License-Identifier: AGPL-3.0-or-later
//! The HTTP serving shell: accept, TLS, connection permits, header and body deadlines, drain.
//!
//! One router is served on TCP behind TLS (HTTP/1.1 and HTTP/2, chosen by ALPN) and on Unix sockets (HTTP/1.1).
//! Every request carries a [`Peer`] extension, and a body that ends with a [`BodyError`] when it is too large or
//! too slow.
//!
//! | file | owns |
//! |---|---|
//! | `limits` | every bound, with its unit and its reason |
//! | `listen` | sockets, and what to do when one cannot be had |
//! | `gate` | connection permits and the counters |
//! | `connection` | one connection from handshake to goodbye |
//! | `activity` | whom a connection waits for, and since when |
//! | `body` | request bodies within bounds, response bodies watched |
//! | `wire` | the byte stream: holds the permit, notes progress, closes so that the last answer arrives |
//! | `drain` | the phases of stopping |
//!
//! Invariants: nothing a peer does or omits holds a resource for ever; every wait on a peer has a deadline; every
//! queue is the connection permits themselves; no lock is held across an await; the address of a person is never
//! logged.
//!
//! It deliberately knows no route, no status code but those hyper sends for requests it cannot parse, no
//! certificate, and no user. Runs on a current-thread runtime; needs no thread of its own.

mod activity;
mod body;
mod connection;
mod drain;
mod gate;
mod limits;
mod listen;
mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub use body::BodyError;
pub use drain::{Drain, Drained, Phase};
pub use gate::{Counters, Counts};
pub use limits::Limits;
pub use listen::{ListenError, Listener, LocalListener, bind};

use connection::Site;
use gate::Gate;

/// The application protocols that a TLS configuration for this server offers, preferred first (RFC 7301).
///
/// A configuration without them serves HTTP/1.1.
pub const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Who is at the other end; an extension of every request. Shows no remote address in its `Debug` form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Over TLS. Addresses in canonical form: an IPv4 client is one, whatever the socket.
    Network {
        /// The client's address, as the kernel saw it.
        remote: SocketAddr,
        /// The address of ours that the client reached.
        local: SocketAddr,
    },
    /// Over a Unix socket. What the kernel vouched for when the peer connected.
    Local {
        /// Effective user id.
        uid: u32,
        /// Effective group id.
        gid: u32,
        /// Process id; for messages only, since the process may be gone and its id reused.
        pid: Option<i32>,
    },
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { local, .. } => write!(f, "Network {{ remote: …, local: {local} }}"),
            Self::Local { uid, gid, pid } => write!(f, "Local {{ uid: {uid}, gid: {gid}, pid: {pid:?} }}"),
        }
    }
}

/// Chooses the TLS configuration of each new connection, so that certificates are swapped without a restart.
pub trait TlsFor: Send + Sync + 'static {
    /// The configuration for a connection that reached `local`. Called once per handshake, on the serving
    /// thread: it must not block.
    fn tls_for(&self, local: SocketAddr) -> Arc<ServerConfig>;
}

impl<F: Fn(SocketAddr) -> Arc<ServerConfig> + Send + Sync + 'static> TlsFor for F {
    fn tls_for(&self, local: SocketAddr) -> Arc<ServerConfig> {
        self(local)
    }
}

/// The listeners of this process and all their connections, under one set of limits.
///
/// Made before the router, because the router wants its [`Drain`] and [`Counters`]. Dropping it without
/// [`Server::drain`] cuts every connection.
#[derive(Debug)]
pub struct Server {
    phase: watch::Sender<Phase>,
    limits: Arc<Limits>,
    gate: Arc<Gate>,
    listeners: JoinSet<()>,
}

impl Server {
    /// A server that listens on nothing yet.
    pub fn new(limits: Limits) -> Self {
        let limits = Arc::new(limits);
        let gate = Arc::new(Gate::new(&limits));
        Self { phase: watch::Sender::new(Phase::Serving), limits, gate, listeners: JoinSet::new() }
    }

    /// The signal by which the application learns that the appliance is stopping.
    pub fn drain_signal(&self) -> Drain {
        Drain::new(self.phase.subscribe())
    }

    /// What happened at the door so far; stays readable after the server is gone.
    pub fn counters(&self) -> Arc<Counters> {
        self.gate.counters()
    }

    /// Starts serving `router` behind TLS. Must be called inside the runtime that is to serve it.
    ///
    /// # Errors
    /// When the runtime cannot take over the socket.
    pub fn serve_tls(&mut self, listener: Listener, tls: Arc<dyn TlsFor>, router: Router) -> Result<(), ListenError> {
        let listener = listener.into_tokio()?;
        self.listeners.spawn(connection::accept_network(listener, tls, self.site(router)));
        Ok(())
    }

    /// Starts serving `router` in clear on a Unix socket. Must be called inside the runtime that is to serve it.
    ///
    /// # Errors
    /// When the runtime cannot take over the socket.
    pub fn serve_local(&mut self, listener: LocalListener, router: Router) -> Result<(), ListenError> {
        let listener = listener.into_tokio()?;
        self.listeners.spawn(connection::accept_local(listener, self.site(router)));
        Ok(())
    }

    /// Stops in the order of [`Phase`], and reports what became of the connections that were open.
    ///
    /// Takes at most the sum of the `drain_*` limits.
    pub async fn drain(mut self) -> Drained {
        self.enter(Phase::Stopping).await;

        self.enter(Phase::Closed).await;
        while self.listeners.join_next().await.is_some() {}
        let open = self.gate.open();

        // Streams take their leave now, while the connections still live; plain requests that happen to end
        // meanwhile are as welcome.
        self.enter(Phase::StreamsClosing).await;
        let _ = timeout(self.limits.drain_streams, self.gate.no_requests()).await;

        self.enter(Phase::Finishing).await;
        let _ = timeout(self.limits.drain_finish, self.gate.no_connections()).await;
        let aborted = self.gate.open();

        self.enter(Phase::Aborting).await;
        let _ = timeout(self.limits.drain_abort, self.gate.no_connections()).await;

        self.enter(Phase::Stopped).await;
        tracing::info!(drain.finished = open.saturating_sub(aborted), drain.aborted = aborted, "HTTP server stopped");
        Drained { finished: open.saturating_sub(aborted), aborted }
    }

    /// Announces a phase, and lets those who wait for it act before the next one.
    async fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
        tracing::debug!(drain.phase = ?phase, "drain phase");
        tokio::task::yield_now().await;
    }

    fn site(&self, router: Router) -> Site {
        Site { gate: self.gate.clone(), limits: self.limits.clone(), drain: self.drain_signal(), router }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_printed_without_its_address() {
        let remote = SocketAddr::from(([192, 0, 2, 77], 40_000));
        let local = SocketAddr::from(([192, 0, 2, 1], 443));
        let shown = format!("{:?}", Peer::Network { remote, local });
        assert!(!shown.contains("192.0.2.77") && !shown.contains("40000"), "{shown}");
    }
}
