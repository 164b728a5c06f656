// SPDX-License-Identifier: AGPL-3.0-or-later
//! See `conclave::wire::header::exercise`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| conclave::wire::header::exercise(bytes));
