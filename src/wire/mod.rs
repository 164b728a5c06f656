// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bytes to values and back: what travels between a client and the relay, as `docs/protocol.md` says it.
//!
//! Decoders borrow, allocate nothing and are total: any input gives a value or an error, never a panic. A value has
//! one spelling, so what decodes encodes to the same bytes. Encoders write into the caller's buffer. Nothing here
//! knows who may send what, reads a clock or draws randomness. Each decoder has an `exercise`, which the fuzz targets
//! and the property tests call.
//!
//! | module | what |
//! |---|---|
//! | [`header`] | the SFrame header (RFC 9605 §4.3) |
//! | [`sframe`] | SFrame with cipher suite 0x0005: keys, sealing, opening (RFC 9605 §4.4) |
//! | [`kid`] | which epoch, participant and channel a key belongs to |
//! | [`frame`] | one media frame: SFrame, its clear fields, and what it is bound to |
//! | [`datagram`] | frames side by side in a datagram, upstream and downstream |
//! | [`stream`] | events and screen frames in streams |
//! | [`control`] | the messages of the control stream |
//! | [`close`] | why a carrier ends |

pub mod header;

pub mod sframe;

pub mod kid;

pub mod frame;

pub mod datagram;

pub mod stream;

pub mod control;

pub mod close;

#[cfg(test)]
mod vectors;
