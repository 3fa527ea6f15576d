//! Forgets what nobody needs any more: abandoned uploads, what is left of deleted files, old events, sessions long over.

use crate::{
    clock,
    services::{Files, Services, Throttle, Uploads},
    settings::Settings,
    store::{Store, news::Duty},
};
use hypersend_protocol::time::UnixMillis;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often it looks.
const ROUND: Duration = Duration::from_hours(1);

/// How long a server has the duty after a round. Less than until its next one: so that nobody waits for a server that has gone.
const TURN: Duration = Duration::from_mins(55);

/// How long an ended session is remembered, so that its tokens are refused for the right reason.
const ENDED_SESSIONS_KEPT: Duration = Duration::from_hours(30 * 24);

/// What it looks after.
pub struct Janitor {
    /// Records.
    pub store: Arc<dyn Store>,
    /// Folders of files on their way in.
    pub uploads: Uploads,
    /// Folders of files that are whole, or were.
    pub files: Files,
    /// Counters.
    pub throttle: Throttle,
    /// How long an upload is kept that nobody resumes.
    pub upload_lifetime: Duration,
    /// How long an event is kept.
    pub event_lifetime: Duration,
}

impl Janitor {
    /// With the lifetimes of the settings.
    pub fn new(store: Arc<dyn Store>, services: &Services, throttle: Throttle, settings: &Settings) -> Self {
        let Settings { upload_lifetime, event_lifetime, .. } = *settings;
        let (uploads, files) = (services.uploads.clone(), services.files.clone());
        Self { store, uploads, files, throttle, upload_lifetime, event_lifetime }
    }

    /// Makes its rounds until `stopping` is cancelled, the first at once.
    pub async fn run(self, stopping: CancellationToken) {
        let rounds = async {
            loop {
                self.sweep().await;
                self.round(clock::now()).await;
                tokio::time::sleep(ROUND).await;
            }
        };
        // A round may be left at any point: each of its acts is whole, and the next round does what is left to do.
        stopping.run_until_cancelled(rounds).await;
    }

    /// Removes folders of uploads that are no more: that a crash left, or that were finished or dropped by way of another server.
    /// They are on this server's disk, so whose turn it is does not matter.
    async fn sweep(&self) {
        match self.uploads.sweep().await {
            Ok(0) => {}
            Ok(folders) => tracing::info!(folders, "folders of forgotten uploads removed"),
            Err(error) => tracing::warn!(error = %crate::report(&error), "folders of forgotten uploads not removed"),
        }
    }

    async fn round(&self, now: UnixMillis) {
        let before = |age: Duration| UnixMillis(now.0.saturating_sub(UnixMillis(0).plus(age).0));
        self.throttle.forget_idle();
        match self.store.lead(Duty::Tidying, TURN).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(error = %crate::report(&error), "nothing tidied up: the database does not say whose turn it is");
                return;
            }
        }
        match self.uploads.drop_stale(before(self.upload_lifetime)).await {
            Ok(0) => {}
            Ok(uploads) => tracing::info!(uploads, "abandoned uploads dropped"),
            Err(error) => tracing::warn!(error = %crate::report(&error), "abandoned uploads not dropped"),
        }
        match self.files.clear_deleted().await {
            Ok(0) => {}
            Ok(folders) => tracing::info!(folders, "what was left of deleted files and dropped uploads removed"),
            Err(error) => {
                tracing::warn!(error = %crate::report(&error), "what is left of deleted files not looked for");
            }
        }
        for pruned in [
            self.store.prune_events(before(self.event_lifetime)).await,
            self.store.prune_sessions(before(ENDED_SESSIONS_KEPT)).await,
            self.store.prune_p2p(before(self.event_lifetime)).await,
            self.store.prune_mailboxes(now).await,
            self.store.prune_present().await,
        ] {
            if let Err(error) = pruned {
                tracing::warn!(error = %crate::report(&error), "old records not dropped");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        disk::Disk,
        metrics::Metrics,
        services::{Rates, UploadPolicy, root::FolderRoot},
        store,
    };
    use futures::future::join_all;
    use std::{num::NonZeroU32, sync::mpsc::channel};
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_disk_that_hangs_does_not_keep_it_from_stopping() {
        let dir = tempfile::tempdir().unwrap();
        let store = store::open(&store::Place::File(dir.path().join("test.db")), Arc::new(|_| ())).await.unwrap();
        let disk = Disk::start().unwrap();
        // More than there are threads: one of these is in front of whatever the janitor wants.
        let gates: Vec<_> = (0..64).map(|_| channel::<()>()).collect();
        let (open, hanging): (Vec<_>, Vec<_>) = gates.into_iter().unzip();
        let hanging = hanging.into_iter().map(|gate| disk.run(move || gate.recv().is_err()));
        let policy = UploadPolicy { max_file_size: 1, max_reserved: None };
        let root = dir.path().to_owned();
        let place = Arc::new(FolderRoot::new(disk.clone(), root.clone(), root.clone()));
        let files = Files::new(store.clone(), place.clone(), Metrics::default());
        let uploads = Uploads::new(store.clone(), disk.clone(), root, place, policy, Metrics::default());
        let once = NonZeroU32::MIN;
        let throttle = Throttle::new(Rates {
            logins_per_account: once,
            logins_per_address: once,
            registrations_per_address: once,
            openings_per_address: once,
            claims_per_address: once,
        });
        let (upload_lifetime, event_lifetime) = (Duration::from_hours(1), Duration::from_hours(1));
        let janitor = Janitor { store, uploads, files, throttle, upload_lifetime, event_lifetime };

        let stopping = CancellationToken::new();
        let stopped = async {
            let running = janitor.run(stopping.clone());
            tokio::pin!(running);
            assert!(futures::poll!(running.as_mut()).is_pending());
            stopping.cancel();
            timeout(Duration::from_secs(10), running).await.expect("it stops");
            drop(open);
        };
        let (hung, ()) = tokio::join!(join_all(hanging), stopped);
        assert!(hung.into_iter().all(|hung| hung), "the disk hung until the janitor had stopped");
    }
}
