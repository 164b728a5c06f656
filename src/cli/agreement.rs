// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave agreement …`.

use std::path::PathBuf;

use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use crate::api::types::workspaces::{AgreementText, AgreementView};
use crate::cli::exit::Failure;
use crate::cli::output::{facts, table};
use crate::cli::{Door, InWorkspace, workspace};

/// The data processing agreement.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the text that is to be accepted for workspaces
    Text,
    /// Set the text from a file, or go back to the one that comes with the product
    Set {
        /// The text, in UTF-8
        #[arg(required_unless_present = "standard")]
        file: Option<PathBuf>,
        /// Take the one that comes with the product
        #[arg(long, conflicts_with = "file")]
        standard: bool,
    },
    /// Show who accepted one for a workspace
    Show {
        #[command(flatten)]
        at: InWorkspace,
    },
    /// Keep that somebody accepted the present text for a workspace, on paper or otherwise
    Accept {
        #[command(flatten)]
        at: InWorkspace,
        /// Who accepted it
        #[arg(long, value_name = "NAME")]
        person: String,
    },
}

const TEXT: &str = "/api/v1/system/agreement";

/// Runs the command.
pub async fn run(door: &Door, command: Command) -> Result<(), Failure> {
    match command {
        Command::Text => {
            let text: AgreementText = door.client.get(TEXT).await?;
            Ok(door.output.print(&text, |text| text.text.clone())?)
        }
        Command::Set { file, .. } => {
            let name = |path: &PathBuf| path.display().to_string();
            let read = |path: &PathBuf| std::fs::read_to_string(path).map_err(|error| Failure::File(name(path), error));
            let text = file.as_ref().map(read).transpose()?;
            let set: AgreementText = door.client.send_json(Method::PUT, TEXT, &json!({ "text": text })).await?;
            let done = |set: &AgreementText| {
                format!("This is the text from now on.\n\n{}", facts(&[("SHA-256", set.sha256.clone())]))
            };
            Ok(door.output.print(&set, done)?)
        }
        Command::Show { at } => {
            let view: AgreementView = door.client.get(&workspace::path_to(door, &at, "agreement").await?).await?;
            Ok(door.output.print(&view, show_text)?)
        }
        Command::Accept { at, person } => {
            let path = workspace::path_to(door, &at, "agreement").await?;
            let present: AgreementView = door.client.get(&path).await?;
            let body = json!({ "sha256": present.sha256, "person": person });
            let view: AgreementView =
                door.client.send_json(Method::POST, &format!("{path}/acceptances"), &body).await?;
            Ok(door.output.print(&view, show_text)?)
        }
    }
}

fn show_text(view: &AgreementView) -> String {
    if view.acceptances.is_empty() {
        return format!("Nobody has accepted the agreement yet. The present text has SHA-256 {}.\n", view.sha256);
    }
    let rows: Vec<_> = view
        .acceptances
        .iter()
        .map(|one| [one.accepted_at.to_string(), one.person.to_string(), one.actor.clone(), one.sha256.clone()])
        .collect();
    let note = if view.outdated { "\nThere is a newer text: conclave agreement text\n" } else { "" };
    format!("{}{note}", table(["ACCEPTED", "PERSON", "BY", "SHA-256 OF THE TEXT"], &rows))
}
