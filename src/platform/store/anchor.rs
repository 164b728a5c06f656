// SPDX-License-Identifier: AGPL-3.0-or-later
//! The anchor: signed heads of every audit chain, kept outside the files they speak of.
//!
//! An old database put back authenticates perfectly; only something outside it can tell. The anchor may lag behind
//! a file (a crash before it was written), never run ahead of it, so a shorter chain is always a rollback.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::core::audit::Head;
use crate::core::keys::frame::Framed;
use crate::core::keys::identity::{Identity, PublicIdentity};
use crate::platform::store::audit_log;
use crate::platform::store::error::{StoreError, from_sqlite};
use crate::platform::store::{files, settings};
use crate::values::id::WorkspaceId;
use crate::values::time::Timestamp;

const FORMAT: &str = "conclave-anchor-1";

/// Key of the setting in `system.db` that holds the anchor's counter.
pub(super) const COUNTER_SETTING: &str = "anchor.counter";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnchorFile {
    format: String,
    counter: u64,
    signature: String,
    heads: Vec<AnchoredHead>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnchoredHead {
    workspace: WorkspaceId,
    sequence: u64,
    hash: String,
    at: i64,
    signature: String,
}

#[derive(Debug, Default)]
struct Heads {
    /// What the anchor file holds.
    anchored: BTreeMap<WorkspaceId, Head>,
    /// What it is to hold: every workspace's latest committed head.
    latest: BTreeMap<WorkspaceId, Head>,
    counter: u64,
}

/// The anchor of one data directory.
#[derive(Debug)]
pub struct Anchor {
    path: PathBuf,
    heads: Mutex<Heads>,
}

impl Anchor {
    /// Reads and verifies the anchor file; there is none before the first write.
    pub fn load(path: PathBuf, identity: PublicIdentity) -> Result<Self, StoreError> {
        if !path.exists() {
            return Ok(Self { path, heads: Mutex::default() });
        }
        let malformed = |reason: &str| StoreError::Malformed {
            path: path.clone(),
            reason: format!(
                "{reason}: restore it from the backup of the same day as the databases; when there is none, move it away, look at every workspace's audit, and confirm with `conclave workspace accept-rollback system`"
            ),
        };
        let bytes = files::read_private(&path)?;
        let file: AnchorFile =
            serde_json::from_slice(&bytes).map_err(|error| malformed(&format!("is not an anchor ({error})")))?;
        if file.format != FORMAT {
            return Err(malformed("has another format"));
        }
        let mut anchored = BTreeMap::new();
        for entry in &file.heads {
            let mut head = Head { sequence: entry.sequence, hash: [0; 32] };
            hex::decode_to_slice(&entry.hash, &mut head.hash).map_err(|_| malformed("has a hash that is none"))?;
            let signature = hex::decode(&entry.signature).unwrap_or_default();
            head.verify(entry.workspace, Timestamp::from_millis(entry.at), identity, &signature)
                .map_err(|_| malformed("has a head that this appliance did not sign"))?;
            anchored.insert(entry.workspace, head);
        }
        let heads = Heads { latest: anchored.clone(), anchored, counter: file.counter };
        identity
            .verify(&signed_bytes(heads.counter, &heads.anchored), &hex::decode(&file.signature).unwrap_or_default())
            .map_err(|_| malformed("is not signed by this appliance"))?;
        Ok(Self { path, heads: Mutex::new(heads) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Heads> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a file is at least as new as its anchored head. `system.db` knows the counter too, so there an anchor
    /// that is missing or older than the file is noticed as well.
    pub fn agrees(&self, workspace: WorkspaceId, database: &Connection, path: &Path) -> Result<bool, StoreError> {
        let sql = |error| from_sqlite(path, error);
        if workspace == WorkspaceId::SYSTEM && !self.is_in_step_with(stored_counter(database).map_err(sql)?) {
            return Ok(false);
        }
        let Some(anchored) = self.lock().anchored.get(&workspace).copied() else { return Ok(true) };
        let hash = audit_log::hash_at(database, anchored.sequence).map_err(sql)?;
        Ok(anchored == Head::EMPTY || hash == Some(anchored.hash))
    }

    /// Whether the file is the one that `system.db` knows of: the same counter, or one less after a crash in between.
    pub fn is_in_step_with(&self, stored: u64) -> bool {
        let counter = self.counter();
        counter == stored || counter.saturating_add(1) == stored
    }

    /// Notes a committed head; it is in the file from the next write on.
    pub fn note(&self, workspace: WorkspaceId, head: Head) {
        let mut heads = self.lock();
        if head == Head::EMPTY {
            heads.latest.remove(&workspace);
        } else {
            heads.latest.insert(workspace, head);
        }
    }

    /// Forgets a workspace that is no more.
    pub fn forget(&self, workspace: WorkspaceId) {
        self.lock().latest.remove(&workspace);
    }

    /// The heads that the anchor file holds.
    pub fn anchored(&self) -> Vec<(WorkspaceId, Head)> {
        self.lock().anchored.iter().map(|(workspace, head)| (*workspace, *head)).collect()
    }

    /// How often the anchor was written.
    pub fn counter(&self) -> u64 {
        self.lock().counter
    }

    /// Whether there is something to write.
    pub fn is_due(&self) -> bool {
        let heads = self.lock();
        heads.latest != heads.anchored
    }

    /// Writes every known head under `counter`, signed. One call at a time: there is one file on its way.
    pub(super) fn write(&self, counter: u64, identity: &Identity, now: Timestamp) -> Result<(), StoreError> {
        let anchored = self.lock().latest.clone();
        let entries = anchored.iter().map(|(workspace, head)| AnchoredHead {
            workspace: *workspace,
            sequence: head.sequence,
            hash: hex::encode(head.hash),
            at: now.as_millis(),
            signature: hex::encode(head.sign(*workspace, now, identity)),
        });
        let file = AnchorFile {
            format: FORMAT.to_owned(),
            counter,
            signature: hex::encode(identity.sign(&signed_bytes(counter, &anchored))),
            heads: entries.collect(),
        };
        let json = serde_json::to_vec_pretty(&file)
            .map_err(|error| StoreError::Malformed { path: self.path.clone(), reason: error.to_string() })?;
        files::write_private(&self.path, &json)?;
        let mut heads = self.lock();
        heads.anchored = anchored;
        heads.counter = counter;
        Ok(())
    }
}

/// The counter that `system.db` knows, 0 before the first write.
pub(super) fn stored_counter(database: &Connection) -> rusqlite::Result<u64> {
    Ok(settings::get(database, COUNTER_SETTING)?.and_then(|text| text.parse().ok()).unwrap_or(0))
}

fn signed_bytes(counter: u64, heads: &BTreeMap<WorkspaceId, Head>) -> Vec<u8> {
    let begin = Framed::labelled(FORMAT).fixed(&counter.to_be_bytes());
    heads
        .iter()
        .fold(begin, |bytes, (workspace, head)| {
            bytes.fixed(workspace.as_bytes()).fixed(&head.sequence.to_be_bytes()).fixed(&head.hash)
        })
        .into_bytes()
}
