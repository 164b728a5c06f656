// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Test vectors of RFC 9605.

/// The vectors of RFC 9605 that concern us.
pub(super) fn rfc9605() -> serde_json::Value {
    serde_json::from_str(include_str!("../../tests/vectors/sframe-rfc9605.json")).unwrap()
}
