//! Ranges, as they arrive.

use super::{
    TransferFolder,
    disk::{NoSpace, free_bytes},
    landing::{Claim, MAX_CHUNKS_BEGUN},
};
use crate::{
    journal::Record,
    plan::{PlanError, RangePlace, Span},
    tree::{merge_ranges, range_value, root},
};
use bytes::Bytes;
use hypersend_protocol::{
    hash::{ChunkValue, RootHash},
    id::ChunkIndex,
};
use rustix::{
    fs::{Advice, fadvise},
    io::{pwritev, retry_on_intr},
};
use std::{
    fs::File,
    io::{self, IoSlice},
    num::NonZeroU64,
    sync::PoisonError,
};

/// What has been reached with a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landed {
    /// The range is written; its chunk waits for others. A crash forgets it.
    Range,
    /// The whole chunk is stored: it survives the death of the process.
    Chunk(ChunkIndex),
}

/// A range did not land. What landed before it is kept, unless said otherwise.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not a range of this file.
    #[error("place a range")]
    Place(#[from] PlanError),
    /// More or fewer bytes than the range has.
    #[error("the range at {} has {} bytes, and {actual} came", span.offset, span.length)]
    Length {
        /// The range.
        span: Span,
        /// Bytes given.
        actual: u64,
    },
    /// The bytes are not those that were sent.
    #[error("the range at {} does not match its hash", span.offset)]
    RangeMismatch {
        /// The range.
        span: Span,
    },
    /// All ranges of the chunk landed, and the chunk is not the expected one. All of it is missing again.
    #[error("chunk {0} does not match the file's hash")]
    ChunkMismatch(ChunkIndex),
    /// Other chunks have to be completed first.
    #[error("{MAX_CHUNKS_BEGUN} chunks are incomplete already; send their missing ranges first")]
    TooManyBegun,
    /// The disk is full. Can be tried again when there is room.
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    /// The disk refused the bytes.
    #[error("write the range at {}", span.offset)]
    Write {
        /// The range.
        span: Span,
        /// Why.
        source: io::Error,
    },
    /// The disk refused the record. All of the chunk is missing again.
    #[error("record chunk {index}")]
    Record {
        /// The chunk.
        index: ChunkIndex,
        /// Why.
        source: io::Error,
    },
}

/// The values are not those of this file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpectError {
    /// Not one for each chunk.
    #[error("the file has {expected} chunks, and {actual} values came")]
    Count {
        /// Chunks of the file.
        expected: u32,
        /// Values given.
        actual: usize,
    },
    /// They do not add up to the hash in the manifest.
    #[error("the chunk values belong to {actual}, not to {expected}")]
    Root {
        /// What the manifest says.
        expected: RootHash,
        /// What the values give.
        actual: RootHash,
    },
}

impl TransferFolder {
    /// Says what every chunk has to be; chunks that complete from now on are held to it. Where the manifest knows the
    /// file's hash, the values are held to that. Only the first list counts: a second is a second copy of it, or wrong.
    pub fn expect_values(&self, values: Vec<ChunkValue>) -> Result<(), ExpectError> {
        let expected = self.plan.chunk_count();
        if values.len() != expected as usize {
            return Err(ExpectError::Count { expected, actual: values.len() });
        }
        let actual = root(&self.plan, &values);
        if let Some(expected) = self.manifest.root.filter(|&expected| expected != actual) {
            return Err(ExpectError::Root { expected, actual });
        }
        self.expected.get_or_init(|| values);
        Ok(())
    }

    /// Checks the bytes of one range against the value that came with them (if none did, the chunk is checked against
    /// [`TransferFolder::expect_values`] once it is complete), writes them, and records the chunk when it was the last of
    /// its ranges. May be called from many threads, also with the same range twice: who comes second waits
    /// for the first and is told the same. A range of a stored chunk is not looked at.
    pub fn store_range(&self, span: Span, expected: Option<ChunkValue>, parts: &[Bytes]) -> Result<Landed, StoreError> {
        let place = self.plan.range_at(span.offset, span.length.into())?;
        if self.landing().map().contains(place.chunk) {
            return Ok(Landed::Chunk(place.chunk));
        }
        let actual = parts.iter().map(|part| part.len() as u64).sum();
        if actual != u64::from(span.length) {
            return Err(StoreError::Length { span, actual });
        }
        let value = range_value(&self.plan, span, parts.iter().map(|part| &part[..]));
        if expected.is_some_and(|expected| expected != value) {
            return Err(StoreError::RangeMismatch { span });
        }
        let mut claimed = match self.claim(place, value)? {
            Claimed::Already(landed) => return Ok(landed),
            Claimed::Mine(claimed) => claimed,
        };
        self.write(span, parts).map_err(|source| self.write_error(span, source))?;
        match claimed.landed(value) {
            None => Ok(Landed::Range),
            Some(ranges) => self.record(place.chunk, &ranges).inspect(|_| claimed.stored()),
        }
    }

    /// Writes the bytes of one range, and has the kernel begin to put them on the platter: left to itself it would gather
    /// them by the hundred MiB, and whoever flushes anything on that disk would then wait for all of it.
    fn write(&self, span: Span, parts: &[Bytes]) -> io::Result<()> {
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        write_parts(&self.content, span.offset, parts)?;
        drop(writing);
        // It is advice. To Linux it says to begin writing back what is dirty there, and to forget what is not.
        let _ = fadvise(&self.content, span.offset, NonZeroU64::new(span.length.into()), Advice::DontNeed);
        Ok(())
    }

    /// Waits until the range is nobody else's.
    fn claim(&self, place: RangePlace, value: ChunkValue) -> Result<Claimed<'_>, StoreError> {
        let ranges = self.plan.range_count(place.chunk);
        let mut landing = self.landing();
        loop {
            match landing.claim(place, ranges, value) {
                Claim::Write => break,
                Claim::Wait => landing = self.changed.wait(landing).unwrap_or_else(PoisonError::into_inner),
                Claim::Landed => return Ok(Claimed::Already(Landed::Range)),
                Claim::Stored => return Ok(Claimed::Already(Landed::Chunk(place.chunk))),
                Claim::Full => return Err(StoreError::TooManyBegun),
            }
        }
        drop(landing);
        Ok(Claimed::Mine(Writing { folder: self, place, stage: Stage::Writing }))
    }

    fn record(&self, index: ChunkIndex, ranges: &[ChunkValue]) -> Result<Landed, StoreError> {
        let value = merge_ranges(&self.plan, index, ranges);
        if self.expected.get().is_some_and(|expected| expected[index.0 as usize] != value) {
            return Err(StoreError::ChunkMismatch(index));
        }
        self.journal.append(Record::Stored(index, value)).map_err(|source| StoreError::Record { index, source })?;
        let chunk = self.plan.chunk(index).expect("its ranges were the plan's");
        self.settling.landed(chunk.length.into());
        Ok(Landed::Chunk(index))
    }

    pub(super) fn write_error(&self, span: Span, source: io::Error) -> StoreError {
        let full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        match (full, free_bytes(&self.dir)) {
            (true, Ok(free)) => NoSpace { needed: span.length.into(), free }.into(),
            _ => StoreError::Write { span, source },
        }
    }
}

enum Claimed<'a> {
    Already(Landed),
    Mine(Writing<'a>),
}

/// The right to write one range, given back however the attempt ends.
struct Writing<'a> {
    folder: &'a TransferFolder,
    place: RangePlace,
    stage: Stage,
}

enum Stage {
    Writing,
    Landed,
    Recording,
    Stored,
}

impl Writing<'_> {
    fn landed(&mut self, value: ChunkValue) -> Option<Vec<ChunkValue>> {
        let ranges = self.folder.landing().landed(self.place, value);
        self.stage = if ranges.is_some() { Stage::Recording } else { Stage::Landed };
        ranges
    }

    fn stored(&mut self) {
        self.stage = Stage::Stored;
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut landing = self.folder.landing();
        match self.stage {
            Stage::Writing => landing.abandon(self.place),
            Stage::Landed => {}
            Stage::Recording => landing.forget(self.place.chunk),
            Stage::Stored => landing.stored(self.place.chunk),
        }
        drop(landing);
        self.folder.changed.notify_all();
    }
}

/// The most pieces that Linux takes in one call (`IOV_MAX`); a range in packets of 1,400 bytes has 750.
const PIECES_PER_WRITE: usize = 1_024;

/// Writes the parts one after the other, from where they are.
pub(super) fn write_parts(file: &File, mut offset: u64, parts: &[Bytes]) -> io::Result<()> {
    for batch in parts.chunks(PIECES_PER_WRITE) {
        let mut pieces = [IoSlice::new(&[]); PIECES_PER_WRITE];
        for (piece, part) in pieces.iter_mut().zip(batch) {
            *piece = IoSlice::new(part);
        }
        let mut rest = &mut pieces[..batch.len()];
        // Steps over empty pieces, for which a call would write nothing.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let written = retry_on_intr(|| pwritev(file, rest, offset))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            offset += written as u64;
            IoSlice::advance_slices(&mut rest, written);
        }
    }
    Ok(())
}
