// SPDX-License-Identifier: AGPL-3.0-or-later
//! Reading typed values out of rows. A value that does not parse is damage, not a default.

use std::str::FromStr;

use rusqlite::Row;

use crate::values::time::Timestamp;

/// A stored value does not have its form.
#[derive(Debug, thiserror::Error)]
#[error("column {0} holds a value that does not parse or does not open")]
pub struct BadColumn(pub &'static str);

impl From<BadColumn> for rusqlite::Error {
    fn from(bad: BadColumn) -> Self {
        Self::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(bad))
    }
}

/// The 16 bytes of an id.
pub fn id(row: &Row<'_>, column: &'static str) -> rusqlite::Result<[u8; 16]> {
    row.get(column)
}

/// Text that parses as `T`.
pub fn text<T: FromStr>(row: &Row<'_>, column: &'static str) -> rusqlite::Result<T> {
    row.get::<_, String>(column)?.parse().map_err(|_| BadColumn(column).into())
}

/// A time stamp that need not be there.
pub fn time_or_none(row: &Row<'_>, column: &'static str) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

/// A time stamp.
pub fn time(row: &Row<'_>, column: &'static str) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}
