// SPDX-License-Identifier: AGPL-3.0-or-later
//! Exit codes, documented in `docs/cli.md`. Those above 63 follow sysexits(3) where it has one.

use std::process::ExitCode;

use crate::api::error::ProblemBody;
use crate::cli::bench::error::BenchError;
use crate::cli::client::ClientError;
use crate::client::ClientError as XrError;
use crate::config::ConfigError;
use crate::lifecycle::LifecycleError;
use crate::platform::recovery::KitError;
use crate::platform::store::error::StoreError;
use crate::platform::trust::TrustError;

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The appliance refused.
    #[error("{}: {} {}\n  code {}, request {}", .0.title, .0.detail, .0.way_out, .0.code, .0.request_id)]
    Refused(Box<ProblemBody>),
    /// There is no such workspace, account or session.
    #[error("{0}")]
    NotFound(String),
    /// A check found something.
    #[error("{0}")]
    CheckFailed(String),
    /// The appliance cannot be reached.
    #[error(transparent)]
    Client(ClientError),
    /// The configuration does not hold.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The appliance did not start or did not stop well.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    /// Nothing was measured.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The XR client cannot go on.
    #[error(transparent)]
    Xr(#[from] XrError),
    /// The command line asks for something that does not go together.
    #[error("{0}")]
    Usage(String),
    /// The recovery kit.
    #[error(transparent)]
    Kit(#[from] KitError),
    /// Only root may change the host.
    #[error("this changes the host, so it needs root: run it again with sudo")]
    NotRoot,
    /// A program of the system failed.
    #[error("{name}: {reason}")]
    Program {
        /// Which one.
        name: String,
        /// What it said.
        reason: String,
    },
    /// There is no password to sign in with.
    #[error("there is no password: name a file with --password-file, or set $CONCLAVE_PASSWORD")]
    NoPassword,
    /// The claim may have been made or not, so its kit was kept.
    #[error(
        "{why}\nThe appliance may be claimed all the same, so the recovery kit stays in {file}. Look with `conclave status`: if it is claimed, this is its kit; if it is not, remove the file and claim again"
    )]
    KitKept {
        /// Where the kit is.
        file: String,
        /// What went wrong.
        why: Box<Self>,
    },
    /// A file that was named, or standard input or output.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// Reading or writing something else.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(problem) => Self::Refused(problem),
            other => Self::Client(other),
        }
    }
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::NotFound(_) | Self::CheckFailed(_) => 1,
            Self::Config(_) => 64,
            Self::KitKept { why, .. } => why.code(),
            Self::Lifecycle(error) => lifecycle_code(error),
            Self::Client(ClientError::NotRunning { .. }) => 69,
            Self::Client(ClientError::NotPermitted { .. }) | Self::NotRoot => 77,
            Self::Bench(error) if error.is_wrong_usage() => 2,
            Self::Client(_) | Self::Bench(_) | Self::Program { .. } => 70,
            Self::Xr(XrError::Connect { .. } | XrError::Lost | XrError::Resolve { .. }) => 69,
            Self::Xr(XrError::Server(_)) | Self::NoPassword | Self::Usage(_) => 2,
            Self::Kit(KitError::Store(StoreError::Malformed { .. })) => 65,
            Self::Kit(KitError::Store(_)) => 74,
            Self::Kit(_) => 1,
            Self::Xr(XrError::Root(_) | XrError::Media { .. }) | Self::File(..) | Self::Io(_) => 74,
            Self::Xr(XrError::Unreadable(_) | XrError::NotSent(_)) => 70,
            Self::Xr(XrError::Refused { .. } | XrError::Offer | XrError::NoRoom(_) | XrError::Closed(_)) => 1,
        }
    }

    /// The code for the shell.
    pub fn exit(&self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

fn lifecycle_code(error: &LifecycleError) -> u8 {
    match error {
        // What an operator mends with chmod, chown or another path is configuration.
        LifecycleError::Store(StoreError::Exposed { .. } | StoreError::Io { .. }) => 64,
        LifecycleError::Provision(_) => 64,
        LifecycleError::Store(StoreError::InUse { .. }) => 75,
        LifecycleError::Store(error) | LifecycleError::Trust(TrustError::Store(error)) if error.is_of_the_disk() => 74,
        LifecycleError::Store(_) => 65,
        LifecycleError::Listen(_) | LifecycleError::Sockets(_) => 71,
        LifecycleError::Claim(_)
        | LifecycleError::Relay(_)
        | LifecycleError::Trust(_)
        | LifecycleError::Password(_)
        | LifecycleError::System(_) => 70,
    }
}
