// SPDX-License-Identifier: AGPL-3.0-or-later
//! Tables `sessions` and `spent_tokens`: signed-in devices and the hashes of their refresh tokens.
//!
//! A revoked session is deleted: there is nothing left to forget to check.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::core::auth::permission::Role;
use crate::core::auth::refresh::{self, Lifetime, RefreshDecision, RefreshToken, StoredSession};
use crate::platform::store::keyring::WorkspaceKeys;
use crate::platform::store::row::{BadColumn, id, time};
use crate::platform::store::workspace::Write;
use crate::values::id::{AccountId, SessionId};
use crate::values::secret::Key256;
use crate::values::time::Timestamp;

/// How the refresh token travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// In the body, kept by a program.
    Token,
    /// In a cookie that scripts cannot read.
    Cookie,
}

impl Carrier {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Cookie => "cookie",
        }
    }
}

/// A signed-in device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose.
    pub account: AccountId,
    /// What the person calls the device.
    pub device_name: String,
    /// When it signed in.
    pub created_at: Timestamp,
    /// When it last refreshed its tokens.
    pub last_seen_at: Timestamp,
    /// Whether the browser keeps its cookie when it is closed.
    pub persistent: bool,
    /// How long it lives.
    pub lifetime: Lifetime,
}

impl Session {
    /// When it ends if it is not refreshed again.
    pub fn expires_at(&self) -> Timestamp {
        self.lifetime.ends_at(self.created_at, self.last_seen_at)
    }
}

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: id(row, "id").map(SessionId::from_bytes)?,
        account: id(row, "account").map(AccountId::from_bytes)?,
        device_name: row.get("device_name")?,
        created_at: time(row, "created_at")?,
        last_seen_at: time(row, "refreshed_at")?,
        persistent: row.get("persistent")?,
        lifetime: Lifetime {
            idle: Duration::from_millis(row.get("idle_millis")?),
            absolute: Duration::from_millis(row.get("absolute_millis")?),
        },
    })
}

/// What [`session`] reads.
const COLUMNS: &str = "id, account, device_name, created_at, refreshed_at, persistent, idle_millis, absolute_millis";
/// Of a session that has not ended by itself at `?1`.
/// As `Lifetime::holds` says.
const LIVE: &str = "refreshed_at + idle_millis > ?1 AND created_at + absolute_millis > ?1
    AND refreshed_at - idle_millis <= ?1";

/// The session, when it exists and has not ended by itself.
pub fn find_live(database: &Connection, id: SessionId, now: Timestamp) -> rusqlite::Result<Option<Session>> {
    let mut statement = database.prepare_cached(&format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1"))?;
    let found = statement.query_row(params![id.as_bytes()], session).optional()?;
    Ok(found.filter(|session| session.expires_at() > now))
}

/// The live sessions of an account, newest first.
pub fn of_account(database: &Connection, account: AccountId, now: Timestamp) -> rusqlite::Result<Vec<Session>> {
    let sql = format!("SELECT {COLUMNS} FROM sessions WHERE account = ?1 ORDER BY created_at DESC");
    let mut statement = database.prepare_cached(&sql)?;
    let rows = statement.query_map(params![account.as_bytes()], session)?;
    rows.filter(|row| row.as_ref().map_or(true, |session| session.expires_at() > now)).collect()
}

/// The secret that the device and the appliance have since a sealed sign-in; none after one in clear.
pub fn exported(database: &Connection, keys: &WorkspaceKeys, id: SessionId) -> rusqlite::Result<Option<Key256>> {
    let sql = "SELECT exported FROM sessions WHERE id = ?1";
    let sealed: Option<Option<Vec<u8>>> =
        database.query_row(sql, params![id.as_bytes()], |row| row.get(0)).optional()?;
    let Some(sealed) = sealed.flatten() else { return Ok(None) };
    let opened = keys.open_field("sessions", "exported", id.as_bytes(), &sealed);
    let opened = opened.ok().and_then(|opened| Key256::from_slice(&opened));
    opened.map(Some).ok_or_else(|| BadColumn("exported").into())
}

/// How many sessions are live.
pub fn count_live(database: &Connection, now: Timestamp) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM sessions WHERE {LIVE}");
    database.query_row(&sql, params![now.as_millis()], |row| row.get(0))
}

/// Sessions of one account at most; the one unused for longest makes room.
const PER_ACCOUNT: u32 = 100;
/// Spent token hashes remembered of one session: a week of refreshing, and a bound for who refreshes without end.
const SPENT_PER_SESSION: u32 = 1_000;

/// Begins a session with its first refresh token and what its sealed sign-in exported. Clears the account's ended and
/// surplus ones away (`only`: all of them) and says which they were.
pub fn insert(
    write: &Write<'_>,
    session: &Session,
    carrier: Carrier,
    first: &RefreshToken,
    exported: Option<&Key256>,
    only: bool,
) -> rusqlite::Result<Vec<SessionId>> {
    let now = session.created_at;
    let mut gone = delete_returning(
        write,
        &format!("DELETE FROM sessions WHERE account = ?2 AND NOT ({LIVE}) RETURNING id"),
        params![now.as_millis(), session.account.as_bytes()],
    )?;
    if only {
        let sql = "DELETE FROM sessions WHERE account = ?1 RETURNING id";
        gone.extend(delete_returning(write, sql, params![session.account.as_bytes()])?);
    }
    gone.extend(delete_returning(
        write,
        "DELETE FROM sessions WHERE account = ?1 AND id NOT IN
             (SELECT id FROM sessions WHERE account = ?1 ORDER BY refreshed_at DESC LIMIT ?2) RETURNING id",
        params![session.account.as_bytes(), PER_ACCOUNT - 1],
    )?);
    let seal = |key: &Key256| write.keys().seal_field("sessions", "exported", session.id.as_bytes(), key.expose());
    let exported = exported.map(seal).transpose().map_err(|_| BadColumn("exported"))?;
    write.sql().execute(
        "INSERT INTO sessions (id, account, device_name, carrier, current_hash, created_at, refreshed_at, exported,
             persistent, idle_millis, absolute_millis)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10)",
        params![
            session.id.as_bytes(),
            session.account.as_bytes(),
            session.device_name,
            carrier.as_str(),
            first.hash(),
            now.as_millis(),
            exported,
            session.persistent,
            millis(session.lifetime.idle),
            millis(session.lifetime.absolute)
        ],
    )?;
    Ok(gone)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Lets no session live longer than new ones do; those that are over by that, or have no lifetime of their kind, end.
/// Says which those are.
pub fn shorten(
    write: &Write<'_>,
    persistent: bool,
    lifetime: Option<Lifetime>,
    now: Timestamp,
) -> rusqlite::Result<Vec<SessionId>> {
    let Some(Lifetime { idle, absolute }) = lifetime else {
        let sql = "DELETE FROM sessions WHERE persistent = ?1 RETURNING id";
        return delete_returning(write, sql, params![persistent]);
    };
    write.sql().execute(
        "UPDATE sessions SET idle_millis = min(idle_millis, ?2), absolute_millis = min(absolute_millis, ?3)
         WHERE persistent = ?1",
        params![persistent, millis(idle), millis(absolute)],
    )?;
    let sql = format!("DELETE FROM sessions WHERE persistent = ?2 AND NOT ({LIVE}) RETURNING id");
    delete_returning(write, &sql, params![now.as_millis(), persistent])
}

/// Ends the sessions of every account with this role; says which they are.
pub fn delete_of_role(write: &Write<'_>, role: Role) -> rusqlite::Result<Vec<SessionId>> {
    let sql = "DELETE FROM sessions WHERE account IN (SELECT id FROM accounts WHERE role = ?1) RETURNING id";
    delete_returning(write, sql, params![role.as_str()])
}

/// Ends every session; says how many.
pub fn delete_all(write: &Write<'_>) -> rusqlite::Result<usize> {
    write.sql().execute("DELETE FROM sessions", [])
}

fn delete_returning(write: &Write<'_>, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<Vec<SessionId>> {
    let mut statement = write.sql().prepare_cached(sql)?;
    statement.query_map(values, |row| id(row, "id").map(SessionId::from_bytes))?.collect()
}

/// Judges a presented refresh token and does what the judgement says. A token is good on its own carrier only.
pub fn refresh(
    write: &Write<'_>,
    presented: &RefreshToken,
    next: &RefreshToken,
    carrier: Carrier,
    now: Timestamp,
) -> rusqlite::Result<(RefreshDecision, Option<Session>)> {
    let id = presented.session();
    let sql = write.sql();
    let row = sql
        .query_row(
            "SELECT * FROM sessions WHERE id = ?1 AND carrier = ?2",
            params![id.as_bytes(), carrier.as_str()],
            |row| {
                let session = session(row)?;
                let stored = StoredSession {
                    current: row.get("current_hash")?,
                    previous: row.get("previous_hash")?,
                    presented_is_spent: false,
                    created_at: time(row, "created_at")?,
                    refreshed_at: time(row, "refreshed_at")?,
                    lifetime: session.lifetime,
                };
                Ok((session, stored))
            },
        )
        .optional()?;
    let Some((session, stored)) = row else { return Ok((RefreshDecision::Unknown, None)) };
    let spent = "SELECT EXISTS (SELECT 1 FROM spent_tokens WHERE session = ?1 AND hash = ?2)";
    let presented_is_spent = sql.query_row(spent, params![id.as_bytes(), presented.hash()], |row| row.get(0))?;
    let decision = refresh::judge(presented, StoredSession { presented_is_spent, ..stored }, now);
    match decision {
        RefreshDecision::Rotate => {
            if let Some(previous) = stored.previous {
                sql.execute(
                    "INSERT INTO spent_tokens (session, hash) VALUES (?1, ?2)",
                    params![id.as_bytes(), previous],
                )?;
                sql.execute(
                    "DELETE FROM spent_tokens WHERE session = ?1 AND number <=
                         (SELECT number FROM spent_tokens WHERE session = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
                    params![id.as_bytes(), SPENT_PER_SESSION],
                )?;
            }
            sql.execute(
                "UPDATE sessions SET previous_hash = current_hash, current_hash = ?2, refreshed_at = ?3 WHERE id = ?1",
                params![id.as_bytes(), next.hash(), now.as_millis()],
            )?;
        }
        RefreshDecision::Replay | RefreshDecision::Expired => {
            delete(write, id)?;
        }
        RefreshDecision::Repeat | RefreshDecision::Unknown => {}
    }
    Ok((decision, Some(session)))
}

/// Ends a session; says whether there was one.
pub fn delete(write: &Write<'_>, id: SessionId) -> rusqlite::Result<bool> {
    Ok(write.sql().execute("DELETE FROM sessions WHERE id = ?1", params![id.as_bytes()])? > 0)
}

/// Ends the sessions of an account, except perhaps one; says how many.
pub fn delete_of_account(write: &Write<'_>, account: AccountId, keep: Option<SessionId>) -> rusqlite::Result<usize> {
    let keep = keep.map(|id| *id.as_bytes());
    write.sql().execute("DELETE FROM sessions WHERE account = ?1 AND id IS NOT ?2", params![account.as_bytes(), keep])
}
