// SPDX-License-Identifier: AGPL-3.0-or-later
//! Table `accounts`: the people of one workspace. Their password hashes are sealed fields.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::core::auth::login::{AccountStatus, StoredAccount};
use crate::core::auth::permission::{Permissions, Rights, Role, Roles};
use crate::platform::store::keyring::WorkspaceKeys;
use crate::platform::store::row::{BadColumn, id, text, time, time_or_none};
use crate::platform::store::workspace::Write;
use crate::values::id::AccountId;
use crate::values::name::{DisplayName, UserName};
use crate::values::time::Timestamp;

/// An account as it is listed; never with its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// What the person signs in with.
    pub user_name: UserName,
    /// What others see.
    pub display_name: DisplayName,
    /// Its roles.
    pub roles: Roles,
    /// Whether it may be used.
    pub status: AccountStatus,
    /// Whether its voice is switched off in every meeting.
    pub voice_off: bool,
    /// What it was given by hand.
    pub by_hand: Permissions,
    /// Since when it exists.
    pub created_at: Timestamp,
    /// When a used refresh token of it was presented again, since its password was set.
    pub replayed_at: Option<Timestamp>,
}

impl Account {
    /// The role that counts: the highest.
    pub const fn role(&self) -> Role {
        self.roles.highest()
    }

    /// What it may do.
    pub const fn rights(&self) -> Rights {
        Rights { role: self.role(), by_hand: self.by_hand }
    }
}

/// Why an account could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameTaken {
    /// The same user name exists.
    Same,
    /// A user name exists that looks the same.
    LooksAlike,
}

const COLUMNS: &str = "id, user_name, display_name, roles, status, voice_off, by_hand, created_at, replayed_at";

fn role(row: &Row<'_>, column: &'static str) -> rusqlite::Result<Role> {
    Role::from_name(&row.get::<_, String>(column)?).ok_or_else(|| BadColumn(column).into())
}

fn status(row: &Row<'_>) -> rusqlite::Result<AccountStatus> {
    match row.get::<_, String>("status")?.as_str() {
        "active" => Ok(AccountStatus::Active),
        "disabled" => Ok(AccountStatus::Disabled),
        _ => Err(BadColumn("status").into()),
    }
}

fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        id: id(row, "id").map(AccountId::from_bytes)?,
        user_name: text(row, "user_name")?,
        display_name: text(row, "display_name")?,
        roles: Roles::from_names(&row.get::<_, String>("roles")?).ok_or(BadColumn("roles"))?,
        status: status(row)?,
        voice_off: row.get("voice_off")?,
        by_hand: Permissions::from_names(&row.get::<_, String>("by_hand")?).ok_or(BadColumn("by_hand"))?,
        created_at: time(row, "created_at")?,
        replayed_at: time_or_none(row, "replayed_at")?,
    })
}

/// The account with this id.
pub fn find(database: &Connection, id: AccountId) -> rusqlite::Result<Option<Account>> {
    let sql = format!("SELECT {COLUMNS} FROM accounts WHERE id = ?1");
    database.query_row(&sql, params![id.as_bytes()], account).optional()
}

/// The account with this user name.
pub fn find_by_name(database: &Connection, name: &UserName) -> rusqlite::Result<Option<Account>> {
    let sql = format!("SELECT {COLUMNS} FROM accounts WHERE user_name = ?1");
    database.query_row(&sql, params![name.as_str()], account).optional()
}

/// Up to `limit` accounts behind `after` in the order of user names, of roles up to `highest`.
pub fn page(
    database: &Connection,
    after: Option<&UserName>,
    highest: Role,
    limit: u32,
) -> rusqlite::Result<Vec<Account>> {
    let sql = format!("SELECT {COLUMNS} FROM accounts WHERE user_name > ?1 ORDER BY user_name");
    let mut statement = database.prepare_cached(&sql)?;
    let rows = statement.query_map(params![after.map_or("", UserName::as_str)], account)?;
    let visible = rows.filter(|row| row.as_ref().map_or(true, |account| account.role() <= highest));
    visible.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
}

/// Since when an account is in the hands it is in: when it was made, or given its present password.
pub fn unchanged_since(database: &Connection, id: AccountId) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT max(created_at, password_changed_at) AS since FROM accounts WHERE id = ?1";
    database.query_row(sql, params![id.as_bytes()], |row| time(row, "since")).optional()
}

/// How many accounts there are.
pub fn count(database: &Connection) -> rusqlite::Result<u64> {
    database.query_row("SELECT count(*) FROM accounts", [], |row| row.get(0))
}

/// How many seats are taken: accounts that are active.
pub fn count_seats(database: &Connection) -> rusqlite::Result<u64> {
    database.query_row("SELECT count(*) FROM accounts WHERE status = 'active'", [], |row| row.get(0))
}

/// Removes an account with its sessions; says whether there was one.
pub fn delete(write: &Write<'_>, id: AccountId) -> rusqlite::Result<bool> {
    Ok(write.sql().execute("DELETE FROM accounts WHERE id = ?1", params![id.as_bytes()])? > 0)
}

/// How many active accounts have this role.
pub fn count_active(database: &Connection, role: Role) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM accounts WHERE role = ?1 AND status = 'active'";
    database.query_row(sql, params![role.as_str()], |row| row.get(0))
}

/// Which password an account had when it was read; it is another one after every change.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialMark(Vec<u8>);

/// Whether an account still has the password that was read with `mark`.
pub fn still_has(database: &Connection, id: AccountId, mark: &CredentialMark) -> rusqlite::Result<bool> {
    let sql = "SELECT password_hash FROM accounts WHERE id = ?1";
    let sealed: Option<Vec<u8>> = database.query_row(sql, params![id.as_bytes()], |row| row.get(0)).optional()?;
    Ok(sealed.as_ref() == Some(&mark.0))
}

/// Account and opened password hash of a user name, for a sign-in.
pub fn credential(
    database: &Connection,
    keys: &WorkspaceKeys,
    name: &UserName,
) -> rusqlite::Result<Option<(StoredAccount, CredentialMark)>> {
    stored(database, keys, "user_name", name.as_str())
}

/// Account and opened password hash of an account.
pub fn credential_of(
    database: &Connection,
    keys: &WorkspaceKeys,
    id: AccountId,
) -> rusqlite::Result<Option<(StoredAccount, CredentialMark)>> {
    stored(database, keys, "id", *id.as_bytes())
}

fn stored(
    database: &Connection,
    keys: &WorkspaceKeys,
    column: &str,
    value: impl rusqlite::ToSql,
) -> rusqlite::Result<Option<(StoredAccount, CredentialMark)>> {
    let sql = format!("SELECT id, role, status, password_hash FROM accounts WHERE {column} = ?1");
    let read = |row: &Row<'_>| {
        let id = id(row, "id").map(AccountId::from_bytes)?;
        let sealed: Vec<u8> = row.get("password_hash")?;
        let opened = keys.open_field("accounts", "password_hash", id.as_bytes(), &sealed);
        let opened = opened.map_err(|_| BadColumn("password_hash"))?;
        let password_hash = String::from_utf8(opened.to_vec()).map_err(|_| BadColumn("password_hash"))?;
        let account = StoredAccount { id, role: role(row, "role")?, status: status(row)?, password_hash };
        Ok((account, CredentialMark(sealed)))
    };
    database.query_row(&sql, params![value], read).optional()
}

/// Adds an account, unless its name is taken or looks like one that is.
pub fn insert(write: &Write<'_>, account: &Account, password_hash: &str) -> rusqlite::Result<Result<(), NameTaken>> {
    let skeleton = account.user_name.skeleton();
    let taken: Option<String> = write
        .sql()
        .query_row("SELECT user_name FROM accounts WHERE skeleton = ?1", params![skeleton], |row| row.get(0))
        .optional()?;
    if let Some(taken) = taken {
        let same = taken == account.user_name.as_str();
        return Ok(Err(if same { NameTaken::Same } else { NameTaken::LooksAlike }));
    }
    let sealed = seal_hash(write, account.id, password_hash)?;
    write.sql().execute(
        "INSERT INTO accounts (id, user_name, skeleton, display_name, role, status, password_hash, password_changed_at, created_at,
             roles)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9)",
        params![
            account.id.as_bytes(),
            account.user_name.as_str(),
            skeleton,
            account.display_name.as_str(),
            account.role().as_str(),
            account.status.as_str(),
            sealed,
            account.created_at.as_millis(),
            account.roles.to_names(),
        ],
    )?;
    Ok(Ok(()))
}

fn seal_hash(write: &Write<'_>, id: AccountId, password_hash: &str) -> rusqlite::Result<Vec<u8>> {
    let sealed = write.keys().seal_field("accounts", "password_hash", id.as_bytes(), password_hash.as_bytes());
    sealed.map_err(|_| BadColumn("password_hash").into())
}

/// Keeps, for the person to see, that a used refresh token was presented again.
pub fn note_replay(write: &Write<'_>, id: AccountId, now: Timestamp) -> rusqlite::Result<()> {
    let sql = "UPDATE accounts SET replayed_at = ?2 WHERE id = ?1";
    write.sql().execute(sql, params![id.as_bytes(), now.as_millis()])?;
    Ok(())
}

/// Replaces the password hash.
pub fn set_password(write: &Write<'_>, id: AccountId, password_hash: &str, now: Timestamp) -> rusqlite::Result<()> {
    let sealed = seal_hash(write, id, password_hash)?;
    let sql = "UPDATE accounts SET password_hash = ?2, password_changed_at = ?3, replayed_at = NULL WHERE id = ?1";
    write.sql().execute(sql, params![id.as_bytes(), sealed, now.as_millis()])?;
    Ok(())
}

/// Switches an account or its voice on or off, changes its role or its display name.
pub fn update(write: &Write<'_>, account: &Account) -> rusqlite::Result<()> {
    let sql = "UPDATE accounts SET display_name = ?2, role = ?3, status = ?4, voice_off = ?5, by_hand = ?6, roles = ?7 WHERE id = ?1";
    let values = params![
        account.id.as_bytes(),
        account.display_name.as_str(),
        account.role().as_str(),
        account.status.as_str(),
        account.voice_off,
        account.by_hand.to_names(),
        account.roles.to_names()
    ];
    write.sql().execute(sql, values)?;
    Ok(())
}
