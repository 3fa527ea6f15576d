//! What the objects of a file are called.

use data_encoding::HEXLOWER;
use hypersend_protocol::{hash::ChunkValue, id::ChunkIndex};
use std::fmt;

/// The last part of an object's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Chunk(ChunkIndex, ChunkValue),
    About,
    Note,
}

impl Name {
    /// None: something that is not ours.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parsed = match text {
            "about" => Self::About,
            "note" => Self::Note,
            _ => {
                let (index, value) = text.split_once('-')?;
                let value = HEXLOWER.decode(value.as_bytes()).ok()?.try_into().ok()?;
                Self::Chunk(ChunkIndex(index.parse().ok()?), ChunkValue(value))
            }
        };
        // In one way only.
        (parsed.to_string() == text).then_some(parsed)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunk(index, value) => write!(f, "{}-{}", index.0, HEXLOWER.encode(&value.0)),
            Self::About => f.write_str("about"),
            Self::Note => f.write_str("note"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes here lose every file that is stored.
    #[test]
    fn names_are_pinned_and_what_is_not_ours_is_none() {
        let chunk = Name::Chunk(ChunkIndex(65_535), ChunkValue([0xab; 32]));
        let text = format!("65535-{}", "ab".repeat(32));
        assert_eq!(chunk.to_string(), text);
        for name in [chunk, Name::About, Name::Note] {
            assert_eq!(Name::parse(&name.to_string()), Some(name));
        }
        let hex = "ab".repeat(32);
        for other in
            ["", "about.bak", "1", "1-", "1-ab", &format!("+1-{hex}"), &format!("01-{hex}"), &text.to_uppercase()]
        {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
