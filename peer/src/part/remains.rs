//! What is left of a transfer that was broken off, for whoever gets the rest of a file another way.
//!
//! It is found without the sender's list: a part's name is made of the sender and the thing's key, and what arrives
//! of a file lies in it under that very key.

use super::{END, FILES, LARGE, Part, folder_name, patiently, scan::is_whole};
use crate::{publish::rename_new, receiving::ReceiveError};
use hypersend_protocol::{
    hash::{EntryKey, RootHash},
    p2p::OfferedFile,
};
use hypersend_transfer::{
    folder::{OpenError, TransferFolder},
    plan::ChunkPlan,
};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// What has arrived of one offered file and is not in its place. Nobody else's meanwhile; dropping it leaves it as it
/// is, for [`Receiving`](crate::Receiving) to go on with. All of it blocks.
#[derive(Debug)]
pub struct Remains {
    part: Part,
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    File(PathBuf, RootHash),
    Folder(Box<TransferFolder>),
}

/// How much there is of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// All of it, and it has this hash.
    Whole(RootHash),
    /// Chunks of a file that is cut like this, in a [`TransferFolder`].
    Begun(ChunkPlan),
}

impl Remains {
    /// Looks for what has come to a destination of a file of this name and size, from the sender that
    /// [`Receiving::start`](crate::Receiving::start) was told of. A file that has changed at its sender is another:
    /// where there are several, it is the one with the most. Waits a moment for a transfer that was just dropped, and
    /// passes over one that goes on.
    pub fn find(destination: &Path, sender: &[u8; 32], file: &OfferedFile) -> io::Result<Option<Self>> {
        let name = file.name.as_str();
        let mut found = Vec::new();
        for key in keys(destination, sender, name)? {
            match patiently(|| Self::take(Part::open(destination, name, sender, key)?, key, file.size)) {
                Ok(remains) => found.extend(remains),
                Err(error) => tracing::debug!(%error, "what has arrived is not used"),
            }
        }
        Ok(found.into_iter().max_by_key(Self::chunks))
    }

    /// How much there is.
    pub fn arrived(&self) -> Arrived {
        match &self.kept {
            Kept::File(_, root) => Arrived::Whole(*root),
            Kept::Folder(folder) => Arrived::Begun(folder.plan()),
        }
    }

    /// Moves the file, or the folder with its chunks, to a path on the same file system at which there is nothing,
    /// and removes the rest. Copies nothing. After a crash it is in one of the two places.
    pub fn move_to(self, path: &Path) -> io::Result<()> {
        match self.kept {
            Kept::File(file, _) => {
                // A small one was not flushed yet.
                File::open(&file)?.sync_all()?;
                rename_new(&file, path)?;
            }
            Kept::Folder(folder) => folder.move_to(path)?,
        }
        // What is left of it takes no room, and is cleared away by the next transfer of the same.
        let _ = self.part.clear();
        Ok(())
    }

    /// Removes all of it.
    pub fn clear(self) -> io::Result<()> {
        self.part.clear()
    }

    fn take(part: Part, key: EntryKey, size: u64) -> Result<Option<Self>, ReceiveError> {
        let complete = part.complete().map_err(|error| ReceiveError::io(part.dir(), error))?.remove(&key);
        // Another file may have the name: what is not looked for stays.
        let whole = complete.filter(|(path, root)| is_long(path, size) && is_whole(path, *root, size));
        if let Some((path, root)) = whole {
            return Ok(Some(Self { part, kept: Kept::File(path, root) }));
        }
        let dir = part.large(key);
        match TransferFolder::open(&dir) {
            Ok(folder) if folder.plan().size() == size => Ok(Some(Self { part, kept: Kept::Folder(Box::new(folder)) })),
            Err(OpenError::InUse) => Err(ReceiveError::InUse(dir)),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    fn chunks(&self) -> u32 {
        match &self.kept {
            Kept::File(..) => u32::MAX,
            Kept::Folder(folder) => folder.map().stored(),
        }
    }
}

/// The keys of the files of this name that have come from the sender, each of which has a part of its own.
fn keys(destination: &Path, sender: &[u8; 32], name: &str) -> io::Result<Vec<EntryKey>> {
    let mut keys = Vec::new();
    for part in fs::read_dir(destination)? {
        let part = part?;
        let Some(part_name) = part.file_name().to_str().filter(|name| name.ends_with(END)).map(str::to_owned) else {
            continue;
        };
        let mut inside = [FILES, LARGE].into_iter().flat_map(|inner| keys_in(&part.path().join(inner)));
        keys.extend(inside.find(|&key| folder_name(name, sender, key) == part_name));
    }
    Ok(keys)
}

/// The keys by which files or folders are named; none where there is nothing to be read.
fn keys_in(dir: &Path) -> Vec<EntryKey> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.split('-').next()?.parse().ok()).collect()
}

fn is_long(path: &Path, size: u64) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.len() == size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::Looks;
    use bytes::Bytes;
    use hypersend_protocol::{id::ChunkIndex, time::UnixMillis};
    use hypersend_transfer::Landed;
    use tempfile::TempDir;

    const SENDER: [u8; 32] = [1; 32];
    const LOOKS: Looks = Looks { modified: UnixMillis(1_000_000), executable: false };
    const MIB: u64 = 1 << 20;

    fn file(name: &str, size: u64) -> OfferedFile {
        OfferedFile { name: name.parse().unwrap(), size, folder: false }
    }

    fn part(to: &TempDir, name: &str, key: u8) -> Part {
        Part::open(to.path(), name, &SENDER, EntryKey([key; 32])).unwrap()
    }

    /// A part in which a small file has arrived.
    fn arrived(to: &TempDir, name: &str, key: u8, bytes: &'static [u8]) -> RootHash {
        let root = RootHash(blake3::hash(bytes).into());
        part(to, name, key).store(EntryKey([key; 32]), root, LOOKS, &[Bytes::from_static(bytes)]).unwrap();
        root
    }

    /// A part in which the first chunks of a file of zeros have arrived.
    fn begun(to: &TempDir, name: &str, key: u8, size: u64, chunks: u32) {
        let plan = ChunkPlan::for_size(size).unwrap();
        let folder = part(to, name, key).begin(EntryKey([key; 32]), name, plan).unwrap();
        for chunk in plan.chunks().take(chunks as usize) {
            let span = plan.chunk(chunk).unwrap();
            let landed = folder.store_range(span, None, &[vec![0; span.length as usize].into()]).unwrap();
            assert_eq!(landed, Landed::Chunk(chunk));
        }
    }

    fn find(to: &TempDir, name: &str, size: u64) -> Option<Remains> {
        Remains::find(to.path(), &SENDER, &file(name, size)).unwrap()
    }

    fn names(to: &TempDir) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(to.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_whole_file_is_found_and_moved_and_nothing_of_its_part_stays() {
        let to = tempfile::tempdir().unwrap();
        let root = arrived(&to, "note.txt", 1, b"a note");
        let remains = find(&to, "note.txt", 6).unwrap();
        assert_eq!(remains.arrived(), Arrived::Whole(root));
        let place = to.path().join("note.txt");
        fs::write(&place, "there before").unwrap();
        assert_eq!(remains.move_to(&place).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        fs::remove_file(&place).unwrap();
        find(&to, "note.txt", 6).unwrap().move_to(&place).unwrap();
        assert_eq!((fs::read(&place).unwrap(), names(&to)), (b"a note".to_vec(), vec!["note.txt".to_owned()]));
    }

    #[test]
    fn chunks_are_found_and_moved_in_their_folder() {
        let to = tempfile::tempdir().unwrap();
        let (size, elsewhere) = (5 * MIB, to.path().join("elsewhere"));
        begun(&to, "film.mkv", 1, size, 3);
        let remains = find(&to, "film.mkv", size).unwrap();
        assert_eq!(remains.arrived(), Arrived::Begun(ChunkPlan::for_size(size).unwrap()));
        remains.move_to(&elsewhere).unwrap();
        assert_eq!(names(&to), ["elsewhere"]);
        let folder = TransferFolder::open(&elsewhere).unwrap();
        assert_eq!(folder.map().missing().collect::<Vec<_>>(), [ChunkIndex(3), ChunkIndex(4)]);
    }

    #[test]
    fn only_what_is_looked_for_is_found_and_the_rest_stays() {
        let to = tempfile::tempdir().unwrap();
        begun(&to, "film.mkv", 1, 5 * MIB, 3);
        arrived(&to, "note.txt", 2, b"a note");
        let before = names(&to);
        assert!(find(&to, "film.mkv", 4 * MIB).is_none() && find(&to, "note.txt", 7).is_none());
        assert!(find(&to, "film", 5 * MIB).is_none());
        assert!(Remains::find(to.path(), &[2; 32], &file("film.mkv", 5 * MIB)).unwrap().is_none(), "another sender's");
        assert_eq!(names(&to), before);
        assert!(find(&to, "film.mkv", 5 * MIB).is_some() && find(&to, "note.txt", 6).is_some());
    }

    #[test]
    fn of_several_the_one_with_the_most_is_taken() {
        let to = tempfile::tempdir().unwrap();
        for (key, chunks) in [(1, 1), (2, 4), (3, 2)] {
            begun(&to, "film.mkv", key, 5 * MIB, chunks);
        }
        let elsewhere = to.path().join("elsewhere");
        find(&to, "film.mkv", 5 * MIB).unwrap().move_to(&elsewhere).unwrap();
        assert_eq!(TransferFolder::open(&elsewhere).unwrap().map().stored(), 4);
        assert_eq!(names(&to).len(), 3);
    }

    #[test]
    fn what_is_damaged_or_in_use_is_none() {
        let to = tempfile::tempdir().unwrap();
        let root = arrived(&to, "note.txt", 1, b"a note");
        let used = part(&to, "note.txt", 1);
        assert!(find(&to, "note.txt", 6).is_none(), "in use");
        fs::write(used.file(EntryKey([1; 32]), root), "a tone").unwrap();
        drop(used);
        assert!(find(&to, "note.txt", 6).is_none(), "another hash");
    }
}
