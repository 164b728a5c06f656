// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave appliance …`.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use crate::api::types::appliance::{ApplianceView, AuthorityList};
use crate::cli::Door;
use crate::cli::account::Switch;
use crate::cli::exit::Failure;
use crate::cli::output::{facts, table};

/// What is the same for the whole appliance.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show who runs the appliance, where its data is, and whether it has voice
    Show,
    /// Change that
    Set {
        #[command(flatten)]
        change: Change,
    },
    /// List the supervisory authorities of the EU and the EEA
    Authorities,
}

/// What is not given stays.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct Change {
    /// Whether voice is forwarded at all; every meeting follows at once
    #[arg(long, value_enum)]
    voice: Option<Switch>,
    /// The organisation that runs it
    #[arg(long, value_name = "TEXT")]
    operator: Option<String>,
    /// Its postal address
    #[arg(long, value_name = "TEXT")]
    address: Option<String>,
    /// How to reach it
    #[arg(long, value_name = "TEXT")]
    contact: Option<String>,
    /// Who answers questions about privacy, and how to reach them
    #[arg(long, value_name = "TEXT")]
    privacy_contact: Option<String>,
    /// Country of the supervisory authority, such as NL
    #[arg(long, value_name = "COUNTRY")]
    authority: Option<String>,
    /// Where the data is, in words
    #[arg(long, value_name = "TEXT")]
    residency: Option<String>,
}

const APPLIANCE: &str = "/api/v1/system/appliance";

/// Runs the command.
pub async fn run(door: &Door, command: Command) -> Result<(), Failure> {
    let view: ApplianceView = match command {
        Command::Show => door.client.get(APPLIANCE).await?,
        Command::Set { change } => {
            let present: ApplianceView = door.client.get(APPLIANCE).await?;
            door.client.send_json(Method::PATCH, APPLIANCE, &change.body(&present)).await?
        }
        Command::Authorities => {
            let list: AuthorityList = door.client.get("/api/v1/supervisory-authorities").await?;
            return Ok(door.output.print(&list, authorities_text)?);
        }
    };
    Ok(door.output.print(&view, text)?)
}

impl Change {
    fn body(self, present: &ApplianceView) -> Value {
        let said = [&self.operator, &self.address, &self.contact, &self.privacy_contact];
        let is_said = said.iter().any(|said| said.is_some());
        let identity = &present.operator;
        let operator = json!({
            "name": self.operator.unwrap_or_else(|| identity.name.to_string()),
            "address": self.address.unwrap_or_else(|| identity.address.to_string()),
            "contact": self.contact.unwrap_or_else(|| identity.contact.to_string()),
            "privacy_contact": self.privacy_contact.unwrap_or_else(|| identity.privacy_contact.to_string()),
        });
        json!({
            "voice": self.voice.map(|voice| voice == Switch::On),
            "supervisory_authority": self.authority.map(|country| country.to_ascii_uppercase()),
            "residency": self.residency,
            "operator": is_said.then_some(operator),
        })
    }
}

fn text(view: &ApplianceView) -> String {
    let said = |text: &str| if text.is_empty() { "not said yet".to_owned() } else { text.to_owned() };
    let authority = &view.supervisory_authority;
    facts(&[
        ("Operator", said(view.operator.name.as_str())),
        ("Address", said(view.operator.address.as_str())),
        ("Contact", said(view.operator.contact.as_str())),
        ("Privacy contact", said(view.operator.privacy_contact.as_str())),
        ("Authority", format!("{} ({}), {}", authority.name, authority.country, authority.website)),
        ("Residency", said(view.residency.as_str())),
        ("Voice", if view.voice { "on" } else { "off, in every room" }.to_owned()),
    ])
}

fn authorities_text(list: &AuthorityList) -> String {
    let rows: Vec<_> =
        list.authorities.iter().map(|one| [one.country.clone(), one.name.clone(), one.website.clone()]).collect();
    table(["COUNTRY", "NAME", "WEBSITE"], &rows)
}
