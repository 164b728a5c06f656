// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave policy …`.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use crate::api::types::workspaces::WorkspacePolicyView;
use crate::cli::exit::Failure;
use crate::cli::output::facts;
use crate::cli::workspace::Allowed;
use crate::cli::{Door, InWorkspace, workspace};

/// What a workspace permits.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what a workspace permits
    Show {
        #[command(flatten)]
        at: InWorkspace,
    },
    /// Change what a workspace permits; meetings and sessions follow at once
    Set {
        #[command(flatten)]
        at: InWorkspace,
        #[command(flatten)]
        change: Change,
    },
}

/// What is not given stays.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct Change {
    /// Whether voice is forwarded in its meetings
    #[arg(long, value_enum)]
    voice: Option<Allowed>,
    /// Whether screens may be shared in its meetings
    #[arg(long, value_enum)]
    screen_share: Option<Allowed>,
    /// Whether guests may sign in
    #[arg(long, value_enum)]
    guests: Option<Allowed>,
    /// Whether scripts may sign in without sealing the credential
    #[arg(long, value_enum)]
    plain_sign_in: Option<Allowed>,
    /// Whether people may be signed in on several devices at once
    #[arg(long, value_enum)]
    several_devices: Option<Allowed>,
    /// Hours after which a session that nobody uses ends, 1 to 168
    #[arg(long, value_name = "HOURS")]
    idle_hours: Option<u16>,
    /// Days after which a session ends however busy, 1 to 90
    #[arg(long, value_name = "DAYS")]
    session_days: Option<u16>,
    /// Days for which a device may stay signed in unused when its person wants that, 0 to 90
    #[arg(long, value_name = "DAYS")]
    persistent_days: Option<u16>,
}

impl Change {
    fn body(&self) -> Value {
        let allowed = |setting: Option<Allowed>| setting.map(Allowed::to_bool);
        json!({
            "voice": allowed(self.voice),
            "screen_share": allowed(self.screen_share),
            "guests": allowed(self.guests),
            "plain_sign_in": allowed(self.plain_sign_in),
            "single_device": allowed(self.several_devices).map(|several| !several),
            "idle_hours": self.idle_hours,
            "session_days": self.session_days,
            "persistent_days": self.persistent_days,
        })
    }
}

/// Runs the command.
pub async fn run(door: &Door, command: Command) -> Result<(), Failure> {
    let view: WorkspacePolicyView = match command {
        Command::Show { at } => door.client.get(&workspace::path_to(door, &at, "policy").await?).await?,
        Command::Set { at, change } => {
            let path = workspace::path_to(door, &at, "policy").await?;
            door.client.send_json(Method::PATCH, &path, &change.body()).await?
        }
    };
    Ok(door.output.print(&view, text)?)
}

fn text(policy: &WorkspacePolicyView) -> String {
    let allowed = |allowed: bool| if allowed { "allowed" } else { "refused" }.to_owned();
    let voice = if policy.appliance_voice { "" } else { " (off for the whole appliance)" };
    let persistent = match policy.persistent_days {
        0 => "no".to_owned(),
        days => format!("for {days} days without being used"),
    };
    facts(&[
        ("Voice", format!("{}{voice}", allowed(policy.voice))),
        ("Screen share", allowed(policy.screen_share)),
        ("Guests", allowed(policy.guests)),
        ("Plain sign-in", allowed(policy.plain_sign_in)),
        ("Several devices", allowed(!policy.single_device)),
        ("Factors", policy.factors.join(", ")),
        ("Session ends", format!("after {} h unused, {} days at last", policy.idle_hours, policy.session_days)),
        ("Stay signed in", persistent),
    ])
}
