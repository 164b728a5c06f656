// SPDX-License-Identifier: AGPL-3.0-or-later
//! The machine the appliance runs on: time, randomness, files, TLS, certificates, logs.

#[cfg(feature = "client")]
pub mod clock;
#[cfg(feature = "client")]
pub mod entropy;
#[cfg(feature = "client")]
pub mod suites;

#[cfg(feature = "server")]
pub mod fence;
#[cfg(feature = "server")]
pub mod https;
#[cfg(feature = "server")]
pub mod password;
#[cfg(feature = "server")]
pub mod pki;
#[cfg(feature = "server")]
pub mod probe;
#[cfg(feature = "server")]
pub mod qr;
#[cfg(feature = "server")]
pub mod recovery;
#[cfg(feature = "server")]
pub mod sockets;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod sys;
#[cfg(feature = "server")]
pub mod telemetry;
#[cfg(feature = "server")]
pub mod token;
#[cfg(feature = "server")]
pub mod trust;
