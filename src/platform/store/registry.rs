// SPDX-License-Identifier: AGPL-3.0-or-later
//! Table `workspaces` of `system.db`: the registry.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::platform::store::row::{id, text, time};
use crate::platform::store::workspace::Write;
use crate::values::id::WorkspaceId;
use crate::values::name::WorkspaceName;
use crate::values::time::Timestamp;

/// A workspace in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: WorkspaceId,
    /// The name people type.
    pub name: WorkspaceName,
    /// Whether scripts may sign in without sealing the credential.
    pub plain_sign_in: bool,
    /// Since when it exists.
    pub created_at: Timestamp,
}

const COLUMNS: &str = "id, name, plain_sign_in, created_at";

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        id: id(row, "id").map(WorkspaceId::from_bytes)?,
        name: text(row, "name")?,
        plain_sign_in: row.get("plain_sign_in")?,
        created_at: time(row, "created_at")?,
    })
}

/// Every workspace, by name.
pub fn all(database: &Connection) -> rusqlite::Result<Vec<Entry>> {
    let mut statement = database.prepare_cached(&format!("SELECT {COLUMNS} FROM workspaces ORDER BY name"))?;
    let rows = statement.query_map([], entry)?;
    rows.collect()
}

/// Up to `limit` workspaces behind `after` in the order of names.
pub fn page(database: &Connection, after: Option<&WorkspaceName>, limit: u32) -> rusqlite::Result<Vec<Entry>> {
    let sql = format!("SELECT {COLUMNS} FROM workspaces WHERE name > ?1 ORDER BY name LIMIT ?2");
    let mut statement = database.prepare_cached(&sql)?;
    let rows = statement.query_map(params![after.map_or("", WorkspaceName::as_str), limit], entry)?;
    rows.collect()
}

/// The workspace with this name.
pub fn find(database: &Connection, name: &WorkspaceName) -> rusqlite::Result<Option<Entry>> {
    let sql = format!("SELECT {COLUMNS} FROM workspaces WHERE name = ?1");
    database.query_row(&sql, params![name.as_str()], entry).optional()
}

/// The workspace with this id.
pub fn find_by_id(database: &Connection, id: WorkspaceId) -> rusqlite::Result<Option<Entry>> {
    let sql = format!("SELECT {COLUMNS} FROM workspaces WHERE id = ?1");
    database.query_row(&sql, params![id.as_bytes()], entry).optional()
}

/// Adds a workspace; `false` when the name is taken.
pub fn insert(write: &Write<'_>, entry: &Entry) -> rusqlite::Result<bool> {
    if find(write.sql(), &entry.name)?.is_some() {
        return Ok(false);
    }
    write.sql().execute(
        "INSERT INTO workspaces (id, name, plain_sign_in, created_at) VALUES (?1, ?2, ?3, ?4)",
        params![entry.id.as_bytes(), entry.name.as_str(), entry.plain_sign_in, entry.created_at.as_millis()],
    )?;
    Ok(true)
}

/// Allows or refuses credentials that are not sealed.
pub fn set_plain_sign_in(write: &Write<'_>, id: WorkspaceId, allowed: bool) -> rusqlite::Result<()> {
    let sql = "UPDATE workspaces SET plain_sign_in = ?2 WHERE id = ?1";
    write.sql().execute(sql, params![id.as_bytes(), allowed])?;
    Ok(())
}
