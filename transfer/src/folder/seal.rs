//! The end of a file under way: proved, flushed, and moved to where it belongs.

use super::{
    CONTENT, CheckpointError, JOURNAL, MANIFEST, TAIL, TransferFolder, VALUES,
    disk::{parent, remove_if_there, rename_new, replace, sync_dir},
    manifest::Manifest,
    open::is_sealed,
};
use crate::{journal::JournalError, tree::root};
use hypersend_protocol::hash::{ChunkValue, RootHash};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// A complete file, on the platter, with its hash known. Keeps the folder locked.
#[derive(Debug)]
pub struct Sealed {
    /// The hash of the whole file.
    pub root: RootHash,
    dir: PathBuf,
    _lock: File,
}

/// The file is not complete, or not the right one.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Chunks are missing.
    #[error("{0} chunks of the file are missing")]
    Missing(u32),
    /// Complete, but another file than announced.
    #[error("the file's hash is {actual}, not {expected}")]
    Root {
        /// What was announced.
        expected: RootHash,
        /// What the content has.
        actual: RootHash,
    },
    /// The content could not be put on the platter.
    #[error("seal the file")]
    Flush(#[from] CheckpointError),
    /// The journal could not be read back.
    #[error("seal the file")]
    Journal(#[from] JournalError),
    /// The disk refused.
    #[error("seal the file")]
    Io(#[from] io::Error),
}

/// The folder was not published; it is where it was.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Something is at the destination already.
    #[error("{} is already there", .0.display())]
    Exists(PathBuf),
    /// The disk refused.
    #[error("publish the file as {}", destination.display())]
    Io {
        /// Where it should have gone.
        destination: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The file was not moved out of its folder.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// Something is at the destination already; it is never overwritten.
    #[error("{} is already there", .0.display())]
    Exists(PathBuf),
    /// The destination is on another file system: copying would be a second write of the whole file.
    #[error("{} is on another disk than the transfer's folder", .0.display())]
    OtherFileSystem(PathBuf),
    /// The disk refused.
    #[error("move the file to {}", destination.display())]
    Io {
        /// Where it should have gone.
        destination: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl TransferFolder {
    /// Checks that nothing is missing and that the file has the hash expected here and by the manifest, and puts
    /// everything on the platter. May be repeated.
    pub fn seal(&self, expected: Option<RootHash>) -> Result<Sealed, SealError> {
        let mut platter = self.settling.platter();
        let sealed_before = is_sealed(&self.dir, &self.plan)?;
        let values = if sealed_before { split(&fs::read(self.dir.join(VALUES))?) } else { self.recorded_values()? };
        let actual = root(&self.plan, &values);
        for expected in [expected, self.manifest.root].into_iter().flatten() {
            if expected != actual {
                return Err(SealError::Root { expected, actual });
            }
        }
        if !sealed_before {
            self.flush_content(&mut platter)?;
            let manifest = Manifest { root: Some(actual), ..self.manifest.clone() };
            replace(&self.dir, MANIFEST, &manifest.to_json(), true)?;
            let values: Vec<u8> = values.iter().flat_map(|value| value.0).collect();
            replace(&self.dir, VALUES, &values, true)?;
            self.flush_names(&mut platter)?;
        }
        Ok(Sealed { root: actual, dir: self.dir.clone(), _lock: self.content.try_clone()? })
    }

    fn recorded_values(&self) -> Result<Vec<ChunkValue>, SealError> {
        let map = self.map();
        if !map.is_full() {
            return Err(SealError::Missing(map.count() - map.stored()));
        }
        // Fewer than in the map only when the journal has been damaged since it was opened.
        let recorded: Vec<_> = self.journal.contents(&self.plan)?.values.into_iter().flatten().collect();
        match self.plan.chunk_count() as usize - recorded.len() {
            0 => Ok(recorded),
            lost => Err(SealError::Missing(u32::try_from(lost).unwrap_or(u32::MAX))),
        }
    }
}

pub(super) fn split(values: &[u8]) -> Vec<ChunkValue> {
    values.as_chunks().0.iter().map(|value| ChunkValue(*value)).collect()
}

impl Sealed {
    /// Moves the whole folder to a path on the same file system, for [`StoredFile`](crate::StoredFile) to open. The
    /// destination's parent must exist. After a crash either the destination is there, or the folder can be opened,
    /// sealed and published again.
    pub fn publish(self, destination: &Path) -> Result<(), PublishError> {
        self.move_folder(destination).map_err(|source| match source.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => {
                PublishError::Exists(destination.to_owned())
            }
            _ => PublishError::Io { destination: destination.to_owned(), source },
        })
    }

    /// Moves the content to a path on the same file system and removes the folder. After a crash, opening the folder
    /// says whether the content had moved.
    pub fn extract(self, destination: &Path) -> Result<(), ExtractError> {
        self.move_content(destination).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => ExtractError::Exists(destination.to_owned()),
            io::ErrorKind::CrossesDevices => ExtractError::OtherFileSystem(destination.to_owned()),
            _ => ExtractError::Io { destination: destination.to_owned(), source },
        })
    }

    fn move_folder(&self, destination: &Path) -> io::Result<()> {
        remove_if_there(&self.dir.join(JOURNAL))?;
        remove_if_there(&self.dir.join(TAIL))?;
        fs::rename(&self.dir, destination)?;
        sync_dir(parent(destination))
    }

    fn move_content(&self, destination: &Path) -> io::Result<()> {
        rename_new(&self.dir.join(CONTENT), destination)?;
        sync_dir(parent(destination))?;
        fs::remove_dir_all(&self.dir)
    }
}
