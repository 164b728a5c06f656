// SPDX-License-Identifier: AGPL-3.0-or-later
//! Whether a write-ahead log holds what was acknowledged.
//!
//! SQLite reads its log up to the first frame that does not hold and takes the rest for a write that a crash cut off.
//! That is right for the last transaction, which nobody was answered for. It is wrong when a later one is whole: each is
//! on disk before the next begins, so then something else changed the log, and what was acknowledged would be gone
//! without a word. Format: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::fs;
use std::path::Path;

use crate::platform::store::error::StoreError;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The last bit says that checksums are of big-endian words.
const MAGIC: u32 = 0x377f_0682;

/// Two running sums over pairs of words.
type Sum = (u32, u32);

/// Refuses a log in which a whole transaction follows one that does not hold. An empty or missing one holds nothing.
pub fn check(path: &Path) -> Result<(), StoreError> {
    let log = match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(StoreError::io(path, "read"))?,
    };
    look(&log).map_err(|detail| StoreError::LogDamaged { path: path.to_owned(), detail })
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    u32::from_be_bytes(bytes.unwrap_or_default())
}

fn sum(bytes: &[u8], mut sum: Sum, big_endian: bool) -> Sum {
    let words = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|word| if big_endian { u32::from_be_bytes(*word) } else { u32::from_le_bytes(*word) });
    for (index, word) in words.enumerate() {
        if index % 2 == 0 {
            sum.0 = sum.0.wrapping_add(word).wrapping_add(sum.1);
        } else {
            sum.1 = sum.1.wrapping_add(word).wrapping_add(sum.0);
        }
    }
    sum
}

fn look(log: &[u8]) -> Result<(), String> {
    let (Some(header), Some(frames)) = (log.get(..HEADER), log.get(HEADER..)) else { return Ok(()) };
    let written = (word(header, 24), word(header, 28));
    let computed = |big_endian| sum(header.get(..24).unwrap_or_default(), (0, 0), big_endian);
    let big_endian = word(header, 0) & 1 == 1;
    let page = usize::try_from(word(header, 8)).unwrap_or(0);
    let is_whole = computed(big_endian) == written
        && word(header, 0) & !1 == MAGIC
        && page.is_power_of_two()
        && (512..=65_536).contains(&page);
    if !is_whole {
        // The sum of the first frame goes on from that of the header as it was: from either, whichever was changed.
        let page = usize::try_from(super::database::PAGE).unwrap_or(0);
        let first = frames.get(..FRAME_HEADER + page).unwrap_or_default();
        let seeds = [false, true].map(|big_endian| [(written, big_endian), (computed(big_endian), big_endian)]);
        if seeds.iter().flatten().any(|(seed, big_endian)| frame_sum(first, *seed, *big_endian) == stored_sum(first)) {
            return Err("its beginning does not hold".to_owned());
        }
        return Ok(());
    }

    let salt = header.get(16..24).unwrap_or_default();
    let (mut seed, mut torn, mut over) = (written, None, false);
    for (number, frame) in (1..).zip(frames.chunks_exact(FRAME_HEADER + page)) {
        let is_of_this_log = frame.get(8..16) == Some(salt);
        let holds = is_of_this_log && frame_sum(frame, seed, big_endian) == stored_sum(frame);
        if torn.is_none() && !holds {
            torn = Some(number);
        } else if over && holds {
            // A transaction ended, whole or not, and another came after it.
            return Err(format!("frame {} does not hold", torn.unwrap_or(number)));
        }
        over |= torn.is_some() && is_of_this_log && word(frame, 4) != 0;
        // Each frame stores the sum up to itself, so the next can be verified whatever became of this one.
        seed = stored_sum(frame);
    }
    Ok(())
}

/// The sum up to and with a frame: over its page number and whether it ends a transaction, and over its page.
fn frame_sum(frame: &[u8], seed: Sum, big_endian: bool) -> Sum {
    let begin = sum(frame.get(..8).unwrap_or_default(), seed, big_endian);
    sum(frame.get(FRAME_HEADER..).unwrap_or_default(), begin, big_endian)
}

fn stored_sum(frame: &[u8]) -> Sum {
    (word(frame, 16), word(frame, 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::entropy;
    use crate::platform::store::database;
    use crate::values::id::WorkspaceId;
    use crate::values::secret::Key256;

    /// A log of `transactions` transactions, as a killed process leaves it; and where the last of them begins.
    fn log(transactions: usize) -> (Vec<u8>, usize) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("workspace.db");
        let key = Key256::random(&mut entropy::system());
        let connection = database::create(&path, &key, WorkspaceId::from_bytes([1; 16])).unwrap();
        let beside = database::beside(&path, "wal");
        let mut last = 0;
        for n in 0..transactions {
            last = fs::metadata(&beside).map_or(0, |log| usize::try_from(log.len()).unwrap());
            let row = rusqlite::params![format!("filler {n}"), "x".repeat(6_000)];
            connection.execute("INSERT INTO meta (key, value) VALUES (?1, ?2)", row).unwrap();
        }
        (fs::read(beside).unwrap(), last)
    }

    #[test]
    fn a_whole_log_and_one_that_a_crash_cut_off_anywhere_hold() {
        let (whole, _) = log(6);
        assert_eq!(look(&whole), Ok(()));
        for length in (0..whole.len()).step_by(97) {
            assert_eq!(look(&whole[..length]), Ok(()), "{length} bytes");
        }
        // A last transaction of which only some blocks came to the disk.
        let (whole, last) = log(5);
        assert!(whole.len() - last > 2 * 4_096, "it has several frames");
        for block in (last..whole.len()).step_by(512) {
            let mut torn = whole.clone();
            torn[block..(block + 512).min(whole.len())].fill(0);
            assert_eq!(look(&torn), Ok(()), "block at {block}");
        }
        // What was in the file before the log began anew has another salt.
        let mut again = whole.clone();
        again.extend_from_slice(&log(3).0[HEADER..]);
        assert_eq!(look(&again), Ok(()));
    }

    #[test]
    fn one_flipped_bit_before_the_last_transaction_is_found() {
        let (whole, last) = log(6);
        let before_last = whole.len() - 2 * (whole.len() - last);
        for at in (0..before_last).step_by(61).chain(0..HEADER + FRAME_HEADER) {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            assert!(look(&changed).is_err(), "byte {at}");
        }
    }
}
