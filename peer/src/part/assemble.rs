//! Everything is there: put together under `item`.

use super::{ASSEMBLING, Part, land::touch, replace};
use crate::{listing::Listing, receiving::ReceiveError};
use hypersend_protocol::hash::{EntryKey, RootHash};
use hypersend_transfer::folder::rename_new;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

impl Part {
    /// Flushes all files, then moves them to their places in `item`, and flushes that. May be repeated after a crash: what
    /// has come since is flushed too before it is moved, since its size alone is looked at in its place. Fails with
    /// [`io::ErrorKind::NotFound`] when a file is in neither place.
    pub(crate) fn assemble(&self, listing: &Listing, item: usize, id: &[u8; 32]) -> Result<(), ReceiveError> {
        let failed = |error| ReceiveError::io(&self.dir, error);
        self.flush().map_err(failed)?;
        let files = self.complete().map_err(failed)?;
        let again = self.is_assembling(id);
        if !again {
            let top = listing.get(listing.tops()[item]).expect("an entry");
            let plain = files.get(&top.key).filter(|_| !top.folder).map(|&(_, root)| [top.key.0, root.0]);
            let words: Vec<[u8; 32]> = [*id].into_iter().chain(plain.into_iter().flatten()).collect();
            replace(&self.dir, ASSEMBLING, &words.concat()).map_err(failed)?;
        }
        let of_item = || listing.iter().filter(|(number, _)| listing.item_of(*number) == item);
        for (number, entry) in of_item() {
            let place = self.place(listing, number);
            let made = if entry.folder {
                match fs::create_dir(&place) {
                    // Not a collision where an earlier attempt may have made it.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists && again && place.is_dir() => Ok(()),
                    made => made,
                }
            } else {
                match files.get(&entry.key) {
                    Some((file, _)) => rename_new(file, &place),
                    None => fs::symlink_metadata(&place).map(|_| ()),
                }
            };
            made.map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => ReceiveError::Collision(listing.shown(number).into()),
                _ => ReceiveError::io(&place, error),
            })?;
        }
        // The innermost first: what is moved into a folder changes its time.
        for (number, entry) in of_item().rev().filter(|(_, entry)| entry.folder) {
            let _ = touch(&self.place(listing, number), entry.modified);
        }
        self.flush().map_err(failed)
    }

    pub(super) fn place(&self, listing: &Listing, entry: u32) -> PathBuf {
        let within = listing.path_within(entry);
        // Joining nothing would add a slash, and a file is no folder.
        if within == Path::new("") { self.item() } else { self.item().join(within) }
    }

    /// One call for all files of a file system: one for each would take minutes for many small ones. By the lock, which is
    /// open since before the first of them was written: it is told of everything that the disk has failed to write since.
    fn flush(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.lock)?)
    }
}

/// The key and the hash of the plain file that was put together in a folder, if it was one.
pub(super) fn assembled(dir: &Path) -> Option<(EntryKey, RootHash)> {
    let written = fs::read(dir.join(ASSEMBLING)).ok()?;
    let [_, key, root] = written.as_chunks().0 else { return None };
    Some((EntryKey(*key), RootHash(*root)))
}
