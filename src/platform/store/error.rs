// SPDX-License-Identifier: AGPL-3.0-or-later
//! What can go wrong with files, each naming the file, the reason and the way out.

use std::io;
use std::path::{Path, PathBuf};

use crate::platform::store::{database, files};

/// A file or database did not do what was asked. Nothing was written, unless the variant says so.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An operating system call failed.
    #[error("{path}: cannot {action}: {source}", path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else can read what only the appliance may read.
    #[error(
        "{path}: is open to others (mode {mode:o}): make it private with `chmod {want:o} {path}`, and if others had access, treat its content as known",
        path = path.display()
    )]
    Exposed {
        /// Which file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they have to be.
        want: u32,
    },
    /// Another process uses the directory.
    #[error("{path}: another appliance is running on this data directory: stop it first, or choose another `data_dir`", path = path.display())]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// A file does not have the form it must have.
    #[error("{path}: {reason}", path = path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and the way out.
        reason: String,
    },
    /// A wrapped key does not open.
    #[error(
        "{path}: the {purpose} key does not unwrap: the master key is another one, or the file was changed or belongs to another workspace. Restore the file and the master key from the same backup",
        path = path.display()
    )]
    SealedKey {
        /// The key file.
        path: PathBuf,
        /// Which key.
        purpose: &'static str,
    },
    /// The keys of a workspace did not open when the appliance started.
    #[error("{reason}")]
    Sealed {
        /// Which file, what is wrong with it, and the way out.
        reason: String,
    },
    /// A database does not open with its key.
    #[error(
        "{path}: does not open with this workspace's key: it is the file of another workspace, or its beginning was changed. Restore it from a backup",
        path = path.display()
    )]
    WrongKey {
        /// The database.
        path: PathBuf,
    },
    /// A database opens, but says that it belongs to another workspace.
    #[error("{path}: belongs to workspace {found}, not to {expected}: put each file back in its own directory", path = path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
        /// Whose file it is.
        found: String,
        /// Whose it has to be.
        expected: String,
    },
    /// Pages are missing or do not authenticate.
    #[error("{path}: is damaged ({detail}): it was truncated or changed outside the appliance. Restore it from a backup", path = path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// What was acknowledged lies in a write-ahead log that does not hold.
    #[error(
        "{path}: is damaged ({detail}): it was changed outside the appliance, and acknowledged changes lie in it. Restore the database from a backup, and remove this log of it",
        path = path.display()
    )]
    LogDamaged {
        /// The log.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A newer release wrote it.
    #[error(
        "{path}: has schema {found}, and this release knows schemas up to {supported}: install the newer release again, or restore a backup made before the upgrade",
        path = path.display()
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest this release knows.
        supported: u32,
    },
    /// The file and the anchor do not belong together: somebody put an old copy of one of them back.
    #[error(
        "{path}: does not agree with the anchor, so one of them is an older copy (rolled-back): it opens read-only until an operator puts the right one back or confirms with `conclave workspace accept-rollback`",
        path = path.display()
    )]
    RolledBack {
        /// The database.
        path: PathBuf,
    },
    /// Too much waits to be written.
    #[error("{path}: too many writes are waiting", path = path.display())]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// There is no room left.
    #[error("{path}: the disk is full: free space, nothing that was acknowledged is lost", path = path.display())]
    DiskFull {
        /// The file that was to be written.
        path: PathBuf,
    },
    /// Nothing can be written.
    #[error(
        "{path}: the disk is read-only: the system log says why (a disk that fails is made so). Make it writable again, and restart the appliance if it was mounted anew; nothing that was acknowledged is lost",
        path = path.display()
    )]
    DiskReadOnly {
        /// The file that was to be written.
        path: PathBuf,
    },
    /// The disk or the file system failed.
    #[error("{path}: reading or writing failed: look at the disk and the system log, then restart the appliance", path = path.display())]
    DiskFailing {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// SQLite refused.
    #[error("{path}: {source}", path = path.display())]
    Sql {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// An I/O failure, for `map_err`.
    pub fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::DiskReadOnly { path },
            _ => Self::Io { path, action, source },
        }
    }

    /// Whether it is the disk that refuses, not the file that is ill.
    pub const fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::DiskReadOnly { .. } | Self::DiskFailing { .. })
    }

    /// The same of another file, of which this one is a copy.
    #[must_use]
    pub fn at(mut self, original: &Path) -> Self {
        match &mut self {
            Self::Sealed { .. } => {}
            Self::LogDamaged { path, .. } => *path = database::beside(original, "wal"),
            Self::Io { path, .. }
            | Self::Exposed { path, .. }
            | Self::InUse { path }
            | Self::Malformed { path, .. }
            | Self::SealedKey { path, .. }
            | Self::WrongKey { path }
            | Self::Foreign { path, .. }
            | Self::Damaged { path, .. }
            | Self::NewerSchema { path, .. }
            | Self::RolledBack { path }
            | Self::Busy { path }
            | Self::DiskFull { path }
            | Self::DiskReadOnly { path }
            | Self::DiskFailing { path, .. }
            | Self::Sql { path, .. } => original.clone_into(path),
        }
        self
    }

    /// Whether the connection that gave this must not be used again.
    pub const fn kills_connection(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. } | Self::LogDamaged { .. } | Self::WrongKey { .. } | Self::DiskFailing { .. }
        )
    }

    /// The state this puts a workspace in, as the API and the CLI name it.
    pub const fn state(&self) -> &'static str {
        match self {
            Self::SealedKey { .. } | Self::Sealed { .. } => "sealed",
            Self::WrongKey { .. } | Self::Foreign { .. } => "swapped",
            Self::Damaged { .. } | Self::LogDamaged { .. } => "damaged",
            Self::NewerSchema { .. } => "newer-schema",
            Self::RolledBack { .. } => "rolled-back",
            Self::Io { .. } | Self::Malformed { .. } | Self::Exposed { .. } => "unreadable",
            Self::InUse { .. } | Self::Busy { .. } | Self::Sql { .. } => "failing",
            Self::DiskFull { .. } => "disk-full",
            Self::DiskReadOnly { .. } => "disk-read-only",
            Self::DiskFailing { .. } => "disk-failing",
        }
    }
}

/// Turns what SQLite says into what an operator can act on.
pub fn from_sqlite(path: &Path, source: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{CannotOpen, DatabaseCorrupt, DiskFull, NotADatabase, ReadOnly, SystemIoFailure};
    let path = path.to_owned();
    let source = match source {
        // A file that was written in the transaction says itself what is wrong.
        rusqlite::Error::ToSqlConversionFailure(inner) => match inner.downcast::<StoreError>() {
            Ok(error) => return *error,
            Err(inner) => rusqlite::Error::ToSqlConversionFailure(inner),
        },
        source => source,
    };
    let rusqlite::Error::SqliteFailure(failure, detail) = &source else { return StoreError::Sql { path, source } };
    match failure.code {
        NotADatabase => StoreError::WrongKey { path },
        DatabaseCorrupt => StoreError::Damaged { path, detail: detail.clone().unwrap_or_else(|| failure.to_string()) },
        DiskFull => StoreError::DiskFull { path },
        // SQLite has one word for every disk that does not write, so the disk is asked.
        SystemIoFailure | CannotOpen | ReadOnly => match files::try_writing_beside(&path) {
            Err(error) if error.is_of_the_disk() => error,
            _ if failure.code == SystemIoFailure => StoreError::DiskFailing { path, source },
            _ => StoreError::Sql { path, source },
        },
        _ => StoreError::Sql { path, source },
    }
}
