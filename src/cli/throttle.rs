// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave throttle …`.

use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use crate::api::types::ThrottleList;
use crate::cli::client::percent_encoded;
use crate::cli::exit::Failure;
use crate::cli::output::table;
use crate::cli::{Door, InWorkspace, workspace};

/// Waits before sign-ins.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the names that were tried wrongly, and when each may be tried again
    List {
        #[command(flatten)]
        at: InWorkspace,
    },
    /// Forget the wrong tries for a name: it may be tried at once
    Clear {
        #[command(flatten)]
        at: InWorkspace,
        /// User name, as it was typed
        user: String,
    },
}

/// Runs the command.
pub async fn run(door: &Door, command: Command) -> Result<(), Failure> {
    match command {
        Command::List { at } => {
            let path = workspace::path_to(door, &at, "throttles").await?;
            let list: ThrottleList = door.client.get(&path).await?;
            Ok(door.output.print(&list, text)?)
        }
        Command::Clear { at, user } => {
            let path = workspace::path_to(door, &at, "throttles").await?;
            door.client.send_empty(Method::DELETE, &format!("{path}/{}", percent_encoded(&user))).await?;
            let done = format!("{user} may try to sign in at once.\n");
            Ok(door.output.print(&json!({ "user_name": user, "cleared": true }), |_| done)?)
        }
    }
}

fn text(list: &ThrottleList) -> String {
    if list.throttles.is_empty() {
        return "Nobody was tried wrongly since yesterday.\n".to_owned();
    }
    let rows: Vec<_> = list
        .throttles
        .iter()
        .map(|throttle| {
            [
                throttle.user_name.to_string(),
                throttle.wrong_tries.to_string(),
                throttle.last_try_at.to_string(),
                throttle.next_try_at.to_string(),
            ]
        })
        .collect();
    table(["USER", "WRONG TRIES", "LAST", "NEXT MAY BE"], &rows)
}
