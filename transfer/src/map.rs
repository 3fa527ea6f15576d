//! Which chunks of one file are stored: a bitmap, the receive map that a resuming sender asks for.
//!
//! As bytes, chunk `i` is bit `i % 8` (least significant first) of byte `i / 8`; the bits past the last chunk are zero.
//! At most 8 KiB, whatever the file.

use hypersend_protocol::id::ChunkIndex;
use std::fmt;

/// A set of chunks of a file with a known number of chunks.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceiveMap {
    bits: Vec<u8>,
    count: u32,
    stored: u32,
}

/// Bytes from a peer are not a map of that many chunks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// Too few or too many bytes.
    #[error("a receive map of {count} chunks has {expected} bytes, not {actual}")]
    Length {
        /// Chunks of the file.
        count: u32,
        /// Bytes that a map of so many chunks has.
        expected: usize,
        /// Bytes given.
        actual: usize,
    },
    /// A chunk that the file does not have is marked.
    #[error("the receive map marks chunks past the last of {count}")]
    Padding {
        /// Chunks of the file.
        count: u32,
    },
}

impl ReceiveMap {
    /// A map of `count` chunks, none of them stored.
    pub fn new(count: u32) -> Self {
        Self { bits: vec![0; count.div_ceil(8) as usize], count, stored: 0 }
    }

    /// A map of `count` chunks, all of them stored.
    pub fn full(count: u32) -> Self {
        let mut bits = vec![0xff; count.div_ceil(8) as usize];
        if let Some(last) = bits.last_mut() {
            *last &= !padding(count);
        }
        Self { bits, count, stored: count }
    }

    /// Takes a map of `count` chunks from its bytes.
    pub fn from_bytes(count: u32, bytes: &[u8]) -> Result<Self, MapError> {
        let expected = count.div_ceil(8) as usize;
        if bytes.len() != expected {
            return Err(MapError::Length { count, expected, actual: bytes.len() });
        }
        if bytes.last().is_some_and(|last| last & padding(count) != 0) {
            return Err(MapError::Padding { count });
        }
        let stored = bytes.iter().map(|byte| byte.count_ones()).sum();
        Ok(Self { bits: bytes.to_vec(), count, stored })
    }

    /// The bytes that [`from_bytes`](Self::from_bytes) takes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bits.clone()
    }

    /// Marks a chunk as stored; true when it was not. A chunk past the last is none and changes nothing.
    pub fn insert(&mut self, index: ChunkIndex) -> bool {
        if index.0 >= self.count || self.contains(index) {
            return false;
        }
        self.bits[index.0 as usize / 8] |= 1 << (index.0 % 8);
        self.stored += 1;
        true
    }

    /// Whether a chunk is stored.
    pub fn contains(&self, index: ChunkIndex) -> bool {
        self.bits.get(index.0 as usize / 8).is_some_and(|byte| byte >> (index.0 % 8) & 1 == 1)
    }

    /// Chunks of the file.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Chunks that are stored.
    pub fn stored(&self) -> u32 {
        self.stored
    }

    /// Whether no chunk is missing. True for the empty file.
    pub fn is_full(&self) -> bool {
        self.stored == self.count
    }

    /// The chunks that are not stored, in order.
    pub fn missing(&self) -> impl Iterator<Item = ChunkIndex> + '_ {
        std::iter::successors(self.next_missing(ChunkIndex(0)), |index| self.next_missing(index.next()))
    }

    /// The first chunk from `from` on that is not stored. Steps over eight stored chunks at a time.
    pub fn next_missing(&self, from: ChunkIndex) -> Option<ChunkIndex> {
        let mut index = from.0;
        while index < self.count {
            let holes = !self.bits[index as usize / 8] >> (index % 8);
            if holes != 0 {
                let found = index + holes.trailing_zeros();
                return (found < self.count).then_some(ChunkIndex(found));
            }
            index = (index / 8 + 1) * 8;
        }
        None
    }
}

impl fmt::Debug for ReceiveMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiveMap({} of {})", self.stored, self.count)
    }
}

/// The bits of the last byte that stand for no chunk.
fn padding(count: u32) -> u8 {
    match count % 8 {
        0 => 0,
        used => 0xff << used,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn bytes_are_least_significant_bit_first() {
        let mut map = ReceiveMap::new(10);
        for index in [0, 3, 9] {
            assert!(map.insert(ChunkIndex(index)));
        }
        assert_eq!(map.to_bytes(), [0b0000_1001, 0b0000_0010]);
    }

    #[test]
    fn wrong_lengths_and_padding_are_refused() {
        assert_eq!(ReceiveMap::from_bytes(9, &[0]), Err(MapError::Length { count: 9, expected: 2, actual: 1 }));
        assert!(ReceiveMap::from_bytes(8, &[0, 0]).is_err());
        assert!(ReceiveMap::from_bytes(0, &[0]).is_err());
        assert_eq!(ReceiveMap::from_bytes(9, &[0, 0b10]), Err(MapError::Padding { count: 9 }));
        assert!(ReceiveMap::from_bytes(9, &[0xff, 1]).unwrap().is_full());
    }

    #[test]
    fn the_empty_file_is_full_and_a_full_map_misses_nothing() {
        for count in [0, 1, 7, 8, 9, 65_536] {
            let map = ReceiveMap::full(count);
            assert!(map.is_full());
            assert_eq!(map.missing().next(), None);
            assert_eq!(ReceiveMap::from_bytes(count, &map.to_bytes()), Ok(map));
            assert_eq!(ReceiveMap::new(count).is_full(), count == 0);
        }
    }

    #[test]
    fn a_chunk_past_the_last_changes_nothing() {
        let mut map = ReceiveMap::new(9);
        assert!(!map.insert(ChunkIndex(9)) && !map.insert(ChunkIndex(u32::MAX)));
        assert!(!map.contains(ChunkIndex(9)) && !map.contains(ChunkIndex(u32::MAX)));
        assert_eq!(map, ReceiveMap::new(9));
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(count in 0_u32..300, inserts in prop::collection::vec(0_u32..320, 0..300)) {
            let (mut map, mut set) = (ReceiveMap::new(count), BTreeSet::new());
            for index in inserts {
                let new = index < count && set.insert(index);
                prop_assert_eq!(map.insert(ChunkIndex(index)), new);
            }
            prop_assert_eq!(map.stored() as usize, set.len());
            let missing: Vec<_> = (0..count).filter(|i| !set.contains(i)).map(ChunkIndex).collect();
            prop_assert_eq!(map.missing().collect::<Vec<_>>(), missing);
            prop_assert_eq!(ReceiveMap::from_bytes(count, &map.to_bytes()), Ok(map));
        }
    }
}
