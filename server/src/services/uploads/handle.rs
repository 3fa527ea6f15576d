//! An upload under way, as doors hold it.

use super::{
    Result, UploadError,
    opening::{Active, Hold},
};
use crate::{clock, services::root::RootError, store::files::File};
use bytes::Bytes;
use hypersend_protocol::{
    hash::{ChunkValue, RootHash},
    id::{ChunkIndex, FileId, UserId},
    name::FileName,
    time::UnixMillis,
};
use hypersend_transfer::{
    folder::{Landed, SealError},
    map::ReceiveMap,
    plan::{ChunkPlan, Span},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// How often an upload that goes on and on is marked as one that does: its lifetime is a day at least.
const MARK_EVERY: Duration = Duration::from_hours(1);

/// An upload under way, held open for one connection.
pub struct UploadHandle {
    pub(super) id: FileId,
    pub(super) owner: UserId,
    pub(super) active: Arc<Active>,
    pub(super) hold: Hold,
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
        &self.active.kept.folder().manifest().name
    }

    /// How the file is cut.
    pub fn plan(&self) -> ChunkPlan {
        self.active.kept.folder().plan()
    }

    /// Which chunks are stored.
    pub fn map(&self) -> ReceiveMap {
        self.hold.uploads.0.root.map(&self.active.kept)
    }

    /// Learns what has been stored by way of other servers; whether it has even been finished there.
    pub async fn level(&self) -> Result<bool> {
        Ok(self.hold.uploads.0.root.level(&self.active.kept).await?)
    }

    /// Stores one range, checked against its value if the sender has said that. Whoever goes away meanwhile does not undo
    /// it.
    pub async fn put(&self, span: Span, value: Option<ChunkValue>, parts: Vec<Bytes>) -> Result<Landed> {
        let active = self.active.clone();
        let inner = &self.hold.uploads.0;
        let landed = inner.disk.run(move || active.kept.folder().store_range(span, value, &parts)).await?;
        inner.metrics.received(span.length.into());
        if let Landed::Chunk(chunk) = landed {
            self.stored(chunk).await?;
        }
        self.went_on().await?;
        Ok(landed)
    }

    /// What is to be done with every chunk that is complete in the folder, before its sender hears of it.
    pub(super) async fn stored(&self, chunk: ChunkIndex) -> Result<()> {
        Ok(self.hold.uploads.0.root.keep(&self.active.kept, chunk).await?)
    }

    /// When it was last seen to go on, to within an hour: its lifetime counts from there.
    pub fn resumed(&self) -> UnixMillis {
        UnixMillis(self.active.resumed.load(Ordering::Relaxed))
    }

    /// What is to be done now and then while bytes come in.
    pub(super) async fn went_on(&self) -> Result<()> {
        let inner = &self.hold.uploads.0;
        if self.active.kept.folder().checkpoint_is_due() {
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
        let finished = match inner.root.finished(self.id).await? {
            // An earlier attempt came as far as this; only its record is missing.
            Some(root) => Ok(root),
            None => inner.root.finish(&self.active.kept, expected).await,
        };
        let root = match finished {
            Ok(root) => root,
            Err(RootError::Seal(SealError::Missing(chunks))) => return Err(UploadError::Incomplete(chunks)),
            Err(RootError::Seal(SealError::Root { .. })) => {
                self.hold.uploads.drop_upload(self.id).await?;
                return Err(UploadError::Changed);
            }
            Err(error) => return Err(error.into()),
        };
        let file = self.hold.uploads.commit(self.id, root).await?;
        inner.metrics.upload_finished();
        tracing::info!(file = %self.id, user = %self.owner, bytes = file.size, "upload stored");
        Ok(file)
    }
}
