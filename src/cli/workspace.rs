// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave workspace …`.

use clap::{Subcommand, ValueEnum};
use hyper::Method;
use serde_json::json;

use crate::api::types::{WorkspaceList, WorkspaceView};
use crate::cli::exit::Failure;
use crate::cli::output::{facts, table};
use crate::cli::{Door, InWorkspace, pages};
use crate::values::id::WorkspaceId;
use crate::values::name::WorkspaceName;

/// Workspaces.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a workspace
    Create {
        /// The name people will type
        name: String,
    },
    /// List workspaces
    List,
    /// Show a workspace and its state
    Show {
        /// Workspace name
        name: String,
    },
    /// Change a workspace's settings
    Set {
        /// Workspace name
        name: String,
        /// Whether scripts may sign in without sealing the credential
        #[arg(long, value_enum)]
        plain_sign_in: Allowed,
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

const WORKSPACES: &str = "/api/v1/system/workspaces";

/// Runs the command.
pub async fn run(door: &Door, command: Command) -> Result<(), Failure> {
    let client = &door.client;
    match command {
        Command::Create { name } => {
            let made: WorkspaceView = client.send_json(Method::POST, WORKSPACES, &json!({ "name": name })).await?;
            let text = |made: &WorkspaceView| {
                format!(
                    "Workspace {} is open.\n\nNext: conclave account create --workspace {} --role admin NAME\n",
                    made.name, made.name
                )
            };
            Ok(door.output.print(&made, text)?)
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
        Command::Set { name, plain_sign_in } => {
            let path = format!("{WORKSPACES}/{}", find(door, &name).await?.id);
            let body = json!({ "plain_sign_in": plain_sign_in == Allowed::Allow });
            let changed: WorkspaceView = client.send_json(Method::PATCH, &path, &body).await?;
            Ok(door.output.print(&changed, show_text)?)
        }
        Command::AcceptRollback { name } => {
            let id = id_of(door, &name).await?;
            client.send_empty(Method::POST, &format!("{WORKSPACES}/{id}/accept-rollback")).await?;
            let done = format!("Workspace {name} goes on from the file as it is; the audit says so.\n");
            Ok(door.output.print(&json!({ "workspace": id, "accepted": true }), |_| done)?)
        }
    }
}

fn list_text(list: &WorkspaceList) -> String {
    if list.workspaces.is_empty() {
        return "There is no workspace yet.\n\nNext: conclave workspace create NAME\n".to_owned();
    }
    let number = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
    let rows: Vec<_> = list
        .workspaces
        .iter()
        .map(|w| [w.name.to_string(), w.state.clone(), number(w.accounts), number(w.sessions), w.id.to_string()])
        .collect();
    table(["NAME", "STATE", "ACCOUNTS", "SESSIONS", "ID"], &rows)
}

fn show_text(workspace: &WorkspaceView) -> String {
    let number = |count: Option<u64>| count.map_or_else(|| "unknown".to_owned(), |count| count.to_string());
    let mut pairs = vec![
        ("Name", workspace.name.to_string()),
        ("Id", workspace.id.to_string()),
        ("State", workspace.state.clone()),
        ("Accounts", number(workspace.accounts)),
        ("Live sessions", number(workspace.sessions)),
        ("Plain sign-in", if workspace.plain_sign_in { "allowed" } else { "refused" }.to_owned()),
        ("Created", workspace.created_at.to_string()),
    ];
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
