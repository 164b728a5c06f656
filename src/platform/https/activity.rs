// SPDX-License-Identifier: AGPL-3.0-or-later
//! Whom a connection waits for, and since when.
//!
//! A connection is *idle* when no request is in flight, and *stalled* when bytes or a piece of a response are ready
//! and its peer takes nothing of them. While the application works on a request, or an event stream has nothing to
//! say, a connection is neither, however long that takes.
//!
//! Invariants: pure bookkeeping behind a lock that is never held across an await; `now` is an argument.
//! Deliberately does not know HTTP.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::gate::Gate;
use super::limits::Limits;

/// The bookkeeping of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    gate: Arc<Gate>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests ever.
    begun: u64,
    /// Requests whose response is not done.
    in_flight: usize,
    /// Those of them whose peer has something to take.
    on_peer: usize,
    /// Whether the stream takes no more bytes.
    blocked: bool,
    /// When something last went forward.
    moved: Instant,
}

/// Whose turn it is in one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The application has nothing ready.
    Application,
    /// A piece of the response waits to be taken.
    Peer,
}

/// What to do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing; look again then.
    Wait(Instant),
    /// Say goodbye.
    Idle,
    /// Cut it.
    Stalled,
}

impl Activity {
    pub(super) fn new(gate: Arc<Gate>, now: Instant) -> Arc<Self> {
        Arc::new(Self {
            gate,
            state: Mutex::new(State { begun: 0, in_flight: 0, on_peer: 0, blocked: false, moved: now }),
        })
    }

    /// A request has arrived.
    pub(super) fn begin(self: &Arc<Self>, now: Instant) -> Exchange {
        let mut state = self.state();
        state.begun = state.begun.saturating_add(1);
        state.in_flight += 1;
        state.moved = now;
        drop(state);
        self.gate.request_began();
        Exchange { activity: self.clone(), turn: Turn::Application }
    }

    /// The stream took a part of a response.
    pub(super) fn moved(&self, now: Instant) {
        let mut state = self.state();
        state.blocked = false;
        state.moved = now;
    }

    /// The stream takes no more until the peer reads.
    pub(super) fn blocked(&self, now: Instant) {
        let mut state = self.state();
        if !state.blocked {
            state.blocked = true;
            state.moved = now;
        }
    }

    /// The stream has nothing left that the peer must read first.
    pub(super) fn flowing(&self) {
        self.state().blocked = false;
    }

    /// Whether no request ever arrived.
    pub(super) fn unused(&self) -> bool {
        self.state().begun == 0
    }

    /// Whether a request is in flight.
    pub(super) fn busy(&self) -> bool {
        self.state().in_flight > 0
    }

    pub(super) fn verdict(&self, now: Instant, limits: &Limits) -> Verdict {
        let state = self.state();
        let (until, out_of_patience) = match *state {
            State { blocked: true, moved, .. } => (moved + limits.stall, Verdict::Stalled),
            State { in_flight: 0, begun: 0, moved, .. } => (moved + limits.header_read, Verdict::Idle),
            State { in_flight: 0, moved, .. } => (moved + limits.idle, Verdict::Idle),
            State { on_peer: 0, .. } => (now + limits.stall, Verdict::Stalled),
            State { moved, .. } => (moved + limits.stall, Verdict::Stalled),
        };
        if until <= now {
            return out_of_patience;
        }
        // No later than the shortest patience: by then it may be another state's turn.
        Verdict::Wait(until.min(now + limits.header_read.min(limits.idle).min(limits.stall)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request in flight, until dropped.
#[derive(Debug)]
pub(super) struct Exchange {
    activity: Arc<Activity>,
    turn: Turn,
}

impl Exchange {
    /// Whose turn it is from now on.
    pub(super) fn turn(&mut self, turn: Turn, now: Instant) {
        let mut state = self.activity.state();
        match (self.turn, turn) {
            (Turn::Application, Turn::Peer) => state.on_peer += 1,
            (Turn::Peer, Turn::Application) => state.on_peer = state.on_peer.saturating_sub(1),
            (Turn::Application, Turn::Application) | (Turn::Peer, Turn::Peer) => {}
        }
        state.moved = now;
        drop(state);
        self.turn = turn;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let now = Instant::now();
        self.turn(Turn::Application, now);
        let mut state = self.activity.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        drop(state);
        self.activity.gate.request_ended();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_the_peers_own_slowness_counts_against_it() {
        let limits = Limits {
            header_read: Duration::from_secs(1),
            idle: Duration::from_secs(60),
            stall: Duration::from_secs(30),
            ..Limits::default()
        };
        let start = Instant::now();
        let after = |secs| start + Duration::from_secs(secs);
        let activity = Activity::new(Arc::new(Gate::new(&limits)), start);
        assert_eq!(activity.verdict(start, &limits), Verdict::Wait(after(1)));
        assert_eq!(activity.verdict(after(1), &limits), Verdict::Idle, "no first request");

        let mut exchange = activity.begin(after(1));
        assert!(matches!(activity.verdict(after(1_000), &limits), Verdict::Wait(_)), "the application may think");
        exchange.turn(Turn::Peer, after(1_000));
        assert_eq!(activity.verdict(after(1_001), &limits), Verdict::Wait(after(1_002)), "looks again in time");
        activity.moved(after(1_029));
        assert!(matches!(activity.verdict(after(1_058), &limits), Verdict::Wait(_)), "slow is not stalled");
        assert_eq!(activity.verdict(after(1_059), &limits), Verdict::Stalled);
        exchange.turn(Turn::Application, after(1_060));
        assert!(matches!(activity.verdict(after(9_000), &limits), Verdict::Wait(_)), "a quiet event stream");

        activity.blocked(after(9_000));
        activity.blocked(after(9_029));
        assert_eq!(activity.verdict(after(9_030), &limits), Verdict::Stalled, "even then the stream must flow");
        activity.flowing();

        drop(exchange);
        assert!(!activity.busy() && !activity.unused());
        assert!(matches!(activity.verdict(Instant::now(), &limits), Verdict::Wait(_)));
        assert_eq!(activity.verdict(Instant::now() + limits.idle, &limits), Verdict::Idle);
    }
}
