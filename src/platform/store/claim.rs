// SPDX-License-Identifier: AGPL-3.0-or-later
//! Table `claim` of `system.db`: one row, and the one statement that claims.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::core::claim::{Claim, CodeHash, StoredCode, Verdict, judge};
use crate::core::keys::recovery::RecoveryPublicKey;
use crate::platform::store::row::{BadColumn, time};
use crate::platform::store::workspace::Write;
use crate::values::time::Timestamp;

/// The claim as it stands.
pub fn load(database: &Connection) -> rusqlite::Result<Claim> {
    let code = |row: &Row<'_>| -> rusqlite::Result<Option<StoredCode>> {
        let Some(hash) = row.get("code_hash")? else { return Ok(None) };
        let (expires_at, tries_left) = (time(row, "code_expires_at")?, row.get("tries_left")?);
        Ok(Some(StoredCode { hash: CodeHash(hash), expires_at, tries_left }))
    };
    let read = |row: &Row<'_>| match row.get::<_, String>("state")?.as_str() {
        "claimed" => Ok(Claim::Claimed { at: time(row, "claimed_at")? }),
        "unclaimed" => Ok(Claim::Unclaimed { code: code(row)? }),
        _ => Err(BadColumn("state").into()),
    };
    database.query_row("SELECT state, code_hash, code_expires_at, tries_left, claimed_at FROM claim", [], read)
}

/// Whether there is an operator. A rolled-back file may be from before there was this table, and gets it when it is
/// accepted: until then nobody claims what may have an operator.
pub fn is_claimed(database: &Connection) -> rusqlite::Result<bool> {
    Ok(!database.table_exists(None, "claim")? || matches!(load(database)?, Claim::Claimed { .. }))
}

/// Key of the setting that holds the SHA-256 of `recovery.json`; missing where an earlier release was claimed.
pub(super) const RECOVERY_SETTING: &str = "recovery.sha256";

/// The recovery kit that the appliance was claimed with, if with any; nothing before the claim.
pub fn recovery_key(database: &Connection) -> rusqlite::Result<Option<Option<RecoveryPublicKey>>> {
    if !database.table_exists(None, "claim")? {
        return Ok(None);
    }
    let sql = "SELECT recovery_public_key FROM claim WHERE state = 'claimed'";
    let key = |row: &Row<'_>| Ok(row.get::<_, Option<[u8; 32]>>(0)?.map(RecoveryPublicKey::new));
    database.query_row(sql, [], key).optional()
}

/// A new code in place of the old one; says whether there may be one.
pub fn put_code(write: &Write<'_>, code: &StoredCode) -> rusqlite::Result<bool> {
    let sql = "UPDATE claim SET code_hash = ?1, code_expires_at = ?2, tries_left = ?3 WHERE state = 'unclaimed'";
    let values = params![code.hash.0, code.expires_at.as_millis(), code.tries_left];
    Ok(write.sql().execute(sql, values)? == 1)
}

/// Judges a code, and takes a try when it is a wrong one.
pub fn try_code(write: &Write<'_>, typed: Option<&CodeHash>, now: Timestamp) -> rusqlite::Result<Verdict> {
    let verdict = judge(&load(write.sql())?, typed, now);
    if let Verdict::Wrong { .. } = verdict {
        let sql = "UPDATE claim SET tries_left = tries_left - 1 WHERE state = 'unclaimed' AND tries_left > 0";
        write.sql().execute(sql, [])?;
    }
    Ok(verdict)
}

/// Claims, in one statement that no second one can follow: by the code that holds, or without one from the host.
pub fn claim(
    write: &Write<'_>,
    typed: Option<&CodeHash>,
    recovery: Option<&RecoveryPublicKey>,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let recovery = recovery.map(RecoveryPublicKey::to_bytes);
    let claimed = match typed {
        Some(typed) => write.sql().execute(
            "UPDATE claim SET state = 'claimed', claimed_at = ?1, recovery_public_key = ?2, code_hash = NULL,
                 code_expires_at = NULL, tries_left = 0
             WHERE state = 'unclaimed' AND code_hash = ?3 AND code_expires_at > ?1 AND tries_left > 0",
            params![now.as_millis(), recovery, typed.0],
        ),
        None => write.sql().execute(
            "UPDATE claim SET state = 'claimed', claimed_at = ?1, recovery_public_key = ?2, code_hash = NULL,
                 code_expires_at = NULL, tries_left = 0
             WHERE state = 'unclaimed'",
            params![now.as_millis(), recovery],
        ),
    };
    Ok(claimed? == 1)
}
