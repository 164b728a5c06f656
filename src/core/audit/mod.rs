// SPDX-License-Identifier: AGPL-3.0-or-later
//! The audit chain: canonical records, each holding the hash of the one before, and signed heads.
//!
//! Canonical bytes are those of `docs/files.md` ("Audit records"): twelve frames, nothing optional, so a record has
//! one encoding. Where chains are kept is not known here.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::core::keys::frame::{Framed, split_frame};
use crate::core::keys::identity::{Identity, PublicIdentity, SignatureError};
use crate::values::id::{AccountId, WorkspaceId};
use crate::values::time::Timestamp;

pub mod export;

const FORMAT: &str = "conclave-audit-1";

/// SHA-256 of a record.
pub type Hash = [u8; 32];

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// Whoever is root on the host, over the admin socket.
    LocalOperator,
    /// An operator's account (workspace `system`), signed in over the network.
    Operator(AccountId),
    /// A signed-in account of the workspace itself.
    Account(AccountId),
    /// The appliance by itself.
    Appliance,
    /// Nobody proven.
    Anonymous,
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LocalOperator => f.write_str("operator:local"),
            Self::Operator(id) => write!(f, "operator:{id}"),
            Self::Account(id) => write!(f, "account:{id}"),
            Self::Appliance => f.write_str("appliance"),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}

/// How the actor proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// Kernel-checked peer credentials of a local socket.
    LocalSocket,
    /// A password.
    Password,
    /// A link that an operator made on the host, once.
    OneTimeLink,
    /// A setup code.
    SetupCode,
    /// Not at all.
    Nothing,
}

impl Strength {
    /// The name in the record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LocalSocket => "local-socket",
            Self::Password => "password",
            Self::OneTimeLink => "one-time-link",
            Self::SetupCode => "setup-code",
            Self::Nothing => "none",
        }
    }
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Allowed,
    /// It was refused.
    Refused,
}

impl Outcome {
    /// The name in the record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
        }
    }

    /// The outcome with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Allowed, Self::Refused].into_iter().find(|outcome| outcome.as_str() == name)
    }
}

/// Something that happened, before it has its place in a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Who did it.
    pub actor: Actor,
    /// How they proved it.
    pub strength: Strength,
    /// From which address, when over a network.
    pub address: Option<IpAddr>,
    /// What, such as `account.create`.
    pub action: &'static str,
    /// On what, such as `account:<uuid>`; may be empty.
    pub target: String,
    /// Whether it was done.
    pub outcome: Outcome,
    /// A short remark; may be empty. Never a secret.
    pub detail: String,
}

/// The end of a chain: how many records, and the hash of the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Sequence number of the last record; 0 for an empty chain.
    pub sequence: u64,
    /// Its hash; zero for an empty chain.
    pub hash: Hash,
}

impl Head {
    /// The head of a chain without records.
    pub const EMPTY: Self = Self { sequence: 0, hash: [0; 32] };

    /// Puts `event` behind this head: the canonical record and the new head.
    pub fn append(self, workspace: WorkspaceId, at: Timestamp, event: &Event) -> (Vec<u8>, Self) {
        let sequence = self.sequence.saturating_add(1);
        let address = event.address.map(|address| address.to_string()).unwrap_or_default();
        let record = Framed::bare()
            .frame(FORMAT.as_bytes())
            .frame(workspace.as_bytes())
            .frame(&sequence.to_be_bytes())
            .frame(&self.hash)
            .frame(&at.as_millis().to_be_bytes())
            .frame(event.actor.to_string().as_bytes())
            .frame(event.strength.as_str().as_bytes())
            .frame(address.as_bytes())
            .frame(event.action.as_bytes())
            .frame(event.target.as_bytes())
            .frame(event.outcome.as_str().as_bytes())
            .frame(event.detail.as_bytes())
            .into_bytes();
        let hash = Sha256::digest(&record).into();
        (record, Self { sequence, hash })
    }

    fn signed_bytes(self, workspace: WorkspaceId, at: Timestamp) -> Vec<u8> {
        Framed::labelled("conclave-audit-head-1")
            .fixed(workspace.as_bytes())
            .fixed(&self.sequence.to_be_bytes())
            .fixed(&self.hash)
            .fixed(&at.as_millis().to_be_bytes())
            .into_bytes()
    }

    /// Signs this head as seen at `at`.
    pub fn sign(self, workspace: WorkspaceId, at: Timestamp, identity: &Identity) -> [u8; 64] {
        identity.sign(&self.signed_bytes(workspace, at))
    }

    /// Checks a signature made by [`Head::sign`].
    pub fn verify(
        self,
        workspace: WorkspaceId,
        at: Timestamp,
        identity: PublicIdentity,
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        identity.verify(&self.signed_bytes(workspace, at), signature)
    }
}

/// A record read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose chain.
    pub workspace: WorkspaceId,
    /// Its place, from 1.
    pub sequence: u64,
    /// The hash of the record before it.
    pub previous: Hash,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// How they proved it.
    pub strength: String,
    /// From where.
    pub address: String,
    /// What.
    pub action: String,
    /// On what.
    pub target: String,
    /// `allowed` or `refused`.
    pub outcome: String,
    /// Remark.
    pub detail: String,
}

/// The bytes are no canonical record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a canonical audit record (format {FORMAT})")]
pub struct MalformedRecord;

impl Record {
    /// Reads canonical bytes; anything before, between or after the twelve frames is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, MalformedRecord> {
        let mut rest = bytes;
        let mut next = || -> Result<&[u8], MalformedRecord> {
            let (frame, after) = split_frame(rest).ok_or(MalformedRecord)?;
            rest = after;
            Ok(frame)
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| MalformedRecord);
        if next()? != FORMAT.as_bytes() {
            return Err(MalformedRecord);
        }
        let record = Self {
            workspace: WorkspaceId::from_bytes(next()?.try_into().map_err(|_| MalformedRecord)?),
            sequence: u64::from_be_bytes(next()?.try_into().map_err(|_| MalformedRecord)?),
            previous: next()?.try_into().map_err(|_| MalformedRecord)?,
            at: Timestamp::from_millis(i64::from_be_bytes(next()?.try_into().map_err(|_| MalformedRecord)?)),
            actor: text(next()?)?,
            strength: text(next()?)?,
            address: text(next()?)?,
            action: text(next()?)?,
            target: text(next()?)?,
            outcome: text(next()?)?,
            detail: text(next()?)?,
        };
        if rest.is_empty() { Ok(record) } else { Err(MalformedRecord) }
    }
}

/// Which records are looked for; what is not said does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// At this time or later.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// The actor begins with this.
    pub actor: Option<String>,
    /// The action begins with this.
    pub action: Option<String>,
    /// The target begins with this.
    pub target: Option<String>,
    /// What was decided.
    pub outcome: Option<Outcome>,
}

impl Filter {
    /// Whether a record is looked for.
    pub fn matches(&self, record: &Record) -> bool {
        let begins =
            |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|wanted| text.starts_with(wanted));
        self.since.is_none_or(|since| record.at >= since)
            && self.until.is_none_or(|until| record.at < until)
            && begins(&self.actor, &record.actor)
            && begins(&self.action, &record.action)
            && begins(&self.target, &record.target)
            && self.outcome.is_none_or(|outcome| record.outcome == outcome.as_str())
    }
}

/// Where and how a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Not canonical bytes.
    #[error("record {0} is not a canonical audit record: its bytes were changed")]
    Malformed(u64),
    /// The stored hash is not that of the record.
    #[error("record {0} does not have its stored hash: it was changed after it was written")]
    Changed(u64),
    /// A record is missing or out of place.
    #[error("record {expected} is missing: record {found} stands in its place")]
    Gap {
        /// The sequence number that had to come.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// It does not continue the record before it.
    #[error("record {0} does not continue the record before it: the chain was cut and mended there")]
    Broken(u64),
    /// It belongs to another chain.
    #[error("record {0} belongs to the chain of another workspace")]
    Foreign(u64),
}

/// Verifies a chain record by record, in order, in constant memory.
#[derive(Debug, Clone)]
pub struct ChainVerifier {
    workspace: WorkspaceId,
    head: Head,
}

impl ChainVerifier {
    /// Goes on from a head that is known.
    pub const fn after(workspace: WorkspaceId, head: Head) -> Self {
        Self { workspace, head }
    }

    /// Whose chain it is.
    pub const fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// Begins at the empty chain of `workspace`.
    pub const fn new(workspace: WorkspaceId) -> Self {
        Self { workspace, head: Head::EMPTY }
    }

    /// Takes the next record and its stored hash.
    pub fn push(&mut self, bytes: &[u8], stored_hash: &[u8]) -> Result<Record, ChainError> {
        let expected = self.head.sequence.saturating_add(1);
        let record = Record::decode(bytes).map_err(|_| ChainError::Malformed(expected))?;
        let hash: Hash = Sha256::digest(bytes).into();
        if hash != stored_hash {
            return Err(ChainError::Changed(expected));
        }
        if record.workspace != self.workspace {
            return Err(ChainError::Foreign(expected));
        }
        if record.sequence != expected {
            return Err(ChainError::Gap { expected, found: record.sequence });
        }
        if record.previous != self.head.hash {
            return Err(ChainError::Broken(expected));
        }
        self.head = Head { sequence: expected, hash };
        Ok(record)
    }

    /// The head so far.
    pub const fn head(&self) -> Head {
        self.head
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::values::secret::Key256;

    const W: WorkspaceId = WorkspaceId::from_bytes([5; 16]);

    fn event(action: &'static str) -> Event {
        Event {
            actor: Actor::LocalOperator,
            strength: Strength::LocalSocket,
            address: None,
            action,
            target: "account:x".to_owned(),
            outcome: Outcome::Allowed,
            detail: String::new(),
        }
    }

    fn chain(length: i64) -> Vec<(Vec<u8>, Hash)> {
        let mut head = Head::EMPTY;
        let record = |n| {
            let (record, next) = head.append(W, Timestamp::from_millis(n), &event("account.create"));
            head = next;
            (record, next.hash)
        };
        (1..=length).map(record).collect()
    }

    fn verify(chain: &[(Vec<u8>, Hash)]) -> Result<Head, ChainError> {
        let mut verifier = ChainVerifier::new(W);
        for (record, hash) in chain {
            verifier.push(record, hash)?;
        }
        Ok(verifier.head())
    }

    proptest! {
        /// Whatever bytes come: no panic, and what decodes is exactly what was read.
        #[test]
        fn decoding_is_total(mut bytes in proptest::collection::vec(any::<u8>(), 0..64), at in 0_usize..200, from_record in any::<bool>()) {
            if from_record {
                let mut record = chain(1).remove(0).0;
                let at = at.min(record.len());
                record.splice(at..at, bytes);
                bytes = record;
            }
            if let Ok(record) = Record::decode(&bytes) {
                prop_assert_eq!(record.sequence, 1);
                prop_assert_eq!(bytes, chain(1).remove(0).0);
            }
        }
    }

    #[test]
    fn a_whole_chain_verifies() {
        assert_eq!(verify(&chain(5)).unwrap().sequence, 5);
    }

    #[test]
    fn any_flipped_byte_is_found_where_it_is() {
        let whole = chain(3);
        for byte in 0..whole[1].0.len() {
            let mut changed = whole.clone();
            changed[1].0[byte] ^= 0x20;
            let error = verify(&changed).unwrap_err();
            assert!(matches!(error, ChainError::Malformed(2) | ChainError::Changed(2)), "{byte}: {error}");
        }
    }

    #[test]
    fn a_removed_record_is_found_even_when_hashes_are_right() {
        let mut cut = chain(4);
        cut.remove(1);
        assert_eq!(verify(&cut), Err(ChainError::Gap { expected: 2, found: 3 }));
    }

    #[test]
    fn a_filter_looks_at_what_it_names() {
        let record = Record::decode(&chain(1)[0].0).unwrap();
        let text = |text: &str| Some(text.to_owned());
        let at = |millis| Some(Timestamp::from_millis(millis));
        for (filter, found) in [
            (Filter::default(), true),
            (Filter { since: at(1), until: at(2), ..Filter::default() }, true),
            (Filter { since: at(2), ..Filter::default() }, false),
            (Filter { until: at(1), ..Filter::default() }, false),
            (
                Filter {
                    actor: text("operator:"),
                    action: text("account."),
                    target: text("account:x"),
                    ..Filter::default()
                },
                true,
            ),
            (Filter { actor: text("account:"), ..Filter::default() }, false),
            (Filter { action: text("create"), ..Filter::default() }, false),
            (Filter { target: text("account:xy"), ..Filter::default() }, false),
            (Filter { outcome: Some(Outcome::Allowed), ..Filter::default() }, true),
            (Filter { outcome: Some(Outcome::Refused), ..Filter::default() }, false),
        ] {
            assert_eq!(filter.matches(&record), found, "{filter:?}");
        }
    }

    #[test]
    fn a_head_is_signed_for_its_workspace_and_time() {
        let identity = Identity::from_seed(&Key256::new([1; 32]));
        let head = verify(&chain(2)).unwrap();
        let at = Timestamp::from_millis(9);
        let signature = head.sign(W, at, &identity);
        assert_eq!(head.verify(W, at, identity.public(), &signature), Ok(()));
        let other = WorkspaceId::from_bytes([6; 16]);
        assert!(head.verify(other, at, identity.public(), &signature).is_err());
        assert!(Head { sequence: 1, ..head }.verify(W, at, identity.public(), &signature).is_err());
    }
}
