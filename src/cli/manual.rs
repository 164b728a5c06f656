// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave manual` and `conclave completions`: what packages install beside the binary, made from the command line
//! itself.

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use crate::cli::exit::Failure;
use crate::cli::{Cli, output};

/// Write the manual pages.
#[derive(Debug, Args)]
pub struct Manual {
    /// Directory that is to hold them
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Print what a shell completes with.
#[derive(Debug, Args)]
pub struct Completions {
    /// Which shell
    shell: Shell,
}

impl Manual {
    /// A page for each command, `conclave-room-create.1` and so on.
    pub fn run(&self) -> Result<(), Failure> {
        let failed = |error| Failure::File(self.directory.display().to_string(), error);
        std::fs::create_dir_all(&self.directory).map_err(failed)?;
        clap_mangen::generate_to(visible(), &self.directory).map_err(failed)
    }
}

impl Completions {
    /// On standard output.
    pub fn run(&self) -> Result<(), Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut visible(), "conclave", &mut text);
        Ok(output::print(&String::from_utf8_lossy(&text))?)
    }
}

/// The command line without what only tests and packages use, and without a page of help for each command of help.
fn visible() -> Command {
    Cli::command().disable_help_subcommand(true)
}
