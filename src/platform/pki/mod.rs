// SPDX-License-Identifier: AGPL-3.0-or-later
//! The appliance's own certificates: a root that can only ever speak for the operator's names and networks,
//! the leaves below it, and what TLS presents right now.
//!
//! Reading order: [`Scope`] (what the operator chose) → [`Authority`] (root and intermediate that are bound to
//! it) → [`Leaf`] (what a connection presents) → [`Certificates`] (which leaf that is at this moment) → [`tls`]
//! (under which policy).
//!
//! Invariants: every certificate carries an explicit validity computed from a `now` that the caller gives; no
//! clock is read here. No leaf is issued outside the scope of its root. A private key leaves only as
//! [`KeyPkcs8`], which is wiped when dropped and never printed.
//!
//! Randomness: `rcgen` and `rustls` draw keys, signature nonces and handshake randoms from AWS-LC themselves, so
//! this is the one module where keys do not come from an argument; serial numbers come from
//! [`entropy`](crate::platform::entropy).
//!
//! Knows nothing of where parts are stored or sealed, of sockets, or of HTTP: it returns facts ([`Renewed`]) and
//! parts ([`AuthorityParts`], [`LeafParts`]), and the caller keeps them.

mod authority;
mod certificates;
mod constraints;
mod key;
mod leaf;
mod scope;
pub mod tls;

use std::net::IpAddr;

use crate::values::time::Timestamp;

pub use authority::{Authority, AuthorityParts};
pub use certificates::{Certificates, Cover, Renewed, SavedLeaves, Slot, UdpCertificates};
pub use key::{Fingerprint, KeyPkcs8};
pub use leaf::{Leaf, LeafParts, LeafUse, Validity};
pub use scope::{DnsName, Scope, ScopeError, Subject};

/// Why a certificate could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is in none of the DNS suffixes that the root may speak for.
    #[error("no certificate for {name}: the root is bound to {scope}; make a new root that includes this name")]
    NameOutsideScope {
        /// The name that was asked for.
        name: DnsName,
        /// What the root may speak for.
        scope: Box<Scope>,
    },
    /// The address is in none of the networks that the root may speak for.
    #[error("no certificate for {address}: the root is bound to {scope}; make a new root that includes its network")]
    AddressOutsideScope {
        /// The address that was asked for.
        address: IpAddr,
        /// What the root may speak for.
        scope: Box<Scope>,
    },
    /// A certificate without any name or address would match nothing.
    #[error("no certificate for nothing: give at least one name or address")]
    EmptySubject,
    /// The label cannot stand in the root's name.
    #[error("the appliance label is not usable in a certificate: use 1 to 64 characters without control characters")]
    Label,
    /// The root has ended, or the clock is before it began.
    #[error(
        "the root is valid from {} to {} and it is {now}: correct the clock, or make a new root",
        validity.not_before, validity.not_after
    )]
    AuthorityNotValid {
        /// When the root is valid.
        validity: Validity,
        /// What the caller said the time is.
        now: Timestamp,
    },
    /// A moment that no certificate can carry.
    #[error("{0} cannot stand in a certificate: correct the clock")]
    Time(Timestamp),
    /// Stored bytes are not the certificate they should be.
    #[error("the stored {what} cannot be read ({reason}): restore it from a backup, or make it anew")]
    Stored {
        /// Which certificate.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The library could not make or sign a certificate.
    #[error("the {what} could not be made: this is a fault of the appliance, please report it")]
    Issue {
        /// Which certificate.
        what: &'static str,
        /// What the library says.
        source: rcgen::Error,
    },
    /// TLS refuses the certificate, its key or the policy.
    #[error("TLS cannot use the {what}: restore it from a backup, or make it anew")]
    Tls {
        /// What is refused.
        what: &'static str,
        /// What the library says.
        source: rustls::Error,
    },
}

impl Error {
    /// For `map_err`: `what` could not be made.
    fn issue(what: &'static str) -> impl Fn(rcgen::Error) -> Self + Copy {
        move |source| Self::Issue { what, source }
    }
}
