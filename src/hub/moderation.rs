// SPDX-License-Identifier: AGPL-3.0-or-later
//! What moderators do, over the API or in the meeting: on record first, then done.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::core::audit::{Actor, Event, Outcome, Strength};
use crate::core::room::Wish;
use crate::hub::facts::{MeetingFacts, ParticipantFacts};
use crate::hub::meeting::Meeting;
use crate::hub::{Hub, Recording};
use crate::values::id::AccountId;
use crate::wire::control::schema::Answer;
use crate::wire::kid::Participant;

/// What the audit says of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// What, such as `meeting.kick`.
    pub action: &'static str,
    /// On what, such as `meeting:<uuid>/participant:3`.
    pub target: String,
    /// Whose account that is, and in which room.
    pub detail: String,
}

impl MeetingFacts {
    /// What is put on record of a wish; nothing when whom it concerns is not there.
    pub fn deed(&self, wish: Wish) -> Option<Deed> {
        let participant = |number| {
            let found = self.participant(number)?;
            Some((format!("/participant:{number}"), Some(found.account)))
        };
        let waiter = |number| {
            let found = self.waiting.iter().find(|waiter| waiter.number == number)?;
            Some((format!("/lobby:{number}"), Some(found.account)))
        };
        let (action, (below, account)): (_, (String, Option<AccountId>)) = match wish {
            Wish::Mute(number) => ("meeting.mute", participant(number)?),
            Wish::Unmute(number) => ("meeting.unmute", participant(number)?),
            Wish::Kick(number) => ("meeting.kick", participant(number)?),
            Wish::Admit(number) => ("meeting.admit", waiter(number)?),
            Wish::TurnAway(number) => ("meeting.turn_away", waiter(number)?),
            Wish::MuteAll { .. } => ("meeting.mute_all", Default::default()),
            Wish::Lock(true) => ("meeting.lock", Default::default()),
            Wish::Lock(false) => ("meeting.unlock", Default::default()),
            Wish::Rotate => ("meeting.rotate", Default::default()),
            Wish::End => ("meeting.end", Default::default()),
        };
        let detail = match account {
            Some(account) => format!("account {account}, room {}", self.room_name),
            None => format!("room {}", self.room_name),
        };
        Some(Deed { action, target: format!("meeting:{}{below}", self.id), detail })
    }

    fn participant(&self, number: Participant) -> Option<&ParticipantFacts> {
        self.participants.iter().find(|participant| participant.number == number)
    }
}

impl Hub {
    /// Does what somebody in a meeting wants as a moderator, once it is on record.
    pub async fn moderate_from(
        &self,
        meeting: &Arc<Meeting>,
        from: Participant,
        address: IpAddr,
        wish: Wish,
    ) -> Answer {
        let facts = meeting.facts();
        let Some(moderator) = facts.participant(from).filter(|from| from.moderator) else {
            return Answer::NotPermitted;
        };
        let Some(Deed { action, target, detail }) = facts.deed(wish) else { return Answer::NotFound };
        let event = Event {
            actor: Actor::Account(moderator.account),
            // Tickets are given to sealed sign-ins with a password only.
            strength: Strength::Password,
            address: Some(address),
            action,
            target,
            outcome: Outcome::Allowed,
            detail,
        };
        let (answer, answered) = oneshot::channel();
        let there = Arc::clone(meeting);
        let then = Box::new(move || {
            let done = there.act(|room, now, rng| match room.may_moderate(from) {
                true => room.moderate(wish, now, rng).map_or(Answer::NotFound, |()| Answer::Done),
                false => Answer::NotPermitted,
            });
            // The carrier may be gone meanwhile.
            let _ = answer.send(done);
        });
        let recording = Recording { workspace: facts.workspace, event, then };
        // What cannot be recorded is dropped, and the log says why.
        drop(self.recordings.send(recording).await);
        answered.await.unwrap_or(Answer::NotRecorded)
    }
}
