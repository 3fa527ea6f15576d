//! How a file is cut: into chunks, the unit that is recorded and retried, and chunks into ranges, the unit that travels on
//! one stream. Arithmetic only.
//!
//! Chunk and range sizes are powers of two and at least one MiB, so that each is a subtree of the file's BLAKE3 tree
//! (BLAKE3 paper, section 2.1); only the last of a file may be shorter.

use hypersend_protocol::{
    id::ChunkIndex,
    limit::{MAX_CHUNKS, MAX_FILE_SIZE, MAX_RANGE_LENGTH, MIN_CHUNK_SIZE},
};

/// The largest chunk: what the largest file needs. Bounds the ranges of one chunk to 256.
pub const MAX_CHUNK_SIZE: u64 = MAX_FILE_SIZE / MAX_CHUNKS as u64;

/// A run of bytes of a file. Chunks and ranges are never longer than [`MAX_CHUNK_SIZE`], so 32 bits hold a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte, counted from the start of the file.
    pub offset: u64,
    /// Length in bytes.
    pub length: u32,
}

impl Span {
    /// The byte after the last.
    pub fn end(self) -> u64 {
        self.offset + u64::from(self.length)
    }
}

/// Where one range belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangePlace {
    /// The chunk it is a piece of.
    pub chunk: ChunkIndex,
    /// Its place among the ranges of that chunk, from 0.
    pub ordinal: u32,
    /// Its bytes.
    pub span: Span,
}

/// How one file is cut. Sixteen bytes, copied freely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkPlan {
    size: u64,
    chunk_size: u64,
}

/// A file cannot be cut that way, or a range is none of the plan's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Larger than any file may be.
    #[error("the file has {size} bytes; at most {MAX_FILE_SIZE} are allowed")]
    FileTooLarge {
        /// Its size in bytes.
        size: u64,
    },
    /// Not a power of two between the limits.
    #[error("chunk size {chunk_size} is not a power of two from {MIN_CHUNK_SIZE} to {MAX_CHUNK_SIZE}")]
    ChunkSize {
        /// The size claimed, in bytes.
        chunk_size: u64,
    },
    /// The chunks are too small for a file of this size.
    #[error("chunks of {chunk_size} bytes cut the file into {count} pieces; at most {MAX_CHUNKS} are allowed")]
    TooManyChunks {
        /// The size claimed, in bytes.
        chunk_size: u64,
        /// How many there would be.
        count: u64,
    },
    /// Not exactly one of the ranges of the plan.
    #[error("{length} bytes at {offset} are not a range of this file")]
    NotARange {
        /// First byte claimed.
        offset: u64,
        /// Length claimed, in bytes.
        length: u64,
    },
}

impl ChunkPlan {
    /// The plan for a file of this size: the smallest chunks that stay within [`MAX_CHUNKS`].
    pub fn for_size(size: u64) -> Result<Self, PlanError> {
        let needed = size.div_ceil(u64::from(MAX_CHUNKS));
        if size > MAX_FILE_SIZE {
            return Err(PlanError::FileTooLarge { size });
        }
        Ok(Self { size, chunk_size: needed.next_power_of_two().max(MIN_CHUNK_SIZE) })
    }

    /// The plan that a peer or a manifest claims for a file.
    pub fn parse(size: u64, chunk_size: u64) -> Result<Self, PlanError> {
        if size > MAX_FILE_SIZE {
            return Err(PlanError::FileTooLarge { size });
        }
        if !chunk_size.is_power_of_two() || !(MIN_CHUNK_SIZE..=MAX_CHUNK_SIZE).contains(&chunk_size) {
            return Err(PlanError::ChunkSize { chunk_size });
        }
        let count = size.div_ceil(chunk_size);
        if count > u64::from(MAX_CHUNKS) {
            return Err(PlanError::TooManyChunks { chunk_size, count });
        }
        Ok(Self { size, chunk_size })
    }

    /// The file's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The size of every chunk but the last, in bytes.
    pub fn chunk_size(&self) -> u64 {
        self.chunk_size
    }

    /// How many chunks there are; none in an empty file.
    pub fn chunk_count(&self) -> u32 {
        u32::try_from(self.size.div_ceil(self.chunk_size)).expect("the constructors allow MAX_CHUNKS")
    }

    /// All chunks, in order.
    pub fn chunks(&self) -> impl Iterator<Item = ChunkIndex> + use<> {
        (0..self.chunk_count()).map(ChunkIndex)
    }

    /// The bytes of a chunk; `None` past the end.
    pub fn chunk(&self, index: ChunkIndex) -> Option<Span> {
        let offset = u64::from(index.0) * self.chunk_size;
        (offset < self.size).then(|| span(offset, self.chunk_size.min(self.size - offset)))
    }

    /// The pieces of at most [`MAX_RANGE_LENGTH`] in which a chunk travels; none past the end.
    pub fn ranges(&self, index: ChunkIndex) -> impl Iterator<Item = Span> + use<> {
        let chunk = self.chunk(index).unwrap_or(Span { offset: 0, length: 0 });
        (chunk.offset..chunk.end())
            .step_by(MAX_RANGE_LENGTH as usize)
            .map(move |offset| span(offset, (chunk.end() - offset).min(u64::from(MAX_RANGE_LENGTH))))
    }

    /// How many ranges a chunk has; none past the end.
    pub fn range_count(&self, index: ChunkIndex) -> u32 {
        self.chunk(index).map_or(0, |chunk| chunk.length.div_ceil(MAX_RANGE_LENGTH))
    }

    /// The range that a byte is in; `None` past the end.
    pub fn range_of(&self, offset: u64) -> Option<Span> {
        let range = u64::from(MAX_RANGE_LENGTH);
        let start = offset - offset % range;
        (offset < self.size).then(|| span(start, range.min(self.size - start)))
    }

    /// The place of a range that a peer names. Only exactly one of the plan's ranges has one.
    pub fn range_at(&self, offset: u64, length: u64) -> Result<RangePlace, PlanError> {
        let refused = PlanError::NotARange { offset, length };
        let range = u64::from(MAX_RANGE_LENGTH);
        if offset >= self.size || !offset.is_multiple_of(range) || length != range.min(self.size - offset) {
            return Err(refused);
        }
        let small =
            |n: u64| u32::try_from(n).expect("offset < size, and the constructors bound what size divides into");
        Ok(RangePlace {
            chunk: ChunkIndex(small(offset / self.chunk_size)),
            ordinal: small(offset % self.chunk_size / range),
            span: span(offset, length),
        })
    }
}

fn span(offset: u64, length: u64) -> Span {
    Span { offset, length: u32::try_from(length).expect("no chunk is longer than MAX_CHUNK_SIZE") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    #[test]
    fn chunks_grow_when_their_number_would_pass_the_limit() {
        let cases = [
            (0, MIB, 0),
            (1, MIB, 1),
            (MIB, MIB, 1),
            (MIB + 1, MIB, 2),
            (40 * GIB, MIB, 40_960),
            (64 * GIB, MIB, 65_536),
            (64 * GIB + 1, 2 * MIB, 32_769),
            (MAX_FILE_SIZE, 256 * MIB, 65_536),
        ];
        for (size, chunk_size, count) in cases {
            let plan = ChunkPlan::for_size(size).unwrap();
            assert_eq!((plan.chunk_size(), plan.chunk_count()), (chunk_size, count), "{size} bytes");
            assert_eq!(ChunkPlan::parse(size, chunk_size), Ok(plan));
        }
        assert_eq!(ChunkPlan::for_size(MAX_FILE_SIZE + 1), Err(PlanError::FileTooLarge { size: MAX_FILE_SIZE + 1 }));
        assert!(ChunkPlan::for_size(u64::MAX).is_err());
    }

    #[test]
    fn claims_that_break_the_tree_or_a_bound_are_refused() {
        for chunk_size in [0, 1, MIB / 2, MIB + 1, 3 * MIB, 2 * MAX_CHUNK_SIZE, 1 << 63, u64::MAX] {
            assert_eq!(ChunkPlan::parse(5 * MIB, chunk_size), Err(PlanError::ChunkSize { chunk_size }));
        }
        let count = 65_537;
        assert_eq!(ChunkPlan::parse(64 * GIB + 1, MIB), Err(PlanError::TooManyChunks { chunk_size: MIB, count }));
        assert!(ChunkPlan::parse(u64::MAX, MIB).is_err());
    }

    #[test]
    fn chunks_and_ranges_tile_the_file_and_are_found_again() {
        for (size, chunk_size) in [(0, MIB), (1, MIB), (9 * MIB + 5, 4 * MIB), (8 * MIB, 4 * MIB), (7 * MIB, MIB)] {
            let plan = ChunkPlan::parse(size, chunk_size).unwrap();
            let mut end = 0;
            for chunk in plan.chunks() {
                let whole = plan.chunk(chunk).unwrap();
                assert_eq!(whole.offset, end);
                for (ordinal, span) in (0..).zip(plan.ranges(chunk)) {
                    assert_eq!(span.offset, end);
                    let place = RangePlace { chunk, ordinal, span };
                    assert_eq!(plan.range_at(span.offset, span.length.into()), Ok(place));
                    assert_eq!(plan.range_of(span.offset), Some(span));
                    assert_eq!(plan.range_of(span.end() - 1), Some(span));
                    end = span.end();
                }
                assert_eq!(end, whole.end());
                assert_eq!(plan.range_count(chunk) as usize, plan.ranges(chunk).count());
            }
            assert_eq!(end, size);
            assert_eq!(plan.range_of(size), None);
            let past = ChunkIndex(plan.chunk_count());
            assert_eq!((plan.chunk(past), plan.range_count(past), plan.ranges(past).count()), (None, 0, 0));
        }
    }

    #[test]
    fn nearly_a_range_is_not_a_range() {
        let plan = ChunkPlan::parse(2 * MIB + 7, 2 * MIB).unwrap();
        let bad = [(0, 0), (0, MIB - 1), (0, 2 * MIB), (1, MIB), (2 * MIB, 6), (2 * MIB, MIB), (2 * MIB + 7, 0)];
        for (offset, length) in bad.into_iter().chain([(4 * MIB, MIB), (u64::MAX, 1), (0, u64::MAX)]) {
            assert_eq!(plan.range_at(offset, length), Err(PlanError::NotARange { offset, length }));
        }
        assert!(ChunkPlan::for_size(0).unwrap().range_at(0, 0).is_err());
    }
}
