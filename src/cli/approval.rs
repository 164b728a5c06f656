// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave approval …`.

use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use crate::api::types::workspaces::{ApprovalList, ApprovalView};
use crate::cli::client::percent_encoded;
use crate::cli::exit::Failure;
use crate::cli::output::{facts, table};
use crate::cli::{Door, InWorkspace, account, workspace};
use crate::core::approval::Deed;
use crate::values::id::WorkspaceId;
use crate::values::name::WorkspaceName;

/// What takes two persons.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what was asked for, the newest first
    List {
        #[command(flatten)]
        at: InWorkspace,
    },
    /// Show what was asked for and what became of it
    Show {
        #[command(flatten)]
        at: InWorkspace,
        /// Id of the request
        id: String,
    },
    /// Ask for something; somebody else has to approve it within seven days
    #[command(
        after_help = "Example: conclave approval request workspace.close acme --reason 'contract ended'\n         conclave approval request account.erase bob -w acme --reason 'asked for it by letter'"
    )]
    Request {
        /// What: account.erase, workspace.close or workspace.export
        deed: String,
        /// User name of the account, or name of the workspace
        target: String,
        /// Workspace of the account; what concerns a whole workspace needs none
        #[arg(long, short, value_name = "NAME", default_value = "system")]
        workspace: String,
        /// Why; the other person reads it
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Approve what somebody else asked for; it may be done within a day, once
    Approve {
        #[command(flatten)]
        at: InWorkspace,
        /// Id of the request
        id: String,
    },
    /// Reject what somebody asked for, or withdraw what you asked for
    Reject {
        #[command(flatten)]
        at: InWorkspace,
        /// Id of the request
        id: String,
    },
}

/// Runs the command.
pub async fn run(door: &Door, command: Command) -> Result<(), Failure> {
    match command {
        Command::List { at } => {
            let list: ApprovalList = door.client.get(&workspace::path_to(door, &at, "approvals").await?).await?;
            Ok(door.output.print(&list, list_text)?)
        }
        Command::Show { at, id } => {
            let path = workspace::path_to(door, &at, "approvals").await?;
            let view: ApprovalView = door.client.get(&format!("{path}/{}", percent_encoded(&id))).await?;
            Ok(door.output.print(&view, show_text)?)
        }
        Command::Request { deed, target, workspace, reason } => {
            let at = InWorkspace { workspace };
            let about_account = Deed::from_name(&deed) == Some(Deed::EraseAccount);
            let target = if about_account {
                account::find(door, &at, &target).await?.1.id.to_string()
            } else if target.eq_ignore_ascii_case(WorkspaceName::system().as_str()) {
                WorkspaceId::SYSTEM.to_string()
            } else {
                workspace::id_of(door, &target).await?.to_string()
            };
            let path = workspace::path_to(door, &at, "approvals").await?;
            let body = json!({ "deed": deed, "target": target, "reason": reason });
            let view: ApprovalView = door.client.send_json(Method::POST, &path, &body).await?;
            let text = |view: &ApprovalView| {
                let next = format!("Next, somebody else: conclave approval approve -w {} {}\n", at.workspace, view.id);
                format!("{}\n{next}", show_text(view))
            };
            Ok(door.output.print(&view, text)?)
        }
        Command::Approve { at, id } => decide(door, &at, &id, "approved").await,
        Command::Reject { at, id } => decide(door, &at, &id, "rejected").await,
    }
}

async fn decide(door: &Door, at: &InWorkspace, id: &str, verdict: &str) -> Result<(), Failure> {
    let path = workspace::path_to(door, at, "approvals").await?;
    let path = format!("{path}/{}/decision", percent_encoded(id));
    let view: ApprovalView = door.client.send_json(Method::PUT, &path, &json!({ "verdict": verdict })).await?;
    Ok(door.output.print(&view, show_text)?)
}

fn list_text(list: &ApprovalList) -> String {
    if list.approvals.is_empty() {
        return "Nothing was asked for.\n".to_owned();
    }
    let rows: Vec<_> = list
        .approvals
        .iter()
        .map(|one| {
            [
                one.deed.clone(),
                one.target.to_string(),
                one.state.clone(),
                one.requested_by.clone(),
                one.requested_at.to_string(),
                one.id.to_string(),
            ]
        })
        .collect();
    table(["DEED", "TARGET", "STATE", "ASKED BY", "ASKED AT", "ID"], &rows)
}

fn show_text(view: &ApprovalView) -> String {
    let mut pairs = vec![
        ("Id", view.id.to_string()),
        ("Deed", view.deed.clone()),
        ("Target", view.target.to_string()),
        ("Reason", view.reason.to_string()),
        ("State", view.state.clone()),
        ("Asked by", format!("{}, {}", view.requested_by, view.requested_at)),
    ];
    let decided = view.decided_by.as_ref().zip(view.decided_at);
    pairs.extend(decided.map(|(by, at)| ("Decided by", format!("{by}, {at}"))));
    pairs.extend(view.used_at.map(|at| ("Done", at.to_string())));
    pairs.push(("Open until", view.expires_at.to_string()));
    facts(&pairs)
}
