// SPDX-License-Identifier: AGPL-3.0-or-later
//! Logs: journald fields under systemd; on standard error text for a person, JSON lines for a program.
//!
//! A line never holds a secret, a token, a person's address or name; ids are enough to find them in the audit.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

pub mod metrics;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// journald when it listens, text for a person at a terminal, else JSON.
    #[default]
    Auto,
    /// Text for a person.
    Text,
    /// One JSON object a line.
    Json,
    /// Native journald fields.
    Journald,
}

/// Starts logging for this process. A second call changes nothing.
pub fn start(level: Level, format: Format, under_journald: bool) {
    // The libraries below are chatty; their warnings are enough, but of those that warn of what any peer may do.
    let filter = Targets::new()
        .with_target("conclave", level)
        .with_target("web_transport", LevelFilter::ERROR)
        .with_default(LevelFilter::WARN);
    let text = || tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let auto = match (under_journald, std::io::stderr().is_terminal()) {
        (true, _) => Format::Journald,
        (false, true) => Format::Text,
        (false, false) => Format::Json,
    };
    let format = if format == Format::Auto { auto } else { format };
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Json => text().json().flatten_event(true).boxed(),
        Format::Journald => match tracing_journald::layer() {
            Ok(layer) => layer.boxed(),
            Err(_) => text().boxed(),
        },
        Format::Auto | Format::Text => text().with_ansi(false).boxed(),
    };
    // Fails only when logging was started before.
    drop(tracing_subscriber::registry().with(layer.with_filter(filter)).try_init());
}
