// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave network …`: the client networks. No packet of the appliance leaves for an address outside them: the kernel
//! drops it, because the socket units say so.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command as Process;

use clap::Subcommand;
use ipnet::IpNet;
use serde::Serialize;

use crate::api::types::Addresses;
use crate::cli::exit::Failure;
use crate::cli::host::doctor::shown;
use crate::cli::host::{drop_in, output_of, put_drop_in, reload_units, require_root};
use crate::cli::output::Output;
use crate::cli::{Door, addresses};

/// The units whose sockets see a network.
pub const SOCKETS: [&str; 2] = ["conclave-https.socket", "conclave-quic.socket"];
/// The part of them that is written here.
const DROP_IN: &str = "50-networks.conf";

/// Client networks.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Let clients come from a network, and packets leave for it
    Allow {
        /// Network, such as 203.0.113.0/24
        network: IpNet,
        /// Allow every address there is: the fence is gone then
        #[arg(long)]
        without_fence: bool,
    },
    /// Take a network back
    Deny {
        /// Network, as it is listed
        network: IpNet,
    },
    /// List the networks
    List,
    /// Tell the appliance by which addresses this host is reached
    Addresses,
}

/// What is allowed.
#[derive(Debug, Serialize)]
struct Networks {
    networks: Vec<IpNet>,
}

/// Runs what is done to the host.
pub fn run(command: &Command, output: Output) -> Result<(), Failure> {
    let mut networks = allowed()?;
    match command {
        Command::Allow { network, without_fence } => {
            require_root()?;
            networks.push(network.trunc());
            if let Some(wide) = too_wide(&networks).filter(|_| !without_fence) {
                return Err(Failure::Usage(format!(
                    "{wide} is no network of somebody's own: packets could leave for nearly anywhere. Name your own networks, or say --without-fence"
                )));
            }
            networks.sort();
            networks.dedup();
            apply(&networks)?;
        }
        Command::Deny { network } => {
            require_root()?;
            let before = networks.len();
            networks.retain(|allowed| allowed != &network.trunc());
            if networks.len() == before {
                return Err(Failure::NotFound(not_listed(*network, &networks)));
            }
            apply(&networks)?;
        }
        Command::List | Command::Addresses => {}
    }
    Ok(output.print(&Networks { networks }, text)?)
}

/// Tells the appliance the addresses of this host.
pub async fn hand_over(door: &Door) -> Result<(), Failure> {
    let told = addresses::hand_over(door).await?;
    let text = |told: &Addresses| match told.addresses.is_empty() {
        true => "This host has no address that others could type.\n".to_owned(),
        false => told.addresses.iter().map(|address| format!("{address}\n")).collect(),
    };
    Ok(door.output.print(&told, text)?)
}

fn text(networks: &Networks) -> String {
    let lines = networks.networks.iter().map(|network| format!("{network}\n"));
    format!(
        "Clients may be in these networks, on this host and on its links; packets leave for nowhere else.\n\n{}",
        lines.collect::<String>()
    )
}

fn not_listed(network: IpNet, networks: &[IpNet]) -> String {
    match networks.iter().find(|wider| wider.contains(&network)) {
        Some(wider) => format!("{network} is allowed as a part of {wider}: deny that, then allow the rest of it"),
        None => format!("{network} is not allowed: `conclave network list` shows what is"),
    }
}

/// Private and unique-local networks: what the units say when nobody said otherwise.
pub fn by_default() -> Vec<IpNet> {
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"].iter().filter_map(|text| text.parse().ok()).collect()
}

fn files() -> [PathBuf; 2] {
    SOCKETS.map(|unit| drop_in(unit, DROP_IN))
}

/// What is allowed now: what systemd says, wherever it has it from; without it, what the file here says.
pub fn allowed() -> Result<Vec<IpNet>, Failure> {
    let [https, _] = SOCKETS;
    if let Some(shown) = shown(https, "IPAddressAllow").filter(|shown| !shown.is_empty()) {
        return Ok(read_shown(&shown));
    }
    let [file, _] = files();
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(read(&text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(by_default()),
        Err(error) => Err(Failure::File(file.display().to_string(), error)),
    }
}

/// What all of them together make too wide to be a fence: more than the widest range that belongs to nobody in public.
pub fn too_wide(networks: &[IpNet]) -> Option<IpNet> {
    let least = |network: &IpNet| if network.addr().is_ipv4() { 8 } else { 7 };
    IpNet::aggregate(&networks.to_vec()).into_iter().find(|network| network.prefix_len() < least(network))
}

/// This host and its links, `localhost link-local` in the units.
fn is_always_allowed(network: &IpNet) -> bool {
    ["127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/64"].iter().any(|text| network.to_string() == *text)
}

fn read(text: &str) -> Vec<IpNet> {
    let values = text.lines().filter_map(|line| line.strip_prefix("IPAddressAllow="));
    values.flat_map(str::split_whitespace).filter_map(|word| word.parse().ok()).collect()
}

fn write(networks: &[IpNet]) -> String {
    let mut text = String::from(
        "# Written by `conclave network`. The first line takes back what the unit allows.\n[Socket]\nIPAddressAllow=\nIPAddressAllow=localhost link-local\n",
    );
    for network in networks {
        text += &format!("IPAddressAllow={network}\n");
    }
    text
}

/// Both units say the same; open sockets follow at once.
fn apply(networks: &[IpNet]) -> Result<(), Failure> {
    let wanted: BTreeSet<IpNet> = networks.iter().copied().collect();
    let text = (wanted != by_default().into_iter().collect()).then(|| write(networks));
    for file in files() {
        put_drop_in(&file, text.as_deref())?;
    }
    reload_units()?;
    for unit in SOCKETS {
        // systemd 257 forgets a filter at the reload and leaves it with the kernel until something of the unit is set.
        output_of(Process::new("systemctl").args(["set-property", "--runtime", unit, "IPAccounting=yes"]))?;
        let told: BTreeSet<IpNet> = shown(unit, "IPAddressAllow").map(|shown| read_shown(&shown)).unwrap_or_default();
        if told != wanted {
            let reason = format!(
                "{unit} does not hold to this list after the reload: another file says something else. `systemctl cat {unit}` shows which"
            );
            return Err(Failure::CheckFailed(reason));
        }
    }
    Ok(())
}

/// Networks as `systemctl show` prints them, but for this host and its links.
fn read_shown<T: FromIterator<IpNet>>(shown: &str) -> T {
    let networks = shown.split_whitespace().filter_map(|word| word.parse().ok());
    networks.filter(|network| !is_always_allowed(network)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let networks: Vec<IpNet> = ["203.0.113.0/24", "2001:db8::/32"].map(|text| text.parse().unwrap()).into();
        assert_eq!(read(&write(&networks)), networks);
        assert!(write(&networks).contains("\nIPAddressAllow=\nIPAddressAllow=localhost link-local\n"));
    }

    #[test]
    fn two_halves_are_as_wide_as_the_whole() {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
        assert_eq!(too_wide(&by_default()), None);
        for wide in [
            &["0.0.0.0/0"][..],
            &["0.0.0.0/1", "128.0.0.0/1"],
            &["::/1", "8000::/1"],
            &["2000::/3"],
            &["8.0.0.0/8", "9.0.0.0/8"],
        ] {
            assert!(too_wide(&networks(wide)).is_some(), "{wide:?}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_units() {
        for unit in SOCKETS {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd").join(unit);
            assert_eq!(read(&std::fs::read_to_string(path).unwrap()), by_default(), "{unit}");
        }
    }
}
