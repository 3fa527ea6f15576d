//! An upload's folder, and what is known of its chunks beyond it.

use hypersend_protocol::id::ChunkIndex;
use hypersend_transfer::{folder::TransferFolder, map::ReceiveMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The folder of an upload that is open on this server. Cloning shares it.
#[derive(Clone)]
pub struct Kept(Arc<Inner>);

struct Inner {
    folder: TransferFolder,
    /// Chunks that are known to be in the bucket. None of a root that is a folder.
    elsewhere: Mutex<ReceiveMap>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Kept").field(&self.0.folder).finish()
    }
}

impl Kept {
    /// Of a folder of which nothing is known yet beyond it.
    pub fn new(folder: TransferFolder) -> Self {
        let elsewhere = Mutex::new(ReceiveMap::new(folder.plan().chunk_count()));
        Self(Arc::new(Inner { folder, elsewhere }))
    }

    /// The folder.
    pub fn folder(&self) -> &TransferFolder {
        &self.0.folder
    }

    /// Which chunks are known to be elsewhere too.
    pub(super) fn elsewhere(&self) -> MutexGuard<'_, ReceiveMap> {
        self.0.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a chunk is.
    pub(super) fn is_elsewhere(&self, chunk: ChunkIndex) {
        self.elsewhere().insert(chunk);
    }
}
