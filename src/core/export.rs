// SPDX-License-Identifier: AGPL-3.0-or-later
//! Everything of a workspace as JSON lines, signed as a whole: `docs/files.md` has the format.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::core::keys::frame::Framed;
use crate::core::keys::identity::{Identity, PublicIdentity};
use crate::values::id::WorkspaceId;
use crate::values::time::Timestamp;

/// The name of the format, in its first line and under its signature.
pub const FORMAT: &str = "conclave-workspace-export-1";

/// Why an export does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// Its first line is not one.
    #[error("the first line does not say {FORMAT} and a workspace")]
    NoExport,
    /// It was cut off.
    #[error("the export ends without its signature, so something is missing")]
    Unsigned,
    /// Something comes after the signature, or it is not the one of these lines.
    #[error("the signature is not one of this appliance over these lines: something was changed, added or removed")]
    Changed,
}

/// What the first line says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Opening {
    /// The name of the format.
    pub format: String,
    /// Of which workspace.
    pub workspace: WorkspaceId,
    /// What it is called.
    pub name: String,
    /// Where it is in its life.
    pub stage: String,
    /// When the export was made.
    pub exported_at: Timestamp,
    /// The appliance's public identity key, in hex.
    pub identity_key: String,
}

/// A line about a thing of some kind.
#[derive(Serialize)]
struct Thing<'a, T> {
    kind: &'a str,
    #[serde(flatten)]
    thing: T,
}

/// What the last line says.
#[derive(Serialize, Deserialize)]
struct Closing {
    kind: String,
    sha256: String,
    signature: String,
}

const CLOSING: &str = "signature";

/// Makes the lines of an export.
pub struct Export {
    workspace: WorkspaceId,
    hash: Sha256,
}

fn signed_bytes(workspace: WorkspaceId, hash: &[u8]) -> Vec<u8> {
    Framed::labelled(FORMAT).fixed(workspace.as_bytes()).fixed(hash).into_bytes()
}

fn json_line(value: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_string(value).map(|json| json + "\n")
}

impl Export {
    /// Begins an export, with its first line.
    pub fn begin(opening: &Opening) -> Result<(Self, String), serde_json::Error> {
        let mut export = Self { workspace: opening.workspace, hash: Sha256::new() };
        let line = export.line(opening)?;
        Ok((export, line))
    }

    fn line(&mut self, value: &impl Serialize) -> Result<String, serde_json::Error> {
        let line = json_line(value)?;
        self.hash.update(line.as_bytes());
        Ok(line)
    }

    /// A line about a thing of some kind.
    pub fn thing(&mut self, kind: &str, thing: impl Serialize) -> Result<String, serde_json::Error> {
        self.line(&Thing { kind, thing })
    }

    /// The last line.
    pub fn end(self, identity: &Identity) -> Result<String, serde_json::Error> {
        let hash = self.hash.finalize();
        let signature = hex::encode(identity.sign(&signed_bytes(self.workspace, &hash)));
        json_line(&Closing { kind: CLOSING.to_owned(), sha256: hex::encode(hash), signature })
    }
}

/// Verifies an export; answers its workspace and how many lines it has besides the first and the last.
pub fn verify(export: &str, identity: PublicIdentity) -> Result<(WorkspaceId, usize), ExportError> {
    let opening = export.lines().next().and_then(|line| serde_json::from_str::<Opening>(line).ok());
    let opening = opening.filter(|opening| opening.format == FORMAT).ok_or(ExportError::NoExport)?;
    let body_end = export.trim_end_matches('\n').rfind('\n').map_or(0, |end| end + 1);
    let (body, last) = export.split_at_checked(body_end).ok_or(ExportError::Unsigned)?;
    let closing = serde_json::from_str::<Closing>(last).ok().filter(|closing| closing.kind == CLOSING);
    let closing = closing.ok_or(ExportError::Unsigned)?;
    let hash = Sha256::digest(body.as_bytes());
    if closing.sha256 != hex::encode(hash) {
        return Err(ExportError::Changed);
    }
    let signature = hex::decode(closing.signature).map_err(|_| ExportError::Changed)?;
    let signed = identity.verify(&signed_bytes(opening.workspace, &hash), &signature);
    signed.map_err(|_| ExportError::Changed)?;
    Ok((opening.workspace, body.lines().count().saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::values::secret::Key256;

    #[test]
    fn one_changed_character_anywhere_and_a_missing_line_are_found() {
        let identity = Identity::from_seed(&Key256::new([7; 32]));
        let workspace = WorkspaceId::from_bytes([3; 16]);
        let opening = Opening {
            format: FORMAT.to_owned(),
            workspace,
            name: "demo".to_owned(),
            stage: "closed".to_owned(),
            exported_at: Timestamp::from_millis(0),
            identity_key: String::new(),
        };
        let (mut export, mut text) = Export::begin(&opening).unwrap();
        for name in ["ada", "bob"] {
            text.push_str(&export.thing("account", json!({ "user_name": name })).unwrap());
        }
        text.push_str(&export.end(&identity).unwrap());
        assert_eq!(verify(&text, identity.public()), Ok((workspace, 2)));
        let other = Identity::from_seed(&Key256::new([8; 32]));
        assert_eq!(verify(&text, other.public()), Err(ExportError::Changed));
        for at in 0..text.len() - 1 {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(verify(&changed, identity.public()).is_err(), "{changed}");
        }
        let lines: Vec<_> = text.lines().collect();
        let without_bob = [lines[0], lines[1], lines[3]].join("\n");
        assert_eq!(verify(&without_bob, identity.public()), Err(ExportError::Changed));
        assert_eq!(verify(&lines[..3].join("\n"), identity.public()), Err(ExportError::Unsigned));
        assert_eq!(verify("", identity.public()), Err(ExportError::NoExport));
    }
}
