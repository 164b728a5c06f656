// SPDX-License-Identifier: AGPL-3.0-or-later
//! The one integration test binary: a file a capability, all against the real binary or the public library.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests say what they found by failing"
)]
#![allow(clippy::disallowed_methods, reason = "tests measure and wait")]

mod accounts;
mod api;
mod audit;
mod bad_input;
mod bench;
mod claim;
mod cli;
mod config;
mod console;
mod crash;
mod credentials;
mod demo;
mod docs;
mod exit_codes;
mod failures;
mod files;
mod fuzz;
mod harness;
mod https;
mod independent;
mod layering;
mod meetings;
mod permissions;
mod pki;
mod recovery;
mod roles;
mod rooms;
mod schema;
mod sign_in;
mod sockets;
mod storm;
mod timing;
mod tokens;
mod trust;
mod watching;
mod workspaces;
mod xr;
