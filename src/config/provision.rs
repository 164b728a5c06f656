// SPDX-License-Identifier: AGPL-3.0-or-later
//! `provision.toml`: what a claim without a person needs. Read only while nobody has claimed the appliance, so that it
//! may be deleted afterwards, and checked before any socket.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::config::{ConfigError, value};
use crate::core::keys::recovery::{RecoveryPublicKey, SealedFor};
use crate::platform::entropy;
use crate::platform::password;
use crate::platform::pki::Scope;
use crate::platform::store::files;
use crate::values::name::{DisplayName, UserName};
use crate::values::secret::SecretText;

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProvision {
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    networks: Vec<String>,
    operator: RawOperator,
    recovery_public_key: Option<String>,
    #[serde(default)]
    without_recovery_kit: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOperator {
    user_name: UserName,
    display_name: Option<DisplayName>,
    password_file: Option<PathBuf>,
}

/// A claim that holds.
#[derive(Debug)]
pub struct Provision {
    /// Names and networks.
    pub scope: Scope,
    /// The operator's user name.
    pub user_name: UserName,
    /// What others see.
    pub display_name: DisplayName,
    /// The password; without one the operator gets in by `conclave operator recover`.
    pub password: Option<SecretText>,
    /// The recovery kit; none when the file says so.
    pub recovery: Option<RecoveryPublicKey>,
}

/// Reads and checks the file.
pub fn read(path: &Path) -> Result<Provision, ConfigError> {
    let text = text(path)?;
    let text = text.expose();
    let raw: RawProvision = toml::from_str(text).map_err(|error| syntax(path, text, &error))?;
    let scope = Scope::parse(&raw.names, &raw.networks)
        .map_err(|error| value("provision: names, networks", path.display(), &error.to_string()))?;
    let recovery = recovery(path, raw.recovery_public_key.as_deref(), raw.without_recovery_kit)?;
    let RawOperator { user_name, display_name, password_file } = raw.operator;
    let same = || user_name.as_str().parse().map_err(|_| no_display_name(path));
    let display_name = display_name.map_or_else(same, Ok)?;
    let hints = [user_name.as_str(), display_name.as_str()];
    let password = password_file.map(|file| password_in(&file, &hints)).transpose()?;
    Ok(Provision { scope, user_name, display_name, password, recovery })
}

/// The file, when only whoever runs the appliance can have written it.
fn text(path: &Path) -> Result<SecretText, ConfigError> {
    let unreadable = |error: std::io::Error| {
        let reason =
            format!("cannot be read ({error}): make it readable for the appliance's user, or leave the key out");
        value("provision", path.display(), &reason)
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode() & 0o777;
    if mode & 0o022 != 0 {
        let reason = format!(
            "can be written by others (mode {mode:o}), and whoever writes it names the operator: look at what it says, then `chmod go-w` it"
        );
        return Err(value("provision", path.display(), &reason));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(unreadable)?;
    Ok(SecretText::new(text))
}

/// Where and what, without the line itself: somebody may have written a password there, and this goes into the log.
fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    ConfigError::Syntax { path: path.to_owned(), message: format!("line {line}, column {column}: {}", error.message()) }
}

fn no_display_name(path: &Path) -> ConfigError {
    value("provision: operator.display_name", path.display(), "is missing: write what others shall see of the operator")
}

fn recovery(path: &Path, key: Option<&str>, without: bool) -> Result<Option<RecoveryPublicKey>, ConfigError> {
    const KEY: &str = "provision: recovery_public_key";
    let refuse = |reason: &str| Err(value(KEY, path.display(), reason));
    match (key, without) {
        (None, true) => Ok(None),
        (None, false) => refuse(
            "is missing: make a kit with `conclave recovery new` and write its public key here, or do without with `without_recovery_kit = true`",
        ),
        (Some(_), true) => refuse("stands beside `without_recovery_kit = true`: leave one of them out"),
        (Some(key), false) => {
            let bytes = URL_SAFE_NO_PAD.decode(key).ok().and_then(|bytes| bytes.try_into().ok());
            let key = bytes.map(RecoveryPublicKey::new);
            // A key that agrees with everybody is found by sealing to it.
            match key.filter(|key| key.seal(SealedFor::Trial, "", b"", &mut entropy::system()).is_ok()) {
                Some(key) => Ok(Some(key)),
                None => {
                    refuse("is no X25519 public key in base64url: copy the one that `conclave recovery new` printed")
                }
            }
        }
    }
}

fn password_in(file: &Path, hints: &[&str]) -> Result<SecretText, ConfigError> {
    const KEY: &str = "provision: operator.password_file";
    let refuse = |reason: String| value(KEY, file.display(), &reason);
    let bytes = files::read_private(file).map_err(|error| {
        refuse(format!(
            "cannot be used ({error}): name a file with the password on its first line that nobody else may read"
        ))
    })?;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| refuse("is not UTF-8 text: write the password anew".to_owned()))?;
    let password = SecretText::new(text.lines().next().unwrap_or_default().to_owned());
    password::check_strength(&password, hints).map_err(|error| refuse(format!("{error}: choose another password")))?;
    Ok(password)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const RIGHT: &str =
        "names = [\"meet.example.lan\"]\nwithout_recovery_kit = true\n[operator]\nuser_name = \"olga\"\n";

    fn read_text(text: &str) -> Result<Provision, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("provision.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_that_holds_is_read() {
        let provision = read_text(RIGHT).unwrap();
        assert_eq!((provision.user_name.as_str(), provision.display_name.as_str()), ("olga", "olga"));
        assert!(provision.password.is_none() && provision.recovery.is_none());
        let key = format!("recovery_public_key = {:?}", URL_SAFE_NO_PAD.encode([9; 32]));
        assert!(read_text(&RIGHT.replace("without_recovery_kit = true", &key)).unwrap().recovery.is_some());
    }

    #[test]
    fn every_refusal_names_the_key_the_reason_and_the_way_out() {
        for (from, to, expected) in [
            ("without_recovery_kit = true", "", ["recovery_public_key", "is missing", "conclave recovery new"]),
            ("[operator]", "recovery_public_key = \"x\"\n[operator]", ["recovery_public_key", "beside", "leave one"]),
            (
                "without_recovery_kit = true",
                "recovery_public_key = \"AAAA\"",
                ["recovery_public_key", "no X25519", "copy"],
            ),
            ("\"meet.example.lan\"", "", ["names, networks", "bound to nothing", "at least one"]),
            ("\"olga\"", "\"o\"", ["line 4, column 13", "too short", "provision.toml"]),
            ("[operator]", "colour = 1\n[operator]", ["colour", "expected", "provision.toml"]),
            ("[operator]", "[operator]\npassword_file = \"/none\"", ["operator.password_file", "/none", "first line"]),
        ] {
            let said = read_text(&RIGHT.replace(from, to)).unwrap_err();
            assert!(expected.iter().all(|part| said.contains(part)), "{expected:?}: {said}");
        }
        // Where and what, and not the line: there may be a password on it.
        for written in ["password = \"hunter2\"", "password = \"hunter2", "password = hunter2"] {
            let said = read_text(&format!("{RIGHT}{written}\n")).unwrap_err();
            assert!(said.contains("provision.toml: line 5, column") && !said.contains("hunter2"), "{said}");
        }
        // 32 bytes of zero agree with everybody.
        let zero = format!("recovery_public_key = {:?}", "A".repeat(43));
        assert!(read_text(&RIGHT.replace("without_recovery_kit = true", &zero)).unwrap_err().contains("no X25519"));
        assert!(read(Path::new("/none")).unwrap_err().to_string().contains("provision = /none"));
    }
}
