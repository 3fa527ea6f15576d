//! Events in, wishes out.

use super::{
    path::{Path, PathId},
    queue::Queue,
};
use crate::{map::ReceiveMap, plan::ChunkPlan};
use hypersend_protocol::id::ChunkIndex;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Decides for one file. Memory: one bit for each chunk, and an entry for each chunk in flight or failed.
#[derive(Debug)]
pub struct Schedule {
    plan: ChunkPlan,
    config: ScheduleConfig,
    stored: ReceiveMap,
    wanted: BTreeMap<ChunkIndex, PathId>,
    queue: Queue,
    paths: BTreeMap<PathId, Path>,
    told_to_wake: Option<Instant>,
    told_finished: bool,
}

/// How much may be under way.
#[derive(Clone, Copy, Debug)]
pub struct ScheduleConfig {
    /// Bytes in flight that a path may always have. 8 MiB: the product of 200 Mbit/s and 300 ms, with room. Memory at the
    /// sender while the path is busy.
    pub floor: u64,
    /// Bytes in flight that a path never exceeds, but for one chunk larger than that. 16 MiB. Set it to half the
    /// connection's send window, so that chat always finds room in the other half.
    pub ceiling: u64,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self { floor: 8 << 20, ceiling: 16 << 20 }
    }
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A path can carry chunks.
    PathUp(PathId),
    /// A path is gone, with what was in flight on it.
    PathDown(PathId),
    /// A round trip was measured on a path.
    RoundTrip(PathId, Duration),
    /// The receiver has a chunk. Counts whenever it comes, also after its path was given up.
    Stored(ChunkIndex),
    /// A chunk did not arrive, or was refused.
    Failed(ChunkIndex),
}

/// Something to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Send a chunk on a path.
    Send {
        /// Which chunk.
        chunk: ChunkIndex,
        /// Where.
        path: PathId,
    },
    /// Poll again at this moment, if nothing happens before it. Takes the place of an earlier one.
    WakeAt(Instant),
    /// Everything is stored. Said once.
    Finished,
}

/// What a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkState {
    /// To be sent.
    Missing,
    /// In flight on a path.
    Wanted(PathId),
    /// At the receiver.
    Stored,
}

impl Schedule {
    /// A schedule for what a receiver does not have yet.
    ///
    /// # Panics
    /// When the map is that of another number of chunks.
    pub fn new(plan: ChunkPlan, stored: &ReceiveMap, config: ScheduleConfig) -> Self {
        assert_eq!(plan.chunk_count(), stored.count(), "the map belongs to the plan");
        Self {
            plan,
            config,
            stored: stored.clone(),
            wanted: BTreeMap::new(),
            queue: Queue::new(),
            paths: BTreeMap::new(),
            told_to_wake: None,
            told_finished: false,
        }
    }

    /// Takes note of something that happened. What does not concern a known path, or a chunk of the file, is ignored.
    pub fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::PathUp(id) => {
                self.paths.entry(id).or_insert_with(|| Path::new(now));
            }
            Event::PathDown(id) => self.path_down(id),
            Event::RoundTrip(id, sample) => {
                if let Some(path) = self.paths.get_mut(&id) {
                    path.round_trip(now, sample);
                }
            }
            Event::Stored(index) => self.stored(now, index),
            Event::Failed(index) => {
                if self.land(index).is_some() {
                    self.queue.failed(now, index);
                }
            }
        }
    }

    /// The next thing to do; `None` until something happens.
    pub fn poll(&mut self, now: Instant) -> Option<Wish> {
        if self.stored.is_full() {
            let first = !self.told_finished;
            self.told_finished = true;
            return first.then_some(Wish::Finished);
        }
        if self.paths.is_empty() {
            return None;
        }
        match self.queue.peek(now, &self.stored) {
            Some(chunk) => self.send(now, chunk),
            None => self.wake(),
        }
    }

    /// Bytes at the receiver.
    pub fn stored_bytes(&self) -> u64 {
        let full = u64::from(self.stored.stored()) * self.plan.chunk_size();
        let last = ChunkIndex(self.plan.chunk_count().saturating_sub(1));
        let short_of_full = self.plan.chunk_size() - self.length(last);
        if self.stored.contains(last) { full - short_of_full } else { full }
    }

    /// Bytes on their way.
    pub fn in_flight_bytes(&self) -> u64 {
        self.paths.values().map(|path| path.in_flight).sum()
    }

    /// What a chunk is at this moment.
    pub fn chunk(&self, index: ChunkIndex) -> ChunkState {
        match self.wanted.get(&index) {
            _ if self.stored.contains(index) => ChunkState::Stored,
            Some(path) => ChunkState::Wanted(*path),
            None => ChunkState::Missing,
        }
    }

    fn send(&mut self, now: Instant, chunk: ChunkIndex) -> Option<Wish> {
        let bytes = self.length(chunk);
        let ScheduleConfig { floor, ceiling } = self.config;
        let has_room = |path: &Path| path.in_flight == 0 || path.in_flight + bytes <= path.cap(now, floor, ceiling);
        let free = self.paths.iter_mut().filter(|(_, path)| has_room(path));
        let (&id, path) = free.min_by_key(|(_, path)| path.delay(now, bytes))?;
        path.in_flight += bytes;
        self.queue.take(chunk);
        self.wanted.insert(chunk, id);
        Some(Wish::Send { chunk, path: id })
    }

    fn wake(&mut self) -> Option<Wish> {
        let due = self.queue.next_due();
        if due == self.told_to_wake {
            return None;
        }
        self.told_to_wake = due;
        due.map(Wish::WakeAt)
    }

    fn stored(&mut self, now: Instant, index: ChunkIndex) {
        let bytes = self.length(index);
        if let Some(path) = self.land(index) {
            path.delivered(now, bytes);
        }
        if self.stored.insert(index) {
            self.queue.stored(index);
        }
    }

    fn path_down(&mut self, id: PathId) {
        if self.paths.remove(&id).is_none() {
            return;
        }
        let queue = &mut self.queue;
        self.wanted.retain(|&index, path| {
            if *path == id {
                queue.put_back(index);
            }
            *path != id
        });
    }

    /// Takes a chunk out of flight; `None` when it was not in flight.
    fn land(&mut self, index: ChunkIndex) -> Option<&mut Path> {
        let id = self.wanted.remove(&index)?;
        let bytes = self.length(index);
        let path = self.paths.get_mut(&id).expect("a path that goes down takes its chunks out of flight");
        path.in_flight -= bytes;
        Some(path)
    }

    fn length(&self, index: ChunkIndex) -> u64 {
        self.plan.chunk(index).map_or(0, |chunk| chunk.length.into())
    }
}
