// SPDX-License-Identifier: AGPL-3.0-or-later
//! What is done to the host and not by the appliance: units of systemd, credentials. Needs root.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::cli::exit::Failure;
use crate::platform::sys;

pub mod doctor;
pub mod key;
pub mod network;

/// Where an administrator's own parts of units are.
const UNITS: &str = "/etc/systemd/system";

/// Refuses anybody but root.
fn require_root() -> Result<(), Failure> {
    if sys::own_uid() == 0 { Ok(()) } else { Err(Failure::NotRoot) }
}

/// Runs a program of the system and gives what it printed.
pub(super) fn output_of(command: &mut Command) -> Result<Vec<u8>, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |reason: String| Failure::Program { name: name.clone(), reason };
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
    if status.success() {
        return Ok(stdout);
    }
    Err(failed(format!("{status}: {}", String::from_utf8_lossy(&stderr).trim())))
}

/// The administrator's own part of a unit.
fn drop_in(unit: &str, name: &str) -> PathBuf {
    Path::new(UNITS).join(format!("{unit}.d")).join(name)
}

/// Writes one, or removes it.
fn put_drop_in(path: &Path, text: Option<&str>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::File(path.display().to_string(), error);
    let Some(text) = text else {
        return match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            _ => {
                // Others may have parts of their own there.
                if path.parent().is_some_and(|directory| std::fs::remove_dir(directory).is_err()) {
                    sync_directory_of(path)?;
                }
                sync_directory_of(path.parent().unwrap_or(path))
            }
        };
    };
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    let unfinished = path.with_extension("new");
    let write = || {
        std::fs::write(&unfinished, text)?;
        std::fs::File::open(&unfinished)?.sync_all()?;
        std::fs::rename(&unfinished, path)
    };
    write().map_err(failed)?;
    sync_directory_of(path)
}

/// Makes what was done to a file durable: there is no way back from what comes next. A directory that is not there has
/// nothing to lose.
fn sync_directory_of(path: &Path) -> Result<(), Failure> {
    let directory = path.parent().unwrap_or(path);
    match std::fs::File::open(directory).and_then(|directory| directory.sync_all()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::File(directory.display().to_string(), error))
        }
        _ => Ok(()),
    }
}

/// Has systemd read its units again.
fn reload_units() -> Result<(), Failure> {
    output_of(Command::new("systemctl").arg("daemon-reload")).map(drop)
}
