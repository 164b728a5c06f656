// SPDX-License-Identifier: AGPL-3.0-or-later
//! Tries to reach the outside, to see that it cannot be reached. Only behind the service's own units: elsewhere nothing
//! is fenced, and what is tried would leave.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use rustix::io::Errno;

/// Addresses of documentation, which belong to nobody (RFC 5737, RFC 3849): even without a fence, what is sent there
/// reaches nothing. An operator may have let one of them in for a test, so there are several.
pub const OUTSIDE_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(203, 0, 113, 1)];
const OUTSIDE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// The discard service (RFC 863).
const PORT: u16 = 9;
const PATIENCE: Duration = Duration::from_millis(500);

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// The kernel did not let it.
    Refused(String),
    /// It left.
    Left,
    /// It could not be tried.
    NotTried(String),
}

/// A new connection.
pub fn connect_anew() -> Tried {
    let [outside, ..] = OUTSIDE_V4;
    match TcpStream::connect_timeout(&SocketAddr::new(outside.into(), PORT), PATIENCE) {
        // The service's own network namespace has no way out.
        Err(error) if error.raw_os_error().map(Errno::from_raw_os_error) == Some(Errno::NETUNREACH) => {
            Tried::Refused(error.to_string())
        }
        connected => verdict(connected.map(drop)),
    }
}

/// A datagram over a socket that the service manager made, to addresses outside every client network.
pub fn send_over(socket: &UdpSocket) -> Tried {
    let family = match socket.local_addr() {
        Ok(SocketAddr::V4(_)) => OUTSIDE_V4.map(IpAddr::from).to_vec(),
        Ok(SocketAddr::V6(_)) => vec![OUTSIDE_V6.into()],
        Err(error) => return Tried::NotTried(error.to_string()),
    };
    let tries: Vec<Tried> =
        family.into_iter().map(|outside| verdict(socket.send_to(&[], (outside, PORT)).map(drop))).collect();
    let refused = tries.iter().find(|tried| matches!(tried, Tried::Refused(_)));
    refused.or_else(|| tries.first()).cloned().unwrap_or(Tried::Left)
}

/// A listener of the service manager, shut down and connected to `outside`. It serves nobody afterwards. Whether it got
/// there is seen at the other end: a packet that is dropped on its way out looks here like one that nobody answers.
///
/// # Errors
/// When it could not even be shut down.
pub fn reuse(listener: std::net::TcpListener, outside: SocketAddr) -> io::Result<()> {
    rustix::net::shutdown(&listener, rustix::net::Shutdown::Both)?;
    let socket = socket2::Socket::from(listener);
    // Refused, dropped or made: see above.
    drop(socket.connect_timeout(&outside.into(), PATIENCE));
    Ok(())
}

/// Whether an error is the kernel's refusal and not that of some host on the way.
fn verdict(result: io::Result<()>) -> Tried {
    let Err(error) = result else { return Tried::Left };
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::PERM | Errno::ACCESS | Errno::AFNOSUPPORT) => Tried::Refused(error.to_string()),
        Some(Errno::AGAIN | Errno::INPROGRESS | Errno::TIMEDOUT) => Tried::Left,
        // Somebody answered.
        Some(Errno::CONNREFUSED | Errno::CONNRESET | Errno::HOSTUNREACH) => Tried::Left,
        _ if error.kind() == io::ErrorKind::TimedOut => Tried::Left,
        _ => Tried::NotTried(error.to_string()),
    }
}
