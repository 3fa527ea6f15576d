//! The file: JSON lines. The first says what it is, the last how many records of each kind there are and the BLAKE3 hash of
//! everything before it; a file without that line has been cut short.

use super::{ArchiveError, Counts, record::Record};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Read, Write};

/// The version of the format that this program writes and reads.
const VERSION: u32 = 1;

/// The longest line that is read: far more than a chat of [`MAX_MEMBERS`](hypersend_protocol::limit::MAX_MEMBERS).
const MAX_LINE: u64 = 16 << 20;

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    hypersend_archive: u32,
}

/// The last line.
#[derive(Serialize, Deserialize)]
struct Closing {
    end: End,
}

#[derive(Serialize, Deserialize)]
struct End {
    counts: Counts,
    blake3: String,
}

/// How the last line begins, and no other.
const CLOSING: &[u8] = b"{\"end\":";

/// Writes an archive.
pub(super) struct Writer<W> {
    out: W,
    hasher: blake3::Hasher,
    counts: Counts,
    line: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins one.
    pub(super) fn begin(out: W) -> std::io::Result<Self> {
        let mut writer = Self { out, hasher: blake3::Hasher::new(), counts: Counts::new(), line: Vec::new() };
        writer.write(&Head { hypersend_archive: VERSION })?;
        Ok(writer)
    }

    /// Adds a record.
    pub(super) fn put(&mut self, record: &Record) -> std::io::Result<()> {
        count(&mut self.counts, record);
        self.write(record)
    }

    /// Writes the last line, without which it is no archive.
    pub(super) fn finish(mut self) -> std::io::Result<(W, Counts)> {
        let blake3 = self.hasher.finalize().to_hex().to_string();
        let counts = std::mem::take(&mut self.counts);
        self.write(&Closing { end: End { counts: counts.clone(), blake3 } })?;
        self.out.flush()?;
        Ok((self.out, counts))
    }

    fn write(&mut self, line: &impl Serialize) -> std::io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.hasher.update(&self.line);
        self.out.write_all(&self.line)
    }
}

/// Reads an archive.
pub(super) struct Reader<R> {
    input: R,
    hasher: blake3::Hasher,
    counts: Counts,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Reader<R> {
    /// Begins to read one.
    pub(super) fn begin(input: R) -> Result<Self, ArchiveError> {
        let mut reader =
            Self { input, hasher: blake3::Hasher::new(), counts: Counts::new(), line: Vec::new(), number: 0 };
        reader.read()?;
        let head: Head = serde_json::from_slice(&reader.line).map_err(|_| ArchiveError::NoArchive)?;
        if head.hypersend_archive != VERSION {
            return Err(ArchiveError::Version { found: head.hypersend_archive, known: VERSION });
        }
        reader.hasher.update(&reader.line);
        Ok(reader)
    }

    /// The next record; none when all of them have been read, and are what was written.
    pub(super) fn next(&mut self) -> Result<Option<Record>, ArchiveError> {
        self.read()?;
        if self.line.starts_with(CLOSING) {
            return self.close().map(|()| None);
        }
        let record = serde_json::from_slice(&self.line).map_err(|error| self.damaged(&error))?;
        self.hasher.update(&self.line);
        count(&mut self.counts, &record);
        Ok(Some(record))
    }

    /// How many records of each kind there have been.
    pub(super) fn counts(self) -> Counts {
        self.counts
    }

    fn close(&mut self) -> Result<(), ArchiveError> {
        let Closing { end } = serde_json::from_slice(&self.line).map_err(|error| self.damaged(&error))?;
        if end.counts != self.counts || end.blake3 != self.hasher.finalize().to_hex().as_str() {
            return Err(ArchiveError::Altered);
        }
        match self.read() {
            Err(ArchiveError::CutShort) if self.line.is_empty() => Ok(()),
            Err(error @ ArchiveError::Read(_)) => Err(error),
            _ => Err(ArchiveError::Altered),
        }
    }

    /// Reads a whole line.
    fn read(&mut self) -> Result<(), ArchiveError> {
        self.line.clear();
        self.number += 1;
        self.input.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.line).map_err(ArchiveError::Read)?;
        if self.line.ends_with(b"\n") { Ok(()) } else { Err(ArchiveError::CutShort) }
    }

    fn damaged(&self, error: &serde_json::Error) -> ArchiveError {
        ArchiveError::Damaged { line: self.number, reason: error.to_string() }
    }
}

fn count(counts: &mut Counts, record: &Record) {
    match counts.get_mut(record.kind()) {
        Some(count) => *count += 1,
        None => drop(counts.insert(record.kind().to_owned(), 1)),
    }
}
