// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave workspace …`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Value, json};

use crate::api::types::workspaces::{WorkspaceList, WorkspaceView};
use crate::cli::audit::public_identity;
use crate::cli::client::percent_encoded;
use crate::cli::exit::Failure;
use crate::cli::output::{facts, table};
use crate::cli::{Door, InWorkspace, pages};
use crate::core::export;
use crate::values::id::WorkspaceId;
use crate::values::name::WorkspaceName;

/// Workspaces.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a workspace
    Create {
        /// The name people will type
        name: String,
        /// Days of a trial; without it the workspace is subscribed
        #[arg(long, value_name = "DAYS")]
        trial_days: Option<u16>,
        /// Accounts that may be active at once [default: any number]
        #[arg(long, value_name = "N")]
        seats: Option<u32>,
        /// Where its data is, in words [default: as for the whole appliance]
        #[arg(long, value_name = "TEXT")]
        residency: Option<String>,
        /// Who accepted the data processing agreement for it [default: its first Admin does, in the console]
        #[arg(long, value_name = "NAME")]
        agreement_accepted_by: Option<String>,
    },
    /// List workspaces
    List,
    /// Show a workspace, its life and its state
    Show {
        /// Workspace name
        name: String,
    },
    /// Change a workspace's seats or where its data is said to be
    Set {
        /// Workspace name
        name: String,
        /// Accounts that may be active at once; 0: any number
        #[arg(long, value_name = "N", required_unless_present = "residency")]
        seats: Option<u32>,
        /// Where its data is, in words; empty: as for the whole appliance
        #[arg(long, value_name = "TEXT")]
        residency: Option<String>,
    },
    /// Give a workspace another name; the one before leads to it for 90 days
    Rename {
        /// Workspace name
        name: String,
        /// The name from now on
        to: String,
    },
    /// Let a trial end later; who could not sign in can at once
    Extend {
        /// Workspace name
        name: String,
        /// When it ends (RFC 3339), such as 2027-01-31T00:00:00Z
        #[arg(long, value_name = "TIME")]
        until: String,
    },
    /// Make a trial a subscription, which has no end
    Subscribe {
        /// Workspace name
        name: String,
    },
    /// Stop everybody from using a workspace; nothing is deleted
    Suspend {
        /// Workspace name
        name: String,
    },
    /// Let people use a suspended workspace again
    Resume {
        /// Workspace name
        name: String,
    },
    /// Close a workspace: it is deleted after a cooling-off. Takes two persons (`conclave approval`)
    Close {
        /// Workspace name
        name: String,
        /// Id of the approved request `workspace.close`
        #[arg(long, value_name = "ID")]
        approval: String,
        /// Days until it is deleted [default: 30]
        #[arg(long, value_name = "DAYS")]
        cooling_off_days: Option<u16>,
    },
    /// Keep a closed workspace after all, until it is deleted
    Reopen {
        /// Workspace name
        name: String,
    },
    /// Export everything of a workspace, signed. Takes two persons (`conclave approval`)
    Export {
        /// Workspace name
        name: String,
        /// Id of the approved request `workspace.export`
        #[arg(long, value_name = "ID")]
        approval: String,
        /// Where to write it, readable for nobody else
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Verify an export without an appliance
    VerifyExport {
        /// The export
        file: PathBuf,
        /// Identity key of the appliance, as `conclave status` shows it
        #[arg(long, value_name = "KEY")]
        key: String,
    },
    /// Accept a rolled-back file as it is, after a restore on purpose
    AcceptRollback {
        /// Workspace name
        name: String,
    },
}

/// A setting of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Allowed {
    /// It may be done.
    Allow,
    /// It may not.
    Refuse,
}

impl Allowed {
    /// For the API.
    pub fn to_bool(self) -> bool {
        self == Self::Allow
    }
}

const WORKSPACES: &str = "/api/v1/system/workspaces";

/// Runs the command.
pub async fn run(door: &Door, command: Command) -> Result<(), Failure> {
    let client = &door.client;
    match command {
        Command::Create { name, trial_days, seats, residency, agreement_accepted_by } => {
            let body = json!({
                "name": name, "trial_days": trial_days, "seats": seats, "residency": residency,
                "agreement_accepted_by": agreement_accepted_by,
            });
            let made: WorkspaceView = client.send_json(Method::POST, WORKSPACES, &body).await?;
            Ok(door.output.print(&made, created_text)?)
        }
        Command::List => {
            let list: WorkspaceList = pages::all(client, WORKSPACES).await?;
            Ok(door.output.print(&list, list_text)?)
        }
        Command::Show { name } => {
            let path = format!("{WORKSPACES}/{}", find(door, &name).await?.id);
            let found: WorkspaceView = door.client.get(&path).await?;
            Ok(door.output.print(&found, show_text)?)
        }
        Command::Set { name, seats, residency } => {
            change(door, &name, json!({ "seats": seats, "residency": residency })).await
        }
        Command::Rename { name, to } => change(door, &name, json!({ "name": to })).await,
        Command::Extend { name, until } => step(door, &name, json!({ "step": "extend", "ends_at": until })).await,
        Command::Subscribe { name } => step(door, &name, json!({ "step": "subscribe" })).await,
        Command::Suspend { name } => step(door, &name, json!({ "step": "suspend" })).await,
        Command::Resume { name } => step(door, &name, json!({ "step": "resume" })).await,
        Command::Reopen { name } => step(door, &name, json!({ "step": "reopen" })).await,
        Command::Close { name, approval, cooling_off_days } => {
            let body = json!({ "step": "close", "approval": approval, "cooling_off_days": cooling_off_days });
            step(door, &name, body).await
        }
        Command::Export { name, approval, out } => {
            let id = id_of(door, &name).await?;
            let path = format!("{WORKSPACES}/{id}/export?approval={}", percent_encoded(&approval));
            let target = out.display().to_string();
            let mut file = File::create_new(&out).map_err(|error| Failure::File(target.clone(), error))?;
            let written = match client.download(&path, |piece| file.write_all(piece)).await {
                Ok(written) => {
                    written.and_then(|()| file.sync_all()).map_err(|error| Failure::File(target.clone(), error))
                }
                Err(error) => Err(error.into()),
            };
            // A part of an export is none.
            written.inspect_err(|_| drop(std::fs::remove_file(&out)))?;
            let done = format!(
                "Everything of {name} is in {target}, signed.\n\nNext: conclave workspace verify-export {target} --key KEY\n"
            );
            Ok(door.output.print(&json!({ "workspace": id, "file": out }), |_| done)?)
        }
        Command::VerifyExport { file, key } => verify_export(door, &file, &key),
        Command::AcceptRollback { name } => {
            let id = id_of(door, &name).await?;
            client.send_empty(Method::POST, &format!("{WORKSPACES}/{id}/accept-rollback")).await?;
            let done = format!("Workspace {name} goes on from the file as it is; the audit says so.\n");
            Ok(door.output.print(&json!({ "workspace": id, "accepted": true }), |_| done)?)
        }
    }
}

/// Verifies an export; asks nobody.
fn verify_export(door: &Door, file: &Path, key: &str) -> Result<(), Failure> {
    let key = public_identity(key)?;
    let text = std::fs::read_to_string(file).map_err(|error| Failure::File(file.display().to_string(), error))?;
    let (workspace, lines) = export::verify(&text, key).map_err(|error| Failure::CheckFailed(error.to_string()))?;
    let done = format!("The export of workspace {workspace} holds: {lines} things, signed by this appliance.\n");
    Ok(door.output.print(&json!({ "workspace": workspace, "things": lines, "ok": true }), |_| done)?)
}

async fn change(door: &Door, name: &str, body: Value) -> Result<(), Failure> {
    let path = format!("{WORKSPACES}/{}", find(door, name).await?.id);
    let changed: WorkspaceView = door.client.send_json(Method::PATCH, &path, &body).await?;
    Ok(door.output.print(&changed, show_text)?)
}

async fn step(door: &Door, name: &str, body: Value) -> Result<(), Failure> {
    let path = format!("{WORKSPACES}/{}/life", find(door, name).await?.id);
    let changed: WorkspaceView = door.client.send_json(Method::POST, &path, &body).await?;
    Ok(door.output.print(&changed, show_text)?)
}

fn created_text(made: &WorkspaceView) -> String {
    let name = &made.name;
    let next = format!("Next: conclave account create --workspace {name} --role admin NAME\n");
    if made.agreement_accepted == Some(true) {
        return format!("Workspace {name} is open.\n\n{next}");
    }
    format!(
        "Workspace {name} is open. Its people can use it when its Admin has accepted the data processing agreement;\n\
         when that was done on paper: conclave agreement accept --workspace {name} --person NAME\n\n{next}"
    )
}

fn list_text(list: &WorkspaceList) -> String {
    if list.workspaces.is_empty() {
        return "There is no workspace yet.\n\nNext: conclave workspace create NAME\n".to_owned();
    }
    let number = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
    let rows: Vec<_> = list
        .workspaces
        .iter()
        .map(|w| {
            let stage = w.standstill.clone().unwrap_or_else(|| w.stage.clone());
            [w.name.to_string(), stage, w.state.clone(), number(w.accounts), number(w.sessions), w.id.to_string()]
        })
        .collect();
    table(["NAME", "STAGE", "STATE", "ACCOUNTS", "SESSIONS", "ID"], &rows)
}

fn show_text(workspace: &WorkspaceView) -> String {
    let number = |count: Option<u64>| count.map_or_else(|| "unknown".to_owned(), |count| count.to_string());
    let seats = workspace.seats.map_or_else(|| "any number".to_owned(), |seats| seats.to_string());
    let agreement = match workspace.agreement_accepted {
        Some(true) => "accepted",
        Some(false) => "not accepted: nobody can use the workspace yet",
        None => "unknown",
    };
    let mut pairs = vec![
        ("Name", workspace.name.to_string()),
        ("Id", workspace.id.to_string()),
        ("Stage", workspace.stage.clone()),
    ];
    pairs.extend(workspace.standstill.clone().map(|reason| ("Nobody can use it", reason)));
    pairs.extend(workspace.trial_ends_at.map(|at| ("Trial ends", at.to_string())));
    pairs.extend(workspace.purge_at.map(|at| ("Deleted at", at.to_string())));
    pairs.extend([
        ("State", workspace.state.clone()),
        ("Seats", format!("{} of {seats} taken", number(workspace.seats_taken))),
        ("Accounts", number(workspace.accounts)),
        ("Live sessions", number(workspace.sessions)),
        ("Agreement", agreement.to_owned()),
    ]);
    if !workspace.residency.is_empty() {
        pairs.push(("Residency", workspace.residency.to_string()));
    }
    pairs.push(("Created", workspace.created_at.to_string()));
    pairs.extend(workspace.reason.clone().map(|reason| ("Reason", reason)));
    facts(&pairs)
}

async fn find(door: &Door, name: &str) -> Result<WorkspaceView, Failure> {
    let not_found =
        || Failure::NotFound(format!("there is no workspace {name:?}: `conclave workspace list` shows them"));
    let name: WorkspaceName = name.parse().map_err(|_| not_found())?;
    let list: WorkspaceList = door.client.get(&format!("{WORKSPACES}?name={name}")).await?;
    list.workspaces.into_iter().next().ok_or_else(not_found)
}

/// The id behind a workspace name; the reserved name `system` is known.
pub async fn id_of(door: &Door, name: &str) -> Result<WorkspaceId, Failure> {
    if name.eq_ignore_ascii_case(WorkspaceName::system().as_str()) {
        return Ok(WorkspaceId::SYSTEM);
    }
    Ok(find(door, name).await?.id)
}

/// Where the accounts or the rooms of a workspace are.
pub async fn path_to(door: &Door, at: &InWorkspace, what: &str) -> Result<String, Failure> {
    let id = id_of(door, &at.workspace).await?;
    Ok(format!("/api/v1/system/workspaces/{id}/{what}"))
}

/// There is no such account or room.
pub fn missing(at: &InWorkspace, kind: &str, name: &str) -> Failure {
    let workspace = &at.workspace;
    Failure::NotFound(format!(
        "there is no {kind} {name:?} in workspace {workspace}: `conclave {kind} list --workspace {workspace}` shows them"
    ))
}
