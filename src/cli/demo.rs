// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave demo`: an appliance on loopback that claims itself and says where to go.
//!
//! It is the real appliance with the real API: everything here goes through the admin socket.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use hyper::Method;
use serde_json::json;

use crate::api::types::{AccountList, CreatedAccount, PasswordSet, SetupDone, Status, WorkspaceList, WorkspaceView};
use crate::cli::Common;
use crate::cli::client::{Client, ClientError};
use crate::cli::exit::Failure;
use crate::cli::output::{facts, grouped, print};
use crate::config::{self, raw::RawConfig};
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
    // The configuration of this machine's own appliance is none of the demo's business, its master key least of all.
    let mut raw = match &common.config {
        Some(named) => config::read(Some(named))?,
        None => RawConfig::default(),
    };
    raw.master_key_file = None;
    raw.admin.socket = common.admin_socket.clone().unwrap_or_else(|| data_dir.join("admin.sock"));
    raw.data_dir = data_dir;
    raw.https.listen = listen(demo.port.filter(|port| *port != 0))?;
    let config = config::resolve(raw)?;
    config::paths::check(&config)?;

    let mut failed = None;
    let announce = async |ready: Ready| match prepare(&ready).await {
        Ok(text) => {
            // Nothing else can be done about a closed standard output.
            drop(print(&text));
            ControlFlow::Continue(())
        }
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    };
    lifecycle::run(config, Options::default(), announce)?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Loopback, on the asked port or the first free one. IPv6 is left out on a machine without it.
fn listen(asked: Option<u16>) -> std::io::Result<Vec<SocketAddr>> {
    let v4 = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let v6 = |port| SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let families: Vec<fn(u16) -> SocketAddr> = match TcpListener::bind(v6(0)) {
        Ok(_) => vec![v4, v6],
        Err(_) => vec![v4],
    };
    let free = |address: SocketAddr| TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok();
    let mut ports = PORT..PORT + PORTS;
    let port = asked.or_else(|| ports.find(|port| families.iter().all(|family| free(family(*port)))));
    let none = || {
        std::io::Error::new(
            std::io::ErrorKind::AddrInUse,
            format!("no free port from {PORT} to {}: name one with --port", PORT + PORTS - 1),
        )
    };
    let port = port.ok_or_else(none)?;
    Ok(families.into_iter().map(|family| family(port)).collect())
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
