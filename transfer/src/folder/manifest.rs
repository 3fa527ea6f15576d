//! What the file is: the one part of a folder that a person may want to read.

use crate::plan::{ChunkPlan, PlanError};
use hypersend_protocol::{hash::RootHash, id::FileId, name::FileName};
use serde::{Deserialize, Serialize};
use std::{fs, io, path::Path};

/// The contents of `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of the folder; [`Manifest::VERSION`].
    pub version: u32,
    /// Which file this is.
    pub file: FileId,
    /// What its owner calls it.
    pub name: FileName,
    /// Its size in bytes.
    pub size: u64,
    /// The size of its chunks in bytes.
    pub chunk_size: u64,
    /// Its hash, from the start where the sender knew it, otherwise since it was sealed.
    #[serde(with = "hexadecimal")]
    pub root: Option<RootHash>,
}

/// The manifest does not describe a file that this program can handle.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The disk refused.
    #[error("read the manifest")]
    Io(#[from] io::Error),
    /// Missing or blank: the folder was never made completely, or the power went before anything was settled.
    #[error("the folder was never made completely")]
    Unfinished,
    /// Not a manifest.
    #[error("the manifest is damaged")]
    Damaged(#[from] serde_json::Error),
    /// Written by a later version of this program.
    #[error("the folder has format {0}, and this program knows format {known}; use a newer one", known = Manifest::VERSION)]
    Version(u32),
    /// No such file can be.
    #[error("the manifest describes an impossible file")]
    Plan(#[from] PlanError),
}

impl Manifest {
    /// The format that this program writes.
    pub const VERSION: u32 = 1;

    /// The manifest of a new file.
    pub fn new(file: FileId, name: FileName, plan: ChunkPlan, root: Option<RootHash>) -> Self {
        Self { version: Self::VERSION, file, name, size: plan.size(), chunk_size: plan.chunk_size(), root }
    }

    /// How the file is cut.
    pub fn plan(&self) -> Result<ChunkPlan, PlanError> {
        ChunkPlan::parse(self.size, self.chunk_size)
    }

    /// Reads and checks a manifest.
    pub(crate) fn read(path: &Path) -> Result<(Self, ChunkPlan), ManifestError> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ManifestError::Unfinished),
            bytes => bytes?,
        };
        Self::parse(&bytes)
    }

    /// Takes a manifest from the bytes that [`to_json`](Self::to_json) gave.
    pub fn parse(bytes: &[u8]) -> Result<(Self, ChunkPlan), ManifestError> {
        // What a power cut leaves of a file that was renamed but never flushed.
        if bytes.iter().all(|&byte| byte == 0) {
            return Err(ManifestError::Unfinished);
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        if manifest.version != Self::VERSION {
            return Err(ManifestError::Version(manifest.version));
        }
        let plan = manifest.plan()?;
        Ok((manifest, plan))
    }

    /// As it is kept.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a manifest is plain data")
    }
}

/// A hash as `b3sum` prints it, where the protocol crate's own form is bytes.
mod hexadecimal {
    use hypersend_protocol::hash::RootHash;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "the signature that serde calls")]
    pub(super) fn serialize<S: Serializer>(root: &Option<RootHash>, to: S) -> Result<S::Ok, S::Error> {
        root.map(|root| root.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<RootHash>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
  "version": 1,
  "file": "0198a2b4-0000-7000-8000-000000000001",
  "name": "film.mkv",
  "size": 5,
  "chunk_size": 1048576,
  "root": "abababababababababababababababababababababababababababababababab"
}"#;

    fn read(text: &str) -> Result<Manifest, ManifestError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.json");
        fs::write(&path, text).unwrap();
        Manifest::read(&path).map(|(manifest, _)| manifest)
    }

    /// Changes here break every transfer under way: a new layout needs a new version.
    #[test]
    fn the_layout_is_pinned() {
        let manifest = Manifest {
            version: 1,
            file: FileId("0198a2b4-0000-7000-8000-000000000001".parse().unwrap()),
            name: FileName::parse("film.mkv").unwrap(),
            size: 5,
            chunk_size: 1 << 20,
            root: Some(RootHash([0xab; 32])),
        };
        assert_eq!(String::from_utf8(manifest.to_json()).unwrap(), TEXT);
        assert_eq!(read(TEXT).unwrap(), manifest);
    }

    #[test]
    fn a_manifest_that_cannot_be_used_says_why() {
        assert!(matches!(read(""), Err(ManifestError::Unfinished)));
        assert!(matches!(read(&TEXT.replace("\"version\": 1", "\"version\": 2")), Err(ManifestError::Version(2))));
        assert!(matches!(read(&TEXT.replace("1048576", "1048577")), Err(ManifestError::Plan(_))));
        assert!(matches!(read(&TEXT.replace("film.mkv", "../film.mkv")), Err(ManifestError::Damaged(_))));
        assert!(matches!(read(&TEXT.replace("abab", "abxb")), Err(ManifestError::Damaged(_))));
        assert!(matches!(read(&TEXT[..50]), Err(ManifestError::Damaged(_))));
    }
}
