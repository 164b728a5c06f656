// SPDX-License-Identifier: AGPL-3.0-or-later
//! Table `audit`: the stored chain. What a record is and how a chain is verified: `core::audit`.

use rusqlite::{Connection, OptionalExtension, params};

use crate::core::audit::{Event, Hash, Head};
use crate::values::id::WorkspaceId;
use crate::values::time::Timestamp;

/// A stored record: canonical bytes and hash.
pub type StoredRecord = (Vec<u8>, Vec<u8>);

/// The end of the chain.
pub fn head(database: &Connection) -> rusqlite::Result<Head> {
    let newest = "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1";
    let row = database.query_row(newest, [], |row| Ok(Head { sequence: row.get(0)?, hash: row.get(1)? }));
    Ok(row.optional()?.unwrap_or(Head::EMPTY))
}

/// The stored hash of one record.
pub fn hash_at(database: &Connection, sequence: u64) -> rusqlite::Result<Option<Hash>> {
    database.query_row("SELECT hash FROM audit WHERE sequence = ?1", params![sequence], |row| row.get(0)).optional()
}

/// Appends an event to the chain.
pub fn append(database: &Connection, workspace: WorkspaceId, event: &Event, now: Timestamp) -> rusqlite::Result<()> {
    let (record, head) = head(database)?.append(workspace, now, event);
    database.execute(
        "INSERT INTO audit (sequence, record, hash) VALUES (?1, ?2, ?3)",
        params![head.sequence, record, head.hash],
    )?;
    Ok(())
}

/// Up to `limit` records after `after`, oldest first.
pub fn page(database: &Connection, after: u64, limit: u32) -> rusqlite::Result<Vec<StoredRecord>> {
    let mut statement =
        database.prepare_cached("SELECT record, hash FROM audit WHERE sequence > ?1 ORDER BY sequence LIMIT ?2")?;
    let rows = statement.query_map(params![after, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Up to `limit` records before `before`, newest first.
pub fn page_back(database: &Connection, before: u64, limit: u32) -> rusqlite::Result<Vec<StoredRecord>> {
    let mut statement = database
        .prepare_cached("SELECT record, hash FROM audit WHERE sequence < ?1 ORDER BY sequence DESC LIMIT ?2")?;
    let before = before.min(i64::MAX.unsigned_abs());
    let rows = statement.query_map(params![before, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}
