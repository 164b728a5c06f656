// SPDX-License-Identifier: AGPL-3.0-or-later
//! Tables of `system.db` alone: the registry of workspaces, settings, and certificates with their sealed keys.

use rusqlite::{Connection, OptionalExtension, Row, params};
use zeroize::Zeroizing;

use crate::platform::store::keyring::WorkspaceKeys;
use crate::platform::store::row::{BadColumn, id, text, time};
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

/// A setting's value.
pub fn setting(database: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    database.query_row("SELECT value FROM settings WHERE key = ?1", params![key], |row| row.get(0)).optional()
}

/// Sets a setting.
pub fn set_setting(write: &Write<'_>, key: &str, value: &str) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO settings (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    write.sql().execute(sql, params![key, value])?;
    Ok(())
}

/// A certificate chain with its private key.
pub struct StoredCertificate {
    /// DER certificates, leaf first, one behind the other.
    pub chain: Vec<u8>,
    /// PKCS #8.
    pub key: Zeroizing<Vec<u8>>,
    /// Begin of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
}

/// The certificate for a purpose.
pub fn certificate(
    database: &Connection,
    keys: &WorkspaceKeys,
    purpose: &str,
) -> rusqlite::Result<Option<StoredCertificate>> {
    let sql = "SELECT chain, key, not_before, not_after FROM certificates WHERE purpose = ?1";
    let read = |row: &Row<'_>| {
        let sealed: Vec<u8> = row.get("key")?;
        let opened = keys.open_field("certificates", "key", purpose.as_bytes(), &sealed);
        Ok(StoredCertificate {
            chain: row.get("chain")?,
            key: opened.map_err(|_| BadColumn("key"))?,
            not_before: time(row, "not_before")?,
            not_after: time(row, "not_after")?,
        })
    };
    database.query_row(sql, params![purpose], read).optional()
}

/// Stores or replaces the certificate for a purpose.
pub fn set_certificate(write: &Write<'_>, purpose: &str, certificate: &StoredCertificate) -> rusqlite::Result<()> {
    let sealed = write.keys().seal_field("certificates", "key", purpose.as_bytes(), &certificate.key);
    let sealed = sealed.map_err(|_| BadColumn("key"))?;
    write.sql().execute(
        "INSERT INTO certificates (purpose, chain, key, not_before, not_after) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (purpose) DO UPDATE SET chain = excluded.chain, key = excluded.key,
             not_before = excluded.not_before, not_after = excluded.not_after",
        params![
            purpose,
            certificate.chain,
            sealed,
            certificate.not_before.as_millis(),
            certificate.not_after.as_millis()
        ],
    )?;
    Ok(())
}
