// SPDX-License-Identifier: AGPL-3.0-or-later
//! Conclave's own relay under test.

use std::net::UdpSocket;

use super::error::BenchError;
use super::load::Load;
use super::subject::{Door, Joined, Started};

/// Starts the relay with a meeting in each room.
pub(super) fn start(_socket: UdpSocket, _load: &Load) -> Result<Started, BenchError> {
    Err(BenchError::Relay("Conclave's relay cannot be measured yet; --relays baseline can".to_owned()))
}

/// Joins a meeting.
pub(super) async fn join(_door: &Door, _credential: &str) -> Result<Joined, String> {
    Err("Conclave's relay cannot be measured yet".to_owned())
}
