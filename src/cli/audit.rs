// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave audit …`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::api::types::{AuditPage, AuditVerdict};
use crate::cli::client::percent_encoded;
use crate::cli::exit::Failure;
use crate::cli::output::{facts, table};
use crate::cli::{Door, InWorkspace, workspace};
use crate::core::audit::Head;
use crate::core::audit::export::{ExportError, ExportVerifier, Format, Verified};
use crate::core::keys::identity::PublicIdentity;

/// The audit.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Search the audit, newest first
    #[command(
        after_help = "Example: conclave audit list --workspace demo --action session. --since 2026-11-01T00:00:00Z"
    )]
    List {
        #[command(flatten)]
        at: InWorkspace,
        /// How many
        #[arg(long, short = 'n', default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        wanted: Wanted,
    },
    /// Verify every record of a running appliance, or an export on any machine
    #[command(
        after_help = "Example: conclave audit verify audit.jsonl --key IDENTITY_KEY (`conclave status` shows it)"
    )]
    Verify {
        /// Workspace name; `system` is the one of the operators
        #[arg(long, short, value_name = "NAME", required_unless_present = "file", conflicts_with = "file")]
        workspace: Option<String>,
        /// An export in JSON lines; `-` reads standard input
        #[arg(value_name = "FILE", requires = "key")]
        file: Option<PathBuf>,
        /// The appliance's public identity key, in hex, as `conclave status` shows it
        #[arg(long, value_name = "KEY", requires = "file")]
        key: Option<String>,
        /// The export is of what follows this record
        #[arg(long, value_name = "SEQUENCE", requires = "file", default_value_t = 0)]
        after: u64,
    },
    /// Write the audit and its signed head to standard output or a file
    #[command(after_help = "Example: conclave audit export --workspace demo --out audit.jsonl")]
    Export {
        #[command(flatten)]
        at: InWorkspace,
        /// `jsonl` can be verified; `rfc5424` and `cef` are for what collects logs
        #[arg(long, default_value = "jsonl", value_parser = PossibleValuesParser::new(Format::ALL.map(Format::as_str)))]
        format: String,
        /// Only the records after this one
        #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
        after: u64,
        /// Where to; nothing that is there is overwritten
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// What is looked for.
#[derive(Debug, Args)]
pub struct Wanted {
    /// At this time or later (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// What the actor begins with, such as `operator:`
    #[arg(long, value_name = "TEXT")]
    actor: Option<String>,
    /// What the action begins with, such as `account.`
    #[arg(long, value_name = "TEXT")]
    action: Option<String>,
    /// What the target begins with, such as `session:`
    #[arg(long, value_name = "TEXT")]
    target: Option<String>,
    /// `allowed` or `refused`
    #[arg(long, value_parser = ["allowed", "refused"])]
    outcome: Option<String>,
}

impl Wanted {
    /// As a query.
    fn query(&self) -> String {
        let Self { since, until, actor, action, target, outcome } = self;
        let all = [("since", since), ("until", until), ("actor", actor), ("action", action), ("target", target)];
        let all = all.into_iter().chain([("outcome", outcome)]);
        let said = all.filter_map(|(name, value)| Some(format!("&{name}={}", percent_encoded(value.as_ref()?))));
        said.collect()
    }
}

/// Runs the command.
pub async fn run(door: &Door, command: Command) -> Result<(), Failure> {
    match command {
        Command::List { at, limit, wanted } => {
            let path = path(door, &at).await?;
            let mut all = AuditPage { records: Vec::new(), next: None };
            let mut from = String::new();
            while all.records.len() < limit {
                let mut page: AuditPage = door.client.get(&format!("{path}?limit=100{}{from}", wanted.query())).await?;
                all.records.append(&mut page.records);
                all.next = page.next;
                let Some(next) = page.next else { break };
                from = format!("&before={next}");
            }
            all.records.truncate(limit);
            Ok(door.output.print(&all, list_text)?)
        }
        Command::Verify { workspace: Some(workspace), .. } => {
            let path = path(door, &InWorkspace { workspace }).await?;
            let verdict: AuditVerdict = door.client.get(&format!("{path}/verification")).await?;
            door.output.print(&verdict, verdict_text)?;
            if verdict.ok { Ok(()) } else { Err(Failure::CheckFailed("the audit does not hold".to_owned())) }
        }
        Command::Verify { file, key, after, .. } => {
            verify_file(door, &file.unwrap_or_default(), &key.unwrap_or_default(), after)
        }
        Command::Export { at, format, after, out } => {
            let path = format!("{}/export?format={format}&after={after}", path(door, &at).await?);
            let target = out.as_deref().map_or("standard output".to_owned(), |out| out.display().to_string());
            let mut writer: Box<dyn Write> = match &out {
                Some(out) => Box::new(File::create_new(out).map_err(|error| Failure::File(target.clone(), error))?),
                None => Box::new(io::stdout().lock()),
            };
            let written = door.client.download(&path, |piece| writer.write_all(piece)).await?;
            written.and_then(|()| writer.flush()).map_err(|error| Failure::File(target, error))
        }
    }
}

/// The public identity key of an appliance.
pub fn public_identity(key: &str) -> Result<PublicIdentity, Failure> {
    let key = hex::decode(key).ok().and_then(|key| PublicIdentity::from_bytes(&key).ok());
    key.ok_or_else(|| Failure::CheckFailed("--key is no Ed25519 public key of 64 hexadecimal digits".to_owned()))
}

/// Verifies an export; asks nobody.
fn verify_file(door: &Door, file: &Path, key: &str, after: u64) -> Result<(), Failure> {
    let name = file.display().to_string();
    let key = public_identity(key)?;
    let fault = |error| Failure::File(name.clone(), error);
    let lines: Box<dyn BufRead> = match name.as_str() {
        "-" => Box::new(io::stdin().lock()),
        _ => Box::new(BufReader::new(File::open(file).map_err(fault)?)),
    };
    let broken = |error: ExportError| Failure::CheckFailed(format!("{name}: {error}"));
    let mut verifier = ExportVerifier::default();
    for line in lines.lines() {
        verifier.push(&line.map_err(fault)?, key).map_err(broken)?;
    }
    let Verified { workspace, first, head, signed_at } = verifier.finish().map_err(broken)?;
    if first != after + 1 && head != Head::EMPTY {
        let begins = after + 1;
        return Err(Failure::CheckFailed(format!(
            "{name}: it begins with record {first} and not with {begins}: its beginning is missing. When it was exported with --after, verify it with the same"
        )));
    }
    let (hash, last) = (hex::encode(head.hash), head.sequence);
    let found = json!({ "ok": true, "workspace": workspace, "first": first, "last": last, "head": hash, "signed_at": signed_at });
    let text = |_: &Value| {
        facts(&[
            ("Verdict", "holds".to_owned()),
            ("Workspace", workspace.to_string()),
            ("Records", format!("{first} to {last}")),
            ("Head", hash.clone()),
            ("Signed at", signed_at.to_string()),
        ])
    };
    Ok(door.output.print(&found, text)?)
}

async fn path(door: &Door, at: &InWorkspace) -> Result<String, Failure> {
    workspace::path_to(door, at, "audit").await
}

fn list_text(page: &AuditPage) -> String {
    if page.records.is_empty() {
        return "There is no such record.\n".to_owned();
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
