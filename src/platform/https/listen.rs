// SPDX-License-Identifier: AGPL-3.0-or-later
//! Listening sockets: bound early, so that a bad address is known before anything runs, and served late.
//!
//! Invariants: an IPv6 socket takes IPv6 only, so that both families can be bound side by side; a socket handed in
//! from outside (socket activation) is as good as one bound here. Deliberately does not know who will serve them.

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

/// Connections the kernel completes before we accept them. More than a full house at once; the kernel cuts it to
/// `net.core.somaxconn` (4,096 by default).
const BACKLOG: i32 = 1_024;

/// A socket could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error(
        "cannot listen on {address}: another program holds this address; `ss -ltnp` shows which. \
         Stop it, or configure another port"
    )]
    InUse {
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel does not let this user.
    #[error(
        "cannot listen on {address}: not permitted. Ports below 1024 need socket activation \
         (systemctl enable --now conclave-https.socket) or CAP_NET_BIND_SERVICE; or configure a higher port"
    )]
    Forbidden {
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// No interface of this machine has that address.
    #[error(
        "cannot listen on {address}: this machine does not have that address; `ip address` shows those it has. \
         Configure one of them, or 0.0.0.0 and [::] for all"
    )]
    Unavailable {
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot listen on {address}: the system refused; the cause below says why")]
    Failed {
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// A socket that was handed in does not listen, or does not fit.
    #[error("the socket that was handed in cannot be served; check that its socket unit is a listening stream socket")]
    Unusable {
        /// What the kernel said.
        source: io::Error,
    },
}

impl ListenError {
    fn at(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address, source },
            io::ErrorKind::PermissionDenied => Self::Forbidden { address, source },
            io::ErrorKind::AddrNotAvailable => Self::Unavailable { address, source },
            _ => Self::Failed { address, source },
        }
    }

    const fn unusable(source: io::Error) -> Self {
        Self::Unusable { source }
    }
}

/// A bound TCP socket that nobody serves yet. Clients that connect meanwhile wait in the kernel.
#[derive(Debug)]
pub struct Listener {
    socket: StdTcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Takes over a socket that already listens.
    ///
    /// # Errors
    /// When it is no TCP socket.
    pub fn from_std(socket: StdTcpListener) -> Result<Self, ListenError> {
        socket.set_nonblocking(true).map_err(ListenError::unusable)?;
        let address = socket.local_addr().map_err(ListenError::unusable)?;
        Ok(Self { socket, address })
    }

    /// The address it is bound to; with the real port where port 0 was asked for.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket itself.
    pub fn into_std(self) -> StdTcpListener {
        self.socket
    }

    pub(super) fn into_tokio(self) -> Result<TcpListener, ListenError> {
        TcpListener::from_std(self.socket).map_err(ListenError::unusable)
    }
}

/// A bound Unix socket that nobody serves yet.
#[derive(Debug)]
pub struct LocalListener {
    socket: StdUnixListener,
}

impl LocalListener {
    /// Takes over a socket that already listens. Its path and permissions are the caller's.
    ///
    /// # Errors
    /// When the socket is unusable.
    pub fn from_std(socket: StdUnixListener) -> Result<Self, ListenError> {
        socket.set_nonblocking(true).map_err(ListenError::unusable)?;
        Ok(Self { socket })
    }

    pub(super) fn into_tokio(self) -> Result<UnixListener, ListenError> {
        UnixListener::from_std(self.socket).map_err(ListenError::unusable)
    }
}

/// Binds every address, or none: TCP, and UDP on the same port.
///
/// # Errors
/// The first address that cannot be had, by name and with the way out.
pub fn bind(addresses: &[SocketAddr]) -> Result<(Vec<Listener>, Vec<UdpSocket>), ListenError> {
    let pair = |address: &SocketAddr| bind_pair(*address).map_err(|source| ListenError::at(*address, source));
    Ok(addresses.iter().map(pair).collect::<Result<Vec<_>, _>>()?.into_iter().unzip())
}

/// Ports that the kernel may choose until one is free for both.
const CHOICES: usize = 16;

fn bind_pair(address: SocketAddr) -> io::Result<(Listener, UdpSocket)> {
    let choices = if address.port() == 0 { CHOICES } else { 1 };
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..choices {
        let listener = bind_one(address)?;
        match bind_udp(listener.address) {
            Ok(udp) => return Ok((listener, udp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Bytes the kernel is asked to keep for the UDP socket, each way: two ticks of a full house. It may grant less
/// (`net.core.rmem_max`).
const UDP_BUFFER: usize = 4 << 20;

fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(UDP_BUFFER)?;
    socket.set_send_buffer_size(UDP_BUFFER)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn bind_one(address: SocketAddr) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the former process's connections to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let socket = StdTcpListener::from(socket);
    let address = socket.local_addr()?;
    Ok(Listener { socket, address })
}

/// Whether an error of accept concerns only the connection that was to be accepted (accept(2)).
pub(super) fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | HostUnreachable | NetworkDown | NetworkUnreachable)
}

/// How long to leave a listener alone that cannot accept, for want of descriptors or memory.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    pause: Option<Duration>,
}

/// Whether a failure is the first of its burst, the only one that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Burst {
    Begins,
    GoesOn,
}

impl Backoff {
    /// Short enough that one freed descriptor is used soon.
    const FIRST: Duration = Duration::from_millis(10);
    /// Long enough that a lasting shortage costs nothing.
    const LONGEST: Duration = Duration::from_secs(1);

    /// Another failure: how long to wait now.
    pub(super) fn failed(&mut self) -> (Duration, Burst) {
        let (pause, burst) = match self.pause {
            None => (Self::FIRST, Burst::Begins),
            Some(last) => (last.saturating_mul(2).min(Self::LONGEST), Burst::GoesOn),
        };
        self.pause = Some(pause);
        (pause, burst)
    }

    /// A success. True when it ends a burst.
    pub(super) const fn recovered(&mut self) -> bool {
        self.pause.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_listen_on_one_port() {
        // The port may be somebody else's for IPv4.
        for choice in 1..=CHOICES {
            let v6 = match bind(&["[::]:0".parse().unwrap()]) {
                Ok((mut bound, _)) => bound.remove(0),
                Err(ListenError::Failed { .. } | ListenError::Unavailable { .. }) => return, // no IPv6 here
                Err(other) => panic!("{other}"),
            };
            match bind(&[SocketAddr::from(([0, 0, 0, 0], v6.address().port()))]) {
                Ok(_) => break,
                Err(error) => assert!(choice < CHOICES, "{error}"),
            }
        }
    }

    #[test]
    fn an_address_that_cannot_be_had_is_named() {
        let taken = bind(&["127.0.0.1:0".parse().unwrap()]).unwrap().0.remove(0);
        let refused = bind(&[taken.address()]).unwrap_err();
        assert!(
            matches!(refused, ListenError::InUse { .. }) && refused.to_string().contains("127.0.0.1:"),
            "{refused}"
        );
        // TEST-NET-1 (RFC 5737) belongs to nobody.
        let elsewhere = bind(&["192.0.2.1:0".parse().unwrap()]).unwrap_err();
        assert!(matches!(elsewhere, ListenError::Unavailable { .. }), "{elsewhere}");
    }

    #[test]
    fn a_lasting_shortage_is_logged_once_and_waited_out_ever_longer() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.failed(), (Duration::from_millis(10), Burst::Begins));
        assert_eq!(backoff.failed(), (Duration::from_millis(20), Burst::GoesOn));
        for _ in 0..20 {
            backoff.failed();
        }
        assert_eq!(backoff.failed(), (Duration::from_secs(1), Burst::GoesOn));
        assert!(backoff.recovered());
        assert!(!backoff.recovered());
        assert_eq!(backoff.failed().1, Burst::Begins);
    }

    #[test]
    fn want_of_descriptors_is_ours_and_an_aborted_connection_is_not() {
        const EMFILE: i32 = 24;
        const ECONNABORTED: i32 = 103;
        assert!(!is_of_one_connection(&io::Error::from_raw_os_error(EMFILE)));
        assert!(is_of_one_connection(&io::Error::from_raw_os_error(ECONNABORTED)));
    }
}
