//! BLAKE3 values as they travel. Computing them is the `transfer` crate's.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

macro_rules! hashes {
    ($($(#[$doc:meta])* $name:ident)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(#[serde(with = "serde_bytes")] pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = NotAHash;
            fn from_str(text: &str) -> Result<Self, NotAHash> {
                let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| NotAHash)?;
                bytes.try_into().map(Self).map_err(|_| NotAHash)
            }
        }
    )+};
}

hashes! {
    /// The ordinary BLAKE3 hash of a whole file: what `b3sum` prints.
    RootHash
    /// The BLAKE3 chaining value of a subtree: one chunk, or one range of a chunk. The value of a file's only chunk is
    /// its root hash, because a tree of one node has no other.
    ChunkValue
    /// Names a source for its sender: an upload begun twice with the same key is the same upload.
    UploadKey
    /// Names a file as it is, or a folder where it is, for its sender: what lies at the receiver from an earlier attempt
    /// under the same key is a part of the same.
    EntryKey
    /// What all entries of a listing hash to.
    ListingId
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits")]
pub struct NotAHash;
