// SPDX-License-Identifier: AGPL-3.0-or-later
//! How a participant is reached over QUIC, with or without HTTP/3 around it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use web_transport_quinn::{Session, WriteError};

use crate::core::room::flush::Path;
use crate::hub::egress::{Carrier, ScreenPiece};
use crate::platform::probe;
use crate::wire::close::CloseCode;
use crate::wire::datagram::DATAGRAM_MAX;
use crate::wire::stream::StreamKind;

/// Bytes of datagrams that may wait in QUIC: a few ticks of a full room. quinn's own megabyte would be more than a
/// second of poses that nobody wants any more, and it drops the oldest of all channels alike.
pub const DATAGRAMS_WAITING_MAX: usize = 64 * 1_024;
/// Groups of screen frames that may wait for a receiver.
const GROUPS_WAITING_MAX: usize = 4;
/// Frames of one group that may wait for a receiver: ten seconds of thirty a second.
const FRAMES_WAITING_MAX: usize = 300;

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
    groups: Mutex<VecDeque<OutGroup>>,
}

/// A group on its way to this participant.
struct OutGroup {
    group: u64,
    pieces: mpsc::Sender<Piece>,
    abandoned: Arc<Notify>,
}

enum Piece {
    Frame(Bytes),
    End,
}

impl OutGroup {
    /// Newer pictures make it useless.
    fn abandon(&self) {
        self.abandoned.notify_one();
    }
}

impl QuicCarrier {
    pub fn new(session: Session, kind: Kind) -> Self {
        Self { session, kind, groups: Mutex::default() }
    }

    fn begin_group(&self, group: u64, groups: &mut VecDeque<OutGroup>) {
        groups.retain(|group| !group.pieces.is_closed());
        if groups.len() >= GROUPS_WAITING_MAX
            && let Some(oldest) = groups.pop_front()
        {
            oldest.abandon();
        }
        let (pieces, waiting) = mpsc::channel(FRAMES_WAITING_MAX);
        let abandoned = Arc::new(Notify::new());
        tokio::spawn(send_group(self.session.clone(), group, waiting, Arc::clone(&abandoned)));
        groups.push_back(OutGroup { group, pieces, abandoned });
    }
}

/// Hands a piece to its group. A receiver that is so far behind that there is no room loses the group.
fn pass_on(group: u64, piece: Piece, groups: &mut VecDeque<OutGroup>) {
    let Some(place) = groups.iter().position(|one| one.group == group) else { return };
    if groups.get(place).is_some_and(|one| one.pieces.try_send(piece).is_err())
        && let Some(full) = groups.remove(place)
    {
        full.abandon();
    }
}

/// Writes a group on a stream of its own; newer groups go first.
async fn send_group(session: Session, group: u64, mut waiting: mpsc::Receiver<Piece>, abandoned: Arc<Notify>) {
    let Ok(mut stream) = session.open_uni().await else { return };
    // Control and events keep the highest priorities; groups count up from below.
    let _ = stream.set_priority(i32::MIN / 2 + i32::try_from(group % (1 << 30)).unwrap_or(0));
    let write = async {
        stream.write_all(&[StreamKind::Screen.number()]).await?;
        while let Some(Piece::Frame(bytes)) = waiting.recv().await {
            probe::leaves(&bytes);
            stream.write_chunk(bytes).await?;
        }
        Ok::<(), WriteError>(())
    };
    tokio::select! {
        written = write => {
            if written.is_ok() {
                // Nobody is left to whom it matters when it was reset before.
                let _ = stream.finish();
            }
        }
        () = abandoned.notified() => {
            let _ = stream.reset(CloseCode::SlowReader.number());
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
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        match piece {
            ScreenPiece::Begin => self.begin_group(group, &mut groups),
            ScreenPiece::Frame(bytes) => pass_on(group, Piece::Frame(bytes), &mut groups),
            ScreenPiece::End => {
                pass_on(group, Piece::End, &mut groups);
                groups.retain(|one| one.group != group);
            }
            ScreenPiece::Abandon => {
                groups.iter().filter(|one| one.group == group).for_each(OutGroup::abandon);
                groups.retain(|one| one.group != group);
            }
        }
    }

    fn close(&self, code: CloseCode) {
        self.session.close(code.number(), code.name().as_bytes());
    }

    fn rtt(&self) -> Duration {
        self.session.rtt()
    }
}
