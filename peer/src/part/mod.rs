//! What has arrived of one offered thing, in a hidden folder beside its destination. Everything blocks.
//!
//! ```text
//! .NAME.direct-<16 digits>.part/
//!     lock           locked by whoever owns the folder; the kernel drops the lock with the process
//!     files/         complete files, each named by its key and its hash, so that no journal is needed to find them again
//!     large/<key>/   files of more than one range under way, see hypersend_transfer::folder
//!     assembling     names the thing once everything is there, and a plain file by its key and its hash too; from then on
//!                    files move to their place in `item`
//!     item           what was offered: the file, or the folder with everything in it
//!     publishing     what `item` is, as in `assembling`, and under which name it is about to be moved to the destination;
//!                    written before that is tried
//! ```
//!
//! What is kept true:
//! - The folder's name comes from the sender and the thing's key, so the same thing sent again finds it.
//! - It is the user's own: one that another user has laid out is refused, whatever is in it.
//! - What is in `files` is a whole file, or fails its hash when it is found again. A file of one range is hashed then; a
//!   longer one was flushed before it came there.
//! - A crash at any moment leaves a state that [`Part::open`] and [`Part::scan`] go on from.

mod assemble;
mod land;
mod remains;
mod scan;
#[cfg(test)]
mod tests;

use crate::receiving::ReceiveError;
use data_encoding::HEXLOWER;
use hypersend_protocol::{
    hash::{EntryKey, RootHash},
    limit::MAX_FILE_NAME_BYTES,
};
use hypersend_transfer::folder::{is_own, sync_dir};
use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

pub(crate) use land::Looks;
pub use remains::{Arrived, Remains};
pub(crate) use scan::Scanned;

const LOCK: &str = "lock";
const FILES: &str = "files";
const LARGE: &str = "large";
const ASSEMBLING: &str = "assembling";
const ITEM: &str = "item";
const PUBLISHING: &str = "publishing";

/// What stands in a part's name between the thing's and the digits.
const DIRECT: &str = ".direct-";

/// Digits that tell apart the parts of things of one name.
const DIGITS: usize = 16;

/// How a part ends its name.
const END: &str = ".part";

/// How a file that is not whole yet ends its name.
const NEW: &str = ".new";

/// How long to wait for the last user of a part to let go of it: the time of a piece's write.
const RELEASE: Duration = Duration::from_secs(2);

/// A folder for one thing, owned.
#[derive(Debug)]
pub(crate) struct Part {
    dir: PathBuf,
    lock: File,
}

impl Part {
    /// Makes the folder, or takes it up again.
    pub(crate) fn open(destination: &Path, name: &str, sender: &[u8; 32], key: EntryKey) -> Result<Self, ReceiveError> {
        let dir = destination.join(folder_name(name, sender, key));
        let failed = |error| ReceiveError::io(&dir, error);
        let part = loop {
            // Nobody else's business before it is in its place.
            match fs::DirBuilder::new().mode(0o700).create(&dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made.map_err(failed)?,
            }
            if let Some(part) = Self::open_existing(dir.clone())? {
                break part;
            }
        };
        for inner in [FILES, LARGE] {
            fs::create_dir_all(dir.join(inner)).map_err(failed)?;
        }
        Ok(part)
    }

    /// Takes up a folder; `None` where there is none, or its last owner has cleared it away a moment ago.
    fn open_existing(dir: PathBuf) -> Result<Option<Self>, ReceiveError> {
        let failed = |error| ReceiveError::io(&dir, error);
        match fs::symlink_metadata(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(found) if found.is_dir() => {}
            _ => return Err(ReceiveError::NotAFolder(dir)),
        }
        match is_own(&dir) {
            Ok(true) => {}
            Ok(false) => return Err(ReceiveError::NotOurs(dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
        let path = dir.join(LOCK);
        let lock = match File::options().write(true).create(true).truncate(false).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            lock => lock.map_err(failed)?,
        };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ReceiveError::InUse(dir)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // It may have been cleared away after it was opened; then nobody else will ever see this lock.
        let held = lock.metadata().map_err(failed)?;
        let is_there = fs::metadata(&path).is_ok_and(|named| named.ino() == held.ino() && named.dev() == held.dev());
        Ok(is_there.then_some(Self { dir, lock }))
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The assembled thing.
    pub(crate) fn item(&self) -> PathBuf {
        self.dir.join(ITEM)
    }

    /// The name under which exactly this thing was about to be moved to its destination, if it was.
    pub(crate) fn publishing(&self, id: &[u8; 32]) -> Option<String> {
        let written = fs::read(self.dir.join(PUBLISHING)).ok()?;
        let name = written.strip_prefix(id).filter(|name| !name.is_empty())?;
        String::from_utf8(name.to_owned()).ok()
    }

    /// Says under which name this thing is about to be moved, so that a crash does not leave that open.
    pub(crate) fn about_to_publish(&self, id: &[u8; 32], name: &str) -> io::Result<()> {
        replace(&self.dir, PUBLISHING, &[id, name.as_bytes()].concat())
    }

    /// Forgets that the thing was moved.
    pub(crate) fn begin_anew(&self) -> io::Result<()> {
        fs::remove_file(self.dir.join(PUBLISHING))
    }

    /// Removes the folder.
    pub(crate) fn clear(self) -> io::Result<()> {
        fs::remove_dir_all(&self.dir)
    }

    fn file(&self, key: EntryKey, root: RootHash) -> PathBuf {
        self.dir.join(FILES).join(format!("{key}-{root}"))
    }

    fn large(&self, key: EntryKey) -> PathBuf {
        self.dir.join(LARGE).join(key.to_string())
    }
}

fn folder_name(name: &str, sender: &[u8; 32], key: EntryKey) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("hypersend 2026 peer: folder of a thing under way");
    hasher.update(sender).update(&key.0);
    let digits = HEXLOWER.encode(&hasher.finalize().as_bytes()[..DIGITS / 2]);
    format!("{}{digits}{END}", beginning(name))
}

/// How the folders of all things of a name begin theirs. Of a long name only the beginning: the folder's own must not be
/// longer than a name may be.
fn beginning(name: &str) -> String {
    let fits = name.floor_char_boundary(MAX_FILE_NAME_BYTES - ".".len() - DIRECT.len() - DIGITS - END.len());
    format!(".{}{DIRECT}", &name[..fits])
}

/// A transfer that was dropped a moment ago lets go when its last write is done, so one that goes on waits for that.
pub(crate) fn patiently<T>(mut attempt: impl FnMut() -> Result<T, ReceiveError>) -> Result<T, ReceiveError> {
    let give_up = Instant::now() + RELEASE;
    loop {
        match attempt() {
            Err(ReceiveError::InUse(_)) if Instant::now() < give_up => thread::sleep(RELEASE / 40),
            done => return done,
        }
    }
}

/// Puts a whole small file in place of whatever has that name, so that it outlives a power cut.
pub(crate) fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!("{name}{NEW}"));
    fs::write(&temporary, bytes)?;
    File::open(&temporary)?.sync_all()?;
    fs::rename(temporary, dir.join(name))?;
    sync_dir(dir)
}

/// Removes a file or a whole folder that may not be there.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
