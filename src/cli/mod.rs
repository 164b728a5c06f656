// SPDX-License-Identifier: AGPL-3.0-or-later
//! The command line: `serve` and `demo` run the appliance, everything else talks to a running one.
//!
//! Every command is a route of the API over the admin socket; what root may do on the host is decided there.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::cli::client::Client;
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::config::{self, Config};
use crate::lifecycle::{self, Options};

mod account;
mod addresses;
mod agreement;
mod appliance;
mod approval;
mod audit;
pub mod bench;
mod client;
mod demo;
mod exit;
mod footprint;
mod host;
mod kit;
mod manual;
mod meeting;
mod operator;
mod output;
mod pages;
pub mod parity;
mod policy;
mod preflight;
mod recovery;
mod room;
mod session;
mod setup;
mod status;
mod throttle;
mod token;
mod trust;
mod workspace;
mod xr;

const EXIT_CODES: &str = "Exit codes: 0 done · 1 refused, not found or a check failed · 2 wrong usage · 64 configuration · \
    65 damaged files · 69 appliance not running · 70 internal · 71 socket cannot be bound · 74 input or output · 75 data directory in use · 77 not permitted";

/// Conclave: private meetings in virtual and augmented reality, on your own machine.
#[derive(Debug, Parser)]
#[command(name = "conclave", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Common {
    /// Configuration file [default: /etc/conclave/conclave.toml, when it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Admin socket of the appliance [default: from the configuration]
    #[arg(long, global = true, value_name = "PATH")]
    admin_socket: Option<PathBuf>,
    /// Answer in JSON, as the API does
    #[arg(long, global = true)]
    json: bool,
}

impl Common {
    const fn output(&self) -> Output {
        if self.json { Output::Json } else { Output::Text }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the appliance
    Serve(Serve),
    /// Run an appliance with a demo workspace and people in a room
    Demo(demo::Demo),
    /// Take part in a meeting without a headset
    Client(Box<xr::Xr>),
    /// Measure the relay on this machine, against a relay that forwards on arrival
    Bench(Box<bench::Bench>),
    /// Measure what an idle appliance takes: start, memory, descriptors
    Footprint(footprint::Footprint),
    /// Claim a new appliance
    #[command(subcommand)]
    Setup(setup::Command),
    /// Make a recovery kit, or put a lost master key back with one
    #[command(subcommand)]
    Recovery(recovery::Command),
    /// Help operators who are locked out
    #[command(subcommand)]
    Operator(operator::Command),
    /// Show how the appliance is
    Status,
    /// See certificates, and get the root to trust
    #[command(subcommand)]
    Trust(trust::Command),
    /// Create and look after workspaces
    #[command(subcommand)]
    Workspace(workspace::Command),
    /// See and change what is the same for the whole appliance
    #[command(subcommand)]
    Appliance(appliance::Command),
    /// See and change what a workspace permits
    #[command(subcommand)]
    Policy(policy::Command),
    /// Read, set and accept the data processing agreement
    #[command(subcommand)]
    Agreement(agreement::Command),
    /// Ask for what takes two persons, and decide what others asked for
    #[command(subcommand)]
    Approval(approval::Command),
    /// Create and look after accounts
    #[command(subcommand)]
    Account(account::Command),
    /// See and end signed-in devices
    #[command(subcommand)]
    Session(session::Command),
    /// See who waits before another sign-in, and let them try
    #[command(subcommand)]
    Throttle(throttle::Command),
    /// Create and look after rooms
    #[command(subcommand)]
    Room(room::Command),
    /// See and moderate live meetings
    #[command(subcommand)]
    Meeting(meeting::Command),
    /// Read and verify the audit
    #[command(subcommand)]
    Audit(audit::Command),
    /// Check or document the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at everything, with the way out of what is not as it should be
    Doctor,
    /// Make and remove tokens of programs that watch the appliance
    #[command(subcommand)]
    Token(token::Command),
    /// Try to reach the outside over an inherited listener (for `conclave doctor`)
    #[command(hide = true)]
    FenceProbe {
        /// Where to try to get to
        outside: std::net::SocketAddr,
    },
    /// See and change which networks clients may be in
    #[command(subcommand)]
    Network(host::network::Command),
    /// Seal the master key to this machine
    #[command(subcommand)]
    Key(host::key::Command),
    /// See whether this release can serve what is there, on copies, while another one serves
    Preflight,
    /// Write the manual pages
    Manual(manual::Manual),
    /// Print what a shell completes with
    Completions(manual::Completions),
    /// Print the OpenAPI document
    Openapi,
    /// Print every refusal of the API: code, status and what to do (docs/problems.md)
    Problems,
    /// Print which command does what which route of the API does (docs/parity.md)
    Parity,
}

#[derive(Debug, Args)]
struct Serve {
    /// Directory of every file of the appliance
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address and port of HTTPS; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<std::net::SocketAddr>,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How lines of the log are written
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<config::raw::RawFormat>,
    /// Hash passwords at the lowest cost (tests only)
    #[cfg(feature = "test-hooks")]
    #[arg(long, hide = true)]
    test_cheap_passwords: bool,
    /// Let a tracer of the same user look into the process (tests only)
    #[cfg(feature = "test-hooks")]
    #[arg(long, hide = true)]
    test_traceable: bool,
    /// Go by a clock that is so many milliseconds ahead, or behind (tests only)
    #[cfg(feature = "test-hooks")]
    #[arg(long, hide = true, default_value_t = 0, allow_negative_numbers = true)]
    test_clock_offset: i64,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check the configuration and say what is wrong with it
    Check,
    /// Print a commented configuration file
    Example,
    /// Print the reference of every key (docs/configuration.md)
    Reference,
}

/// Which workspace a command is about.
#[derive(Debug, Args)]
struct InWorkspace {
    /// Workspace name; `system` is the one of the operators
    #[arg(long, short, value_name = "NAME")]
    workspace: String,
}

/// A command line at the appliance's door.
struct Door {
    client: Client,
    output: Output,
}

/// Runs the command and answers with its exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    #[cfg(feature = "test-hooks")]
    if std::env::var_os("CONCLAVE_TEST_GOOD_MIGRATION").is_some() {
        crate::platform::store::database::faults::inject_good_migration();
    }
    #[cfg(feature = "test-hooks")]
    if std::env::var_os("CONCLAVE_TEST_BAD_MIGRATION").is_some() {
        crate::platform::store::database::faults::inject_bad_migration();
    }
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln_failure(&failure);
            failure.exit()
        }
    }
}

#[expect(clippy::print_stderr, reason = "the one place where commands complain")]
fn eprintln_failure(failure: &Failure) {
    let mut said = failure.to_string();
    eprintln!("conclave: {said}");
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        // Some messages hold their cause already.
        if !said.contains(&error.to_string()) {
            said = error.to_string();
            eprintln!("  because: {said}");
        }
        cause = error.source();
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { common, command } = cli;
    match command {
        Command::Serve(serve) => {
            let (config, options) = serve_config(&common, serve)?;
            config::paths::check(&config)?;
            Ok(lifecycle::run(config, options, async |_| ControlFlow::Continue(()))?)
        }
        Command::Demo(demo) => demo::run(demo, &common),
        Command::Client(client) => xr::run(*client, common.output()),
        Command::Recovery(command) => recovery::run(command, common.output()),
        Command::Bench(bench) => bench::run(&bench, common.output()),
        Command::Footprint(footprint) => footprint::run(&footprint, common.output()),
        Command::Config(command) => config_command(&common, &command),
        Command::Preflight => preflight::run(&configured(&common)?, common.output()),
        Command::Key(command) => host::key::run(&command, &configured(&common)?, common.output()),
        Command::Network(command) if !matches!(command, host::network::Command::Addresses) => {
            host::network::run(&command, common.output())
        }
        Command::FenceProbe { outside } => host::doctor::probe(outside),
        Command::Manual(manual) => manual.run(),
        Command::Completions(completions) => completions.run(),
        Command::Openapi => Ok(output::print(crate::api::document::text())?),
        Command::Parity => Ok(output::print(&parity::markdown())?),
        Command::Problems => Ok(output::print(&crate::api::error::catalogue::markdown())?),
        remote => {
            let door = Door { client: Client::new(&admin_socket(&common)?), output: common.output() };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            match remote {
                Command::Doctor => runtime.block_on(host::doctor::run(&door, &configured(&common)?)),
                remote => runtime.block_on(run_remote(&door, remote)),
            }
        }
    }
}

async fn run_remote(door: &Door, command: Command) -> Result<(), Failure> {
    match command {
        Command::Setup(command) => setup::run(door, command).await,
        Command::Operator(command) => operator::run(door, command).await,
        Command::Status => status::run(door).await,
        Command::Trust(command) => trust::run(door, command).await,
        Command::Workspace(command) => workspace::run(door, command).await,
        Command::Appliance(command) => appliance::run(door, command).await,
        Command::Policy(command) => policy::run(door, command).await,
        Command::Agreement(command) => agreement::run(door, command).await,
        Command::Approval(command) => approval::run(door, command).await,
        Command::Account(command) => account::run(door, command).await,
        Command::Session(command) => session::run(door, command).await,
        Command::Throttle(command) => throttle::run(door, command).await,
        Command::Room(command) => room::run(door, command).await,
        Command::Meeting(command) => meeting::run(door, command).await,
        Command::Audit(command) => audit::run(door, command).await,
        Command::Token(command) => token::run(door, command).await,
        Command::Network(_) => host::network::hand_over(door).await,
        // Handled before a socket was looked for.
        Command::Serve(_)
        | Command::Demo(_)
        | Command::Client(_)
        | Command::Bench(_)
        | Command::Footprint(_)
        | Command::Recovery(_)
        | Command::Config(_)
        | Command::Doctor
        | Command::FenceProbe { .. }
        | Command::Key(_)
        | Command::Preflight
        | Command::Manual(_)
        | Command::Completions(_)
        | Command::Openapi
        | Command::Problems
        | Command::Parity => Ok(()),
    }
}

fn serve_config(common: &Common, serve: Serve) -> Result<(Config, Options), Failure> {
    let mut raw = config::read(common.config.as_deref())?;
    let Serve { data_dir, listen, log_level, log_format, .. } = serve;
    if let Some(data_dir) = data_dir {
        raw.data_dir = data_dir;
    }
    if !listen.is_empty() {
        raw.https.listen = listen;
    }
    if let Some(level) = log_level {
        raw.log.level = level;
    }
    if let Some(format) = log_format {
        raw.log.format = format;
    }
    if let Some(socket) = &common.admin_socket {
        raw.admin.socket.clone_from(socket);
    }
    let options = Options {
        #[cfg(feature = "test-hooks")]
        cheap_passwords: serve.test_cheap_passwords,
        #[cfg(feature = "test-hooks")]
        traceable: serve.test_traceable,
        #[cfg(feature = "test-hooks")]
        ends_before_ready: std::env::var_os("CONCLAVE_TEST_ENDS_BEFORE_READY").is_some(),
        #[cfg(feature = "test-hooks")]
        clock_offset_millis: serve.test_clock_offset,
    };
    Ok((config::resolve(raw)?, options))
}

/// The configuration that the service runs with.
fn configured(common: &Common) -> Result<Config, Failure> {
    Ok(config::resolve(config::read(common.config.as_deref())?)?)
}

fn admin_socket(common: &Common) -> Result<PathBuf, Failure> {
    match &common.admin_socket {
        Some(socket) => Ok(socket.clone()),
        None => Ok(config::read(common.config.as_deref())?.admin.socket),
    }
}

fn config_command(common: &Common, command: &ConfigCommand) -> Result<(), Failure> {
    let text = match command {
        ConfigCommand::Check => {
            config::paths::check(&configured(common)?)?;
            "The configuration holds.\n".to_owned()
        }
        ConfigCommand::Example => config::keys::example(),
        ConfigCommand::Reference => config::keys::reference(),
    };
    Ok(output::print(&text)?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
