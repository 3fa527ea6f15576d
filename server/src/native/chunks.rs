//! Chunk streams: bulk bytes in and out. Nothing here asks the store for each range, and nothing is shared with chats.

use super::connection::{Ending, Peer, gone};
use crate::services::{FileError, OpenFile, UploadError, UploadHandle};
use bytes::Bytes;
use hypersend_net::stream::SendStream;
use hypersend_net::{
    bulk::send_range,
    frames::{FrameReader, send},
};
use hypersend_protocol::{
    file::{GetRange, PutRange, RangeFollows, RangeStored},
    id::FileId,
    limit::MAX_RANGE_LENGTH,
    refusal::{ErrorCode, Refusal},
};
use hypersend_transfer::{folder::Landed, plan::Span};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::interval,
};

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

/// How often a range on its way in is looked at; one that has brought nothing since the last look has stalled, and makes
/// room for others. Progress is asked for and not a total time, so that no path is too slow: at 300 kbit/s each of 16 ranges
/// has some bytes every half second, and takes eight minutes.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// What one connection has open.
pub(super) struct Bulk {
    /// The least recently used first; few enough to be looked through.
    uploads: Mutex<Vec<Arc<UploadHandle>>>,
    files: Mutex<HashMap<FileId, (OpenFile, Instant)>>,
    ranges: Semaphore,
}

impl Default for Bulk {
    fn default() -> Self {
        Self { uploads: Mutex::default(), files: Mutex::default(), ranges: Semaphore::new(RANGES_AT_ONCE) }
    }
}

impl Bulk {
    /// Keeps an upload open for this connection, if need be in place of the one that was not used for the longest time.
    pub(super) fn hold(&self, handle: UploadHandle) -> Result<(), Refusal> {
        let mut uploads = self.uploads();
        uploads.retain(|held| held.id() != handle.id());
        if uploads.len() >= UPLOADS_PER_CONNECTION {
            // A client that gives an upload up need not say so. Whoever puts a range has a share in its handle.
            let Some(idle) = uploads.iter().position(|held| Arc::strong_count(held) == 1) else {
                let message =
                    format!("this connection sends {UPLOADS_PER_CONNECTION} files already; finish some first");
                return Err(Refusal::new(ErrorCode::LimitReached, message).with_limit(UPLOADS_PER_CONNECTION as u64));
            };
            uploads.remove(idle);
        }
        uploads.push(Arc::new(handle));
        Ok(())
    }

    /// An upload that was begun on this connection.
    pub(super) fn held(&self, upload: FileId) -> Option<Arc<UploadHandle>> {
        let mut uploads = self.uploads();
        let place = uploads.iter().position(|held| held.id() == upload)?;
        let held = uploads.remove(place);
        uploads.push(held.clone());
        Some(held)
    }

    /// Lets go of an upload.
    pub(super) fn release(&self, upload: FileId) {
        self.uploads().retain(|held| held.id() != upload);
    }

    fn uploads(&self) -> MutexGuard<'_, Vec<Arc<UploadHandle>>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn files(&self) -> MutexGuard<'_, HashMap<FileId, (OpenFile, Instant)>> {
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
    let parts = bytes_in(reader, span.length as usize).await?;
    let landed = upload.put(span, Some(put.value), parts).await?;
    send(out, &RangeStored { chunk_complete: matches!(landed, Landed::Chunk(_)) }).await.map_err(gone)
}

/// The bytes of a range, as long as some keep coming.
async fn bytes_in(reader: &mut FrameReader, length: usize) -> Result<Vec<Bytes>, Ending> {
    // Full packets carry about 1,400 bytes; one allocation then holds all the pieces.
    let mut parts = Vec::with_capacity(length / 1_300 + 2);
    let mut missing = length;
    let mut looks = interval(LOOK_EVERY);
    looks.reset();
    let mut at_last_look = missing;
    while missing > 0 {
        tokio::select! {
            biased;
            piece = reader.piece(missing) => {
                let piece = piece.map_err(gone)?;
                missing -= piece.len();
                parts.push(piece);
            }
            _ = looks.tick() => {
                if missing == at_last_look {
                    return Err(Refusal::new(ErrorCode::TimedOut, "the bytes of the range stopped coming; send it again").into());
                }
                at_last_look = missing;
            }
        }
    }
    Ok(parts)
}

/// Gives one range out.
pub(super) async fn get(peer: &Peer, get: GetRange, out: &mut SendStream) -> Result<(), Ending> {
    let file = peer.bulk.file(peer, get.file).await?;
    let _range = peer.bulk.range().await;
    let bytes = file.range(get.offset, get.length).await?;
    send_range(out, &RangeFollows { length: get.length }, bytes).await.map_err(gone)
}
