//! Files whose content is known by its hash.

use hypersend_protocol::hash::RootHash;
use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// One KiB, one MiB: the units in which sizes are said.
pub const KIB: u64 = 1 << 10;
/// See [`KIB`].
pub const MIB: u64 = 1 << 20;

/// How much is made and written at once.
const PIECE: usize = 256 << 10;

/// Writes a file of pseudo-random bytes, the same for the same seed: BLAKE3's extendable output, some GB/s.
pub fn random_file(path: &Path, size: u64, seed: u64) -> PathBuf {
    let write = || {
        let mut bytes = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
        let mut file = File::create(path)?;
        let mut piece = vec![0; PIECE];
        let mut left = size;
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            bytes.fill(&mut piece[..length]);
            file.write_all(&piece[..length])?;
            left -= length as u64;
        }
        io::Result::Ok(())
    };
    write().unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
    path.to_owned()
}

/// Makes a file of zeros that takes no room on the disk, however large it is.
pub fn sparse_file(path: &Path, size: u64) -> PathBuf {
    let made = File::create(path).and_then(|file| file.set_len(size));
    made.unwrap_or_else(|error| panic!("make {}: {error}", path.display()));
    path.to_owned()
}

/// The BLAKE3 hash of a file.
pub fn b3_of(path: &Path) -> RootHash {
    let hash = || {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path)?)?;
        io::Result::Ok(hasher.finalize())
    };
    RootHash(hash().unwrap_or_else(|error| panic!("hash {}: {error}", path.display())).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, size, seed| random_file(&dir.path().join(name), size, seed);
        let (a, b, other) = (file("a", 300 * KIB, 7), file("b", 300 * KIB, 7), file("c", 300 * KIB, 8));
        assert_eq!(b3_of(&a), b3_of(&b));
        assert_ne!(b3_of(&a), b3_of(&other));
        assert_eq!(std::fs::metadata(a).unwrap().len(), 300 * KIB);
        assert_eq!(b3_of(&file("empty", 0, 1)).0, *blake3::hash(b"").as_bytes());
    }
}
