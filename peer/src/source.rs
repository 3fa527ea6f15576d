//! Single files at the sender: opened, told apart from what they were, read. Everything blocks.

use bytes::Bytes;
use hypersend_protocol::{hash::EntryKey, time::UnixMillis};
use hypersend_transfer::plan::Span;
use rustix::{
    buffer::spare_capacity,
    fs::{Mode, OFlags},
    io::retry_on_intr,
};
use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// A file cannot be sent any more. Names the file as it was offered.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Written to, replaced or removed since it was offered.
    #[error("{0} changed while it was being sent; send it again")]
    Changed(String),
    /// The disk refused.
    #[error("read {file}")]
    Io {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
}

/// The key of a file: where it is, and what changes whenever its bytes do. Not the device, which network and copy-on-write
/// file systems number anew at every mount.
pub(crate) fn file_key(path: &Path, metadata: &Metadata) -> EntryKey {
    let mut hasher = blake3::Hasher::new_derive_key("hypersend 2026 peer: identity of a file");
    for number in [metadata.ino(), metadata.size()] {
        hasher.update(&number.to_le_bytes());
    }
    // The time of modification can be set by anybody, the time of the inode's change by nobody.
    for number in [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(path.as_os_str().as_bytes());
    EntryKey(hasher.finalize().into())
}

/// The key of a folder: where it is. What is in it may change; each file has a key of its own.
pub(crate) fn folder_key(path: &Path, metadata: &Metadata) -> EntryKey {
    let mut hasher = blake3::Hasher::new_derive_key("hypersend 2026 peer: identity of a folder");
    hasher.update(&metadata.ino().to_le_bytes());
    hasher.update(path.as_os_str().as_bytes());
    EntryKey(hasher.finalize().into())
}

/// When it was modified, as it travels.
pub(crate) fn modified(metadata: &Metadata) -> UnixMillis {
    let millis = i128::from(metadata.mtime()) * 1_000 + i128::from(metadata.mtime_nsec()) / 1_000_000;
    UnixMillis(u64::try_from(millis).unwrap_or(0))
}

/// A file, open for reading. Reads share nothing and may run side by side.
#[derive(Debug)]
pub(crate) struct OpenFile {
    file: File,
    path: PathBuf,
    shown: String,
    key: EntryKey,
}

impl OpenFile {
    /// Opens what has to be the file with this key. Follows no link and waits for no pipe: whatever has taken the file's
    /// place is a change.
    pub(crate) fn open(path: PathBuf, shown: String, key: EntryKey) -> Result<Self, SourceError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => {
                return Err(SourceError::Changed(shown));
            }
            Err(error) => return Err(SourceError::Io { file: shown, source: error.into() }),
        };
        let open = Self { file, path, shown, key };
        let metadata = open.file.metadata().map_err(|source| open.failed(source))?;
        if !metadata.is_file() || file_key(&open.path, &metadata) != key {
            return Err(SourceError::Changed(open.shown));
        }
        Ok(open)
    }

    /// Reads a run of bytes into one buffer. A file that has become too short has changed.
    pub(crate) fn read(&self, span: Span) -> Result<Bytes, SourceError> {
        let length = span.length as usize;
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let offset = span.offset + bytes.len() as u64;
            let read = retry_on_intr(|| rustix::io::pread(&self.file, spare_capacity(&mut bytes), offset));
            if read.map_err(|error| self.failed(error.into()))? == 0 {
                return Err(SourceError::Changed(self.shown.clone()));
            }
        }
        bytes.truncate(length);
        Ok(bytes.into())
    }

    /// Compares the open file, and what its path leads to now, with what was offered.
    pub(crate) fn check_unchanged(&self) -> Result<(), SourceError> {
        let open = self.file.metadata().map_err(|source| self.failed(source))?;
        let named = fs::symlink_metadata(&self.path);
        let same = |metadata: &Metadata| file_key(&self.path, metadata) == self.key;
        if !same(&open) || !named.is_ok_and(|named| same(&named)) {
            return Err(SourceError::Changed(self.shown.clone()));
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> SourceError {
        SourceError::Io { file: self.shown.clone(), source }
    }
}
