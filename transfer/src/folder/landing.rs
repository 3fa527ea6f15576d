//! Which ranges of which chunks are on their way to the disk. Never touches it.
//!
//! A range of a chunk that has begun is missing, being written (by exactly one thread), or landed with a value. A chunk all
//! of whose ranges have landed is being recorded; then it is stored, and nothing of it is kept here but its bit in the
//! map. Who comes second for a range waits for the first, and then finds it landed or takes it over.

use crate::{map::ReceiveMap, plan::RangePlace};
use hypersend_protocol::{hash::ChunkValue, id::ChunkIndex};
use std::collections::HashMap;

/// Chunks of several ranges that may be incomplete at once; one more is refused. 256, of at most 256 ranges each: 2.5 MiB.
/// A sender finishes its oldest chunks first, so it needs as many as it keeps in flight.
pub const MAX_CHUNKS_BEGUN: usize = 256;

#[derive(Debug)]
pub(super) struct Landing {
    map: ReceiveMap,
    begun: HashMap<ChunkIndex, Begun>,
}

#[derive(Debug)]
enum Begun {
    Filling(Vec<Slot>),
    Recording,
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Missing,
    Writing,
    Landed(ChunkValue),
}

/// What to do with a range that has arrived and checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Write it, then say [`Landing::landed`] or [`Landing::abandon`].
    Write,
    /// Somebody is at it; ask again when something has changed.
    Wait,
    /// It is there already, with this value.
    Landed,
    /// Its whole chunk is there already.
    Stored,
    /// Too many chunks have begun.
    Full,
}

impl Landing {
    pub(super) fn new(map: ReceiveMap) -> Self {
        Self { map, begun: HashMap::new() }
    }

    pub(super) fn map(&self) -> &ReceiveMap {
        &self.map
    }

    /// Asks for the right to write a range with this value into a chunk of so many ranges.
    pub(super) fn claim(&mut self, place: RangePlace, ranges: u32, value: ChunkValue) -> Claim {
        if self.map.contains(place.chunk) {
            return Claim::Stored;
        }
        if self.begun.len() >= MAX_CHUNKS_BEGUN && !self.begun.contains_key(&place.chunk) {
            return Claim::Full;
        }
        let chunk =
            self.begun.entry(place.chunk).or_insert_with(|| Begun::Filling(vec![Slot::Missing; ranges as usize]));
        let Begun::Filling(slots) = chunk else { return Claim::Wait };
        let slot = &mut slots[place.ordinal as usize];
        match slot {
            Slot::Writing => Claim::Wait,
            Slot::Landed(landed) if *landed == value => Claim::Landed,
            // Other bytes than landed before: the sender's file is not what it was. The later ones count.
            Slot::Landed(_) | Slot::Missing => {
                *slot = Slot::Writing;
                Claim::Write
            }
        }
    }

    /// A claimed range is written. Gives all values of the chunk when that was the last: then record the chunk and say
    /// [`stored`](Self::stored), or [`forget`](Self::forget) it.
    pub(super) fn landed(&mut self, place: RangePlace, value: ChunkValue) -> Option<Vec<ChunkValue>> {
        let chunk = self.begun.get_mut(&place.chunk)?;
        let Begun::Filling(slots) = chunk else { return None };
        slots[place.ordinal as usize] = Slot::Landed(value);
        let values = slots.iter().map(|slot| match slot {
            Slot::Landed(value) => Some(*value),
            Slot::Missing | Slot::Writing => None,
        });
        let values = values.collect::<Option<Vec<_>>>()?;
        *chunk = Begun::Recording;
        Some(values)
    }

    /// The values of the ranges at the start of a chunk that has begun, as far as they have landed without a gap.
    pub(super) fn leading(&self, index: ChunkIndex) -> Vec<ChunkValue> {
        let Some(Begun::Filling(slots)) = self.begun.get(&index) else { return Vec::new() };
        slots.iter().map_while(|slot| if let Slot::Landed(value) = slot { Some(*value) } else { None }).collect()
    }

    /// The first ranges of a chunk of so many are found to have landed before a crash. Not all of them: then the chunk would
    /// have been recorded.
    pub(super) fn restore(&mut self, index: ChunkIndex, ranges: u32, values: &[ChunkValue]) {
        let full = self.begun.len() >= MAX_CHUNKS_BEGUN && !self.begun.contains_key(&index);
        if full || values.is_empty() || values.len() >= ranges as usize || self.map.contains(index) {
            return;
        }
        let chunk = self.begun.entry(index).or_insert_with(|| Begun::Filling(vec![Slot::Missing; ranges as usize]));
        let Begun::Filling(slots) = chunk else { return };
        for (slot, value) in slots.iter_mut().zip(values).filter(|(slot, _)| matches!(slot, Slot::Missing)) {
            *slot = Slot::Landed(*value);
        }
    }

    /// A claimed range could not be written.
    pub(super) fn abandon(&mut self, place: RangePlace) {
        let Some(Begun::Filling(slots)) = self.begun.get_mut(&place.chunk) else { return };
        slots[place.ordinal as usize] = Slot::Missing;
        if slots.iter().all(|slot| matches!(slot, Slot::Missing)) {
            self.begun.remove(&place.chunk);
        }
    }

    /// The chunk is recorded.
    pub(super) fn stored(&mut self, index: ChunkIndex) {
        self.begun.remove(&index);
        self.map.insert(index);
    }

    /// Marks a chunk as stored of which nothing has begun here; `false` when it is stored, or has begun.
    pub(super) fn adopt(&mut self, index: ChunkIndex) -> bool {
        !self.begun.contains_key(&index) && self.map.insert(index)
    }

    /// The chunk is not what it should be, or could not be recorded: all of it is missing again.
    pub(super) fn forget(&mut self, index: ChunkIndex) {
        self.begun.remove(&index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ChunkPlan;

    const MIB: u64 = 1 << 20;

    fn value(byte: u8) -> ChunkValue {
        ChunkValue([byte; 32])
    }

    /// Many chunks of two ranges.
    fn places() -> (ChunkPlan, impl Fn(u64, u64) -> RangePlace) {
        let plan = ChunkPlan::parse(1_000 * MIB, 2 * MIB).unwrap();
        let place = move |chunk, ordinal| plan.range_at((2 * chunk + ordinal) * MIB, MIB).unwrap();
        (plan, place)
    }

    #[test]
    fn a_range_has_one_writer_and_a_chunk_one_recorder() {
        let (plan, place) = places();
        let mut landing = Landing::new(ReceiveMap::new(plan.chunk_count()));
        assert_eq!(landing.claim(place(3, 0), 2, value(1)), Claim::Write);
        assert_eq!(landing.claim(place(3, 0), 2, value(1)), Claim::Wait);
        assert_eq!(landing.claim(place(3, 1), 2, value(2)), Claim::Write, "another range of the chunk");
        assert_eq!(landing.landed(place(3, 0), value(1)), None);
        assert_eq!(landing.claim(place(3, 0), 2, value(1)), Claim::Landed);
        assert_eq!(landing.landed(place(3, 1), value(2)), Some(vec![value(1), value(2)]));
        assert_eq!(landing.claim(place(3, 0), 2, value(1)), Claim::Wait, "the chunk is being recorded");
        landing.stored(ChunkIndex(3));
        assert_eq!(landing.claim(place(3, 0), 2, value(9)), Claim::Stored);
        assert!(landing.map().contains(ChunkIndex(3)) && landing.begun.is_empty());
    }

    #[test]
    fn other_bytes_replace_what_landed_until_the_chunk_is_stored() {
        let (plan, place) = places();
        let mut landing = Landing::new(ReceiveMap::new(plan.chunk_count()));
        landing.claim(place(0, 0), 2, value(1));
        landing.landed(place(0, 0), value(1));
        assert_eq!(landing.claim(place(0, 0), 2, value(8)), Claim::Write);
        landing.claim(place(0, 1), 2, value(2));
        assert_eq!(landing.landed(place(0, 1), value(2)), None, "the first range is being written again");
        assert_eq!(landing.landed(place(0, 0), value(8)), Some(vec![value(8), value(2)]));
        landing.forget(ChunkIndex(0));
        assert_eq!(landing.claim(place(0, 1), 2, value(2)), Claim::Write);
    }

    #[test]
    fn what_was_abandoned_is_missing_and_takes_no_room() {
        let (plan, place) = places();
        let mut landing = Landing::new(ReceiveMap::new(plan.chunk_count()));
        landing.claim(place(0, 0), 2, value(1));
        landing.abandon(place(0, 0));
        assert!(landing.begun.is_empty());
        assert_eq!(landing.claim(place(0, 0), 2, value(1)), Claim::Write);
    }

    #[test]
    fn ranges_from_before_a_crash_count_but_never_make_a_chunk() {
        let plan = ChunkPlan::parse(8 * MIB, 4 * MIB).unwrap();
        let place = |ordinal: u64| plan.range_at(ordinal * MIB, MIB).unwrap();
        let mut landing = Landing::new(ReceiveMap::new(plan.chunk_count()));
        landing.restore(ChunkIndex(0), 4, &[1, 2, 3, 4].map(value));
        assert!(landing.begun.is_empty(), "all ranges and no record: the record failed");
        landing.restore(ChunkIndex(0), 4, &[1, 2].map(value));
        assert_eq!(landing.leading(ChunkIndex(0)), [1, 2].map(value));
        landing.claim(place(3), 4, value(4));
        assert_eq!(landing.landed(place(3), value(4)), None);
        assert_eq!(landing.leading(ChunkIndex(0)), [1, 2].map(value), "a gap ends them");
        landing.claim(place(2), 4, value(3));
        assert_eq!(landing.landed(place(2), value(3)), Some([1, 2, 3, 4].map(value).to_vec()));
        assert!(landing.leading(ChunkIndex(0)).is_empty());
    }

    #[test]
    fn a_peer_that_begins_chunk_after_chunk_is_stopped() {
        let (plan, place) = places();
        let mut landing = Landing::new(ReceiveMap::new(plan.chunk_count()));
        for chunk in 0..MAX_CHUNKS_BEGUN as u64 {
            assert_eq!(landing.claim(place(chunk, 0), 2, value(1)), Claim::Write);
            landing.landed(place(chunk, 0), value(1));
        }
        assert_eq!(landing.claim(place(400, 0), 2, value(1)), Claim::Full);
        assert_eq!(landing.claim(place(7, 1), 2, value(1)), Claim::Write, "what has begun may go on");
        landing.landed(place(7, 1), value(1));
        landing.stored(ChunkIndex(7));
        assert_eq!(landing.claim(place(400, 0), 2, value(1)), Claim::Write);
    }
}
