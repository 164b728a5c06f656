// SPDX-License-Identifier: AGPL-3.0-or-later
//! Tickets handed out and not used yet, in memory: each joins once, and none outlives this run of the appliance.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::core::room::policy::RoomPolicy;
use crate::values::id::{AccountId, RoomId, SessionId, TicketId, WorkspaceId};
use crate::values::name::RoomName;
use crate::values::secret::Key256;
use crate::values::time::Timestamp;

/// Tickets of one session that wait to be used: a device that asks for more has lost the first ones.
const OF_SESSION_MAX: usize = 8;
/// Sessions with such tickets, at most.
const SESSIONS_MAX: usize = 8_192;
/// How often dead tickets of all sessions are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// What the holder of a ticket finds.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Shared with the device by its sealed sign-in; boxes of meeting keys are bound to it.
    pub psk: Key256,
    /// Whose room.
    pub workspace: WorkspaceId,
    /// Which room.
    pub room: RoomId,
    /// The room's name.
    pub room_name: RoomName,
    /// What the room permits.
    pub policy: RoomPolicy,
    /// Whose it is.
    pub account: AccountId,
    /// Which session it was given to.
    pub session: SessionId,
    /// When the ticket is dead.
    pub expires: Timestamp,
}

/// There are too many tickets that nobody used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many tickets wait to be used")]
pub struct TooManyTickets;

/// The tickets of this run.
#[derive(Debug, Default)]
pub struct Tickets(Mutex<Outstanding>);

#[derive(Debug, Default)]
struct Outstanding {
    /// Each session's, the oldest first.
    of_session: HashMap<SessionId, Vec<(TicketId, Expected)>>,
    swept: Option<Timestamp>,
}

impl Outstanding {
    fn retain(&mut self, keep: impl Fn(&Expected) -> bool) {
        self.of_session.retain(|_, tickets| {
            tickets.retain(|(_, expected)| keep(expected));
            !tickets.is_empty()
        });
    }
}

impl Tickets {
    /// Remembers a ticket that is handed out. Of one session the oldest give way.
    pub fn expect(&self, ticket: TicketId, expected: Expected, now: Timestamp) -> Result<(), TooManyTickets> {
        let mut outstanding = self.lock();
        // A clock that stepped back must not put it off for longer than that.
        if outstanding.swept.is_none_or(|swept| now >= swept + SWEEP_EVERY || now < swept) {
            outstanding.retain(|expected| expected.expires > now);
            outstanding.swept = Some(now);
        }
        let is_full = outstanding.of_session.len() >= SESSIONS_MAX;
        if is_full && !outstanding.of_session.contains_key(&expected.session) {
            return Err(TooManyTickets);
        }
        let tickets = outstanding.of_session.entry(expected.session).or_default();
        if tickets.len() >= OF_SESSION_MAX {
            tickets.remove(0);
        }
        tickets.push((ticket, expected));
        Ok(())
    }

    /// Forgets tickets that say what does not hold any more. Who comes with one of them asks for another.
    pub fn void(&self, stale: impl Fn(&Expected) -> bool) {
        self.lock().retain(|expected| !stale(expected));
    }

    /// Uses a ticket of a session up. `None`: it was used before, or handed out by another run.
    pub fn redeem(&self, session: SessionId, ticket: TicketId, now: Timestamp) -> Option<Expected> {
        let mut outstanding = self.lock();
        let tickets = outstanding.of_session.get_mut(&session)?;
        let place = tickets.iter().position(|(id, _)| *id == ticket)?;
        let (_, expected) = tickets.remove(place);
        if tickets.is_empty() {
            outstanding.of_session.remove(&session);
        }
        (expected.expires > now).then_some(expected)
    }

    fn lock(&self) -> MutexGuard<'_, Outstanding> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId::from_bytes([4; 16]);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn ticket(number: u8) -> TicketId {
        TicketId::from_bytes([number; 16])
    }

    fn expected(session: SessionId, expires: i64) -> Expected {
        Expected {
            psk: Key256::new([1; 32]),
            workspace: WorkspaceId::from_bytes([7; 16]),
            room: RoomId::from_bytes([2; 16]),
            room_name: "lobby".parse().unwrap(),
            policy: RoomPolicy::default(),
            account: AccountId::from_bytes([3; 16]),
            session,
            expires: at(expires),
        }
    }

    #[test]
    fn a_ticket_joins_once_and_in_time() {
        let tickets = Tickets::default();
        let other = SessionId::from_bytes([5; 16]);
        tickets.expect(ticket(1), expected(SESSION, 1_000), at(0)).unwrap();
        tickets.expect(ticket(2), expected(SESSION, 1_000), at(0)).unwrap();
        tickets.expect(ticket(3), expected(other, 1_000), at(0)).unwrap();
        assert!(tickets.redeem(other, ticket(1), at(999)).is_none(), "it is of one session");
        tickets.void(|expected| expected.session == other);
        assert!(tickets.redeem(other, ticket(3), at(999)).is_none());
        assert!(tickets.redeem(SESSION, ticket(1), at(999)).is_some());
        assert!(tickets.redeem(SESSION, ticket(1), at(999)).is_none());
        assert!(tickets.redeem(SESSION, ticket(2), at(1_000)).is_none());
    }

    #[test]
    fn a_session_has_few_tickets_and_dead_ones_are_forgotten() {
        let tickets = Tickets::default();
        for number in 0..=u8::try_from(OF_SESSION_MAX).unwrap() {
            tickets.expect(ticket(number), expected(SESSION, 1_000), at(0)).unwrap();
        }
        assert!(tickets.redeem(SESSION, ticket(0), at(1)).is_none(), "the oldest gave way");
        assert!(tickets.redeem(SESSION, ticket(1), at(1)).is_some());
        let other = SessionId::from_bytes([5; 16]);
        tickets.expect(ticket(99), expected(other, 60_000), at(30_000)).unwrap();
        assert_eq!(tickets.lock().of_session.keys().collect::<Vec<_>>(), [&other]);
    }

    #[test]
    fn there_are_so_many_sessions_and_no_more() {
        let tickets = Tickets::default();
        for number in 0..SESSIONS_MAX {
            let session = SessionId::from_bytes(u128::try_from(number).unwrap().to_be_bytes());
            tickets.expect(ticket(1), expected(session, 1_000), at(0)).unwrap();
        }
        let one_more = SessionId::from_bytes([0xff; 16]);
        assert_eq!(tickets.expect(ticket(1), expected(one_more, 1_000), at(0)), Err(TooManyTickets));
        let known = SessionId::from_bytes([0; 16]);
        tickets.expect(ticket(2), expected(known, 1_000), at(0)).unwrap();
    }
}
