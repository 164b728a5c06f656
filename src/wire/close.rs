// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Close codes: why a carrier ends, one published number each (`docs/protocol.md`, "Close codes").
//!
//! Over raw QUIC the number is the application error code of CONNECTION_CLOSE (RFC 9000 §19.19), over WebTransport the
//! code of the session's close; the reason phrase is the name.

macro_rules! close_codes {
    ($($variant:ident = $number:literal $name:literal $doc:literal;)*) => {
        /// Why a carrier ends.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum CloseCode {
            $(#[doc = $doc] $variant = $number,)*
        }

        impl CloseCode {
            /// All of them, in the order of their numbers.
            pub const ALL: [Self; [$($number),*].len()] = [$(Self::$variant),*];

            /// The name, as the reason phrase and in the documents.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What happened and what to do, for a person.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $doc,)* }
            }
        }
    };
}

close_codes! {
    Left = 0x00 "LEFT" "You left.";
    Ended = 0x01 "ENDED" "The meeting was ended.";
    Kicked = 0x02 "KICKED" "A moderator removed you.";
    SessionEnded = 0x03 "SESSION_ENDED" "Your session was ended: sign in again.";
    Draining = 0x04 "DRAINING" "The appliance stops: come back with a new ticket.";
    Replaced = 0x05 "REPLACED" "You resumed over another carrier.";
    Changed = 0x06 "CHANGED" "What you may do was changed: join with a new ticket.";
    Version = 0x10 "VERSION" "The appliance does not speak this version of the protocol.";
    NoTicket = 0x11 "NO_TICKET" "The first message is neither Join with a ticket nor Resume.";
    TicketRefused = 0x12 "TICKET_REFUSED" "The ticket is not valid, was used, or is too old: get a new one.";
    KeyRefused = 0x13 "KEY_REFUSED" "The key is not the one that the ticket names.";
    ResumeRefused = 0x14 "RESUME_REFUSED" "There is nothing to resume any more: join with a new ticket.";
    RoomFull = 0x15 "ROOM_FULL" "The room has as many participants as it may.";
    RoomLocked = 0x16 "ROOM_LOCKED" "The meeting is locked.";
    TurnedAway = 0x17 "TURNED_AWAY" "A moderator did not admit you.";
    Late = 0x18 "LATE" "The first message did not come in time.";
    Malformed = 0x20 "MALFORMED" "A message or stream cannot be read.";
    TooLarge = 0x21 "TOO_LARGE" "A message or frame is larger than it may be.";
    TooMany = 0x22 "TOO_MANY" "More control messages or streams than a client may send.";
    SlowReader = 0x23 "SLOW_READER" "What waits for you on a stream is too much or too old.";
    Unexpected = 0x24 "UNEXPECTED" "A message or stream that has no place here.";
    Busy = 0x30 "BUSY" "The appliance has no room for more.";
    Internal = 0x31 "INTERNAL" "The appliance failed; its log says why.";
}

impl CloseCode {
    /// The number on the wire.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The code with that number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// Whether joining again with a new ticket may succeed without anybody doing anything.
    pub const fn may_rejoin(self) -> bool {
        matches!(
            self,
            Self::Draining | Self::Changed | Self::ResumeRefused | Self::TicketRefused | Self::SlowReader | Self::Busy
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_read_back_and_are_one_each() {
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_number(code.number()), Some(code));
            assert_eq!(CloseCode::ALL.iter().filter(|other| other.name() == code.name()).count(), 1);
        }
        assert_eq!(CloseCode::from_number(0xff), None);
    }

    #[test]
    fn the_document_has_every_code_and_no_other() {
        let document = include_str!("../../docs/protocol.md");
        let (_, rest) = document.split_once("\n## Close codes\n").unwrap();
        let (section, _) = rest.split_once("\n## ").unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| 0x"));
        let found: Vec<_> = rows.map(|row| row.split('|').map(str::trim).skip(1).take(2).collect::<Vec<_>>()).collect();
        let expected = CloseCode::ALL.map(|code| vec![format!("{:#04x}", code.number()), format!("`{}`", code.name())]);
        assert_eq!(found, expected);
    }
}
