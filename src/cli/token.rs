// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave token …`: tokens of programs that watch the appliance.

use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use crate::api::types::doctor::{ApiTokenList, ApiTokenMade, ApiTokenView};
use crate::cli::Door;
use crate::cli::client::percent_encoded;
use crate::cli::exit::Failure;
use crate::cli::output::{facts, table};

const PATH: &str = "/api/v1/system/tokens";

/// Tokens of programs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the tokens
    List,
    /// Make a token that reads the metrics
    Create {
        /// Whose it is, such as prometheus
        name: String,
        /// Let it end after so many days
        #[arg(long, value_name = "DAYS")]
        days: Option<u32>,
    },
    /// Remove a token: it opens nothing any more
    Remove {
        /// Its id
        token: String,
    },
}

/// Runs the command.
pub async fn run(door: &Door, command: Command) -> Result<(), Failure> {
    match command {
        Command::List => {
            let list: ApiTokenList = door.client.get(PATH).await?;
            Ok(door.output.print(&list, listed)?)
        }
        Command::Create { name, days } => {
            let body = json!({ "name": name, "days": days });
            let made: ApiTokenMade = door.client.send_json(Method::POST, PATH, &body).await?;
            Ok(door.output.print(&made, told)?)
        }
        Command::Remove { token } => {
            door.client.send_empty(Method::DELETE, &format!("{PATH}/{}", percent_encoded(&token))).await?;
            let done = format!("The token {token} opens nothing any more.\n");
            Ok(door.output.print(&json!({ "id": token, "removed": true }), |_| done)?)
        }
    }
}

fn ends(token: &ApiTokenView) -> String {
    token.expires_at.map_or_else(|| "never".to_owned(), |at| at.to_string())
}

fn listed(list: &ApiTokenList) -> String {
    if list.tokens.is_empty() {
        return "There is no token. Make one: conclave token create prometheus\n".to_owned();
    }
    let row = |token: &ApiTokenView| {
        let made = token.created_at.to_string();
        [token.id.to_string(), token.name.to_string(), token.scope.clone(), made, ends(token)]
    };
    table(["TOKEN", "NAME", "OPENS", "MADE", "ENDS"], &list.tokens.iter().map(row).collect::<Vec<_>>())
}

fn told(made: &ApiTokenMade) -> String {
    let known = [
        ("Token", format!("{}   (told this once)", made.token)),
        ("Opens", "GET /metrics, with `Authorization: Bearer …`".to_owned()),
        ("Id", made.view.id.to_string()),
        ("Ends", ends(&made.view)),
    ];
    facts(&known)
}
