// SPDX-License-Identifier: AGPL-3.0-or-later
//! Every bound of the HTTP server in one place.
//!
//! Invariant: the default values are what ships. Tests pass smaller ones. Deliberately does not know which of
//! them the operator may set: that is the configuration's business.

use std::time::Duration;

/// What one peer, and all peers together, may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Network connections in total. Each costs a descriptor and, at worst, about 300 KiB of buffers. Over it:
    /// accepted and closed at once.
    pub connections: usize,
    /// Network connections of one address. Browsers open six per page over HTTP/1.1 and one over HTTP/2; the rest
    /// is room for an office behind one NAT. Over it: accepted and closed at once.
    ///
    /// Counted by full address also for IPv6: on the private networks this appliance serves, one /64 is the whole
    /// office. The total bounds a client that owns a /64.
    pub connections_per_address: usize,
    /// Connections on Unix sockets, apart from the network's, so that a full house cannot lock out the operator.
    pub local_connections: usize,
    /// TLS handshakes at a time, counted from a complete ClientHello: who only connects holds none. Over it:
    /// waits for a turn until `handshake` is over.
    pub handshakes: usize,
    /// From accept to an established TLS session, waiting for a turn included.
    pub handshake: Duration,
    /// From the end of the last request (or the handshake) to the end of the next request's headers. Over
    /// HTTP/1.1 this is also how long an idle connection lives; over HTTP/2 it bounds the first request.
    pub header_read: Duration,
    /// Bytes of a request body.
    pub body_bytes: u64,
    /// From the first look at a request body to its end.
    pub body_read: Duration,
    /// How long an HTTP/2 connection without a request lives.
    pub idle: Duration,
    /// How long a peer may take nothing of a response that is ready. Also the kernel's bound for unacknowledged
    /// data (`TCP_USER_TIMEOUT`, RFC 5482), which ends connections to machines that vanished.
    pub stall: Duration,
    /// How long a connection that was told to go may take to go.
    pub goodbye: Duration,
    /// How long, after our last byte, the peer's bytes are read and thrown away. Without it the kernel answers
    /// them with a reset, and the reset overtakes the refusal that the peer should read (RFC 9112, section 9.6).
    pub linger: Duration,
    /// HTTP/1.1: header fields of a request. Over it: 431.
    pub h1_headers: usize,
    /// HTTP/1.1: bytes of a request's line and headers together, at least 8,192 (hyper). Over it: 431.
    pub h1_buffer: usize,
    /// HTTP/2: requests in flight on one connection.
    pub h2_streams: u32,
    /// HTTP/2: bytes of a header list as RFC 9113, section 6.5.2, counts them. Over it: 431.
    pub h2_header_list: u32,
    /// HTTP/2: bytes buffered for sending, per request.
    pub h2_send_buffer: usize,
    /// HTTP/2: streams the peer reset before we took them up; over it the connection is closed. The answer to
    /// "rapid reset" (CVE-2023-44487).
    pub h2_pending_resets: usize,
    /// HTTP/2: streams we had to reset for the peer's errors; over it the connection is closed ("made you
    /// reset", CVE-2025-8671).
    pub h2_error_resets: usize,
    /// HTTP/2: time between two pings, which find peers that vanished under a quiet event stream.
    pub h2_ping_interval: Duration,
    /// HTTP/2: how long a ping may stay unanswered.
    pub h2_ping_timeout: Duration,
    /// Drain: how long event streams have to say goodbye, before connections are told to close.
    pub drain_streams: Duration,
    /// Drain: how long requests in flight have to finish.
    pub drain_finish: Duration,
    /// Drain: how long the cut connections may take to let go of what they hold.
    pub drain_abort: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            connections_per_address: 64,
            local_connections: 64,
            handshakes: 256,
            handshake: Duration::from_secs(10),
            header_read: Duration::from_secs(10),
            body_bytes: 65_536,
            body_read: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            stall: Duration::from_secs(30),
            goodbye: Duration::from_secs(5),
            linger: Duration::from_secs(1),
            h1_headers: 64,
            h1_buffer: 16_384,
            h2_streams: 64,
            h2_header_list: 16_384,
            h2_send_buffer: 65_536,
            h2_pending_resets: 20,
            h2_error_resets: 64,
            h2_ping_interval: Duration::from_secs(20),
            h2_ping_timeout: Duration::from_secs(10),
            drain_streams: Duration::from_secs(1),
            drain_finish: Duration::from_secs(10),
            drain_abort: Duration::from_secs(1),
        }
    }
}
