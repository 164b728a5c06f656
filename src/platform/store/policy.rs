// SPDX-License-Identifier: AGPL-3.0-or-later
//! Table `policy`: what the workspace permits, in its one row.

use rusqlite::{Connection, Row, params};

use crate::core::workspace::policy::WorkspacePolicy;
use crate::platform::store::workspace::Write;

/// What the workspace permits.
pub fn get(database: &Connection) -> rusqlite::Result<WorkspacePolicy> {
    let read = |row: &Row<'_>| {
        Ok(WorkspacePolicy {
            voice: row.get("voice")?,
            screen_share: row.get("screen_share")?,
            guests: row.get("guests")?,
            plain_sign_in: row.get("plain_sign_in")?,
            single_device: row.get("single_device")?,
            idle_hours: row.get("idle_hours")?,
            session_days: row.get("session_days")?,
            persistent_days: row.get("persistent_days")?,
        })
    };
    database.prepare_cached("SELECT * FROM policy")?.query_row([], read)
}

/// Changes what it permits.
pub fn put(write: &Write<'_>, policy: &WorkspacePolicy) -> rusqlite::Result<()> {
    write.sql().execute(
        "UPDATE policy SET voice = ?1, screen_share = ?2, guests = ?3, plain_sign_in = ?4, single_device = ?5,
             idle_hours = ?6, session_days = ?7, persistent_days = ?8",
        params![
            policy.voice,
            policy.screen_share,
            policy.guests,
            policy.plain_sign_in,
            policy.single_device,
            policy.idle_hours,
            policy.session_days,
            policy.persistent_days
        ],
    )?;
    Ok(())
}
