// SPDX-License-Identifier: AGPL-3.0-or-later
//! Tables `workspaces` and `forwards` of `system.db`: which workspaces there are, by what names, and where each is in
//! its life.
//!
//! All of it is in memory too. It follows each commit before the next write of `system.db` begins, so a decision inside
//! any other workspace's transaction can ask it. And a sign-in that names no workspace costs what any other costs.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use rusqlite::{Connection, Row, params};

use crate::core::workspace::{FORWARD, Life, Term};
use crate::platform::store::row::{id, text, time, time_or_none};
use crate::platform::store::workspace::Write;
use crate::values::id::WorkspaceId;
use crate::values::name::{Label, WorkspaceName};
use crate::values::time::Timestamp;

/// A workspace in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: WorkspaceId,
    /// The name people type.
    pub name: WorkspaceName,
    /// Where it is in its life.
    pub life: Life,
    /// Accounts that may be active at once; `None`: any number.
    pub seats: Option<u32>,
    /// Where its data is, as the operator says; empty: as the whole appliance's.
    pub residency: Label,
    /// Since when it exists.
    pub created_at: Timestamp,
}

/// The name is another workspace's, was one's not long ago, or is reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameTaken;

#[derive(Debug, Clone, Copy)]
struct Forward {
    workspace: WorkspaceId,
    until: Timestamp,
}

#[derive(Debug, Default)]
struct Books {
    entries: BTreeMap<WorkspaceId, Entry>,
    names: HashMap<WorkspaceName, WorkspaceId>,
    forwards: HashMap<WorkspaceName, Forward>,
}

impl Books {
    fn put(&mut self, entry: Entry) {
        self.remove(entry.id);
        self.names.insert(entry.name.clone(), entry.id);
        self.entries.insert(entry.id, entry);
    }

    fn remove(&mut self, id: WorkspaceId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.names.remove(&entry.name);
        }
    }
}

/// The registry.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<RwLock<Books>>);

impl Registry {
    /// Reads it anew.
    pub fn load(&self, database: &Connection) -> rusqlite::Result<()> {
        let mut books = Books::default();
        let mut statement = database.prepare("SELECT * FROM workspaces")?;
        for entry in statement.query_map([], entry)? {
            books.put(entry?);
        }
        let mut statement = database.prepare("SELECT name, workspace, until FROM forwards")?;
        let forward = |row: &Row<'_>| {
            let forward =
                Forward { workspace: id(row, "workspace").map(WorkspaceId::from_bytes)?, until: time(row, "until")? };
            Ok((text(row, "name")?, forward))
        };
        for forward in statement.query_map([], forward)? {
            books.forwards.extend([forward?]);
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = books;
        Ok(())
    }

    fn read<T>(&self, look: impl FnOnce(&Books) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn after_commit(&self, write: &Write<'_>, change: impl FnOnce(&mut Books) + 'static) {
        let books = Arc::clone(&self.0);
        write.after_commit(move || change(&mut books.write().unwrap_or_else(PoisonError::into_inner)));
    }

    /// Every workspace, by name.
    pub fn all(&self) -> Vec<Entry> {
        let mut all = self.read(|books| books.entries.values().cloned().collect::<Vec<_>>());
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Up to `limit` workspaces behind `after` in the order of names.
    pub fn page(&self, after: Option<&WorkspaceName>, limit: u32) -> Vec<Entry> {
        let behind = self.all().into_iter().filter(|entry| after.is_none_or(|after| entry.name > *after));
        behind.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.read(|books| books.entries.len())
    }

    /// Whether a workspace is closed and waits for its end.
    pub fn any_cools_off(&self) -> bool {
        self.read(|books| books.entries.values().any(|entry| entry.life.purge_at.is_some()))
    }

    /// The workspace with this id.
    pub fn entry(&self, id: WorkspaceId) -> Option<Entry> {
        self.read(|books| books.entries.get(&id).cloned())
    }

    /// The workspace that has this name, or had it not long ago.
    pub fn find(&self, name: &WorkspaceName, now: Timestamp) -> Option<Entry> {
        self.read(|books| {
            let forward = || books.forwards.get(name).filter(|forward| forward.until > now);
            let id = books.names.get(name).copied().or_else(|| forward().map(|forward| forward.workspace))?;
            books.entries.get(&id).cloned()
        })
    }

    /// Whether a workspace may be called so from now on.
    fn is_free(&self, name: &WorkspaceName, of: WorkspaceId, now: Timestamp) -> bool {
        *name != WorkspaceName::system() && self.find(name, now).is_none_or(|found| found.id == of)
    }

    /// Adds a workspace.
    pub fn insert(&self, write: &Write<'_>, entry: &Entry) -> rusqlite::Result<Result<(), NameTaken>> {
        if !self.is_free(&entry.name, entry.id, entry.created_at) {
            return Ok(Err(NameTaken));
        }
        // A forward that is over.
        write.sql().execute("DELETE FROM forwards WHERE name = ?1", params![entry.name.as_str()])?;
        write.sql().execute(
            "INSERT INTO workspaces (id, name, created_at) VALUES (?1, ?2, ?3)",
            params![entry.id.as_bytes(), entry.name.as_str(), entry.created_at.as_millis()],
        )?;
        self.store(write, entry)?;
        Ok(Ok(()))
    }

    /// Changes a workspace. Under a name that it gives up it is found for a while.
    pub fn update(&self, write: &Write<'_>, entry: &Entry, now: Timestamp) -> rusqlite::Result<Result<(), NameTaken>> {
        if !self.is_free(&entry.name, entry.id, now) {
            return Ok(Err(NameTaken));
        }
        let before = self.entry(entry.id).map(|before| before.name).filter(|before| *before != entry.name);
        if let Some(before) = before {
            let until = now + FORWARD;
            write.sql().execute(
                "DELETE FROM forwards WHERE name = ?1 OR until <= ?2",
                params![entry.name.as_str(), now.as_millis()],
            )?;
            write.sql().execute(
                "INSERT INTO forwards (name, workspace, until) VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET workspace = excluded.workspace, until = excluded.until",
                params![before.as_str(), entry.id.as_bytes(), until.as_millis()],
            )?;
            let (name, workspace) = (entry.name.clone(), entry.id);
            self.after_commit(write, move |books| {
                books.forwards.retain(|former, forward| *former != name && forward.until > now);
                books.forwards.insert(before, Forward { workspace, until });
            });
        }
        self.store(write, entry)?;
        Ok(Ok(()))
    }

    fn store(&self, write: &Write<'_>, entry: &Entry) -> rusqlite::Result<()> {
        let Life { term, suspended, purge_at } = entry.life;
        let trial_ends_at = match term {
            Term::Trial { ends_at } => Some(ends_at.as_millis()),
            Term::Subscribed => None,
        };
        write.sql().execute(
            "UPDATE workspaces SET name = ?2, trial_ends_at = ?3, suspended = ?4, purge_at = ?5, seats = ?6, residency = ?7
             WHERE id = ?1",
            params![
                entry.id.as_bytes(),
                entry.name.as_str(),
                trial_ends_at,
                suspended,
                purge_at.map(Timestamp::as_millis),
                entry.seats,
                entry.residency.as_str()
            ],
        )?;
        let stored = entry.clone();
        self.after_commit(write, move |books| books.put(stored));
        Ok(())
    }

    /// Forgets a workspace, with the names it had.
    pub fn remove(&self, write: &Write<'_>, id: WorkspaceId) -> rusqlite::Result<()> {
        write.sql().execute("DELETE FROM forwards WHERE workspace = ?1", params![id.as_bytes()])?;
        write.sql().execute("DELETE FROM workspaces WHERE id = ?1", params![id.as_bytes()])?;
        self.after_commit(write, move |books| {
            books.remove(id);
            books.forwards.retain(|_, forward| forward.workspace != id);
        });
        Ok(())
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let term = time_or_none(row, "trial_ends_at")?.map_or(Term::Subscribed, |ends_at| Term::Trial { ends_at });
    Ok(Entry {
        id: id(row, "id").map(WorkspaceId::from_bytes)?,
        name: text(row, "name")?,
        life: Life { term, suspended: row.get("suspended")?, purge_at: time_or_none(row, "purge_at")? },
        seats: row.get("seats")?,
        residency: text(row, "residency")?,
        created_at: time(row, "created_at")?,
    })
}
