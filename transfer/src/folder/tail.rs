//! What has come of a range that is not whole yet, for senders that may stop at any byte.
//!
//! ```text
//! header   magic "HSTAIL\0\0" · version u32 = 1 · chunk u32 · count u32 · value [u8; 32] of each · crc32 of all before it
//! record   length u32 · crc32 of the length and the bytes · the bytes
//! ```
//!
//! Numbers are little-endian, the crc is the journal's. The values are those of the first `count` ranges of the chunk, which
//! are in the content but make no chunk yet; the records' bytes follow on them. The file is appended to until a range is
//! whole, and written anew and renamed into place for the next one. A reader stops at the first record that is cut short or
//! does not check. Once its chunk is stored, by whichever way, it is of no account.

use super::{TAIL, disk::replace, store::write_parts};
use crate::{plan::Span, read::read_span};
use bytes::{Buf, Bytes};
use hypersend_protocol::{hash::ChunkValue, id::ChunkIndex, limit::MAX_RANGE_LENGTH};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

const MAGIC: [u8; 8] = *b"HSTAIL\0\0";
const VERSION: u32 = 1;
const FIXED_BYTES: usize = 20;
const VALUE_BYTES: usize = 32;
const SUM_BYTES: usize = 4;
const RECORD_HEADER_BYTES: usize = 8;

/// The longest tail, in bytes: a range, and as much again for the headers of records that hold a byte each. It is written
/// anew, as one record, before it grows beyond.
const MAX_TAIL_BYTES: u64 = 2 * MAX_RANGE_LENGTH as u64;

/// How far one sender has come inside a chunk, and the bytes of it that are in no other file. At most one at a time is
/// opened of a folder.
#[derive(Debug, Default)]
pub struct Tail(pub(super) Option<Kept>);

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) chunk: ChunkIndex,
    /// Of the ranges that are in the content.
    pub(super) values: Vec<ChunkValue>,
    /// Bytes of the range after them.
    pub(super) gathered: u32,
    file: File,
    /// Where the next record goes.
    end: u64,
}

impl Kept {
    /// What an earlier process has left, or none that can be read.
    pub(super) fn read(dir: &Path) -> io::Result<Option<Self>> {
        let path = dir.join(TAIL);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => Bytes::from(bytes?),
        };
        let Some((chunk, values)) = read_header(&bytes) else { return Ok(None) };
        let header = header_bytes(values.len());
        let parts = records(bytes.slice(header..));
        let gathered =
            parts.iter().map(|part| u32::try_from(part.len()).unwrap_or(u32::MAX)).fold(0, u32::saturating_add);
        let end = (header + parts.iter().map(|part| RECORD_HEADER_BYTES + part.len()).sum::<usize>()) as u64;
        let file = File::options().read(true).write(true).open(path)?;
        Ok(Some(Self { chunk, values, gathered, file, end }))
    }

    /// A tail of the bytes that follow on some ranges of a chunk, in place of any other.
    pub(super) fn begin(dir: &Path, chunk: ChunkIndex, values: Vec<ChunkValue>, parts: &[Bytes]) -> io::Result<Self> {
        let gathered = length(parts);
        let mut bytes = header(chunk, &values);
        if gathered > 0 {
            bytes.extend_from_slice(&record_header(gathered, parts));
            bytes.extend_from_slice(&parts.concat());
        }
        replace(dir, TAIL, &bytes, false)?;
        let file = File::options().read(true).write(true).open(dir.join(TAIL))?;
        Ok(Self { chunk, values, gathered, file, end: bytes.len() as u64 })
    }

    /// Adds bytes of the same range; once it returns, they survive the death of this process. A record that could not be
    /// written whole is overwritten by the next one.
    pub(super) fn add(&mut self, dir: &Path, parts: &[Bytes]) -> io::Result<()> {
        let more = length(parts);
        if self.end + RECORD_HEADER_BYTES as u64 + u64::from(more) > MAX_TAIL_BYTES {
            let whole: Vec<_> = self.bytes()?.into_iter().chain(parts.iter().cloned()).collect();
            *self = Self::begin(dir, self.chunk, std::mem::take(&mut self.values), &whole)?;
            return Ok(());
        }
        self.file.write_all_at(&record_header(more, parts), self.end)?;
        write_parts(&self.file, self.end + RECORD_HEADER_BYTES as u64, parts)?;
        self.end += RECORD_HEADER_BYTES as u64 + u64::from(more);
        self.gathered += more;
        Ok(())
    }

    /// The bytes gathered, read back.
    pub(super) fn bytes(&self) -> io::Result<Vec<Bytes>> {
        let offset = header_bytes(self.values.len()) as u64;
        let length = u32::try_from(self.end - offset).expect("no longer than MAX_TAIL_BYTES");
        let parts = records(read_span(&self.file, Span { offset, length })?);
        if parts.iter().map(Bytes::len).sum::<usize>() != self.gathered as usize {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the tail is not what was written"));
        }
        Ok(parts)
    }
}

fn length(parts: &[Bytes]) -> u32 {
    u32::try_from(parts.iter().map(Bytes::len).sum::<usize>()).expect("no more than a range")
}

fn header_bytes(values: usize) -> usize {
    FIXED_BYTES + values * VALUE_BYTES + SUM_BYTES
}

fn header(chunk: ChunkIndex, values: &[ChunkValue]) -> Vec<u8> {
    let count = u32::try_from(values.len()).expect("a chunk has 256 ranges at most");
    let mut bytes = MAGIC.to_vec();
    bytes.extend([VERSION, chunk.0, count].iter().flat_map(|number| number.to_le_bytes()));
    bytes.extend(values.iter().flat_map(|value| value.0));
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

fn read_header(bytes: &Bytes) -> Option<(ChunkIndex, Vec<ChunkValue>)> {
    let mut fixed = bytes.get(..FIXED_BYTES)?;
    if fixed[..8] != MAGIC {
        return None;
    }
    fixed.advance(8);
    let (version, chunk, count) = (fixed.get_u32_le(), fixed.get_u32_le(), fixed.get_u32_le());
    let summed = bytes.get(..FIXED_BYTES.checked_add(usize::try_from(count).ok()?.checked_mul(VALUE_BYTES)?)?)?;
    let mut sum = bytes.get(summed.len()..summed.len() + SUM_BYTES)?;
    if version != VERSION || sum.get_u32_le() != crc32fast::hash(summed) {
        return None;
    }
    let values = summed[FIXED_BYTES..].as_chunks().0;
    Some((ChunkIndex(chunk), values.iter().map(|value| ChunkValue(*value)).collect()))
}

fn record_header(length: u32, parts: &[Bytes]) -> [u8; RECORD_HEADER_BYTES] {
    let mut bytes = [0; RECORD_HEADER_BYTES];
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..].copy_from_slice(&sum(length, parts).to_le_bytes());
    bytes
}

fn sum(length: u32, parts: &[Bytes]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&length.to_le_bytes());
    for part in parts {
        sum.update(part);
    }
    sum.finalize()
}

/// The bytes of the records, up to the first that does not check.
fn records(mut bytes: Bytes) -> Vec<Bytes> {
    let mut parts = Vec::new();
    while bytes.len() > RECORD_HEADER_BYTES {
        let (length, expected) = (bytes.get_u32_le(), bytes.get_u32_le());
        if length as usize > bytes.len() {
            break;
        }
        let part = bytes.split_to(length as usize);
        if length == 0 || sum(length, std::slice::from_ref(&part)) != expected {
            break;
        }
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kept: &Kept) -> Vec<u8> {
        kept.bytes().unwrap().concat()
    }

    fn of(text: &'static [u8]) -> [Bytes; 1] {
        [Bytes::from_static(text)]
    }

    /// Changes here break every transfer under way: a new layout needs a new version.
    #[test]
    fn the_layout_is_pinned() {
        let dir = tempfile::tempdir().unwrap();
        Kept::begin(dir.path(), ChunkIndex(0x0102), vec![ChunkValue([0xab; 32])], &of(b"abc")).unwrap();
        let written = fs::read(dir.path().join(TAIL)).unwrap();
        let values = [0xab; 32];
        let head = [b"HSTAIL\0\0".as_slice(), &[1, 0, 0, 0, 2, 1, 0, 0, 1, 0, 0, 0], &values].concat();
        let record = [3, 0, 0, 0, b'a', b'b', b'c'];
        let sums = [crc32fast::hash(&head), crc32fast::hash(&record)].map(u32::to_le_bytes);
        assert_eq!(written, [&head[..], &sums[0], &record[..4], &sums[1], &record[4..]].concat());
    }

    #[test]
    fn a_tail_cut_at_any_byte_keeps_its_whole_records() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept::begin(dir.path(), ChunkIndex(3), Vec::new(), &of(b"one")).unwrap();
        kept.add(dir.path(), &of(b"three")).unwrap();
        let bytes = fs::read(dir.path().join(TAIL)).unwrap();
        let header = header_bytes(0);
        for cut in 0..=bytes.len() {
            fs::write(dir.path().join(TAIL), &bytes[..cut]).unwrap();
            let read = Kept::read(dir.path()).unwrap();
            let expected = match cut {
                _ if cut < header => None,
                _ if cut < header + 11 => Some(&b""[..]),
                _ if cut < header + 24 => Some(&b"one"[..]),
                _ => Some(&b"onethree"[..]),
            };
            assert_eq!(read.as_ref().map(text).as_deref(), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_ends_the_tail_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept::begin(dir.path(), ChunkIndex(3), vec![ChunkValue([7; 32])], &of(b"one")).unwrap();
        kept.add(dir.path(), &of(b"three")).unwrap();
        let bytes = fs::read(dir.path().join(TAIL)).unwrap();
        let (header, second) = (header_bytes(1), header_bytes(1) + 11);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(dir.path().join(TAIL), &flipped).unwrap();
            let read = Kept::read(dir.path()).unwrap().as_ref().map(text);
            let expected = match bit / 8 {
                byte if byte < header => None,
                byte if byte < second => Some(&b""[..]),
                _ => Some(&b"one"[..]),
            };
            assert_eq!(read.as_deref(), expected, "bit {bit}");
        }
    }

    #[test]
    fn bytes_one_by_one_do_not_make_it_grow_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept::begin(dir.path(), ChunkIndex(0), Vec::new(), &of(b"x")).unwrap();
        for _ in 0..400_000 {
            kept.add(dir.path(), &of(b"y")).unwrap();
            assert!(kept.end <= MAX_TAIL_BYTES);
        }
        drop(kept);
        let read = Kept::read(dir.path()).unwrap().unwrap();
        assert_eq!((read.gathered, text(&read).len()), (400_001, 400_001));
    }
}
