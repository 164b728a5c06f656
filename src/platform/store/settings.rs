// SPDX-License-Identifier: AGPL-3.0-or-later
//! Table `settings` of `system.db`.

use rusqlite::{Connection, OptionalExtension, params};

use crate::platform::store::workspace::Write;

/// A setting's value.
pub fn get(database: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    database.query_row("SELECT value FROM settings WHERE key = ?1", params![key], |row| row.get(0)).optional()
}

/// Sets a setting.
pub fn set(write: &Write<'_>, key: &str, value: &str) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO settings (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    write.sql().execute(sql, params![key, value])?;
    Ok(())
}

/// Removes a setting, if it is there.
pub fn remove(write: &Write<'_>, key: &str) -> rusqlite::Result<()> {
    write.sql().execute("DELETE FROM settings WHERE key = ?1", params![key])?;
    Ok(())
}

/// The keys that begin so.
pub fn keys(database: &Connection, prefix: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = database.prepare("SELECT key FROM settings WHERE substr(key, 1, length(?1)) = ?1")?;
    statement.query_map(params![prefix], |row| row.get(0))?.collect()
}
