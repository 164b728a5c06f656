// SPDX-License-Identifier: AGPL-3.0-or-later
//! What was seen of the clock while a workspace cools off, among the settings of `system.db`.

use rusqlite::Connection;

use crate::core::workspace::leap::Seen;
use crate::platform::store::settings;
use crate::platform::store::workspace::Write;
use crate::values::time::Timestamp;

/// Milliseconds since the epoch: when it was looked at, and behind a space where it was after a leap.
const SETTING: &str = "clock.seen";

/// What was seen last.
pub fn get(database: &Connection) -> rusqlite::Result<Option<Seen>> {
    let text = settings::get(database, SETTING)?;
    Ok(text.and_then(|text| {
        let mut times = text.split(' ').map(|time| time.parse().map(Timestamp::from_millis));
        Some(Seen { at: times.next()?.ok()?, leapt_to: times.next().transpose().ok()? })
    }))
}

/// Keeps what was seen.
pub fn set(write: &Write<'_>, seen: Seen) -> rusqlite::Result<()> {
    let leapt_to = seen.leapt_to.map(|to| format!(" {}", to.as_millis())).unwrap_or_default();
    settings::set(write, SETTING, &format!("{}{leapt_to}", seen.at.as_millis()))
}
