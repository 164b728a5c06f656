// SPDX-License-Identifier: AGPL-3.0-or-later
//! One-time challenges that cost nothing until they are used.
//!
//! A challenge authenticates itself (expiry ‖ random ‖ HMAC), so handing out a million of them keeps nothing. Only
//! used ones are remembered, until they expire, in a bounded set; a challenge is redeemed only when a place for hashing
//! the password is reserved, so hashing paces it.

use std::collections::HashMap;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use sha2::Sha256;

use crate::values::secret::Key256;
use crate::values::time::Timestamp;

/// How long a challenge may wait for the person to type a password.
pub const LIFETIME: Duration = Duration::from_secs(120);

/// Used challenges remembered at most. At one sign-in a millisecond this is two minutes' worth.
const USED_MAX: usize = 131_072;

const EXPIRY_LEN: usize = 8;
const RANDOM_LEN: usize = 16;
const LEN: usize = EXPIRY_LEN + RANDOM_LEN + 32;

/// Why a challenge was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// Not one of ours, or too old.
    #[error("the sign-in challenge is not valid any more: ask for a new one and sign in again")]
    Stale,
    /// Used before.
    #[error("the sign-in challenge was used before: ask for a new one and sign in again")]
    Used,
    /// Too many sign-ins at once.
    #[error("too many sign-ins are under way")]
    Full,
}

/// Issues and redeems challenges. The key lives in memory: a restart makes every challenge stale.
pub struct Challenges {
    key: Key256,
    used: HashMap<[u8; RANDOM_LEN], Timestamp>,
}

impl Challenges {
    /// With a fresh key.
    pub fn new(rng: &mut impl CryptoRng) -> Self {
        Self { key: Key256::random(rng), used: HashMap::new() }
    }

    fn mac(&self, body: &[u8]) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any length, so there is always one.
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.key.expose()).ok()?;
        mac.update(b"conclave-challenge-1\0");
        mac.update(body);
        Some(mac)
    }

    /// A fresh challenge and when it expires.
    pub fn issue(&self, now: Timestamp, rng: &mut impl CryptoRng) -> (Vec<u8>, Timestamp) {
        let expires = now + LIFETIME;
        let mut challenge = expires.as_millis().to_be_bytes().to_vec();
        let mut random = [0; RANDOM_LEN];
        rng.fill_bytes(&mut random);
        challenge.extend_from_slice(&random);
        if let Some(mac) = self.mac(&challenge) {
            challenge.extend_from_slice(&mac.finalize().into_bytes());
        }
        (challenge, expires)
    }

    /// Uses a challenge up.
    pub fn redeem(&mut self, challenge: &[u8], now: Timestamp) -> Result<(), ChallengeError> {
        let (body, tag) = challenge.split_at_checked(EXPIRY_LEN + RANDOM_LEN).ok_or(ChallengeError::Stale)?;
        if challenge.len() != LEN {
            return Err(ChallengeError::Stale);
        }
        let mac = self.mac(body).ok_or(ChallengeError::Stale)?;
        mac.verify_slice(tag).map_err(|_| ChallengeError::Stale)?;
        let (expires, random) = body.split_first_chunk::<EXPIRY_LEN>().ok_or(ChallengeError::Stale)?;
        let expires = Timestamp::from_millis(i64::from_be_bytes(*expires));
        let random: [u8; RANDOM_LEN] = random.try_into().map_err(|_| ChallengeError::Stale)?;
        if now > expires {
            return Err(ChallengeError::Stale);
        }
        if self.used.contains_key(&random) {
            return Err(ChallengeError::Used);
        }
        if self.used.len() >= USED_MAX {
            self.used.retain(|_, until| *until >= now);
            if self.used.len() >= USED_MAX {
                return Err(ChallengeError::Full);
            }
        }
        self.used.insert(random, expires);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::entropy;

    #[test]
    fn a_challenge_serves_once_and_not_for_ever() {
        let mut rng = entropy::system();
        let mut challenges = Challenges::new(&mut rng);
        let start = Timestamp::from_millis(1_000_000);
        let (challenge, expires) = challenges.issue(start, &mut rng);
        assert_eq!(challenges.redeem(&challenge, start), Ok(()));
        assert_eq!(challenges.redeem(&challenge, start), Err(ChallengeError::Used));
        let (late, _) = challenges.issue(start, &mut rng);
        assert_eq!(challenges.redeem(&late, expires + Duration::from_millis(1)), Err(ChallengeError::Stale));
    }

    #[test]
    fn a_challenge_of_somebody_else_is_stale() {
        let mut rng = entropy::system();
        let now = Timestamp::from_millis(0);
        let (foreign, _) = Challenges::new(&mut rng).issue(now, &mut rng);
        let mut challenges = Challenges::new(&mut rng);
        assert_eq!(challenges.redeem(&foreign, now), Err(ChallengeError::Stale));
        assert_eq!(challenges.redeem(&[], now), Err(ChallengeError::Stale));
        let (mut changed, _) = challenges.issue(now, &mut rng);
        changed[0] ^= 1;
        assert_eq!(challenges.redeem(&changed, now), Err(ChallengeError::Stale));
    }
}
