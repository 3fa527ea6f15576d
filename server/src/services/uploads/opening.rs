//! Uploads taken up: one open folder for all that hold it.

use super::{KEEP_FREE, RELEASE, Result, UploadError, Uploads, append, handle::UploadHandle};
use crate::{
    clock,
    services::root::Kept,
    store::files::{CommitUpload, File, Upload},
};
use hypersend_protocol::{hash::RootHash, id::FileId};
use hypersend_transfer::{
    folder::{self, CheckpointError, CreateError, Manifest, OpenError, TransferFolder},
    plan::ChunkPlan,
};
use std::{
    io,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};
use tokio::sync::OnceCell;

/// An upload that somebody holds.
#[derive(Clone)]
pub(super) struct Slot {
    holders: usize,
    folder: Arc<OnceCell<Arc<Active>>>,
}

/// An open folder.
pub(super) struct Active {
    pub(super) kept: Kept,
    pub(super) finishing: tokio::sync::Mutex<()>,
    pub(super) appending: append::Turns,
    /// When its record was last marked as resumed, in milliseconds of `UnixMillis`.
    pub(super) resumed: AtomicU64,
}

/// What beginning an upload gives.
#[derive(Debug)]
pub enum Begun {
    /// It is under way.
    Open(UploadHandle),
    /// It was finished before.
    Finished(File),
}

impl Uploads {
    pub(super) async fn hold(&self, upload: Upload) -> Result<Begun> {
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
                self.0.root.level(&active.kept).await?;
                self.0.metrics.upload_begun();
                Ok(Begun::Open(UploadHandle { id, owner, active: active.clone(), hold: guard }))
            }
            Err(Opening::Published(root)) => {
                // The crash came between making the file and committing the record.
                self.commit(id, root).await.map(Begun::Finished)
            }
            Err(Opening::Failed(error)) => Err(error),
        }
    }

    /// Turns the record of an upload into that of a file, which is there. The folder of the upload has done its work then.
    pub(super) async fn commit(&self, id: FileId, root: RootHash) -> Result<File> {
        let commit = CommitUpload { id, root, now: clock::now() };
        let file = self.0.store.commit_upload(commit).await?.ok_or(UploadError::NoUpload(id))?;
        if let Err(error) = self.remove_folder(id).await {
            tracing::warn!(upload = %id, error = %crate::report(&error), "folder of a finished upload not removed");
        }
        Ok(file)
    }

    async fn open_folder(&self, upload: &Upload) -> std::result::Result<Arc<Active>, Opening> {
        let plan = ChunkPlan::parse(upload.size, upload.chunk_size).map_err(UploadError::from)?;
        let manifest = Manifest::new(upload.id, upload.name.clone(), plan, None);
        let dir = self.0.uploads.join(upload.id.to_string());
        let give_up = tokio::time::Instant::now() + RELEASE;
        loop {
            let place = dir.clone();
            let opened = match self.0.disk.run(move || TransferFolder::open(&place)).await {
                Err(OpenError::NotFound | OpenError::Unfinished) => {
                    // Each time: whoever had the folder a moment ago may have finished.
                    if let Some(root) = self.0.root.finished(upload.id).await? {
                        return Err(Opening::Published(root));
                    }
                    let (dir, manifest) = (dir.clone(), manifest.clone());
                    self.0.disk.run(move || create(&dir, manifest)).await
                }
                opened => opened.map_err(UploadError::from),
            };
            match opened {
                // Its last holder is just letting go.
                Err(UploadError::Open(OpenError::InUse) | UploadError::Create(CreateError::InUse)) => {
                    if tokio::time::Instant::now() >= give_up {
                        return Err(UploadError::InUse.into());
                    }
                    tokio::time::sleep(RELEASE / 40).await;
                }
                opened => {
                    let (finishing, appending) = (tokio::sync::Mutex::default(), append::Turns::default());
                    let resumed = AtomicU64::new(upload.active.0);
                    let kept = Kept::new(opened?);
                    return Ok(Arc::new(Active { kept, finishing, appending, resumed }));
                }
            }
        }
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

fn create(dir: &Path, manifest: Manifest) -> Result<TransferFolder> {
    let needed = manifest.size;
    if folder::free_bytes(dir.parent().unwrap_or(dir))? < needed.saturating_add(KEEP_FREE) {
        return Err(UploadError::NoSpace { needed });
    }
    Ok(TransferFolder::create(dir, manifest)?)
}

/// One holder's share of an open folder; the last one's end closes it.
pub(super) struct Hold {
    pub(super) uploads: Uploads,
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
        if let Some(active) = slot.folder.get().filter(|active| active.kept.folder().bytes_since_checkpoint() > 0) {
            let active = active.clone();
            self.uploads.0.closing.spawn_blocking(move || active.checkpoint());
        }
    }
}

impl Active {
    pub(super) fn checkpoint(&self) {
        match self.kept.folder().checkpoint() {
            Ok(()) => {}
            // Finished or cancelled meanwhile: there is nothing left to keep.
            Err(CheckpointError::Content(error) | CheckpointError::Journal(error))
                if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::error!(error = %crate::report(&error), "checkpoint failed"),
        }
    }
}
