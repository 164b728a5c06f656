// SPDX-License-Identifier: AGPL-3.0-or-later
//! Logs: journald fields under systemd, JSON lines or text on standard error elsewhere.
//!
//! A line never holds a secret, a token, a person's address or name; ids are enough to find them in the audit.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

pub mod metrics;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// journald when it listens, else text.
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
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Json => text().json().flatten_event(true).boxed(),
        Format::Journald | Format::Auto if format == Format::Journald || under_journald => {
            match tracing_journald::layer() {
                Ok(layer) => layer.boxed(),
                Err(_) => text().boxed(),
            }
        }
        _ => text().with_ansi(false).boxed(),
    };
    // Fails only when logging was started before.
    drop(tracing_subscriber::registry().with(layer.with_filter(filter)).try_init());
}
