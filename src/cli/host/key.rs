// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave key …`: the master key, sealed to this machine by systemd (its TPM2 where there is one, and a key of the
//! host), instead of a file beside the data.

use std::path::{Path, PathBuf};
use std::process::Command as Process;

use clap::Subcommand;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::exit::Failure;
use crate::cli::host::{drop_in, output_of, put_drop_in, reload_units, require_root, sync_directory_of};
use crate::cli::output::Output;
use crate::config::{Config, MASTER_KEY_CREDENTIAL, SEALED_MASTER_KEY as SEALED, paths::MASTER_KEY_LEN};
use crate::lifecycle::LifecycleError;
use crate::platform::store::error::StoreError;
use crate::platform::store::files::{self, Layout};
use crate::platform::store::keyring;
use crate::values::secret::Key256;

/// The units that need it. The shipped ones do not ask for it: on systemd 252 a unit with a missing credential fails.
const UNITS: [&str; 2] = ["conclave.service", "conclave-preflight@.service"];
const DROP_IN: &str = "50-master-key.conf";

/// The master key.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Seal the master key to this machine, and remove the file
    Seal,
    /// Put the master key back into its file
    Unseal,
}

#[derive(Debug, Serialize)]
struct Done {
    master_key_file: String,
    sealed_file: &'static str,
    sealed: bool,
    /// To what it is sealed.
    sealed_to: Option<&'static str>,
    #[serde(skip)]
    has_tpm2: bool,
}

/// Runs the command.
pub fn run(command: &Command, config: &Config, output: Output) -> Result<(), Failure> {
    require_root()?;
    let file = config.layout.master_key();
    let done = match command {
        Command::Seal => seal(file)?,
        Command::Unseal => unseal(&config.layout)?,
    };
    Ok(output.print(&done, text)?)
}

fn text(done: &Done) -> String {
    let next = "It holds from the next start on: systemctl restart conclave.service\n";
    match done.sealed_to {
        Some(to) => {
            let disk = if done.has_tpm2 {
                "Only this machine opens it"
            } else {
                "There is no TPM2, so that key lies on a disk of this machine: whoever copies all of it has both. Nobody else opens it"
            };
            format!(
                "The master key is sealed to {to}, in {}; {} is gone.\n{disk}: keep the recovery kit, or a copy of the key, elsewhere.\n{next}",
                done.sealed_file, done.master_key_file
            )
        }
        None => format!("The master key is in {} again; the sealed one is gone.\n{next}", done.master_key_file),
    }
}

fn seal(file: &Path) -> Result<Done, Failure> {
    let key = files::read_private_in_place(file).map_err(|error| match error {
        StoreError::Io { source, .. }
            if source.kind() == std::io::ErrorKind::NotFound && Path::new(SEALED).exists() =>
        {
            Failure::CheckFailed(format!("the master key is sealed already: {SEALED}"))
        }
        other => LifecycleError::from(other).into(),
    })?;
    if key.len() != MASTER_KEY_LEN {
        let reason = format!("{} has {} bytes, and a master key has {MASTER_KEY_LEN}", file.display(), key.len());
        return Err(Failure::CheckFailed(reason));
    }
    let unfinished = PathBuf::from(format!("{SEALED}.new"));
    let name = format!("--name={MASTER_KEY_CREDENTIAL}");
    // No PCR: the default, PCR 7, changes with updates of the firmware, and then nothing opens.
    output_of(Process::new("systemd-creds").args(["encrypt", &name, "--tpm2-pcrs="]).arg(file).arg(&unfinished))?;
    if *opened(&unfinished)? != *key {
        drop(std::fs::remove_file(&unfinished));
        return Err(Failure::CheckFailed(
            "what was sealed does not open to the same key; nothing was changed".to_owned(),
        ));
    }
    // On disk before the other one is gone.
    let kept = std::fs::File::open(&unfinished).and_then(|sealed| sealed.sync_all());
    kept.and_then(|()| std::fs::rename(&unfinished, SEALED))
        .map_err(|error| Failure::File(SEALED.to_owned(), error))?;
    sync_directory_of(Path::new(SEALED))?;
    let text = format!(
        "# Written by `conclave key seal`; `conclave key unseal` takes it back.\n[Service]\nLoadCredentialEncrypted={MASTER_KEY_CREDENTIAL}:{SEALED}\n"
    );
    for unit in UNITS {
        put_drop_in(&drop_in(unit, DROP_IN), Some(&text))?;
    }
    reload_units()?;
    files::destroy(file).map_err(LifecycleError::from)?;
    let has_tpm2 = has_tpm2();
    let sealed_to = if has_tpm2 { "the TPM2 and a key of this machine" } else { "a key of this machine" };
    Ok(Done {
        master_key_file: file.display().to_string(),
        sealed_file: SEALED,
        sealed: true,
        sealed_to: Some(sealed_to),
        has_tpm2,
    })
}

/// Whether the machine has what keeps the sealed key from whoever copies its disk.
pub fn has_tpm2() -> bool {
    output_of(Process::new("systemd-creds").arg("has-tpm2")).is_ok()
}

fn unseal(layout: &Layout) -> Result<Done, Failure> {
    let (file, data_dir) = (layout.master_key(), layout.root());
    if !Path::new(SEALED).exists() {
        return Err(Failure::NotFound(format!("there is no sealed master key ({SEALED})")));
    }
    let there = std::fs::symlink_metadata(file).is_ok();
    let sealed = opened(Path::new(SEALED));
    match (there, sealed) {
        (false, Ok(key)) => files::write_private(file, &key).map_err(LifecycleError::from)?,
        (false, Err(error)) => {
            let reason = format!(
                "{error}\nThis machine does not open it. Put the master key back with `conclave recovery restore`, then run this again"
            );
            return Err(Failure::CheckFailed(reason));
        }
        (true, Ok(key)) => {
            if *files::read_private_in_place(file).map_err(LifecycleError::from)? != *key {
                return Err(other_key(file));
            }
        }
        // It came back from the recovery kit: it stays when it is the one that opens what is there.
        (true, Err(_)) => {
            let bytes = files::read_private_in_place(file).map_err(LifecycleError::from)?;
            let master = Key256::from_slice(&bytes).ok_or_else(|| other_key(file))?;
            keyring::identity_under(layout, &master).map_err(|_| other_key(file))?;
        }
    }
    files::give_to_owner_of(data_dir, file).map_err(LifecycleError::from)?;
    for unit in UNITS {
        put_drop_in(&drop_in(unit, DROP_IN), None)?;
    }
    reload_units()?;
    files::destroy(Path::new(SEALED)).map_err(LifecycleError::from)?;
    Ok(Done {
        master_key_file: file.display().to_string(),
        sealed_file: SEALED,
        sealed: false,
        sealed_to: None,
        has_tpm2: false,
    })
}

fn other_key(file: &Path) -> Failure {
    let file = file.display();
    Failure::CheckFailed(format!(
        "{file} is there and is not the master key of this appliance: move it away, and run this again. Nothing was changed"
    ))
}

/// What a sealed file holds.
fn opened(sealed: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let name = format!("--name={MASTER_KEY_CREDENTIAL}");
    output_of(Process::new("systemd-creds").args(["decrypt", &name]).arg(sealed).arg("-")).map(Zeroizing::new)
}
