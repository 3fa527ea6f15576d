//! Bytes one after another: what senders do that know no chunks and count bytes.
//!
//! How far one has come is the end of the chunks stored without a gap, and what the [`Tail`] holds of the next one. Others may
//! store chunks meanwhile, in any order; then it has come further than it knows.

use super::{
    StoreError, TransferFolder,
    store::Landed,
    tail::{Kept, Tail},
};
use crate::{
    plan::{PlanError, RangePlace, Span},
    read::read_span,
    tree::range_value,
};
use bytes::Bytes;
use hypersend_protocol::{hash::ChunkValue, id::ChunkIndex, limit::MAX_RANGE_LENGTH};
use std::io;

/// Bytes were not appended. What came before them is kept, unless said otherwise.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// There is a gap before them.
    #[error("the upload has come to byte {reached}, and the bytes begin at {at}")]
    Gap {
        /// Where they begin.
        at: u64,
        /// Up to where there is something.
        reached: u64,
    },
    /// The range that they complete was refused, or the disk refused to keep them.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TransferFolder {
    /// Takes up what an earlier process has kept of a range. Hashes the ranges that it says are in the content.
    pub fn open_tail(&self) -> io::Result<Tail> {
        let Some(mut kept) = Kept::read(&self.dir)? else { return Ok(Tail::default()) };
        let ranges: Vec<Span> = self.plan.ranges(kept.chunk).collect();
        let next = ranges.get(kept.values.len());
        if next.is_none_or(|next| kept.gathered >= next.length) || self.landing().map().contains(kept.chunk) {
            return Ok(Tail::default());
        }
        let sound = kept.values.iter().zip(&ranges).take_while(|(value, span)| self.holds(**span, **value)).count();
        if sound < kept.values.len() {
            kept.values.truncate(sound);
            kept = Kept::begin(&self.dir, kept.chunk, kept.values, &[])?;
        }
        self.landing().restore(kept.chunk, self.plan.range_count(kept.chunk), &kept.values);
        Ok(Tail(Some(kept)))
    }

    /// How many bytes there are from the start of the file on without a gap.
    pub fn reached(&self, tail: &Tail) -> u64 {
        let missing = self.landing().map().next_missing(ChunkIndex(0));
        missing.map_or(self.plan.size(), |chunk| self.reached_in(chunk, tail))
    }

    /// Adds bytes of one range, which follow on what has been reached, or are there already. Once it returns, they
    /// survive the death of this process.
    pub fn append(&self, tail: &mut Tail, at: u64, parts: Vec<Bytes>) -> Result<(), AppendError> {
        let length: u64 = parts.iter().map(|part| part.len() as u64).sum();
        if length == 0 {
            return Ok(());
        }
        let fits = |range: &Span| length <= range.end() - at;
        let not_a_range = PlanError::NotARange { offset: at, length };
        let range = self.plan.range_of(at).filter(fits).ok_or(not_a_range).map_err(StoreError::from)?;
        let place = self.plan.range_at(range.offset, range.length.into()).map_err(StoreError::from)?;
        match self.reached(tail) {
            reached if reached >= at + length => Ok(()),
            reached if reached != at => Err(AppendError::Gap { at, reached }),
            _ if at + length < range.end() => {
                let kept = self.keep(tail, place.chunk, &parts);
                Ok(kept.map_err(|source| self.write_error(range, source))?)
            }
            _ => self.complete(tail, place, parts),
        }
    }

    fn reached_in(&self, chunk: ChunkIndex, tail: &Tail) -> u64 {
        let start = self.plan.chunk(chunk).map_or(self.plan.size(), |span| span.offset);
        match &tail.0 {
            Some(kept) if kept.chunk == chunk && self.landing().leading(chunk).len() >= kept.values.len() => {
                start + kept.values.len() as u64 * u64::from(MAX_RANGE_LENGTH) + u64::from(kept.gathered)
            }
            // Another chunk's, or what landed of this one was found wrong.
            _ => start,
        }
    }

    fn keep(&self, tail: &mut Tail, chunk: ChunkIndex, parts: &[Bytes]) -> io::Result<()> {
        match &mut tail.0 {
            Some(kept) if kept.chunk == chunk && self.landing().leading(chunk).len() >= kept.values.len() => {
                kept.add(&self.dir, parts)
            }
            _ => {
                tail.0 = Some(Kept::begin(&self.dir, chunk, Vec::new(), parts)?);
                Ok(())
            }
        }
    }

    fn complete(&self, tail: &mut Tail, place: RangePlace, parts: Vec<Bytes>) -> Result<(), AppendError> {
        let write_error = |source| self.write_error(place.span, source);
        let kept = tail.0.as_ref().filter(|kept| kept.chunk == place.chunk && kept.gathered > 0);
        let mut whole = kept.map_or(Ok(Vec::new()), Kept::bytes).map_err(write_error)?;
        whole.extend(parts);
        match self.store_range(place.span, None, &whole)? {
            Landed::Chunk(_) => tail.0 = None,
            Landed::Range => {
                // Others may have brought the ranges after it.
                let values = self.landing().leading(place.chunk);
                tail.0 = Some(Kept::begin(&self.dir, place.chunk, values, &[]).map_err(write_error)?);
            }
        }
        Ok(())
    }

    /// Whether the content has a range of this value. What cannot be read it does not have.
    fn holds(&self, span: Span, value: ChunkValue) -> bool {
        read_span(&self.content, span)
            .is_ok_and(|bytes| range_value(&self.plan, span, std::iter::once(&bytes[..])) == value)
    }
}
