// SPDX-License-Identifier: AGPL-3.0-or-later
//! The configuration as written: types and defaults, nothing checked beyond them. Unknown keys are refused by name.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::platform::https;
use crate::platform::password::Cost;
use crate::platform::telemetry::Format;

/// The whole file. What each key means: [`crate::config::keys`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "every key is described once, in `config::keys`")]
pub struct RawConfig {
    pub data_dir: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_key_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provision: Option<PathBuf>,
    pub https: RawHttps,
    pub admin: RawAdmin,
    pub log: RawLog,
    pub password: RawPassword,
    pub limits: RawLimits,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/conclave"),
            master_key_file: None,
            provision: None,
            https: RawHttps::default(),
            admin: RawAdmin::default(),
            log: RawLog::default(),
            password: RawPassword::default(),
            limits: RawLimits::default(),
        }
    }
}

/// Table `https`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "every key is described once, in `config::keys`")]
pub struct RawHttps {
    pub listen: Vec<SocketAddr>,
    pub requests_per_minute: u32,
}

impl Default for RawHttps {
    fn default() -> Self {
        Self {
            listen: vec![(Ipv4Addr::UNSPECIFIED, 443).into(), (Ipv6Addr::UNSPECIFIED, 443).into()],
            requests_per_minute: 6_000,
        }
    }
}

/// Table `admin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "every key is described once, in `config::keys`")]
pub struct RawAdmin {
    pub socket: PathBuf,
}

impl Default for RawAdmin {
    fn default() -> Self {
        Self { socket: PathBuf::from("/run/conclave/admin.sock") }
    }
}

/// Table `log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "every key is described once, in `config::keys`")]
pub struct RawLog {
    pub level: String,
    pub format: RawFormat,
}

impl Default for RawLog {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: RawFormat::Auto }
    }
}

/// Values of `log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "every key is described once, in `config::keys`")]
pub enum RawFormat {
    Auto,
    Text,
    Json,
    Journald,
}

impl From<RawFormat> for Format {
    fn from(raw: RawFormat) -> Self {
        match raw {
            RawFormat::Auto => Self::Auto,
            RawFormat::Text => Self::Text,
            RawFormat::Json => Self::Json,
            RawFormat::Journald => Self::Journald,
        }
    }
}

/// Table `password`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "every key is described once, in `config::keys`")]
pub struct RawPassword {
    pub memory_kib: u32,
    pub passes: u32,
}

impl Default for RawPassword {
    fn default() -> Self {
        Self { memory_kib: Cost::DEFAULT.memory_kib, passes: Cost::DEFAULT.passes }
    }
}

/// Table `limits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "every key is described once, in `config::keys`")]
pub struct RawLimits {
    pub connections: usize,
    pub connections_per_address: usize,
    pub open_workspaces: usize,
}

impl Default for RawLimits {
    fn default() -> Self {
        let https = https::Limits::default();
        Self {
            connections: https.connections,
            connections_per_address: https.connections_per_address,
            open_workspaces: 64,
        }
    }
}
