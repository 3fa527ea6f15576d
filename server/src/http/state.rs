//! What handlers share.

use super::{
    held::{HeldUploads, IDLE},
    places::Places,
    routes::forms::FORMS_AT_ONCE,
    tickets::Tickets,
};
use crate::services::Services;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Shared by all requests; cloning is cheap.
#[derive(Clone, Debug)]
pub struct HttpState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    services: Services,
    limits: Limits,
    uploads: HeldUploads,
    places: Places,
    forms: Semaphore,
    tickets: Tickets,
    stopping: CancellationToken,
}

/// What an operator has set and clients may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest file, in bytes.
    pub max_file_size: u64,
    /// Whether anybody may make an account.
    pub registration_open: bool,
    /// How long an upload is kept that nobody resumes.
    pub upload_lifetime: Duration,
    /// Whether the draft of resumable uploads is served.
    pub resumable_uploads_draft: bool,
}

impl HttpState {
    /// Handlers call these services.
    pub fn new(services: Services, limits: Limits) -> Self {
        Self(Arc::new(Inner {
            services,
            limits,
            uploads: HeldUploads::default(),
            places: Places::default(),
            forms: Semaphore::new(FORMS_AT_ONCE),
            tickets: Tickets::default(),
            stopping: CancellationToken::new(),
        }))
    }

    /// Tickets that wait to be shown.
    pub(super) fn tickets(&self) -> &Tickets {
        &self.0.tickets
    }

    /// Cancelled when answers that have no end of their own are to end.
    pub(super) fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    /// Lets go of what is idle, until `stopping` is cancelled; then of everything.
    pub async fn tidy(&self, stopping: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(IDLE) => {
                    self.0.uploads.release_idle(Instant::now().checked_sub(IDLE).unwrap_or_else(Instant::now));
                }
                () = stopping.cancelled() => {
                    self.0.stopping.cancel();
                    return self.0.uploads.release_idle(Instant::now());
                }
            }
        }
    }

    /// Uploads that requests go to.
    pub(super) fn uploads(&self) -> &HeldUploads {
        &self.0.uploads
    }

    /// Places for ranges of request bodies in memory.
    pub(super) fn places(&self) -> &Places {
        &self.0.places
    }

    /// Places for forms whose files are put aside on the disk.
    pub(super) fn forms(&self) -> &Semaphore {
        &self.0.forms
    }

    pub(super) fn services(&self) -> &Services {
        &self.0.services
    }

    pub(super) fn limits(&self) -> Limits {
        self.0.limits
    }
}
