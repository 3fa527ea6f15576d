//! Uploads held open between the requests that fill them: opening one reads its journal, which is too much for each chunk.

use super::{problem::Problem, state::HttpState};
use crate::{
    services::{Begun, Caller, UploadHandle},
    store::files::File,
};
use hypersend_protocol::id::FileId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Uploads held at once, each with two files open; the one that was longest idle goes first.
const HELD: usize = 256;

/// How long one is held that no request goes to.
pub(super) const IDLE: Duration = Duration::from_secs(30);

/// What is held.
#[derive(Debug, Default)]
pub(super) struct HeldUploads(Mutex<HashMap<FileId, (Arc<UploadHandle>, Instant)>>);

impl HeldUploads {
    /// Holds an upload that was just begun.
    pub(super) fn keep(&self, handle: UploadHandle) -> Arc<UploadHandle> {
        let (handle, now) = (Arc::new(handle), Instant::now());
        let mut held = self.held();
        if held.len() >= HELD
            && let Some(idle) = held.iter().min_by_key(|(_, (_, used))| *used).map(|(id, _)| *id)
        {
            held.remove(&idle);
        }
        held.insert(handle.id(), (handle.clone(), now));
        handle
    }

    /// One of the caller's uploads; the file, when it is complete already.
    pub(super) async fn find(
        &self,
        state: &HttpState,
        me: &Caller,
        upload: FileId,
    ) -> Result<Result<Arc<UploadHandle>, File>, Problem> {
        if let Some((handle, used)) = self.held().get_mut(&upload).filter(|(handle, _)| handle.owner() == me.id()) {
            *used = Instant::now();
            return Ok(Ok(handle.clone()));
        }
        Ok(match state.services().uploads.resume(me, upload).await? {
            Begun::Open(handle) => Ok(self.keep(handle)),
            Begun::Finished(file) => Err(file),
        })
    }

    /// The same, with all that has come by way of other servers: for whoever is told how the upload stands, or goes on from
    /// there.
    pub(super) async fn find_level(
        &self,
        state: &HttpState,
        me: &Caller,
        upload: FileId,
    ) -> Result<Result<Arc<UploadHandle>, File>, Problem> {
        let found = self.find(state, me, upload).await?;
        let Ok(handle) = &found else { return Ok(found) };
        if !handle.level().await? {
            return Ok(found);
        }
        self.release(upload);
        self.find(state, me, upload).await
    }

    /// Lets go of an upload.
    pub(super) fn release(&self, upload: FileId) {
        self.held().remove(&upload);
    }

    /// Lets go of uploads to which no request went since `before`.
    pub(super) fn release_idle(&self, before: Instant) {
        self.held().retain(|_, (_, used)| *used >= before);
    }

    fn held(&self) -> MutexGuard<'_, HashMap<FileId, (Arc<UploadHandle>, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
