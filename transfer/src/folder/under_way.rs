//! The folder as a value: who it is, what it holds open.

use super::{
    disk::{parent, sync_dir},
    landing::Landing,
    manifest::Manifest,
    settle::Settling,
};
use crate::{
    journal::Journal,
    map::ReceiveMap,
    plan::{ChunkPlan, Span},
    read::read_span,
};
use bytes::Bytes;
use hypersend_protocol::{hash::ChunkValue, id::ChunkIndex};
use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
};

/// A file under way. Shared by reference between the threads that store its ranges; everything blocks, nothing spawns.
/// Memory: the receive map, the ranges of chunks begun, and the expected values where there are some.
pub struct TransferFolder {
    pub(super) dir: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) plan: ChunkPlan,
    /// Also holds the lock.
    pub(super) content: File,
    pub(super) journal: Journal,
    /// Held while bytes are written. Linux lets one writer at a time into a file and has the others spin on their cores
    /// meanwhile (measured: a sixth of a download's processor time); waiting here they sleep.
    pub(super) writing: Mutex<()>,
    /// Held for bookkeeping in memory only.
    pub(super) landing: Mutex<Landing>,
    /// Told whenever a claim in `landing` ends.
    pub(super) changed: Condvar,
    pub(super) expected: OnceLock<Vec<ChunkValue>>,
    /// Chunks that are stored somewhere else.
    pub(super) adopted: Mutex<BTreeMap<ChunkIndex, ChunkValue>>,
    pub(super) settling: Settling,
}

impl TransferFolder {
    /// What the file is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How the file is cut.
    pub fn plan(&self) -> ChunkPlan {
        self.plan
    }

    /// Where the folder is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Which chunks are stored at this moment.
    pub fn map(&self) -> ReceiveMap {
        self.landing().map().clone()
    }

    /// Reads bytes that are stored here. Where nothing is, they are zeros.
    pub fn read_stored(&self, span: Span) -> io::Result<Bytes> {
        read_span(&self.content, span)
    }

    /// Removes the folder and everything in it. A crash meanwhile leaves an unfinished folder, or none.
    pub fn discard(self) -> io::Result<()> {
        // First what makes it a folder under way: half of one must not open.
        fs::remove_file(self.dir.join(super::MANIFEST))?;
        fs::remove_dir_all(&self.dir)?;
        sync_dir(parent(&self.dir))
    }

    /// A panic while the lock was held would have been a bug in code that only moves values about; the values are whole.
    pub(super) fn landing(&self) -> MutexGuard<'_, Landing> {
        self.landing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TransferFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransferFolder")
            .field("dir", &self.dir)
            .field("map", self.landing().map())
            .finish_non_exhaustive()
    }
}
