//! What is there from an earlier attempt. What belongs to nothing in the listing is removed.

use super::{ASSEMBLING, FILES, LARGE, NEW, Part, remove};
use crate::{
    listing::{Entry, Listing},
    receiving::ReceiveError,
};
use hypersend_protocol::{
    hash::{EntryKey, RootHash},
    limit::MAX_RANGE_LENGTH,
};
use hypersend_transfer::folder::{OpenError, TransferFolder};
use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// Files that are complete.
    pub(crate) done: Vec<u32>,
    /// Files of more than one range under way.
    pub(crate) large: Vec<(u32, TransferFolder)>,
}

impl Part {
    /// Looks at everything that arrived of an item before.
    pub(crate) fn scan(&self, listing: &Listing, item: usize, id: &[u8; 32]) -> Result<Scanned, ReceiveError> {
        let failed = |error| ReceiveError::io(&self.dir, error);
        let assembling = self.is_assembling(id);
        if !assembling {
            // In this order: without its name, what is assembled is not believed.
            remove(&self.dir.join(ASSEMBLING)).map_err(failed)?;
            remove(&self.item()).map_err(failed)?;
        }
        let mut complete = self.complete().map_err(failed)?;
        let mut begun = self.begun().map_err(failed)?;
        let mut scanned = Scanned::default();
        for (number, entry) in listing.iter().filter(|(_, entry)| !entry.folder) {
            if listing.item_of(number) != item {
                continue;
            }
            let found = complete.remove(&entry.key).is_some_and(|(path, root)| is_whole(&path, root, entry.size));
            if found || (assembling && is_at_place(&self.place(listing, number), &entry)) {
                scanned.done.push(number);
            } else if let Some(dir) = begun.remove(&entry.key) {
                let folder = self.take_up(&dir, &listing.shown(number), entry.size)?;
                scanned.large.extend(folder.map(|folder| (number, folder)));
            }
        }
        for path in complete.into_values().map(|(path, _)| path).chain(begun.into_values()) {
            remove(&path).map_err(failed)?;
        }
        Ok(scanned)
    }

    pub(super) fn is_assembling(&self, id: &[u8; 32]) -> bool {
        fs::read(self.dir.join(ASSEMBLING)).is_ok_and(|written| written.starts_with(id))
    }

    /// Files by key; what is half written is removed.
    pub(super) fn complete(&self) -> io::Result<HashMap<EntryKey, (PathBuf, RootHash)>> {
        let mut complete = HashMap::new();
        for file in fs::read_dir(self.dir.join(FILES))? {
            let path = file?.path();
            match parse(&path) {
                Some((key, root)) => {
                    complete.insert(key, (path, root));
                }
                None => remove(&path)?,
            }
        }
        Ok(complete)
    }

    fn begun(&self) -> io::Result<HashMap<EntryKey, PathBuf>> {
        let mut begun = HashMap::new();
        for dir in fs::read_dir(self.dir.join(LARGE))? {
            let dir = dir?;
            match dir.file_name().to_str().and_then(|name| name.parse().ok()) {
                Some(key) => {
                    begun.insert(key, dir.path());
                }
                None => remove(&dir.path())?,
            }
        }
        Ok(begun)
    }

    /// A folder that is of no use is removed, and its file begins anew.
    fn take_up(&self, dir: &Path, shown: &str, size: u64) -> Result<Option<TransferFolder>, ReceiveError> {
        match TransferFolder::open(dir) {
            Ok(folder) if folder.plan().size() == size => return Ok(Some(folder)),
            Err(error @ (OpenError::InUse | OpenError::NoSpace(_) | OpenError::Io(_))) => {
                return Err(ReceiveError::open(shown, dir, error));
            }
            Ok(_) | Err(_) => {}
        }
        remove(dir).map_err(|error| ReceiveError::io(&self.dir, error))?;
        Ok(None)
    }
}

fn parse(path: &Path) -> Option<(EntryKey, RootHash)> {
    let name = path.file_name()?.to_str()?;
    let (key, root) = name.split_once('-').filter(|_| !name.ends_with(NEW))?;
    Some((key.parse().ok()?, root.parse().ok()?))
}

/// Whether a complete file is what its name says; one that is not is removed, as far as that succeeds.
pub(super) fn is_whole(path: &Path, root: RootHash, size: u64) -> bool {
    let long_enough = fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() == size);
    let whole = long_enough && (size > u64::from(MAX_RANGE_LENGTH) || hash(path).is_ok_and(|found| found == root));
    if !whole {
        let _ = remove(path);
    }
    whole
}

fn is_at_place(path: &Path, entry: &Entry<'_>) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() == entry.size)
}

fn hash(path: &Path) -> io::Result<RootHash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(RootHash(hasher.finalize().into()))
}
