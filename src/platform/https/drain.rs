// SPDX-License-Identifier: AGPL-3.0-or-later
//! The phases of stopping, and the signal that carries them.
//!
//! Invariant: phases only go forward, each one only after the former took effect. Deliberately does not know who
//! listens: an event stream watches the same signal as the listeners do.

use tokio::sync::watch;

/// How far the server has come in stopping. Later phases are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Business as usual.
    Serving,
    /// Announced: the application answers health checks with "stopping".
    Stopping,
    /// Listeners close; who is connected is still served.
    Closed,
    /// Event streams end themselves, with whatever last word they have.
    StreamsClosing,
    /// Idle connections are closed; requests in flight finish, and their connections close after them.
    Finishing,
    /// Time is over: what is left is cut.
    Aborting,
    /// Nothing is served any more.
    Stopped,
}

/// The drain signal, as handlers watch it. Clones watch the same server.
#[derive(Debug, Clone)]
pub struct Drain {
    phase: watch::Receiver<Phase>,
}

impl Drain {
    pub(super) const fn new(phase: watch::Receiver<Phase>) -> Self {
        Self { phase }
    }

    /// The phase right now.
    pub fn phase(&self) -> Phase {
        if self.phase.has_changed().is_err() {
            return Phase::Stopped;
        }
        *self.phase.borrow()
    }

    /// Whether the appliance is going down.
    pub fn is_stopping(&self) -> bool {
        self.phase() > Phase::Serving
    }

    /// Waits until the server is in `phase` or a later one. A server that is gone is in the last.
    pub async fn reached(&self, phase: Phase) {
        let mut current = self.phase.clone();
        let _ = current.wait_for(|now| *now >= phase).await;
    }

    /// Waits until event streams, and upgraded connections, have to end themselves.
    ///
    /// A stream that does not is cut with its connection; an upgraded connection no longer belongs to this module
    /// and is only counted as aborted.
    pub async fn streams_closed(&self) {
        self.reached(Phase::StreamsClosing).await;
    }
}

/// What became of the connections that were open when the listeners closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Ended in time: idle, or after their last response.
    pub finished: usize,
    /// Cut at the deadline.
    pub aborted: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_vanished_has_stopped() {
        let phase = watch::Sender::new(Phase::Serving);
        let drain = Drain::new(phase.subscribe());
        assert!(!drain.is_stopping());
        drop(phase);
        assert_eq!(drain.phase(), Phase::Stopped);
        drain.reached(Phase::Stopped).await;
    }
}
