//! Files that are whole: finding them, reading them out, deleting them.
//!
//! Deleting is one act of the store, which takes the record and notes that the bytes have to go. Then the bytes go, then the
//! note. What a crash, a failing disk or a bucket that does not answer leaves is found by the note and removed later
//! ([`Files::clear_deleted`]). Nothing but a deletion of a file, or the dropping of an upload, writes a note: ids are not used
//! again, so nothing else is or ever will be there, whatever uploads are being finished meanwhile. Comparing what is there with
//! records would remove every file of a server that was started with an empty or an older database.

use super::{
    accounts::Caller,
    internal,
    root::{Content, Root, RootError},
    store_refusal,
};
use crate::{
    metrics::Metrics,
    store::{
        Store, StoreError,
        files::{DeleteFile, File},
    },
};
use bytes::Bytes;
use hypersend_protocol::{
    hash::ChunkValue,
    id::{ChunkIndex, FileId},
    limit::{MAX_PAGE, MAX_VALUES_PER_PAGE},
    refusal::{ErrorCode, Refusal},
};
use hypersend_transfer::plan::{PlanError, Span};
use std::sync::Arc;

/// How many notes of what is to be removed are read at once.
const REMOVALS_AT_ONCE: u32 = 1_000;

/// The file service.
#[derive(Clone)]
pub struct Files {
    store: Arc<dyn Store>,
    root: Root,
    metrics: Metrics,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("root", &self.root).finish_non_exhaustive()
    }
}

/// Why a file is neither read nor deleted.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// No such file, or none that the caller may read.
    #[error("there is no file {0}, or you may not read it")]
    NoFile(FileId),
    /// Something only its owner may do.
    #[error("only who uploaded file {0} can delete it")]
    NotOwner(FileId),
    /// Not a range of the file.
    #[error("there is no such range")]
    NoRange(#[from] PlanError),
    /// The file is missing where it should be, or damaged.
    #[error("open file {file}")]
    Open {
        /// The file.
        file: FileId,
        /// Why.
        source: RootError,
    },
    /// The disk or the bucket failed.
    #[error("read file {file}")]
    Read {
        /// The file.
        file: FileId,
        /// Why.
        source: RootError,
    },
    /// What is stored of a deleted file stays.
    #[error("remove what is stored of file {file}")]
    Remove {
        /// The file.
        file: FileId,
        /// Why.
        source: RootError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<FileError> for Refusal {
    fn from(error: FileError) -> Self {
        match error {
            FileError::NoFile(_) => Self::new(ErrorCode::NotFound, error.to_string()),
            FileError::NotOwner(_) => Self::new(ErrorCode::Forbidden, error.to_string()),
            FileError::NoRange(source) => Self::new(ErrorCode::Invalid, source.to_string()),
            FileError::Open { source: RootError::Objects(source), .. }
            | FileError::Read { source: RootError::Objects(source), .. } => (&source).into(),
            FileError::Open { .. } | FileError::Read { .. } | FileError::Remove { .. } => {
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
    pub fn new(store: Arc<dyn Store>, root: Root, metrics: Metrics) -> Self {
        Self { store, root, metrics }
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
        match self.root.open(file).await {
            Ok(content) => Ok(OpenFile { id: file, content, metrics: self.metrics.clone() }),
            Err(source) => {
                // That it is not there is no fault when it was deleted in between.
                self.file(me, file).await?;
                Err(FileError::Open { file, source })
            }
        }
    }

    /// Deletes a file that the caller uploaded. Who has it open reads on, where it is on this server's disk.
    pub async fn delete(&self, me: &Caller, file: FileId) -> Result<()> {
        match self.store.delete_file(file, me.id()).await? {
            DeleteFile::Done => {}
            DeleteFile::NotFound => return Err(FileError::NoFile(file)),
            DeleteFile::Forbidden => return Err(FileError::NotOwner(file)),
        }
        tracing::info!(%file, user = %me.id(), "file deleted");
        self.clear(file).await;
        Ok(())
    }

    /// Removes what is still there of deleted files and dropped uploads; says of how many.
    pub async fn clear_deleted(&self) -> Result<usize> {
        let (mut cleared, mut after) = (0, None);
        loop {
            let files = self.store.removals(after, REMOVALS_AT_ONCE).await?;
            after = files.last().copied();
            if after.is_none() {
                return Ok(cleared);
            }
            for file in files {
                cleared += usize::from(self.clear(file).await);
            }
        }
    }

    /// Removes what is stored of a deleted file, then the note of it; whether that worked. To the caller the file is gone in
    /// either case.
    async fn clear(&self, file: FileId) -> bool {
        let cleared = match self.root.remove(file).await {
            Ok(()) => self.store.forget_removal(file).await.map_err(FileError::from),
            Err(source) => Err(FileError::Remove { file, source }),
        };
        if let Err(error) = &cleared {
            tracing::warn!(error = %crate::report(error), "deleted file not removed; will be tried again");
        }
        cleared.is_ok()
    }
}

/// A file being read.
#[derive(Clone, Debug)]
pub struct OpenFile {
    id: FileId,
    content: Arc<dyn Content>,
    metrics: Metrics,
}

impl OpenFile {
    /// The bytes of one range.
    pub async fn range(&self, offset: u64, length: u32) -> Result<Bytes> {
        self.bytes(self.content.plan().range_at(offset, length.into())?.span).await
    }

    /// Any run of bytes of the file, into one buffer.
    pub async fn bytes(&self, span: Span) -> Result<Bytes> {
        let bytes = self.content.bytes(span).await.map_err(|source| FileError::Read { file: self.id, source })?;
        self.metrics.sent(bytes.len() as u64);
        Ok(bytes)
    }

    /// The values of some chunks.
    pub async fn values(&self, first: ChunkIndex, count: u32) -> Result<Vec<ChunkValue>> {
        let values = self.content.values(first, count.min(MAX_VALUES_PER_PAGE)).await;
        values.map_err(|source| FileError::Read { file: self.id, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock,
        disk::Disk,
        services::root::FolderRoot,
        store::{
            self,
            files::{BeginUpload, CommitUpload, Quota},
            users::{NewUser, PasswordHash},
        },
    };
    use hypersend_protocol::{
        account::Profile,
        hash::{RootHash, UploadKey},
        id::{SessionId, UserId},
        time::UnixMillis,
    };
    use std::{fs, path::PathBuf};
    use tempfile::TempDir;

    struct Scene {
        files: Files,
        ann: Caller,
        root: TempDir,
    }

    impl Scene {
        async fn set() -> Self {
            let root = tempfile::tempdir().unwrap();
            let store = store::open(&store::Place::File(root.path().join("test.db")), Arc::new(|_| ())).await.unwrap();
            let ann = NewUser {
                id: UserId(clock::new_id()),
                email: "ann@example.org".parse().unwrap(),
                name: "Ann".parse().unwrap(),
                password_hash: PasswordHash(String::new()),
                now: clock::now(),
            };
            store.create_user(ann.clone()).await.unwrap();
            let ann = Caller {
                profile: Profile { id: ann.id, email: ann.email, name: ann.name },
                session: SessionId(clock::new_id()),
                session_expires: UnixMillis(u64::MAX),
            };
            let place = root.path().to_owned();
            let files = Arc::new(FolderRoot::new(Disk::start().unwrap(), place.join("uploads"), place));
            let files = Files::new(store, files, Metrics::default());
            Self { files, ann, root }
        }

        fn folder(&self, file: FileId) -> PathBuf {
            self.root.path().join(file.to_string())
        }

        fn make_folder(&self, file: FileId) {
            fs::create_dir(self.folder(file)).unwrap();
            fs::write(self.folder(file).join("content"), "bytes").unwrap();
        }

        /// What finishing an upload leaves before its record is a file: a folder where files are.
        async fn published(&self, key: u8) -> FileId {
            let begin = BeginUpload {
                id: FileId(clock::new_id()),
                owner: self.ann.id(),
                key: UploadKey([key; 32]),
                name: "film.mkv".parse().unwrap(),
                size: 5,
                chunk_size: 1 << 20,
                max_open: 10,
                quota: Quota::Bytes(u64::MAX),
                now: clock::now(),
            };
            let id = begin.id;
            self.files.store.begin_upload(begin).await.unwrap();
            self.make_folder(id);
            id
        }

        async fn file(&self, key: u8) -> FileId {
            let id = self.published(key).await;
            let commit = CommitUpload { id, root: RootHash([key; 32]), now: clock::now() };
            self.files.store.commit_upload(commit).await.unwrap().unwrap();
            id
        }

        async fn notes(&self) -> Vec<FileId> {
            self.files.store.removals(None, 10).await.unwrap()
        }
    }

    #[tokio::test]
    async fn a_deleted_file_takes_its_folder_along() {
        let scene = Scene::set().await;
        let (gone, kept) = (scene.file(1).await, scene.file(2).await);
        scene.files.delete(&scene.ann, gone).await.unwrap();
        assert!(!scene.folder(gone).exists() && scene.folder(kept).exists());
        assert!(scene.notes().await.is_empty());
        let again = scene.files.delete(&scene.ann, gone).await;
        assert!(matches!(again, Err(FileError::NoFile(file)) if file == gone), "{again:?}");
    }

    #[tokio::test]
    async fn a_folder_left_by_a_crash_is_removed_later() {
        let scene = Scene::set().await;
        let (gone, kept) = (scene.file(1).await, scene.file(2).await);
        // The record goes, and the program dies.
        scene.files.store.delete_file(gone, scene.ann.id()).await.unwrap();
        assert!(scene.folder(gone).exists());
        assert_eq!(scene.files.clear_deleted().await.unwrap(), 1);
        assert!(!scene.folder(gone).exists() && scene.folder(kept).exists());
        assert_eq!(scene.files.clear_deleted().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_folder_that_stays_is_no_failure_and_is_tried_again() {
        let scene = Scene::set().await;
        let (stuck, other) = (scene.file(1).await, scene.file(2).await);
        // What is no folder is not removed as one.
        fs::remove_dir_all(scene.folder(stuck)).unwrap();
        fs::write(scene.folder(stuck), "in the way").unwrap();
        scene.files.delete(&scene.ann, stuck).await.unwrap();
        assert_eq!(scene.notes().await, [stuck]);
        scene.files.store.delete_file(other, scene.ann.id()).await.unwrap();
        assert_eq!(scene.files.clear_deleted().await.unwrap(), 1, "one that stays does not keep the others");

        fs::remove_file(scene.folder(stuck)).unwrap();
        scene.make_folder(stuck);
        assert_eq!(scene.files.clear_deleted().await.unwrap(), 1);
        assert!(!scene.folder(stuck).exists() && scene.notes().await.is_empty());
    }

    #[tokio::test]
    async fn a_folder_that_nobody_asked_to_remove_stays() {
        let scene = Scene::set().await;
        let (finishing, unknown) = (scene.published(1).await, FileId(clock::new_id()));
        scene.make_folder(unknown);
        assert_eq!(scene.files.clear_deleted().await.unwrap(), 0);
        assert!(scene.folder(finishing).exists() && scene.folder(unknown).exists());
    }
}
