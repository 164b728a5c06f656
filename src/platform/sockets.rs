// SPDX-License-Identifier: AGPL-3.0-or-later
//! Where the sockets come from: a service manager that made them, or the configuration.
//!
//! Under systemd all of them are handed over (socket activation, sd_listen_fds(3)): the appliance can open none itself,
//! and they stay open while it restarts. What is what follows from the socket: TCP is HTTPS, UDP is the relay, a Unix
//! socket is the door of the command line.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;

use crate::platform::https::{self, ListenError, Listener, LocalListener};
use crate::platform::store::error::StoreError;
use crate::platform::store::files;

/// What the appliance serves on.
#[derive(Debug)]
pub struct Sockets {
    /// HTTPS.
    pub https: Vec<Listener>,
    /// The relay.
    pub quic: Vec<UdpSocket>,
    /// The door of the command line.
    pub admin: LocalListener,
    /// The path of that door when it was made here: to be removed at the end.
    pub admin_path: Option<PathBuf>,
    /// HTTPS and the relay were handed over: what the configuration says of them does not matter.
    pub handed_over: bool,
}

/// There are no sockets to serve on.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// One cannot be bound or taken over.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The service manager handed over something else than is needed.
    #[error(
        "the service manager handed over {0}: the units conclave-https.socket, conclave-quic.socket and conclave-admin.socket belong together. `systemctl cat conclave-https.socket conclave-quic.socket` shows what they were changed to"
    )]
    HandedOver(String),
    /// The door of the command line.
    #[error("{path}: {reason}", path = path.display())]
    Admin {
        /// Where it was to be.
        path: PathBuf,
        /// What is wrong, and the way out.
        reason: String,
    },
    /// Its directory.
    #[error(transparent)]
    Directory(#[from] StoreError),
}

impl Sockets {
    /// Takes what was handed over, and binds the rest.
    ///
    /// # Errors
    /// By name, with the way out; nothing is bound then.
    pub fn obtain(listen: &[SocketAddr], admin_path: &Path) -> Result<Self, SocketError> {
        let HandedOver { https, quic, admin } = HandedOver::take()?;
        let handed_over = !https.is_empty();
        if handed_over == quic.is_empty() {
            let missing = if handed_over { "TCP sockets without UDP ones" } else { "UDP sockets without TCP ones" };
            return Err(SocketError::HandedOver(missing.to_owned()));
        }
        let ports_of_quic: BTreeSet<u16> =
            quic.iter().filter_map(|socket| socket.local_addr().ok()).map(|address| address.port()).collect();
        let ports: BTreeSet<u16> = https.iter().map(|listener| listener.address().port()).collect();
        if ports != ports_of_quic {
            return Err(SocketError::HandedOver(format!(
                "TCP on {ports:?} and UDP on {ports_of_quic:?}, which must be the same ports"
            )));
        }
        let (https, quic) = if handed_over { (https, quic) } else { https::bind(listen)? };
        let (admin, admin_path) = match admin {
            Some(admin) => (admin, None),
            None => (bind_admin(admin_path)?, Some(admin_path.to_owned())),
        };
        Ok(Self { https, quic, admin, admin_path, handed_over })
    }
}

/// What a service manager made.
#[derive(Debug, Default)]
pub struct HandedOver {
    /// TCP.
    pub https: Vec<Listener>,
    /// UDP.
    pub quic: Vec<UdpSocket>,
    /// Unix.
    pub admin: Option<LocalListener>,
}

impl HandedOver {
    /// Takes everything that was handed over; nothing, when nothing was.
    ///
    /// # Errors
    /// When something is none of these sockets.
    pub fn take() -> Result<Self, SocketError> {
        let mut handed = ListenFd::from_env();
        let mut taken = Self::default();
        for index in 0..handed.len() {
            // Each says what it is: what does not fit stays where it is, for the next to look at.
            if let Ok(Some(socket)) = handed.take_tcp_listener(index) {
                taken.https.push(Listener::from_std(socket)?);
            } else if let Ok(Some(socket)) = handed.take_udp_socket(index) {
                socket.set_nonblocking(true).map_err(|error| SocketError::HandedOver(error.to_string()))?;
                taken.quic.push(socket);
            } else if let Ok(Some(socket)) = handed.take_unix_listener(index)
                && taken.admin.is_none()
            {
                taken.admin = Some(LocalListener::from_std(socket)?);
            } else {
                return Err(SocketError::HandedOver(format!("something in place {index} that is not one of ours")));
            }
        }
        Ok(taken)
    }
}

/// Binds the admin socket, replacing one that a crash left behind.
fn bind_admin(path: &Path) -> Result<LocalListener, SocketError> {
    let refuse = |reason: String| SocketError::Admin { path: path.to_owned(), reason };
    if let Some(directory) = path.parent()
        && !directory.exists()
    {
        files::make_private_directory(directory)?;
    }
    if UnixStream::connect(path).is_ok() {
        return Err(refuse(
            "another appliance answers on this socket: stop it, or choose another `admin.socket`".to_owned(),
        ));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(refuse(format!("cannot remove the socket a crash left behind ({error}): remove it by hand")));
        }
        _ => {}
    }
    let socket = UnixListener::bind(path).map_err(|error| refuse(format!("cannot bind the admin socket: {error}")))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|error| refuse(format!("cannot make the admin socket private: {error}")))?;
    Ok(LocalListener::from_std(socket)?)
}
