// SPDX-License-Identifier: AGPL-3.0-or-later
//! Meetings end to end: the real binary, and people at it with the client library over both carriers.

mod churn;
mod comeback;
pub mod hall;
pub mod hostile;
mod moderation;
mod secrecy;
mod talk;
