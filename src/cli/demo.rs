// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave demo`: an appliance on loopback that claims itself and says where to go.
//!
//! It is the real appliance with the real API: everything here goes through the admin socket.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;

use clap::Args;
use hyper::Method;
use serde_json::json;

use crate::api::types::{AccountList, CreatedAccount, PasswordSet, SetupDone, Status, WorkspaceList, WorkspaceView};
use crate::cli::Common;
use crate::cli::client::{Client, ClientError};
use crate::cli::exit::Failure;
use crate::cli::output::{facts, grouped, print};
use crate::config;
use crate::lifecycle::{self, Options, Ready};

const WORKSPACE: &str = "demo";
const ADMIN: &str = "ada";
const OPERATOR: &str = "operator";
/// The port that is tried first, and how many after it.
const PORT: u16 = 8_443;
const PORTS: u16 = 100;

/// Run an appliance with a demo workspace.
#[derive(Debug, Args)]
pub struct Demo {
    /// Directory of the demo's files; kept between runs
    #[arg(long, value_name = "DIR", default_value = "./conclave-demo")]
    data_dir: PathBuf,
    /// Port of HTTPS on loopback [default: 8443, or the next free one]
    #[arg(long)]
    port: Option<u16>,
}

/// Runs until a signal ends it.
pub fn run(demo: Demo, common: &Common) -> Result<(), Failure> {
    let data_dir = std::path::absolute(&demo.data_dir)?;
    let port = demo.port.or_else(free_port).unwrap_or(0);
    let mut raw = config::read(common.config.as_deref())?;
    raw.admin.socket = common.admin_socket.clone().unwrap_or_else(|| data_dir.join("admin.sock"));
    raw.data_dir = data_dir;
    raw.https.listen = vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
    let config = config::resolve(raw)?;
    config::paths::check(&config)?;
    let announce = async |ready: Ready| {
        let text = match prepare(&ready).await {
            Ok(text) => text,
            Err(error) => format!("conclave: the demo could not be prepared: {error}\n"),
        };
        // Nothing else can be done about a closed standard output.
        drop(print(&text));
    };
    Ok(lifecycle::run(config, Options::default(), announce)?)
}

/// The first port that is free on both loopback addresses, TCP and UDP.
fn free_port() -> Option<u16> {
    let free = |address: SocketAddr| TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok();
    (PORT..PORT + PORTS)
        .find(|port| free((Ipv4Addr::LOCALHOST, *port).into()) && free((Ipv6Addr::LOCALHOST, *port).into()))
}

async fn prepare(ready: &Ready) -> Result<String, ClientError> {
    let client = Client::new(&ready.admin_socket);
    let status: Status = client.get("/api/v1/system/status").await?;
    if status.claim == "unclaimed" {
        let body = json!({
            "names": ["localhost"], "networks": ["127.0.0.0/8", "::1/128"],
            "operator": { "user_name": OPERATOR, "display_name": "Demo operator" },
        });
        let _: SetupDone = client.send_json(Method::POST, "/api/v1/system/setup", &body).await?;
    }
    let found: WorkspaceList = client.get(&format!("/api/v1/system/workspaces?name={WORKSPACE}")).await?;
    let workspace = match found.workspaces.into_iter().next() {
        Some(workspace) => workspace,
        None => {
            let body = json!({ "name": WORKSPACE });
            client.send_json::<WorkspaceView>(Method::POST, "/api/v1/system/workspaces", &body).await?
        }
    };
    let accounts = format!("/api/v1/system/workspaces/{}/accounts", workspace.id);
    let password = fresh_password(&client, &accounts).await?;
    let status: Status = client.get("/api/v1/system/status").await?;

    let port = ready.https.first().map_or(PORT, SocketAddr::port);
    let facts = facts(&[
        ("  Open", format!("https://localhost:{port}/")),
        ("  Workspace", WORKSPACE.to_owned()),
        ("  User name", ADMIN.to_owned()),
        ("  Password", format!("{password}   (new at every start)")),
        ("  Appliance", grouped(&status.appliance).to_lowercase()),
        ("  Root SHA-256", grouped(&status.trust.fingerprint)),
        ("  Root to trust", format!("https://localhost:{port}/api/v1/trust/root.pem")),
        ("  Command line", format!("conclave --admin-socket {} status", ready.admin_socket.display())),
    ]);
    Ok(format!("\nConclave is running.\n\n{facts}\nCtrl-C stops it.\n"))
}

/// The demo admin's password: of a new account, or set anew.
async fn fresh_password(client: &Client, accounts: &str) -> Result<String, ClientError> {
    let found: AccountList = client.get(&format!("{accounts}?user_name={ADMIN}")).await?;
    let told = match found.accounts.first() {
        Some(account) => {
            let path = format!("{accounts}/{}/password", account.id);
            client.send_json::<PasswordSet>(Method::PUT, &path, &json!({})).await?.initial_password
        }
        None => {
            let body = json!({ "user_name": ADMIN, "display_name": "Ada Lovelace", "role": "admin" });
            client.send_json::<CreatedAccount>(Method::POST, accounts, &body).await?.initial_password
        }
    };
    told.ok_or_else(|| ClientError::Unreadable("no password was told".to_owned()))
}
