// SPDX-License-Identifier: AGPL-3.0-or-later
//! One carrier, from its first message to its end.
//!
//! In order: the control stream and its first message → a ticket or a resume token is checked (in the hub) → datagrams,
//! control messages, events and screen groups are read until the carrier ends → the room learns that it is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use web_transport_quinn::{RecvStream, SendStream, Session, SessionError, WebTransportError};

use crate::core::keys::epoch::reason::Removal;
use crate::hub::Hub;
use crate::hub::admission::First;
use crate::hub::egress::Egress;
use crate::hub::meeting::Meeting;
use crate::platform::probe;
use crate::relay::carrier::{Kind, QuicCarrier};
use crate::relay::endpoint::Counted;
use crate::relay::{control, events, screens};
use crate::wire::close::CloseCode;
use crate::wire::control::schema::client_message::Body;
use crate::wire::stream::StreamKind;

/// How long a refused carrier may take to end.
pub(super) const GOODBYE_WITHIN: Duration = Duration::from_secs(1);
/// How long a carrier may wait with its first message.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

/// Somebody in a meeting or in its lobby, as its streams know it.
#[derive(Clone)]
pub(super) struct Seated {
    pub hub: Arc<Hub>,
    pub session: Session,
    pub egress: Arc<Egress>,
    pub meeting: Arc<Meeting>,
}

impl Seated {
    /// Ends the carrier.
    pub fn close(&self, code: CloseCode) {
        self.egress.carrier().close(code);
    }
}

/// Refuses a carrier that is not let in, and waits until it heard that: HTTP/3 ends with its streams, and what travels on
/// them would be lost.
async fn refuse(session: &Session, code: CloseCode) {
    session.close(code.number(), code.name().as_bytes());
    let _ = timeout(GOODBYE_WITHIN, session.closed()).await;
}

/// Serves a carrier until it ends; it is one of those who knock until it is let in.
pub(super) async fn run(session: Session, kind: Kind, hub: Arc<Hub>, knocking: Counted) {
    let first = timeout(FIRST_WITHIN, first_message(&session)).await.unwrap_or(Err(CloseCode::Late));
    let (first, send, reader) = match first {
        Ok(first) => first,
        Err(code) => return refuse(&session, code).await,
    };
    let (egress, messages) = Egress::new(Box::new(QuicCarrier::new(session.clone(), kind)));
    let egress = Arc::new(egress);
    // Its streams end with it.
    let mut tasks = JoinSet::new();
    tasks.spawn(control::write(send, messages));
    let meeting = match hub.admit(first, Arc::clone(&egress)).await {
        Ok(meeting) => meeting,
        Err(code) => {
            tracing::debug!(close.code = code.name(), "a carrier is refused");
            return refuse(&session, code).await;
        }
    };
    drop(knocking);
    let seated = Seated { hub, session: session.clone(), egress, meeting };
    tasks.spawn(control::read(seated.clone(), reader));
    tasks.spawn(read_datagrams(seated.clone()));
    tasks.spawn(accept_bidirectional(seated.clone()));
    tasks.spawn(screens::accept(seated.clone()));
    session.closed().await;
    leave(&seated);
}

/// The control stream with its first message.
async fn first_message(session: &Session) -> Result<(First, SendStream, control::Reader), CloseCode> {
    let (send, recv) = session.accept_bi().await.map_err(|_| CloseCode::Left)?;
    let (kind, recv) = kind_of(recv).await?;
    if kind != StreamKind::Control {
        return Err(CloseCode::NoTicket);
    }
    let mut reader = control::Reader::new(recv);
    match reader.next().await? {
        Body::Join(join) => Ok((First::Join(join), send, reader)),
        Body::Resume(resume) => Ok((First::Resume(resume), send, reader)),
        _ => Err(CloseCode::NoTicket),
    }
}

/// What a stream says it is.
pub(super) async fn kind_of(mut stream: RecvStream) -> Result<(StreamKind, RecvStream), CloseCode> {
    let mut kind = [0];
    stream.read_exact(&mut kind).await.map_err(|_| CloseCode::Malformed)?;
    let [kind] = kind;
    Ok((StreamKind::try_from(kind).map_err(|_| CloseCode::Malformed)?, stream))
}

async fn read_datagrams(seated: Seated) {
    while let Ok(bytes) = seated.session.read_datagram().await {
        probe::arrived(&bytes);
        // Who waits in the lobby has no say.
        if let Some(participant) = seated.egress.participant() {
            seated.meeting.handle_datagram(participant, &bytes);
        }
    }
}

/// One event stream, and nothing else, may follow.
async fn accept_bidirectional(seated: Seated) {
    let mut tasks = JoinSet::new();
    while let Ok((send, recv)) = seated.session.accept_bi().await {
        let stream = timeout(FIRST_WITHIN, kind_of(recv)).await.unwrap_or(Err(CloseCode::Late));
        match (stream, seated.egress.participant()) {
            (Ok((StreamKind::Event, recv)), Some(participant)) if tasks.is_empty() => {
                tasks.spawn(events::read(seated.clone(), participant, recv));
                tasks.spawn(events::write(seated.clone(), participant, send));
            }
            (Ok(_), _) => return seated.close(CloseCode::Unexpected),
            (Err(code), _) => return seated.close(code),
        }
    }
}

/// The carrier ended. Who said goodbye and whom we closed go at once, all others may come back.
fn leave(seated: &Seated) {
    let Seated { session, egress, meeting, .. } = seated;
    let goes = match session.close_reason() {
        Some(SessionError::WebTransportError(WebTransportError::Closed(code, _)))
            if code == CloseCode::Left.number() =>
        {
            Some(Removal::Left)
        }
        // It sent or read what or how nobody may: there is nothing to come back to.
        _ => egress.carrier().closed().map(|_| Removal::Lost),
    };
    // Whether it has a number is asked while nobody else can give it one.
    meeting.act(|room, now, rng| match (egress.participant(), goes) {
        (Some(participant), Some(removal)) => control::leave(room, participant, removal, now, rng),
        (Some(participant), None) => room.carrier_lost(participant, egress, now),
        (None, _) => room.stop_waiting(egress),
    });
}
