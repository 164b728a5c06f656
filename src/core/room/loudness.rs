// SPDX-License-Identifier: AGPL-3.0-or-later
//! Whose voice is forwarded when more speak than people can follow.
//!
//! The level is what a sender claims. So what counts is how far it is above the sender's own average: speech has pauses,
//! and who claims the maximum without one is as loud as its average and gains nothing.

use std::time::Duration;

use crate::values::time::Moment;
use crate::wire::frame::AudioLevel;

/// Who was forwarded stays so for this long, so that no word is cut.
const HOLD: Duration = Duration::from_millis(500);
/// How much louder a newcomer must be than one who is held, in dB.
const MARGIN: f32 = 6.0;
/// Weight of one frame in the present level: five frames, 100 ms of speech.
const FAST: f32 = 0.2;
/// Weight of one frame in the average: 500 frames, ten seconds.
const SLOW: f32 = 0.002;
/// Silence in −dBov.
const SILENCE: f32 = 127.0;

/// How loud one sender is, and whether it is forwarded.
#[derive(Debug, Clone, Default)]
pub struct Loudness {
    present: f32,
    average: f32,
    held_until: Option<Moment>,
}

impl Loudness {
    /// A frame with this level arrived.
    pub fn hear(&mut self, level: AudioLevel) {
        let loud = SILENCE - f32::from(level.negative_dbov());
        self.present += FAST * (loud - self.present);
        self.average += SLOW * (loud - self.average);
    }

    /// What is compared: higher is louder.
    pub fn score(&self, now: Moment) -> f32 {
        let held = self.held_until.is_some_and(|until| now < until);
        self.present - self.average + if held { MARGIN } else { 0.0 }
    }

    /// It is forwarded now.
    pub fn hold(&mut self, now: Moment) {
        self.held_until = Some(now + HOLD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(negative_dbov: u8) -> AudioLevel {
        AudioLevel::try_from(negative_dbov).unwrap()
    }

    /// Hears 20 ms frames for some seconds; `pattern` gives the level of each.
    fn heard(seconds: u32, pattern: impl Fn(u32) -> u8) -> Loudness {
        let mut loudness = Loudness::default();
        (0..seconds * 50).for_each(|frame| loudness.hear(level(pattern(frame))));
        loudness
    }

    #[test]
    fn speech_beats_a_claim_of_the_maximum_without_pause() {
        let now = Moment::after_origin(Duration::from_secs(100));
        let claims = heard(60, |_| 0);
        // Two seconds of speech, one of quiet; it ends while speaking.
        let speaks = heard(59, |frame| if frame % 150 < 100 { 25 } else { 90 });
        assert!(speaks.score(now) > claims.score(now) + MARGIN);
    }

    #[test]
    fn who_is_held_yields_only_to_the_clearly_louder() {
        let now = Moment::after_origin(Duration::from_secs(1));
        let (mut held, close, louder) = (heard(1, |_| 40), heard(1, |_| 37), heard(1, |_| 20));
        held.hold(now);
        assert!(held.score(now) > close.score(now) && held.score(now) < louder.score(now));
        assert!(held.score(now + HOLD) < close.score(now + HOLD));
    }
}
