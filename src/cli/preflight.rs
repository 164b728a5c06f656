// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave preflight`: whether this release can serve what is there, before it does.

use serde::Serialize;

use crate::cli::exit::Failure;
use crate::cli::output::{self, Output};
use crate::config::{self, Config};
use crate::lifecycle::LifecycleError;
use crate::platform::store::preflight;

/// What was found.
#[derive(Debug, Serialize)]
struct Preflight {
    /// This release.
    version: &'static str,
    /// Databases that this release can serve.
    sound: usize,
    /// Workspaces that do not open, for any release.
    broken: Vec<Broken>,
}

#[derive(Debug, Serialize)]
struct Broken {
    workspace: String,
    reason: String,
}

/// Runs the command.
pub fn run(config: &Config, output: Output) -> Result<(), Failure> {
    config::paths::check(config)?;
    let progress = |progress: preflight::Progress| {
        if output == Output::Text {
            // Whoever does not read it any more has seen enough.
            drop(output::print(&format!("database {} of {}\n", progress.at, progress.of)));
        }
    };
    let found = preflight::run(&config.layout, progress).map_err(LifecycleError::from)?;
    let broken = found
        .broken
        .into_iter()
        .map(|(workspace, error)| Broken { workspace: workspace.to_string(), reason: error.to_string() });
    let found = Preflight { version: env!("CARGO_PKG_VERSION"), sound: found.sound, broken: broken.collect() };
    let text = |found: &Preflight| {
        let broken = found.broken.iter().map(|broken| format!("workspace {}: {}\n", broken.workspace, broken.reason));
        let serves = match found.sound {
            0 => "There is nothing yet: this release starts with an empty appliance.\n".to_owned(),
            sound => format!(
                "Conclave {} can serve what is there: {sound} databases opened and migrated as copies.\n",
                found.version
            ),
        };
        format!("{}{serves}", broken.collect::<String>())
    };
    Ok(output.print(&found, text)?)
}
