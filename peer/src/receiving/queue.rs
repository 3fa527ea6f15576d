//! What is asked for next: entries in order, small files together, large files range by range. No I/O.

use crate::listing::Listing;
use hypersend_protocol::{
    id::ChunkIndex,
    limit::{MAX_RANGE_LENGTH, MAX_SMALL_FILES},
};
use hypersend_transfer::{
    map::ReceiveMap,
    plan::{ChunkPlan, Span},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// What a small file counts besides its bytes: its frame, and what it costs to create.
const SMALL_COST: u64 = 4 << 10;

/// What completing a large file counts: it takes a thread and two open files while the disk is flushed, so that at most some
/// hundred do at once, and the network waits for a disk that is slower.
const COMPLETE_COST: u64 = 256 << 10;

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// One range of a file that has been begun.
    Piece { entry: u32, span: Span },
    /// Whole files: their numbers and lengths.
    Small(Vec<(u32, u32)>),
    /// All ranges of a file are there.
    Complete { entry: u32 },
}

impl Job {
    /// How much of the window it takes.
    pub(super) fn cost(&self) -> u64 {
        match self {
            Self::Piece { span, .. } => span.length.into(),
            Self::Small(files) => files.iter().map(|&(_, length)| u64::from(length) + SMALL_COST).sum(),
            Self::Complete { .. } => COMPLETE_COST,
        }
    }
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Job(Job),
    /// A file of several ranges has to be begun first; see [`Queue::begun`].
    Begin(u32),
    /// Everything was given out.
    Nothing,
}

/// Gives every missing byte out once.
#[derive(Debug)]
pub(super) struct Queue {
    listing: Arc<Listing>,
    done: Vec<bool>,
    /// Every entry before it is done or was given out.
    next: u32,
    cursor: Option<Cursor>,
    /// Ranges of begun files that have not landed.
    missing: HashMap<u32, u64>,
    complete: VecDeque<u32>,
}

/// Where in a file of several ranges the queue is.
#[derive(Debug)]
struct Cursor {
    entry: u32,
    plan: ChunkPlan,
    map: ReceiveMap,
    chunk: ChunkIndex,
    /// Ranges of that chunk, from the last.
    ranges: Vec<Span>,
}

impl Queue {
    pub(super) fn new(listing: Arc<Listing>, done: Vec<bool>) -> Self {
        Self { listing, done, next: 0, cursor: None, missing: HashMap::new(), complete: VecDeque::new() }
    }

    pub(super) fn next(&mut self) -> Next {
        if let Some(entry) = self.complete.pop_front() {
            return Next::Job(Job::Complete { entry });
        }
        if let Some(cursor) = &mut self.cursor {
            if let Some(span) = cursor.next() {
                return Next::Job(Job::Piece { entry: cursor.entry, span });
            }
            self.cursor = None;
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(entry) = self.listing.get(self.next) {
            if entry.folder || self.done[self.next as usize] {
                self.next += 1;
                continue;
            }
            let small = u32::try_from(entry.size).ok().filter(|&size| size <= MAX_RANGE_LENGTH);
            match small {
                Some(length) if batch.len() < MAX_SMALL_FILES && bytes + length <= MAX_RANGE_LENGTH => {
                    bytes += length;
                    batch.push((self.next, length));
                    self.next += 1;
                }
                None if batch.is_empty() => {
                    self.next += 1;
                    return Next::Begin(self.next - 1);
                }
                _ => break,
            }
        }
        if batch.is_empty() { Next::Nothing } else { Next::Job(Job::Small(batch)) }
    }

    /// The file of [`Next::Begin`] is open, with these chunks stored.
    pub(super) fn begun(&mut self, entry: u32, plan: ChunkPlan, map: ReceiveMap) {
        let missing = map.missing().map(|chunk| u64::from(plan.range_count(chunk))).sum();
        if missing == 0 {
            self.complete.push_back(entry);
            return;
        }
        self.missing.insert(entry, missing);
        self.cursor = Some(Cursor { entry, plan, map, chunk: ChunkIndex(0), ranges: vec![] });
    }

    /// A job is done.
    pub(super) fn done(&mut self, job: &Job) {
        let Job::Piece { entry, .. } = job else { return };
        let missing = self.missing.get_mut(entry).expect("a piece was given out of a begun file");
        *missing -= 1;
        if *missing == 0 {
            self.missing.remove(entry);
            self.complete.push_back(*entry);
        }
    }
}

impl Cursor {
    fn next(&mut self) -> Option<Span> {
        if self.ranges.is_empty() {
            let chunk = self.map.next_missing(self.chunk)?;
            self.ranges = self.plan.ranges(chunk).collect();
            self.ranges.reverse();
            self.chunk = chunk.next();
        }
        self.ranges.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::{Builder, Entry};
    use hypersend_protocol::{hash::EntryKey, time::UnixMillis};

    const MIB: u64 = 1 << 20;

    fn queue(sizes: &[u64], done: &[usize]) -> Queue {
        let mut builder = Builder::new();
        let folder = Entry {
            name: "d",
            parent: None,
            folder: true,
            size: 0,
            modified: UnixMillis(0),
            executable: false,
            key: EntryKey([0; 32]),
        };
        builder.push(folder).unwrap();
        for (number, &size) in sizes.iter().enumerate() {
            let name = format!("{number:06}");
            builder.push(Entry { name: &name, parent: Some(0), folder: false, size, ..folder }).unwrap();
        }
        let mut flags = vec![false; sizes.len() + 1];
        for &entry in done {
            flags[entry] = true;
        }
        Queue::new(Arc::new(builder.finish()), flags)
    }

    #[test]
    fn small_files_travel_together_within_one_range() {
        let mut queue = queue(&[10_000; 300], &[1, 7]);
        let Next::Job(Job::Small(first)) = queue.next() else { panic!("a batch") };
        assert_eq!(first.len(), 104, "as many as fit into a MiB");
        assert_eq!((first[0], first[5]), ((2, 10_000), (8, 10_000)));
        let mut files = first.len();
        while let Next::Job(Job::Small(batch)) = queue.next() {
            files += batch.len();
        }
        assert_eq!(files, 298);
        assert_eq!(queue.next(), Next::Nothing);
    }

    #[test]
    fn empty_files_are_bounded_by_number_and_a_full_range_goes_alone() {
        let mut sizes = vec![0; 257];
        sizes.push(MIB);
        let mut queue = queue(&sizes, &[]);
        let mut lengths = Vec::new();
        while let Next::Job(Job::Small(batch)) = queue.next() {
            lengths.push(batch.len());
        }
        assert_eq!(lengths, [256, 2]);
    }

    /// 70 GiB: chunks of two ranges. Only numbers, no bytes.
    #[test]
    fn a_file_with_chunks_of_several_ranges_is_asked_for_range_by_range() {
        let size = 70 << 30;
        let mut queue = queue(&[10, size], &[]);
        assert!(matches!(queue.next(), Next::Job(Job::Small(_))));
        assert_eq!(queue.next(), Next::Begin(2));
        let plan = ChunkPlan::for_size(size).unwrap();
        assert_eq!(plan.chunk_size(), 2 * MIB);
        let mut map = ReceiveMap::new(plan.chunk_count());
        map.insert(ChunkIndex(0));
        map.insert(ChunkIndex(5));
        queue.begun(2, plan, map);
        let mut pieces = Vec::new();
        while let Next::Job(job) = queue.next() {
            pieces.push(job);
        }
        assert_eq!(pieces.len() as u64, size / MIB - 4);
        assert_eq!(pieces[0], Job::Piece { entry: 2, span: Span { offset: 2 * MIB, length: 1 << 20 } });
        let (last, others) = pieces.split_last().unwrap();
        for job in others {
            queue.done(job);
        }
        assert_eq!(queue.next(), Next::Nothing);
        queue.done(last);
        assert_eq!(queue.next(), Next::Job(Job::Complete { entry: 2 }));
        assert_eq!(queue.next(), Next::Nothing);
    }

    #[test]
    fn a_file_that_is_all_there_only_has_to_be_completed() {
        let mut queue = queue(&[5 * MIB], &[]);
        assert_eq!(queue.next(), Next::Begin(1));
        queue.begun(1, ChunkPlan::for_size(5 * MIB).unwrap(), ReceiveMap::full(5));
        assert_eq!(queue.next(), Next::Job(Job::Complete { entry: 1 }));
        assert_eq!(queue.next(), Next::Nothing);
    }
}
