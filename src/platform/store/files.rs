// SPDX-License-Identifier: AGPL-3.0-or-later
//! The data directory: its layout, its permissions, and writing a file so that a crash leaves the old or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use zeroize::Zeroizing;

use crate::platform::entropy;
use crate::platform::store::error::StoreError;
use crate::values::id::WorkspaceId;
use crate::values::secret::Key256;

/// Key and other small files are never larger than this, in bytes.
const SMALL_FILE_MAX: u64 = 1 << 20;

/// Where everything lies.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
    master_key: PathBuf,
    /// The service manager keeps the master key sealed, and handed it over.
    master_key_handed_over: bool,
}

impl Layout {
    /// The layout below `root`; the master key may lie elsewhere.
    pub fn new(root: PathBuf, master_key: Option<PathBuf>) -> Self {
        let master_key = master_key.unwrap_or_else(|| root.join("master.key"));
        Self { root, master_key, master_key_handed_over: false }
    }

    /// The same, with the master key in a file that the service manager opened for this service alone.
    #[must_use]
    pub fn with_credential(self, master_key: PathBuf) -> Self {
        Self { master_key, master_key_handed_over: true, ..self }
    }

    /// The data directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The master key file.
    pub fn master_key(&self) -> &Path {
        &self.master_key
    }

    /// Whether it came from the service manager.
    pub const fn master_key_is_handed_over(&self) -> bool {
        self.master_key_handed_over
    }

    /// The bytes of the master key file.
    pub fn read_master_key(&self) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        if self.master_key_handed_over {
            // Its mode may show the mask of an access list that lets this service in, as one of a group would.
            let file = File::open(&self.master_key).map_err(StoreError::io(&self.master_key, "open"))?;
            return read_small(&self.master_key, file);
        }
        read_private(&self.master_key)
    }

    /// The directory of wrapped keys.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The wrapped keys of a workspace.
    pub fn key_file(&self, workspace: WorkspaceId) -> PathBuf {
        self.keys().join(format!("{workspace}.json"))
    }

    /// The database of a workspace.
    pub fn database(&self, workspace: WorkspaceId) -> PathBuf {
        if workspace == WorkspaceId::SYSTEM {
            self.root.join("system.db")
        } else {
            self.root.join("workspaces").join(workspace.to_string()).join("workspace.db")
        }
    }

    /// The master key, sealed to the recovery kit.
    pub fn recovery(&self) -> PathBuf {
        self.root.join("recovery.json")
    }

    /// Whether there is a database already.
    pub fn has_databases(&self) -> Result<bool, StoreError> {
        let workspaces = self.root.join("workspaces");
        let mut entries = fs::read_dir(&workspaces).map_err(StoreError::io(&workspaces, "list"))?;
        Ok(self.database(WorkspaceId::SYSTEM).exists() || entries.next().is_some())
    }

    /// Removes the directory of a workspace, if there is one.
    pub fn remove_workspace(&self, workspace: WorkspaceId) -> Result<(), StoreError> {
        let path = self.database(workspace);
        let directory = path.parent().unwrap_or(&path);
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::io(directory, "remove")(error))
            }
            _ => sync_directory(directory.parent().unwrap_or(directory)),
        }
    }

    /// `system.db` and the anchor as they were before a newer release migrated them, each with what it is a copy of.
    fn before(&self) -> [(PathBuf, PathBuf); 2] {
        let [database, anchor] = ["system.db.before", "anchor.before"].map(|name| self.root.join(name));
        [(database, self.database(WorkspaceId::SYSTEM)), (anchor, self.anchor())]
    }

    /// Keeps them, until the release that migrates them serves: whoever installs it can put them back.
    pub(super) fn keep_before(&self) -> Result<(), StoreError> {
        for (kept, original) in self.before() {
            remove(&kept)?;
            if original.exists() {
                let copy = fs::copy(&original, &kept).and_then(|_| File::open(&kept)?.sync_all());
                copy.map_err(StoreError::io(&kept, "copy to"))?;
            }
        }
        sync_directory(&self.root)
    }

    /// Removes them: this release serves.
    pub fn forget_before(&self) -> Result<(), StoreError> {
        self.before().iter().try_for_each(|(kept, _)| remove(kept))
    }

    /// The anchor file.
    pub fn anchor(&self) -> PathBuf {
        self.root.join("anchor")
    }

    /// Files and directories of it that others can reach, and those that cannot be looked at.
    pub fn exposed(&self) -> Vec<PathBuf> {
        let mut exposed = Vec::new();
        let mut waiting = vec![self.root.clone()];
        while let Some(path) = waiting.pop() {
            let Ok(metadata) = fs::symlink_metadata(&path) else {
                // It went meanwhile.
                continue;
            };
            if metadata.is_symlink() {
                // Everybody may read where it leads, and there its own mode counts.
                continue;
            }
            if metadata.mode() & 0o077 != 0 {
                exposed.push(path.clone());
            }
            if metadata.is_dir() {
                match fs::read_dir(&path) {
                    Ok(entries) => waiting.extend(entries.flatten().map(|entry| entry.path())),
                    Err(_) => exposed.push(path),
                }
            }
        }
        exposed
    }

    /// Makes missing directories (0700), refuses ones that others can enter, and locks the whole for this process.
    pub fn claim(&self) -> Result<DirectoryLock, StoreError> {
        for directory in [self.root.clone(), self.keys(), self.root.join("workspaces")] {
            make_private_directory(&directory)?;
        }
        let path = self.root.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(StoreError::io(&path, "open the lock file"))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| StoreError::InUse { path })?;
        Ok(DirectoryLock { _file: file })
    }
}

/// Held while this process uses the directory.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

/// Overwrites a file and removes it, if it is there.
pub fn destroy(path: &Path) -> Result<(), StoreError> {
    let mut file = match no_link().write(true).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(StoreError::io(path, "open"))?,
    };
    let length = file.metadata().map_err(StoreError::io(path, "look at"))?.len();
    let length = usize::try_from(length.min(SMALL_FILE_MAX)).unwrap_or(0);
    file.write_all(&vec![0; length]).and_then(|()| file.sync_all()).map_err(StoreError::io(path, "overwrite"))?;
    fs::remove_file(path).map_err(StoreError::io(path, "remove"))?;
    sync_directory(path.parent().unwrap_or(path))
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io(path, "remove")(error)),
        Ok(()) => sync_directory(path.parent().unwrap_or(path)),
    }
}

/// Makes `directory` with mode 0700, or checks that an existing one is as private.
pub fn make_private_directory(directory: &Path) -> Result<(), StoreError> {
    match fs::metadata(directory) {
        Ok(metadata) if !metadata.is_dir() => Err(StoreError::Malformed {
            path: directory.to_owned(),
            reason: "is not a directory: move it away or name another one".to_owned(),
        }),
        Ok(metadata) => refuse_exposed(directory, metadata.mode(), 0o700),
        Err(_) => {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(StoreError::io(directory, "make the directory"))?;
            sync_directory(directory.parent().unwrap_or(directory))
        }
    }
}

fn refuse_exposed(path: &Path, mode: u32, want: u32) -> Result<(), StoreError> {
    let mode = mode & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(StoreError::Exposed { path: path.to_owned(), mode, want }) }
}

/// Never through a link: root does some of this in a directory that belongs to the appliance's user, who could have
/// put one there.
fn no_link() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0));
    options
}

/// Reads a small private file; one that others can read is refused.
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    read_private_of(path, File::open(path).map_err(StoreError::io(path, "open"))?)
}

/// The same for root, in a directory that is not root's: a link is refused, and so is what is no file.
pub fn read_private_in_place(path: &Path) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let file = no_link().read(true).open(path).map_err(StoreError::io(path, "open"))?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(StoreError::Malformed { path: path.to_owned(), reason: "is no file".to_owned() });
    }
    read_private_of(path, file)
}

fn read_private_of(path: &Path, file: File) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let metadata = file.metadata().map_err(StoreError::io(path, "look at"))?;
    refuse_exposed(path, metadata.mode(), 0o600)?;
    read_small(path, file)
}

fn read_small(path: &Path, file: File) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let length = file.metadata().map_err(StoreError::io(path, "look at"))?.len();
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length.min(SMALL_FILE_MAX)).unwrap_or(0)));
    file.take(SMALL_FILE_MAX).read_to_end(&mut bytes).map_err(StoreError::io(path, "read"))?;
    Ok(bytes)
}

/// Replaces a file: after a crash there is the old one or the new one, whole and on disk.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let temporary = path.with_extension("new");
    // What a crash left; or a link that somebody put there, which is removed and not followed.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(StoreError::io(&temporary, "remove")(error));
        }
        _ => {}
    }
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(StoreError::io(&temporary, "make"))?;
    file.write_all(bytes).map_err(StoreError::io(&temporary, "write"))?;
    file.sync_all().map_err(StoreError::io(&temporary, "sync"))?;
    fs::rename(&temporary, path).map_err(StoreError::io(path, "replace"))?;
    sync_directory(path.parent().unwrap_or(Path::new("/")))
}

/// Gives a file that root wrote to whoever owns the directory, as the appliance does its data directory.
pub fn give_to_owner_of(directory: &Path, file: &Path) -> Result<(), StoreError> {
    let owner = fs::metadata(directory).map_err(StoreError::io(directory, "look at"))?;
    let now = fs::symlink_metadata(file).map_err(StoreError::io(file, "look at"))?;
    if (owner.uid(), owner.gid()) == (now.uid(), now.gid()) {
        return Ok(());
    }
    std::os::unix::fs::lchown(file, Some(owner.uid()), Some(owner.gid()))
        .map_err(StoreError::io(file, "give to the appliance's user"))
}

/// As much as a commit may need, in bytes.
const TRIED: usize = 256 << 10;

/// Whether the disk takes what is written: a file is made beside `path`, synced and removed. The error names `path`,
/// which is what cannot be written.
pub fn try_writing_beside(path: &Path) -> Result<(), StoreError> {
    let tried = path.with_file_name("tried.new");
    let write = || {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&tried)?;
        file.write_all(&vec![0; TRIED])?;
        file.sync_all()
    };
    let written = write();
    drop(fs::remove_file(&tried));
    written.map_err(StoreError::io(path, "write beside"))
}

/// Makes directory entries durable.
pub fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    File::open(directory).and_then(|file| file.sync_all()).map_err(StoreError::io(directory, "sync the directory"))
}

/// Reads the master key, or makes it when this is the first start (no keys wrapped yet).
pub fn master_key(layout: &Layout, first_start: bool) -> Result<Key256, StoreError> {
    let path = layout.master_key();
    if !path.exists() {
        if !first_start {
            return Err(StoreError::Malformed {
                path: path.to_owned(),
                reason: "is missing, and there are keys wrapped by it: put the master key back, or restore a backup with its recovery kit".to_owned(),
            });
        }
        let key = Key256::random(&mut entropy::system());
        write_private(path, key.expose())?;
        return Ok(key);
    }
    let bytes = layout.read_master_key()?;
    Key256::from_slice(&bytes).ok_or_else(|| StoreError::Malformed {
        path: path.to_owned(),
        reason: format!("has {} bytes, and a master key has 32: put the right file back", bytes.len()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_serves_one_appliance_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("data"), None);
        let held = layout.claim().unwrap();
        assert!(matches!(layout.claim(), Err(StoreError::InUse { .. })));
        drop(held);
        layout.claim().unwrap();
    }

    #[test]
    fn what_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("data"), None);
        layout.claim().unwrap();
        master_key(&layout, true).unwrap();
        fs::set_permissions(layout.master_key(), fs::Permissions::from_mode(0o640)).unwrap();
        let error = master_key(&layout, false).unwrap_err().to_string();
        assert!(error.contains("master.key") && error.contains("chmod 600"), "{error}");
        fs::set_permissions(layout.root(), fs::Permissions::from_mode(0o755)).unwrap();
        let error = layout.claim().unwrap_err().to_string();
        assert!(error.contains("mode 755") && error.contains("chmod 700"), "{error}");
    }

    #[test]
    fn a_link_in_the_place_of_a_file_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (theirs, ours) = (dir.path().join("theirs"), dir.path().join("ours.key"));
        fs::write(&theirs, b"somebody else's").unwrap();
        fs::set_permissions(&theirs, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&theirs, &ours).unwrap();
        assert!(read_private_in_place(&ours).is_err());
        assert!(destroy(&ours).is_err());
        std::os::unix::fs::symlink(&theirs, dir.path().join("ours.new")).unwrap();
        write_private(&ours, b"ours").unwrap();
        assert_eq!(fs::read(&theirs).unwrap(), b"somebody else's");
        assert_eq!(*read_private_in_place(&ours).unwrap(), b"ours");
        destroy(&ours).unwrap();
        assert!(!ours.exists() && theirs.exists());
    }

    #[test]
    fn a_lost_master_key_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("data"), None);
        layout.claim().unwrap();
        let error = master_key(&layout, false).unwrap_err().to_string();
        assert!(error.contains("is missing"), "{error}");
        assert!(!layout.master_key().exists());
    }
}
