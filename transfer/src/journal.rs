//! What has landed of one file, so that it is not sent twice: an append-only file beside the content.
//!
//! ```text
//! header      16 bytes   magic "HSJOURNL" · version u32 = 1 · crc32 of the 12 bytes before it
//! record      44 bytes   kind u32 · index u32 · value [u8; 32] · crc32 of the 40 bytes before it
//!   stored      kind 1   index = the chunk · value = its BLAKE3 chaining value
//!   checkpoint  kind 2   index = n: the chunks of the first n records are on the platter · value = zeros
//! ```
//!
//! Numbers are little-endian; the crc is that of zip and PNG (IEEE 802.3). A checkpoint counts the records it covers instead
//! of covering all before it, because chunks go on landing while the platter is written.
//!
//! A reader stops at the first record that is cut short or does not check; what stands before it is kept. Only that a
//! chunk was *recorded* is said here: whoever opens a transfer after a crash hashes again the chunks that no checkpoint
//! covers. A journal that has to lose records is written anew and renamed into place, never shortened, so that no
//! lost record can come back. Records are at most twice as many as chunks: 5.5 MiB for the largest file.

use crate::{map::ReceiveMap, plan::ChunkPlan};
use hypersend_protocol::{hash::ChunkValue, id::ChunkIndex};
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek},
    os::unix::fs::FileExt,
    path::Path,
    sync::{Mutex, PoisonError},
};

const MAGIC: [u8; 8] = *b"HSJOURNL";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;
const RECORD_BYTES: usize = 44;
const KIND_STORED: u32 = 1;
const KIND_CHECKPOINT: u32 = 2;

/// A journal open for appending, from several threads.
#[derive(Debug)]
pub struct Journal {
    file: File,
    records: Mutex<u32>,
}

/// One thing that happened, in the order in which it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A chunk's bytes are in the content file, and hash to this value.
    Stored(ChunkIndex, ChunkValue),
    /// The chunks of this many records, counted from the first, are on the platter.
    Checkpoint(u32),
}

/// What a journal says, as far as it can be read.
#[derive(Debug)]
pub struct Contents {
    /// The recorded chunks' values, by index.
    pub values: Vec<Option<ChunkValue>>,
    /// Those of them that the last checkpoint covers: on the platter, whatever happened since.
    pub settled: ReceiveMap,
    /// Whether something unreadable stands after the last good record.
    pub torn: bool,
    records: u32,
}

/// The journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk refused.
    #[error("read the journal")]
    Io(#[from] io::Error),
    /// Written by a later version of this program.
    #[error("the journal has format {0}, and this program knows format {VERSION}; use a newer one")]
    Version(u32),
}

impl Journal {
    /// Starts an empty journal in a file that is made, or emptied if there is one.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::create_with(path, std::iter::empty())
    }

    /// Starts a journal that already holds some records. Nothing is flushed.
    pub fn create_with(path: &Path, records: impl Iterator<Item = Record>) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        let mut bytes = header().to_vec();
        records.for_each(|record| bytes.extend_from_slice(&record.encode()));
        file.write_all_at(&bytes, 0)?;
        let count = (bytes.len() - HEADER_BYTES) / RECORD_BYTES;
        Ok(Self { file, records: Mutex::new(u32::try_from(count).expect("at most two records for each chunk")) })
    }

    /// Opens a journal and reads it. Appending is only sound when [`Contents::torn`] is false. A header that does not
    /// check makes an empty, torn journal: nothing after it can be believed.
    pub fn open(path: &Path, plan: &ChunkPlan) -> Result<(Self, Contents), JournalError> {
        let file = File::options().read(true).write(true).open(path)?;
        let contents = read(&file, plan)?;
        let records = Mutex::new(contents.records);
        Ok((Self { file, records }, contents))
    }

    /// Reads the journal again from its start.
    pub fn contents(&self, plan: &ChunkPlan) -> Result<Contents, JournalError> {
        read(&self.file, plan)
    }

    /// Adds a record; once it returns, the record survives the death of this process. A record that could not be written
    /// whole is overwritten by the next one.
    pub fn append(&self, record: Record) -> io::Result<()> {
        let bytes = record.encode();
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        self.file.write_all_at(&bytes, HEADER_BYTES as u64 + u64::from(*records) * RECORD_BYTES as u64)?;
        *records += 1;
        Ok(())
    }

    /// How many records there are.
    pub fn records(&self) -> u32 {
        *self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts every record on the platter. Others go on appending meanwhile.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl Record {
    fn encode(self) -> [u8; RECORD_BYTES] {
        let (kind, index, value) = match self {
            Self::Stored(index, value) => (KIND_STORED, index.0, value.0),
            Self::Checkpoint(covers) => (KIND_CHECKPOINT, covers, [0; 32]),
        };
        let mut bytes = [0; RECORD_BYTES];
        bytes[..4].copy_from_slice(&kind.to_le_bytes());
        bytes[4..8].copy_from_slice(&index.to_le_bytes());
        bytes[8..40].copy_from_slice(&value);
        let sum = crc32fast::hash(&bytes[..40]);
        bytes[40..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        if crc32fast::hash(&bytes[..40]) != number(&bytes[40..]) {
            return None;
        }
        let index = number(&bytes[4..8]);
        match number(&bytes[..4]) {
            KIND_STORED => {
                let value = bytes[8..40].try_into().expect("32 bytes");
                Some(Self::Stored(ChunkIndex(index), ChunkValue(value)))
            }
            KIND_CHECKPOINT => Some(Self::Checkpoint(index)),
            _ => None,
        }
    }
}

fn header() -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let sum = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

fn read(mut file: &File, plan: &ChunkPlan) -> Result<Contents, JournalError> {
    let count = plan.chunk_count();
    let mut contents =
        Contents { values: vec![None; count as usize], settled: ReceiveMap::new(count), torn: true, records: 0 };
    let Some(body) = file.metadata()?.len().checked_sub(HEADER_BYTES as u64) else { return Ok(contents) };

    file.rewind()?;
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let mut head = [0; HEADER_BYTES];
    reader.read_exact(&mut head)?;
    if head[..8] != MAGIC || crc32fast::hash(&head[..12]) != number(&head[12..]) {
        return Ok(contents);
    }
    if number(&head[8..12]) != VERSION {
        return Err(JournalError::Version(number(&head[8..12])));
    }

    // The chunk of each record, so that a checkpoint's count can be resolved; none for a checkpoint itself.
    let mut chunks: Vec<Option<ChunkIndex>> = Vec::new();
    let mut covered = 0;
    let whole = body / RECORD_BYTES as u64;
    let mut bytes = [0; RECORD_BYTES];
    while (chunks.len() as u64) < whole {
        reader.read_exact(&mut bytes)?;
        match Record::decode(&bytes) {
            Some(Record::Stored(index, value)) if index.0 < count => {
                contents.values[index.0 as usize] = Some(value);
                chunks.push(Some(index));
            }
            Some(Record::Checkpoint(covers)) if covers as usize <= chunks.len() => {
                covered = covers as usize;
                chunks.push(None);
            }
            _ => break,
        }
    }
    chunks[..covered].iter().flatten().for_each(|&index| {
        contents.settled.insert(index);
    });
    contents.torn = chunks.len() as u64 != whole || body % RECORD_BYTES as u64 != 0;
    contents.records = u32::try_from(chunks.len()).expect("at most two records for each chunk");
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const MIB: u64 = 1 << 20;

    fn plan(chunks: u64) -> ChunkPlan {
        ChunkPlan::for_size(chunks * MIB).unwrap()
    }

    fn value(byte: u8) -> ChunkValue {
        ChunkValue([byte; 32])
    }

    fn stored(index: u32) -> Record {
        Record::Stored(ChunkIndex(index), value(index.to_le_bytes()[0]))
    }

    fn chunks(contents: &Contents) -> Vec<u32> {
        (0..).zip(&contents.values).filter_map(|(i, value)| value.map(|_| i)).collect()
    }

    fn settled(contents: &Contents) -> Vec<u32> {
        (0..contents.settled.count()).filter(|&i| contents.settled.contains(ChunkIndex(i))).collect()
    }

    /// Changes here break every transfer under way: a new layout needs a new version.
    #[test]
    fn the_layout_is_pinned() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let journal = Journal::create(&path).unwrap();
        journal.append(Record::Stored(ChunkIndex(0x0102), value(0xab))).unwrap();
        journal.append(Record::Checkpoint(1)).unwrap();
        let written = fs::read(&path).unwrap();
        let expected = [
            "48534a4f55524e4c01000000",
            "f65b349d",
            "0100000002010000",
            &"ab".repeat(32),
            "f08926b8",
            "0200000001000000",
            &"00".repeat(32),
            "ebcb64f9",
        ];
        let expected = expected.concat();
        let byte = |at| u8::from_str_radix(&expected[at..at + 2], 16).unwrap();
        assert_eq!(written, (0..expected.len()).step_by(2).map(byte).collect::<Vec<_>>());
    }

    #[test]
    fn a_checkpoint_covers_what_it_counts_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let journal = Journal::create(&path).unwrap();
        for record in [stored(3), stored(1), stored(4), Record::Checkpoint(2), stored(0), Record::Checkpoint(3)] {
            journal.append(record).unwrap();
        }
        let (journal, contents) = Journal::open(&path, &plan(5)).unwrap();
        assert_eq!((chunks(&contents), settled(&contents)), (vec![0, 1, 3, 4], vec![1, 3, 4]));
        assert!(!contents.torn);
        assert_eq!(journal.records(), 6);
        journal.append(stored(2)).unwrap();
        assert_eq!(chunks(&journal.contents(&plan(5)).unwrap()), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_tail_cut_at_any_byte_costs_only_what_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let records = [stored(0), Record::Checkpoint(1), stored(1), stored(2)];
        Journal::create_with(&path, records.into_iter()).unwrap();
        let bytes = fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            let (_, contents) = Journal::open(&path, &plan(3)).unwrap();
            let whole = length.saturating_sub(HEADER_BYTES) / RECORD_BYTES;
            let expected: Vec<_> = [0, 1, 2].into_iter().take(whole - whole.min(2) / 2).collect();
            assert_eq!(chunks(&contents), expected, "cut at {length}");
            assert_eq!(settled(&contents).len(), usize::from(whole >= 2), "cut at {length}");
            let at_a_boundary = length.checked_sub(HEADER_BYTES).is_some_and(|body| body.is_multiple_of(RECORD_BYTES));
            assert_eq!(contents.torn, !at_a_boundary, "cut at {length}");
        }
    }

    #[test]
    fn a_flipped_bit_ends_the_journal_before_its_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        Journal::create_with(&path, (0..4).map(stored)).unwrap();
        let bytes = fs::read(&path).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &flipped).unwrap();
            let (_, contents) = Journal::open(&path, &plan(4)).unwrap();
            let kept = (bit / 8).saturating_sub(HEADER_BYTES) / RECORD_BYTES;
            assert_eq!(chunks(&contents).len(), kept, "bit {bit}");
            assert!(contents.torn);
        }
    }

    #[test]
    fn records_that_make_no_sense_for_the_file_end_the_journal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        for nonsense in [stored(2), Record::Checkpoint(2)] {
            Journal::create_with(&path, [stored(1), nonsense, stored(0)].into_iter()).unwrap();
            let (_, contents) = Journal::open(&path, &plan(2)).unwrap();
            assert_eq!((chunks(&contents), contents.torn), (vec![1], true));
        }
    }

    #[test]
    fn a_later_format_is_refused_not_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut bytes = header();
        bytes[8] = 2;
        let sum = crc32fast::hash(&bytes[..12]);
        bytes[12..].copy_from_slice(&sum.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        assert!(matches!(Journal::open(&path, &plan(1)), Err(JournalError::Version(2))));
    }
}
