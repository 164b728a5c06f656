// SPDX-License-Identifier: AGPL-3.0-or-later
//! From a configuration to a serving appliance and back, in one order:
//!
//! 1. the process: no core files, all its descriptors, private files;
//! 2. the data directory: permissions, lock, keys, `system.db`. Before any socket, so that a wrong configuration never
//!    answers anybody;
//! 3. sockets: bound before anything slow, so that a taken port is known at once;
//! 4. hashing threads and certificates;
//! 5. the relay, the router, then serving, then "ready" to the service manager;
//! 6. every ten seconds: the anchor, workspaces whose time is over; every minute: certificates, idle files;
//! 7. on SIGTERM or SIGINT: what runs beside ends, "stopping", the relay says goodbye, drain, anchor, close. A second
//!    signal ends at once.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::api::claim;
use crate::api::error::Problem;
use crate::api::health::Watch;
use crate::api::services::{Server as ServerFacts, Services};
use crate::api::{addresses, appliance, life};
use crate::app;
use crate::config::provision::{self, Provision};
use crate::config::{Config, ConfigError, SEALED_MASTER_KEY};
use crate::hub::admission::CheckTicket;
use crate::hub::{Hub, Recording};
use crate::platform::clock::Clock;
use crate::platform::https::{self, Drained, Server};
use crate::platform::password::{Cost, Hasher, PasswordError};
use crate::platform::sockets::{SocketError, Sockets};
use crate::platform::store::Store;
use crate::platform::store::claim as stored_claim;
use crate::platform::store::error::StoreError;
use crate::platform::store::workspace::Write;
use crate::platform::trust::{Trust, TrustError};
use crate::platform::{probe, sys, telemetry, token};
use crate::relay::{self, Relay, RelayError};
use crate::values::id::WorkspaceId;

/// How often the anchor follows the audit chains. What a crash loses of it is noticed by nobody: a file may be newer.
const ANCHOR_EVERY: Duration = Duration::from_secs(10);
/// How many of those until certificates and idle files are looked at.
const UPKEEP_EVERY: u32 = 6;
/// How many of those until the heads of the audit are in the log again: an hour.
const HEADS_EVERY: u32 = 360;

/// How often every worker is looked at.
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// Why the appliance did not start or did not stop well.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// The files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sockets.
    #[error(transparent)]
    Sockets(#[from] SocketError),
    /// Serving on them.
    #[error(transparent)]
    Listen(#[from] https::ListenError),
    /// The certificates.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The provision file.
    #[error(transparent)]
    Provision(#[from] ConfigError),
    /// The claim by it.
    #[error("the appliance could not be claimed by its provision file ({code})", code = .0.code())]
    Claim(Problem),
    /// The relay.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// The hashing threads.
    #[error("password hashing does not start: {0}")]
    Password(#[from] PasswordError),
    /// The runtime or a signal handler.
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
}

/// What a serving appliance tells whoever started it.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Where HTTPS listens.
    pub https: Vec<SocketAddr>,
    /// The admin socket.
    pub admin_socket: PathBuf,
    /// Turns true when it is told to stop.
    stop: watch::Receiver<bool>,
}

impl Ready {
    /// Waits until the appliance is told to stop. It goes on serving until what runs beside it has ended.
    pub async fn told_to_stop(&self) {
        // Without its sender there is no appliance any more.
        drop(self.stop.clone().wait_for(|stop| *stop).await);
    }
}

/// What differs between an appliance for people and one for tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Hash passwords at the lowest cost there is.
    #[cfg(feature = "test-hooks")]
    pub cheap_passwords: bool,
    /// Let a tracer of the same user look into the process.
    #[cfg(feature = "test-hooks")]
    pub traceable: bool,
    /// End as if something had failed after the files were opened.
    #[cfg(feature = "test-hooks")]
    pub ends_before_ready: bool,
    /// How far the clock is ahead when the appliance starts.
    #[cfg(feature = "test-hooks")]
    pub clock_offset_millis: i64,
}

impl Options {
    #[cfg(feature = "test-hooks")]
    fn cost(self, configured: Cost) -> Cost {
        if self.cheap_passwords { Cost::FLOOR } else { configured }
    }

    #[cfg(not(feature = "test-hooks"))]
    #[expect(clippy::unused_self, reason = "the twin under test-hooks looks at it")]
    const fn cost(self, configured: Cost) -> Cost {
        configured
    }

    #[cfg(feature = "test-hooks")]
    fn harden(self) -> std::io::Result<()> {
        if self.traceable { Ok(()) } else { sys::forbid_core_dumps() }
    }

    #[cfg(not(feature = "test-hooks"))]
    #[expect(clippy::unused_self, reason = "the twin under test-hooks looks at it")]
    fn harden(self) -> std::io::Result<()> {
        sys::forbid_core_dumps()
    }
}

/// Serves until a signal ends it. `on_ready` runs beside, as soon as requests are answered, and may end it too; when a
/// signal comes it is waited for, so it has to look at [`Ready::told_to_stop`].
pub fn run<F, R>(config: Config, options: Options, on_ready: R) -> Result<(), LifecycleError>
where
    R: FnOnce(Ready) -> F,
    F: Future<Output = ControlFlow<()>>,
{
    telemetry::start(config.log_level, config.log_format, config.under_journald);
    if let Err(error) = options.harden().and_then(|()| sys::raise_descriptor_limit()) {
        tracing::warn!(error = %error, "the process could not be hardened");
    }
    sys::create_private_files();
    // Declared before all that may hold the store, so that this thread waits last, whoever lets go of it.
    let _closed;
    let store = Store::open(config.layout.clone(), config.store)?;
    _closed = store.closing();
    if store.system().state() != "open" {
        let error = StoreError::RolledBack { path: config.layout.database(WorkspaceId::SYSTEM) };
        tracing::error!(store.state = store.system().state(), error = %error, "the appliance is read-only");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(16).build()?;
    let provision = runtime.block_on(provision(&store, config.provision.as_deref()))?;
    let Sockets { https: listeners, quic, admin, admin_path, handed_over } =
        Sockets::obtain(&config.listen, &config.admin_socket)?;
    let clock = Clock::system();
    #[cfg(feature = "test-hooks")]
    clock.advance_millis(options.clock_offset_millis);
    let cost = options.cost(config.password_cost);
    let hasher = Hasher::start(Hasher::threads_for_this_machine(), cost, &clock)?;

    runtime.block_on(async {
        probe::runs_here();
        let signals = Signals::install()?;
        let https: Vec<SocketAddr> = listeners.iter().map(https::Listener::address).collect();
        store.report_orphans();
        if let Some(problem) = store.recovery_problem().await? {
            tracing::warn!(error = problem, "the recovery kit would not open this appliance");
        }
        let addresses = addresses::Known::load(&store).await?;
        let named = named_addresses(&https).into_iter().chain(addresses.all()).collect();
        let trust = Trust::load(&store, named, clock.clone()).await?;

        let mut server = Server::new(config.https);
        let facts = ServerFacts {
            counters: server.counters(),
            drain: server.drain_signal(),
            https: https.clone(),
            addresses,
            handed_over: quic.first().filter(|_| handed_over).and_then(|socket| socket.try_clone().ok()),
            sealed_master_key: SEALED_MASTER_KEY.into(),
            own_uid: sys::own_uid(),
            quota: config.quota,
        };
        let (hub, recordings) = Hub::start(clock.clone(), ticket_check(&store));
        appliance::take_up_voice(&store, &hub).await?;
        let settings = relay::Settings { sockets: quic, tls: trust.quic()?, secret: store.relay_secret()? };
        let relay = Relay::start(Arc::clone(&hub), settings)?;
        let services = Arc::new(Services::new(store, trust, hasher, hub, clock, facts));
        let router = app::router(&services);
        claim_or_announce(&services, provision).await?;
        for listener in listeners {
            let tls = Arc::clone(&services) as Arc<dyn https::TlsFor>;
            server.serve_tls(listener, tls, router.clone())?;
        }
        server.serve_local(admin, router)?;
        #[cfg(feature = "test-hooks")]
        if options.ends_before_ready {
            return Err(std::io::Error::other("it was told to").into());
        }
        notify(sd_notify::NotifyState::Ready);
        services.store.layout().forget_before()?;
        tracing::info!(https.addresses = ?https, https.handed_over = handed_over, version = env!("CARGO_PKG_VERSION"), "serving");

        let upkeep = tokio::spawn(upkeep(Arc::clone(&services)));
        let watch = tokio::spawn(watch(Arc::clone(&services)));
        tokio::spawn(record(Arc::clone(&services), recordings));
        let (tell, stop) = watch::channel(false);
        let beside = on_ready(Ready { https, admin_socket: config.admin_socket.clone(), stop });
        let drained = serve_until_signal(signals, tell, beside, server, relay).await?;
        upkeep.abort();
        watch.abort();
        services.store.write_anchor(&services.clock).await?;
        services.store.log_heads(services.clock.now());
        if let Some(path) = admin_path {
            drop(std::fs::remove_file(path));
        }
        tracing::info!(drain.finished = drained.finished, drain.aborted = drained.aborted, "stopped");
        Ok(())
    })
}

/// What a claim without a person needs; none when the appliance is claimed or no file is named.
async fn provision(store: &Store, file: Option<&Path>) -> Result<Option<Provision>, LifecycleError> {
    let Some(file) = file else { return Ok(None) };
    if store.system().state() != "open" {
        tracing::warn!(file = %file.display(), "the appliance is read-only: `provision` is ignored");
        return Ok(None);
    }
    if store.system().read(stored_claim::is_claimed).await? {
        tracing::info!(file = %file.display(), "the appliance is claimed already: `provision` is ignored");
        return Ok(None);
    }
    Ok(Some(provision::read(file)?))
}

/// Before anybody is served: claims by the file, or says where a person claims.
async fn claim_or_announce(services: &Arc<Services>, provision: Option<Provision>) -> Result<(), LifecycleError> {
    if let Some(Provision { scope, user_name, display_name, password, recovery }) = provision {
        let provided = claim::Provided { scope, user_name, display_name, password, recovery };
        let done = claim::provide(services, provided).await.map_err(LifecycleError::Claim)?;
        tracing::info!(root.fingerprint = done.root_fingerprint, "the appliance is claimed by its provision file");
        return Ok(());
    }
    let claimed = services.store.system().read(stored_claim::is_claimed).await?;
    if !claimed
        && services.store.system().state() == "open"
        && let Err(problem) = claim::announce(services).await
    {
        tracing::error!(problem.code = problem.code(), "there is no setup code: make one with `conclave setup code`");
    }
    Ok(())
}

/// What the hub asks about a ticket: whose key signed it, and whether its claims hold now.
fn ticket_check(store: &Store) -> CheckTicket {
    let keyring = Arc::clone(store.keyring());
    let issuer = format!("conclave:{}", store.public_identity().appliance_id());
    Box::new(move |ticket, now| {
        let (claims, signed_by) = token::verify_ticket(&keyring, ticket).ok()?;
        claims.check(&issuer, signed_by, now).ok().map(|()| claims)
    })
}

/// Puts on record what is done in meetings, and has it done then. Each waits for its own workspace alone, and for the
/// answer before it wants the next: as many are under way as there are moderators.
async fn record(services: Arc<Services>, mut recordings: mpsc::Receiver<Recording>) {
    while let Some(recording) = recordings.recv().await {
        tokio::spawn(record_one(Arc::clone(&services), recording));
    }
}

async fn record_one(services: Arc<Services>, Recording { workspace, event, then }: Recording) {
    let now = services.clock.now();
    let write = move |write: &Write<'_>| {
        write.audit(&event, now)?;
        write.after_commit(then);
        Ok(())
    };
    let recorded = async { services.store.workspace(workspace).await?.write(write).await };
    if let Err(error) = recorded.await {
        tracing::error!(workspace.id = %workspace, error = %error, "a moderator's wish cannot be recorded and is not done");
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn serve_until_signal(
    mut signals: Signals,
    tell: watch::Sender<bool>,
    beside: impl Future<Output = ControlFlow<()>>,
    server: Server,
    relay: Relay,
) -> std::io::Result<Drained> {
    let mut beside = pin!(beside);
    let goes_on_beside = tokio::select! {
        () = signals.next() => true,
        flow = &mut beside => {
            if flow.is_continue() {
                signals.next().await;
            }
            false
        }
    };
    let drain = async {
        tell.send_replace(true);
        if goes_on_beside {
            // It ends either way.
            let _ = beside.await;
        }
        tracing::info!("stopping: requests under way are finished, new ones are refused");
        notify(sd_notify::NotifyState::Stopping);
        // The relay says goodbye while requests finish.
        let relay = tokio::task::spawn_blocking(|| relay.stop());
        let drained = server.drain().await;
        // A relay that failed said so.
        drop(relay.await);
        drained
    };
    tokio::select! {
        drained = drain => Ok(drained),
        () = signals.next() => Err(std::io::Error::new(std::io::ErrorKind::Interrupted, "a second signal ended the drain")),
    }
}

async fn upkeep(services: Arc<Services>) {
    let mut ticks = tokio::time::interval(ANCHOR_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut count: u32 = 0;
    loop {
        ticks.tick().await;
        if let Err(error) = services.store.write_anchor(&services.clock).await {
            tracing::error!(error = %error, "the anchor cannot be written");
        }
        count = count.wrapping_add(1);
        life::keep_up(&services).await;
        if count.is_multiple_of(HEADS_EVERY) {
            services.store.log_heads(services.clock.now());
        }
        if count.is_multiple_of(UPKEEP_EVERY) {
            services.store.close_idle();
            if let Err(error) = services.trust.renew(&services.store).await {
                tracing::error!(error = %error, "certificates cannot be renewed");
            }
        }
    }
}

/// Looks at every worker, and tells the service manager that the appliance goes on: only as long as it does.
async fn watch(services: Arc<Services>) {
    let mut watch = Watch::begin(&services);
    let fed_every = sd_notify::watchdog_enabled().map(|within| within / 3);
    let mut ticks = tokio::time::interval(fed_every.unwrap_or(WATCH_EVERY).min(WATCH_EVERY));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if watch.look(&services).await {
            notify(sd_notify::NotifyState::Watchdog);
        }
    }
}

/// The addresses that certificates can name before anybody connects: those we listen on, and loopback.
fn named_addresses(listen: &[SocketAddr]) -> Vec<IpAddr> {
    let loopback = [IpAddr::from([127, 0, 0, 1]), std::net::Ipv6Addr::LOCALHOST.into()];
    listen.iter().map(SocketAddr::ip).filter(|address| !address.is_unspecified()).chain(loopback).collect()
}

fn notify(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(error = %error, "the service manager cannot be told");
    }
}
