//! One job, from question to disk.

use super::{ReceiveError, prepare::Parts, queue::Job};
use crate::{
    ask::{self, AskError},
    listing::Listing,
    part::{Looks, Part},
    paths::Paths,
};
use bytes::Bytes;
use hypersend_protocol::{
    hash::RootHash,
    peer::{Confirm, SmallFollows},
    refusal::{ErrorCode, Refusal},
};
use hypersend_transfer::{
    folder::{StoreError, TransferFolder},
    plan::{ChunkPlan, Span},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

/// How often the same may arrive damaged: damage on the way passes, a disk or memory that lies does not.
const DAMAGES: u32 = 6;

/// How often a sender may say that something passes with time, and how long to wait after each: five minutes in all.
const DELAYS: u32 = 60;
const DELAY: Duration = Duration::from_secs(5);

/// Everything that the jobs of one transfer share.
#[derive(Debug)]
pub(super) struct Carrying {
    pub(super) listing: Arc<Listing>,
    pub(super) paths: Arc<Paths>,
    pub(super) parts: Vec<Part>,
    /// Bytes that are there.
    pub(super) stored: AtomicU64,
    large: Mutex<HashMap<u32, Arc<TransferFolder>>>,
    /// Whatever writes: it goes on when the job that it is for is given up.
    writes: TaskTracker,
}

/// Why a job was not done.
#[derive(Debug)]
pub(super) enum CarryError {
    /// The sender's files are others by now.
    Stale,
    Fatal(ReceiveError),
}

impl<E: Into<ReceiveError>> From<E> for CarryError {
    fn from(error: E) -> Self {
        Self::Fatal(error.into())
    }
}

impl Carrying {
    pub(super) fn new(listing: Arc<Listing>, paths: Arc<Paths>, parts: &mut Parts) -> Self {
        Self {
            listing,
            paths,
            parts: std::mem::take(&mut parts.folders),
            stored: AtomicU64::new(parts.stored),
            large: Mutex::new(std::mem::take(&mut parts.large)),
            writes: TaskTracker::new(),
        }
    }

    /// Waits until nothing is written any more, so that the parts can be opened again. No job may be under way.
    pub(super) async fn settled(&self) {
        self.writes.close();
        self.writes.wait().await;
    }

    /// Begins a file of several ranges, unless it was begun before.
    pub(super) async fn begin(self: &Arc<Self>, entry: u32) -> Result<Arc<TransferFolder>, ReceiveError> {
        if let Some(folder) = self.large().get(&entry) {
            return Ok(folder.clone());
        }
        let carrying = self.clone();
        let begun = self.write(move || {
            let (part, file) = (carrying.part(entry), carrying.listing.get(entry).expect("an entry"));
            let plan = ChunkPlan::for_size(file.size).map_err(|error| ReceiveError::file(file.name, error))?;
            part.begin(file.key, file.name, plan)
        });
        let folder = Arc::new(begun.await?);
        self.large().insert(entry, folder.clone());
        Ok(folder)
    }

    pub(super) async fn carry(self: Arc<Self>, job: Job) -> Result<Job, CarryError> {
        match &job {
            Job::Piece { entry, span } => self.piece(*entry, *span).await?,
            Job::Small(files) => self.small(files).await?,
            Job::Complete { entry } => self.complete(*entry).await?,
        }
        Ok(job)
    }

    async fn piece(self: &Arc<Self>, entry: u32, span: Span) -> Result<(), CarryError> {
        let folder = self.large().get(&entry).expect("it was begun").clone();
        let (mut damages, mut delays) = (0, 0);
        while damages < DAMAGES {
            let asked = ask::piece(&self.paths, self.listing.id(), entry, span).await;
            let Some((value, parts)) = self.answered(&mut delays, asked).await? else { continue };
            let (carrying, folder) = (self.clone(), folder.clone());
            let stored = self.write(move || {
                let stored = folder.store_range(span, Some(value), &parts);
                if stored.is_ok() && folder.checkpoint_is_due() {
                    let checkpoint = folder.checkpoint();
                    checkpoint.map_err(|error| ReceiveError::file(&carrying.listing.shown(entry), error))?;
                }
                // Only now may the part be somebody else's.
                drop(carrying);
                Ok::<_, ReceiveError>(stored)
            });
            match stored.await? {
                Ok(_) => {
                    self.stored.fetch_add(span.length.into(), Ordering::Relaxed);
                    return Ok(());
                }
                Err(StoreError::RangeMismatch { .. }) => damages += 1,
                Err(error) => return Err(ReceiveError::store(&self.listing.shown(entry), error).into()),
            }
        }
        Err(ReceiveError::Damaged(self.listing.shown(entry)).into())
    }

    async fn small(self: &Arc<Self>, files: &[(u32, u32)]) -> Result<(), CarryError> {
        let mut missing = files.to_vec();
        let (mut damages, mut delays) = (0, 0);
        while damages < DAMAGES {
            let asked = ask::small(&self.paths, self.listing.id(), &missing).await;
            let Some(arrived) = self.answered(&mut delays, asked).await? else { continue };
            let carrying = self.clone();
            missing = self.write(move || carrying.store_small(&arrived)).await?;
            if missing.is_empty() {
                return Ok(());
            }
            damages += 1;
        }
        Err(ReceiveError::Damaged(self.listing.shown(missing[0].0)).into())
    }

    /// Writes what is not damaged; gives back what is.
    fn store_small(&self, files: &[(SmallFollows, Vec<Bytes>)]) -> Result<Vec<(u32, u32)>, ReceiveError> {
        let mut damaged = Vec::new();
        for (follows, bytes) in files {
            let mut hasher = blake3::Hasher::new();
            for piece in bytes {
                hasher.update(piece);
            }
            if RootHash(hasher.finalize().into()) != follows.root {
                damaged.push((follows.entry, follows.length));
                continue;
            }
            let entry = self.listing.get(follows.entry).expect("it was asked for");
            let looks = Looks { modified: entry.modified, executable: entry.executable };
            self.part(follows.entry).store(entry.key, follows.root, looks, bytes)?;
            self.stored.fetch_add(follows.length.into(), Ordering::Relaxed);
        }
        Ok(damaged)
    }

    async fn complete(self: &Arc<Self>, entry: u32) -> Result<(), CarryError> {
        let question = Confirm { listing: self.listing.id(), entry };
        let mut delays = 0;
        while self.answered(&mut delays, ask::ask(&self.paths, &question).await).await?.is_none() {}
        let folder = self.large().remove(&entry).expect("it was begun");
        let carrying = self.clone();
        let completed = self.write(move || {
            let file = carrying.listing.get(entry).expect("an entry");
            let looks = Looks { modified: file.modified, executable: file.executable };
            carrying.part(entry).complete_large(file.key, file.name, looks, &folder)
        });
        Ok(completed.await?)
    }

    /// Runs what writes off the async threads.
    async fn write<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.writes.spawn_blocking(work).await.expect("disk work does not panic")
    }

    /// The answer; `None` when the sender said that asking again helps, after a while that has passed.
    async fn answered<T>(&self, delays: &mut u32, answer: Result<T, AskError>) -> Result<Option<T>, CarryError> {
        match answer {
            Err(AskError::Refused(refusal)) if refusal.code == ErrorCode::Conflict => Err(CarryError::Stale),
            Err(AskError::Refused(refusal)) if passes(&refusal) && *delays < DELAYS => {
                *delays += 1;
                sleep(refusal.retry_after().unwrap_or(DELAY).min(DELAY)).await;
                Ok(None)
            }
            answer => Ok(Some(answer?)),
        }
    }

    fn part(&self, entry: u32) -> &Part {
        &self.parts[self.listing.item_of(entry)]
    }

    fn large(&self) -> MutexGuard<'_, HashMap<u32, Arc<TransferFolder>>> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn passes(refusal: &Refusal) -> bool {
    refusal.code.is_transient() || refusal.code == ErrorCode::LimitReached
}
