//! The file's BLAKE3 tree, built from pieces that arrive in any order.
//!
//! A range, and a chunk, is a subtree of the tree that `b3sum` walks: hashing each as it lands and merging the values gives
//! the ordinary hash of the whole file without a second read. The piece that *is* the whole file has no chaining value of
//! its own, because the root is finalised differently: its value is the file's hash.
//!
//! A list of values of the wrong length can merge to the right root (the two halves of a file do), so the functions here
//! insist on exactly one value for each piece: whoever takes a list from a peer counts it first.

use crate::plan::{ChunkPlan, Span};
use blake3::{
    Hasher,
    hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
};
use hypersend_protocol::{
    hash::{ChunkValue, RootHash},
    id::ChunkIndex,
};

/// The value of a range, from its bytes in however many parts they arrived.
pub fn range_value<'a>(plan: &ChunkPlan, span: Span, parts: impl Iterator<Item = &'a [u8]>) -> ChunkValue {
    let mut subtree = SubtreeHasher::new(plan, span);
    for part in parts {
        subtree.update(part);
    }
    subtree.finish()
}

/// The value of a chunk, from the values of all its ranges in order.
///
/// # Panics
/// When there is not exactly one value for each range.
pub fn merge_ranges(plan: &ChunkPlan, index: ChunkIndex, ranges: &[ChunkValue]) -> ChunkValue {
    assert_eq!(ranges.len(), plan.range_count(index) as usize, "one value for each range of chunk {index}");
    let whole_file = plan.chunk(index).is_some_and(|chunk| u64::from(chunk.length) == plan.size());
    ChunkValue(if whole_file { root_of(ranges) } else { subtree_of(ranges) })
}

/// The hash of the file, from the values of all its chunks in order.
///
/// # Panics
/// When there is not exactly one value for each chunk.
pub fn root(plan: &ChunkPlan, chunks: &[ChunkValue]) -> RootHash {
    assert_eq!(chunks.len(), plan.chunk_count() as usize, "one value for each chunk");
    RootHash(root_of(chunks))
}

/// Bytes gathered before they are hashed. Packets bring about 1,400 bytes at a time, and BLAKE3 is several times faster
/// on 16 of its 1 KiB blocks at once (AVX-512; 8 with AVX2) than on one; the copy stays in the first-level cache.
const GATHER_BYTES: usize = 16 << 10;

/// Hashes one subtree (a range, or a chunk read back from the disk) piece by piece.
pub(crate) struct SubtreeHasher {
    hasher: Hasher,
    whole_file: bool,
    gathered: [u8; GATHER_BYTES],
    filled: usize,
}

impl SubtreeHasher {
    pub(crate) fn new(plan: &ChunkPlan, span: Span) -> Self {
        Self::at(span.offset, u64::from(span.length) == plan.size())
    }

    fn at(offset: u64, whole_file: bool) -> Self {
        let mut hasher = Hasher::new();
        hasher.set_input_offset(offset);
        Self { hasher, whole_file, gathered: [0; GATHER_BYTES], filled: 0 }
    }

    pub(crate) fn update(&mut self, mut part: &[u8]) {
        if self.filled > 0 {
            let (head, rest) = part.split_at(part.len().min(GATHER_BYTES - self.filled));
            self.gather(head);
            part = rest;
            if self.filled < GATHER_BYTES {
                return;
            }
            self.hasher.update(&self.gathered);
            self.filled = 0;
        }
        // Whole multiples go straight from the caller's memory.
        let (direct, rest) = part.split_at(part.len() - part.len() % GATHER_BYTES);
        self.hasher.update(direct);
        self.gather(rest);
    }

    pub(crate) fn finish(mut self) -> ChunkValue {
        self.hasher.update(&self.gathered[..self.filled]);
        ChunkValue(if self.whole_file { self.hasher.finalize().into() } else { self.hasher.finalize_non_root() })
    }

    fn gather(&mut self, bytes: &[u8]) {
        self.gathered[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }
}

fn root_of(leaves: &[ChunkValue]) -> [u8; 32] {
    match leaves {
        [] => blake3::hash(b"").into(),
        [only] => only.0,
        _ => {
            let (left, right) = leaves.split_at(left_leaves(leaves.len()));
            merge_subtrees_root(&subtree_of(left), &subtree_of(right), Mode::Hash).into()
        }
    }
}

/// Depth is the logarithm of the leaves: 16 for the largest file.
fn subtree_of(leaves: &[ChunkValue]) -> [u8; 32] {
    match leaves {
        [] => blake3::hash(b"").into(),
        [only] => only.0,
        _ => {
            let (left, right) = leaves.split_at(left_leaves(leaves.len()));
            merge_subtrees_non_root(&subtree_of(left), &subtree_of(right), Mode::Hash)
        }
    }
}

/// A left subtree is complete and as large as leaves something for the right one (BLAKE3 paper, section 2.1).
fn left_leaves(leaves: usize) -> usize {
    leaves.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypersend_protocol::limit::MIN_CHUNK_SIZE;
    use proptest::prelude::*;

    const KIB: usize = 1 << 10;

    fn bytes(size: usize) -> Vec<u8> {
        (0..=250_u8).cycle().take(size).collect()
    }

    /// The root by way of pieces of `grain` bytes: the same steps as in a file, at sizes a test can afford.
    fn root_by_grain(data: &[u8], grain: usize, part: usize) -> [u8; 32] {
        let values: Vec<_> = data
            .chunks(grain)
            .enumerate()
            .map(|(i, piece)| {
                let mut subtree = SubtreeHasher::at((i * grain) as u64, piece.len() == data.len());
                piece.chunks(part).for_each(|part| subtree.update(part));
                subtree.finish()
            })
            .collect();
        root_of(&values)
    }

    fn root_by_plan(data: &[u8], chunk_size: u64, part: usize) -> RootHash {
        let plan = ChunkPlan::parse(data.len() as u64, chunk_size).unwrap();
        let at = |span: Span| &data[usize::try_from(span.offset).unwrap()..][..span.length as usize];
        let chunks: Vec<_> = plan
            .chunks()
            .map(|chunk| {
                let ranges: Vec<_> =
                    plan.ranges(chunk).map(|span| range_value(&plan, span, at(span).chunks(part))).collect();
                merge_ranges(&plan, chunk, &ranges)
            })
            .collect();
        root(&plan, &chunks)
    }

    #[test]
    fn the_empty_file_has_the_hash_of_nothing() {
        assert_eq!(root_by_plan(b"", MIN_CHUNK_SIZE, 1).0, *blake3::hash(b"").as_bytes());
    }

    #[test]
    fn sizes_around_powers_of_two_give_the_ordinary_hash() {
        for exponent in 0..=18 {
            for size in [(1_usize << exponent) - 1, 1 << exponent, (1 << exponent) + 1, 3 << exponent] {
                let data = bytes(size);
                for grain in [KIB, 4 * KIB, 64 * KIB] {
                    assert_eq!(root_by_grain(&data, grain, 1_400), *blake3::hash(&data).as_bytes(), "{size}/{grain}");
                }
            }
        }
    }

    #[test]
    fn real_chunks_of_several_ranges_give_the_ordinary_hash() {
        let mib = 1 << 20;
        for size in [1, mib - 1, mib, mib + 1, 2 * mib, 4 * mib, 4 * mib + 1, 5 * mib + 77, 8 * mib, 9 * mib] {
            let data = bytes(size);
            for chunk_size in [MIN_CHUNK_SIZE, 2 * MIN_CHUNK_SIZE, 4 * MIN_CHUNK_SIZE, 16 * MIN_CHUNK_SIZE] {
                let expected = RootHash(blake3::hash(&data).into());
                assert_eq!(root_by_plan(&data, chunk_size, 64 * KIB), expected, "{size}/{chunk_size}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_size_in_any_parts_gives_the_ordinary_hash(
            size in 0_usize..200_000, grain in 0_u32..8, part in 1_usize..40_000,
        ) {
            let data = bytes(size);
            prop_assert_eq!(root_by_grain(&data, KIB << grain, part), *blake3::hash(&data).as_bytes());
        }
    }
}
