// SPDX-License-Identifier: AGPL-3.0-or-later
//! One open workspace: a writer thread, a few readers, and its keys.
//!
//! Writes wait in a bounded queue and are answered after they are on disk (WAL, `synchronous=FULL`). The audit
//! record of a change is part of its transaction: either both are there or neither.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use crate::core::audit::{Event, Head};
use crate::platform::store::anchor::Anchor;
use crate::platform::store::audit_log;
use crate::platform::store::database::{self, Check};
use crate::platform::store::error::{StoreError, from_sqlite};
use crate::platform::store::files::Layout;
use crate::platform::store::keyring::WorkspaceKeys;
use crate::platform::store::writers::Starter;
use crate::values::id::WorkspaceId;
use crate::values::time::Timestamp;

/// Writes that may wait for one file; beyond it callers are told to come back.
const WRITE_QUEUE: usize = 256;
/// Idle read connections kept for one file.
const READERS_KEPT: usize = 4;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// What all open files of an appliance have in common.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Where they lie.
    pub(super) layout: Layout,
    /// The anchor.
    pub(super) anchor: Arc<Anchor>,
    /// Starts their writer threads.
    pub(super) writers: Starter,
    /// Whether the disk refused a write of any of them, until it is tried again.
    pub(super) refused: Arc<AtomicBool>,
}

/// An open workspace. Dropping the last handle closes the file, on its writer thread.
pub struct Workspace {
    id: WorkspaceId,
    path: PathBuf,
    keys: Arc<WorkspaceKeys>,
    anchor: Arc<Anchor>,
    writer: SyncSender<Job>,
    readers: Mutex<Vec<Connection>>,
    failed: Arc<AtomicBool>,
    refused: Arc<AtomicBool>,
    read_only: AtomicBool,
}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Workspace({})", self.id)
    }
}

impl Workspace {
    /// Opens (and migrates) the file at `path`.
    pub fn open(
        id: WorkspaceId,
        path: &Path,
        keys: Arc<WorkspaceKeys>,
        shared: Shared,
        check: Check,
    ) -> Result<Self, StoreError> {
        let mut connection = database::open(path, keys.file(), id, check)?;
        let rolled_back = !shared.anchor.agrees(id, &connection, path)?;
        if !rolled_back {
            if id == WorkspaceId::SYSTEM
                && database::is_of_older_release(&connection).map_err(|error| from_sqlite(path, error))?
            {
                database::fold_log(&connection).map_err(|error| from_sqlite(path, error))?;
                shared.layout.keep_before()?;
            }
            database::migrate(&mut connection, path, id)?;
            shared.anchor.note(id, audit_log::head(&connection).map_err(|error| from_sqlite(path, error))?);
        }
        Self::start(id, path, keys, shared, connection, rolled_back)
    }

    /// Makes the file at `path`.
    pub fn create(id: WorkspaceId, path: &Path, keys: Arc<WorkspaceKeys>, shared: Shared) -> Result<Self, StoreError> {
        let connection = database::create(path, keys.file(), id)?;
        Self::start(id, path, keys, shared, connection, false)
    }

    fn start(
        id: WorkspaceId,
        path: &Path,
        keys: Arc<WorkspaceKeys>,
        shared: Shared,
        mut connection: Connection,
        read_only: bool,
    ) -> Result<Self, StoreError> {
        let (writer, jobs) = mpsc::sync_channel::<Job>(WRITE_QUEUE);
        let failed = Arc::new(AtomicBool::new(false));
        let Shared { anchor, writers, refused, .. } = shared;
        let work = move || {
            for job in jobs {
                job(&mut connection);
            }
        };
        writers.start(work).map_err(StoreError::io(path, "start the writer of"))?;
        let readers = Mutex::default();
        Ok(Self {
            id,
            path: path.to_owned(),
            keys,
            anchor,
            writer,
            readers,
            failed,
            refused,
            read_only: AtomicBool::new(read_only),
        })
    }

    /// Its id.
    pub const fn id(&self) -> WorkspaceId {
        self.id
    }

    /// Its keys.
    pub const fn keys(&self) -> &Arc<WorkspaceKeys> {
        &self.keys
    }

    /// Whether a connection met damage, so that the file has to be opened and checked again.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// `open`, or the named state that keeps it from being written.
    pub fn state(&self) -> &'static str {
        if self.read_only.load(Ordering::Relaxed) { "rolled-back" } else { "open" }
    }

    /// Runs `work` on a read connection, off the runtime's thread.
    pub async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let this = Arc::clone(self);
        let path = self.path.clone();
        let task = tokio::task::spawn_blocking(move || this.read_now(work));
        task.await.unwrap_or(Err(StoreError::Busy { path }))
    }

    /// Runs `work` on a read connection, on this thread.
    pub(super) fn read_now<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => database::open(&self.path, self.keys.file(), self.id, Check::Ownership)?,
        };
        let result = work(&connection).map_err(|error| self.note(from_sqlite(&self.path, error)));
        // A connection that met damage is dropped; so is one too many.
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.has_failed() && readers.len() < READERS_KEPT {
            readers.push(connection);
        }
        result
    }

    /// Runs `work` in one write transaction on the writer thread and answers when it is on disk. An error rolls back.
    pub async fn write<T, F>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Write<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        if self.read_only.load(Ordering::Relaxed) {
            return Err(StoreError::RolledBack { path: self.path.clone() });
        }
        self.on_writer(|this, connection| this.commit(connection, work)).await
    }

    /// Accepts a rolled-back file as it is: its chain goes on from here, with a record that says so.
    pub async fn accept_rollback(self: &Arc<Self>, event: Event, now: Timestamp) -> Result<(), StoreError> {
        let accept = move |this: &Self, connection: &mut Connection| {
            // It may be as old as from before an upgrade.
            database::migrate(connection, &this.path, this.id)?;
            this.commit(connection, |write| write.audit(&event, now))
        };
        self.on_writer(accept).await?;
        self.read_only.store(false, Ordering::Relaxed);
        Ok(())
    }

    async fn on_writer<T, F>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Self, &mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let this = Arc::clone(self);
        let job: Job = Box::new(move |connection| {
            let result = work(&this, connection);
            // Nobody waits any more when the request was cancelled; the write stands.
            drop(answer.send(result));
        });
        let busy = || StoreError::Busy { path: self.path.clone() };
        self.writer.try_send(job).map_err(|_| busy())?;
        answered.await.unwrap_or_else(|_| Err(busy()))
    }

    fn commit<T>(
        &self,
        connection: &mut Connection,
        work: impl FnOnce(&Write<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let sql = |error| self.note(from_sqlite(&self.path, error));
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
        let write = Write { transaction, workspace: self.id, keys: &self.keys, afterwards: RefCell::default() };
        let value = work(&write).map_err(sql)?;
        let head = audit_log::head(&write.transaction).map_err(sql)?;
        let Write { transaction, afterwards, .. } = write;
        transaction.commit().map_err(sql)?;
        self.anchor.note(self.id, head);
        afterwards.into_inner().into_iter().for_each(|act| act());
        Ok(value)
    }

    fn note(&self, error: StoreError) -> StoreError {
        if error.kills_connection() {
            self.failed.store(true, Ordering::Relaxed);
        }
        if error.is_of_the_disk() {
            self.refused.store(true, Ordering::Relaxed);
        }
        error
    }

    /// The head of its audit chain.
    pub async fn audit_head(self: &Arc<Self>) -> Result<Head, StoreError> {
        self.read(audit_log::head).await
    }
}

impl Drop for Workspace {
    /// The writer is to close last: it folds the log into the file, off everybody's way.
    fn drop(&mut self) {
        self.readers.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A write transaction, as table families see it.
pub struct Write<'c> {
    transaction: Transaction<'c>,
    workspace: WorkspaceId,
    keys: &'c WorkspaceKeys,
    afterwards: RefCell<Vec<Box<dyn FnOnce()>>>,
}

impl Write<'_> {
    /// Does something once the transaction is on disk, before any later one of this workspace: what is told of stored
    /// things is told in their order, and also when nobody waits for the answer any more. It must not block.
    pub fn after_commit(&self, act: impl FnOnce() + 'static) {
        self.afterwards.borrow_mut().push(Box::new(act));
    }

    /// The connection inside the transaction.
    pub fn sql(&self) -> &Connection {
        &self.transaction
    }

    /// The workspace's keys.
    pub const fn keys(&self) -> &WorkspaceKeys {
        self.keys
    }

    /// Whose file it is.
    pub const fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// Appends to the audit chain; it becomes durable with the rest of the transaction.
    pub fn audit(&self, event: &Event, now: Timestamp) -> rusqlite::Result<()> {
        audit_log::append(&self.transaction, self.workspace, event, now)
    }
}
