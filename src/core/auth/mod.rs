// SPDX-License-Identifier: AGPL-3.0-or-later
//! Who may do what: permissions, the steps of a sign-in, challenges, token and refresh rules.
//!
//! Everything here is a decision; reading accounts, hashing passwords and signing tokens happen elsewhere.

pub mod challenge;
pub mod login;
pub mod opaque;
pub mod permission;
pub mod refresh;
pub mod ticket;
pub mod token;
