//! What is left of a transfer that was broken off, for whoever gets the rest of a file another way.
//!
//! It is found without the sender's list: a part's name is made of the sender and the thing's key, and what arrives
//! of a file lies in it under that very key.

use super::{DIGITS, END, FILES, LARGE, Part, assemble::assembled, beginning, folder_name, patiently, scan::is_whole};
use crate::receiving::ReceiveError;
use hypersend_protocol::{
    hash::{EntryKey, RootHash},
    p2p::OfferedFile,
};
use hypersend_transfer::folder::{OpenError, TransferFolder, rename_new, sync_dir};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// What has arrived of one file and is not in its place. Nobody else's meanwhile; dropping it leaves it as it is, for
/// [`Receiving`](crate::Receiving) to go on with. All of it blocks.
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
#[derive(Clone, Copy, Debug)]
pub enum Arrived<'a> {
    /// All of it, and it has this hash.
    Whole(RootHash),
    /// Some of its chunks.
    Begun(&'a TransferFolder),
}

impl Remains {
    /// Looks for what has come to a destination of files of this name and size, from the sender that
    /// [`Receiving::start`](crate::Receiving::start) was told of. There may be several such files: a sender has them in
    /// several folders, and one that has changed there is another. Which of them is meant, only their content says.
    /// Waits a moment for a transfer that was just dropped, and passes over one that goes on, and what is another
    /// user's.
    pub fn find(destination: &Path, sender: &[u8; 32], file: &OfferedFile) -> io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for (dir, key) in parts(destination, sender, file.name.as_str())? {
            match patiently(|| Self::open(dir.clone(), key, file.size)) {
                Ok(remains) => found.extend(remains),
                Err(error) => tracing::debug!(%error, "what has arrived is not used"),
            }
        }
        Ok(found)
    }

    /// How much there is.
    pub fn arrived(&self) -> Arrived<'_> {
        match &self.kept {
            Kept::File(_, root) => Arrived::Whole(*root),
            Kept::Folder(folder) => Arrived::Begun(folder),
        }
    }

    /// Moves the file, or the folder with its chunks, to a path on the same file system at which there is nothing,
    /// and removes the rest. Copies nothing. After a crash it is in one of the two places; where it is not moved, it is
    /// given back.
    pub fn move_to(mut self, path: &Path) -> Result<(), (Self, io::Error)> {
        match self.try_move_to(path) {
            Ok(()) => {
                // What is left of it takes no room, and is cleared away by the next transfer of the same.
                let _ = self.part.clear();
                Ok(())
            }
            Err(error) => Err((self, error)),
        }
    }

    /// Removes all of it.
    pub fn clear(self) -> io::Result<()> {
        self.part.clear()
    }

    fn open(dir: PathBuf, key: EntryKey, size: u64) -> Result<Option<Self>, ReceiveError> {
        let Some(part) = Part::open_existing(dir)? else { return Ok(None) };
        let mut complete = part.complete().map_err(|error| ReceiveError::io(part.dir(), error))?;
        let assembled = || assembled(part.dir()).filter(|(of, _)| *of == key).map(|(_, root)| (part.item(), root));
        // Another file may have the name: what is not looked for stays.
        let whole = complete.remove(&key).or_else(assembled).filter(|(path, root)| {
            let is_long = fs::symlink_metadata(path).is_ok_and(|found| found.len() == size);
            is_long && is_whole(path, *root, size)
        });
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

    fn try_move_to(&mut self, path: &Path) -> io::Result<()> {
        match &mut self.kept {
            Kept::File(file, _) => {
                // A small one was not flushed yet.
                File::open(&*file)?.sync_all()?;
                rename_new(file, path)?;
                // Before the part goes: a power cut must not take the one and bring back the other.
                path.parent().map_or(Ok(()), sync_dir)
            }
            Kept::Folder(folder) => folder.move_to(path),
        }
    }
}

/// The parts of the files of this name that have come from the sender, each with the key of its file.
fn parts(destination: &Path, sender: &[u8; 32], name: &str) -> io::Result<Vec<(PathBuf, EntryKey)>> {
    let beginning = beginning(name);
    let mut parts = Vec::new();
    for entry in fs::read_dir(destination)? {
        let entry = entry?;
        let part_name = entry.file_name();
        let Some(part_name) = part_name.to_str() else { continue };
        let digits = part_name.strip_prefix(&beginning).and_then(|rest| rest.strip_suffix(END));
        // Another name's are not looked into: there may be many, with many files in them.
        if digits.is_none_or(|digits| digits.len() != DIGITS) {
            continue;
        }
        let dir = entry.path();
        let key = keys_in(&dir).into_iter().find(|&key| folder_name(name, sender, key) == part_name);
        parts.extend(key.map(|key| (dir, key)));
    }
    Ok(parts)
}

/// The keys of what is in a part; none where there is nothing to be read.
fn keys_in(dir: &Path) -> Vec<EntryKey> {
    let entries = [FILES, LARGE].into_iter().filter_map(|inner| fs::read_dir(dir.join(inner)).ok()).flatten().flatten();
    let keys = entries.filter_map(|entry| entry.file_name().to_str()?.split('-').next()?.parse().ok());
    keys.chain(assembled(dir).map(|(key, _)| key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        listing::{Builder, Entry, Listing},
        part::Looks,
    };
    use bytes::Bytes;
    use hypersend_protocol::{id::ChunkIndex, time::UnixMillis};
    use hypersend_transfer::{Landed, plan::ChunkPlan};
    use std::os::unix::fs::chown;
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

    /// The one thing that is found, if there is one.
    fn find(to: &TempDir, name: &str, size: u64) -> Option<Remains> {
        let mut found = Remains::find(to.path(), &SENDER, &file(name, size)).unwrap();
        assert!(found.len() <= 1, "{found:?}");
        found.pop()
    }

    /// The chunks of what has not come whole.
    fn chunks(remains: &Remains) -> u32 {
        let Arrived::Begun(folder) = remains.arrived() else { panic!("{remains:?}") };
        folder.map().stored()
    }

    fn listing_of(name: &str, key: u8, size: u64) -> Listing {
        let mut builder = Builder::new();
        let (modified, key) = (LOOKS.modified, EntryKey([key; 32]));
        builder.push(Entry { name, parent: None, folder: false, size, modified, executable: false, key }).unwrap();
        builder.finish()
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
        assert!(matches!(remains.arrived(), Arrived::Whole(found) if found == root));
        let place = to.path().join("note.txt");
        fs::write(&place, "there before").unwrap();
        let (remains, error) = remains.move_to(&place).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        fs::remove_file(&place).unwrap();
        remains.move_to(&place).unwrap();
        assert_eq!((fs::read(&place).unwrap(), names(&to)), (b"a note".to_vec(), vec!["note.txt".to_owned()]));
    }

    #[test]
    fn chunks_are_found_and_moved_in_their_folder() {
        let to = tempfile::tempdir().unwrap();
        let (size, elsewhere) = (5 * MIB, to.path().join("elsewhere"));
        begun(&to, "film.mkv", 1, size, 3);
        let remains = find(&to, "film.mkv", size).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        let (remains, error) = remains.move_to(&elsewhere).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(chunks(&remains), 3, "given back");
        fs::remove_dir(&elsewhere).unwrap();
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
        assert!(Remains::find(to.path(), &[2; 32], &file("film.mkv", 5 * MIB)).unwrap().is_empty(), "another sender's");
        assert_eq!(names(&to), before);
        assert!(find(&to, "film.mkv", 5 * MIB).is_some() && find(&to, "note.txt", 6).is_some());
    }

    #[test]
    fn of_several_each_is_found() {
        let to = tempfile::tempdir().unwrap();
        for (key, chunks) in [(1, 1), (2, 4), (3, 2)] {
            begun(&to, "film.mkv", key, 5 * MIB, chunks);
        }
        let found = Remains::find(to.path(), &SENDER, &file("film.mkv", 5 * MIB)).unwrap();
        let mut stored: Vec<_> = found.iter().map(chunks).collect();
        stored.sort_unstable();
        assert_eq!(stored, [1, 2, 4]);
    }

    /// A plain file that has been put together, and waits for the others of its transfer to be moved to its place.
    #[test]
    fn what_is_put_together_is_found() {
        let to = tempfile::tempdir().unwrap();
        let root = arrived(&to, "note.txt", 1, b"a note");
        let listing = listing_of("note.txt", 1, 6);
        part(&to, "note.txt", 1).assemble(&listing, 0, &listing.item_ids()[0]).unwrap();
        assert_eq!(fs::read_dir(part(&to, "note.txt", 1).dir().join(FILES)).unwrap().count(), 0);
        assert!(find(&to, "note.txt", 5).is_none());
        let remains = find(&to, "note.txt", 6).unwrap();
        assert!(matches!(remains.arrived(), Arrived::Whole(found) if found == root));
        drop(remains);
        let scanned = part(&to, "note.txt", 1).scan(&listing, 0, &listing.item_ids()[0]).unwrap();
        assert_eq!(scanned.done, [0], "and goes on as it is");
        let place = to.path().join("note.txt");
        find(&to, "note.txt", 6).unwrap().move_to(&place).unwrap();
        assert_eq!((fs::read(&place).unwrap(), names(&to)), (b"a note".to_vec(), vec!["note.txt".to_owned()]));
    }

    #[test]
    fn what_another_user_has_laid_out_is_passed_over() {
        let to = tempfile::tempdir().unwrap();
        arrived(&to, "note.txt", 1, b"a note");
        let dir = part(&to, "note.txt", 1).dir().to_owned();
        if let Err(error) = chown(&dir, Some(1), None) {
            eprintln!("skipped: giving a folder to another user needs the right to ({error})");
            return;
        }
        let before = fs::read_dir(&dir).unwrap().count();
        assert!(find(&to, "note.txt", 6).is_none());
        let refused = Part::open(to.path(), "note.txt", &SENDER, EntryKey([1; 32])).unwrap_err();
        assert!(matches!(&refused, ReceiveError::NotOurs(found) if *found == dir), "{refused}");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), before, "nothing is left in it");
        chown(&dir, Some(0), None).unwrap();
        assert!(find(&to, "note.txt", 6).is_some());
    }

    #[test]
    fn looking_makes_nothing() {
        let to = tempfile::tempdir().unwrap();
        let gone = to.path().join(folder_name("note.txt", &SENDER, EntryKey([1; 32])));
        assert!(Remains::open(gone, EntryKey([1; 32]), 6).unwrap().is_none());
        assert_eq!(names(&to), [""; 0]);
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
