//! A local file being sent. Noticed when it changes meanwhile, because the receiver would put two files together.

use crate::{
    plan::{ChunkPlan, PlanError, Span},
    read::read_span,
};
use bytes::Bytes;
use hypersend_protocol::{
    hash::UploadKey,
    name::{FileName, NameError},
};
use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// A regular file, open for reading. Everything blocks; reads share nothing and may run side by side.
#[derive(Debug)]
pub struct Source {
    file: File,
    path: PathBuf,
    name: FileName,
    plan: ChunkPlan,
    identity: Identity,
}

/// A file cannot be sent, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is none of that name.
    #[error("{} does not exist", .0.display())]
    NotFound(PathBuf),
    /// A folder.
    #[error("{} is a folder; pack it into one file first", .0.display())]
    IsADirectory(PathBuf),
    /// Not ours to read.
    #[error("no permission to read {}", .0.display())]
    NoPermission(PathBuf),
    /// A pipe, a socket, a device.
    #[error("{} is not a regular file", .0.display())]
    NotRegular(PathBuf),
    /// A name that no receiver could give it.
    #[error("{} cannot be sent under its name", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// What is wrong with its name.
        source: NameError,
    },
    /// Too large.
    #[error("{} cannot be sent", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PlanError,
    },
    /// Written to, replaced or removed since it was opened.
    #[error("{0} changed while it was being sent; send it again")]
    Changed(FileName),
    /// The disk refused.
    #[error("read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What tells a file from another, and from itself after a change.
///
/// The time of modification alone does not: tools set it back, and containers of encrypted disks are written with theirs
/// kept on purpose. The inode's change time cannot be set by anybody. Reading moves neither, so sending a file and
/// stopping half-way leaves it as it was; but renaming, linking and changing its mode or attributes do move the change
/// time. The file is then sent anew although its bytes are the same: a transfer lost, where the other choice would hand out
/// old bytes as the new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified_seconds: i64,
    modified_nanos: i64,
    changed_seconds: i64,
    changed_nanos: i64,
}

impl From<Metadata> for Identity {
    fn from(metadata: Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified_seconds: metadata.mtime(),
            modified_nanos: metadata.mtime_nsec(),
            changed_seconds: metadata.ctime(),
            changed_nanos: metadata.ctime_nsec(),
        }
    }
}

impl Source {
    /// Opens a file and looks at it; reads nothing.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let failed = |error| io_error(path, error);
        // Before opening: that would wait for the other end of a pipe.
        let metadata = fs::metadata(path).map_err(failed)?;
        if metadata.is_dir() {
            return Err(SourceError::IsADirectory(path.to_owned()));
        }
        if !metadata.is_file() {
            return Err(SourceError::NotRegular(path.to_owned()));
        }
        let file = File::open(path).map_err(failed)?;
        let identity = Identity::from(file.metadata().map_err(failed)?);
        let plan =
            ChunkPlan::for_size(identity.size).map_err(|source| SourceError::Plan { path: path.to_owned(), source })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = FileName::parse(&name).map_err(|source| SourceError::Name { path: path.to_owned(), source })?;
        let path = path.canonicalize().map_err(failed)?;
        Ok(Self { file, path, name, plan, identity })
    }

    /// Size in bytes, when it was opened.
    pub fn size(&self) -> u64 {
        self.plan.size()
    }

    /// The last part of the path; what is not UTF-8 in it is replaced.
    pub fn name(&self) -> &FileName {
        &self.name
    }

    /// How the file is cut.
    pub fn plan(&self) -> ChunkPlan {
        self.plan
    }

    /// The same for as long as the file stays where it is and as it is, so that sending it again resumes.
    pub fn key(&self) -> UploadKey {
        // Not the device: network and copy-on-write file systems get another number at every mount.
        let Identity { device: _, inode, size, .. } = self.identity;
        let Identity { modified_seconds, modified_nanos, changed_seconds, changed_nanos, .. } = self.identity;
        let mut hasher = blake3::Hasher::new_derive_key("hypersend 2026 upload key: identity of a local file");
        for number in [inode, size] {
            hasher.update(&number.to_le_bytes());
        }
        for number in [modified_seconds, modified_nanos, changed_seconds, changed_nanos] {
            hasher.update(&number.to_le_bytes());
        }
        // The same file is sent anew under another name, as one has by a symbolic link.
        hasher.update(&self.name.as_str().len().to_le_bytes());
        hasher.update(self.name.as_str().as_bytes());
        // Last, because it is the only part without a fixed length.
        hasher.update(self.path.as_os_str().as_bytes());
        UploadKey(hasher.finalize().into())
    }

    /// Reads a run of bytes, in one read into one buffer. A file that has become too short has changed.
    pub fn read_range(&self, span: Span) -> Result<Bytes, SourceError> {
        read_span(&self.file, span).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => SourceError::Changed(self.name.clone()),
            _ => io_error(&self.path, error),
        })
    }

    /// Compares the open file, and what its path leads to now, with what was opened.
    pub fn check_unchanged(&self) -> Result<(), SourceError> {
        let open = self.file.metadata().map_err(|error| io_error(&self.path, error))?;
        let named = fs::metadata(&self.path);
        let same = |metadata| Identity::from(metadata) == self.identity;
        if !same(open) || !named.is_ok_and(same) {
            return Err(SourceError::Changed(self.name.clone()));
        }
        Ok(())
    }
}

fn io_error(path: &Path, source: io::Error) -> SourceError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => SourceError::NotFound(path),
        io::ErrorKind::PermissionDenied => SourceError::NoPermission(path),
        _ => SourceError::Io { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, time::SystemTime};

    fn file(dir: &Path, bytes: &[u8]) -> PathBuf {
        let path = dir.join("film.mkv");
        fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn what_cannot_be_sent_is_refused_by_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("none");
        assert!(matches!(Source::open(&missing), Err(SourceError::NotFound(_))));
        assert!(matches!(Source::open(dir.path()), Err(SourceError::IsADirectory(_))));
        assert!(matches!(Source::open(Path::new("/dev/null")), Err(SourceError::NotRegular(_))));
        let odd = dir.path().join("a\\b");
        fs::write(&odd, "").unwrap();
        assert!(matches!(Source::open(&odd), Err(SourceError::Name { .. })));
    }

    #[test]
    fn reads_what_is_there_and_calls_a_short_read_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let source = Source::open(&file(dir.path(), b"0123456789")).unwrap();
        assert_eq!((source.size(), source.name().as_str()), (10, "film.mkv"));
        assert_eq!(source.read_range(Span { offset: 3, length: 4 }).unwrap(), "3456");
        assert_eq!(source.read_range(Span { offset: 10, length: 0 }).unwrap(), "");
        let error = source.read_range(Span { offset: 8, length: 4 }).unwrap_err();
        assert_eq!(error.to_string(), "film.mkv changed while it was being sent; send it again");
    }

    #[test]
    fn a_file_under_another_name_is_another_upload() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), b"0123456789");
        let link = dir.path().join("link.mkv");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let (one, other) = (Source::open(&path).unwrap(), Source::open(&link).unwrap());
        assert_eq!(other.name().as_str(), "link.mkv");
        assert_ne!(one.key(), other.key());
    }

    #[test]
    fn a_file_that_was_only_read_is_the_same_upload_on_whatever_device() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), b"0123456789");
        let mut source = Source::open(&path).unwrap();
        source.read_range(Span { offset: 0, length: 10 }).unwrap();
        source.check_unchanged().unwrap();
        source.identity.device += 1;
        assert_eq!(Source::open(&path).unwrap().key(), source.key());
    }

    #[test]
    fn every_change_is_noticed_and_gives_another_key() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 5] = [
            ("grown", |path| File::options().append(true).open(path).unwrap().write_all(b"x").unwrap()),
            ("touched", |path| File::open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap()),
            ("rewritten with its time set back", |path| {
                let before = fs::metadata(path).unwrap();
                // The clock of a file system ticks every few milliseconds.
                while fs::metadata(path).unwrap().ctime_nsec() == before.ctime_nsec() {
                    fs::write(path, b"9876543210").unwrap();
                    File::open(path).unwrap().set_modified(before.modified().unwrap()).unwrap();
                }
                assert_eq!(fs::metadata(path).unwrap().modified().unwrap(), before.modified().unwrap());
            }),
            ("replaced", |path| {
                let other = path.with_extension("other");
                fs::copy(path, &other).unwrap();
                fs::rename(other, path).unwrap();
            }),
            ("removed", |path| fs::remove_file(path).unwrap()),
        ];
        for (what, change) in changes {
            let dir = tempfile::tempdir().unwrap();
            let path = file(dir.path(), b"0123456789");
            let source = Source::open(&path).unwrap();
            source.check_unchanged().unwrap();
            assert_eq!(source.key(), Source::open(&path).unwrap().key());
            change(&path);
            assert!(matches!(source.check_unchanged(), Err(SourceError::Changed(_))), "{what}");
            if let Ok(again) = Source::open(&path) {
                assert_ne!(again.key(), source.key(), "{what}");
            }
        }
    }
}
