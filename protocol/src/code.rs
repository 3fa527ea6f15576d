//! Codes: what two clients that have nothing but a code in common say to each other by way of a mailbox.
//!
//! 1. The code is a nameplate, by which the server finds the mailbox, and words, which the server never learns. Each side
//!    begins SPAKE2 with the words, and sets a [`CodeValue`] with its message.
//! 2. Who has the other's message has a key, and sets its newest [`Word`] sealed with it from then on. The receiver begins,
//!    with [`Word::Here`]; the sender says what it [offers](Word::Offer) to who has shown that it knows the words.
//! 3. The receiver answers by [`Word::Declined`], or by its first [`Word::State`]. From then on both set states, as registers
//!    of a session would have them ([`paths`](crate::paths)).
//! 4. At the end a side sets a word that says how it ended, and leaves the mailbox.
//!
//! ```text
//! value := version (1) | SPAKE2 message (33) | [ number (8, big-endian) | sealed word (1 to MAX_WORD_BYTES, and 16) ]
//! word  := CBOR (RFC 8949): the text of the word, or a map of one entry from it to what it holds
//! ```
//!
//! A value replaces the one before, and those in between may be skipped. So each side's message stays in all its values, and
//! a word is said until the other side has answered it. The number grows with every word of a side: it is the nonce, and a word
//! that is not above the last is void. The bytes are here and no cryptography: that is in the client.

use crate::{
    limit::{MAX_OFFERED_FILES, MAX_SIGNAL_BYTES},
    p2p::OfferedFile,
    paths::MAX_STATE_BYTES,
};
use cbor4ii::{
    core::{dec::Read, utils::SliceReader},
    serde::Deserializer,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// The version of this module.
pub const CODE_VERSION: u8 = 1;
/// Bytes of a SPAKE2 message over Ed25519: a letter for the side, and a point.
pub const PAKE_BYTES: usize = 33;
/// Bytes by which a sealed word is longer than the word.
pub const SEAL_BYTES: usize = 16;
/// Longest word, in bytes: what a signal has room for.
pub const MAX_WORD_BYTES: usize = MAX_SIGNAL_BYTES - 1 - PAKE_BYTES - 8 - SEAL_BYTES;

/// What one side sets in the mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeValue {
    /// Its message of SPAKE2, in all its values the same.
    pub pake: [u8; PAKE_BYTES],
    /// Its newest word, once there is a key.
    pub sealed: Option<SealedWord>,
}

/// A word that only the other side can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedWord {
    /// Counts this side's words, from 1.
    pub number: u64,
    /// Word and tag.
    pub bytes: Vec<u8>,
}

/// What a side says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// The receiver is there, and knows the words of the code.
    Here,
    /// What the sender offers.
    Offer(OfferSummary),
    /// The side's newest [`State`](crate::paths::State), as it travels. The receiver's first one says yes to the offer.
    State(ByteBuf),
    /// The receiver does not want it.
    Declined,
    /// Everything is at the receiver.
    Finished,
    /// The side's user has called it off.
    Cancelled,
    /// The side has given up.
    Failed,
    /// The side has found no way to the other.
    NoWay,
}

/// What is offered, for a person to decide on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferSummary {
    /// All files and folders that are offered by name, 1 to [`MAX_OFFERED_FILES`]; a folder with the size of what is in it.
    pub things: Vec<OfferedFile>,
    /// How many files there are, with those in folders.
    pub files: u64,
}

impl OfferSummary {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.things.iter().fold(0, |sum, thing| sum.saturating_add(thing.size))
    }
}

/// Why bytes are no value or word, or a word cannot travel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAWord {
    /// Longer than [`MAX_WORD_BYTES`], as an offer with very long names is.
    #[error("a word has {0} bytes; at most {MAX_WORD_BYTES} are allowed")]
    TooLong(usize),
    /// Of a version that this side does not speak.
    #[error("the other side speaks version {0} of codes; this side speaks {CODE_VERSION}")]
    Version(u8),
    /// Not of this form.
    #[error("malformed: {0}")]
    Malformed(String),
}

impl NotAWord {
    fn malformed(reason: &str) -> Self {
        Self::Malformed(reason.chars().take(200).collect())
    }
}

impl CodeValue {
    /// As it is set.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![CODE_VERSION];
        bytes.extend_from_slice(&self.pake);
        if let Some(sealed) = &self.sealed {
            bytes.extend_from_slice(&sealed.number.to_be_bytes());
            bytes.extend_from_slice(&sealed.bytes);
        }
        bytes
    }

    /// Reads what the other side has set.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotAWord> {
        let rest = match bytes {
            [CODE_VERSION, rest @ ..] => rest,
            [version, ..] => return Err(NotAWord::Version(*version)),
            [] => return Err(NotAWord::malformed("no bytes")),
        };
        let short = || NotAWord::malformed("too short");
        let (pake, rest) = rest.split_first_chunk().ok_or_else(short)?;
        if rest.is_empty() {
            return Ok(Self { pake: *pake, sealed: None });
        }
        let (number, sealed) = rest.split_first_chunk().ok_or_else(short)?;
        match sealed.len() {
            0..=SEAL_BYTES => return Err(short()),
            length if length - SEAL_BYTES > MAX_WORD_BYTES => return Err(NotAWord::TooLong(length - SEAL_BYTES)),
            _ => {}
        }
        let sealed = SealedWord { number: u64::from_be_bytes(*number), bytes: sealed.to_vec() };
        Ok(Self { pake: *pake, sealed: Some(sealed) })
    }
}

impl Word {
    /// As it is sealed.
    pub fn encode(&self) -> Result<Vec<u8>, NotAWord> {
        self.check()?;
        let bytes = cbor4ii::serde::to_vec(Vec::new(), self).map_err(|e| NotAWord::malformed(&e.to_string()))?;
        if bytes.len() > MAX_WORD_BYTES { Err(NotAWord::TooLong(bytes.len())) } else { Ok(bytes) }
    }

    /// Reads what was sealed.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotAWord> {
        if bytes.len() > MAX_WORD_BYTES {
            return Err(NotAWord::TooLong(bytes.len()));
        }
        let mut cbor = Deserializer::new(SliceReader::new(bytes));
        let word = Self::deserialize(&mut cbor).map_err(|e| NotAWord::malformed(&e.to_string()))?;
        match cbor.into_inner().fill(1).map(|rest| rest.as_ref().is_empty()) {
            Ok(true) => word.check().map(|()| word),
            _ => Err(NotAWord::malformed("bytes after the only item")),
        }
    }

    fn check(&self) -> Result<(), NotAWord> {
        match self {
            Self::Offer(offer) if !(1..=MAX_OFFERED_FILES).contains(&offer.things.len()) => {
                Err(NotAWord::malformed("an offer of nothing, or of more than is allowed"))
            }
            Self::State(state) if state.len() > MAX_STATE_BYTES => Err(NotAWord::malformed("a state that is too long")),
            _ => Ok(()),
        }
    }
}
