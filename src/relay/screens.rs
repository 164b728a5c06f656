// SPDX-License-Identifier: AGPL-3.0-or-later
//! Groups of screen frames: read frame by frame, each refused or handed to all receivers before the next is read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::task::JoinSet;
use tokio::time::timeout;
use web_transport_quinn::{ReadExactError, RecvStream};

use crate::core::room::Group;
use crate::hub::egress::ScreenPiece;
use crate::hub::meeting::Reach;
use crate::platform::probe;
use crate::relay::session::{Seated, kind_of};
use crate::wire::close::CloseCode;
use crate::wire::kid::Participant;
use crate::wire::stream::{SCREEN_LENGTH_LEN, StreamKind, screen_frame, screen_length};

/// Bytes read at once.
const CHUNK: usize = 64 * 1_024;
/// How long a group may take.
const GROUP_WITHIN: Duration = Duration::from_secs(10);

/// Takes groups until the carrier ends.
pub(super) async fn accept(seated: Seated) {
    let mut groups = JoinSet::new();
    while let Ok(stream) = seated.session.accept_uni().await {
        while groups.try_join_next().is_some() {}
        groups.spawn(take(seated.clone(), stream));
    }
}

async fn take(seated: Seated, stream: RecvStream) {
    let taken = timeout(GROUP_WITHIN, kind_of(stream)).await.unwrap_or(Err(CloseCode::Late));
    match (taken, seated.egress.participant()) {
        (Ok((StreamKind::Screen, mut stream)), Some(from)) => {
            // A group that is refused ends alone; one that cannot be read ends the carrier.
            match forward(&seated, from, &mut stream).await {
                Ok(()) => {}
                Err(Fault::Refused) => drop(stream.stop(CloseCode::Unexpected.number())),
                Err(Fault::Unreadable(code)) => seated.close(code),
            }
        }
        (Ok(_), _) => seated.close(CloseCode::Unexpected),
        (Err(code), _) => seated.close(code),
    }
}

enum Fault {
    Refused,
    Unreadable(CloseCode),
}

/// A group on its way out: what its receivers got of it is worth nothing unless it ends well.
struct Outgoing {
    number: u64,
    group: Group<Reach>,
    end: ScreenPiece,
}

impl Outgoing {
    fn begin(group: Group<Reach>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let outgoing = Self { number: NEXT.fetch_add(1, Ordering::Relaxed), group, end: ScreenPiece::Abandon };
        outgoing.hand_out(&ScreenPiece::Begin);
        outgoing
    }

    fn hand_out(&self, piece: &ScreenPiece) {
        self.group.recipients().for_each(|egress| egress.carrier().screen(self.number, piece.clone()));
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let end = self.end.clone();
        self.hand_out(&end);
    }
}

async fn forward(seated: &Seated, from: Participant, stream: &mut RecvStream) -> Result<(), Fault> {
    // Nothing is read of who may not share.
    seated.meeting.act(|room, now, _| room.may_begin_group(from, now)).map_err(|_| Fault::Refused)?;
    let mut outgoing: Option<Outgoing> = None;
    let read = async {
        while let Some(bytes) = next_frame(stream).await? {
            let frame = bytes.get(SCREEN_LENGTH_LEN..).unwrap_or_default();
            let frame = screen_frame(frame).map_err(|error| Fault::Unreadable(error.into()))?;
            let taken = seated.meeting.act(|room, now, _| match &mut outgoing {
                None => {
                    outgoing = Some(Outgoing::begin(room.begin_group(from, &frame, now)?));
                    Ok(())
                }
                Some(outgoing) => room.continue_group(from, &mut outgoing.group, &frame, now),
            });
            taken.map_err(|_| Fault::Refused)?;
            if let Some(outgoing) = &outgoing {
                outgoing.hand_out(&ScreenPiece::Frame(bytes.clone()));
            }
        }
        Ok(())
    };
    let done = timeout(GROUP_WITHIN, read).await.unwrap_or(Err(Fault::Refused));
    if let (Ok(()), Some(outgoing)) = (&done, &mut outgoing) {
        outgoing.end = ScreenPiece::End;
    }
    done
}

/// The next frame behind its length, as it is handed on; `None` at the end of the group.
async fn next_frame(stream: &mut RecvStream) -> Result<Option<Bytes>, Fault> {
    let mut length = [0; SCREEN_LENGTH_LEN];
    // A stream that its sender resets, or a carrier that is gone, ends the group and nothing else.
    let Some(read) = stream.read(&mut length).await.map_err(|_| Fault::Refused)? else { return Ok(None) };
    let rest = length.get_mut(read..).unwrap_or_default();
    stream.read_exact(rest).await.map_err(cut_off)?;
    let size = screen_length(&length).map_err(|error| Fault::Unreadable(error.into()))?;
    let size = size.ok_or(Fault::Unreadable(CloseCode::Malformed))?;
    let whole = SCREEN_LENGTH_LEN + size;
    // Memory is taken for what arrived, not for what is announced.
    let mut bytes = BytesMut::with_capacity(whole.min(CHUNK));
    bytes.put_slice(&length);
    while bytes.len() < whole {
        let chunk = stream.read_chunk(CHUNK.min(whole - bytes.len()), true).await.map_err(|_| Fault::Refused)?;
        bytes.put_slice(&chunk.ok_or(Fault::Unreadable(CloseCode::Malformed))?.bytes);
    }
    probe::arrived(&bytes);
    Ok(Some(bytes.freeze()))
}

fn cut_off(error: ReadExactError) -> Fault {
    match error {
        ReadExactError::FinishedEarly(_) => Fault::Unreadable(CloseCode::Malformed),
        ReadExactError::ReadError(_) => Fault::Refused,
    }
}
