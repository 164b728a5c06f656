// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keys and what is done with them: wrapping, sealed fields, the identity key, sealed credentials,
//! and the epochs of a meeting.
//!
//! Formats are those of `docs/files.md`, `docs/sign-in.md` and `docs/protocol.md`.

pub mod boxes;
pub mod envelope;
pub mod epoch;
pub mod frame;
pub mod identity;
pub mod recovery;
pub mod sealing;

#[cfg(test)]
mod vectors;
