// SPDX-License-Identifier: AGPL-3.0-or-later
//! The events of a meeting: one sequence for everybody, kept for a while so that who comes back misses none.
//!
//! One ring serves all readers, each with a cursor: nothing is copied for a reader before it can take it, and how far
//! it is behind is a subtraction.

use std::collections::VecDeque;
use std::time::Duration;

use crate::values::time::Moment;
use crate::wire::kid::{Epoch, Participant};
use crate::wire::stream::{EventRecord, StreamError, push_event_downstream};

/// Bytes kept at most.
const KEPT_MAX: u64 = 1 << 20;
/// How long events are kept: the 15 s in which a carrier may be resumed, and a reader's delay.
const KEPT_FOR: Duration = Duration::from_secs(20);
/// Bytes that may wait for a reader.
const UNREAD_MAX: u64 = 256 * 1_024;
/// How long an event may wait for a reader.
const UNREAD_FOR: Duration = Duration::from_secs(5);

/// One event or barrier.
#[derive(Debug)]
struct Entry {
    sender: Participant,
    epoch: Epoch,
    barrier: bool,
    at: Moment,
    /// As it travels downstream.
    record: Vec<u8>,
    /// Bytes of all records up to and with this one.
    end: u64,
}

impl Entry {
    /// Whether this reader is to be given it, who has keys from the epoch `since` on.
    fn is_for(&self, reader: Participant, since: Option<Epoch>) -> bool {
        self.sender != reader && since.is_some_and(|since| self.epoch >= since)
    }
}

/// The last events of a meeting.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    entries: VecDeque<Entry>,
    /// Sequence of the last one.
    last: u64,
    end: u64,
}

/// How far a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Sequence of the last event it was given.
    pub given: u64,
}

impl EventLog {
    /// Sequence of the last event.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Adds an event or a barrier.
    pub fn append(&mut self, sender: Participant, record: EventRecord<'_>, now: Moment) -> Result<(), StreamError> {
        let (record, epoch, barrier) = match record {
            EventRecord::Event(frame) => (record, frame.kid().epoch, false),
            EventRecord::Barrier(_, epoch) => (EventRecord::Barrier(Some(sender), epoch), epoch, true),
        };
        let mut bytes = Vec::new();
        push_event_downstream(&mut bytes, self.last + 1, record)?;
        self.last += 1;
        self.end += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.entries.push_back(Entry { sender, epoch, barrier, at: now, record: bytes, end: self.end });
        self.expire(now);
        Ok(())
    }

    /// Copies what comes after the cursor and is for this reader, up to `most` bytes (one record at least), moves the
    /// cursor, and answers how many events there were.
    pub fn read(
        &self,
        cursor: &mut Cursor,
        reader: Participant,
        since: Option<Epoch>,
        most: usize,
        out: &mut Vec<u8>,
    ) -> u64 {
        let mut events = 0;
        cursor.given = cursor.given.max(self.first());
        for entry in self.after(*cursor) {
            if entry.is_for(reader, since) {
                if !out.is_empty() && out.len() + entry.record.len() > most {
                    break;
                }
                out.extend_from_slice(&entry.record);
                events += u64::from(!entry.barrier);
            }
            cursor.given += 1;
        }
        events
    }

    /// Moves a cursor past what is not for its reader, such as its own events: nobody is told to read those.
    pub fn skip(&self, cursor: &mut Cursor, reader: Participant, since: Option<Epoch>) {
        if cursor.given < self.first() {
            return;
        }
        let others = self.after(*cursor).take_while(|entry| !entry.is_for(reader, since)).count();
        cursor.given += u64::try_from(others).unwrap_or(0);
    }

    /// Whether too much, or something too old, waits for a reader.
    pub fn is_slow(&self, cursor: Cursor, now: Moment) -> bool {
        if cursor.given < self.first() {
            // What it has not read is gone.
            return true;
        }
        let Some(next) = self.after(cursor).next() else { return false };
        let begin = next.end - u64::try_from(next.record.len()).unwrap_or(0);
        self.end - begin > UNREAD_MAX || now.since(next.at) > UNREAD_FOR
    }

    /// Whether who was given events up to `given` can go on from there.
    pub fn reaches(&self, given: u64) -> bool {
        (self.first()..=self.last).contains(&given)
    }

    /// Sequence of the last event that is gone.
    fn first(&self) -> u64 {
        self.last - u64::try_from(self.entries.len()).unwrap_or(0)
    }

    /// What a cursor has before it.
    fn after(&self, cursor: Cursor) -> impl Iterator<Item = &Entry> {
        let given = usize::try_from(cursor.given.saturating_sub(self.first())).unwrap_or(usize::MAX);
        self.entries.iter().skip(given)
    }

    /// Forgets what nobody can ask for any more.
    pub fn expire(&mut self, now: Moment) {
        let end = self.end;
        while self.entries.pop_front_if(|entry| end - entry.end > KEPT_MAX || now.since(entry.at) > KEPT_FOR).is_some()
        {
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::Frame;

    const ADA: Participant = Participant(1);
    const BOB: Participant = Participant(2);

    fn at(millis: u64) -> Moment {
        Moment::after_origin(Duration::from_millis(millis))
    }

    /// A frame of an event with this many bytes, of epoch 1.
    fn frame(length: usize) -> Vec<u8> {
        let mut bytes = vec![0xa0, 0x10, 0x00, 0x13];
        bytes.resize(length, 0);
        bytes
    }

    fn log(lengths: &[usize]) -> EventLog {
        let mut log = EventLog::default();
        for length in lengths {
            let bytes = frame(*length);
            log.append(ADA, EventRecord::Event(Frame::decode(&bytes).unwrap()), at(0)).unwrap();
        }
        log
    }

    fn read(log: &EventLog, given: u64, reader: Participant, since: u32, most: usize) -> (usize, u64) {
        let (mut cursor, mut out) = (Cursor { given }, Vec::new());
        log.read(&mut cursor, reader, Some(Epoch(since)), most, &mut out);
        (out.len(), cursor.given)
    }

    #[test]
    fn a_reader_gets_what_is_for_it_in_pieces() {
        let log = log(&[100, 200, 300]);
        assert_eq!(read(&log, 0, BOB, 1, 1_000), (630, 3));
        assert_eq!(read(&log, 0, BOB, 1, 330), (320, 2));
        assert_eq!(read(&log, 0, BOB, 1, 1), (110, 1));
        assert_eq!(read(&log, 2, BOB, 1, 1_000), (310, 3));
        assert_eq!(read(&log, 0, ADA, 1, 1_000), (0, 3));
        assert_eq!(read(&log, 0, BOB, 2, 1_000), (0, 3));
    }

    #[test]
    fn a_reader_is_slow_by_bytes_or_by_time() {
        let many = log(&[16_000; 17]);
        assert!(many.is_slow(Cursor { given: 0 }, at(0)) && !many.is_slow(Cursor { given: 1 }, at(0)));
        let one = log(&[100]);
        assert!(!one.is_slow(Cursor { given: 0 }, at(5_000)) && one.is_slow(Cursor { given: 0 }, at(5_001)));
        assert!(!one.is_slow(Cursor { given: 1 }, at(60_000)));
    }

    #[test]
    fn who_sends_and_hears_nothing_is_not_slow() {
        let log = log(&[100, 200]);
        let mut cursor = Cursor { given: 0 };
        log.skip(&mut cursor, BOB, Some(Epoch(1)));
        assert!(cursor.given == 0 && log.is_slow(cursor, at(5_001)));
        log.skip(&mut cursor, ADA, Some(Epoch(1)));
        assert!(cursor.given == 2 && !log.is_slow(cursor, at(5_001)));
    }

    #[test]
    fn old_events_go_and_who_did_not_read_them_cannot_go_on() {
        let mut log = log(&[16_000; 100]);
        assert!(log.reaches(100) && !log.reaches(0) && !log.reaches(101));
        log.expire(at(20_001));
        assert!(log.reaches(100) && !log.reaches(99));
        assert!(log.is_slow(Cursor { given: 99 }, at(20_001)) && !log.is_slow(Cursor { given: 100 }, at(20_001)));
    }
}
