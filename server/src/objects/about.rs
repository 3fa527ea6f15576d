//! What a finished file is: as much as is needed to read and to check its chunks.

use hypersend_protocol::hash::{ChunkValue, RootHash};
use hypersend_transfer::{ChunkPlan, Manifest, tree};

/// What is said about a finished file: its manifest, and the value of every chunk. As bytes: the length of the manifest (four
/// bytes, little-endian), the manifest as in `manifest.json`, and 32 bytes for each chunk as in `values`. 2 MiB for the most chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// What the file is.
    pub manifest: Manifest,
    /// How it is cut.
    pub plan: ChunkPlan,
    /// Its hash.
    pub root: RootHash,
    /// One for each chunk.
    pub values: Vec<ChunkValue>,
}

impl About {
    /// About a file with these chunks.
    ///
    /// # Panics
    /// When there is not exactly one value for each chunk.
    pub fn new(manifest: &Manifest, plan: ChunkPlan, values: Vec<ChunkValue>) -> Self {
        let root = tree::root(&plan, &values);
        Self { manifest: Manifest { root: Some(root), ..manifest.clone() }, plan, root, values }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let manifest = self.manifest.to_json();
        let length = u32::try_from(manifest.len()).expect("a name has its limit, and the rest is numbers");
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(manifest);
        bytes.extend(self.values.iter().flat_map(|value| value.0));
        bytes
    }

    /// None when the bytes are something else, or were cut, or one of them has changed.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (manifest, values) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let (manifest, plan) = Manifest::parse(manifest).ok()?;
        let (values, cut) = values.as_chunks();
        if !cut.is_empty() || values.len() != plan.chunk_count() as usize {
            return None;
        }
        let about = Self::new(&manifest, plan, values.iter().map(|value| ChunkValue(*value)).collect());
        (about.manifest == manifest).then_some(about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypersend_protocol::id::FileId;
    use uuid::Uuid;

    #[test]
    fn what_is_said_is_read_back_and_nothing_else() {
        let plan = ChunkPlan::for_size(5 << 20).unwrap();
        let manifest = Manifest::new(FileId(Uuid::now_v7()), "film.mkv".parse().unwrap(), plan, None);
        let about = About::new(&manifest, plan, (0..5).map(|n| ChunkValue([n; 32])).collect());
        let bytes = about.to_bytes();
        assert_eq!(About::parse(&bytes), Some(about));
        for end in 0..bytes.len() {
            assert_eq!(About::parse(&bytes[..end]), None, "cut at {end}");
        }
        let mut changed = bytes;
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(About::parse(&changed), None, "the hash does not fit");
    }
}
