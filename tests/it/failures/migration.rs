// SPDX-License-Identifier: AGPL-3.0-or-later
//! Killed in an upgrade: while files are migrated, and while they are looked at as copies.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use conclave::values::id::WorkspaceId;
use tempfile::TempDir;

use super::{chains_hold, database, rounds, write};
use crate::files::{NOTHING, changed, copy_tree, snapshot};
use crate::harness::http::Connection;
use crate::harness::{Appliance, BINARY, Random, files_below};

const WORKSPACES: usize = 24;
/// The newest schema, and the one that files are taken back to.
const NEW: u32 = 8;
const OLD: u32 = 6;
/// What the migrations after `OLD` made, undone: in `system.db` alone, and in every file.
const UNDO_SYSTEM: &str = "DROP TABLE api_tokens;";
const UNDO: &str = "DROP TABLE policy; DROP TABLE agreements; DROP TABLE approvals;
    ALTER TABLE accounts DROP COLUMN roles; ALTER TABLE accounts DROP COLUMN replayed_at;
    ALTER TABLE sessions DROP COLUMN persistent; ALTER TABLE sessions DROP COLUMN idle_millis;
    ALTER TABLE sessions DROP COLUMN absolute_millis;
    PRAGMA user_version = 6;";

/// Every database below a data directory, with the id of its workspace.
fn databases(data: &Path) -> Vec<(PathBuf, String)> {
    let mut found = vec![(data.join("system.db"), WorkspaceId::SYSTEM.to_string())];
    for path in files_below(&data.join("workspaces"), "workspace.db") {
        let id = path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        found.push((path, id));
    }
    found
}

/// What there is in a file but not how it is written: SQLite spaces a column that came back in its own way.
fn schema(database: &rusqlite::Connection) -> Vec<String> {
    let mut statement = database.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    rows.map(|sql| sql.unwrap().split_whitespace().collect()).collect()
}

fn version(database: &rusqlite::Connection) -> u32 {
    database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

/// A stopped appliance with many workspaces, as a release before left it; and its data kept beside.
struct Older {
    appliance: Appliance,
    kept: PathBuf,
    schemas: BTreeMap<bool, Vec<String>>,
}

impl Older {
    fn make() -> Self {
        let mut appliance = Appliance::claimed();
        for n in 1..WORKSPACES {
            appliance.workspace(&format!("w{n}"));
        }
        let (socket, data) = (appliance.admin_socket(), appliance.data_dir());
        for (_, id) in databases(&data) {
            super::id_of(&write(&socket, &id, "ada"));
        }
        appliance.tick();
        appliance.stop_well();
        let mut schemas = BTreeMap::new();
        for (path, id) in databases(&data) {
            let database = database(&data, &path, &id);
            assert_eq!(version(&database), NEW, "there is a newer migration: say above how to undo it");
            let is_system = id == WorkspaceId::SYSTEM.to_string();
            schemas.insert(is_system, schema(&database));
            database.execute_batch(if is_system { UNDO_SYSTEM } else { "" }).unwrap();
            database.execute_batch(UNDO).unwrap();
            assert_eq!(version(&database), OLD);
            assert_ne!(schemas[&is_system], schema(&database));
        }
        let kept = appliance.dir.path().join("kept");
        copy_tree(&data, &kept);
        Self { appliance, kept, schemas }
    }

    /// How it was before the upgrade.
    fn put_back(&self) {
        fs::remove_dir_all(self.appliance.data_dir()).unwrap();
        copy_tree(&self.kept, &self.appliance.data_dir());
    }

    /// How many files have the old schema, another, the newest. Looked at in a copy: looking moves a log into its file.
    fn versions(&self) -> [usize; 3] {
        let copy = TempDir::new().unwrap();
        let data = copy.path().join("data");
        copy_tree(&self.appliance.data_dir(), &data);
        let mut counts = [0; 3];
        for (path, id) in databases(&data) {
            match version(&database(&data, &path, &id)) {
                OLD => counts[0] += 1,
                NEW => counts[2] += 1,
                _ => counts[1] += 1,
            }
        }
        counts
    }

    /// Starts it, has every file opened, and kills it after `alive_for`.
    fn kill_in_the_upgrade(&self, alive_for: Duration) {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let opened = Connection::try_unix(&self.appliance.admin_socket())
                        .ok()
                        .and_then(|mut connection| connection.exchange("GET", "/api/v1/system/doctor", None));
                    if opened.is_none() {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                }
            });
            self.appliance.start_and_kill(alive_for);
            over.store(true, Ordering::Relaxed);
        });
    }

    /// Everything is at the newest schema, as if nothing had happened.
    fn is_whole(&mut self, when: &str) {
        chains_hold(&self.appliance);
        self.appliance.stop_well();
        let data = self.appliance.data_dir();
        let all = databases(&data);
        assert_eq!(all.len(), WORKSPACES + 1, "{when}");
        for (path, id) in all {
            let database = database(&data, &path, &id);
            assert_eq!(version(&database), NEW, "{when}: {}", path.display());
            let is_system = id == WorkspaceId::SYSTEM.to_string();
            assert_eq!(schema(&database), self.schemas[&is_system], "{when}: {}", path.display());
            let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
            assert_eq!(count("SELECT count(*) FROM accounts WHERE user_name = 'ada' AND roles = role"), 1, "{when}");
            assert_eq!(count("SELECT count(*) FROM policy"), 1, "{when}: migrated once");
        }
    }
}

#[test]
fn an_upgrade_that_is_killed_goes_on_at_the_next_start() {
    let mut random = Random::seeded("kill -9 in an upgrade");
    let mut older = Older::make();
    // How long it takes when nobody kills it, so that the drawn moments lie in it.
    let began = Instant::now();
    older.appliance.restart();
    chains_hold(&older.appliance);
    let whole = u64::try_from(began.elapsed().as_micros()).unwrap();
    older.is_whole("nobody killed it");

    let mut in_the_middle = 0;
    for round in 0..40 {
        if round >= rounds(3, 6) && in_the_middle > 0 {
            break;
        }
        older.put_back();
        let mut kills = Vec::new();
        for _ in 0..2 {
            let alive_for = Duration::from_micros(random.below(whole));
            older.kill_in_the_upgrade(alive_for);
            let versions = older.versions();
            in_the_middle += u32::from(versions != [WORKSPACES + 1, 0, 0] && versions != [0, 0, WORKSPACES + 1]);
            kills.push((alive_for, versions));
        }
        older.appliance.restart();
        older.is_whole(&format!("round {round}, killed at {kills:?}"));
    }
    eprintln!("{in_the_middle} kills left some files migrated and some not");
    assert!(in_the_middle > 0, "no kill came in the middle of the upgrade: the rounds tried nothing");
}

#[test]
fn a_preflight_that_is_killed_has_changed_nothing_and_the_next_one_passes() {
    let mut random = Random::seeded("kill -9 in a preflight");
    let mut older = Older::make();
    let data = older.appliance.data_dir();
    let config = older.appliance.dir.path().join("conclave.toml");
    fs::write(&config, format!("data_dir = {data:?}\n")).unwrap();
    let mut preflight = Command::new(BINARY);
    preflight.arg("--config").arg(&config).arg("preflight").stdin(Stdio::null()).stderr(Stdio::null());
    preflight.stdout(Stdio::null());
    let passes = |preflight: &mut Command| {
        assert!(preflight.status().unwrap().success());
        assert!(!data.join("preflight").exists(), "copies stay behind");
    };
    // But the copies, and the empty log and index of who only looks inside.
    let originals = || {
        let mut files = snapshot(&data);
        files.retain(|path, bytes| {
            let name = path.to_string_lossy();
            let is_for_looking = name.ends_with("-shm") || (name.ends_with("-wal") && bytes.is_empty());
            !is_for_looking && !path.starts_with(data.join("preflight"))
        });
        files
    };
    let before = originals();
    let began = Instant::now();
    passes(&mut preflight);
    let whole = u64::try_from(began.elapsed().as_micros()).unwrap();

    let mut left = 0;
    for _ in 0..rounds(6, 12) {
        let mut child = preflight.spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.below(whole)));
        child.kill().unwrap();
        child.wait().unwrap();
        left += u32::from(data.join("preflight").exists());
        assert_eq!(changed(&before, &originals()), NOTHING);
    }
    assert!(left > 0, "no kill left copies behind: the rounds tried nothing");
    passes(&mut preflight);
    assert_eq!(changed(&before, &originals()), NOTHING);
    older.appliance.restart();
    older.is_whole("after preflights");
}
