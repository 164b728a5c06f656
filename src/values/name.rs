// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names that people type: parsed once, normalised, and refused with the reason.
//!
//! A user name is compared in its normal form (NFKC, lower case), must be written in one script, and has a
//! *skeleton* (Unicode TS 39): two names that look alike have the same one, so a workspace can refuse the second.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_security::confusable_detection::skeleton;
use unicode_security::{GeneralSecurityProfile, MixedScript};

/// Longest workspace name, in characters: one DNS label (RFC 1035 §2.3.4).
const WORKSPACE_NAME_MAX: usize = 63;
/// Longest room name, in characters.
const ROOM_NAME_MAX: usize = 63;
/// Longest user name, in characters: the width of a badge.
const USER_NAME_MAX: usize = 64;
/// Longest display name, in characters.
const DISPLAY_NAME_MAX: usize = 80;
/// Longest label, in characters.
const LABEL_MAX: usize = 200;
/// Longest text that is even looked at, in bytes; normalisation can grow text.
const INPUT_MAX: usize = 512;

/// Why a name was refused. The text says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Too few characters.
    #[error("is too short: use at least {0} characters")]
    TooShort(usize),
    /// Too many characters.
    #[error("is too long: use at most {0} characters")]
    TooLong(usize),
    /// A character that this kind of name cannot have.
    #[error("contains {0}, which is not allowed here: use {1}")]
    Character(String, &'static str),
    /// Starts or ends with punctuation.
    #[error("must start and end with a letter or a digit")]
    Edge,
    /// Letters of several scripts, as in names made to look like another one.
    #[error("mixes scripts (such as Latin and Cyrillic letters): write it in one script")]
    MixedScripts,
    /// A name that the appliance keeps for itself.
    #[error("is reserved: choose another one")]
    Reserved,
}

/// Shows a character so that an invisible one can be found.
fn describe(character: char) -> String {
    if character.is_control() || character.is_whitespace() || !character.identifier_allowed() {
        format!("the character U+{:04X}", u32::from(character))
    } else {
        format!("\"{character}\"")
    }
}

fn check_length(count: usize, min: usize, max: usize) -> Result<(), NameError> {
    match count {
        n if n < min => Err(NameError::TooShort(min)),
        n if n > max => Err(NameError::TooLong(max)),
        _ => Ok(()),
    }
}

macro_rules! text_type {
    ($name:ident, $called:literal) => {
        impl $name {
            /// The normal form.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(|error: NameError| serde::de::Error::custom(format!("the {} {error}", $called)))
            }
        }
    };
}

/// The short name of a workspace that people type ("workspace ID" in the privacy policy's words).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct WorkspaceName(String);

text_type!(WorkspaceName, "workspace name");

impl WorkspaceName {
    /// The name of the reserved workspace of the operators.
    pub fn system() -> Self {
        Self("system".to_owned())
    }
}

impl FromStr for WorkspaceName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        label(text, WORKSPACE_NAME_MAX).map(Self)
    }
}

/// The short name of a room, unique in its workspace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RoomName(String);

text_type!(RoomName, "room name");

impl FromStr for RoomName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        label(text, ROOM_NAME_MAX).map(Self)
    }
}

/// Reads a name of the letters a to z, digits and hyphens, in lower case.
fn label(text: &str, longest: usize) -> Result<String, NameError> {
    check_length(text.chars().count(), 2, longest)?;
    let name = text.to_ascii_lowercase();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(bad) = name.chars().find(|c| !allowed(*c)) {
        return Err(NameError::Character(describe(bad), "the letters a to z, digits and hyphens"));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err(NameError::Edge);
    }
    Ok(name)
}

/// The name a person signs in with, unique in its workspace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct UserName(String);

text_type!(UserName, "user name");

impl UserName {
    /// What the name looks like: equal for names that a reader may take for each other (Unicode TS 39 §4).
    pub fn skeleton(&self) -> String {
        // Case and the digits 0 and 1 are folded first: "l", "I" and "1" have one skeleton, and so have "o" and "0".
        skeleton(&self.0).collect::<String>().to_lowercase()
    }
}

impl FromStr for UserName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > INPUT_MAX {
            return Err(NameError::TooLong(USER_NAME_MAX));
        }
        let name: String = text.nfkc().flat_map(char::to_lowercase).nfkc().collect();
        check_length(name.chars().count(), 2, USER_NAME_MAX)?;
        let punctuation = |c: char| matches!(c, '.' | '-' | '_' | '@');
        let allowed = |c: char| punctuation(c) || (c.identifier_allowed() && (c.is_alphanumeric() || is_mark(c)));
        if let Some(bad) = name.chars().find(|c| !allowed(*c)) {
            return Err(NameError::Character(describe(bad), "letters, digits and . - _ @"));
        }
        if name.starts_with(punctuation) || name.ends_with(punctuation) {
            return Err(NameError::Edge);
        }
        if !name.as_str().is_single_script() {
            return Err(NameError::MixedScripts);
        }
        Ok(Self(name))
    }
}

/// A combining mark, as in names of scripts that need them.
fn is_mark(character: char) -> bool {
    unicode_normalization::char::is_combining_mark(character)
}

/// The name that others see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DisplayName(String);

text_type!(DisplayName, "display name");

impl FromStr for DisplayName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        line(text, 1, DISPLAY_NAME_MAX).map(Self)
    }
}

/// A line that somebody writes for others to read: a reason, an organisation, where data lies. It may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Label(String);

text_type!(Label, "text");

impl Label {
    /// Whether it says nothing.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Label {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        line(text, 0, LABEL_MAX).map(Self)
    }
}

/// Reads a line of visible characters, without blanks around it.
fn line(text: &str, shortest: usize, longest: usize) -> Result<String, NameError> {
    if text.len() > longest.saturating_mul(8) {
        return Err(NameError::TooLong(longest));
    }
    let line: String = text.trim().nfc().collect();
    check_length(line.chars().count(), shortest, longest)?;
    match line.chars().find(|c| c.is_control() || is_format(*c)) {
        Some(bad) => Err(NameError::Character(
            format!("the character U+{:04X}", u32::from(bad)),
            "visible characters and plain spaces",
        )),
        None => Ok(line),
    }
}

/// Invisible or direction-changing characters, with which a name could pretend to be another.
fn is_format(c: char) -> bool {
    matches!(c, '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_have_one_normal_form() {
        for (typed, normal) in
            [("Ada", "ada"), ("ＡＤＡ", "ada"), ("ada.lovelace", "ada.lovelace"), ("ÉLISE", "élise"), ("ада", "ада")]
        {
            assert_eq!(typed.parse::<UserName>().unwrap().as_str(), normal, "{typed}");
        }
    }

    #[test]
    fn user_names_are_refused_with_the_reason() {
        let check = |typed: &str, expected: &str| {
            let error = typed.parse::<UserName>().unwrap_err().to_string();
            assert!(error.contains(expected), "{typed:?}: {error}");
        };
        check("a", "too short");
        check(&"x".repeat(65), "too long");
        check(&"\u{fdfa}".repeat(500), "too long");
        check("ada lovelace", "U+0020");
        check("ada\0", "U+0000");
        check("ad\u{200b}a", "U+200B");
        check(".ada", "start and end");
        check("аdа", "mixes scripts");
        check("ada/../bob", "U+002F");
    }

    #[test]
    fn names_that_look_alike_share_a_skeleton() {
        let skeleton = |name: &str| name.parse::<UserName>().unwrap().skeleton();
        assert_eq!(skeleton("paypal"), skeleton("раураӏ"));
        assert_eq!(skeleton("admin1"), skeleton("adminl"));
        assert_ne!(skeleton("ada"), skeleton("bob"));
    }

    #[test]
    fn workspace_names_are_one_dns_label() {
        assert_eq!("Demo-1".parse::<WorkspaceName>().unwrap().as_str(), "demo-1");
        for bad in ["", "a", "-a", "a-", "a.b", "dé", "a b", &"a".repeat(64)] {
            assert!(bad.parse::<WorkspaceName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn display_names_cannot_hide_characters() {
        assert_eq!(" Ada Lovelace ".parse::<DisplayName>().unwrap().as_str(), "Ada Lovelace");
        for bad in ["", "  ", "a\u{202e}b", "a\nb", &"é".repeat(81)] {
            assert!(bad.parse::<DisplayName>().is_err(), "{bad:?}");
        }
    }
}
