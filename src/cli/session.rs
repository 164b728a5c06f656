// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave session …`.

use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use crate::api::types::SessionList;
use crate::cli::exit::Failure;
use crate::cli::output::table;
use crate::cli::{Door, InWorkspace, account};
use crate::values::id::SessionId;

/// Sessions.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the signed-in devices of an account
    List {
        #[command(flatten)]
        at: InWorkspace,
        /// User name
        account: String,
    },
    /// End one session of an account, or all of them
    #[command(group(clap::ArgGroup::new("which").required(true)))]
    Revoke {
        #[command(flatten)]
        at: InWorkspace,
        /// User name
        account: String,
        /// Id of the session, as `session list` shows it
        #[arg(group = "which")]
        session: Option<SessionId>,
        /// End all of them
        #[arg(long, group = "which")]
        all: bool,
    },
}

/// Runs the command.
pub async fn run(door: &Door, command: Command) -> Result<(), Failure> {
    match command {
        Command::List { at, account } => {
            let (path, _) = account::find(door, &at, &account).await?;
            let list: SessionList = door.client.get(&format!("{path}/sessions")).await?;
            Ok(door.output.print(&list, text)?)
        }
        Command::Revoke { at, account, session: which, .. } => {
            let (path, _) = account::find(door, &at, &account).await?;
            let path = which.map_or_else(|| format!("{path}/sessions"), |id| format!("{path}/sessions/{id}"));
            door.client.send_empty(Method::DELETE, &path).await?;
            let done = if which.is_some() { "The session is ended." } else { "Every session is ended." };
            Ok(door
                .output
                .print(&json!({ "account": account, "session": which, "ended": true }), |_| done.to_owned())?)
        }
    }
}

fn text(list: &SessionList) -> String {
    if list.sessions.is_empty() {
        return "Nobody is signed in with this account.\n".to_owned();
    }
    let rows: Vec<_> = list
        .sessions
        .iter()
        .map(|session| {
            let (seen, until) = (session.last_seen_at.to_string(), session.expires_at.to_string());
            [session.device_name.clone(), session.created_at.to_string(), seen, until, session.id.to_string()]
        })
        .collect();
    table(["DEVICE", "SIGNED IN", "LAST SEEN", "ENDS", "ID"], &rows)
}
