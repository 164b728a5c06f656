// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave setup`: claims a new appliance from its own host.

use clap::Args;
use hyper::Method;
use ipnet::IpNet;
use serde_json::json;

use crate::api::types::SetupDone;
use crate::cli::Door;
use crate::cli::exit::Failure;
use crate::cli::output::{facts, grouped};

/// Claim a new appliance.
#[derive(Debug, Args)]
pub struct Setup {
    /// DNS name of the appliance, or a suffix of its names; may be given several times
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Network of its addresses, such as 192.168.0.0/16; may be given several times
    #[arg(long, value_name = "CIDR")]
    network: Vec<IpNet>,
    /// User name of the first operator
    #[arg(long, value_name = "NAME")]
    operator: String,
    /// What others see [default: the user name]
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
}

/// Runs the command.
pub async fn run(door: &Door, setup: Setup) -> Result<(), Failure> {
    let Setup { name, network, operator, display_name } = setup;
    let display_name = display_name.unwrap_or_else(|| operator.clone());
    let body = json!({
        "names": name, "networks": network,
        "operator": { "user_name": operator, "display_name": display_name },
    });
    let done: SetupDone = door.client.send_json(Method::POST, "/api/v1/system/setup", &body).await?;
    let text = |done: &SetupDone| {
        let facts = facts(&[
            ("Workspace", "system".to_owned()),
            ("User name", done.operator.user_name.to_string()),
            ("Password", format!("{}   (told this once)", done.initial_password)),
            ("Root SHA-256", grouped(&done.root_fingerprint)),
        ]);
        format!(
            "The appliance is claimed. Compare the root's fingerprint on each device that imports it.\n\n{facts}\nNext: conclave workspace create NAME\n"
        )
    };
    Ok(door.output.print(&done, text)?)
}
