// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the configured paths lead to, looked at before anything is made or bound. Makes and changes nothing.
//!
//! The store checks again what it opens; here it is said in the words of the configuration.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::config::{Config, ConfigError, SEALED_MASTER_KEY, value};
use crate::platform::store::error::StoreError;
use crate::platform::store::files::Layout;

/// Bytes of a master key (docs/files.md).
pub const MASTER_KEY_LEN: usize = 32;

/// Refuses paths that an appliance cannot or must not use.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    check_data_dir(config.layout.root())?;
    check_master_key(&config.layout)?;
    check_admin_socket(&config.admin_socket)
}

fn metadata(key: &'static str, path: &Path) -> Result<Option<fs::Metadata>, ConfigError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(value(
            key,
            path.display(),
            &format!(
                "cannot be looked at ({error}): name another one, or run this as root or the appliance's own user"
            ),
        )),
    }
}

fn check_data_dir(root: &Path) -> Result<(), ConfigError> {
    let Some(metadata) = metadata("data_dir", root)? else { return Ok(()) };
    let mode = metadata.mode() & 0o777;
    if !metadata.is_dir() {
        return Err(value("data_dir", root.display(), "is not a directory: move it away or name another one"));
    }
    if mode & 0o077 != 0 {
        let root = root.display();
        let reason = format!("is open to others (mode {mode:o}): make it private with `chmod 700 {root}`");
        return Err(value("data_dir", root, &reason));
    }
    Ok(())
}

fn check_master_key(layout: &Layout) -> Result<(), ConfigError> {
    const KEY: &str = "master_key_file";
    let path = layout.master_key();
    let refuse = |reason: &str| Err(value(KEY, path.display(), reason));
    let Some(metadata) = metadata(KEY, path)? else {
        if Path::new(SEALED_MASTER_KEY).exists() {
            return refuse(
                "is not here, because it is sealed: systemd hands it to the units alone, so let them do this (`systemctl start conclave.service`, `systemctl start conclave-preflight@VERSION.service`)",
            );
        }
        // On a first start it is made.
        let wrapped = fs::read_dir(layout.keys()).is_ok_and(|mut entries| entries.next().is_some());
        return if wrapped {
            refuse("is missing, and there are keys wrapped by it: put the master key back, or name the file it is in")
        } else {
            Ok(())
        };
    };
    if !metadata.is_file() {
        return refuse("is not a file: put the master key there, or name the file it is in");
    }
    match layout.read_master_key() {
        Ok(bytes) if bytes.len() == MASTER_KEY_LEN => Ok(()),
        Ok(bytes) => refuse(&format!(
            "has {} bytes, and a master key has {MASTER_KEY_LEN}: put the right file back",
            bytes.len()
        )),
        Err(StoreError::Exposed { mode, want, .. }) => refuse(&format!(
            "is open to others (mode {mode:o}): make it private with `chmod {want:o} {}`, and if others had access, treat the key as known",
            path.display()
        )),
        Err(error) => refuse(&format!(
            "cannot be read ({error}): make it readable for the appliance's user, or name another file"
        )),
    }
}

fn check_admin_socket(path: &Path) -> Result<(), ConfigError> {
    match metadata("admin.socket", path)? {
        Some(metadata) if !metadata.file_type().is_socket() => {
            Err(value("admin.socket", path.display(), "is there and is no socket: move it away or name another path"))
        }
        _ => Ok(()),
    }
}
