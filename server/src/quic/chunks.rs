//! Chunk streams: bulk bytes in and out. Nothing here asks the store for each range, and nothing is shared with chats.

use super::connection::{Ending, Peer, gone};
use crate::services::{FileError, OpenFile, UploadError, UploadHandle};
use hypersend_protocol::{
    file::{GetRange, PutRange, RangeFollows, RangeStored},
    id::FileId,
    limit::MAX_RANGE_LENGTH,
    refusal::{ErrorCode, Refusal},
};
use hypersend_quic::{
    bulk::send_range,
    frames::{FrameReader, send},
};
use hypersend_transfer::{folder::Landed, plan::Span};
use quinn::SendStream;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Ranges of one connection that are in memory at once: what a client can make this server hold beyond QUIC's own
/// windows. Enough to fill the path while some wait for the disk.
const RANGES_AT_ONCE: usize = 16;

/// Uploads that one connection holds open; each has two files open and a map in memory.
const UPLOADS_PER_CONNECTION: usize = 64;

/// Files that one connection keeps open for reading.
const FILES_PER_CONNECTION: usize = 16;

/// How long a connection reads on before the caller's right to the file is checked again: so long may somebody still
/// read who left the chat, and anybody what has been deleted.
const RIGHTS_CHECKED_EVERY: Duration = Duration::from_secs(30);

/// What one connection has open.
pub(super) struct Bulk {
    uploads: Mutex<HashMap<FileId, Arc<UploadHandle>>>,
    files: Mutex<HashMap<FileId, (OpenFile, Instant)>>,
    ranges: Semaphore,
}

impl Default for Bulk {
    fn default() -> Self {
        Self { uploads: Mutex::default(), files: Mutex::default(), ranges: Semaphore::new(RANGES_AT_ONCE) }
    }
}

impl Bulk {
    /// Keeps an upload open for this connection.
    pub(super) fn hold(&self, handle: UploadHandle) -> Result<(), Refusal> {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        if uploads.len() >= UPLOADS_PER_CONNECTION && !uploads.contains_key(&handle.id()) {
            let message = format!(
                "this connection has {UPLOADS_PER_CONNECTION} uploads open; finish or cancel some, or connect again"
            );
            return Err(Refusal::new(ErrorCode::LimitReached, message).with_limit(UPLOADS_PER_CONNECTION as u64));
        }
        uploads.insert(handle.id(), Arc::new(handle));
        Ok(())
    }

    /// An upload that was begun on this connection.
    pub(super) fn held(&self, upload: FileId) -> Option<Arc<UploadHandle>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner).get(&upload).cloned()
    }

    /// Lets go of an upload.
    pub(super) fn release(&self, upload: FileId) {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner).remove(&upload);
    }

    /// A file that the caller may read, opened once.
    pub(super) async fn file(&self, peer: &Peer, id: FileId) -> Result<OpenFile, FileError> {
        let fresh = |since: Instant| since.elapsed() < RIGHTS_CHECKED_EVERY;
        if let Some((file, since)) = self.files().get(&id)
            && fresh(*since)
        {
            return Ok(file.clone());
        }
        let opened = peer.services.files.open(&peer.me, id).await;
        let mut files = self.files();
        files.remove(&id);
        let file = opened?;
        files.retain(|_, (_, since)| fresh(*since));
        if files.len() < FILES_PER_CONNECTION {
            files.insert(id, (file.clone(), Instant::now()));
        }
        Ok(file)
    }

    fn files(&self) -> std::sync::MutexGuard<'_, HashMap<FileId, (OpenFile, Instant)>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn range(&self) -> SemaphorePermit<'_> {
        self.ranges.acquire().await.expect("the semaphore is never closed")
    }
}

/// Takes one range in.
pub(super) async fn put(
    peer: &Peer,
    put: PutRange,
    out: &mut SendStream,
    reader: &mut FrameReader,
) -> Result<(), Ending> {
    let upload = peer.bulk.held(put.file).ok_or(UploadError::NoUpload(put.file))?;
    let span = Span { offset: put.offset, length: put.length };
    // Before the bytes are read: what would be refused anyway need not be held in memory.
    upload.plan().range_at(span.offset, span.length.into()).map_err(UploadError::from)?;
    debug_assert!(span.length <= MAX_RANGE_LENGTH, "ranges of a plan are at most that long");
    let _range = peer.bulk.range().await;
    let parts = reader.raw(span.length as usize).await.map_err(gone)?;
    let landed = upload.put(span, Some(put.value), parts).await?;
    send(out, &RangeStored { chunk_complete: matches!(landed, Landed::Chunk(_)) }).await.map_err(gone)
}

/// Gives one range out.
pub(super) async fn get(peer: &Peer, get: GetRange, out: &mut SendStream) -> Result<(), Ending> {
    let file = peer.bulk.file(peer, get.file).await?;
    let _range = peer.bulk.range().await;
    let bytes = file.range(get.offset, get.length).await?;
    send_range(out, &RangeFollows { length: get.length }, bytes).await.map_err(gone)
}
