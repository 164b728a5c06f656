// SPDX-License-Identifier: AGPL-3.0-or-later
//! Whose requests are counted, and repeated, as one caller's.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::api::error::Problem;
use crate::api::principal::{self, Member};
use crate::api::services::{App, Services};
use crate::core::auth::token::Audience;
use crate::platform::https::Peer;
use crate::platform::token;
use crate::values::id::SessionId;

/// Bits of an IPv6 address that one customer has (RFC 6177): the rest is theirs to choose from.
const NETWORK_BITS: u32 = 64;

/// One caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Asker {
    /// Root on the host.
    LocalOperator,
    /// A signed-in device.
    Session(SessionId),
    /// Somebody who proved nothing, at this address; of IPv6, in this network.
    Address(IpAddr),
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
            (None, Peer::Network { remote, .. }) => Self::Address(network_of(remote.ip())),
            // Another user of the host, who may do nothing.
            (None, Peer::Local { .. }) => Self::Address(Ipv6Addr::LOCALHOST.into()),
        })
    }

    /// Who is it for certain: a session that holds now, or root on the host. Nobody else.
    pub async fn proven(parts: &mut Parts, app: &App) -> Option<Self> {
        if let Ok(member) = Member::from_request_parts(parts, app).await {
            return Some(Self::Session(member.session.id));
        }
        let peer = principal::peer(parts).ok()?;
        principal::is_local_operator(peer, app).then_some(Self::LocalOperator)
    }
}

fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << (128 - NETWORK_BITS))).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_has_one_network() {
        let check = |address: &str, network: &str| {
            assert_eq!(network_of(address.parse().unwrap()), network.parse::<IpAddr>().unwrap());
        };
        check("192.0.2.7", "192.0.2.7");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
        check("::1", "::");
    }
}
