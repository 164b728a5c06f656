// SPDX-License-Identifier: AGPL-3.0-or-later
//! Wrapped key files, and the unwrapped keys of every workspace in memory.
//!
//! Token keys are looked up here before any database is opened. A key file that does not unwrap seals its own
//! workspace and no other.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::core::keys::envelope::{self, EnvelopeError, FieldPlace, NONCE_LEN, Purpose, WrappedKey};
use crate::core::keys::identity::{Identity, PublicIdentity};
use crate::core::keys::recovery::{RecoveryError, RecoveryPublicKey};
use crate::platform::entropy;
use crate::platform::recovery;
use crate::platform::store::error::StoreError;
use crate::platform::store::files::{self, Layout};
use crate::values::id::WorkspaceId;
use crate::values::secret::{Key256, Key512, SecretBytes};

const FORMAT: &str = "conclave-keys-1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: String,
    workspace: WorkspaceId,
    keys: Vec<KeyEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    purpose: Purpose,
    version: u32,
    nonce: String,
    sealed: String,
}

/// The newest and the older versions of one key.
#[derive(Debug)]
struct Versions<const N: usize>(Vec<(u32, SecretBytes<N>)>);

impl<const N: usize> Versions<N> {
    fn newest(&self) -> Option<&(u32, SecretBytes<N>)> {
        self.0.iter().max_by_key(|(version, _)| *version)
    }

    fn version(&self, wanted: u32) -> Option<&SecretBytes<N>> {
        self.0.iter().find(|(version, _)| *version == wanted).map(|(_, key)| key)
    }
}

/// The unwrapped keys of one workspace.
#[derive(Debug)]
pub struct WorkspaceKeys {
    workspace: WorkspaceId,
    file: Key256,
    field: Versions<32>,
    token: Versions<64>,
    identity: Option<Key256>,
}

impl WorkspaceKeys {
    /// The raw key of the database file.
    pub const fn file(&self) -> &Key256 {
        &self.file
    }

    /// The newest token key and its version.
    pub fn newest_token(&self) -> Option<&(u32, Key512)> {
        self.token.newest()
    }

    /// The token key of a version.
    pub fn token(&self, version: u32) -> Option<&Key512> {
        self.token.version(version)
    }

    /// The newest field key, for deriving refresh tokens.
    pub fn newest_field(&self) -> Option<&(u32, Key256)> {
        self.field.newest()
    }

    /// A secret for one purpose, the same at each start.
    pub fn derived(&self, purpose: &[u8]) -> Option<Key256> {
        let (_, key) = self.newest_field()?;
        let mut secret = zeroize::Zeroizing::new([0; 32]);
        hkdf::Hkdf::<sha2::Sha256>::new(None, key.expose()).expand(purpose, &mut *secret).ok()?;
        Some(Key256::new(*secret))
    }

    /// The appliance's identity; in workspace `system` only.
    pub fn identity(&self) -> Option<Identity> {
        self.identity.as_ref().map(Identity::from_seed)
    }

    fn place<'a>(&self, table: &'a str, column: &'a str, row: &'a [u8]) -> FieldPlace<'a> {
        FieldPlace { workspace: self.workspace, table, column, row }
    }

    /// Seals a field for its place in this workspace's database.
    pub fn seal_field(&self, table: &str, column: &str, row: &[u8], plain: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
        let (version, key) = self.newest_field().ok_or(EnvelopeError)?;
        envelope::seal_field(key, *version, self.place(table, column, row), plain, &mut entropy::system())
    }

    /// Opens a field sealed by [`WorkspaceKeys::seal_field`].
    pub fn open_field(
        &self,
        table: &str,
        column: &str,
        row: &[u8],
        blob: &[u8],
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, EnvelopeError> {
        envelope::open_field(|version| self.field.version(version), self.place(table, column, row), blob)
    }
}

/// Every workspace's keys, or why they are sealed.
pub struct Keyring {
    layout: Layout,
    master: Key256,
    open: RwLock<HashMap<WorkspaceId, Arc<WorkspaceKeys>>>,
    sealed: HashMap<WorkspaceId, StoreError>,
}

impl Keyring {
    /// Reads the master key and unwraps every key file. On a first start the master key is made.
    pub fn load(layout: Layout) -> Result<Self, StoreError> {
        let directory = layout.keys();
        let mut ids = Vec::new();
        for entry in fs::read_dir(&directory).map_err(StoreError::io(&directory, "list"))? {
            let name = entry.map_err(StoreError::io(&directory, "list"))?.file_name();
            if let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".json")) {
                ids.extend(id.parse::<WorkspaceId>());
            }
        }
        // Files that some master key wrapped or sealed must not meet a new one.
        let first_start = ids.is_empty() && !layout.has_databases()?;
        let master = files::master_key(&layout, first_start)?;
        let mut ring = Self { layout, master, open: RwLock::default(), sealed: HashMap::new() };
        for id in ids {
            match ring.unwrap_file(id) {
                Ok(keys) => ring.insert(keys),
                Err(error) => {
                    ring.sealed.insert(id, error);
                }
            }
        }
        Ok(ring)
    }

    fn insert(&self, keys: WorkspaceKeys) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.insert(keys.workspace, Arc::new(keys));
    }

    /// The keys of a workspace, when there are and they unwrapped.
    pub fn keys(&self, workspace: WorkspaceId) -> Option<Arc<WorkspaceKeys>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).get(&workspace).cloned()
    }

    /// The workspaces that have a key file, sealed or not.
    pub fn ids(&self) -> Vec<WorkspaceId> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.keys().chain(self.sealed.keys()).copied().collect()
    }

    /// What `recovery.json` is to hold: the master key, sealed to a recovery kit for this appliance.
    pub fn sealed_to(&self, kit: &RecoveryPublicKey, appliance: &str) -> Result<Vec<u8>, RecoveryError> {
        recovery::seal_master_key(&self.master, appliance, kit)
    }

    /// Why the keys of a workspace are sealed, if they are.
    pub fn sealed(&self, workspace: WorkspaceId) -> Option<&StoreError> {
        self.sealed.get(&workspace)
    }

    /// How many workspaces have sealed keys.
    pub fn sealed_count(&self) -> usize {
        self.sealed.len()
    }

    /// Makes, wraps and writes the keys of a new workspace. Nothing is kept when that fails.
    pub fn create(&self, workspace: WorkspaceId) -> Result<Arc<WorkspaceKeys>, StoreError> {
        let rng = &mut entropy::system();
        let identity = (workspace == WorkspaceId::SYSTEM).then(|| Key256::random(rng));
        let keys = WorkspaceKeys {
            workspace,
            file: Key256::random(rng),
            field: Versions(vec![(1, Key256::random(rng))]),
            token: Versions(vec![(1, Key512::random(rng))]),
            identity,
        };
        self.write(&keys)?;
        self.insert(keys);
        self.keys(workspace).ok_or_else(|| self.malformed(workspace, "vanished while it was made"))
    }

    /// Destroys the keys of a workspace: what they sealed cannot be opened any more, wherever copies of it are. They are
    /// overwritten first; copies of the wrapped keys in backups are as good as the master key is secret.
    pub fn destroy(&self, workspace: WorkspaceId) -> Result<(), StoreError> {
        self.open.write().unwrap_or_else(PoisonError::into_inner).remove(&workspace);
        files::destroy(&self.layout.key_file(workspace))
    }

    fn write(&self, keys: &WorkspaceKeys) -> Result<(), StoreError> {
        let mut entries = vec![self.entry(keys.workspace, Purpose::File, 1, keys.file.expose())?];
        for (version, key) in &keys.field.0 {
            entries.push(self.entry(keys.workspace, Purpose::Field, *version, key.expose())?);
        }
        for (version, key) in &keys.token.0 {
            entries.push(self.entry(keys.workspace, Purpose::Token, *version, key.expose())?);
        }
        if let Some(seed) = &keys.identity {
            entries.push(self.entry(keys.workspace, Purpose::Identity, 1, seed.expose())?);
        }
        let file = KeyFile { format: FORMAT.to_owned(), workspace: keys.workspace, keys: entries };
        let path = self.layout.key_file(keys.workspace);
        let json = serde_json::to_vec_pretty(&file)
            .map_err(|error| StoreError::Malformed { path: path.clone(), reason: error.to_string() })?;
        files::write_private(&path, &json)
    }

    fn entry(
        &self,
        workspace: WorkspaceId,
        purpose: Purpose,
        version: u32,
        key: &[u8],
    ) -> Result<KeyEntry, StoreError> {
        let wrapped = envelope::wrap_key(&self.master, workspace, purpose, version, key, &mut entropy::system())
            .map_err(|_| StoreError::SealedKey { path: self.layout.key_file(workspace), purpose: purpose.as_str() })?;
        Ok(KeyEntry { purpose, version, nonce: hex::encode(wrapped.nonce), sealed: hex::encode(wrapped.sealed) })
    }

    fn unwrap_file(&self, workspace: WorkspaceId) -> Result<WorkspaceKeys, StoreError> {
        let path = self.layout.key_file(workspace);
        let bytes = files::read_private(&path)?;
        let file: KeyFile = serde_json::from_slice(&bytes).map_err(|error| {
            self.malformed(workspace, &format!("is not a key file ({error}): restore it from a backup"))
        })?;
        if file.format != FORMAT || file.workspace != workspace {
            return Err(
                self.malformed(workspace, "is the key file of another workspace or format: restore it from a backup")
            );
        }
        let mut keys = (None, Versions(Vec::new()), Versions(Vec::new()), None);
        for entry in &file.keys {
            match entry.purpose {
                Purpose::File => keys.0 = Some(self.unwrap(workspace, entry)?),
                Purpose::Field => keys.1.0.push((entry.version, self.unwrap(workspace, entry)?)),
                Purpose::Token => keys.2.0.push((entry.version, self.unwrap(workspace, entry)?)),
                Purpose::Identity => keys.3 = Some(self.unwrap(workspace, entry)?),
            }
        }
        let (Some(file), field, token, identity) = keys else {
            return Err(self.malformed(workspace, "has no file key: restore it from a backup"));
        };
        if field.0.is_empty() || token.0.is_empty() || (workspace == WorkspaceId::SYSTEM && identity.is_none()) {
            return Err(self.malformed(workspace, "lacks a key: restore it from a backup"));
        }
        Ok(WorkspaceKeys { workspace, file, field, token, identity })
    }

    fn unwrap<const N: usize>(&self, workspace: WorkspaceId, entry: &KeyEntry) -> Result<SecretBytes<N>, StoreError> {
        let refused =
            || StoreError::SealedKey { path: self.layout.key_file(workspace), purpose: entry.purpose.as_str() };
        let mut nonce = [0; NONCE_LEN];
        hex::decode_to_slice(&entry.nonce, &mut nonce).map_err(|_| refused())?;
        let sealed = hex::decode(&entry.sealed).map_err(|_| refused())?;
        let wrapped = WrappedKey { nonce, sealed };
        let plain = envelope::unwrap_key(&self.master, workspace, entry.purpose, entry.version, &wrapped)
            .map_err(|_| refused())?;
        SecretBytes::from_slice(&plain).ok_or_else(refused)
    }

    fn malformed(&self, workspace: WorkspaceId, reason: &str) -> StoreError {
        StoreError::Malformed { path: self.layout.key_file(workspace), reason: reason.to_owned() }
    }
}

/// Whose keys a directory holds, when this master key opens them.
pub fn identity_under(layout: &Layout, master: &Key256) -> Result<PublicIdentity, StoreError> {
    let ring =
        Keyring { layout: layout.clone(), master: master.clone(), open: RwLock::default(), sealed: HashMap::new() };
    let identity = ring.unwrap_file(WorkspaceId::SYSTEM)?.identity();
    Ok(identity.ok_or_else(|| ring.malformed(WorkspaceId::SYSTEM, "lacks a key"))?.public())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("data"), None);
        layout.claim().unwrap();
        (dir, layout)
    }

    #[test]
    fn keys_come_back_after_a_restart_and_are_never_plain_on_disk() {
        let (_dir, layout) = layout();
        let made = Keyring::load(layout.clone()).unwrap().create(WorkspaceId::SYSTEM).unwrap();
        let ring = Keyring::load(layout.clone()).unwrap();
        let read = ring.keys(WorkspaceId::SYSTEM).unwrap();
        assert_eq!(made.file(), read.file());
        assert_eq!(made.token(1), read.token(1));
        let on_disk = fs::read_to_string(layout.key_file(WorkspaceId::SYSTEM)).unwrap();
        assert!(!on_disk.contains(&hex::encode(made.file().expose())));
    }

    #[test]
    fn swapped_key_files_seal_their_workspaces_and_no_other() {
        let (_dir, layout) = layout();
        let ring = Keyring::load(layout.clone()).unwrap();
        let ids = [1, 2, 3].map(|n| WorkspaceId::from_bytes([n; 16]));
        for id in ids {
            ring.create(id).unwrap();
        }
        let (a, b) = (layout.key_file(ids[0]), layout.key_file(ids[1]));
        let text = fs::read_to_string(&a).unwrap();
        fs::write(&b, &text).unwrap();
        fs::write(&a, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
        let ring = Keyring::load(layout).unwrap();
        assert!(ring.sealed(ids[0]).unwrap().to_string().contains("does not unwrap"));
        assert!(ring.sealed(ids[1]).unwrap().to_string().contains("another workspace"));
        assert!(ring.keys(ids[2]).is_some());
    }
}
