// SPDX-License-Identifier: AGPL-3.0-or-later
//! Why nothing was measured.

use std::io;
use std::time::Duration;

use super::load::LoadError;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The load makes no sense.
    #[error("{0}")]
    Load(#[from] LoadError),
    /// The baseline is measured with what it carries.
    #[error("the baseline carries datagrams only: leave out --event-hz and --screen, or add --relays conclave")]
    StreamsOnBaseline,
    /// A share is no share.
    #[error("--loss {0} is not from 0 to 100")]
    Loss(f64),
    /// Rounds or durations in which nothing happens.
    #[error("--rounds and --duration must be more than nothing")]
    NoTime,
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Certificates or TLS configurations do not fit: a fault of this program.
    #[error("TLS does not fit together: {0}")]
    Tls(String),
    /// The relay's process said why it cannot go on.
    #[error("the relay under test does not run: {0}")]
    Relay(String),
    /// The relay's process ended, or says what nobody understands.
    #[error("the process of the relay under test {0}")]
    Process(&'static str),
    /// Somebody did not get in.
    #[error("participant {participant} did not join: {reason}")]
    Join {
        /// Which one, by index.
        participant: usize,
        /// Why not.
        reason: String,
    },
    /// Somebody has nothing to seal with.
    #[error("{waiting} of the participants had no key after {} s", .after.as_secs())]
    NoKeys {
        /// How many.
        waiting: usize,
        /// How long they were waited for.
        after: Duration,
    },
}

impl BenchError {
    /// Whether other options would help.
    pub const fn is_wrong_usage(&self) -> bool {
        matches!(self, Self::Load(_) | Self::StreamsOnBaseline | Self::Loss(_) | Self::NoTime)
    }

    /// What the other process is told: without what it adds itself.
    pub(super) fn reason(self) -> String {
        match self {
            Self::Relay(reason) => reason,
            other => other.to_string(),
        }
    }

    /// Names what was tried.
    pub(super) fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
