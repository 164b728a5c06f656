// SPDX-License-Identifier: AGPL-3.0-or-later
//! Deletions of workspaces that have begun, among the settings of `system.db`: one that a crash broke off is done to its
//! end, whatever the clock says by then.

use std::collections::HashSet;

use rusqlite::Connection;

use crate::platform::store::settings;
use crate::platform::store::workspace::Write;
use crate::values::id::WorkspaceId;

/// The id stands behind it.
const SETTING: &str = "purge.";

fn key(workspace: WorkspaceId) -> String {
    format!("{SETTING}{workspace}")
}

/// Which have begun.
pub fn begun(database: &Connection) -> rusqlite::Result<HashSet<WorkspaceId>> {
    let keys = settings::keys(database, SETTING)?;
    Ok(keys.iter().filter_map(|key| key.strip_prefix(SETTING)?.parse().ok()).collect())
}

/// Whether this one has.
pub fn has_begun(database: &Connection, workspace: WorkspaceId) -> rusqlite::Result<bool> {
    Ok(settings::get(database, &key(workspace))?.is_some())
}

/// It begins: from now on there is no way back.
pub fn begin(write: &Write<'_>, workspace: WorkspaceId) -> rusqlite::Result<()> {
    settings::set(write, &key(workspace), "begun")
}

/// It is done.
pub fn end(write: &Write<'_>, workspace: WorkspaceId) -> rusqlite::Result<()> {
    settings::remove(write, &key(workspace))
}
