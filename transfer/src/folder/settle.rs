//! Checkpoints: how much a power cut can cost.

use super::{
    TransferFolder,
    disk::{parent, sync_dir},
};
use crate::journal::Record;
use std::{
    fs::File,
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// How many bytes to let land between two checkpoints. After a crash so many are hashed again (a tenth of a second);
/// after a power cut so many may have to be sent again.
pub const CHECKPOINT_BYTES: u64 = 256 << 20;

/// A checkpoint was not made; what has landed is as safe as before it.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The content, or the names of the folder's files, could not be put on the platter.
    #[error("flush the content to the disk")]
    Content(#[source] io::Error),
    /// The journal could not be written or put on the platter.
    #[error("flush the journal to the disk")]
    Journal(#[source] io::Error),
    /// An earlier flush failed, and the kernel reports that only once: no later flush can be believed.
    #[error("an earlier flush to the disk failed; open the transfer again")]
    FailedBefore,
}

/// What is known about the platter.
#[derive(Debug, Default)]
pub(super) struct Settling {
    unsettled: AtomicU64,
    platter: Mutex<Platter>,
}

/// Held by whoever flushes, from start to end; who stores a range never waits for it.
#[derive(Debug, Default)]
pub(super) struct Platter {
    /// The folder and the names in it are on the platter. Left to the first flush: creating a small file costs none.
    named: bool,
    failed: bool,
}

impl Settling {
    pub(super) fn landed(&self, bytes: u64) {
        self.unsettled.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn platter(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TransferFolder {
    /// Whether enough has been stored since the last checkpoint for another, and none is being made.
    pub fn checkpoint_is_due(&self) -> bool {
        self.bytes_since_checkpoint() >= CHECKPOINT_BYTES && self.settling.platter.try_lock().is_ok()
    }

    /// Makes everything stored so far outlive a power cut. Chunks that are stored meanwhile wait for the next checkpoint,
    /// and are not held up. Does nothing when nothing is new.
    pub fn checkpoint(&self) -> Result<(), CheckpointError> {
        let mut platter = self.settling.platter();
        // In this order: bytes are counted after their record is made, so no byte is forgotten.
        let bytes = self.settling.unsettled.load(Ordering::Relaxed);
        let covered = self.journal.records();
        if bytes == 0 {
            return Ok(());
        }
        self.flush_content(&mut platter)?;
        self.flush_manifest(&mut platter)?;
        self.journal.append(Record::Checkpoint(covered)).map_err(CheckpointError::Journal)?;
        self.journal.sync().map_err(|error| platter.broken(CheckpointError::Journal(error)))?;
        self.settling.unsettled.fetch_sub(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes stored that a power cut may take; see [`CHECKPOINT_BYTES`].
    pub fn bytes_since_checkpoint(&self) -> u64 {
        self.settling.unsettled.load(Ordering::Relaxed)
    }

    /// Puts the content on the platter.
    pub(super) fn flush_content(&self, platter: &mut Platter) -> Result<(), CheckpointError> {
        if platter.failed {
            return Err(CheckpointError::FailedBefore);
        }
        self.content.sync_data().map_err(|error| platter.broken(CheckpointError::Content(error)))
    }

    /// Puts on the platter what says that the folder is one, and the names by which all of it is found.
    fn flush_manifest(&self, platter: &mut Platter) -> Result<(), CheckpointError> {
        if platter.named {
            return Ok(());
        }
        File::open(self.dir.join(super::MANIFEST))
            .and_then(|manifest| manifest.sync_all())
            .and_then(|()| self.flush_names(platter))
            .map_err(|error| platter.broken(CheckpointError::Content(error)))
    }

    /// Puts the folder's names on the platter, the first time also the folder's own.
    pub(super) fn flush_names(&self, platter: &mut Platter) -> io::Result<()> {
        sync_dir(&self.dir)?;
        if !platter.named {
            sync_dir(parent(&self.dir))?;
            platter.named = true;
        }
        Ok(())
    }
}

impl Platter {
    fn broken(&mut self, error: CheckpointError) -> CheckpointError {
        self.failed = true;
        error
    }
}
