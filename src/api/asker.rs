// SPDX-License-Identifier: AGPL-3.0-or-later
//! Whose requests are counted as one caller's.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::MatchedPath;
use axum::http::request::Parts;

use crate::api::error::Problem;
use crate::api::principal;
use crate::api::services::Services;
use crate::core::auth::token::Audience;
use crate::platform::https::Peer;
use crate::platform::token;
use crate::values::id::SessionId;

/// Bits of a global IPv6 address that one customer has (RFC 6177): the rest is theirs to choose from. On private
/// networks one network is a whole office, so there each address counts for itself (`platform::https::Limits`).
const NETWORK_BITS: u32 = 64;

/// What who is not signed in yet has to reach. It has a bucket of its own, so that nothing else that is asked from the
/// same address keeps people out.
const DOOR: [&str; 3] = ["/api/v1/sign-in", "/api/v1/sessions", "/api/v1/sessions/refresh"];

/// One caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Asker {
    /// Root on the host.
    LocalOperator,
    /// A signed-in device.
    Session(SessionId),
    /// Somebody who proved nothing, at this address; of global IPv6, in this network.
    Address(IpAddr),
    /// The same, who signs in.
    Door(IpAddr),
}

impl Asker {
    /// Who says to be whom with a signature of ours. Asks no file: a session may have ended since.
    pub fn signed(parts: &Parts, app: &Services) -> Result<Self, Problem> {
        let peer = principal::peer(parts)?;
        if principal::is_local_operator(peer, app) {
            return Ok(Self::LocalOperator);
        }
        let claimed = principal::bearer(parts).and_then(|token| token::verify(app.store.keyring(), token).ok());
        let holds = claimed.filter(|(claims, signed_by)| {
            claims.check(&app.issuer(), Audience::of(*signed_by), *signed_by, app.clock.now()).is_ok()
        });
        Ok(match (holds, peer) {
            (Some((claims, _)), _) => Self::Session(claims.sid),
            (None, Peer::Network { remote, .. }) if is_door(parts) => Self::Door(network_of(remote.ip())),
            (None, Peer::Network { remote, .. }) => Self::Address(network_of(remote.ip())),
            // Another user of the host, who may do nothing.
            (None, Peer::Local { .. }) => Self::Address(Ipv6Addr::LOCALHOST.into()),
        })
    }
}

fn is_door(parts: &Parts) -> bool {
    parts.extensions.get::<MatchedPath>().is_some_and(|path| DOOR.contains(&path.as_str()))
}

fn network_of(address: IpAddr) -> IpAddr {
    match address {
        // 2000::/3 is all of the global unicast addresses that there are (RFC 4291 §2.4, as IANA hands them out).
        IpAddr::V6(v6) if v6.segments()[0] >> 13 == 1 => {
            Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << (128 - NETWORK_BITS))).into()
        }
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_has_one_network_and_a_private_address_is_itself() {
        let check = |address: &str, network: &str| {
            assert_eq!(network_of(address.parse().unwrap()), network.parse::<IpAddr>().unwrap());
        };
        check("192.0.2.7", "192.0.2.7");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
        check("3fff::1", "3fff::");
        for own in ["::1", "fc00:1:2:3::7", "fdff:1:2:3::7", "fe80::7", "febf::7", "::ffff:192.0.2.7"] {
            check(own, own);
        }
    }
}
