// SPDX-License-Identifier: AGPL-3.0-or-later
//! What handlers work with: files, keys, clock, hashing threads, and the small memories of sign-in.
//!
//! Locks here are held for a map access, never across an await; no two are held at once.

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;

use tokio::sync::Semaphore;

use crate::api::asker::Asker;
use crate::api::claim::ShownCode;
use crate::api::health::Health;
use crate::api::{addresses, idempotency};
use crate::core::auth::challenge::Challenges;
use crate::core::keys::sealing::SealingKey;
use crate::core::limit::Softlock;
use crate::core::quota::{Quota, Quotas};
use crate::hub::Hub;
use crate::platform::clock::Clock;
use crate::platform::entropy;
use crate::platform::https::{Counters, Drain, TlsFor};
use crate::platform::password::Hasher;
use crate::platform::store::Store;
use crate::platform::telemetry::metrics::Metrics;
use crate::platform::trust::Trust;
use crate::values::id::{SealingKeyId, WorkspaceId};
use crate::values::time::Timestamp;

/// A sealing key is announced for an hour and opens boxes for another.
const SEALING_KEY_LIFE: Duration = Duration::from_secs(3_600);

/// Shared by all handlers.
pub type App = Arc<Services>;

/// Everything a handler may need.
pub struct Services {
    /// The encrypted files.
    pub store: Store,
    /// The clock.
    pub clock: Clock,
    /// Argon2id threads.
    pub hasher: Hasher,
    /// Certificates.
    pub trust: Trust,
    /// Sign-in sealing keys.
    pub sealing: SealingKeys,
    /// Live meetings.
    pub hub: Arc<Hub>,
    /// One-time challenges.
    challenges: Mutex<Challenges>,
    /// Wrong tries.
    softlock: Mutex<Softlock>,
    /// Workspaces whose people were stopped.
    stopped: Mutex<HashSet<WorkspaceId>>,
    /// Requests of each caller.
    quotas: Mutex<Quotas<Asker>>,
    /// Answers that are given again.
    answers: Mutex<idempotency::Answers>,
    /// The setup code, until the appliance is claimed.
    pub setup_code: ShownCode,
    /// What the door counted.
    pub counters: Arc<Counters>,
    /// What was counted of requests and sign-ins.
    pub metrics: Metrics,
    /// What the watch saw last.
    pub health: Health,
    /// Whose turn it is to look at everything.
    pub doctor: Semaphore,
    /// A socket of the relay that the service manager made, for seeing that nothing leaves over it.
    pub handed_over: Option<UdpSocket>,
    /// Where the master key is when it was sealed.
    pub sealed_master_key: PathBuf,
    /// Whether the appliance is stopping.
    pub drain: Drain,
    /// Since when it runs.
    pub started_at: Timestamp,
    /// Where HTTPS listens.
    pub https: Vec<SocketAddr>,
    /// By which addresses the host is reached, as far as it told.
    pub addresses: addresses::Known,
    /// The user that may use the admin socket besides root.
    pub own_uid: u32,
}

/// What a running server tells its handlers.
pub struct Server {
    /// What the door counted.
    pub counters: Arc<Counters>,
    /// Whether the appliance is stopping.
    pub drain: Drain,
    /// Where HTTPS listens.
    pub https: Vec<SocketAddr>,
    /// By which addresses the host is reached, as far as it told.
    pub addresses: addresses::Known,
    /// A socket of the relay, when the service manager made it.
    pub handed_over: Option<UdpSocket>,
    /// Where the master key is when it was sealed.
    pub sealed_master_key: PathBuf,
    /// The user that may use the admin socket besides root.
    pub own_uid: u32,
    /// How many requests one caller may send.
    pub quota: Quota,
}

impl Services {
    /// Puts the services together.
    pub fn new(store: Store, trust: Trust, hasher: Hasher, hub: Arc<Hub>, clock: Clock, server: Server) -> Self {
        let started_at = clock.now();
        Self {
            store,
            hasher,
            trust,
            sealing: SealingKeys::default(),
            hub,
            challenges: Mutex::new(Challenges::new(&mut entropy::system())),
            softlock: Mutex::default(),
            stopped: Mutex::default(),
            quotas: Mutex::new(Quotas::new(server.quota)),
            answers: Mutex::new(idempotency::Answers::new(idempotency::KEPT)),
            setup_code: ShownCode::default(),
            counters: server.counters,
            metrics: Metrics::default(),
            health: Health::default(),
            doctor: Semaphore::new(1),
            handed_over: server.handed_over,
            sealed_master_key: server.sealed_master_key,
            drain: server.drain,
            started_at,
            https: server.https,
            addresses: server.addresses,
            own_uid: server.own_uid,
            clock,
        }
    }

    /// `iss` of access tokens.
    pub fn issuer(&self) -> String {
        format!("conclave:{}", self.store.public_identity().appliance_id())
    }

    /// One-time challenges.
    pub fn challenges(&self) -> MutexGuard<'_, Challenges> {
        self.challenges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wrong tries.
    pub fn softlock(&self) -> MutexGuard<'_, Softlock> {
        self.softlock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Workspaces whose people were stopped in this run.
    pub fn stopped(&self) -> MutexGuard<'_, HashSet<WorkspaceId>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests of each caller.
    pub fn quotas(&self) -> MutexGuard<'_, Quotas<Asker>> {
        self.quotas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers that are given again.
    pub fn answers(&self) -> MutexGuard<'_, idempotency::Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Dated {
    key: Arc<SealingKey>,
    announced_until: Timestamp,
}

/// The sealing key that is announced now, and the one before it.
#[derive(Default)]
pub struct SealingKeys(Mutex<Vec<Dated>>);

impl SealingKeys {
    /// The key to announce, made when there is none or the last one is an hour old.
    pub fn current(&self, now: Timestamp) -> Arc<SealingKey> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|dated| dated.announced_until + SEALING_KEY_LIFE > now);
        // A clock that stepped back must not keep a key for longer than it was made for.
        let fits = |dated: &&Dated| dated.announced_until > now && dated.announced_until <= now + SEALING_KEY_LIFE;
        if let Some(dated) = keys.iter().find(fits) {
            return Arc::clone(&dated.key);
        }
        let announced_until = now + SEALING_KEY_LIFE;
        let key = Arc::new(SealingKey::generate(announced_until + SEALING_KEY_LIFE, &mut entropy::system()));
        keys.push(Dated { key: Arc::clone(&key), announced_until });
        key
    }

    /// The key with this id, while it opens boxes.
    pub fn find(&self, id: SealingKeyId, now: Timestamp) -> Option<Arc<SealingKey>> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let live = |dated: &&Dated| dated.key.id() == id && dated.announced_until + SEALING_KEY_LIFE > now;
        keys.iter().find(live).map(|dated| Arc::clone(&dated.key))
    }
}

impl TlsFor for Services {
    fn tls_for(&self, local: SocketAddr) -> Arc<ServerConfig> {
        self.trust.tls_for(local)
    }
}
