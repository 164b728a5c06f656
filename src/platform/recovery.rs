// SPDX-License-Identifier: AGPL-3.0-or-later
//! The recovery kit: its 24 words (BIP 39, English), and `recovery.json`, the master key sealed to it.
//!
//! The words are made by the command line or the page and never sent here; opening the file needs no appliance.

use std::path::Path;

use bip39::{Language, Mnemonic};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::core::keys::recovery::{RecoveryError, RecoveryPublicKey, RecoverySeed, SealedFor};
use crate::core::keys::sealing::SealedBox;
use crate::platform::entropy;
use crate::platform::store::error::StoreError;
use crate::platform::store::files::{self, Layout};
use crate::platform::store::keyring;
use crate::values::id::WorkspaceId;
use crate::values::secret::{Key256, SecretText};

const FORMAT: &str = "conclave-recovery-1";
/// Words of a kit: 256 bits and a checksum of eight.
pub const WORDS: usize = 24;

/// Why words are no kit. Names the place of a word, never the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// Too few or too many.
    #[error(
        "a recovery kit has 24 words, and these are {0}: type all of them, in their order, with blanks between them"
    )]
    Count(usize),
    /// One is not in the list.
    #[error("word {0} is in no recovery kit: look at it again on the paper")]
    Unknown(usize),
    /// All are in the list, and they do not belong together.
    #[error("the words do not fit together (their checksum is wrong): one is another word or in another place")]
    Checksum,
}

/// Why there is no kit, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// The words.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// They are those of another kit.
    #[error(
        "these are the words of another kit: this data directory was claimed with the kit whose public key is {expected}"
    )]
    OtherKit {
        /// The public key in the file, in hex.
        expected: String,
    },
    /// The file does not open, though it names this kit.
    #[error("{path}: was changed, or belongs to another appliance: restore it from a backup")]
    Changed {
        /// Which file.
        path: String,
    },
    /// The master key in the file is not the one of the directory.
    #[error(
        "{path}: the master key in recovery.json is not the one of these keys ({reason}); nothing was written: put recovery.json and the keys of one backup together"
    )]
    OtherKeys {
        /// Which key file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// There is a master key already.
    #[error(
        "{path}: there is a master key already, and it is not overwritten: start the appliance, or move the file away if it is the wrong one"
    )]
    MasterKeyThere {
        /// Which file.
        path: String,
    },
    /// The key is none.
    #[error(transparent)]
    Key(#[from] RecoveryError),
    /// Reading or writing.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The words of a seed.
pub fn words(seed: &RecoverySeed) -> Vec<&'static str> {
    // 32 bytes always make a mnemonic.
    Mnemonic::from_entropy(seed.expose()).map(|mnemonic| mnemonic.words().collect()).unwrap_or_default()
}

/// Every word there is, in the order of BIP 39, one a line: what a page makes its kit of.
pub fn word_list() -> String {
    Language::English.word_list().join("\n")
}

/// The seed of words, as people type them: any case, numbered or not, or the text of the whole kit.
pub fn seed(typed: &SecretText) -> Result<RecoverySeed, WordsError> {
    let is_number = |word: &str| word.strip_suffix('.').is_some_and(|number| number.parse::<u8>().is_ok());
    let typed: Vec<&str> = typed.expose().split_whitespace().collect();
    // A printed kit has other words besides; there a number stands before each that counts.
    let numbered =
        typed.iter().zip(typed.iter().skip(1)).filter(|(number, _)| is_number(number)).map(|(_, word)| *word);
    let mut words: Vec<String> = numbered.map(str::to_lowercase).collect();
    if words.len() != WORDS {
        words = typed.iter().filter(|word| !is_number(word)).map(|word| word.to_lowercase()).collect();
    }
    if words.len() != WORDS {
        return Err(WordsError::Count(words.len()));
    }
    let joined = SecretText::new(words.join(" "));
    let mnemonic = Mnemonic::parse_in_normalized(Language::English, joined.expose()).map_err(|error| match error {
        bip39::Error::UnknownWord(index) => WordsError::Unknown(index + 1),
        _ => WordsError::Checksum,
    })?;
    let (bytes, _) = mnemonic.to_entropy_array();
    let seed = bytes.get(..32).and_then(Key256::from_slice).ok_or(WordsError::Checksum)?;
    Ok(RecoverySeed::new(seed))
}

/// `recovery.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecoveryFile {
    format: String,
    appliance: String,
    public_key: String,
    encapsulated_key: String,
    sealed: String,
}

/// The bytes of `recovery.json`: the master key, sealed to a kit.
pub fn seal_master_key(master: &Key256, appliance: &str, kit: &RecoveryPublicKey) -> Result<Vec<u8>, RecoveryError> {
    let sealed = kit.seal(SealedFor::MasterKey, appliance, master.expose(), &mut entropy::system())?;
    let file = RecoveryFile {
        format: FORMAT.to_owned(),
        appliance: appliance.to_owned(),
        public_key: hex::encode(kit.to_bytes()),
        encapsulated_key: hex::encode(sealed.encapsulated_key),
        sealed: hex::encode(sealed.ciphertext),
    };
    serde_json::to_vec_pretty(&file).map_err(|_| RecoveryError::Key)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<RecoveryFile, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::Malformed {
        path: path.to_owned(),
        reason: format!("is no recovery file ({error}): restore it from a backup"),
    })
}

/// SHA-256 of the file, in hex. Nobody who has no words can tell whether it opens, but everybody whether it is the same.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Whether `recovery.json` is what an appliance that was claimed with this kit, or without one, has. If not, says why
/// and the way out. `digest` is that of the file which the claim made.
pub fn check_file(path: &Path, claimed_with: Option<&RecoveryPublicKey>, digest: Option<&str>) -> Result<(), String> {
    let Some(kit) = claimed_with else {
        return if path.exists() {
            Err("the appliance was claimed without a recovery kit, so this file opens nothing: remove it".to_owned())
        } else {
            Ok(())
        };
    };
    let opened = files::read_private(path).and_then(|bytes| Ok((parse(path, &bytes)?, bytes)));
    let (file, bytes) = opened.map_err(|error| {
        format!("the recovery kit opens nothing without this file ({error}): put it back from a backup")
    })?;
    if file.public_key == hex::encode(kit.to_bytes()) {
        // What is sealed in it could be changed all the same.
        return match digest {
            Some(digest) if digest != self::digest(&bytes) => Err(
                "this file was changed since the claim, so the recovery kit may not open it: put it back from a backup"
                    .to_owned(),
            ),
            _ => Ok(()),
        };
    }
    Err("this file is sealed to another recovery kit than the one of the claim: put it back from a backup".to_owned())
}

/// Whose master key came back, to be compared with the paper.
pub struct Restored {
    /// The appliance id.
    pub appliance: String,
    /// Its public identity key.
    pub identity_key: [u8; 32],
}

/// Writes the master key of a data directory that lost it, from `recovery.json` and the words. Anybody can seal to a
/// kit's public key, so the key must open the directory's own keys before it is written.
pub fn restore(layout: &Layout, typed: &SecretText) -> Result<Restored, KitError> {
    let (path, master_key) = (layout.recovery(), layout.master_key());
    if master_key.exists() {
        return Err(KitError::MasterKeyThere { path: master_key.display().to_string() });
    }
    let file = parse(&path, &files::read_private_in_place(&path)?)?;
    let seed = seed(typed)?;
    if hex::encode(seed.public()?.to_bytes()) != file.public_key {
        return Err(KitError::OtherKit { expected: file.public_key });
    }
    let changed = || KitError::Changed { path: path.display().to_string() };
    let boxed = SealedBox {
        encapsulated_key: hex::decode(&file.encapsulated_key).map_err(|_| changed())?,
        ciphertext: hex::decode(&file.sealed).map_err(|_| changed())?,
    };
    let opened = seed.open(SealedFor::MasterKey, &file.appliance, &boxed).map_err(|_| changed())?;
    let master = Key256::from_slice(&opened).filter(|_| file.format == FORMAT).ok_or_else(changed)?;
    let keys = layout.key_file(WorkspaceId::SYSTEM);
    let other = |reason: String| KitError::OtherKeys { path: keys.display().to_string(), reason };
    let identity = keyring::identity_under(layout, &master).map_err(|error| other(error.to_string()))?;
    if identity.appliance_id() != file.appliance {
        return Err(other(format!("they are those of appliance {}", identity.appliance_id())));
    }
    files::write_private(master_key, master.expose())?;
    files::give_to_owner_of(layout.root(), master_key)?;
    Ok(Restored { appliance: file.appliance, identity_key: identity.to_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::store::keyring::Keyring;

    fn typed(words: &[&str]) -> SecretText {
        SecretText::new(words.join(" "))
    }

    #[test]
    fn words_are_those_of_bip_39_and_are_read_as_people_type_them() {
        // The test vector of BIP 39 for 32 bytes of zero.
        let zero = words(&RecoverySeed::new(Key256::new([0; 32])));
        assert_eq!((zero.len(), zero[0], zero[22], zero[23]), (WORDS, "abandon", "abandon", "art"));
        let made = RecoverySeed::random(&mut entropy::system());
        let kit = words(&made);
        let numbered: Vec<String> =
            kit.iter().enumerate().map(|(index, word)| format!("{}. {}\n", index + 1, word.to_uppercase())).collect();
        let read = seed(&SecretText::new(numbered.concat())).unwrap();
        assert!(read.expose() == made.expose());
        assert_eq!(word_list().lines().count(), 2_048);
    }

    #[test]
    fn wrong_words_are_refused_by_name() {
        let mut kit = words(&RecoverySeed::new(Key256::new([7; 32])));
        assert_eq!(seed(&typed(&kit[..23])).unwrap_err(), WordsError::Count(23));
        let (first, second) = (kit[0], kit[1]);
        kit[1] = "conclave";
        assert_eq!(seed(&typed(&kit)).unwrap_err(), WordsError::Unknown(2));
        kit[1] = second;
        kit[0] = if first == "abandon" { "ability" } else { "abandon" };
        assert_eq!(seed(&typed(&kit)).unwrap_err(), WordsError::Checksum);
    }

    #[test]
    fn a_lost_master_key_comes_back_and_one_that_is_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("data"), None);
        drop(layout.claim().unwrap());
        let ring = Keyring::load(layout.clone()).unwrap();
        let identity = ring.create(WorkspaceId::SYSTEM).unwrap().identity().unwrap().public();
        let (appliance, made) = (identity.appliance_id(), RecoverySeed::random(&mut entropy::system()));
        let kit = made.public().unwrap();
        let file = ring.sealed_to(&kit, &appliance).unwrap();
        files::write_private(&layout.recovery(), &file).unwrap();
        let master = files::read_private(layout.master_key()).unwrap();
        std::fs::remove_file(layout.master_key()).unwrap();

        let other = words(&RecoverySeed::random(&mut entropy::system()));
        assert!(matches!(restore(&layout, &typed(&other)), Err(KitError::OtherKit { .. })));
        assert!(!layout.master_key().exists());
        let restored = restore(&layout, &typed(&words(&made))).unwrap();
        assert_eq!((&restored.appliance, restored.identity_key), (&appliance, identity.to_bytes()));
        assert!(files::read_private(layout.master_key()).unwrap() == master);
        assert!(matches!(restore(&layout, &typed(&words(&made))), Err(KitError::MasterKeyThere { .. })));

        std::fs::remove_file(layout.master_key()).unwrap();
        let swapped = String::from_utf8(file).unwrap().replace(&appliance, &"0".repeat(32));
        files::write_private(&layout.recovery(), swapped.as_bytes()).unwrap();
        assert!(matches!(restore(&layout, &typed(&words(&made))), Err(KitError::Changed { .. })));

        // Anybody can seal to the kit: another master key, or the right one under another appliance's name.
        let forged = seal_master_key(&Key256::new([5; 32]), &appliance, &kit).unwrap();
        let renamed = ring.sealed_to(&kit, &"0".repeat(32)).unwrap();
        for forged in [forged, renamed] {
            files::write_private(&layout.recovery(), &forged).unwrap();
            assert!(matches!(restore(&layout, &typed(&words(&made))), Err(KitError::OtherKeys { .. })));
            assert!(!layout.master_key().exists());
        }
    }
}
