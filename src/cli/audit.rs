// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave audit …`.

use clap::Subcommand;

use crate::api::types::{AuditPage, AuditVerdict};
use crate::cli::exit::Failure;
use crate::cli::output::{facts, table};
use crate::cli::{Door, InWorkspace, workspace};

/// The audit.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read the newest records
    List {
        #[command(flatten)]
        at: InWorkspace,
        /// How many
        #[arg(long, short = 'n', default_value_t = 50)]
        limit: usize,
    },
    /// Verify every record, and show the signed head
    Verify {
        #[command(flatten)]
        at: InWorkspace,
    },
}

/// Runs the command.
pub async fn run(door: &Door, command: Command) -> Result<(), Failure> {
    match command {
        Command::List { at, limit } => {
            let path = path(door, &at).await?;
            let mut all = AuditPage { records: Vec::new(), next: None };
            let mut query = String::new();
            while all.records.len() < limit {
                let mut page: AuditPage = door.client.get(&format!("{path}{query}")).await?;
                all.records.append(&mut page.records);
                all.next = page.next;
                let Some(next) = page.next else { break };
                query = format!("?before={next}");
            }
            all.records.truncate(limit);
            Ok(door.output.print(&all, list_text)?)
        }
        Command::Verify { at } => {
            let path = path(door, &at).await?;
            let verdict: AuditVerdict = door.client.get(&format!("{path}/verification")).await?;
            door.output.print(&verdict, verdict_text)?;
            if verdict.ok { Ok(()) } else { Err(Failure::CheckFailed("the audit does not hold".to_owned())) }
        }
    }
}

async fn path(door: &Door, at: &InWorkspace) -> Result<String, Failure> {
    let id = workspace::id_of(door, &at.workspace).await?;
    Ok(format!("/api/v1/system/workspaces/{id}/audit"))
}

fn list_text(page: &AuditPage) -> String {
    if page.records.is_empty() {
        return "Nothing has happened yet.\n".to_owned();
    }
    let rows: Vec<_> = page
        .records
        .iter()
        .map(|record| {
            [
                record.sequence.to_string(),
                record.at.to_string(),
                record.actor.clone(),
                record.address.clone(),
                record.action.clone(),
                record.outcome.clone(),
                record.target.clone(),
                record.detail.clone(),
            ]
        })
        .collect();
    table(["#", "TIME", "ACTOR", "ADDRESS", "ACTION", "OUTCOME", "TARGET", "DETAIL"], &rows)
}

fn verdict_text(verdict: &AuditVerdict) -> String {
    let mut pairs = vec![
        ("Verdict", if verdict.ok { "holds" } else { "BROKEN" }.to_owned()),
        ("Records", verdict.records.to_string()),
        ("Head", verdict.head.clone()),
        ("Signed at", verdict.signed_at.to_string()),
        ("Signature", hex::encode(&verdict.signature.0)),
    ];
    pairs.extend(verdict.problem.clone().map(|problem| ("Problem", problem)));
    facts(&pairs)
}
