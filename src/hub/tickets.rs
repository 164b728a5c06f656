// SPDX-License-Identifier: AGPL-3.0-or-later
//! Tickets handed out and not used yet, in memory: each joins once, and none outlives this run of the appliance.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::core::room::policy::RoomPolicy;
use crate::values::id::{AccountId, RoomId, SessionId, TicketId};
use crate::values::name::RoomName;
use crate::values::secret::Key256;
use crate::values::time::Timestamp;

/// Tickets that wait to be used, at most: a thousand a second for a minute.
const OUTSTANDING_MAX: usize = 65_536;

/// What the holder of a ticket finds.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Shared with the device by its sealed sign-in; boxes of meeting keys are bound to it.
    pub psk: Key256,
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
pub struct Tickets(Mutex<HashMap<TicketId, Expected>>);

impl Tickets {
    /// Remembers a ticket that is handed out.
    pub fn expect(&self, ticket: TicketId, expected: Expected, now: Timestamp) -> Result<(), TooManyTickets> {
        let mut outstanding = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if outstanding.len() >= OUTSTANDING_MAX {
            outstanding.retain(|_, expected| expected.expires > now);
            if outstanding.len() >= OUTSTANDING_MAX {
                return Err(TooManyTickets);
            }
        }
        outstanding.insert(ticket, expected);
        Ok(())
    }

    /// Forgets tickets that say what does not hold any more. Who comes with one of them asks for another.
    pub fn void(&self, stale: impl Fn(&Expected) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, expected| !stale(expected));
    }

    /// Uses a ticket up. `None`: it was used before, or handed out by another run.
    pub fn redeem(&self, ticket: TicketId, now: Timestamp) -> Option<Expected> {
        let expected = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket)?;
        (expected.expires > now).then_some(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_joins_once_and_in_time() {
        let tickets = Tickets::default();
        let at = Timestamp::from_millis;
        let expected = Expected {
            psk: Key256::new([1; 32]),
            room: RoomId::from_bytes([2; 16]),
            room_name: "lobby".parse().unwrap(),
            policy: RoomPolicy::default(),
            account: AccountId::from_bytes([3; 16]),
            session: SessionId::from_bytes([4; 16]),
            expires: at(1_000),
        };
        let [one, other, void] = [1, 2, 3].map(|byte| TicketId::from_bytes([byte; 16]));
        tickets.expect(one, expected.clone(), at(0)).unwrap();
        tickets.expect(void, Expected { session: SessionId::from_bytes([5; 16]), ..expected.clone() }, at(0)).unwrap();
        tickets.expect(other, expected, at(0)).unwrap();
        tickets.void(|expected| expected.session == SessionId::from_bytes([5; 16]));
        assert!(tickets.redeem(void, at(999)).is_none());
        assert!(tickets.redeem(one, at(999)).is_some());
        assert!(tickets.redeem(one, at(999)).is_none());
        assert!(tickets.redeem(other, at(1_000)).is_none());
    }
}
