// SPDX-License-Identifier: AGPL-3.0-or-later
//! Refresh tokens: opaque, rotating, hashed at rest.
//!
//! A token is `session id ‖ 256-bit secret`. Its successor is derived from it under a key of the workspace, so a
//! client that lost an answer (or two tabs that ask at once) gets the same successor again, as long as that was
//! never used. A token older than that is a replay, and ends the session.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};

use crate::core::keys::frame::Framed;
use crate::values::id::SessionId;
use crate::values::secret::Key256;
use crate::values::time::Timestamp;

/// How long a session lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Without being refreshed.
    pub idle: Duration,
    /// However busy.
    pub absolute: Duration,
}

impl Lifetime {
    /// When a session ends if nobody refreshes it again.
    pub fn ends_at(self, created_at: Timestamp, refreshed_at: Timestamp) -> Timestamp {
        (created_at + self.absolute).min(refreshed_at + self.idle)
    }

    /// Whether it holds now. One that was used in the future, because the clock was set back, does not wait for it.
    pub fn holds(self, created_at: Timestamp, refreshed_at: Timestamp, now: Timestamp) -> bool {
        now < self.ends_at(created_at, refreshed_at) && refreshed_at.since(now) <= self.idle
    }
}

/// SHA-256 of a token's secret, as the store keeps it.
pub type TokenHash = [u8; 32];

/// A refresh token as a device holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshToken {
    session: SessionId,
    secret: Key256,
}

impl RefreshToken {
    /// The first token of a session.
    pub fn first(session: SessionId, rng: &mut impl CryptoRng) -> Self {
        Self { session, secret: Key256::random(rng) }
    }

    /// Reads 48 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (session, secret) = bytes.split_first_chunk::<16>()?;
        Some(Self { session: SessionId::from_bytes(*session), secret: Key256::from_slice(secret)? })
    }

    /// The 48 bytes a device keeps.
    pub fn to_bytes(&self) -> Vec<u8> {
        Framed::bare().fixed(self.session.as_bytes()).fixed(self.secret.expose()).into_bytes()
    }

    /// Whose token.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// What the store compares.
    pub fn hash(&self) -> TokenHash {
        Sha256::digest(self.secret.expose()).into()
    }

    /// The token that follows this one.
    pub fn successor(&self, key: &Key256) -> Option<Self> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key.expose()).ok()?;
        mac.update(&Framed::labelled("conclave-refresh-1").fixed(&self.to_bytes()).into_bytes());
        Some(Self { session: self.session, secret: Key256::new(mac.finalize().into_bytes().into()) })
    }
}

/// What the store knows of a session's tokens.
#[derive(Debug, Clone, Copy)]
pub struct StoredSession {
    /// Hash of the newest token that was handed out.
    pub current: TokenHash,
    /// Hash of the one before it.
    pub previous: Option<TokenHash>,
    /// Whether the presented token is one of this session's older, used ones.
    pub presented_is_spent: bool,
    /// When the session began.
    pub created_at: Timestamp,
    /// When it was last refreshed.
    pub refreshed_at: Timestamp,
    /// How long it lives.
    pub lifetime: Lifetime,
}

/// What to do with a presented token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshDecision {
    /// It is the newest: hand out its successor and remember that.
    Rotate,
    /// It is the one before, and its successor was never used: hand out that successor again.
    Repeat,
    /// It was used up long ago, so two parties hold this session's tokens: end the session.
    Replay,
    /// The session is over.
    Expired,
    /// No token of this session.
    Unknown,
}

/// Judges a presented token.
pub fn judge(presented: &RefreshToken, stored: StoredSession, now: Timestamp) -> RefreshDecision {
    let hash = presented.hash();
    if stored.presented_is_spent {
        RefreshDecision::Replay
    } else if hash != stored.current && Some(hash) != stored.previous {
        RefreshDecision::Unknown
    } else if !stored.lifetime.holds(stored.created_at, stored.refreshed_at, now) {
        RefreshDecision::Expired
    } else if hash == stored.current {
        RefreshDecision::Rotate
    } else {
        RefreshDecision::Repeat
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::platform::entropy;

    const LIFETIME: Lifetime = Lifetime { idle: Duration::from_secs(100), absolute: Duration::from_secs(1_000) };

    /// A session's row and the spent hashes, as the store keeps them.
    struct Model {
        key: Key256,
        row: StoredSession,
        spent: Vec<TokenHash>,
        alive: bool,
    }

    impl Model {
        fn present(&mut self, token: &RefreshToken, now: Timestamp) -> Option<RefreshToken> {
            if !self.alive {
                return None;
            }
            self.row.presented_is_spent = self.spent.contains(&token.hash());
            match judge(token, self.row, now) {
                RefreshDecision::Rotate => {
                    let next = token.successor(&self.key)?;
                    self.spent.extend(self.row.previous);
                    self.row = StoredSession {
                        previous: Some(self.row.current),
                        current: next.hash(),
                        refreshed_at: now,
                        ..self.row
                    };
                    Some(next)
                }
                RefreshDecision::Repeat => token.successor(&self.key),
                RefreshDecision::Replay | RefreshDecision::Expired => {
                    self.alive = false;
                    None
                }
                RefreshDecision::Unknown => None,
            }
        }
    }

    fn model() -> (Model, RefreshToken) {
        let mut rng = entropy::system();
        let first = RefreshToken::first(SessionId::random(&mut rng), &mut rng);
        let start = Timestamp::from_millis(0);
        let row = StoredSession {
            current: first.hash(),
            previous: None,
            presented_is_spent: false,
            created_at: start,
            refreshed_at: start,
            lifetime: LIFETIME,
        };
        (Model { key: Key256::random(&mut rng), row, spent: Vec::new(), alive: true }, first)
    }

    proptest! {
        /// A device that repeats lost requests any number of times, but never goes back behind a token whose successor
        /// it used, keeps its session.
        #[test]
        fn an_honest_device_never_loses_its_session(losses in proptest::collection::vec(0_usize..4, 1..40)) {
            let (mut model, mut token) = model();
            let now = Timestamp::from_millis(1);
            for lost in losses {
                let mut answer = None;
                for _ in 0..=lost {
                    answer = model.present(&token, now);
                }
                token = answer.expect("the session lives");
            }
            prop_assert!(model.alive);
        }

        /// Whoever presents a token two or more generations old ends the session for everybody.
        #[test]
        fn a_true_replay_ends_the_session(generations in 2_usize..20, back in 2_usize..20) {
            let (mut model, first) = model();
            let now = Timestamp::from_millis(1);
            let mut tokens = vec![first];
            for _ in 0..generations {
                let next = model.present(tokens.last().unwrap(), now).unwrap();
                tokens.push(next);
            }
            let old = &tokens[tokens.len() - 1 - back.min(generations)];
            prop_assert!(model.present(old, now).is_none());
            prop_assert!(!model.alive);
            prop_assert!(model.present(tokens.last().unwrap(), now).is_none());
        }
    }

    #[test]
    fn a_guess_does_not_end_the_session() {
        let (mut model, first) = model();
        let guess = RefreshToken::first(first.session(), &mut entropy::system());
        assert_eq!(model.present(&guess, Timestamp::from_millis(1)), None);
        assert!(model.alive);
    }

    #[test]
    fn sessions_end_when_idle_and_at_last() {
        let (mut model, first) = model();
        let start = Timestamp::from_millis(0);
        let almost = start + (LIFETIME.idle - Duration::from_millis(1));
        assert!(model.present(&first, almost).is_some());
        let (mut other, first) = self::model();
        assert!(other.present(&first, start + LIFETIME.idle).is_none());
        assert_eq!(LIFETIME.ends_at(start, start + LIFETIME.absolute), start + LIFETIME.absolute);
    }

    #[test]
    fn tokens_read_back() {
        let (_, token) = model();
        assert_eq!(RefreshToken::from_bytes(&token.to_bytes()), Some(token));
        assert_eq!(RefreshToken::from_bytes(&[0; 47]), None);
        assert_eq!(RefreshToken::from_bytes(&[0; 49]), None);
    }
}
