//! Random numbers from a seed: HMAC-SHA-256 over a counter. The seed is the caller's, so that a test repeats itself.

use hypersend_protocol::relay::Nonce;
use ring::hmac::{self, HMAC_SHA256};

pub(crate) struct Dice {
    key: hmac::Key,
    drawn: u64,
}

impl Dice {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { key: hmac::Key::new(HMAC_SHA256, &seed), drawn: 0 }
    }

    /// Up to 32 random bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= 32, "one HMAC-SHA-256 has 32 bytes") };
        self.drawn += 1;
        let tag = hmac::sign(&self.key, &self.drawn.to_be_bytes());
        std::array::from_fn(|at| tag.as_ref()[at])
    }

    pub(crate) fn nonce(&mut self) -> Nonce {
        Nonce(self.bytes())
    }

    pub(crate) fn number(&mut self) -> u64 {
        u64::from_be_bytes(self.bytes())
    }
}
