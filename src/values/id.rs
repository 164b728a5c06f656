// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Random 128-bit identifiers, one type for each thing they name.
//!
//! An id never changes and is never reused. Its text form is the hyphenated UUID (RFC 9562, version 4).

use std::fmt;
use std::str::FromStr;

use rand_core::CryptoRng;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::{Builder, Uuid};

/// The text was not a hyphenated UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier: expected a UUID such as 0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11")]
pub struct InvalidId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh random id.
            pub fn random(rng: &mut impl CryptoRng) -> Self {
                let mut bytes = [0; 16];
                rng.fill_bytes(&mut bytes);
                Self(Builder::from_random_bytes(bytes).into_uuid())
            }

            /// The id whose 16 bytes these are.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes, as they enter associated data and files.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                // One spelling only: `Uuid` also reads braces, URNs and bare hex.
                match Uuid::try_parse(text) {
                    Ok(uuid) if text.len() == 36 => Ok(Self(uuid)),
                    _ => Err(InvalidId),
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

id! {
    /// A workspace (tenant), for its whole life: paths, associated data, tokens. Not its name.
    WorkspaceId
}
id! {
    /// A person in one workspace.
    AccountId
}
id! {
    /// One signed-in device.
    SessionId
}
id! {
    /// A room: a place, for its whole life. Not its name.
    RoomId
}
id! {
    /// One ticket, which joins once.
    TicketId
}
id! {
    /// One occupancy of a room, from the first who enters to the last who leaves. Not the room.
    MeetingId
}
id! {
    /// Something that two persons decide together.
    ApprovalId
}
id! {
    /// What two persons decide about: the id of an account or of a workspace.
    ApprovalTarget
}
id! {
    /// One token of a program.
    ApiTokenId
}
id! {
    /// One request, as it appears in its answer and in the logs.
    RequestId
}
id! {
    /// One sign-in sealing key.
    SealingKeyId
}

impl WorkspaceId {
    /// The reserved workspace `system`, where operators live. Its id is the nil UUID.
    pub const SYSTEM: Self = Self(Uuid::nil());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        let text = "0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11";
        assert_eq!(text.parse::<AccountId>().unwrap().to_string(), text);
        for bad in
            ["", "0192f0c18f6e4c559d3b2f6a1f0e7a11", "{0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11}", "../../etc/passwd"]
        {
            assert_eq!(bad.parse::<AccountId>(), Err(InvalidId), "{bad}");
            assert!(serde_json::from_value::<AccountId>(bad.into()).is_err(), "{bad}");
        }
    }
}
