// SPDX-License-Identifier: AGPL-3.0-or-later
//! Groups of screen frames on their way to one participant: each on a stream of its own, few of them, and few bytes.
//!
//! Who cannot take them loses the oldest: a newer group begins with a key frame, and needs nothing before it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use web_transport_quinn::{Session, WriteError};

use crate::hub::egress::ScreenPiece;
use crate::platform::probe;
use crate::wire::close::CloseCode;
use crate::wire::stream::StreamKind;

/// Groups that may wait for a receiver, those included that only wait to be sent to their end.
const GROUPS_WAITING_MAX: usize = 4;
/// Frames of one group that may wait for a receiver: ten seconds of thirty a second.
const FRAMES_WAITING_MAX: usize = 300;
/// Bytes of all groups that may wait for a receiver: four of the largest frames.
const BYTES_WAITING_MAX: usize = 4 << 20;

/// The groups of one receiver.
pub(super) struct Groups {
    session: Session,
    on_their_way: Mutex<VecDeque<Group>>,
}

/// A group on its way.
struct Group {
    number: u64,
    pieces: mpsc::Sender<Piece>,
    /// Bytes that are not written yet.
    waiting: Arc<AtomicUsize>,
    abandoned: Arc<Notify>,
}

enum Piece {
    Frame(Bytes),
    End,
}

impl Groups {
    pub fn new(session: Session) -> Self {
        Self { session, on_their_way: Mutex::default() }
    }

    /// Takes a piece of a group.
    pub fn take(&self, number: u64, piece: ScreenPiece) {
        let mut groups = self.on_their_way.lock().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|group| !group.pieces.is_closed());
        match piece {
            ScreenPiece::Begin => {
                if groups.len() >= GROUPS_WAITING_MAX {
                    abandon(&mut groups, 0);
                }
                groups.push_back(Group::begin(self.session.clone(), number));
            }
            ScreenPiece::Frame(bytes) => {
                // Nothing makes room for a group that was abandoned.
                while place_of(&groups, number).is_some() && waiting(&groups) + bytes.len() > BYTES_WAITING_MAX {
                    abandon(&mut groups, 0);
                }
                pass_on(&mut groups, number, Piece::Frame(bytes));
            }
            ScreenPiece::End => pass_on(&mut groups, number, Piece::End),
            ScreenPiece::Abandon => {
                if let Some(place) = place_of(&groups, number) {
                    abandon(&mut groups, place);
                }
            }
        }
    }
}

fn waiting(groups: &VecDeque<Group>) -> usize {
    groups.iter().map(|group| group.waiting.load(Ordering::Relaxed)).sum()
}

fn place_of(groups: &VecDeque<Group>, number: u64) -> Option<usize> {
    groups.iter().position(|group| group.number == number)
}

/// Newer pictures make it useless, or its sender.
fn abandon(groups: &mut VecDeque<Group>, place: usize) {
    if let Some(group) = groups.remove(place) {
        group.abandoned.notify_one();
    }
}

/// Hands a piece to its group; one that has no room for it is lost.
fn pass_on(groups: &mut VecDeque<Group>, number: u64, piece: Piece) {
    let Some(place) = place_of(groups, number) else { return };
    if groups.get(place).is_some_and(|group| !group.put(piece)) {
        abandon(groups, place);
    }
}

impl Group {
    fn begin(session: Session, number: u64) -> Self {
        let (pieces, queue) = mpsc::channel(FRAMES_WAITING_MAX);
        let (waiting, abandoned) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        tokio::spawn(send(session, number, queue, Arc::clone(&waiting), Arc::clone(&abandoned)));
        Self { number, pieces, waiting, abandoned }
    }

    fn put(&self, piece: Piece) -> bool {
        let length = if let Piece::Frame(bytes) = &piece { bytes.len() } else { 0 };
        self.waiting.fetch_add(length, Ordering::Relaxed);
        self.pieces.try_send(piece).is_ok()
    }
}

/// Writes a group on a stream of its own, until it ends or is abandoned; newer groups go first.
async fn send(
    session: Session,
    number: u64,
    queue: mpsc::Receiver<Piece>,
    waiting: Arc<AtomicUsize>,
    abandoned: Arc<Notify>,
) {
    let stream = tokio::select! {
        biased;
        () = abandoned.notified() => return,
        stream = session.open_uni() => stream,
    };
    let Ok(mut stream) = stream else { return };
    // Control and events keep the highest priorities; groups count up from below.
    let _ = stream.set_priority(i32::MIN / 2 + i32::try_from(number % (1 << 30)).unwrap_or(0));
    let is_whole = tokio::select! {
        biased;
        () = abandoned.notified() => false,
        written = write(&mut stream, queue, &waiting) => written.unwrap_or(false),
    };
    // Nobody is left to whom it matters when the receiver stopped it before.
    let _ = if is_whole {
        stream.finish().map_err(drop)
    } else {
        stream.reset(CloseCode::SlowReader.number()).map_err(drop)
    };
}

/// Writes pieces; says whether the group came to its end.
async fn write(
    stream: &mut web_transport_quinn::SendStream,
    mut queue: mpsc::Receiver<Piece>,
    waiting: &AtomicUsize,
) -> Result<bool, WriteError> {
    stream.write_all(&[StreamKind::Screen.number()]).await?;
    loop {
        match queue.recv().await {
            Some(Piece::Frame(bytes)) => {
                let length = bytes.len();
                probe::leaves(&bytes);
                stream.write_chunk(bytes).await?;
                waiting.fetch_sub(length, Ordering::Relaxed);
            }
            Some(Piece::End) => return Ok(true),
            None => return Ok(false),
        }
    }
}
