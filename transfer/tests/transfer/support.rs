//! A made-up file, and the two sides of its transfer.

use bytes::Bytes;
use hypersend_protocol::{
    hash::{ChunkValue, RootHash},
    id::{ChunkIndex, FileId},
    name::FileName,
};
use hypersend_transfer::{ChunkPlan, Landed, Manifest, ReceiveMap, Span, TransferFolder, folder::StoreError, tree};
use std::{
    hash::{BuildHasher, RandomState},
    path::PathBuf,
};
use tempfile::TempDir;

/// What a crash does to a folder.
pub(crate) type Crash = fn(&Fixture);

pub(crate) const MIB: u64 = 1 << 20;

/// A file in memory, and a place on the disk for it to land in.
pub(crate) struct Fixture {
    pub(crate) temp: TempDir,
    pub(crate) plan: ChunkPlan,
    pub(crate) data: Bytes,
}

impl Fixture {
    pub(crate) fn new(size: u64, chunk_size: u64) -> Self {
        let mut data = vec![0; usize::try_from(size).unwrap()];
        blake3::Hasher::new().update(b"fixture").finalize_xof().fill(&mut data);
        let plan = ChunkPlan::parse(size, chunk_size).unwrap();
        Self { temp: tempfile::tempdir().unwrap(), plan, data: data.into() }
    }

    /// Where the folder is.
    pub(crate) fn dir(&self) -> PathBuf {
        self.temp.path().join("under-way")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub(crate) fn manifest(&self) -> Manifest {
        let id = FileId("0198a2b4-0000-7000-8000-000000000001".parse().unwrap());
        Manifest::new(id, FileName::parse("film.mkv").unwrap(), self.plan, None)
    }

    pub(crate) fn create(&self) -> TransferFolder {
        TransferFolder::create(&self.dir(), self.manifest()).unwrap()
    }

    pub(crate) fn open(&self) -> TransferFolder {
        TransferFolder::open(&self.dir()).unwrap()
    }

    pub(crate) fn root(&self) -> RootHash {
        RootHash(blake3::hash(&self.data).into())
    }

    pub(crate) fn bytes(&self, span: Span) -> Bytes {
        self.data.slice(usize::try_from(span.offset).unwrap()..usize::try_from(span.end()).unwrap())
    }

    pub(crate) fn value(&self, span: Span) -> ChunkValue {
        tree::range_value(&self.plan, span, [&self.bytes(span)[..]].into_iter())
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.plan.chunks().flat_map(|chunk| self.plan.ranges(chunk)).collect()
    }

    /// The value of every chunk.
    pub(crate) fn values(&self) -> Vec<ChunkValue> {
        let value = |chunk| {
            let ranges: Vec<_> = self.plan.ranges(chunk).map(|span| self.value(span)).collect();
            tree::merge_ranges(&self.plan, chunk, &ranges)
        };
        self.plan.chunks().map(value).collect()
    }

    pub(crate) fn store(&self, folder: &TransferFolder, span: Span) -> Result<Landed, StoreError> {
        folder.store_range(span, Some(self.value(span)), &[self.bytes(span)])
    }

    /// Stores all ranges of some chunks.
    pub(crate) fn store_chunks(&self, folder: &TransferFolder, chunks: impl IntoIterator<Item = u32>) {
        for chunk in chunks.into_iter().map(ChunkIndex) {
            let last = self.plan.ranges(chunk).map(|span| self.store(folder, span).unwrap()).last();
            assert_eq!(last, Some(Landed::Chunk(chunk)));
        }
    }

    pub(crate) fn store_missing(&self, folder: &TransferFolder) {
        self.store_chunks(folder, folder.map().missing().map(|chunk| chunk.0));
    }
}

pub(crate) fn stored(map: &ReceiveMap) -> Vec<u32> {
    (0..map.count()).filter(|&chunk| map.contains(ChunkIndex(chunk))).collect()
}

/// Numbers that are random enough for a test, and the same for the same seed (`SplitMix64`).
pub(crate) struct Dice(u64);

impl Dice {
    /// Takes the seed from `HYPERSEND_SEED`, or makes one up; prints it, to be seen when the test fails.
    pub(crate) fn new() -> Self {
        let seed = std::env::var("HYPERSEND_SEED")
            .map_or_else(|_| RandomState::new().hash_one(0), |text| text.parse().expect("HYPERSEND_SEED is a number"));
        println!("HYPERSEND_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, usize::try_from(self.below(last as u64 + 1)).unwrap());
        }
    }
}
