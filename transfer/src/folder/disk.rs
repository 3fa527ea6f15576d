//! Space, and names that last.

use rustix::{
    fs::{CWD, FallocateFlags, RenameFlags, fallocate, renameat_with, statvfs},
    io::{Errno, retry_on_intr},
    process::geteuid,
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

/// A file that is made for a moment, to see whose it is then.
const PROBE: &str = "owner";

/// The disk is too full, and by how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the disk is full: {needed} bytes are needed and {free} are free; free {} more", self.missing())]
pub struct NoSpace {
    /// Bytes that had to be placed.
    pub needed: u64,
    /// Bytes that were free.
    pub free: u64,
}

impl NoSpace {
    /// Bytes that have to be freed. At least one: a file system may refuse the last of what it calls free.
    pub fn missing(self) -> u64 {
        self.needed.saturating_sub(self.free).max(1)
    }
}

/// Bytes that this process may still place on the file system of a folder.
pub fn free_bytes(dir: &Path) -> io::Result<u64> {
    let stat = statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Whether a folder was made by the user that this process is, and not by another one who has laid it out for us. On a
/// file system that gives whatever is made on it to one owner, every folder counts as ours.
pub fn is_own(dir: &Path) -> io::Result<bool> {
    let owner = fs::symlink_metadata(dir)?.uid();
    if owner == geteuid().as_raw() {
        return Ok(true);
    }
    let probe = dir.join(PROBE);
    remove_if_there(&probe)?;
    let made = match File::options().write(true).create_new(true).open(&probe) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        made => made?,
    };
    remove_if_there(&probe)?;
    Ok(made.metadata()?.uid() == owner)
}

/// How reserving the content's space can fail.
pub(super) enum ReserveError {
    NoSpace(NoSpace),
    Io(io::Error),
}

/// Gives a file its full length, its blocks reserved where the file system can. Where it cannot, the file is sparse: a
/// disk that fills later is then found out by a write.
pub(super) fn reserve(dir: &Path, file: &File, size: u64) -> Result<(), ReserveError> {
    let no_space = || Ok(NoSpace { needed: size, free: free_bytes(dir)? });
    let full = || no_space().map_or_else(ReserveError::Io, ReserveError::NoSpace);
    if size == 0 {
        return file.set_len(0).map_err(ReserveError::Io);
    }
    match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, size)) {
        Ok(()) => Ok(()),
        Err(Errno::NOSPC | Errno::DQUOT) => Err(full()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) if free_bytes(dir).is_ok_and(|free| free < size) => Err(full()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(size).map_err(ReserveError::Io),
        Err(error) => Err(ReserveError::Io(error.into())),
    }
}

/// Puts a whole small file in place of whatever has that name: a reader sees the old one or the new one. It outlives a
/// power cut once the folder is flushed as well, see [`sync_dir`].
pub(super) fn replace(dir: &Path, name: &str, bytes: &[u8], durable: bool) -> io::Result<()> {
    let temporary = dir.join(format!("{name}.new"));
    fs::write(&temporary, bytes)?;
    if durable {
        File::open(&temporary)?.sync_all()?;
    }
    fs::rename(temporary, dir.join(name))
}

/// Makes the names in a folder outlive a power cut.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The folder that a path is in.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// Removes a file that may not be there.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Renames, but never over something: [`io::ErrorKind::AlreadyExists`] where there is something.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems do not know the flag; there the check and the rename are two steps.
        Err(Errno::INVAL | Errno::NOSYS) if to.symlink_metadata().is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(Errno::INVAL | Errno::NOSYS) => fs::rename(from, to),
        renamed => Ok(renamed?),
    }
}
