// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Randomness with a seed, and links that lose, delay, repeat and reorder.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

/// SplitMix64: good enough to shuffle a test, and the same on every machine.
#[derive(Debug)]
pub(crate) struct Seeded(pub u64);

impl Seeded {
    pub fn below(&mut self, end: u64) -> u64 {
        self.step() % end
    }

    pub fn within(&mut self, (from, to): (u64, u64)) -> u64 {
        from + self.below(to - from + 1)
    }

    fn step(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::try_from(self.step() >> 32).unwrap())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.step())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.step().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

/// One direction of a link, in milliseconds and per cent.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub delay: (u64, u64),
    pub lost: u64,
    pub repeated: u64,
    pub ordered: bool,
    last: u64,
}

impl Link {
    /// As a stream of a carrier: nothing lost, in order, below 200 ms.
    pub const STREAM: Self = Self { delay: (1, 199), lost: 0, repeated: 0, ordered: true, last: 0 };
    /// The same, and seconds late.
    pub const SLOW_STREAM: Self = Self { delay: (1, 3_000), ..Self::STREAM };
    /// Streams of their own for what is sent.
    pub const GROUPS: Self = Self { ordered: false, ..Self::STREAM };
    /// Worse than a stream can be.
    pub const BAD_STREAM: Self = Self { delay: (1, 1_500), lost: 20, repeated: 20, ordered: false, last: 0 };
    pub const DATAGRAMS: Self = Self { delay: (1, 199), lost: 5, repeated: 5, ordered: false, last: 0 };
    pub const BAD_DATAGRAMS: Self = Self { delay: (1, 3_000), lost: 20, repeated: 20, ordered: false, last: 0 };

    /// When what is sent now arrives, if it is not lost.
    pub fn arrival(&mut self, now: u64, rng: &mut Seeded) -> u64 {
        let mut arrival = now + rng.within(self.delay);
        if self.ordered {
            arrival = arrival.max(self.last);
            self.last = arrival;
        }
        arrival
    }

    /// When what is sent now arrives: never, once, or twice.
    pub fn arrivals(&mut self, now: u64, rng: &mut Seeded) -> Vec<u64> {
        if rng.below(100) < self.lost {
            return Vec::new();
        }
        let copies = if rng.below(100) < self.repeated { 2 } else { 1 };
        (0..copies).map(|_| self.arrival(now, rng)).collect()
    }
}
