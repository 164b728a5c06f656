// SPDX-License-Identifier: AGPL-3.0-or-later
//! Encrypted files: one SQLCipher database a workspace, its wrapped keys, and the anchor outside them.
//!
//! All SQL lives below this folder, one file a table family. Formats: `docs/files.md`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OnceCell, Semaphore};

use crate::core::audit::Event;
use crate::core::keys::identity::{Identity, PublicIdentity};
use crate::platform::clock::Clock;
use crate::platform::entropy;
use crate::platform::recovery;
use crate::platform::store::anchor::Anchor;
use crate::platform::store::database::Check;
use crate::platform::store::error::StoreError;
use crate::platform::store::files::{DirectoryLock, Layout};
use crate::platform::store::keyring::Keyring;
use crate::platform::store::registry::Registry;
use crate::platform::store::workspace::{Shared, Workspace, Write};
use crate::platform::store::writers::Writers;
use crate::values::id::WorkspaceId;
use crate::values::secret::Key256;
use crate::values::time::Timestamp;

pub mod accounts;
pub mod agreements;
pub mod anchor;
pub mod api_tokens;
pub mod approvals;
pub mod audit_log;
pub mod certificates;
pub mod claim;
pub mod clock_seen;
pub mod database;
pub mod error;
pub mod files;
pub mod keyring;
pub mod links;
mod log;
pub mod policy;
pub mod preflight;
pub mod purges;
pub mod registry;
pub mod rooms;
mod row;
pub mod sessions;
pub mod settings;
pub mod workspace;
mod writers;

/// How many workspaces may be open at once; each costs about five descriptors, a thread and a page cache.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open workspaces kept, besides `system`.
    pub open_workspaces: usize,
}

/// A workspace is closed when it was unused for so many rounds of upkeep (a round is a minute).
const IDLE_ROUNDS: u64 = 5;

/// Opened at most once at a time, whoever asks first.
type Slot = Arc<OnceCell<Arc<Workspace>>>;

struct Open {
    slot: Slot,
    used: u64,
    used_in: u64,
    checked: bool,
}

impl Open {
    fn is_unused(&self) -> bool {
        self.slot.get().is_some_and(|workspace| Arc::strong_count(workspace) == 1)
    }
}

/// Which workspaces are open. `uses` counts look-ups, `rounds` calls of [`Store::close_idle`].
#[derive(Default)]
struct Lru {
    open: HashMap<WorkspaceId, Open>,
    uses: u64,
    rounds: u64,
}

/// The appliance's files.
pub struct Store {
    layout: Layout,
    keyring: Arc<Keyring>,
    anchor: Arc<Anchor>,
    anchor_turn: Arc<Semaphore>,
    system: Arc<Workspace>,
    registry: Registry,
    identity: Arc<Identity>,
    limits: Limits,
    lru: Mutex<Lru>,
    refused: Arc<AtomicBool>,
    // Dropped after the handles above.
    closing: Closing,
}

/// Whoever holds this waits, when dropping it, until all files are closed, and lets others have the directory then.
pub struct Closing {
    // Dropped in this order.
    writers: Writers,
    lock: Arc<DirectoryLock>,
}

impl Store {
    /// Opens the data directory, or makes it on the first start. `system.db` must be sound; a workspace that is not
    /// keeps to itself.
    pub fn open(layout: Layout, limits: Limits) -> Result<Self, StoreError> {
        let lock = layout.claim()?;
        let keyring = Arc::new(Keyring::load(layout.clone())?);
        let path = layout.database(WorkspaceId::SYSTEM);
        // A first start, even one that was cut off, has neither an anchor nor another workspace's keys.
        let is_first = !layout.anchor().exists() && keyring.ids().iter().all(|id| *id == WorkspaceId::SYSTEM);
        if !path.exists() && !is_first {
            let reason = "is missing, and there are files that belong to it: restore it from a backup".to_owned();
            return Err(StoreError::Malformed { path, reason });
        }
        let keys = match keyring.keys(WorkspaceId::SYSTEM) {
            Some(keys) => keys,
            None if path.exists() => return Err(sealed_system(&layout, &keyring)),
            None => keyring.create(WorkspaceId::SYSTEM)?,
        };
        let identity = Arc::new(keys.identity().ok_or_else(|| sealed_system(&layout, &keyring))?);
        let anchor = Arc::new(Anchor::load(layout.anchor(), identity.public())?);
        let writers = Writers::default();
        let refused = Arc::<AtomicBool>::default();
        let shared = Shared {
            layout: layout.clone(),
            anchor: Arc::clone(&anchor),
            writers: writers.starter(),
            refused: Arc::clone(&refused),
        };
        let system = if path.exists() {
            Workspace::open(WorkspaceId::SYSTEM, &path, keys, shared, Check::Everything)?
        } else {
            Workspace::create(WorkspaceId::SYSTEM, &path, keys, shared)?
        };
        let system = Arc::new(system);
        let registry = Registry::default();
        match system.read_now(|database| registry.load(database)) {
            // It may be as old as from before an upgrade, and is migrated when it is accepted.
            Err(error) if system.state() != "open" => {
                tracing::error!(error = %error, "the registry cannot be read: no workspace is known");
            }
            other => other?,
        }
        Ok(Self {
            layout,
            keyring,
            anchor,
            anchor_turn: Arc::new(Semaphore::new(1)),
            system,
            registry,
            identity,
            limits,
            lru: Mutex::default(),
            refused,
            closing: Closing { writers, lock: Arc::new(lock) },
        })
    }

    /// The reserved workspace `system`.
    pub const fn system(&self) -> &Arc<Workspace> {
        &self.system
    }

    /// For a thread that ends the process, to be dropped once the store is let go of, by whichever thread that is.
    pub fn closing(&self) -> Closing {
        Closing { writers: self.closing.writers.another(), lock: Arc::clone(&self.closing.lock) }
    }

    /// Which workspaces there are.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Accepts a rolled-back file as it is.
    pub async fn accept_rollback(
        &self,
        workspace: &Arc<Workspace>,
        event: Event,
        clock: &Clock,
    ) -> Result<(), StoreError> {
        workspace.accept_rollback(event, clock.now()).await?;
        if workspace.id() == WorkspaceId::SYSTEM {
            let registry = self.registry.clone();
            workspace.read(move |database| registry.load(database)).await?;
        }
        self.write_anchor(clock).await
    }

    /// What QUIC's stateless resets and address tokens are made with.
    pub fn relay_secret(&self) -> Result<Key256, StoreError> {
        let secret = self.system.keys().derived(b"conclave-relay-1");
        secret.ok_or_else(|| sealed_system(&self.layout, &self.keyring))
    }

    /// The appliance's identity.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The public half of the identity.
    pub fn public_identity(&self) -> PublicIdentity {
        self.identity.public()
    }

    /// The unwrapped keys.
    pub const fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Writes `recovery.json`; part of the transaction that claims, so that no claim is without it. A claim without a
    /// kit removes what one that was broken off may have left: it would only mislead.
    pub fn recovery_writer(
        &self,
        bytes: Option<Vec<u8>>,
    ) -> impl FnOnce(&Write<'_>) -> rusqlite::Result<()> + Send + 'static {
        let path = self.layout.recovery();
        move |write| {
            let written = match bytes {
                Some(bytes) => {
                    settings::set(write, claim::RECOVERY_SETTING, &recovery::digest(&bytes))?;
                    files::write_private(&path, &bytes)
                }
                None => files::remove(&path),
            };
            written.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
        }
    }

    /// What is wrong with `recovery.json`, if it is not what the claim made it.
    pub async fn recovery_problem(&self) -> Result<Option<String>, StoreError> {
        let Some(claimed_with) = self.system.read(claim::recovery_key).await? else { return Ok(None) };
        let digest = self.system.read(|database| settings::get(database, claim::RECOVERY_SETTING)).await?;
        let path = self.layout.recovery();
        let problem = recovery::check_file(&path, claimed_with.as_ref(), digest.as_deref()).err();
        Ok(problem.map(|reason| format!("{}: {reason}", path.display())))
    }

    /// Where everything lies.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The workspace with this id, opened if need be. That it exists is the caller's knowledge (the registry's).
    pub async fn workspace(&self, id: WorkspaceId) -> Result<Arc<Workspace>, StoreError> {
        if id == WorkspaceId::SYSTEM {
            return Ok(Arc::clone(&self.system));
        }
        let (slot, check) = self.slot(id);
        let opened = slot.get_or_try_init(|| self.open_workspace(id, check)).await.cloned();
        if opened.is_ok() {
            let mut lru = self.lru();
            if let Some(open) = lru.open.get_mut(&id) {
                open.checked = true;
            }
        }
        opened
    }

    fn shared(&self) -> Shared {
        Shared {
            layout: self.layout.clone(),
            anchor: Arc::clone(&self.anchor),
            writers: self.closing.writers.starter(),
            refused: Arc::clone(&self.refused),
        }
    }

    fn lru(&self) -> std::sync::MutexGuard<'_, Lru> {
        self.lru.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slot of a workspace, after making room: the one unused for longest is closed first.
    fn slot(&self, id: WorkspaceId) -> (Slot, Check) {
        let mut lru = self.lru();
        lru.uses += 1;
        let (now, round) = (lru.uses, lru.rounds);
        let fresh = || Open { slot: Slot::default(), used: now, used_in: round, checked: false };
        let open = lru.open.entry(id).or_insert_with(fresh);
        (open.used, open.used_in) = (now, round);
        if open.slot.get().is_some_and(|workspace| workspace.has_failed()) {
            *open = fresh();
        }
        let check = if open.checked { Check::Ownership } else { Check::Everything };
        let slot = Arc::clone(&open.slot);
        let initialised = lru.open.values().filter(|open| open.slot.initialized()).count();
        let surplus = initialised > self.limits.open_workspaces;
        let unused = lru.open.values_mut().filter(|open| surplus && open.used != now && open.is_unused());
        if let Some(oldest) = unused.min_by_key(|open| open.used) {
            // It stays remembered as checked; its writer thread closes the file.
            oldest.slot = Slot::default();
        }
        (slot, check)
    }

    async fn open_workspace(&self, id: WorkspaceId, check: Check) -> Result<Arc<Workspace>, StoreError> {
        let path = self.layout.database(id);
        let keys = self.keyring.keys(id).ok_or_else(|| self.sealed(id))?;
        let shared = self.shared();
        let task = move || Workspace::open(id, &path, keys, shared, check).map(Arc::new);
        let path = self.layout.database(id);
        let opened = tokio::task::spawn_blocking(task).await.unwrap_or(Err(StoreError::Busy { path: path.clone() }))?;
        if opened.state() != "open" {
            let error = StoreError::RolledBack { path };
            tracing::error!(workspace.id = %id, store.state = opened.state(), error = %error, "a workspace is read-only");
        }
        Ok(opened)
    }

    fn sealed(&self, id: WorkspaceId) -> StoreError {
        let missing = || {
            let path = self.layout.key_file(id);
            format!("{}: is missing, so the workspace does not open: restore it from a backup", path.display())
        };
        StoreError::Sealed { reason: self.keyring.sealed(id).map_or_else(missing, ToString::to_string) }
    }

    /// Makes the keys and the file of a new workspace. It exists once the caller has put it into the registry.
    pub async fn create_workspace(&self) -> Result<Arc<Workspace>, StoreError> {
        let id = WorkspaceId::random(&mut entropy::system());
        let keys = self.keyring.create(id)?;
        let path = self.layout.database(id);
        let directory = path.parent().unwrap_or(&path).to_owned();
        files::make_private_directory(&directory)?;
        let shared = self.shared();
        let task = move || Workspace::create(id, &path, keys, shared).map(Arc::new);
        let created = tokio::task::spawn_blocking(task).await;
        let created = created.unwrap_or(Err(StoreError::Busy { path: directory }))?;
        let (slot, _) = self.slot(id);
        // The id is fresh, so nobody else can have filled the slot.
        drop(slot.set(Arc::clone(&created)));
        Ok(created)
    }

    /// Says in the log which keys and files belong to no workspace: a crash between making and registering one leaves
    /// them. They are left alone, because nothing here can know that nobody wants them.
    pub fn report_orphans(&self) {
        let known = |id: &WorkspaceId| *id == WorkspaceId::SYSTEM || self.registry.entry(*id).is_some();
        for id in self.keyring.ids().into_iter().filter(|id| !known(id)) {
            let path = self.layout.key_file(id);
            tracing::warn!(workspace.id = %id, file = %path.display(), "keys of a workspace that is not in the registry");
        }
    }

    /// Destroys the keys of a workspace, and then its files, which nobody can read any more. Whoever has it open keeps
    /// what is in memory until they let go. Done again after a crash it finds what is left.
    pub async fn shred(&self, id: WorkspaceId) -> Result<(), StoreError> {
        self.lru().open.remove(&id);
        let (keyring, anchor, layout) = (Arc::clone(&self.keyring), Arc::clone(&self.anchor), self.layout.clone());
        let task = move || {
            keyring.destroy(id)?;
            anchor.forget(id);
            layout.remove_workspace(id)
        };
        let path = self.layout.database(id);
        tokio::task::spawn_blocking(task).await.unwrap_or(Err(StoreError::Busy { path }))
    }

    /// The state of a workspace, as the API and the CLI name it, with the reason when it is not `open`.
    pub async fn state_of(&self, id: WorkspaceId) -> (&'static str, Option<String>) {
        match self.workspace(id).await {
            Ok(workspace) if workspace.state() == "open" => ("open", None),
            Ok(workspace) => {
                let path = self.layout.database(id);
                (workspace.state(), Some(StoreError::RolledBack { path }.to_string()))
            }
            Err(error) => (error.state(), Some(error.to_string())),
        }
    }

    /// Writes the anchor when a chain has grown since. The counter goes into `system.db` first, so that an anchor older
    /// than its database is noticed.
    pub async fn write_anchor(&self, clock: &Clock) -> Result<(), StoreError> {
        // Nobody closes the semaphore.
        let Ok(turn) = Arc::clone(&self.anchor_turn).acquire_owned().await else { return Ok(()) };
        if !self.anchor.is_due() {
            return Ok(());
        }
        let stored = self.system.read(anchor::stored_counter).await?;
        let next = self.anchor.counter().saturating_add(1);
        let is_open = self.system.state() == "open";
        if !is_open && stored > next {
            // An anchor older than system.db stays as it is until the operator confirms: counting it up would hide it.
            return Ok(());
        }
        let counter = if is_open { next.max(stored) } else { next };
        if is_open {
            let setting = move |write: &Write<'_>| settings::set(write, anchor::COUNTER_SETTING, &counter.to_string());
            self.system.write(setting).await?;
        }
        let (anchor, identity, now) = (Arc::clone(&self.anchor), Arc::clone(&self.identity), clock.now());
        // It waits for the disk, so not on the runtime's thread. The turn goes along: who gives up waiting ends neither
        // the write nor the turn.
        let write = move || {
            let written = anchor.write(counter, &identity, now);
            drop(turn);
            written
        };
        tokio::task::spawn_blocking(write).await.unwrap_or(Err(StoreError::Busy { path: self.layout.anchor() }))
    }

    /// Writes the signed head of every audit chain to the log: somewhere else than the files they speak of, where the
    /// journal is forwarded even on another machine.
    pub fn log_heads(&self, now: Timestamp) {
        for (workspace, head) in self.anchor.anchored() {
            let signature = hex::encode(head.sign(workspace, now, &self.identity));
            tracing::info!(
                workspace.id = %workspace,
                audit.sequence = head.sequence,
                audit.hash = hex::encode(head.hash),
                audit.at = now.as_millis(),
                audit.signature = signature,
                "audit head"
            );
        }
    }

    /// Whether the disk refused a write since it was last tried.
    pub fn disk_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Tries whether the disk takes what is written.
    pub async fn try_disk(&self) -> Result<(), StoreError> {
        let path = self.layout.database(WorkspaceId::SYSTEM);
        let task = move || files::try_writing_beside(&path);
        let tried = tokio::task::spawn_blocking(task).await;
        let tried = tried.unwrap_or(Err(StoreError::Busy { path: self.layout.root().to_owned() }));
        self.refused.store(tried.is_err(), Ordering::Relaxed);
        tried
    }

    /// Whether the anchor file is the one `system.db` knows of (it may lag by the one write a crash cut off).
    pub async fn anchor_is_current(&self) -> Result<bool, StoreError> {
        Ok(self.anchor.is_in_step_with(self.system.read(anchor::stored_counter).await?))
    }

    /// Closes what nobody used in the last `IDLE_ROUNDS` calls; the writer threads do it.
    pub fn close_idle(&self) {
        let mut lru = self.lru();
        lru.rounds += 1;
        let round = lru.rounds;
        for open in lru.open.values_mut().filter(|open| open.used_in + IDLE_ROUNDS <= round && open.is_unused()) {
            open.slot = Slot::default();
        }
    }

    /// How many workspaces are open, besides `system`.
    pub fn open_count(&self) -> usize {
        self.lru().open.values().filter(|open| open.slot.initialized()).count()
    }
}

fn sealed_system(layout: &Layout, keyring: &Keyring) -> StoreError {
    let path = layout.key_file(WorkspaceId::SYSTEM);
    let reason = keyring.sealed(WorkspaceId::SYSTEM).map_or_else(
        || "is missing, and system.db is there: restore both from the same backup".to_owned(),
        ToString::to_string,
    );
    StoreError::Malformed { path, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::audit::Head;

    /// Upkeep, a stop and an accepted rollback may all write it: what one of them gave up on goes on by itself.
    #[test]
    fn the_anchor_is_written_by_one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().join("data"), None);
        let open = || Arc::new(Store::open(layout.clone(), Limits { open_workspaces: 4 }).unwrap());
        let store = open();
        let heads =
            (1..=64).map(|sequence| (WorkspaceId::random(&mut entropy::system()), Head { sequence, hash: [7; 32] }));
        let heads: Vec<(WorkspaceId, Head)> = heads.collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let clock = Clock::system();
            let mut writes = Vec::new();
            for (number, (workspace, head)) in heads.iter().enumerate() {
                let (store, clock) = (Arc::clone(&store), clock.clone());
                let (workspace, head) = (*workspace, *head);
                let write = tokio::spawn(async move {
                    store.anchor.note(workspace, head);
                    store.write_anchor(&clock).await
                });
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                if number % 3 == 0 {
                    write.abort();
                } else {
                    writes.push(write);
                }
            }
            for write in writes {
                write.await.unwrap().unwrap();
            }
            store.write_anchor(&clock).await.unwrap();
        });
        drop(store);
        let store = open();
        assert_eq!(store.system().state(), "open");
        let anchored: HashMap<_, _> = store.anchor.anchored().into_iter().collect();
        for (workspace, head) in heads {
            assert_eq!(anchored.get(&workspace), Some(&head));
        }
    }
}
