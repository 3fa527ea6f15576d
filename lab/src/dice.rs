//! Chance that can be repeated.

use std::hash::{BuildHasher, RandomState};

/// Numbers that are random enough for a test, and the same for the same seed (`SplitMix64`).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Takes the seed from `HYPERSEND_SEED`, or makes one up; prints it, to be seen when the test fails.
    pub fn new() -> Self {
        let seed = std::env::var("HYPERSEND_SEED")
            .map_or_else(|_| RandomState::new().hash_one(0), |text| text.parse().expect("HYPERSEND_SEED is a number"));
        println!("HYPERSEND_SEED={seed}");
        Self(seed)
    }

    /// Any number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a limit.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }
}

impl Default for Dice {
    fn default() -> Self {
        Self::new()
    }
}
