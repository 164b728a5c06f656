// SPDX-License-Identifier: AGPL-3.0-or-later
//! A UDP socket as QUIC uses it, taken over as it is.
//!
//! quinn's own wrapper learns what the kernel can do by opening sockets to try it on. Behind the appliance's sandbox no
//! socket can be opened, and then it would switch segmentation off and still let the kernel put datagrams together, into
//! buffers that hold one. Every kernel that Conclave runs on has both; a network card that has not is noticed when it is
//! sent to.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use rustix::io::Errno;
use tokio::io::Interest;

/// Datagrams of one send or one receive, at most: `UDP_MAX_SEGMENTS` and `UDP_GRO_CNT_MAX` of Linux.
const SEGMENTS_MAX: usize = 64;

/// A socket that somebody else made.
#[derive(Debug)]
pub(super) struct TakenOver {
    socket: tokio::net::UdpSocket,
    state: UdpSocketState,
    /// Datagrams of one send; one, once the path turned out to know no segmentation.
    send_segments: AtomicUsize,
}

impl TakenOver {
    /// Must be called inside the runtime that is to serve it.
    pub(super) fn new(socket: UdpSocket) -> io::Result<Arc<Self>> {
        let state = UdpSocketState::new((&socket).into())?;
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        Ok(Arc::new(Self { socket, state, send_segments: AtomicUsize::new(SEGMENTS_MAX) }))
    }

    /// A datagram that cannot be sent is as good as lost on its way, and QUIC sends again what has to arrive.
    fn note_failure(&self, transmit: &Transmit<'_>, error: &io::Error) {
        let refused = error.raw_os_error().map(Errno::from_raw_os_error);
        if transmit.segment_size.is_some() && matches!(refused, Some(Errno::IO | Errno::INVAL)) {
            self.send_segments.store(1, Ordering::Relaxed);
            tracing::info!(error = %error, "the network card does not segment: datagrams are sent one by one");
        } else if refused == Some(Errno::MSGSIZE) {
            // A probe for a larger path, which is not there.
        } else {
            tracing::debug!(error = %error, "a datagram cannot be sent");
        }
    }
}

impl AsyncUdpSocket for TakenOver {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller { socket: self, waiting: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_io(Interest::WRITABLE, || match self.state.try_send((&self.socket).into(), transmit) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                self.note_failure(transmit, &error);
                Ok(())
            }
            done => done,
        })
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_recv_ready(context))?;
            let receive = || self.state.recv((&self.socket).into(), buffers, meta);
            if let Ok(received) = self.socket.try_io(Interest::READABLE, receive) {
                return Poll::Ready(Ok(received));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.send_segments.load(Ordering::Relaxed)
    }

    fn max_receive_segments(&self) -> usize {
        SEGMENTS_MAX
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

type Writable = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

/// Somebody who waits until the socket takes more; each waits for itself.
struct Poller {
    socket: Arc<TakenOver>,
    waiting: Option<Writable>,
}

impl UdpPoller for Poller {
    fn poll_writable(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let socket = Arc::clone(&this.socket);
        let waiting = this.waiting.get_or_insert_with(|| Box::pin(async move { socket.socket.writable().await }));
        let done = ready!(waiting.as_mut().poll(context));
        this.waiting = None;
        Poll::Ready(done)
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Poller").finish_non_exhaustive()
    }
}
