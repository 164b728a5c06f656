// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave setup …`: claims a new appliance from its own host, or says how to do so in a browser.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hyper::Method;
use ipnet::IpNet;
use serde_json::json;

use crate::api::types::Status;
use crate::api::types::setup::{ScopeDone, SetupCodeView, SetupDone};
use crate::cli::Door;
use crate::cli::addresses;
use crate::cli::client::ClientError;
use crate::cli::exit::Failure;
use crate::cli::kit::{self, Kit, Whose};
use crate::cli::output::{Output, facts, grouped};
use crate::platform::qr::{self, Ground};

/// The claim.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Claim a new appliance: fix names and networks, make the first operator and the recovery kit
    Claim(Claim),
    /// Show where a new appliance is claimed in a browser, and the code for it
    Code {
        /// Make a new code, also when one holds
        #[arg(long)]
        new: bool,
    },
}

/// Claim a new appliance.
#[derive(Debug, Args)]
pub struct Claim {
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
    #[command(flatten)]
    kit: KitChoice,
}

/// Where the recovery kit goes. Without any of these it is shown on the terminal, and three of its words are asked for.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct KitChoice {
    /// Write the recovery kit into this file, which must not be there
    #[arg(long, value_name = "FILE")]
    kit_file: Option<PathBuf>,
    /// Public key of a kit that was made elsewhere (`conclave recovery new`)
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    recovery_public_key: Option<String>,
    /// Do without a recovery kit: a lost master key is lost
    #[arg(long)]
    without_recovery_kit: bool,
}

/// Runs the command.
pub async fn run(door: &Door, command: Command) -> Result<(), Failure> {
    match command {
        Command::Claim(claim) => claim.run(door).await,
        Command::Code { new } => code(door, new).await,
    }
}

impl Claim {
    async fn run(self, door: &Door) -> Result<(), Failure> {
        let display_name = self.display_name.clone().unwrap_or_else(|| self.operator.clone());
        let operator = json!({ "user_name": self.operator, "display_name": display_name });
        let shown = self.kit.recovery_public_key.is_none() && !self.kit.without_recovery_kit;
        let done =
            if shown { self.with_kit(door, &operator).await? } else { self.in_one_step(door, &operator).await? };
        Ok(door.output.print(&done, |done| self.text(done))?)
    }

    /// With a kit that was made elsewhere, or without one.
    async fn in_one_step(&self, door: &Door, operator: &serde_json::Value) -> Result<SetupDone, Failure> {
        let key = &self.kit.recovery_public_key;
        let body = json!({
            "names": self.name, "networks": self.network, "operator": operator,
            "recovery_public_key": key, "without_recovery_kit": key.is_none(),
        });
        Ok(door.client.send_json(Method::POST, "/api/v1/system/setup", &body).await?)
    }

    /// First the root, because its fingerprint stands on the kit; then the kit, on paper; then the claim.
    async fn with_kit(&self, door: &Door, operator: &serde_json::Value) -> Result<SetupDone, Failure> {
        if let Some(file) = &self.kit.kit_file {
            kit::refuse_existing(file)?;
        }
        let status: Status = door.client.get("/api/v1/system/status").await?;
        if status.claim != "unclaimed" {
            // This door says so, where the setup page's is gone.
            return self.in_one_step(door, operator).await;
        }
        let scope = json!({ "names": self.name, "networks": self.network });
        let root: ScopeDone = door.client.send_json(Method::PUT, "/api/v1/setup/scope", &scope).await?;
        let made = Kit::make()?;
        let whose = Whose {
            appliance: &status.appliance,
            identity_key: &status.identity_key.0,
            root_fingerprint: &root.root_fingerprint,
        };
        match &self.kit.kit_file {
            Some(file) => made.write(file, Some(&whose))?,
            None if door.output == Output::Json => {
                return Err(Failure::Usage("with --json the kit needs a place of its own: --kit-file FILE".to_owned()));
            }
            None => made.show_and_prove(&whose)?,
        }
        let body = json!({
            "operator": operator,
            "recovery_public_key": kit::base64_url(&made.public().to_bytes()),
            "root_fingerprint": root.root_fingerprint,
        });
        let claimed = door.client.send_json(Method::POST, "/api/v1/setup/claim", &body).await;
        let error = match claimed {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let Some(file) = &self.kit.kit_file else { return Err(error.into()) };
        if matches!(&error, ClientError::Refused(problem) if (400..500).contains(&problem.status)) {
            // A kit of nothing would only mislead.
            drop(std::fs::remove_file(file));
            return Err(error.into());
        }
        // The claim may have been made before the answer was lost, and then this is the only copy of its kit.
        Err(Failure::KitKept { file: file.display().to_string(), why: Box::new(error.into()) })
    }

    fn text(&self, done: &SetupDone) -> String {
        let mut known = vec![("Workspace", "system".to_owned()), ("User name", done.operator.user_name.to_string())];
        if let Some(password) = &done.initial_password {
            known.push(("Password", format!("{password}   (told this once)")));
        }
        known.push(("Root SHA-256", grouped(&done.root_fingerprint)));
        if let Some(url) = done.urls.first() {
            known.push(("Console", url.clone()));
        }
        let kit = match (&self.kit.kit_file, &self.kit.recovery_public_key) {
            (Some(file), _) => {
                format!("The recovery kit is in {}: print it, and take it off this machine.\n", file.display())
            }
            (None, None) if self.kit.without_recovery_kit => {
                "There is no recovery kit: keep a copy of the master key elsewhere, or nothing opens without it.\n"
                    .to_owned()
            }
            _ => String::new(),
        };
        format!(
            "The appliance is claimed. Compare the root's fingerprint on each device that imports it.\n\n{}\n{kit}Next: conclave workspace create NAME\n",
            facts(&known)
        )
    }
}

async fn code(door: &Door, new: bool) -> Result<(), Failure> {
    addresses::hand_over(door).await?;
    let body = json!({ "new": new });
    let code: SetupCodeView = door.client.send_json(Method::POST, "/api/v1/system/setup/code", &body).await?;
    let text = |code: &SetupCodeView| {
        let mut known: Vec<(&str, String)> = code.urls.iter().map(|url| ("Open", url.clone())).collect();
        known.push(("Setup code", code.code.clone()));
        known.push(("Holds until", format!("{}, for {} wrong tries", code.expires_at, code.tries_left)));
        known.push(("Certificate", grouped(&code.fingerprint)));
        let qr = code.urls.first().map(|url| qr::code(url, Ground::Terminal)).unwrap_or_default();
        format!(
            "{}\n{qr}\nThe browser warns, because nobody vouches for the certificate yet: compare its SHA-256 with the one above.\n",
            facts(&known)
        )
    };
    Ok(door.output.print(&code, text)?)
}
