// SPDX-License-Identifier: AGPL-3.0-or-later
//! Table `api_tokens` of `system.db`: tokens of programs that watch the appliance.

use rusqlite::{Connection, Row, params};
use strum::{Display, EnumString};

use crate::platform::store::row::{id, text, time, time_or_none};
use crate::platform::store::workspace::Write;
use crate::values::id::ApiTokenId;
use crate::values::name::Label;
use crate::values::time::Timestamp;

/// What a token is for; it opens nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Scope {
    /// `GET /metrics`.
    Metrics,
}

/// A token, without what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Its id.
    pub id: ApiTokenId,
    /// Whose it is, in the words of whoever made it.
    pub name: Label,
    /// What it is for.
    pub scope: Scope,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when, if not for good.
    pub expires_at: Option<Timestamp>,
}

/// Adds one. The caller has seen that there is room for it.
pub fn insert(write: &Write<'_>, token: &ApiToken, hash: &[u8; 32]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO api_tokens (id, name, scope, hash, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let ApiToken { id, name, scope, created_at, expires_at } = token;
    let expires_at = expires_at.map(Timestamp::as_millis);
    let row = params![id.as_bytes(), name.as_str(), scope.to_string(), hash, created_at.as_millis(), expires_at];
    write.sql().execute(sql, row).map(drop)
}

/// All of them, the oldest first; those whose time is over too.
pub fn list(database: &Connection) -> rusqlite::Result<Vec<ApiToken>> {
    let sql = "SELECT id, name, scope, created_at, expires_at FROM api_tokens ORDER BY created_at, id";
    database.prepare_cached(sql)?.query_map([], read)?.collect()
}

/// Whether a token holds for a scope.
pub fn holds(database: &Connection, hash: &[u8; 32], scope: Scope, now: Timestamp) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM api_tokens
               WHERE hash = ?1 AND scope = ?2 AND (expires_at IS NULL OR expires_at > ?3))";
    database.prepare_cached(sql)?.query_row(params![hash, scope.to_string(), now.as_millis()], |row| row.get(0))
}

/// Removes one; says whether it was there.
pub fn remove(write: &Write<'_>, token: ApiTokenId) -> rusqlite::Result<bool> {
    Ok(write.sql().execute("DELETE FROM api_tokens WHERE id = ?1", params![token.as_bytes()])? == 1)
}

fn read(row: &Row<'_>) -> rusqlite::Result<ApiToken> {
    Ok(ApiToken {
        id: ApiTokenId::from_bytes(id(row, "id")?),
        name: text(row, "name")?,
        scope: text(row, "scope")?,
        created_at: time(row, "created_at")?,
        expires_at: time_or_none(row, "expires_at")?,
    })
}
