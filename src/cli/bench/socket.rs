// SPDX-License-Identifier: AGPL-3.0-or-later
//! UDP sockets on loopback, with room for bursts, so that no relay under test loses what the kernel had no place for.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Bytes the kernel is asked to keep for a socket, each way. It may grant less (`net.core.rmem_max`).
const BUFFER: usize = 4 << 20;

/// A socket on a free port of IPv4 loopback.
pub(super) fn on_loopback() -> io::Result<UdpSocket> {
    bind(Ipv4Addr::LOCALHOST.into())
}

/// A socket on a free port that can reach `peer` on the same machine.
pub(super) fn beside(peer: SocketAddr) -> io::Result<UdpSocket> {
    bind(if peer.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() })
}

fn bind(address: IpAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((address, 0))?;
    let options = socket2::SockRef::from(&socket);
    options.set_recv_buffer_size(BUFFER)?;
    options.set_send_buffer_size(BUFFER)?;
    Ok(socket)
}
