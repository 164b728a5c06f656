// SPDX-License-Identifier: AGPL-3.0-or-later
//! How a participant is reached over QUIC, with or without HTTP/3 around it.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use web_transport_quinn::Session;

use crate::core::room::flush::Path;
use crate::hub::egress::{Carrier, ScreenPiece};
use crate::platform::probe;
use crate::relay::groups::Groups;
use crate::wire::close::CloseCode;
use crate::wire::datagram::DATAGRAM_MAX;

/// Bytes of datagrams that may wait in QUIC: a few ticks of a full room. quinn's own megabyte would be more than a
/// second of poses that nobody wants any more, and it drops the oldest of all channels alike.
pub const DATAGRAMS_WAITING_MAX: usize = 64 * 1_024;

/// Which carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Raw QUIC.
    Quic,
    /// WebTransport over HTTP/3.
    WebTransport,
}

impl Kind {
    /// The name in facts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::WebTransport => "webtransport",
        }
    }
}

/// A QUIC session as a way out.
pub(super) struct QuicCarrier {
    session: Session,
    kind: Kind,
    groups: Groups,
    closed: OnceLock<CloseCode>,
    runtime: Handle,
}

impl QuicCarrier {
    /// To be made on the relay's runtime.
    pub fn new(session: Session, kind: Kind) -> Self {
        Self {
            groups: Groups::new(session.clone()),
            session,
            kind,
            closed: OnceLock::new(),
            runtime: Handle::current(),
        }
    }
}

impl Carrier for QuicCarrier {
    fn kind(&self) -> &'static str {
        self.kind.as_str()
    }

    fn path(&self) -> Option<Path> {
        let datagram = self.session.max_datagram_size().min(DATAGRAM_MAX);
        let space = self.session.datagram_send_buffer_space();
        let path = Path { datagram, space, waiting: DATAGRAMS_WAITING_MAX.saturating_sub(space) };
        (datagram > 0).then_some(path)
    }

    fn send_datagram(&self, bytes: Bytes) {
        probe::leaves(&bytes);
        // What cannot be sent is lost, as datagrams are; a carrier that is gone is found by its reader.
        drop(self.session.send_datagram(bytes));
    }

    fn screen(&self, group: u64, piece: ScreenPiece) {
        self.groups.take(group, piece);
    }

    fn close(&self, code: CloseCode) {
        // What the other side did before counts.
        if self.session.close_reason().is_none() && self.closed.set(code).is_ok() {
            // On a thread without a runtime WebTransport would end without a word.
            let _runtime = self.runtime.enter();
            self.session.close(code.number(), code.name().as_bytes());
        }
    }

    fn closed(&self) -> Option<CloseCode> {
        self.closed.get().copied()
    }

    fn rtt(&self) -> Duration {
        self.session.rtt()
    }
}
