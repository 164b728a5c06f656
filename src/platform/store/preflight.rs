// SPDX-License-Identifier: AGPL-3.0-or-later
//! Whether this release can serve a data directory, found out on copies while another release serves it.
//!
//! Nothing of the directory is changed but its own subdirectory `preflight`, which is gone at the end. One database at a
//! time is copied as it is between two transactions, opened, migrated and checked.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use rusqlite::OpenFlags;

use crate::platform::store::anchor::Anchor;
use crate::platform::store::database::{self, Check};
use crate::platform::store::error::{StoreError, from_sqlite};
use crate::platform::store::files::{self, Layout};
use crate::platform::store::keyring::Keyring;
use crate::values::id::WorkspaceId;
use crate::values::secret::Key256;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Databases that were opened and migrated.
    pub sound: usize,
    /// Workspaces that do not open, for any release: they keep to themselves and stop nobody.
    pub broken: Vec<(WorkspaceId, StoreError)>,
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Which one is looked at, from 1.
    pub at: usize,
    /// Of how many.
    pub of: usize,
}

/// Looks at every database of the directory. Nothing is found in a directory that no appliance has used.
///
/// # Errors
/// Why this release cannot serve it, by file and with the way out.
pub fn run(layout: &Layout, mut progress: impl FnMut(Progress)) -> Result<Found, StoreError> {
    let mut found = Found::default();
    if !layout.database(WorkspaceId::SYSTEM).exists() {
        return Ok(found);
    }
    let keyring = Keyring::load(layout.clone())?;
    let scratch = Scratch::make(layout)?;
    let mut workspaces = keyring.ids();
    workspaces.sort_unstable_by_key(|workspace| *workspace.as_bytes());
    let of = workspaces.len();
    for (at, workspace) in (1..).zip(workspaces) {
        progress(Progress { at, of });
        let looked = look(layout, &keyring, &scratch, workspace);
        match looked {
            Ok(()) => found.sound += 1,
            Err(error) if workspace != WorkspaceId::SYSTEM && is_of_the_file(&error) => {
                found.broken.push((workspace, error));
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(identity) = keyring.keys(WorkspaceId::SYSTEM).and_then(|keys| keys.identity()) {
        Anchor::load(layout.anchor(), identity.public())?;
    }
    Ok(found)
}

/// What is wrong with a file or its key whatever release looks at it.
const fn is_of_the_file(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Damaged { .. }
            | StoreError::LogDamaged { .. }
            | StoreError::WrongKey { .. }
            | StoreError::Foreign { .. }
            | StoreError::Sealed { .. }
            | StoreError::Malformed { .. }
    )
}

fn look(layout: &Layout, keyring: &Keyring, scratch: &Scratch, workspace: WorkspaceId) -> Result<(), StoreError> {
    let original = layout.database(workspace);
    let Some(keys) = keyring.keys(workspace) else {
        let reason = keyring.sealed(workspace).map_or_else(|| original.display().to_string(), ToString::to_string);
        return Err(StoreError::Sealed { reason });
    };
    let look_once = || {
        let copy = scratch.copy(&original, keys.file())?;
        let tried = || {
            let mut connection = database::open(&copy, keys.file(), workspace, Check::Everything)?;
            database::migrate(&mut connection, &copy, workspace)?;
            database::check_every_page(&connection, &copy)
        };
        // What is wrong with the copy is wrong with the original.
        tried().map_err(|error| error.at(&original))
    };
    // But where the log began anew while it was copied: then another copy holds.
    look_once().or_else(|error| match error {
        StoreError::Damaged { .. } | StoreError::LogDamaged { .. } => look_once(),
        error => Err(error),
    })
}

/// Where copies are made; removed in the end, whatever happens.
struct Scratch {
    directory: PathBuf,
}

impl Scratch {
    fn make(layout: &Layout) -> Result<Self, StoreError> {
        let directory = layout.root().join("preflight");
        // A run that was killed may have left one.
        remove(&directory)?;
        files::make_private_directory(&directory)?;
        Ok(Self { directory })
    }

    /// A copy of a database and its log that belong together, without anybody who writes having to wait. While somebody
    /// reads what is in the log, it is not begun anew: what is copied torn from the file, because it is moved there
    /// meanwhile, lies whole in the log, which is copied after it. Somebody who reads when all of it was moved does not
    /// keep it from being begun anew, and keeps the file as it is: then the file alone is whole.
    fn copy(&self, original: &Path, key: &Key256) -> Result<PathBuf, StoreError> {
        let copy = self.directory.join("copy.db");
        for left_behind in [copy.clone(), database::beside(&copy, "wal"), database::beside(&copy, "shm")] {
            files::remove(&left_behind)?;
        }
        let metadata = fs::metadata(original);
        if metadata.as_ref().map_or(true, |metadata| metadata.len() == 0) {
            let reason = "is missing or empty: restore it from a backup".to_owned();
            return Err(StoreError::Malformed { path: original.to_owned(), reason });
        }
        let sql = |error| from_sqlite(original, error);
        let log = database::beside(original, "wal");
        let had_log = log.exists();
        let connection = database::connect(original, key, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        if had_log {
            // Without one, SQLite removes the one it makes for looking.
            database::leave_log_alone(&connection).map_err(sql)?;
        }
        connection.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").map_err(sql)?;
        let copied_log = database::beside(&copy, "wal");
        let copied = || {
            let before = header(&log);
            fs::copy(original, &copy)?;
            if log.exists() {
                fs::copy(&log, &copied_log)?;
            }
            if copied_log.exists() && header(&log) != before {
                fs::remove_file(&copied_log)?;
            }
            Ok(())
        };
        let copied = copied();
        drop(connection);
        match copied {
            Ok(()) => Ok(copy),
            Err(error) => Err(StoreError::io(&copy, "copy to")(error)),
        }
    }
}

/// The first bytes of a log: another one each time it is begun anew.
fn header(log: &Path) -> Option<[u8; 32]> {
    let mut header = [0; 32];
    fs::File::open(log).and_then(|mut file| file.read_exact(&mut header)).ok().map(|()| header)
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next run removes what stays.
        drop(remove(&self.directory));
    }
}

fn remove(directory: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io(directory, "remove")(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::platform::store::workspace::Write;
    use crate::platform::store::{Limits, Store, settings};

    fn directory_with_workspaces(count: usize) -> (tempfile::TempDir, Layout, Vec<WorkspaceId>) {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().join("data"), None);
        let store = Store::open(layout.clone(), Limits { open_workspaces: 4 }).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let made = (0..count).map(|_| runtime.block_on(store.create_workspace()).unwrap().id()).collect();
        (directory, layout, made)
    }

    fn bytes_below(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut directories = vec![root.to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let is_index = path.extension().is_some_and(|extension| extension == "db-shm");
                match fs::read(&path) {
                    Ok(bytes) if !is_index => files.push((path, bytes)),
                    Ok(_) => {}
                    Err(_) => directories.push(path),
                }
            }
        }
        files.sort();
        files
    }

    #[test]
    fn a_sound_directory_passes_while_it_is_used_and_is_left_as_it_is() {
        let (_directory, layout, _) = directory_with_workspaces(2);
        let _serving = Store::open(layout.clone(), Limits { open_workspaces: 4 }).unwrap();
        let before = bytes_below(layout.root());
        let mut seen = Vec::new();
        let found = run(&layout, |progress| seen.push((progress.at, progress.of))).unwrap();
        assert_eq!((found.sound, found.broken.len()), (3, 0));
        assert_eq!(seen, [(1, 3), (2, 3), (3, 3)]);
        assert!(bytes_below(layout.root()) == before, "something was changed");
    }

    #[test]
    fn it_passes_while_others_write_and_they_do_not_wait() {
        let (_directory, layout, _) = directory_with_workspaces(1);
        let store = Store::open(layout.clone(), Limits { open_workspaces: 4 }).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (written, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let length = written.fetch_add(1, Ordering::Relaxed) * 997 % 20_000;
                    let put = move |write: &Write<'_>| settings::set(write, "filler", &"x".repeat(length));
                    runtime.block_on(store.system().write(put)).unwrap();
                }
            });
            // A slow disk takes fewer writes meanwhile.
            let passes = (1..=1_000).take_while(|pass| *pass <= 20 || written.load(Ordering::Relaxed) <= 20);
            let sound = passes.map(|_| run(&layout, |_| {}).map(|report| report.sound)).collect::<Result<Vec<_>, _>>();
            ended.store(true, Ordering::Relaxed);
            assert!(sound.unwrap().iter().all(|sound| *sound == 2));
            assert!(written.load(Ordering::Relaxed) > 20, "nobody wrote meanwhile");
        });
    }

    #[test]
    fn what_is_wrong_is_said_of_the_original() {
        let (_directory, layout, _) = directory_with_workspaces(0);
        let path = layout.database(WorkspaceId::SYSTEM);
        let keys = Keyring::load(layout.clone()).unwrap().keys(WorkspaceId::SYSTEM).unwrap();
        let connection = database::connect(&path, keys.file(), OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        connection.pragma_update(None, "user_version", 9_999).unwrap();
        drop(connection);
        let error = run(&layout, |_| {}).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: has schema 9999", path.display())), "{error}");
    }

    #[test]
    fn a_directory_that_nobody_used_passes() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().join("data"), None);
        assert_eq!(run(&layout, |_| {}).unwrap().sound, 0);
        assert!(!layout.root().exists());
    }

    #[test]
    fn a_broken_workspace_stops_nobody_and_a_broken_system_does() {
        let (_directory, layout, made) = directory_with_workspaces(2);
        let break_file = |path: &Path| {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(path, bytes).unwrap();
        };
        break_file(&layout.database(made[0]));
        let found = run(&layout, |_| {}).unwrap();
        assert_eq!((found.sound, found.broken.len(), found.broken[0].0), (2, 1, made[0]));
        break_file(&layout.database(WorkspaceId::SYSTEM));
        let error = run(&layout, |_| {}).unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
        assert!(!layout.root().join("preflight").exists());
    }
}
