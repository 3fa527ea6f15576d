//! What handlers share.

use super::{
    held::{HeldUploads, IDLE},
    intake::{RANGES_AT_ONCE, RANGES_PER_USER},
    places::Places,
    routes::forms::{FORMS_AT_ONCE, FORMS_PER_USER},
    tickets::Tickets,
};
use crate::{services::Services, settings::SecretKey};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Files on their way to one user at once; each has some MiB in memory for as long as its client likes to read it. A browser
/// asks for a few, a download manager for a dozen.
const DOWNLOADS_PER_USER: usize = 64;

/// Shared by all requests; cloning is cheap.
#[derive(Clone, Debug)]
pub struct HttpState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    services: Services,
    limits: Limits,
    metrics_token: Option<SecretKey>,
    uploads: HeldUploads,
    ranges: Places,
    forms: Places,
    downloads: Places,
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
    /// Handlers call these services. Whoever has the token may see the metrics.
    pub fn new(services: Services, limits: Limits, metrics_token: Option<SecretKey>) -> Self {
        Self(Arc::new(Inner {
            services,
            limits,
            metrics_token,
            uploads: HeldUploads::default(),
            ranges: Places::new(RANGES_AT_ONCE, RANGES_PER_USER),
            forms: Places::new(FORMS_AT_ONCE, FORMS_PER_USER),
            downloads: Places::new(Semaphore::MAX_PERMITS, DOWNLOADS_PER_USER),
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
    pub(super) fn ranges(&self) -> &Places {
        &self.0.ranges
    }

    /// Places for files on their way out.
    pub(super) fn downloads(&self) -> &Places {
        &self.0.downloads
    }

    /// Places for forms whose files are put aside on the disk.
    pub(super) fn forms(&self) -> &Places {
        &self.0.forms
    }

    pub(super) fn services(&self) -> &Services {
        &self.0.services
    }

    /// Whom metrics are shown to; nobody if there is none.
    pub(super) fn metrics_token(&self) -> Option<&SecretKey> {
        self.0.metrics_token.as_ref()
    }

    pub(super) fn limits(&self) -> Limits {
        self.0.limits
    }
}
