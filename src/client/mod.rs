// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The XR client library: signs in, joins a meeting over either carrier, sends and receives on all channels, changes keys
//! as the meeting does, and comes back by itself after a lost carrier or a restart. Without a headset or a screen.
//!
//! ```text
//! Trust ─▶ Account (sign-in, tickets) ─▶ Participant ─▶ Incoming: who is there, what they send
//!                                             ▲
//!                        pose · voice · event · screen
//! ```
//!
//! | file | what |
//! |---|---|
//! | [`trust`] | the appliance's root certificate, TLS for HTTPS and QUIC |
//! | [`resolve`] | host names to addresses, without the C library |
//! | [`https`] | JSON over HTTPS, problems as errors |
//! | [`account`] | sealed sign-in, refresh, rooms, tickets |
//! | [`carrier`] | a QUIC or WebTransport session |
//! | `seat` | what outlives a carrier: keys, boxes, resume token |
//! | [`connection`] | one carrier's streams and datagrams |
//! | [`participant`] | the way in, and back: what a program uses |
//! | [`incoming`] | what a program is told |
//! | [`media`] | Ogg Opus, IVF, motion |
//! | [`perform`] | speech, motion, events and a screen in real time |
//! | [`record`] | what arrives, into playable files |

pub mod account;
pub mod carrier;
pub mod connection;
#[cfg(feature = "test-hooks")]
pub mod hostile;
pub mod https;
pub mod incoming;
pub mod media;
pub mod participant;
pub mod perform;
pub mod record;
pub mod resolve;
mod seat;
pub mod trust;

use crate::wire::close::CloseCode;

/// Why the client cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The root certificate.
    #[error(
        "{0}: give the appliance's root certificate as PEM (https://…/api/v1/trust/root.pem), after comparing its fingerprint"
    )]
    Root(String),
    /// The address of the appliance.
    #[error("{0:?} is no address of an appliance: write https://host or https://host:port")]
    Server(String),
    /// No address behind the name.
    #[error("{host} has no address ({reason}): check the name, or give one with --address")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// Nobody answers, or not as who was expected.
    #[error("{server} cannot be reached: {reason}")]
    Connect {
        /// Which appliance.
        server: String,
        /// What went wrong.
        reason: String,
    },
    /// The appliance refused, in its words.
    #[error("{title}: {detail} {way_out} (code {code})")]
    Refused {
        /// Stable code.
        code: String,
        /// What happened, in a few words.
        title: String,
        /// In this case.
        detail: String,
        /// What to do.
        way_out: String,
    },
    /// An answer that this release does not understand.
    #[error(
        "the appliance gave an answer that this client does not understand ({0}): use the client of the same release"
    )]
    Unreadable(String),
    /// The sign-in offer is not signed by who it says.
    #[error("the sign-in offer does not hold: somebody may be in between. Compare the root certificate's fingerprint")]
    Offer,
    /// There is no such room, or not for this account.
    #[error("there is no room {0:?} for you: `conclave room list` shows the rooms of a workspace")]
    NoRoom(String),
    /// The relay ended the carrier.
    #[error("{}", .0.meaning())]
    Closed(CloseCode),
    /// The carrier is gone.
    #[error("the connection to the relay was lost")]
    Lost,
    /// Nothing can be sent: not joined, no keys yet, or too large.
    #[error("{0}")]
    NotSent(&'static str),
    /// A media file.
    #[error("{path}: {reason}")]
    Media {
        /// Which file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}
