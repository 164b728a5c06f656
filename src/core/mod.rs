// SPDX-License-Identifier: AGPL-3.0-or-later
//! Every decision, pure and synchronous.
//!
//! Nothing here awaits, reads a clock, draws randomness, touches a disk, a socket or the environment:
//! `now` and `rng` are arguments, facts are return values. So it also builds for wasm32.

pub mod agreement;
pub mod approval;
pub mod audit;
pub mod auth;
pub mod authority;
pub mod claim;
pub mod explain;
pub mod export;
pub mod idempotency;
pub mod keys;
pub mod limit;
pub mod quota;
pub mod replay;
pub mod room;
pub mod workspace;
