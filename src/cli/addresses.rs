// SPDX-License-Identifier: AGPL-3.0-or-later
//! The addresses of this host. The appliance cannot look at them itself: in its network namespace there is only
//! loopback.

use std::net::IpAddr;

use hyper::Method;

use crate::api::types::Addresses;
use crate::cli::Door;
use crate::cli::exit::Failure;

/// Tells the appliance by which addresses this host is reached. Where they cannot be listed, what it knows stays.
pub async fn hand_over(door: &Door) -> Result<Addresses, Failure> {
    let addresses = Addresses { addresses: of_this_host()? };
    Ok(door.client.send_json(Method::PUT, "/api/v1/system/addresses", &addresses).await?)
}

/// Loopback and link-local addresses apart, IPv4 first: those that others can type.
pub fn of_this_host() -> std::io::Result<Vec<IpAddr>> {
    let all = if_addrs::get_if_addrs()?.into_iter().map(|interface| interface.ip());
    let mut addresses: Vec<IpAddr> = all.filter(is_for_others).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(Addresses::MAX);
    Ok(addresses)
}

fn is_for_others(address: &IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !address.is_loopback() && !address.is_unspecified() && !is_link_local
}
