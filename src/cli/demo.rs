// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave demo`: an appliance on loopback that claims itself, has people in a room, and says where to go.
//!
//! It is the real appliance, with clients like any other. `stage` is what they find there, `people` are they, `figures`
//! is the line of what goes on.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::cli::Common;
use crate::cli::bench::duration;
use crate::cli::exit::Failure;
use crate::cli::output::{facts, grouped, print};
use crate::config::{self, raw::RawConfig};
use crate::lifecycle::{self, Options, Ready};

use self::figures::Figures;
use self::people::People;
use self::stage::{ADMIN, ROOM, Stage, WORKSPACE};

mod figures;
mod people;
mod stage;

/// The port that is tried first, and how many after it.
const PORT: u16 = 8_443;
const PORTS: u16 = 100;

/// Run an appliance with a demo workspace and people in a room.
#[derive(Debug, Args)]
pub struct Demo {
    /// Directory of the demo's files; kept between runs
    #[arg(long, value_name = "DIR", default_value = "./conclave-demo")]
    data_dir: PathBuf,
    /// Port of HTTPS and of the relay on loopback [default: 8443, or the next free one]
    #[arg(long)]
    port: Option<u16>,
    /// Leave the room empty
    #[arg(long)]
    empty: bool,
    /// How often to print figures, 0 for never [default: 1s on a terminal, 10s elsewhere]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    figures: Option<Duration>,
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
    raw.data_dir.clone_from(&data_dir);
    raw.https.listen = listen(demo.port.filter(|port| *port != 0))?;
    let config = config::resolve(raw)?;
    config::paths::check(&config)?;

    let mut failed = None;
    let beside = async |ready: Ready| match demo.show(&data_dir, &ready).await {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    };
    lifecycle::run(config, Options::default(), beside)?;
    failed.map_or(Ok(()), Err)
}

impl Demo {
    /// Sets the stage, says where to go, and has people come and figures printed until it is told to stop.
    async fn show(&self, data_dir: &Path, ready: &Ready) -> Result<(), Failure> {
        let begin = async {
            let stage = Stage::prepare(ready).await?;
            let password = stage.fresh_password(ADMIN, "Ada Lovelace", "admin").await?;
            let root = data_dir.join("root.pem");
            std::fs::write(&root, stage.root_pem())?;
            // Nothing else can be done about a closed standard output.
            drop(print(&self.text(&stage, ready, &password, &root)));
            let people = if self.empty { None } else { Some(People::invite(&stage).await?) };
            Ok::<_, Failure>((stage, people))
        };
        let (stage, people) = tokio::select! {
            begun = begin => begun?,
            () = ready.told_to_stop() => return Ok(()),
        };
        let figures = Figures::new(self.figures);
        tokio::select! {
            () = figures.show(&stage), if self.wants_figures() => {}
            () = ready.told_to_stop() => {}
        }
        figures.end();
        if let Some(people) = people {
            people.leave().await;
        }
        Ok(())
    }

    fn wants_figures(&self) -> bool {
        self.figures != Some(Duration::ZERO)
    }

    /// Where to go.
    fn text(&self, stage: &Stage, ready: &Ready, password: &str, root: &Path) -> String {
        let (origin, program) = (stage.origin(), program());
        let socket = quoted(&ready.admin_socket.to_string_lossy());
        let there =
            if self.empty { "nobody in it yet".to_owned() } else { format!("with {} (synthetic)", people::names()) };
        let facts = facts(&[
            ("  Open", format!("{origin}/")),
            ("  Workspace", WORKSPACE.to_owned()),
            ("  User name", ADMIN.to_owned()),
            ("  Password", format!("{password}   (new at every start)")),
            ("  Room", format!("{ROOM}, {there}")),
            ("  Appliance", grouped(&stage.appliance).to_lowercase()),
            ("  Root SHA-256", grouped(&stage.trust.fingerprint)),
            ("  Root to trust", format!("{origin}/api/v1/trust/root.pem")),
            ("  Command line", format!("{program} --admin-socket {socket} status")),
        ]);
        let root = quoted(&root.to_string_lossy());
        let join = [
            format!("  CONCLAVE_PASSWORD={password} {program} client \\"),
            format!("    --server {origin} --root {root} \\"),
            format!("    --workspace {WORKSPACE} --user {ADMIN} --room {ROOM} --pose generated --record heard"),
        ]
        .join("\n");
        let figures =
            if self.wants_figures() { "Figures: frames a second, to the relay → from the relay. " } else { "" };
        format!(
            "\nConclave is running.\n\n{facts}\nTo join without a headset:\n\n{join}\n\n{figures}Ctrl-C stops it.\n\n"
        )
    }
}

/// This program, so that a shell finds it anywhere: by its path unless it was found by its name.
fn program() -> String {
    let named = std::env::args().next().unwrap_or_else(|| "conclave".to_owned());
    let path = if named.contains('/') { std::path::absolute(&named).ok() } else { None };
    quoted(&path.map_or(named, |path| path.to_string_lossy().into_owned()))
}

/// As a shell reads it back.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:=@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_paths_back() {
        assert_eq!(quoted("/home/ada/conclave-demo/root.pem"), "/home/ada/conclave-demo/root.pem");
        assert_eq!(quoted("/home/Ada's files/$HOME"), r"'/home/Ada'\''s files/$HOME'");
        assert_eq!(quoted(""), "''");
    }
}
