// SPDX-License-Identifier: AGPL-3.0-or-later
//! The driver of one meeting: does what is due in its room, seals each epoch secret for each member, and drops it.
//!
//! It runs beside the API, never between the ticks of the relay. This is the one place of the appliance where a secret
//! of an epoch has a name; it leaves as ciphertext, and nothing of it is logged or kept.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::core::keys::epoch::EpochSecret;
use crate::core::keys::epoch::schedule::Output;
use crate::hub::Hub;
use crate::hub::meeting::Meeting;
use crate::wire::close::CloseCode;
use crate::wire::control::schema::{Switch, server_message::Body};
use crate::wire::kid::{Epoch, Participant};

pub(super) mod seat;

/// How often participants are told what is counted of them.
const STATISTICS_EVERY: Duration = Duration::from_secs(5);

/// Drives a meeting until nobody is there.
pub async fn drive(hub: Arc<Hub>, meeting: Arc<Meeting>) {
    let mut statistics = Instant::from_std(meeting.clock().instant()) + STATISTICS_EVERY;
    loop {
        let (outputs, due, is_empty) = meeting.due_keys();
        for output in outputs {
            match output {
                Output::Deliver { epoch, secret, to } => deliver(&meeting, epoch, &secret, &to),
                Output::Switch { epoch, to } => switch(&meeting, epoch, &to),
                Output::Ledger(entry) => meeting.write_ledger(entry),
                Output::Exhausted => meeting.act(|room, now, rng| room.end(CloseCode::Ended, now, rng)),
            }
        }
        if is_empty && hub.forget_if_empty(&meeting) {
            break;
        }
        let due = due.map(|due| Instant::from_std(meeting.clock().instant_of(due)));
        let next = due.map_or(statistics, |due| due.min(statistics));
        let _ = timeout_at(next, meeting.keys().notified()).await;
        let now = Instant::from_std(meeting.clock().instant());
        if now >= statistics {
            meeting.tell_statistics();
            statistics = now + STATISTICS_EVERY;
        }
        // A crowd of wishes costs one look each millisecond, not one each.
        sleep_until(now + Duration::from_millis(1)).await;
    }
    tracing::info!(meeting.id = %meeting.id(), workspace.id = %meeting.place().workspace, "meeting ended");
}

fn deliver(meeting: &Meeting, epoch: Epoch, secret: &EpochSecret, to: &[Participant]) {
    for participant in to {
        let sealed = {
            let mut seats = meeting.seats();
            let Some(seat) = seats.get_mut(participant) else { continue };
            seat.seal(epoch, *participant, secret, meeting.clock().moment())
        };
        match sealed {
            Ok(announce) => tell(meeting, *participant, Body::Announce(announce)),
            Err(error) => {
                tracing::error!(meeting.id = %meeting.id(), error = %error, "an epoch cannot be sealed for a participant");
            }
        }
    }
}

fn switch(meeting: &Meeting, epoch: Epoch, to: &[Participant]) {
    for participant in to {
        tell(meeting, *participant, Body::Switch(Switch { epoch: epoch.0 }));
    }
}

/// Tells a participant that is there; one that is away is told when it comes back.
fn tell(meeting: &Meeting, participant: Participant, message: Body) {
    let egress = meeting.room().handle_of(participant).map(Arc::clone);
    if let Some(egress) = egress {
        egress.tell(message);
    }
}
