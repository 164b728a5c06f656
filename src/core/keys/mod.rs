// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keys and what is done with them: wrapping, sealed fields, the identity key, sealed credentials.
//!
//! Formats are those of `docs/files.md` and `docs/sign-in.md`.

pub mod envelope;
pub mod frame;
pub mod identity;
pub mod sealing;
