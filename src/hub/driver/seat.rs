// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a meeting keeps for one participant besides its place in the room: the boxes of epoch secrets it was sealed,
//! and the token by which it may come back. Boxes are ciphertext; no secret is kept.

use std::collections::VecDeque;
use std::time::Duration;

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::core::keys::boxes::{BoxError, BoxSealer};
use crate::core::keys::epoch::EpochSecret;
use crate::values::id::MeetingId;
use crate::values::secret::Key256;
use crate::values::time::Moment;
use crate::wire::control::schema::Announce;
use crate::wire::kid::{Epoch, Participant};

/// Boxes kept for who comes back: in 15 s keys can change sixty times.
const BOXES_MAX: usize = 64;
/// How long a box is kept: nobody comes back who was last heard of before, 8 s of silence and 15 s of absence.
const BOXES_FOR: Duration = Duration::from_secs(30);

/// One participant's boxes and token.
#[derive(Debug)]
pub struct Seat {
    sealer: BoxSealer,
    pub(in crate::hub) encapsulated_key: [u8; 32],
    boxes: VecDeque<(Moment, Announce)>,
    sealed: u64,
    token: [u8; 32],
}

/// A resume token: where to look, and a secret.
#[derive(Debug)]
pub(in crate::hub) struct ResumeToken {
    pub meeting: MeetingId,
    pub participant: Participant,
    secret: Key256,
}

impl ResumeToken {
    const LEN: usize = 16 + 2 + 32;

    fn to_bytes(&self) -> Vec<u8> {
        [&self.meeting.as_bytes()[..], &self.participant.0.to_be_bytes(), self.secret.expose()].concat()
    }

    /// Reads what a client presents.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (meeting, rest) = bytes.split_first_chunk::<16>()?;
        let (participant, secret) = rest.split_first_chunk::<2>()?;
        let secret = Key256::from_slice(secret).filter(|_| bytes.len() == Self::LEN)?;
        let participant = Participant(u16::from_be_bytes(*participant));
        Some(Self { meeting: MeetingId::from_bytes(*meeting), participant, secret })
    }
}

impl Seat {
    /// For somebody whose boxes this seals.
    pub fn new(sealer: BoxSealer, encapsulated_key: [u8; 32]) -> Self {
        Self { sealer, encapsulated_key, boxes: VecDeque::new(), sealed: 0, token: [0; 32] }
    }

    /// A fresh token; the one before is void.
    pub(in crate::hub) fn mint_token(
        &mut self,
        meeting: MeetingId,
        participant: Participant,
        rng: &mut impl CryptoRng,
    ) -> Vec<u8> {
        let token = ResumeToken { meeting, participant, secret: Key256::random(rng) };
        self.token = Sha256::digest(token.secret.expose()).into();
        token.to_bytes()
    }

    /// Whether this is the token that was handed out last.
    pub(in crate::hub) fn is_resumed_by(&self, token: &ResumeToken) -> bool {
        self.token.ct_eq(&Sha256::digest(token.secret.expose())).into()
    }

    /// Seals the secret of an epoch, and remembers the box for the case that it gets lost.
    pub(in crate::hub) fn seal(
        &mut self,
        epoch: Epoch,
        participant: Participant,
        secret: &EpochSecret,
        now: Moment,
    ) -> Result<Announce, BoxError> {
        let sealed_secret = self.sealer.seal(epoch, participant, secret)?;
        let announce = Announce { epoch: epoch.0, sealed_secret, participant: u32::from(participant.0) };
        self.sealed += 1;
        self.boxes.push_back((now, announce.clone()));
        let (most, old) = (BOXES_MAX, |at: Moment| now.since(at) > BOXES_FOR);
        while self.boxes.len() > most || self.boxes.front().is_some_and(|(at, _)| old(*at)) {
            self.boxes.pop_front();
        }
        Ok(announce)
    }

    /// The boxes after the first `opened`; `None` when one of them is not kept any more, or was never sealed.
    pub(in crate::hub) fn after(&self, opened: u64) -> Option<impl Iterator<Item = &Announce>> {
        let kept = u64::try_from(self.boxes.len()).unwrap_or(0);
        let first = self.sealed - kept;
        let skip = usize::try_from(opened.checked_sub(first)?).ok()?;
        (opened <= self.sealed).then(|| self.boxes.iter().skip(skip).map(|(_, announce)| announce))
    }
}
