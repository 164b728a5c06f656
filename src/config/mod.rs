// SPDX-License-Identifier: AGPL-3.0-or-later
//! Configuration: file and flags (raw) become a checked [`Config`] (resolved), or an error that names the key.
//!
//! Nothing is bound or made before everything here holds, `paths` included. `keys` documents every key once; the reference
//! page and the commented example file are made from it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tracing::Level;

use crate::config::raw::RawConfig;
use crate::core::quota::Quota;
use crate::platform::https;
use crate::platform::password::Cost;
use crate::platform::store::{self, files::Layout};
use crate::platform::telemetry::Format;

pub mod keys;
pub mod paths;
pub mod provision;
pub mod raw;

/// Where the configuration is read from when nobody says otherwise.
pub const DEFAULT_FILE: &str = "/etc/conclave/conclave.toml";

/// Longest path of a Unix socket, in bytes (`sun_path` less its terminator).
const SOCKET_PATH_MAX: usize = 107;

/// A configuration that holds.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where files lie.
    pub layout: Layout,
    /// What a claim without a person is read from.
    pub provision: Option<PathBuf>,
    /// Where HTTPS listens.
    pub listen: Vec<SocketAddr>,
    /// How many requests one caller may send.
    pub quota: Quota,
    /// The admin socket.
    pub admin_socket: PathBuf,
    /// What is logged.
    pub log_level: Level,
    /// How it is logged.
    pub log_format: Format,
    /// Whether standard error goes to the journal.
    pub under_journald: bool,
    /// Bounds of the HTTP server.
    pub https: https::Limits,
    /// Bounds of the store.
    pub store: store::Limits,
    /// Cost of password hashing.
    pub password_cost: Cost,
}

/// Why there is no configuration. Names the key, the reason and the way out.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: cannot read the configuration: {source}. Name another file with --config, or leave it out for the defaults", path = path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of another type.
    #[error("{path}: {message}\nEvery key is described in docs/configuration.md; a commented example comes from `conclave config example`", path = path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What the parser said, with line and key.
        message: String,
    },
    /// A value that cannot be.
    #[error("{key} = {value}: {reason}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong, and the way out.
        reason: String,
    },
}

/// Reads a file. A missing file is an error when somebody named it, and means defaults when it is the usual one.
pub fn read(named: Option<&Path>) -> Result<RawConfig, ConfigError> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(ConfigError::Unreadable { path: path.to_owned(), source }),
    };
    toml::from_str(&text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    })
}

/// Checks every value.
pub fn resolve(raw: RawConfig) -> Result<Config, ConfigError> {
    check_listen(&raw.https.listen)?;
    for (key, path) in [("data_dir", &raw.data_dir), ("admin.socket", &raw.admin.socket)] {
        if !path.is_absolute() {
            return Err(value(key, path.display(), "is not an absolute path: write it from / on"));
        }
    }
    if raw.admin.socket.as_os_str().len() > SOCKET_PATH_MAX {
        return Err(value(
            "admin.socket",
            raw.admin.socket.display(),
            "is longer than 107 bytes, the most a socket path may have: choose a shorter one",
        ));
    }
    let log_level = raw.log.level.parse().map_err(|_| {
        value(
            "log.level",
            format!("{:?}", raw.log.level),
            "is no level: use \"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
        )
    })?;
    let cost = Cost { memory_kib: raw.password.memory_kib, passes: raw.password.passes };
    if cost.memory_kib < Cost::FLOOR.memory_kib || cost.memory_kib > 4 * 1_024 * 1_024 {
        return Err(value("password.memory_kib", cost.memory_kib, "is out of range: use 19456 (the floor) to 4194304"));
    }
    if cost.passes < Cost::FLOOR.passes || cost.passes > 64 {
        return Err(value("password.passes", cost.passes, "is out of range: use 2 (the floor) to 64"));
    }
    for (key, number) in [
        ("limits.connections", raw.limits.connections),
        ("limits.connections_per_address", raw.limits.connections_per_address),
        ("limits.open_workspaces", raw.limits.open_workspaces),
    ] {
        if number == 0 || number > 100_000 {
            return Err(value(key, number, "is out of range: use 1 to 100000"));
        }
    }
    let requests = raw.https.requests_per_minute;
    if !(60..=1_000_000).contains(&requests) {
        return Err(value("https.requests_per_minute", requests, "is out of range: use 60 to 1000000"));
    }
    Ok(Config {
        layout: match handed_over_master_key() {
            Some(path) => Layout::new(raw.data_dir, None).with_credential(path),
            None => Layout::new(raw.data_dir, raw.master_key_file),
        },
        provision: raw.provision,
        listen: raw.https.listen,
        quota: Quota::per_minute(raw.https.requests_per_minute),
        admin_socket: raw.admin.socket,
        log_level,
        log_format: raw.log.format.into(),
        under_journald: std::env::var_os("JOURNAL_STREAM").is_some(),
        https: https::Limits {
            connections: raw.limits.connections,
            connections_per_address: raw.limits.connections_per_address,
            ..https::Limits::default()
        },
        store: store::Limits { open_workspaces: raw.limits.open_workspaces },
        password_cost: cost,
    })
}

/// The name of the systemd credential that holds the master key. It wins over the file: `conclave key seal` makes it from
/// the file, which is gone afterwards.
pub const MASTER_KEY_CREDENTIAL: &str = "conclave.master-key";

/// Where `conclave key seal` puts it, for the units of the package.
pub const SEALED_MASTER_KEY: &str = "/etc/conclave/master.key.sealed";

fn handed_over_master_key() -> Option<PathBuf> {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY")?;
    Some(Path::new(&directory).join(MASTER_KEY_CREDENTIAL)).filter(|path| path.exists())
}

fn value(key: &'static str, value: impl ToString, reason: &str) -> ConfigError {
    ConfigError::Value { key, value: value.to_string(), reason: reason.to_owned() }
}

/// At least one address, and no two of which one would take the other's connections.
fn check_listen(listen: &[SocketAddr]) -> Result<(), ConfigError> {
    if listen.is_empty() {
        return Err(value("https.listen", "[]", "is empty: name at least one address, such as \"[::]:443\""));
    }
    for (index, first) in listen.iter().enumerate() {
        for second in listen.iter().skip(index + 1) {
            let same_family = first.is_ipv4() == second.is_ipv4();
            let overlap = first.ip() == second.ip() || first.ip().is_unspecified() || second.ip().is_unspecified();
            if first.port() != 0 && first.port() == second.port() && same_family && overlap {
                let reason = format!("{first} and {second} overlap: leave one out or give it another port");
                return Err(value("https.listen", "[…]", &reason));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(toml: &str, expected: &[&str]) {
        let parsed = toml::from_str::<RawConfig>(toml).map_err(|error| error.to_string());
        let error = match parsed {
            Ok(raw) => resolve(raw).unwrap_err().to_string(),
            Err(error) => error,
        };
        assert!(expected.iter().all(|part| error.contains(part)), "{toml}: {error}");
    }

    #[test]
    fn defaults_hold() {
        resolve(RawConfig::default()).unwrap();
    }

    #[test]
    fn every_refusal_names_the_key_the_reason_and_the_way_out() {
        refused("data_dirr = \"/x\"", &["data_dirr", "expected"]);
        refused("[https]\nlisten = \"0.0.0.0:1\"", &["listen", "sequence"]);
        refused("[https]\nlisten = [\"localhost:1\"]", &["listen", "socket address"]);
        refused("[https]\nlisten = []", &["https.listen", "empty", "[::]:443"]);
        refused("[https]\nlisten = [\"0.0.0.0:443\", \"10.0.0.1:443\"]", &["https.listen", "overlap", "another port"]);
        refused("[https]\nlisten = [\"[::1]:443\", \"[::1]:443\"]", &["overlap"]);
        refused("data_dir = \"data\"", &["data_dir", "absolute"]);
        refused("[log]\nlevel = \"loud\"", &["log.level", "\"debug\""]);
        refused("[log]\nformat = \"xml\"", &["format", "expected one of"]);
        refused("[password]\nmemory_kib = 1024", &["password.memory_kib", "19456"]);
        refused("[password]\npasses = 1", &["password.passes", "floor"]);
        refused("[https]\nrequests_per_minute = 59", &["https.requests_per_minute", "60 to"]);
        refused("[limits]\nopen_workspaces = 0", &["limits.open_workspaces", "1 to"]);
        let long = format!("[admin]\nsocket = \"/{}\"", "x".repeat(120));
        refused(&long, &["admin.socket", "107"]);
    }

    #[test]
    fn both_families_on_one_port_do_not_overlap() {
        let raw: RawConfig = toml::from_str("[https]\nlisten = [\"0.0.0.0:443\", \"[::]:443\"]").unwrap();
        resolve(raw).unwrap();
    }
}
