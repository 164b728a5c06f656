// SPDX-License-Identifier: AGPL-3.0-or-later
//! The door: how many connections there may be, and how many there were.
//!
//! Invariants: a permit is returned when it is dropped, whatever became of its connection; the table of addresses
//! has at most as many entries as there are connections; no lock is held across an await.
//! Deliberately does not know what a connection speaks.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};

use super::limits::Limits;

/// What happened at the door since the start. Written by the server, read by metrics.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) refused_total: AtomicU64,
    pub(super) refused_address: AtomicU64,
    pub(super) accept_failed: AtomicU64,
    pub(super) handshake_failed: AtomicU64,
    pub(super) handshake_timed_out: AtomicU64,
    pub(super) closed_idle: AtomicU64,
    pub(super) closed_stalled: AtomicU64,
    open: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Connections that got a permit, on all listeners.
    pub accepted: u64,
    /// Connections closed at once because the house was full.
    pub refused_total: u64,
    /// Connections closed at once because their address had enough.
    pub refused_address: u64,
    /// Calls of accept that failed for want of something of ours, such as descriptors.
    pub accept_failed: u64,
    /// Handshakes that ended in an error: not TLS, no common suite, hung up.
    pub handshake_failed: u64,
    /// Handshakes that were not done at the deadline.
    pub handshake_timed_out: u64,
    /// Connections closed because they asked for nothing.
    pub closed_idle: u64,
    /// Connections cut because they did not read what they had asked for.
    pub closed_stalled: u64,
    /// Connections that hold a permit now, half-open ones included.
    pub open: u64,
}

impl Counters {
    /// Reads all counters. Each is exact; together they may be some events apart.
    pub fn snapshot(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            accepted: read(&self.accepted),
            refused_total: read(&self.refused_total),
            refused_address: read(&self.refused_address),
            accept_failed: read(&self.accept_failed),
            handshake_failed: read(&self.handshake_failed),
            handshake_timed_out: read(&self.handshake_timed_out),
            closed_idle: read(&self.closed_idle),
            closed_stalled: read(&self.closed_stalled),
            open: read(&self.open),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Where a connection comes from, as far as permits care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Network(IpAddr),
    Local,
}

/// Why a connection was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// All permits are out.
    Total,
    /// All permits of this address are out.
    Address,
}

/// Hands out permits, and knows when the last one is back.
#[derive(Debug)]
pub(super) struct Gate {
    /// Turns for TLS handshakes.
    pub(super) handshakes: Semaphore,
    counters: Arc<Counters>,
    network_limit: usize,
    address_limit: usize,
    local_limit: usize,
    held: Mutex<Held>,
    requests: AtomicUsize,
    /// Rung when the last permit or the last request is back.
    quiet: Notify,
}

#[derive(Debug, Default)]
struct Held {
    network: usize,
    local: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Gate {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            handshakes: Semaphore::new(limits.handshakes.min(Semaphore::MAX_PERMITS)),
            counters: Arc::default(),
            network_limit: limits.connections,
            address_limit: limits.connections_per_address,
            local_limit: limits.local_connections,
            held: Mutex::default(),
            requests: AtomicUsize::new(0),
            quiet: Notify::new(),
        }
    }

    pub(super) fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// A permit for one more connection, counted either way.
    pub(super) fn admit(self: &Arc<Self>, origin: Origin) -> Result<Permit, Refusal> {
        match self.take(origin) {
            Ok(()) => {
                count(&self.counters.accepted);
                count(&self.counters.open);
                Ok(Permit { gate: self.clone(), origin })
            }
            Err(refusal) => {
                count(match refusal {
                    Refusal::Total => &self.counters.refused_total,
                    Refusal::Address => &self.counters.refused_address,
                });
                Err(refusal)
            }
        }
    }

    /// Connections that hold a permit.
    pub(super) fn open(&self) -> usize {
        let held = self.held();
        held.network + held.local
    }

    pub(super) async fn no_connections(&self) {
        self.until(|| self.open() == 0).await;
    }

    pub(super) async fn no_requests(&self) {
        self.until(|| self.requests.load(Ordering::Relaxed) == 0).await;
    }

    pub(super) fn request_began(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn request_ended(&self) {
        if self.requests.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.quiet.notify_waiters();
        }
    }

    fn take(&self, origin: Origin) -> Result<(), Refusal> {
        let mut held = self.held();
        match origin {
            Origin::Local if held.local >= self.local_limit => return Err(Refusal::Total),
            Origin::Local => held.local += 1,
            Origin::Network(_) if held.network >= self.network_limit => return Err(Refusal::Total),
            Origin::Network(address) => {
                let of_address = held.by_address.get(&address).copied().unwrap_or(0);
                if of_address >= self.address_limit {
                    return Err(Refusal::Address);
                }
                held.by_address.insert(address, of_address + 1);
                held.network += 1;
            }
        }
        Ok(())
    }

    fn give_back(&self, origin: Origin) {
        let mut held = self.held();
        match origin {
            Origin::Local => held.local = held.local.saturating_sub(1),
            Origin::Network(address) => {
                held.network = held.network.saturating_sub(1);
                match held.by_address.get_mut(&address) {
                    Some(more) if *more > 1 => *more -= 1,
                    _ => drop(held.by_address.remove(&address)),
                }
            }
        }
        let empty = held.network + held.local == 0;
        drop(held);
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
        if empty {
            self.quiet.notify_waiters();
        }
    }

    async fn until(&self, done: impl Fn() -> bool) {
        loop {
            // Registered before the look, so that no bell between look and wait is missed.
            let bell = self.quiet.notified();
            if done() {
                return;
            }
            bell.await;
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right of one connection to exist. Goes back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    gate: Arc<Gate>,
    origin: Origin,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.give_back(self.origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(limits: &Limits) -> Arc<Gate> {
        Arc::new(Gate::new(limits))
    }

    fn from(last: u8) -> Origin {
        Origin::Network(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn permits_come_back_and_leave_nothing_behind() {
        let gate = gate(&Limits { connections: 3, connections_per_address: 2, ..Limits::default() });
        let first = gate.admit(from(1)).unwrap();
        let _second = gate.admit(from(1)).unwrap();
        assert_eq!(gate.admit(from(1)).unwrap_err(), Refusal::Address);
        let _third = gate.admit(from(2)).unwrap();
        assert_eq!(gate.admit(from(3)).unwrap_err(), Refusal::Total);
        drop(first);
        let fourth = gate.admit(from(3)).unwrap();
        drop(fourth);
        assert!(!gate.held().by_address.contains_key(&IpAddr::from([192, 0, 2, 3])));
        let counts = gate.counters().snapshot();
        assert_eq!((counts.accepted, counts.refused_total, counts.refused_address, counts.open), (4, 1, 1, 2));
    }

    #[test]
    fn a_full_house_does_not_lock_out_the_operator() {
        let gate = gate(&Limits { connections: 0, local_connections: 1, ..Limits::default() });
        assert_eq!(gate.admit(from(1)).unwrap_err(), Refusal::Total);
        let _operator = gate.admit(Origin::Local).unwrap();
        assert_eq!(gate.admit(Origin::Local).unwrap_err(), Refusal::Total);
    }
}
