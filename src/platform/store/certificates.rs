// SPDX-License-Identifier: AGPL-3.0-or-later
//! Table `certificates` of `system.db`: certificates with their sealed keys.

use rusqlite::{Connection, OptionalExtension, Row, params};
use zeroize::Zeroizing;

use crate::platform::store::keyring::WorkspaceKeys;
use crate::platform::store::row::{BadColumn, time};
use crate::platform::store::workspace::Write;
use crate::values::time::Timestamp;

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
pub fn find(database: &Connection, keys: &WorkspaceKeys, purpose: &str) -> rusqlite::Result<Option<StoredCertificate>> {
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
pub fn put(write: &Write<'_>, purpose: &str, certificate: &StoredCertificate) -> rusqlite::Result<()> {
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
