//! Files on their way in.
//!
//! The record of an upload is in the store, its bytes are a `TransferFolder` under the upload root, and where several servers
//! share a bucket, there too. Finishing has the [root](super::root) make a file of it under the same id, then turns the record
//! into a file; a crash between the two is noticed and mended when the upload is begun again. A folder is open while a connection
//! holds its [`UploadHandle`].

use super::{
    accounts::Caller,
    root::{Root, remove_folder},
};
use crate::{
    clock,
    disk::Disk,
    metrics::Metrics,
    store::{
        Store,
        files::{BeginUpload, Quota},
    },
};
use hypersend_protocol::{hash::UploadKey, id::FileId, limit::MAX_OPEN_UPLOADS, name::FileName, time::UnixMillis};
use hypersend_transfer::{folder, plan::ChunkPlan};
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

mod append;
mod error;
mod fill;
mod handle;
mod note;
mod opening;
mod staging;
#[cfg(test)]
mod tests;

pub use append::Appender;
pub use error::UploadError;
pub use handle::UploadHandle;
pub use opening::Begun;
pub use staging::Staging;

use opening::Slot;

/// Room that uploads leave on the disk, in bytes: the database must be able to write when the disk is full of files.
pub(crate) const KEEP_FREE: u64 = 256 << 20;

/// How long to wait for the last user of a folder, or for who last appended to it, to let go: the time of one range's write.
const RELEASE: Duration = Duration::from_secs(2);

/// What the operator decides about uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadPolicy {
    /// The largest file accepted, in bytes.
    pub max_file_size: u64,
    /// How many bytes one user's unfinished uploads may have reserved. None: half of what would be free without them.
    pub max_reserved: Option<u64>,
}

/// The upload service.
#[derive(Clone, Debug)]
pub struct Uploads(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    disk: Disk,
    uploads: PathBuf,
    root: Root,
    policy: UploadPolicy,
    metrics: Metrics,
    open: Mutex<HashMap<FileId, Slot>>,
    /// Checkpoints of folders that nobody holds any more.
    closing: TaskTracker,
    /// Places for uploads that are filled from others.
    filling: Semaphore,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uploads").field("root", &self.uploads).field("policy", &self.policy).finish_non_exhaustive()
    }
}

type Result<T> = std::result::Result<T, UploadError>;

impl Uploads {
    /// Keeps what is under way in `uploads`, and makes files of it under `root`.
    pub fn new(
        store: Arc<dyn Store>,
        disk: Disk,
        uploads: PathBuf,
        root: Root,
        policy: UploadPolicy,
        metrics: Metrics,
    ) -> Self {
        let (open, closing) = (Mutex::default(), TaskTracker::new());
        let filling = Semaphore::new(fill::AT_ONCE);
        Self(Arc::new(Inner { store, disk, uploads, root, policy, metrics, open, closing, filling }))
    }

    /// Begins an upload, or goes on with the one of the same key.
    pub async fn begin(&self, me: &Caller, key: UploadKey, name: FileName, size: u64) -> Result<Begun> {
        let limit = self.0.policy.max_file_size;
        if size > limit {
            return Err(UploadError::TooLarge { size, limit });
        }
        let plan = ChunkPlan::for_size(size)?;
        let uploads = self.0.uploads.clone();
        let free = self.0.disk.run(move || folder::free_bytes(&uploads)).await?;
        let begin = BeginUpload {
            id: FileId(clock::new_id()),
            owner: me.id(),
            key,
            name,
            size,
            chunk_size: plan.chunk_size(),
            max_open: MAX_OPEN_UPLOADS,
            quota: self.0.policy.max_reserved.map_or(Quota::HalfOf(free), Quota::Bytes),
            now: clock::now(),
        };
        let fresh = begin.id;
        let upload = match self.0.store.begin_upload(begin).await? {
            crate::store::files::Begun::Open(upload) => upload,
            crate::store::files::Begun::Finished(file) => return Ok(Begun::Finished(file)),
            crate::store::files::Begun::KeyTaken => return Err(UploadError::KeyTaken),
            crate::store::files::Begun::TooMany => return Err(UploadError::TooMany),
            crate::store::files::Begun::OverQuota { .. } if free < size.saturating_add(KEEP_FREE) => {
                return Err(UploadError::NoSpace { needed: size });
            }
            crate::store::files::Begun::OverQuota { reserved, limit } => {
                return Err(match self.0.policy.max_reserved {
                    Some(_) => UploadError::OverQuota { reserved, limit },
                    None => UploadError::OverShare { reserved, limit },
                });
            }
        };
        let (id, owner) = (upload.id, upload.owner);
        match self.hold(upload).await {
            Ok(begun) => Ok(begun),
            Err(error) => {
                // A new upload for which there is no folder would only stand in the way of the next attempt. While the bucket is
                // away there is one, and the next attempt finds it.
                if id == fresh && !matches!(error, UploadError::Objects(_)) {
                    self.0.store.drop_upload(id).await?;
                }
                tracing::warn!(upload = %id, user = %owner, error = %crate::report(&error), "upload refused");
                Err(error)
            }
        }
    }

    /// Goes on with one of the caller's uploads, by its id.
    pub async fn resume(&self, me: &Caller, file: FileId) -> Result<Begun> {
        if let Some(upload) = self.0.store.resume_upload(file, me.id(), clock::now()).await? {
            return self.hold(upload).await;
        }
        // Finished, perhaps by an attempt whose answer was lost.
        let finished = self.0.store.file(file, me.id()).await?.filter(|file| file.owner == me.id());
        finished.map(Begun::Finished).ok_or(UploadError::NoUpload(file))
    }

    /// Drops one of the caller's uploads and what was stored of it.
    pub async fn cancel(&self, me: &Caller, file: FileId) -> Result<()> {
        let upload = self.0.store.upload(file).await?.filter(|upload| upload.owner == me.id());
        let upload = upload.ok_or(UploadError::NoUpload(file))?;
        self.drop_upload(upload.id).await
    }

    /// Drops uploads that nobody has begun or resumed since `before`, and is not just sending.
    pub async fn drop_stale(&self, before: UnixMillis) -> Result<usize> {
        let mut dropped = 0;
        for upload in self.0.store.stale_uploads(before, 1_000).await? {
            // A slot is taken after the record is marked as active, so whoever takes it up from here on is found out there.
            let in_use = self.slots().contains_key(&upload.id);
            if !in_use && self.0.store.drop_upload_if_stale(upload.id, before).await? {
                self.remove(upload.id).await?;
                tracing::info!(upload = %upload.id, "abandoned upload dropped");
                dropped += 1;
            }
        }
        Ok(dropped)
    }

    /// Removes folders of uploads of which there is no record: what a crash left of those that were being dropped, or finished.
    pub async fn sweep(&self) -> Result<usize> {
        let root = self.0.uploads.clone();
        // Listed first, looked up then: a record is made before its folder.
        let folders = self.0.disk.run(move || folders_in(&root)).await?;
        let mut removed = 0;
        for id in folders {
            if self.0.store.upload(id).await?.is_none() {
                self.remove_folder(id).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Waits until the folders that connections let go of are checkpointed.
    pub async fn settled(&self) {
        self.0.closing.close();
        self.0.closing.wait().await;
    }

    async fn drop_upload(&self, id: FileId) -> Result<()> {
        if self.0.store.drop_upload(id).await? {
            self.remove(id).await?;
            tracing::info!(upload = %id, "upload dropped");
        }
        // Otherwise it was dropped already, or is a file by now.
        Ok(())
    }

    /// Removes what is stored of an upload whose record is gone. What stays is removed by the note that went with the record; the
    /// note is left for that in either case, because another server may just be storing a chunk.
    async fn remove(&self, id: FileId) -> Result<()> {
        self.remove_folder(id).await?;
        if let Err(error) = self.0.root.remove(id).await {
            tracing::warn!(upload = %id, error = %crate::report(&error), "dropped upload not removed; will be tried again");
        }
        Ok(())
    }

    /// Removes the folder of an upload, if there is one.
    async fn remove_folder(&self, id: FileId) -> Result<()> {
        let dir = self.0.uploads.join(id.to_string());
        Ok(self.0.disk.run(move || remove_folder(&dir)).await?)
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<FileId, Slot>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The uploads that have a folder. Whatever else lies there is not ours.
fn folders_in(root: &Path) -> io::Result<Vec<FileId>> {
    let named = |name: &str| name.parse().ok().map(FileId).filter(|id| id.to_string() == name);
    let entries = std::fs::read_dir(root)?;
    entries.filter_map(|entry| entry.map(|entry| named(entry.file_name().to_str()?)).transpose()).collect()
}
