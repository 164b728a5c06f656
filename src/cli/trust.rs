// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave trust …`: what devices have to trust.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;

use crate::api::types::TrustView;
use crate::cli::Door;
use crate::cli::exit::Failure;
use crate::cli::output::{self, facts, grouped};

/// Certificates.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what TLS presents, for which names and networks, and the fingerprint to compare
    Show,
    /// Write the root certificate (PEM), to import where it is to be trusted
    Root {
        /// Into this new file instead of standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Runs the command.
pub async fn run(door: &Door, command: Command) -> Result<(), Failure> {
    match command {
        Command::Show => {
            let trust: TrustView = door.client.get("/api/v1/trust").await?;
            Ok(door.output.print(&trust, text)?)
        }
        Command::Root { out } => {
            let mut pem = Vec::new();
            let took = door.client.download("/api/v1/trust/root.pem", |piece| pem.write_all(piece)).await?;
            took?;
            match out {
                Some(path) => {
                    let write = File::create_new(&path).and_then(|mut file| file.write_all(&pem));
                    write.map_err(|error| Failure::File(path.display().to_string(), error))
                }
                None => Ok(output::print(&String::from_utf8_lossy(&pem))?),
            }
        }
    }
}

fn text(trust: &TrustView) -> String {
    let networks: Vec<_> = trust.networks.iter().map(ToString::to_string).collect();
    facts(&[
        ("Names", trust.names.join(", ")),
        ("Networks", networks.join(", ")),
        ("Fingerprint", grouped(&trust.fingerprint)),
        ("Root", if trust.root_pem.is_some() { "minted at the claim" } else { "none before the claim" }.to_owned()),
        ("Certificate until", trust.tcp_not_after.to_string()),
    ])
}
