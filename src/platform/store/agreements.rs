// SPDX-License-Identifier: AGPL-3.0-or-later
//! Table `agreements`: which data processing agreements were accepted for a workspace, by whom and when.

use rusqlite::{Connection, Row, params};

use crate::core::agreement::Agreement;
use crate::platform::store::row::{text, time};
use crate::platform::store::workspace::Write;
use crate::values::name::DisplayName;
use crate::values::time::Timestamp;

/// An agreement that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// SHA-256 of its text.
    pub sha256: [u8; 32],
    /// The person who accepted it.
    pub person: DisplayName,
    /// Who that was, as the audit names it.
    pub actor: String,
    /// When.
    pub accepted_at: Timestamp,
}

/// Whether any was accepted.
pub fn is_any(database: &Connection) -> rusqlite::Result<bool> {
    database.prepare_cached("SELECT EXISTS (SELECT 1 FROM agreements)")?.query_row([], |row| row.get(0))
}

fn acceptance(row: &Row<'_>) -> rusqlite::Result<Acceptance> {
    Ok(Acceptance {
        sha256: row.get("sha256")?,
        person: text(row, "person")?,
        actor: row.get("actor")?,
        accepted_at: time(row, "accepted_at")?,
    })
}

/// All of them, the newest first.
pub fn all(database: &Connection) -> rusqlite::Result<Vec<Acceptance>> {
    let sql = "SELECT sha256, person, actor, accepted_at FROM agreements ORDER BY number DESC";
    database.prepare(sql)?.query_map([], acceptance)?.collect()
}

/// All of them with their texts, the newest first.
pub fn texts(database: &Connection) -> rusqlite::Result<Vec<(Acceptance, String)>> {
    let mut statement = database.prepare("SELECT * FROM agreements ORDER BY number DESC")?;
    statement.query_map([], |row| Ok((acceptance(row)?, row.get("text")?)))?.collect()
}

/// Keeps that one was accepted, with its text.
pub fn insert(write: &Write<'_>, agreement: &Agreement, acceptance: &Acceptance) -> rusqlite::Result<()> {
    write.sql().execute(
        "INSERT INTO agreements (sha256, text, person, actor, accepted_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            acceptance.sha256,
            agreement.text(),
            acceptance.person.as_str(),
            acceptance.actor,
            acceptance.accepted_at.as_millis()
        ],
    )?;
    Ok(())
}
