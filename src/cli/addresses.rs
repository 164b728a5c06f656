// SPDX-License-Identifier: AGPL-3.0-or-later
//! The addresses of this host. The appliance cannot look at them itself: in its network namespace there is only
//! loopback.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use hyper::Method;

use crate::api::types::Addresses;
use crate::cli::Door;
use crate::cli::exit::Failure;

/// Tells the appliance by which addresses this host is reached. Where they cannot be listed, what it knows stays.
pub async fn hand_over(door: &Door) -> Result<Addresses, Failure> {
    let addresses = Addresses { addresses: of_this_host()? };
    Ok(door.client.send_json(Method::PUT, "/api/v1/system/addresses", &addresses).await?)
}

/// Loopback and link-local addresses apart: those that others can type, first the ones by which this host reaches
/// others. A bridge of containers or a tunnel is an address too, and nobody's to type.
pub fn of_this_host() -> std::io::Result<Vec<IpAddr>> {
    let all = if_addrs::get_if_addrs()?.into_iter().map(|interface| interface.ip());
    let mut addresses: Vec<IpAddr> = all.filter(is_for_others).collect();
    let used = used_for_others();
    addresses.sort_unstable_by_key(|address| (!used.contains(address), *address));
    addresses.dedup();
    addresses.truncate(Addresses::MAX);
    Ok(addresses)
}

/// By the default routes. No packet is sent: connecting a UDP socket only looks up the way, here to addresses of
/// documentation (RFC 5737, RFC 3849).
fn used_for_others() -> Vec<IpAddr> {
    let ways: [(IpAddr, IpAddr); 2] = [
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
    ];
    let way = |(here, there)| {
        let socket = UdpSocket::bind((here, 0)).ok()?;
        socket.connect((there, 9)).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    };
    ways.into_iter().filter_map(way).collect()
}

fn is_for_others(address: &IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !address.is_loopback() && !address.is_unspecified() && !is_link_local
}
