// SPDX-License-Identifier: AGPL-3.0-or-later
//! The data processing agreement that is accepted for a workspace before its people use it.

use sha2::{Digest, Sha256};

/// The text when the operator has set no other.
const STANDARD: &str = include_str!("agreement.txt");

/// The longest text, in bytes.
pub const TEXT_MAX: usize = 200_000;

/// A text that can be accepted, known by its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    text: String,
}

impl Default for Agreement {
    fn default() -> Self {
        Self { text: STANDARD.to_owned() }
    }
}

impl Agreement {
    /// The agreement with this text; `None` when it says nothing or is too long.
    pub fn new(text: String) -> Option<Self> {
        (!text.trim().is_empty() && text.len() <= TEXT_MAX).then_some(Self { text })
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 of the text in UTF-8.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.text.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_says_nothing_or_too_much_is_none() {
        assert!(Agreement::new(" \n".to_owned()).is_none());
        assert!(Agreement::new("x".repeat(TEXT_MAX)).is_some() && Agreement::new("x".repeat(TEXT_MAX + 1)).is_none());
        assert_ne!(Agreement::default().hash(), Agreement::new("other".to_owned()).unwrap().hash());
    }
}
