// SPDX-License-Identifier: AGPL-3.0-or-later
//! See `conclave::wire::control::exercise`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| conclave::wire::control::exercise(bytes));
