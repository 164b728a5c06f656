// SPDX-License-Identifier: AGPL-3.0-or-later
//! The API of an appliance beside the relay under test, on the runtime of its meetings, as in the appliance: what a storm
//! of sign-ins is sent to. Nobody claimed it, so every sign-in is refused, after the hash that a good one costs too.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::BenchError;
use crate::api::addresses;
use crate::api::services::{Server as ServerFacts, Services};
use crate::app;
use crate::core::quota::Quota;
use crate::hub::Hub;
use crate::platform::clock::Clock;
use crate::platform::entropy;
use crate::platform::https::{self, Limits, Server, TlsFor};
use crate::platform::password::{Cost, Hasher};
use crate::platform::store::files::{self, Layout};
use crate::platform::store::{self, Store};
use crate::platform::sys;
use crate::platform::trust::Trust;
use crate::values::id::RequestId;

/// Connections of one address: here one machine is many clients.
const ONE_MACHINE: usize = 256;
/// And its requests are those of many.
const REQUESTS_PER_MINUTE: u32 = 1_000_000;

/// Where sign-ins go.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Address {
    /// Where HTTPS listens.
    pub https: SocketAddr,
    /// What it presents, DER.
    pub certificate: Vec<u8>,
}

/// A served API.
pub(super) struct Api {
    /// Where.
    pub address: Address,
    directory: PathBuf,
    _server: Server,
}

/// Serves it, on the runtime this is called in.
pub(super) async fn serve(hub: Arc<Hub>, clock: Clock) -> Result<Api, BenchError> {
    let failed = |error: &dyn std::fmt::Display| BenchError::Relay(error.to_string());
    let name = format!("conclave-bench-{}", RequestId::random(&mut entropy::system()));
    let directory = std::env::temp_dir().join(name);
    files::make_private_directory(&directory).map_err(|error| failed(&error))?;
    let limits = store::Limits { open_workspaces: 1 };
    let store = Store::open(Layout::new(directory.clone(), None), limits).map_err(|error| failed(&error))?;
    let hasher = Hasher::start(Hasher::threads_for_this_machine(), Cost::DEFAULT, &clock);
    let hasher = hasher.map_err(|error| failed(&error))?;
    let loopback = Ipv4Addr::LOCALHOST.into();
    let (listeners, _udp) = https::bind(&[SocketAddr::new(loopback, 0)]).map_err(|error| failed(&error))?;
    let trust = Trust::load(&store, vec![loopback], clock.clone()).await.map_err(|error| failed(&error))?;
    let leaf = trust.certificates().tcp();
    let certificate = leaf.chain().first().map(|leaf| leaf.to_vec()).unwrap_or_default();

    let mut server = Server::new(Limits { connections_per_address: ONE_MACHINE, ..Limits::default() });
    let https: Vec<_> = listeners.iter().map(https::Listener::address).collect();
    let facts = ServerFacts {
        counters: server.counters(),
        drain: server.drain_signal(),
        https: https.clone(),
        addresses: addresses::Known::default(),
        handed_over: None,
        sealed_master_key: directory.join("master.key.sealed"),
        own_uid: sys::own_uid(),
        quota: Quota::per_minute(REQUESTS_PER_MINUTE),
    };
    let services = Arc::new(Services::new(store, trust, hasher, hub, clock, facts));
    let router = app::router(&services);
    for listener in listeners {
        let tls = Arc::clone(&services) as Arc<dyn TlsFor>;
        server.serve_tls(listener, tls, router.clone()).map_err(|error| failed(&error))?;
    }
    let https = https.first().copied().ok_or_else(|| failed(&"nothing listens"))?;
    Ok(Api { address: Address { https, certificate }, directory, _server: server })
}

impl Drop for Api {
    fn drop(&mut self) {
        // What is left behind is in the directory for temporary files.
        drop(std::fs::remove_dir_all(&self.directory));
    }
}
