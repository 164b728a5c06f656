// SPDX-License-Identifier: AGPL-3.0-or-later
//! What commands print: aligned text for people, the API's JSON for programs.

use std::io::{self, Write};

use serde::Serialize;

/// How a command answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Text for a person.
    Text,
    /// JSON for a program.
    Json,
}

impl Output {
    /// Prints `value` as JSON, or what `text` makes of it.
    pub fn print<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> io::Result<()> {
        let mut out = match self {
            Self::Json => serde_json::to_string_pretty(value)?,
            Self::Text => text(value),
        };
        if !out.ends_with('\n') {
            out.push('\n');
        }
        ignore_closed_pipe(io::stdout().lock().write_all(out.as_bytes()))
    }
}

/// Prints text as it is, at once.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    ignore_closed_pipe(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Who pipes into `head` has read enough.
fn ignore_closed_pipe(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Columns under headings, as wide as they need to be.
pub fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    wide_table(&headings, &rows.iter().map(|row| row.to_vec()).collect::<Vec<_>>())
}

/// The same, of as many columns as there are headings.
pub fn wide_table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<_> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<_> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(&mut headings.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// Names and values, one pair a line.
pub fn facts(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

/// A fingerprint in groups that people can compare.
pub fn grouped(hex: &str) -> String {
    let characters: Vec<char> = hex.to_uppercase().chars().collect();
    characters.chunks(4).map(|chunk| chunk.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_without_trailing_blanks() {
        let rows = [["ada".to_owned(), "admin".to_owned()], ["élise".to_owned(), String::new()]];
        assert_eq!(table(["USER", "ROLE"], &rows), "USER   ROLE\nada    admin\nélise\n");
    }

    #[test]
    fn fingerprints_are_grouped() {
        assert_eq!(grouped("00ff10ab"), "00FF 10AB");
    }
}
