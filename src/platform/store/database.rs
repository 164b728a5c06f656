// SPDX-License-Identifier: AGPL-3.0-or-later
//! One SQLCipher file: opening it without changing a byte that does not belong to us, and migrating its schema.
//!
//! Before a file is trusted, its key, owner, schema and every page's authentication are checked; until all hold
//! nothing is written, not even a checkpoint.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use crate::platform::store::error::{StoreError, from_sqlite};
use crate::platform::store::{files, log};
use crate::values::id::WorkspaceId;
use crate::values::secret::Key256;

/// SQLCipher's page size, in bytes (its default, so the stock tool opens the file).
pub(super) const PAGE: u64 = 4_096;

/// How long a connection waits for another one's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

struct Migration {
    sql: &'static str,
    system_only: bool,
}

/// Every migration in order; `user_version` is how many a file has had.
const MIGRATIONS: &[Migration] = &[
    Migration { sql: include_str!("migrations/0001_workspace.sql"), system_only: false },
    Migration { sql: include_str!("migrations/0002_system.sql"), system_only: true },
    Migration { sql: include_str!("migrations/0003_rooms.sql"), system_only: false },
    Migration { sql: include_str!("migrations/0004_by_hand.sql"), system_only: false },
    Migration { sql: include_str!("migrations/0005_life.sql"), system_only: true },
    Migration { sql: include_str!("migrations/0006_claim.sql"), system_only: true },
    Migration { sql: include_str!("migrations/0007_policy.sql"), system_only: false },
    Migration { sql: include_str!("migrations/0008_api_tokens.sql"), system_only: true },
];

/// The newest schema this release knows.
pub fn supported_schema() -> u32 {
    u32::try_from(MIGRATIONS.len() + usize::from(faults::migration().is_some())).unwrap_or(u32::MAX)
}

/// Whether a file of an older release is about to be migrated.
pub(super) fn is_of_older_release(connection: &Connection) -> rusqlite::Result<bool> {
    Ok((1..supported_schema()).contains(&schema_version(connection)?))
}

/// Moves the log into the file, so that the file alone is whole.
pub(super) fn fold_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// How much of an existing file is checked before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Key, owner, schema, length, and the authentication of every page.
    Everything,
    /// Key, owner and schema: for further connections to a file that was checked.
    Ownership,
}

/// Opens a connection to an existing file and checks it. Writes nothing.
pub fn open(path: &Path, key: &Key256, workspace: WorkspaceId, check: Check) -> Result<Connection, StoreError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let reason = "is missing: restore it from a backup".to_owned();
            return Err(StoreError::Malformed { path: path.to_owned(), reason });
        }
        Err(error) => return Err(StoreError::io(path, "look at")(error)),
        // SQLite takes an empty file for a new database, whatever the key.
        Ok(metadata) if metadata.len() == 0 => {
            return Err(StoreError::Damaged { path: path.to_owned(), detail: "0 bytes".to_owned() });
        }
        Ok(_) => {}
    }
    let had_log = beside(path, "wal").exists();
    let opened = open_existing(path, key, workspace, check);
    if opened.is_err() && !had_log {
        // SQLite made them for looking inside; they hold nothing, and a refused file is left as it was.
        for empty in [beside(path, "wal"), beside(path, "shm")] {
            drop(fs::remove_file(empty));
        }
    }
    opened
}

/// The file that SQLite keeps beside a database: its write-ahead log (`wal`) or the log's index (`shm`).
pub(super) fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-");
    name.push(what);
    name.into()
}

fn open_existing(path: &Path, key: &Key256, workspace: WorkspaceId, check: Check) -> Result<Connection, StoreError> {
    let connection = connect(path, key, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let sql = |error| from_sqlite(path, error);
    // Not before the file is known to be sound.
    leave_log_alone(&connection).map_err(sql)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(sql)?;

    let found = schema_version(&connection).map_err(sql)?;
    if found > supported_schema() {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found, supported: supported_schema() });
    }
    let owner: String =
        connection.query_row("SELECT value FROM meta WHERE key = 'workspace'", [], |row| row.get(0)).map_err(sql)?;
    if owner != workspace.to_string() {
        return Err(StoreError::Foreign { path: path.to_owned(), found: owner, expected: workspace.to_string() });
    }
    if check == Check::Everything {
        // Nobody commits while the log is looked at.
        connection.execute_batch("BEGIN IMMEDIATE").map_err(sql)?;
        let held = log::check(&beside(path, "wal"));
        connection.execute_batch("ROLLBACK").map_err(sql)?;
        held?;
        if let Err(damage) = check_every_page(&connection, path)
            && !recovers(path, key)
        {
            return Err(damage);
        }
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(sql)?;
    Ok(connection)
}

/// Closing the last connection would move the log into the file.
pub(super) fn leave_log_alone(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(drop)
}

/// Makes a new file for `workspace`, with its schema, durably. Under its name it appears whole or not at all, so a
/// file without a schema is never one that a crash left behind.
pub fn create(path: &Path, key: &Key256, workspace: WorkspaceId) -> Result<Connection, StoreError> {
    let unfinished = path.with_extension("new");
    for left_behind in [unfinished.clone(), beside(&unfinished, "wal"), beside(&unfinished, "shm")] {
        match fs::remove_file(&left_behind) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io(&left_behind, "remove")(error));
            }
            _ => {}
        }
    }
    // The last connection to close moves the log into the file and removes it.
    drop(create_unfinished(&unfinished, key, workspace)?);
    fs::File::open(&unfinished).and_then(|file| file.sync_all()).map_err(StoreError::io(&unfinished, "sync"))?;
    fs::rename(&unfinished, path).map_err(StoreError::io(path, "put in place"))?;
    files::sync_directory(path.parent().unwrap_or(path))?;
    connect(path, key, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

fn create_unfinished(path: &Path, key: &Key256, workspace: WorkspaceId) -> Result<Connection, StoreError> {
    let mut connection = connect(path, key, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(|error| from_sqlite(path, error))?;
    if mode != "wal" {
        return Err(StoreError::Malformed {
            path: path.to_owned(),
            reason: format!("cannot keep a write-ahead log (journal mode {mode}): use a local file system"),
        });
    }
    migrate(&mut connection, path, workspace)?;
    Ok(connection)
}

/// Brings the schema up to date, one transaction a migration.
pub fn migrate(connection: &mut Connection, path: &Path, workspace: WorkspaceId) -> Result<(), StoreError> {
    let sql = |error| from_sqlite(path, error);
    let done = schema_version(connection).map_err(sql)?;
    for (version, migration) in
        (1..).zip(MIGRATIONS.iter().chain(faults::migration())).filter(|(version, _)| *version > done)
    {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
        if !migration.system_only || workspace == WorkspaceId::SYSTEM {
            transaction.execute_batch(migration.sql).map_err(sql)?;
        }
        if version == 1 {
            let id = workspace.to_string();
            transaction.execute("INSERT INTO meta (key, value) VALUES ('workspace', ?1)", params![id]).map_err(sql)?;
        }
        transaction.pragma_update(None, "user_version", version).map_err(sql)?;
        transaction.commit().map_err(sql)?;
    }
    Ok(())
}

/// One more migration, for the tests of upgrades. None in a shipped binary.
#[cfg(feature = "test-hooks")]
pub mod faults {
    use std::sync::OnceLock;

    static MORE: OnceLock<super::Migration> = OnceLock::new();

    /// From now on there is one that fails.
    pub fn inject_bad_migration() {
        inject("UPDATE a_table_that_is_not_there SET a = 1;");
    }

    /// From now on there is one that does not.
    pub fn inject_good_migration() {
        inject("CREATE TABLE of_a_newer_release (a INTEGER) STRICT;");
    }

    fn inject(sql: &'static str) {
        // The first one stays.
        drop(MORE.set(super::Migration { sql, system_only: false }));
    }

    pub(super) fn migration() -> Option<&'static super::Migration> {
        MORE.get()
    }
}

#[cfg(not(feature = "test-hooks"))]
mod faults {
    pub(super) const fn migration() -> Option<&'static super::Migration> {
        None
    }
}

fn schema_version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

pub(super) fn connect(path: &Path, key: &Key256, flags: OpenFlags) -> Result<Connection, StoreError> {
    let sql = |error| from_sqlite(path, error);
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    // Without this SQLCipher writes its own remarks to standard error.
    connection.pragma_update(None, "cipher_log_level", "NONE").map_err(sql)?;
    let raw_key = zeroize::Zeroizing::new(format!("x'{}'", *zeroize::Zeroizing::new(hex::encode(key.expose()))));
    connection.pragma_update(None, "key", raw_key.as_str()).map_err(sql)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sql)?;
    for (pragma, value) in [
        ("synchronous", "FULL"),
        ("foreign_keys", "ON"),
        ("temp_store", "MEMORY"),
        ("trusted_schema", "OFF"),
        ("secure_delete", "ON"),
    ] {
        connection.pragma_update(None, pragma, value).map_err(sql)?;
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(sql)?;
    Ok(connection)
}

/// Whether a file that does not check by itself does with its write-ahead log: after a power cut in the middle of a
/// checkpoint a torn page still lies whole in the log. Tried on a copy, so that nothing is written to the original.
fn recovers(path: &Path, key: &Key256) -> bool {
    let log = beside(path, "wal");
    if !fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return false;
    }
    let copy = path.with_extension("check");
    let copies = [copy.clone(), beside(&copy, "wal"), beside(&copy, "shm")];
    let checked = || -> Result<(), StoreError> {
        fs::copy(path, &copy).map_err(StoreError::io(&copy, "copy to"))?;
        fs::copy(&log, beside(&copy, "wal")).map_err(StoreError::io(&copy, "copy to"))?;
        let connection = connect(&copy, key, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let checkpoint = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        checkpoint.map_err(|error| from_sqlite(&copy, error))?;
        check_every_page(&connection, &copy)
    };
    let recovered = checked().is_ok();
    for copy in copies {
        drop(fs::remove_file(copy));
    }
    recovered
}

/// Verifies the authentication of every page, and that none is missing at the end.
pub(super) fn check_every_page(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let damaged = |detail: String| StoreError::Damaged { path: path.to_owned(), detail };
    let length = fs::metadata(path).map_err(StoreError::io(path, "look at"))?.len();
    if length % PAGE != 0 {
        return Err(damaged(format!("{length} bytes are not whole pages of {PAGE}")));
    }
    let sql = |error| from_sqlite(path, error);
    let mut statement = connection.prepare("PRAGMA cipher_integrity_check").map_err(sql)?;
    let mut rows = statement.query([]).map_err(sql)?;
    if let Some(row) = rows.next().map_err(sql)? {
        return Err(damaged(row.get(0).map_err(sql)?));
    }
    drop(rows);
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(sql)?;
    if verdict == "ok" { Ok(()) } else { Err(damaged(verdict)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::claim::Claim;
    use crate::platform::entropy;
    use crate::platform::store::{claim, settings};
    use crate::values::time::Timestamp;

    const W: WorkspaceId = WorkspaceId::from_bytes([1; 16]);

    fn fresh() -> (tempfile::TempDir, std::path::PathBuf, Key256) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("workspace.db");
        let key = Key256::random(&mut entropy::system());
        let connection = create(&path, &key, W).unwrap();
        for n in 0..200_u32 {
            let row = params![format!("filler {n}"), "x".repeat(500)];
            connection.execute("INSERT INTO meta (key, value) VALUES (?1, ?2)", row).unwrap();
        }
        drop(connection);
        (dir, path, key)
    }

    /// Opening must fail with `expected` in the message, name the file, and leave every byte as it was.
    fn refused(path: &Path, key: &Key256, workspace: WorkspaceId, expected: &str) {
        let before = fs::read(path).unwrap();
        let error = open(path, key, workspace, Check::Everything).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("workspace.db"), "{error}");
        assert!(fs::read(path).unwrap() == before, "the file was changed");
    }

    #[test]
    fn a_sound_file_opens_and_does_not_look_like_sqlite() {
        let (_dir, path, key) = fresh();
        open(&path, &key, W, Check::Everything).unwrap();
        assert!(!fs::read(&path).unwrap().starts_with(b"SQLite format 3\0"));
    }

    #[test]
    fn the_key_of_another_workspace_does_not_open_it() {
        let (_dir, path, _) = fresh();
        refused(&path, &Key256::new([9; 32]), W, "does not open with this workspace's key");
    }

    #[test]
    fn a_file_of_another_workspace_under_the_same_key_is_foreign() {
        let (_dir, path, key) = fresh();
        refused(&path, &key, WorkspaceId::from_bytes([2; 16]), "belongs to workspace");
    }

    #[test]
    fn a_truncated_file_is_damaged() {
        for keep in [-1_i64, -4_096, -20_480] {
            let (_dir, path, key) = fresh();
            let length = i64::try_from(fs::metadata(&path).unwrap().len()).unwrap();
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.set_len(u64::try_from(length + keep).unwrap()).unwrap();
            refused(&path, &key, W, "is damaged");
        }
    }

    #[test]
    fn one_flipped_bit_anywhere_is_found() {
        let (_dir, path, key) = fresh();
        let whole = fs::read(&path).unwrap();
        for position in (0..whole.len()).step_by(1_999) {
            let mut changed = whole.clone();
            changed[position] ^= 0x10;
            fs::write(&path, &changed).unwrap();
            let expected = if position < 4_096 { "does not open" } else { "is damaged" };
            refused(&path, &key, W, expected);
        }
    }

    #[test]
    fn a_page_torn_in_a_checkpoint_is_recovered_from_the_log_and_one_without_a_log_is_not() {
        let (dir, path, key) = fresh();
        let connection = open(&path, &key, W, Check::Everything).unwrap();
        connection.execute("UPDATE meta SET value = replace(value, 'x', 'y') WHERE key LIKE 'filler%'", []).unwrap();
        // As a crash leaves them: the log whole, and one of its pages torn in the file.
        let crashed = dir.path().join("crashed.db");
        fs::copy(beside(&path, "wal"), beside(&crashed, "wal")).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 4_096;
        bytes[last..].fill(0);
        fs::write(&crashed, &bytes).unwrap();
        drop(connection);

        let recovered = open(&crashed, &key, W, Check::Everything).unwrap();
        let changed = "SELECT count(*) FROM meta WHERE value LIKE '%yyy%'";
        assert_eq!(recovered.query_row(changed, [], |row| row.get::<_, u32>(0)).unwrap(), 200);
        drop(recovered);
        assert!(!dir.path().join("crashed.check").exists());

        let torn = dir.path().join("torn.db");
        fs::write(&torn, &bytes).unwrap();
        let error = open(&torn, &key, W, Check::Everything).unwrap_err().to_string();
        assert!(error.contains("is damaged"), "{error}");
    }

    #[test]
    fn damage_that_appears_while_a_file_is_open_is_damage() {
        let (_dir, path, key) = fresh();
        let connection = open(&path, &key, W, Check::Ownership).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 2_000;
        bytes[last] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let read = connection.query_row("SELECT sum(length(value)) FROM meta", [], |row| row.get::<_, i64>(0));
        let error = from_sqlite(&path, read.unwrap_err());
        assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    }

    #[test]
    fn an_appliance_that_was_claimed_before_there_was_a_table_for_it_stays_claimed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, key) = (dir.path().join("system.db"), Key256::random(&mut entropy::system()));
        let connection = create(&path, &key, WorkspaceId::SYSTEM).unwrap();
        assert!(!claim::is_claimed(&connection).unwrap());
        connection
            .execute_batch(
                "DROP TABLE claim; DROP TABLE one_time_links;
                 INSERT INTO settings (key, value) VALUES ('claimed_at', '2026-11-23T16:30:00.125Z')",
            )
            .unwrap();
        let migration = MIGRATIONS.iter().find(|migration| migration.sql.contains("CREATE TABLE claim")).unwrap();
        connection.execute_batch(migration.sql).unwrap();
        let at = Timestamp::from_millis(1_795_451_400_125);
        assert_eq!(claim::load(&connection).unwrap(), Claim::Claimed { at });
        assert_eq!(settings::get(&connection, "claimed_at").unwrap(), None);
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let (_dir, path, key) = fresh();
        let connection = connect(&path, &key, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        connection.pragma_update(None, "user_version", supported_schema() + 1).unwrap();
        drop(connection);
        refused(&path, &key, W, "install the newer release again");
    }
}
