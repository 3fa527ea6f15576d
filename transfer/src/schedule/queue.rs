//! Which missing chunk is next: first those that came back, then those that failed and have waited, then new ones in order.

use crate::map::ReceiveMap;
use hypersend_protocol::id::ChunkIndex;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// How long a chunk waits after its first failure; twice as long after each further one.
pub const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest wait between two attempts.
pub const LAST_RETRY: Duration = Duration::from_secs(10);
/// Failed chunks that may wait at once; while there are so many, no new chunk is begun. When everything fails, sending more
/// of it helps nobody.
pub const MAX_RETRIES_WAITING: usize = 256;

#[derive(Debug)]
pub(super) struct Queue {
    /// Every chunk before it is stored, in flight, or in one of the other fields.
    next_new: ChunkIndex,
    front: BTreeSet<ChunkIndex>,
    waiting: BTreeSet<(Instant, ChunkIndex)>,
    /// How often each chunk that is not stored has failed.
    failures: BTreeMap<ChunkIndex, u32>,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { next_new: ChunkIndex(0), front: BTreeSet::new(), waiting: BTreeSet::new(), failures: BTreeMap::new() }
    }

    /// The chunk to send next, without taking it.
    pub(super) fn peek(&mut self, now: Instant, stored: &ReceiveMap) -> Option<ChunkIndex> {
        while let Some(&(due, index)) = self.waiting.first().filter(|(due, _)| *due <= now) {
            self.waiting.remove(&(due, index));
            self.front.insert(index);
        }
        if let Some(&index) = self.front.first() {
            return Some(index);
        }
        if self.waiting.len() >= MAX_RETRIES_WAITING {
            return None;
        }
        let new = stored.next_missing(self.next_new)?;
        self.next_new = new;
        Some(new)
    }

    /// Takes the chunk that [`peek`](Self::peek) gave.
    pub(super) fn take(&mut self, index: ChunkIndex) {
        if !self.front.remove(&index) {
            self.next_new = index.next();
        }
    }

    /// When the first waiting chunk may go again.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// A chunk was in flight on a path that is gone. Not its fault: it goes first.
    pub(super) fn put_back(&mut self, index: ChunkIndex) {
        self.front.insert(index);
    }

    pub(super) fn failed(&mut self, now: Instant, index: ChunkIndex) {
        let failures = self.failures.entry(index).or_default();
        let wait = FIRST_RETRY.saturating_mul(1 << (*failures).min(10)).min(LAST_RETRY);
        *failures += 1;
        self.waiting.insert((now + wait, index));
    }

    pub(super) fn stored(&mut self, index: ChunkIndex) {
        self.failures.remove(&index);
        self.front.remove(&index);
        // Only when an answer comes after its path was given up can a waiting chunk be stored.
        self.waiting.retain(|(_, waiting)| *waiting != index);
    }
}
