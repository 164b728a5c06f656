// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave recovery …`: making a kit and using one. Both work without an appliance.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use crate::cli::exit::Failure;
use crate::cli::kit::{Kit, base64_url};
use crate::cli::output::{Output, facts, grouped, print};
use crate::platform::qr::Ground;
use crate::platform::recovery::{self, Restored};
use crate::platform::store::files::{self, Layout};
use crate::values::secret::SecretText;

/// The recovery kit.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a recovery kit for an appliance that is claimed without a person
    New {
        /// Write the kit into this file, which must not be there
        #[arg(long, value_name = "FILE")]
        kit_file: Option<PathBuf>,
    },
    /// Put the master key back with the words of the kit
    Restore {
        /// Directory of the appliance's files
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// Where the master key belongs [default: `master.key` in the data directory]
        #[arg(long, value_name = "FILE")]
        master_key_file: Option<PathBuf>,
        /// Read the words from this file [default: standard input]
        #[arg(long, value_name = "FILE")]
        words_file: Option<PathBuf>,
    },
}

/// Runs the command.
pub fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::New { kit_file } => new(kit_file, output),
        Command::Restore { data_dir, master_key_file, words_file } => {
            let words = words(words_file)?;
            let layout = Layout::new(data_dir, master_key_file);
            let Restored { appliance, identity_key } = recovery::restore(&layout, &words)?;
            let identity_key = hex::encode(identity_key);
            let restored = json!({
                "appliance": appliance, "identity_key": identity_key, "master_key_file": layout.master_key(),
            });
            let text = |_: &serde_json::Value| {
                let known =
                    facts(&[("Appliance", grouped(&appliance).to_lowercase()), ("Identity key", identity_key.clone())]);
                format!(
                    "The master key is back in {}.\n\n{known}\nCompare both with the paper of the kit. If they are others, this directory is not your appliance: do not start it.\n",
                    layout.master_key().display()
                )
            };
            Ok(output.print(&restored, text)?)
        }
    }
}

fn new(kit_file: Option<PathBuf>, output: Output) -> Result<(), Failure> {
    let kit = Kit::make()?;
    let key = base64_url(&kit.public().to_bytes());
    match &kit_file {
        Some(file) => kit.write(file, None)?,
        None if output == Output::Json => {
            return Err(Failure::Usage(
                "with --json the kit needs a place of its own: name one with --kit-file FILE".to_owned(),
            ));
        }
        None => print(&kit.text(None, Ground::Terminal))?,
    }
    let text = |_: &serde_json::Value| format!("\nPublic key, for the claim: {key}\n");
    Ok(output.print(&json!({ "recovery_public_key": key }), text)?)
}

fn words(file: Option<PathBuf>) -> Result<SecretText, Failure> {
    let mut text = String::new();
    match file {
        Some(file) => {
            let failed = |error: crate::platform::store::error::StoreError| {
                Failure::File(file.display().to_string(), std::io::Error::other(error.to_string()))
            };
            let bytes = files::read_private(&file).map_err(failed)?;
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
        None => {
            if std::io::stdin().is_terminal() {
                print("Type the 24 words of the kit, in their order, then Ctrl-D on a line of its own:\n")?;
            }
            std::io::stdin().lock().read_to_string(&mut text)?;
        }
    }
    Ok(SecretText::new(text))
}
