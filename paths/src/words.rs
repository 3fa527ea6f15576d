//! Six words that two people compare, by voice, to know that nobody is between them.
//!
//! They are made from both certificates' fingerprints, in whatever order: both sides have the same. A server that gives each
//! side a certificate of its own making would need two whose words agree. That is why making the words is slow: the search
//! through 66 bits, by pairs, takes some 2^33 trials, and each trial [`ITERATIONS`] hashes.
//!
//! The words are the English list of BIP 39 (<https://github.com/bitcoin/bips/blob/master/bip-0039/english.txt>, MIT licence):
//! 2,048 words of which no two begin with the same four letters.

use hypersend_protocol::fingerprint::Fingerprint;
use ring::pbkdf2::{PBKDF2_HMAC_SHA256, derive};
use std::{num::NonZeroU32, sync::LazyLock};

/// Hashes for one set of words: some 20 ms, once for a session.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(1 << 16).expect("not zero");
const DOMAIN: &[u8] = b"hypersend check words 1\0";

static LIST: LazyLock<Vec<&'static str>> = LazyLock::new(|| include_str!("words.txt").lines().collect());

/// All 2,048 words, in the order of the alphabet: eleven bits name one.
pub fn word_list() -> &'static [&'static str] {
    &LIST
}

/// Six words for these two certificates, in whatever order: the same on both sides if and only if nobody is between them.
/// Takes some 20 ms.
pub fn check_words(one: Fingerprint, other: Fingerprint) -> [&'static str; 6] {
    let both = [one.min(other).0, one.max(other).0].concat();
    let mut bytes = [0; 16];
    derive(PBKDF2_HMAC_SHA256, ITERATIONS, DOMAIN, &both, &mut bytes);
    let number = u128::from_be_bytes(bytes);
    std::array::from_fn(|at| {
        let word = usize::try_from(number >> (11 * at) & 0x7ff).expect("eleven bits");
        word_list()[word]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_list_has_as_many_words_as_eleven_bits_say() {
        let words: BTreeSet<&str> = word_list().iter().copied().collect();
        assert_eq!(words.len(), 2_048);
        assert!(words.iter().eq(word_list()), "it is in the order of the alphabet");
        assert!(words.iter().all(|word| (3..=8).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase())));
    }

    #[test]
    fn both_sides_have_the_same_words_and_a_third_has_others() {
        let [a, b, c] = [1, 2, 3].map(|byte| Fingerprint([byte; 32]));
        assert_eq!(check_words(a, b), check_words(b, a));
        assert_ne!(check_words(a, b), check_words(a, c));
    }
}
