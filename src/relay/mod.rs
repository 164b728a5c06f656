// SPDX-License-Identifier: AGPL-3.0-or-later
//! The relay: carriers in, carriers out, on a thread of its own. It forwards, and never reads.
//!
//! A datagram's way: quinn → [`session`] reads until empty → `core::room::Room::handle_datagram` refuses or keeps it →
//! at the tick `hub::worker` hands what is due to each participant's [`carrier`] → quinn. There is no task hop of ours.
//!
//! | file | what |
//! |---|---|
//! | [`endpoint`], `socket` | sockets, QUIC configuration, who may knock how often |
//! | [`session`] | one carrier from its first message to its end |
//! | `control`, `events`, `screens` | its streams |
//! | [`carrier`], `groups` | how a participant is reached over QUIC, and groups of screen frames on their way to it |
//!
//! Knows no file, no account and no key of a meeting.

use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::hub::{Hub, worker};
use crate::platform::probe;
use crate::values::secret::Key256;
use crate::wire::close::CloseCode;

pub mod carrier;
mod control;
pub mod endpoint;
mod events;
mod groups;
mod screens;
pub mod session;
mod socket;

/// How long what was said before the end may take to arrive.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// How long carriers may take to end when the appliance stops.
const GOODBYE: Duration = Duration::from_millis(1_700);

/// The relay cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// A socket, a thread or the runtime.
    #[error("the relay does not start: {0}")]
    System(#[from] std::io::Error),
    /// Its TLS configuration.
    #[error("the relay's TLS configuration does not fit QUIC: this is a fault of the appliance, please report it")]
    Tls,
}

/// What the relay needs.
pub struct Settings {
    /// Bound sockets, one for each address.
    pub sockets: Vec<UdpSocket>,
    /// TLS for both application protocols.
    pub tls: Arc<rustls::ServerConfig>,
    /// What stateless resets and address tokens are made with: the same after a restart, so that clients learn of it
    /// within a round trip.
    pub secret: Key256,
}

/// The running relay.
#[derive(Debug)]
pub struct Relay {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Relay {
    /// Starts the relay's thread.
    ///
    /// # Errors
    /// When the system has no thread or the TLS configuration does not fit QUIC.
    pub fn start(hub: Arc<Hub>, settings: Settings) -> Result<Self, RelayError> {
        let server = endpoint::server_config(&settings)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopping) = watch::channel(false);
        let run = move || runtime.block_on(serve(hub, settings, server, stopping));
        let thread = std::thread::Builder::new().name("relay".to_owned()).spawn(run)?;
        Ok(Self { stop, thread })
    }

    /// Tells everybody that the appliance stops, lets them go and ends the thread. Blocks for 2 s at most.
    pub fn stop(self) {
        self.stop.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!("the relay's thread had failed");
        }
    }
}

async fn serve(hub: Arc<Hub>, settings: Settings, server: quinn::ServerConfig, mut stopping: watch::Receiver<bool>) {
    probe::runs_here();
    let endpoints = match endpoint::open(settings, &server) {
        Ok(endpoints) => endpoints,
        Err(error) => return tracing::error!(error = %error, "the relay cannot use its sockets"),
    };
    let gate = Arc::new(endpoint::Gate::default());
    for endpoint in &endpoints {
        tokio::spawn(endpoint::accept(endpoint.clone(), Arc::clone(&hub), Arc::clone(&gate)));
    }
    let ticks = tokio::spawn(worker::tick(Arc::clone(&hub)));
    let _ = stopping.wait_for(|stop| *stop).await;
    // Whoever knocks now is refused; who is in hears when to come back, and what was on its way arrives.
    endpoints.iter().for_each(|endpoint| endpoint.set_server_config(None));
    hub.drain();
    tokio::time::sleep(LAST_WORDS).await;
    hub.close_everybody(CloseCode::Draining);
    let idle = async {
        for endpoint in &endpoints {
            endpoint.wait_idle().await;
        }
    };
    let _ = tokio::time::timeout(GOODBYE, idle).await;
    ticks.abort();
}
