// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave operator …`: what only the host can do for those who run the appliance.

use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use crate::api::types::setup::RecoveryLink;
use crate::cli::Door;
use crate::cli::client::{ClientError, percent_encoded};
use crate::cli::exit::Failure;
use crate::cli::output::facts;
use crate::platform::qr::{self, Ground};

/// Operators.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a link by which an operator sets a new password, once and within an hour
    Recover {
        /// User name
        name: String,
    },
}

/// Runs the command.
pub async fn run(door: &Door, command: Command) -> Result<(), Failure> {
    let Command::Recover { name } = command;
    let path = format!("/api/v1/system/operators/{}/recovery", percent_encoded(&name));
    let made: Result<RecoveryLink, _> = door.client.send_json(Method::POST, &path, &json!({})).await;
    let link = made.map_err(|error| match error {
        ClientError::Refused(problem) if problem.code == "not-found" => Failure::NotFound(format!(
            "there is no operator {name:?} who is active: `conclave account list -w system` shows those there are"
        )),
        other => other.into(),
    })?;
    let text = |link: &RecoveryLink| {
        let facts = facts(&[
            ("Operator", link.user_name.to_string()),
            ("Link", link.url.clone()),
            ("Holds until", format!("{}, once", link.expires_at)),
        ]);
        format!(
            "{facts}\n{}\nWhoever opens it sets the password. Older links of this operator are void, and the other operators see that it was made.\n",
            qr::code(&link.url, Ground::Terminal)
        )
    };
    Ok(door.output.print(&link, text)?)
}
