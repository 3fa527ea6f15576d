//! Files on their way in.
//!
//! The record of an upload is in the store, its bytes are a [`TransferFolder`] under the upload root. Finishing moves the
//! folder to the file root under the same id, then turns the record into a file; a crash between the two is noticed and
//! mended when the upload is begun again. A folder is open while a connection holds its [`UploadHandle`].

use super::accounts::Caller;
use crate::{
    clock,
    disk::Disk,
    metrics::Metrics,
    store::{
        Store,
        files::{BeginUpload, CommitUpload, File, Quota, Upload},
    },
};
use bytes::Bytes;
use hypersend_protocol::{
    hash::{ChunkValue, RootHash, UploadKey},
    id::{FileId, UserId},
    limit::MAX_OPEN_UPLOADS,
    name::FileName,
    time::UnixMillis,
};
use hypersend_transfer::{
    folder::{self, CheckpointError, CreateError, Landed, Manifest, OpenError, SealError, TransferFolder},
    map::ReceiveMap,
    plan::{ChunkPlan, Span},
    stored::{StoredError, StoredFile},
};
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::task::TaskTracker;

mod append;
mod error;
mod fill;
mod note;
mod staging;
#[cfg(test)]
mod tests;

pub use append::Appender;
pub use error::UploadError;
pub use staging::Staging;

/// Room that uploads leave on the disk, in bytes: the database must be able to write when the disk is full of files.
pub(crate) const KEEP_FREE: u64 = 256 << 20;

/// How long to wait for the last user of a folder, or for who last appended to it, to let go: the time of one range's write.
const RELEASE: Duration = Duration::from_secs(2);

/// How often an upload that goes on and on is marked as one that does: its lifetime is a day at least.
const MARK_EVERY: Duration = Duration::from_hours(1);

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
    files: PathBuf,
    policy: UploadPolicy,
    metrics: Metrics,
    open: Mutex<HashMap<FileId, Slot>>,
    /// Checkpoints of folders that nobody holds any more.
    closing: TaskTracker,
    /// Places for uploads that are filled from others.
    filling: Semaphore,
}

/// An upload that somebody holds.
#[derive(Clone)]
struct Slot {
    holders: usize,
    folder: Arc<OnceCell<Arc<Active>>>,
}

/// An open folder.
struct Active {
    folder: TransferFolder,
    finishing: tokio::sync::Mutex<()>,
    appending: append::Turns,
    /// When its record was last marked as resumed, in milliseconds of [`UnixMillis`].
    resumed: AtomicU64,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uploads").field("root", &self.uploads).field("policy", &self.policy).finish_non_exhaustive()
    }
}

type Result<T> = std::result::Result<T, UploadError>;

/// What beginning an upload gives.
#[derive(Debug)]
pub enum Begun {
    /// It is under way.
    Open(UploadHandle),
    /// It was finished before.
    Finished(File),
}

impl Uploads {
    /// Keeps what is under way in `uploads` and what is finished in `files`, two folders of one file system.
    pub fn new(
        store: Arc<dyn Store>,
        disk: Disk,
        uploads: PathBuf,
        files: PathBuf,
        policy: UploadPolicy,
        metrics: Metrics,
    ) -> Self {
        let (open, closing) = (Mutex::default(), TaskTracker::new());
        let filling = Semaphore::new(fill::AT_ONCE);
        Self(Arc::new(Inner { store, disk, uploads, files, policy, metrics, open, closing, filling }))
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
                return Err(UploadError::OverQuota { reserved, limit });
            }
        };
        let (id, owner) = (upload.id, upload.owner);
        match self.hold(upload).await {
            Ok(begun) => Ok(begun),
            Err(error) => {
                // A new upload for which there is no folder would only stand in the way of the next attempt.
                if id == fresh {
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

    /// Removes folders of uploads of which there is no record: what a crash left of those that were being dropped.
    pub async fn sweep(&self) -> Result<usize> {
        let root = self.0.uploads.clone();
        // Listed first, looked up then: a record is made before its folder.
        let folders = self.0.disk.run(move || folders_in(&root)).await?;
        let mut removed = 0;
        for id in folders {
            if self.0.store.upload(id).await?.is_none() {
                self.remove(id).await?;
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
        self.0.store.drop_upload(id).await?;
        self.remove(id).await?;
        tracing::info!(upload = %id, "upload dropped");
        Ok(())
    }

    async fn remove(&self, id: FileId) -> Result<()> {
        let dir = self.0.uploads.join(id.to_string());
        Ok(self.0.disk.run(move || remove_folder(&dir)).await?)
    }

    async fn hold(&self, upload: Upload) -> Result<Begun> {
        let (id, owner) = (upload.id, upload.owner);
        let guard = Hold { uploads: self.clone(), id };
        let cell = {
            let mut slots = self.slots();
            let slot = slots.entry(id).or_insert_with(|| Slot { holders: 0, folder: Arc::default() });
            slot.holders += 1;
            slot.folder.clone()
        };
        let opened = cell.get_or_try_init(|| self.open_folder(&upload)).await;
        match opened {
            Ok(active) => {
                self.0.metrics.upload_begun();
                Ok(Begun::Open(UploadHandle { id, owner, active: active.clone(), hold: guard }))
            }
            Err(Opening::Published(root)) => {
                // The crash came between moving the folder and committing the record.
                let file = self.0.store.commit_upload(CommitUpload { id, root, now: clock::now() }).await?;
                file.map(Begun::Finished).ok_or(UploadError::NoUpload(id))
            }
            Err(Opening::Failed(error)) => Err(error),
        }
    }

    async fn open_folder(&self, upload: &Upload) -> std::result::Result<Arc<Active>, Opening> {
        let plan = ChunkPlan::parse(upload.size, upload.chunk_size).map_err(UploadError::from)?;
        let manifest = Manifest::new(upload.id, upload.name.clone(), plan, None);
        let dir = self.0.uploads.join(upload.id.to_string());
        let published = self.0.files.join(upload.id.to_string());
        let give_up = tokio::time::Instant::now() + RELEASE;
        loop {
            let (dir, published, manifest) = (dir.clone(), published.clone(), manifest.clone());
            let opened = self.0.disk.run(move || open_or_create(&dir, &published, manifest)).await;
            match opened {
                // Its last holder is just letting go.
                Err(Opening::Failed(UploadError::Open(OpenError::InUse) | UploadError::Create(CreateError::InUse))) => {
                    if tokio::time::Instant::now() >= give_up {
                        return Err(UploadError::InUse.into());
                    }
                    tokio::time::sleep(RELEASE / 40).await;
                }
                opened => {
                    let (finishing, appending) = (tokio::sync::Mutex::default(), append::Turns::default());
                    let resumed = AtomicU64::new(upload.active.0);
                    return opened.map(|folder| Arc::new(Active { folder, finishing, appending, resumed }));
                }
            }
        }
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<FileId, Slot>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no folder to write to.
enum Opening {
    /// The upload is finished, but for its record.
    Published(RootHash),
    Failed(UploadError),
}

impl<E: Into<UploadError>> From<E> for Opening {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

fn open_or_create(dir: &Path, published: &Path, manifest: Manifest) -> std::result::Result<TransferFolder, Opening> {
    match TransferFolder::open(dir) {
        Err(OpenError::NotFound | OpenError::Unfinished) => {}
        opened => return Ok(opened?),
    }
    match StoredFile::open(published) {
        Ok(stored) => return Err(Opening::Published(stored.root)),
        Err(StoredError::NotFound) => {}
        Err(error) => return Err(error.into()),
    }
    let needed = manifest.size;
    if folder::free_bytes(dir.parent().unwrap_or(dir))? < needed.saturating_add(KEEP_FREE) {
        return Err(UploadError::NoSpace { needed }.into());
    }
    Ok(TransferFolder::create(dir, manifest)?)
}

/// The uploads that have a folder. Whatever else lies there is not ours.
fn folders_in(root: &Path) -> io::Result<Vec<FileId>> {
    let named = |name: &str| name.parse().ok().map(FileId).filter(|id| id.to_string() == name);
    let entries = std::fs::read_dir(root)?;
    entries.filter_map(|entry| entry.map(|entry| named(entry.file_name().to_str()?)).transpose()).collect()
}

/// Removes a folder that may be gone already.
pub(super) fn remove_folder(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// One holder's share of an open folder; the last one's end closes it.
struct Hold {
    uploads: Uploads,
    id: FileId,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut slots = self.uploads.slots();
        let Some(slot) = slots.get_mut(&self.id) else { return };
        slot.holders -= 1;
        if slot.holders > 0 {
            return;
        }
        let slot = slots.remove(&self.id).expect("it was just there");
        drop(slots);
        if let Some(active) = slot.folder.get().filter(|active| active.folder.bytes_since_checkpoint() > 0) {
            let active = active.clone();
            self.uploads.0.closing.spawn_blocking(move || active.checkpoint());
        }
    }
}

impl Active {
    fn checkpoint(&self) {
        match self.folder.checkpoint() {
            Ok(()) => {}
            // Finished or cancelled meanwhile: there is nothing left to keep.
            Err(CheckpointError::Content(error) | CheckpointError::Journal(error))
                if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::error!(error = %crate::report(&error), "checkpoint failed"),
        }
    }
}

/// An upload under way, held open for one connection.
pub struct UploadHandle {
    id: FileId,
    owner: UserId,
    active: Arc<Active>,
    hold: Hold,
}

impl std::fmt::Debug for UploadHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UploadHandle").field("id", &self.id).finish_non_exhaustive()
    }
}

impl UploadHandle {
    /// The id of the file that it will be.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Whose it is.
    pub fn owner(&self) -> UserId {
        self.owner
    }

    /// What the file will be called.
    pub fn name(&self) -> &FileName {
        &self.active.folder.manifest().name
    }

    /// How the file is cut.
    pub fn plan(&self) -> ChunkPlan {
        self.active.folder.plan()
    }

    /// Which chunks are stored.
    pub fn map(&self) -> ReceiveMap {
        self.active.folder.map()
    }

    /// Stores one range, checked against its value if the sender has said that. Whoever goes away meanwhile does not undo
    /// it.
    pub async fn put(&self, span: Span, value: Option<ChunkValue>, parts: Vec<Bytes>) -> Result<Landed> {
        let active = self.active.clone();
        let inner = &self.hold.uploads.0;
        let landed = inner.disk.run(move || active.folder.store_range(span, value, &parts)).await?;
        inner.metrics.received(span.length.into());
        self.went_on().await?;
        Ok(landed)
    }

    /// When it was last seen to go on, to within an hour: its lifetime counts from there.
    pub fn resumed(&self) -> UnixMillis {
        UnixMillis(self.active.resumed.load(Ordering::Relaxed))
    }

    /// What is to be done now and then while bytes come in.
    async fn went_on(&self) -> Result<()> {
        let inner = &self.hold.uploads.0;
        if self.active.folder.checkpoint_is_due() {
            // Ranges go on being stored meanwhile.
            let active = self.active.clone();
            inner.closing.spawn_blocking(move || active.checkpoint());
        }
        let now = clock::now();
        if now >= self.resumed().plus(MARK_EVERY) {
            self.active.resumed.store(now.0, Ordering::Relaxed);
            inner.store.resume_upload(self.id, self.owner, now).await?;
        }
        Ok(())
    }

    /// Turns the upload into a file, if it has the hash that its sender has computed; a sender that has not is believed.
    pub async fn finish(&self, expected: Option<RootHash>) -> Result<File> {
        let inner = &self.hold.uploads.0;
        let _turn = self.active.finishing.lock().await;
        if let Some(file) = inner.store.file(self.id, self.owner).await? {
            return Ok(file);
        }
        // Cancelled, or finished and deleted, by way of another connection: its folder is gone.
        inner.store.upload(self.id).await?.ok_or(UploadError::NoUpload(self.id))?;
        let (active, destination) = (self.active.clone(), inner.files.join(self.id.to_string()));
        let sealed = inner
            .disk
            .run(move || match StoredFile::open(&destination) {
                // An earlier attempt came as far as this; only its record is missing.
                Ok(stored) => Ok(stored.root),
                Err(StoredError::NotFound) => {
                    let sealed = active.folder.seal(expected)?;
                    let root = sealed.root;
                    sealed.publish(&destination)?;
                    Ok(root)
                }
                Err(error) => Err(error.into()),
            })
            .await;
        let root = match sealed {
            Ok(root) => root,
            Err(UploadError::Seal(SealError::Missing(chunks))) => return Err(UploadError::Incomplete(chunks)),
            Err(UploadError::Seal(SealError::Root { .. })) => {
                self.hold.uploads.drop_upload(self.id).await?;
                return Err(UploadError::Changed);
            }
            Err(error) => return Err(error),
        };
        let commit = CommitUpload { id: self.id, root, now: clock::now() };
        let file = inner.store.commit_upload(commit).await?.ok_or(UploadError::NoUpload(self.id))?;
        inner.metrics.upload_finished();
        tracing::info!(file = %self.id, user = %self.owner, bytes = file.size, "upload stored");
        Ok(file)
    }
}
