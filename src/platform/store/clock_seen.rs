// SPDX-License-Identifier: AGPL-3.0-or-later
//! What was seen of the clock while a workspace cools off, among the settings of `system.db`.

use std::time::Duration;

use rusqlite::Connection;

use crate::core::workspace::leap::{Doubt, Seen};
use crate::platform::store::settings;
use crate::platform::store::workspace::Write;
use crate::values::time::Timestamp;

const SETTING: &str = "clock.seen";

/// What was seen last, when that is known.
pub fn get(database: &Connection) -> rusqlite::Result<Option<Seen>> {
    Ok(settings::get(database, SETTING)?.as_deref().and_then(read))
}

/// Keeps what was seen.
pub fn set(write: &Write<'_>, seen: Seen) -> rusqlite::Result<()> {
    settings::set(write, SETTING, &text(seen))
}

/// Milliseconds: when it was looked at, and when it is doubted what time it was before (0: nobody knows) and how long the
/// appliance ran since.
fn text(seen: Seen) -> String {
    let at = seen.at.as_millis();
    match seen.doubt {
        Some(Doubt { before, ran }) => format!("{at} {} {}", before.map_or(0, Timestamp::as_millis), ran.as_millis()),
        None => at.to_string(),
    }
}

fn read(text: &str) -> Option<Seen> {
    let numbers: Vec<i64> = text.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    let (at, doubt) = match *numbers.as_slice() {
        [at] => (at, None),
        [at, before, ran] => {
            let ran = Duration::from_millis(u64::try_from(ran).ok()?);
            let before = (before != 0).then_some(Timestamp::from_millis(before));
            (at, Some(Doubt { before, ran }))
        }
        _ => return None,
    };
    Some(Seen { at: Timestamp::from_millis(at), doubt })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_nothing_else_is() {
        let at = Timestamp::from_millis(9);
        let doubt = |before| Some(Doubt { before, ran: Duration::from_millis(7) });
        for doubt in [None, doubt(None), doubt(Some(Timestamp::from_millis(5)))] {
            assert_eq!(read(&text(Seen { at, doubt })), Some(Seen { at, doubt }));
        }
        for other in ["", "x", "1 2", "1 2 x", "1 2 -3", "1 2 3 4"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
