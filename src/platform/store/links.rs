// SPDX-License-Identifier: AGPL-3.0-or-later
//! Table `one_time_links` of `system.db`: links by which operators set a new password.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::core::auth::login::AccountStatus;
use crate::core::auth::permission::Role;
use crate::platform::store::accounts::Account;
use crate::platform::store::row::{id, text, time};
use crate::platform::store::workspace::Write;
use crate::values::id::{AccountId, WorkspaceId};
use crate::values::name::UserName;
use crate::values::time::Timestamp;

/// How long a link holds.
pub const LINK_LIFE: Duration = Duration::from_secs(3_600);
/// How long it is remembered that there was one.
const REMEMBERED: Duration = Duration::from_secs(30 * 86_400);

/// A link that was made, without what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// For whom.
    pub user_name: UserName,
    /// When.
    pub created_at: Timestamp,
    /// Until when it holds.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
}

/// A new link, in place of those of the same account. What is older than it is remembered goes.
pub fn insert(write: &Write<'_>, hash: &[u8; 32], account: AccountId, now: Timestamp) -> rusqlite::Result<()> {
    let sql = write.sql();
    sql.execute("DELETE FROM one_time_links WHERE created_at <= ?1", params![(now - REMEMBERED).as_millis()])?;
    void(write, account)?;
    sql.execute(
        "INSERT INTO one_time_links (hash, account, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)",
        params![hash, account.as_bytes(), now.as_millis(), (now + LINK_LIFE).as_millis()],
    )?;
    Ok(())
}

/// Whose link this is, while it holds: for an operator alone, and one who may sign in.
pub fn find(database: &Connection, hash: &[u8; 32], now: Timestamp) -> rusqlite::Result<Option<AccountId>> {
    let sql = "SELECT account FROM one_time_links
               WHERE hash = ?1 AND used_at IS NULL AND replaced = 0 AND expires_at > ?2
                   AND account IN (SELECT id FROM accounts WHERE role = ?3 AND status = ?4)";
    let account = |row: &Row<'_>| id(row, "account").map(AccountId::from_bytes);
    let operator = (Role::Admin.as_str(), AccountStatus::Active.as_str());
    database.query_row(sql, params![hash, now.as_millis(), operator.0, operator.1], account).optional()
}

/// Uses a link up; says whether it held.
pub fn redeem(write: &Write<'_>, hash: &[u8; 32], now: Timestamp) -> rusqlite::Result<bool> {
    if find(write.sql(), hash, now)?.is_none() {
        return Ok(false);
    }
    let sql = "UPDATE one_time_links SET used_at = ?2 WHERE hash = ?1";
    Ok(write.sql().execute(sql, params![hash, now.as_millis()])? == 1)
}

/// Voids the links of an account whose password was set in another way. Only workspace `system` has links.
pub fn void_if_system(write: &Write<'_>, account: AccountId) -> rusqlite::Result<()> {
    if write.workspace() == WorkspaceId::SYSTEM {
        void(write, account)?;
    }
    Ok(())
}

/// Voids the links of an account that is no operator any more: they must not hold again when it becomes one.
pub fn void_unless_operator(write: &Write<'_>, account: &Account) -> rusqlite::Result<()> {
    if account.role() == Role::Admin && account.status == AccountStatus::Active {
        return Ok(());
    }
    void_if_system(write, account.id)
}

fn void(write: &Write<'_>, account: AccountId) -> rusqlite::Result<()> {
    write.sql().execute("UPDATE one_time_links SET replaced = 1 WHERE account = ?1", params![account.as_bytes()])?;
    Ok(())
}

/// The links that are remembered, newest first. None in a rolled-back file from before there was this table.
pub fn remembered(database: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Link>> {
    if !database.table_exists(None, "one_time_links")? {
        return Ok(Vec::new());
    }
    let sql = "SELECT user_name, one_time_links.created_at AS made_at, expires_at, used_at
               FROM one_time_links JOIN accounts ON accounts.id = account
               WHERE one_time_links.created_at > ?1 ORDER BY one_time_links.created_at DESC";
    let link = |row: &Row<'_>| {
        Ok(Link {
            user_name: text(row, "user_name")?,
            created_at: time(row, "made_at")?,
            expires_at: time(row, "expires_at")?,
            used_at: row.get::<_, Option<i64>>("used_at")?.map(Timestamp::from_millis),
        })
    };
    let mut statement = database.prepare_cached(sql)?;
    statement.query_map(params![(now - REMEMBERED).as_millis()], link)?.collect()
}
