// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The lowest layer: ids, names, time stamps and secrets, each its own type.
//!
//! A value that exists is valid: every constructor parses. Knows no other layer.

pub mod id;
pub mod name;
pub mod secret;
pub mod time;
