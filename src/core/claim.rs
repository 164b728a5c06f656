// SPDX-License-Identifier: AGPL-3.0-or-later
//! The claim: whether a new appliance may be claimed now, and what a try with a setup code means.
//!
//! Whoever claims becomes the first operator, so it must be somebody who can read the journal or use the host: a code
//! lives for an hour and takes five tries. The store counts them in the transaction that asked.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::values::secret::SecretText;
use crate::values::time::Timestamp;

/// How long a setup code holds.
pub const CODE_LIFE: Duration = Duration::from_secs(3_600);
/// How many wrong codes are taken before the right one does not hold either.
pub const TRIES: u8 = 5;

/// Crockford's base32: no I, L, O and U, so that what is read from a screen is typed as it was meant.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a code: 80 bits.
const LENGTH: usize = 16;
/// Characters between two dashes.
const GROUP: usize = 4;

/// The text is no setup code. Says nothing of which code is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a setup code has 16 letters and digits, such as 7K2M-9QXD-04RT-HB3W")]
pub struct InvalidCode;

/// A setup code, as it is typed.
#[derive(Clone)]
pub struct SetupCode(SecretText);

impl SetupCode {
    /// A fresh one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0_u8; LENGTH];
        rng.fill_bytes(&mut bytes);
        let letters = bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 31)));
        Self::grouped(letters.map(|letter| char::from(*letter)).collect())
    }

    fn grouped(letters: Vec<char>) -> Self {
        let groups: Vec<String> = letters.chunks(GROUP).map(|group| group.iter().collect()).collect();
        Self(SecretText::new(groups.join("-")))
    }

    /// The code in groups of four.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// What is stored of it.
    pub fn hash(&self) -> CodeHash {
        CodeHash(Sha256::new().chain_update(b"conclave-setup-code-1\0").chain_update(self.0.expose()).finalize().into())
    }
}

impl FromStr for SetupCode {
    type Err = InvalidCode;

    /// Small letters, dashes and blanks as people type them; `O` is read as 0, `I` and `L` as 1.
    fn from_str(text: &str) -> Result<Self, InvalidCode> {
        let read = |letter: char| match letter.to_ascii_uppercase() {
            'O' => Ok('0'),
            'I' | 'L' => Ok('1'),
            letter if letter.is_ascii() && ALPHABET.contains(&(letter as u8)) => Ok(letter),
            _ => Err(InvalidCode),
        };
        let typed = text.chars().filter(|letter| !matches!(letter, '-' | ' ' | '\t')).take(LENGTH + 1);
        let letters = typed.map(read).collect::<Result<Vec<_>, _>>()?;
        if letters.len() == LENGTH { Ok(Self::grouped(letters)) } else { Err(InvalidCode) }
    }
}

impl fmt::Debug for SetupCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetupCode(…)")
    }
}

impl<'de> serde::Deserialize<'de> for SetupCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SecretText::deserialize(deserializer)?.expose().parse().map_err(serde::de::Error::custom)
    }
}

/// SHA-256 of a setup code.
#[derive(Debug, Clone, Copy)]
pub struct CodeHash(pub [u8; 32]);

impl PartialEq for CodeHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for CodeHash {}

/// The code that holds, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredCode {
    /// SHA-256 of it.
    pub hash: CodeHash,
    /// When it is void.
    pub expires_at: Timestamp,
    /// How many wrong codes are still taken.
    pub tries_left: u8,
}

impl StoredCode {
    /// A code that was made just now.
    pub fn fresh(code: &SetupCode, now: Timestamp) -> Self {
        Self { hash: code.hash(), expires_at: now + CODE_LIFE, tries_left: TRIES }
    }

    /// Whether a right code would be taken.
    pub fn holds(&self, now: Timestamp) -> bool {
        // A clock that was set back does not let it hold for longer than its hour once more.
        self.tries_left > 0 && now < self.expires_at && self.expires_at.since(now) <= 2 * CODE_LIFE
    }
}

/// Whether the appliance has an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Nobody runs it yet.
    Unclaimed {
        /// The newest code; none before one was made.
        code: Option<StoredCode>,
    },
    /// Somebody does, for good.
    Claimed {
        /// Since when.
        at: Timestamp,
    },
}

/// What a try means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Whoever asks may claim.
    May,
    /// Another was faster.
    AlreadyClaimed,
    /// There is no code that holds, whatever was typed: none was made, it is too old, or it had its five wrong tries.
    Void,
    /// Another code than the one that holds: it takes a try.
    Wrong {
        /// How many are left after this one.
        tries_left: u8,
    },
}

/// Judges somebody who typed a code, or who is on the host itself and needs none.
pub fn judge(claim: &Claim, typed: Option<&CodeHash>, now: Timestamp) -> Verdict {
    match (claim, typed) {
        (Claim::Claimed { .. }, _) => Verdict::AlreadyClaimed,
        (Claim::Unclaimed { .. }, None) => Verdict::May,
        (Claim::Unclaimed { code: Some(code) }, Some(typed)) if code.holds(now) => {
            if code.hash == *typed {
                Verdict::May
            } else {
                Verdict::Wrong { tries_left: code.tries_left.saturating_sub(1) }
            }
        }
        (Claim::Unclaimed { .. }, Some(_)) => Verdict::Void,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::platform::entropy;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = SetupCode::random(&mut entropy::system());
        assert_eq!(code.expose().len(), LENGTH + 3);
        let typed = [code.expose().to_lowercase(), code.expose().replace('-', ""), code.expose().replace('-', " ")];
        for typed in typed {
            assert_eq!(typed.parse::<SetupCode>().unwrap().hash(), code.hash(), "{typed}");
        }
        let read = "oIlo-0000-0000-0000".parse::<SetupCode>().unwrap();
        assert_eq!(read.expose(), "0110-0000-0000-0000");
        for bad in ["", "0000-0000-0000-000", "0000-0000-0000-00000", "U000-0000-0000-0000", "é000-0000-0000-0000"] {
            assert!(bad.parse::<SetupCode>().is_err(), "{bad}");
        }
        assert!(!format!("{code:?}").contains(code.expose()));
    }

    #[test]
    fn who_is_on_the_host_needs_no_code_and_is_too_late_all_the_same() {
        let now = Timestamp::from_millis(0);
        assert_eq!(judge(&Claim::Unclaimed { code: None }, None, now), Verdict::May);
        assert_eq!(judge(&Claim::Claimed { at: now }, None, now), Verdict::AlreadyClaimed);
        let typed = CodeHash([1; 32]);
        assert_eq!(judge(&Claim::Unclaimed { code: None }, Some(&typed), now), Verdict::Void);
    }

    /// What may happen to an appliance that nobody claimed.
    #[derive(Debug, Clone)]
    enum Step {
        /// The code that was made last, or another one, is typed.
        Type { right: bool },
        /// A code that was replaced is typed.
        TypeOld,
        /// Time passes.
        Wait(u64),
        /// A new code is made.
        Mint,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            1 => Just(Step::Type { right: true }),
            6 => Just(Step::Type { right: false }),
            1 => Just(Step::TypeOld),
            2 => (0_u64..4_000_000).prop_map(Step::Wait),
            1 => Just(Step::Mint),
        ];
        proptest::collection::vec(step, 1..80)
    }

    proptest! {
        /// In whatever order: never more than five wrong tries of a code, never claimed twice, never by a code that is
        /// too old, was replaced or had its tries.
        #[test]
        fn a_claim_is_one_right_code_in_time(steps in steps()) {
            let mut rng = entropy::system();
            let mut claim = Claim::Unclaimed { code: None };
            let (mut now, mut minted, mut wrong, mut claims) = (Timestamp::from_millis(0), None::<SetupCode>, 0, 0);
            let mut made_at = now;
            let mut old = SetupCode::random(&mut rng);
            for step in steps {
                let typed = match step {
                    Step::Wait(millis) => { now = now + Duration::from_millis(millis); continue }
                    Step::Mint => {
                        if let Claim::Unclaimed { code } = &mut claim {
                            let fresh = SetupCode::random(&mut rng);
                            *code = Some(StoredCode::fresh(&fresh, now));
                            if let Some(replaced) = minted.replace(fresh) { old = replaced; }
                            (wrong, made_at) = (0, now);
                        }
                        continue;
                    }
                    Step::Type { right: true } => minted.clone().unwrap_or_else(|| old.clone()),
                    Step::Type { right: false } => SetupCode::random(&mut rng),
                    Step::TypeOld => old.clone(),
                };
                match judge(&claim, Some(&typed.hash()), now) {
                    Verdict::May => {
                        claims += 1;
                        prop_assert!(minted.as_ref().is_some_and(|code| code.hash() == typed.hash()));
                        prop_assert!(now.since(made_at) < CODE_LIFE && wrong < TRIES);
                        claim = Claim::Claimed { at: now };
                    }
                    Verdict::Wrong { tries_left } => {
                        wrong += 1;
                        prop_assert!(wrong <= TRIES && tries_left == TRIES - wrong);
                        let Claim::Unclaimed { code: Some(code) } = &mut claim else { panic!("{claim:?}") };
                        code.tries_left = tries_left;
                    }
                    Verdict::Void => prop_assert!(minted.is_none() || wrong == TRIES || now.since(made_at) >= CODE_LIFE),
                    Verdict::AlreadyClaimed => prop_assert_eq!(claims, 1),
                }
            }
            prop_assert!(claims <= 1);
        }
    }
}
