//! Uploads by the byte: who counts bytes appends where the last one stopped, one at a time.
//!
//! A client whose connection broke comes back at once, while its first request still waits for bytes that will never come.
//! So the newer one takes the turn: the older is told to stop, keeps what it has received, and lets go.

use super::{RELEASE, Result, UploadError, UploadHandle, opening::Active};
use bytes::Bytes;
use hypersend_transfer::folder::Tail;
use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Whose turn it is to append to one upload.
#[derive(Default)]
pub(super) struct Turns {
    /// Opened by the first whose turn it is.
    tail: Arc<AsyncMutex<Option<Tail>>>,
    /// Cancelled when somebody newer comes.
    latest: Mutex<CancellationToken>,
}

/// The turn to append to one upload. What was pushed and not settled is kept when it is dropped.
pub struct Appender {
    handle: Arc<UploadHandle>,
    /// None while a thread of the disk has it.
    turn: Option<OwnedMutexGuard<Option<Tail>>>,
    at: u64,
    gathered: Vec<Bytes>,
    gathered_bytes: u32,
    overtaken: CancellationToken,
}

impl UploadHandle {
    /// Takes the turn to append from whoever has it.
    pub async fn append(self: &Arc<Self>) -> Result<Appender> {
        let (turns, overtaken) = (&self.active.appending, CancellationToken::new());
        turns.take_over(&overtaken);
        let turn = timeout(RELEASE, turns.tail.clone().lock_owned()).await.map_err(|_| UploadError::Locked)?;
        if overtaken.is_cancelled() {
            return Err(UploadError::Overtaken);
        }
        let active = self.active.clone();
        let opened = self.hold.uploads.0.disk.run(move || active.take_up(turn)).await;
        let (turn, at) = opened?;
        self.went_on().await?;
        Ok(Appender { handle: self.clone(), turn: Some(turn), at, gathered: Vec::new(), gathered_bytes: 0, overtaken })
    }
}

impl Turns {
    fn take_over(&self, newest: &CancellationToken) {
        mem::replace(&mut *self.latest.lock().unwrap_or_else(PoisonError::into_inner), newest.clone()).cancel();
    }
}

impl Active {
    fn take_up(&self, mut turn: OwnedMutexGuard<Option<Tail>>) -> Result<(OwnedMutexGuard<Option<Tail>>, u64)> {
        let tail = match turn.take() {
            Some(tail) => tail,
            None => self.kept.folder().open_tail()?,
        };
        let at = self.kept.folder().reached(&tail);
        *turn = Some(tail);
        Ok((turn, at))
    }

    fn append(&self, turn: &mut Option<Tail>, at: u64, parts: Vec<Bytes>) -> Result<()> {
        let tail = turn.as_mut().expect("whoever has the turn has opened it");
        Ok(self.kept.folder().append(tail, at, parts)?)
    }
}

impl Appender {
    /// How far the sender has come, with what is not settled yet.
    pub fn offset(&self) -> u64 {
        self.at + u64::from(self.gathered_bytes)
    }

    /// How many bytes from the start of the file on would survive the death of the server. More than the sender has brought
    /// where others have stored chunks.
    pub fn reached(&self) -> u64 {
        let tail = self.turn.as_ref().and_then(|turn| turn.as_ref());
        tail.map_or(self.at, |tail| self.handle.active.kept.folder().reached(tail))
    }

    /// How many bytes may be pushed before they have to be settled; none at the end of the file.
    pub fn room(&self) -> u32 {
        let range = self.handle.plan().range_of(self.at);
        range.map_or(0, |range| {
            u32::try_from(range.end() - self.at).expect("no longer than a range") - self.gathered_bytes
        })
    }

    /// Returns when somebody else has come for the turn.
    pub async fn overtaken(&self) {
        self.overtaken.cancelled().await;
    }

    /// Takes bytes, no more than there is [`room`](Self::room) for.
    pub fn push(&mut self, piece: Bytes) {
        self.gathered_bytes += u32::try_from(piece.len()).expect("there is room for it");
        self.gathered.push(piece);
    }

    /// Stores what was pushed; once it returns, that survives the death of the server.
    pub async fn settle(&mut self) -> Result<()> {
        if self.gathered_bytes == 0 {
            return Ok(());
        }
        let (parts, length) = (mem::take(&mut self.gathered), mem::take(&mut self.gathered_bytes));
        let mut turn = self.turn.take().expect("it comes back from the disk before this returns");
        let (active, at) = (self.handle.active.clone(), self.at);
        let disk = &self.handle.hold.uploads.0.disk;
        let (turn, appended) = disk
            .run(move || {
                let appended = active.append(&mut turn, at, parts);
                (turn, appended)
            })
            .await;
        self.turn = Some(turn);
        appended?;
        let plan = self.handle.plan();
        let chunk = plan.range_of(at).and_then(|range| plan.range_at(range.offset, range.length.into()).ok());
        let folder = self.handle.active.kept.folder();
        if let Some(place) = chunk.filter(|place| folder.map().contains(place.chunk)) {
            self.handle.stored(place.chunk).await?;
        }
        self.at += u64::from(length);
        self.handle.went_on().await
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        let Some(mut turn) = self.turn.take().filter(|_| self.gathered_bytes > 0) else { return };
        let (handle, at, parts) = (self.handle.clone(), self.at, mem::take(&mut self.gathered));
        self.handle.hold.uploads.0.closing.spawn_blocking(move || {
            if let Err(error) = handle.active.append(&mut turn, at, parts) {
                // Nobody was told that it is kept.
                tracing::debug!(upload = %handle.id, error = %crate::report(&error), "the end of a request was not kept");
            }
        });
    }
}
