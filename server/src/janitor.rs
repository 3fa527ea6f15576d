//! Forgets what nobody needs any more: abandoned uploads, old events, sessions long over.

use crate::{
    clock,
    services::{Throttle, Uploads},
    settings::Settings,
    store::Store,
};
use hypersend_protocol::time::UnixMillis;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often it looks.
const ROUND: Duration = Duration::from_hours(1);

/// How long an ended session is remembered, so that its tokens are refused for the right reason.
const ENDED_SESSIONS_KEPT: Duration = Duration::from_hours(30 * 24);

/// What it looks after.
pub struct Janitor {
    /// Records.
    pub store: Arc<dyn Store>,
    /// Folders.
    pub uploads: Uploads,
    /// Counters.
    pub throttle: Throttle,
    /// How long an upload is kept that nobody resumes.
    pub upload_lifetime: Duration,
    /// How long an event is kept.
    pub event_lifetime: Duration,
}

impl Janitor {
    /// With the lifetimes of the settings.
    pub fn new(store: Arc<dyn Store>, uploads: Uploads, throttle: Throttle, settings: &Settings) -> Self {
        let Settings { upload_lifetime, event_lifetime, .. } = *settings;
        Self { store, uploads, throttle, upload_lifetime, event_lifetime }
    }

    /// Makes its rounds until `stopping` is cancelled, the first at once.
    pub async fn run(self, stopping: CancellationToken) {
        let rounds = async {
            loop {
                self.round(clock::now()).await;
                tokio::time::sleep(ROUND).await;
            }
        };
        // A round may be left at any point: each of its acts is whole, and the next round does what is left to do.
        stopping.run_until_cancelled(rounds).await;
    }

    async fn round(&self, now: UnixMillis) {
        let before = |age: Duration| UnixMillis(now.0.saturating_sub(UnixMillis(0).plus(age).0));
        self.throttle.forget_idle();
        match self.uploads.drop_stale(before(self.upload_lifetime)).await {
            Ok(0) => {}
            Ok(uploads) => tracing::info!(uploads, "abandoned uploads dropped"),
            Err(error) => tracing::warn!(error = %crate::report(&error), "abandoned uploads not dropped"),
        }
        for pruned in [
            self.store.prune_events(before(self.event_lifetime)).await,
            self.store.prune_sessions(before(ENDED_SESSIONS_KEPT)).await,
        ] {
            if let Err(error) = pruned {
                tracing::warn!(error = %crate::report(&error), "old records not dropped");
            }
        }
    }
}
