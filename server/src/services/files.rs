//! Files that are whole: finding them, and reading them out.

use super::{accounts::Caller, internal, store_refusal};
use crate::{
    disk::Disk,
    store::{Store, StoreError, files::File},
};
use bytes::Bytes;
use hypersend_protocol::{
    hash::ChunkValue,
    id::{ChunkIndex, FileId},
    limit::{MAX_PAGE, MAX_VALUES_PER_PAGE},
    refusal::{ErrorCode, Refusal},
};
use hypersend_transfer::{
    plan::{PlanError, Span},
    stored::{StoredError, StoredFile},
};
use std::{io, path::PathBuf, sync::Arc};

/// The file service.
#[derive(Clone)]
pub struct Files {
    store: Arc<dyn Store>,
    disk: Disk,
    /// Each file is a folder in this one, named by its id.
    root: PathBuf,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("root", &self.root).finish_non_exhaustive()
    }
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// No such file, or none that the caller may read.
    #[error("there is no file {0}, or you may not read it")]
    NoFile(FileId),
    /// Not a range of the file.
    #[error("there is no such range")]
    NoRange(#[from] PlanError),
    /// The file's folder is missing or damaged.
    #[error("open file {file}")]
    Open {
        /// The file.
        file: FileId,
        /// Why.
        source: StoredError,
    },
    /// The disk failed.
    #[error("read file {file}")]
    Read {
        /// The file.
        file: FileId,
        /// Why.
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<FileError> for Refusal {
    fn from(error: FileError) -> Self {
        match error {
            FileError::NoFile(_) => Self::new(ErrorCode::NotFound, error.to_string()),
            FileError::NoRange(source) => Self::new(ErrorCode::Invalid, source.to_string()),
            FileError::Open { .. } | FileError::Read { .. } => {
                tracing::error!(error = %crate::report(&error), "stored file failed");
                internal()
            }
            FileError::Store(error) => store_refusal(&error),
        }
    }
}

type Result<T> = std::result::Result<T, FileError>;

impl Files {
    /// Serves the files under `root`.
    pub fn new(store: Arc<dyn Store>, disk: Disk, root: PathBuf) -> Self {
        Self { store, disk, root }
    }

    /// A file that the caller may read.
    pub async fn file(&self, me: &Caller, file: FileId) -> Result<File> {
        self.store.file(file, me.id()).await?.ok_or(FileError::NoFile(file))
    }

    /// The caller's own files, newest first, and whether there are older ones.
    pub async fn list(&self, me: &Caller, before: Option<FileId>, limit: u32) -> Result<(Vec<File>, bool)> {
        let limit = limit.clamp(1, MAX_PAGE);
        let mut files = self.store.files_of(me.id(), before, limit + 1).await?;
        let more = files.len() > limit as usize;
        files.truncate(limit as usize);
        Ok((files, more))
    }

    /// Opens a file that the caller may read.
    pub async fn open(&self, me: &Caller, file: FileId) -> Result<OpenFile> {
        self.file(me, file).await?;
        let dir = self.root.join(file.to_string());
        let stored = self.disk.run(move || StoredFile::open(&dir)).await;
        let stored = stored.map_err(|source| FileError::Open { file, source })?;
        Ok(OpenFile { id: file, stored: Arc::new(stored), disk: self.disk.clone() })
    }
}

/// A file being read.
#[derive(Clone, Debug)]
pub struct OpenFile {
    id: FileId,
    stored: Arc<StoredFile>,
    disk: Disk,
}

impl OpenFile {
    /// The bytes of one range.
    pub async fn range(&self, offset: u64, length: u32) -> Result<Bytes> {
        self.bytes(self.stored.plan().range_at(offset, length.into())?.span).await
    }

    /// Any run of bytes of the file, into one buffer.
    pub async fn bytes(&self, span: Span) -> Result<Bytes> {
        let stored = self.stored.clone();
        let bytes = self.disk.run(move || stored.read_range(span)).await;
        bytes.map_err(|source| FileError::Read { file: self.id, source })
    }

    /// The values of some chunks.
    pub async fn values(&self, first: ChunkIndex, count: u32) -> Result<Vec<ChunkValue>> {
        let stored = self.stored.clone();
        let values = self.disk.run(move || stored.values(first, count.min(MAX_VALUES_PER_PAGE))).await;
        values.map_err(|source| FileError::Read { file: self.id, source })
    }
}
