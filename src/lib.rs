// SPDX-License-Identifier: AGPL-3.0-or-later
//! Conclave: a self-hosted appliance for private meetings in virtual and augmented reality.
//!
//! This file is the table of contents. A module names strictly lower layers and itself; siblings
//! never name each other (`tests/it/layering.rs` holds that).
//!
//! | layer | what it is | knows |
//! |---|---|---|
//! | [`values`] | ids, names, time stamps, secrets | nothing |
//! | [`wire`] | bytes to values and back: media frames (SFrame), datagrams | values |
//! | [`core`] | every decision: keys, sign-in, permissions, audit, limits, replay | values, wire; `now` and randomness are arguments |
//! | [`platform`] | the machine: clock, entropy, files, TLS, certificates, logs | core |
//! | [`hub`] | live meetings: who is there, keys on their way | platform |
//! | [`api`], [`console`] | what people and programs reach over HTTPS | hub |
//! | [`relay`] | what headsets and browsers reach over QUIC: forwards, and never reads | hub |
//! | [`client`] | the XR client library, for programs that take part in meetings | platform: clock, entropy, TLS suites |
//! | [`config`], [`app`], [`lifecycle`], [`cli`] | assembly: from the command line to a running appliance | all |
//!
//! Where is a sign-in decided? [`core::auth::login`]. Where is it served? `api::sign_in`.
#![warn(missing_docs)]

pub mod values;

pub mod wire;

pub mod core;

pub mod platform;

#[cfg(feature = "server")]
pub mod hub;

#[cfg(feature = "server")]
pub mod api;
#[cfg(feature = "server")]
pub mod console;
#[cfg(feature = "server")]
pub mod relay;

#[cfg(feature = "client")]
pub mod client;

#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod lifecycle;
