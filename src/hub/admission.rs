// SPDX-License-Identifier: AGPL-3.0-or-later
//! Who comes in: tickets and resume tokens are checked, keys made and places taken here, beside the API and never
//! between the ticks of the relay (making a context for boxes takes 0.1 ms).

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::core::auth::ticket::{KeyThumbprint, TicketClaims};
use crate::core::keys::boxes::BoxSealer;
use crate::core::room::Joined;
use crate::core::room::member::Newcomer;
use crate::hub::Hub;
use crate::hub::driver::seat::{ResumeToken, Seat};
use crate::hub::egress::Egress;
use crate::hub::meeting::{Meeting, Place};
use crate::platform::entropy;
use crate::values::time::Timestamp;
use crate::wire::close::CloseCode;
use crate::wire::control::schema::{Join, Resume, server_message::Body};
use crate::wire::control::{AVATAR_MAX, VERSION};

/// Who may wait to be admitted at once. More than that is a flood, and hears so.
pub(super) const ARRIVING_MAX: usize = 512;

/// Checks a ticket's signature and claims against a time: `None` says that it does not hold.
pub type CheckTicket = Box<dyn Fn(&str, Timestamp) -> Option<TicketClaims> + Send + Sync>;

/// The first message over a carrier.
#[derive(Debug)]
pub enum First {
    /// Somebody comes.
    Join(Join),
    /// Somebody comes back.
    Resume(Resume),
}

/// Somebody at the door.
pub(super) struct Arriving {
    pub first: First,
    pub egress: Arc<Egress>,
    pub answer: oneshot::Sender<Result<Arc<Meeting>, CloseCode>>,
}

/// Lets people in, one after another, for as long as the hub lives.
pub(super) async fn admit(hub: Arc<Hub>, mut arriving: mpsc::Receiver<Arriving>) {
    while let Some(Arriving { first, egress, answer }) = arriving.recv().await {
        let meeting = match first {
            First::Join(join) => self::join(&hub, join, egress),
            First::Resume(resume) => self::resume(&hub, &resume, egress),
        };
        // A carrier that is gone meanwhile is found lost by its reader.
        drop(answer.send(meeting));
    }
}

fn join(hub: &Arc<Hub>, join: Join, egress: Arc<Egress>) -> Result<Arc<Meeting>, CloseCode> {
    if join.version != VERSION {
        return Err(CloseCode::Version);
    }
    if join.avatar.len() > AVATAR_MAX {
        return Err(CloseCode::TooLarge);
    }
    if join.ticket.is_empty() {
        return Err(CloseCode::NoTicket);
    }
    let now = hub.clock().now();
    let claims = hub.check_ticket(&join.ticket, now).ok_or(CloseCode::TicketRefused)?;
    if KeyThumbprint::of(&join.key) != claims.jkt {
        return Err(CloseCode::KeyRefused);
    }
    let _only_one_comes = hub.door();
    let expected = hub.tickets().redeem(claims.sid, claims.jti, now).ok_or(CloseCode::TicketRefused)?;
    let place = Place { workspace: claims.wid, room: claims.room, name: expected.room_name };
    let meeting = hub.meeting_in(place, expected.policy);
    let sealer = BoxSealer::begin(meeting.id(), &join.key, &expected.psk, claims.sid, &mut entropy::system());
    let (sealer, encapsulated_key) = sealer.map_err(|_| CloseCode::KeyRefused)?;
    egress.bring(Seat::new(sealer, encapsulated_key));
    let who = Newcomer {
        account: claims.sub,
        session: claims.sid,
        name: claims.name,
        avatar: join.avatar,
        grant: claims.grant,
    };
    let joined = meeting.act(|room, now, rng| room.join(who, egress, now, rng)).map_err(CloseCode::from)?;
    let lobby = matches!(joined, Joined::Waits(_));
    tracing::info!(meeting.id = %meeting.id(), workspace.id = %claims.wid, room.id = %meeting.place().room, account.id = %claims.sub, session.id = %claims.sid, meeting.lobby = lobby, "joined");
    Ok(meeting)
}

fn resume(hub: &Arc<Hub>, resume: &Resume, egress: Arc<Egress>) -> Result<Arc<Meeting>, CloseCode> {
    if resume.version != VERSION {
        return Err(CloseCode::Version);
    }
    let token = ResumeToken::parse(&resume.token).ok_or(CloseCode::ResumeRefused)?;
    let meeting = hub.find(token.meeting).ok_or(CloseCode::ResumeRefused)?;
    let missed: Vec<_> = {
        let seats = meeting.seats();
        let seat = seats.get(&token.participant).filter(|seat| seat.is_resumed_by(&token));
        let missed = seat.and_then(|seat| seat.after(resume.boxes));
        missed.ok_or(CloseCode::ResumeRefused)?.cloned().collect()
    };
    let (old, events, again) = (token.participant, resume.events, Arc::clone(&egress));
    let back = meeting.act(|room, now, rng| room.come_back(old, again, events, now, rng));
    back.map_err(|_| CloseCode::ResumeRefused)?;
    // After the welcome, before any box that is sealed from now on: boxes open in their order.
    missed.into_iter().for_each(|announce| egress.tell(Body::Announce(announce)));
    tracing::info!(meeting.id = %meeting.id(), workspace.id = %meeting.place().workspace, "resumed");
    Ok(meeting)
}
