//! The sender's side: answers what the receiver asks, on every path at once.
//!
//! Keeps nothing of what was asked before. What it knows of the receiver is what that has reported: how far it is, and how
//! it ended. One [`Sending`] is one receiver; several share an [`Offer`].

mod answer;
mod files;

use crate::{for_people, offer::Offer, paths::Rank, source::SourceError};
use answer::serve_path;
use files::OpenFiles;
use hypersend_net::connection::Connection;
use hypersend_protocol::{peer::ReceiverState, refusal::ErrorCode};
use hypersend_transfer::{
    progress::{Meter, Progress},
    schedule::PathId,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::timeout};
use tokio_util::task::AbortOnDropHandle;

/// How long a sender that has to give up waits for the receiver to learn why, and to say that it knows.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Why the receiver does not have everything.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Its user called it off.
    #[error("the receiver has cancelled the transfer")]
    Cancelled,
    /// [`Sending::cancel`] was called.
    #[error("cancelled")]
    Here,
    /// It has given up, and said why.
    #[error("the receiver has given up: {0}")]
    Receiver(String),
    /// A file changed, vanished, or cannot be read.
    #[error(transparent)]
    Source(Arc<SourceError>),
}

/// Files on their way to one receiver. Dropping it stops the answers; connections stay their owner's.
#[derive(Debug)]
pub struct Sending {
    serving: Arc<Serving>,
    paths: Mutex<HashMap<PathId, Served>>,
}

#[derive(Debug)]
struct Served {
    connection: Connection,
    _task: AbortOnDropHandle<()>,
}

/// What all paths share.
#[derive(Debug)]
struct Serving {
    offer: Arc<Offer>,
    files: OpenFiles,
    meter: Mutex<Option<Meter>>,
    progress: watch::Sender<Option<Progress>>,
    current: watch::Sender<Option<PathId>>,
    end: watch::Sender<End>,
    /// What every request is refused with, once it is called off.
    refusing: OnceLock<ErrorCode>,
}

/// How it ended, if it has.
#[derive(Clone, Debug, Default)]
struct End {
    outcome: Option<Outcome>,
    /// The receiver has said that it is over for it.
    reported: bool,
}

#[derive(Clone, Debug)]
enum Outcome {
    Finished,
    Failed(String),
    Cancelled,
    Here,
    Source(Arc<SourceError>),
}

impl Sending {
    /// Offers these files to one receiver. Nothing happens until there is a path.
    pub fn start(offer: Arc<Offer>) -> Self {
        let serving = Serving {
            offer,
            files: OpenFiles::default(),
            meter: Mutex::default(),
            progress: watch::Sender::new(None),
            current: watch::Sender::new(None),
            end: watch::Sender::default(),
            refusing: OnceLock::new(),
        };
        Self { serving: Arc::new(serving), paths: Mutex::default() }
    }

    /// Answers on one more connection. The receiver chooses among paths; the rank is for it alone. Must be called within a
    /// tokio runtime.
    pub fn add_path(&self, path: PathId, rank: Rank, connection: quinn::Connection) {
        tracing::debug!(path = path.0, ?rank, "path added");
        let connection = Connection::from(connection);
        connection.welcome();
        let task = tokio::spawn(serve_path(self.serving.clone(), path, connection.clone()));
        self.paths().insert(path, Served { connection, _task: AbortOnDropHandle::new(task) });
    }

    /// Answers no longer on a connection; it stays open.
    pub fn remove_path(&self, path: PathId) {
        self.paths().remove(&path);
    }

    /// How far the receiver is, by its own reports; `None` before the first.
    pub fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.serving.progress.subscribe()
    }

    /// The path on which bytes were last asked for.
    pub fn current_path(&self) -> watch::Receiver<Option<PathId>> {
        self.serving.current.subscribe()
    }

    /// Waits until the receiver has said that it has everything, or until that can no longer be. Cancel safe, and gives the
    /// same again when called again. Does not end by itself while there is no path, or a receiver says nothing.
    pub async fn finish(&self) -> Result<Sent, SendError> {
        let mut end = self.serving.end.subscribe();
        let outcome = until(&mut end, |end| end.outcome.is_some()).await.outcome.expect("it was waited for");
        if matches!(outcome, Outcome::Source(_)) {
            let _ = timeout(LAST_WORDS, until(&mut end, |end| end.reported)).await;
        }
        match outcome {
            Outcome::Finished => Ok(Sent { files: self.serving.offer.files(), bytes: self.serving.offer.bytes() }),
            Outcome::Failed(message) => Err(SendError::Receiver(message)),
            Outcome::Cancelled => Err(SendError::Cancelled),
            Outcome::Here => Err(SendError::Here),
            Outcome::Source(error) => Err(SendError::Source(error)),
        }
    }

    /// Ends it from this side, for the receiver too when the code is [`ErrorCode::Cancelled`]: everything it asks for is refused
    /// with the code, and once it has said that it knows, or after a while, all connections are closed with it. The word that
    /// closes a connection alone can be lost. Without effect once the receiver has everything.
    pub async fn cancel(&self, code: ErrorCode) {
        self.serving.refusing.get_or_init(|| code);
        self.serving.ended(Outcome::Here);
        let mut end = self.serving.end.subscribe();
        let _ = timeout(LAST_WORDS, until(&mut end, |end| end.reported)).await;
        for (_, path) in self.paths().drain() {
            path.connection.close(code);
        }
    }

    fn paths(&self) -> MutexGuard<'_, HashMap<PathId, Served>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn until(end: &mut watch::Receiver<End>, reached: impl FnMut(&End) -> bool) -> End {
    end.wait_for(reached).await.expect("the sending has the other end").clone()
}

impl Serving {
    /// The first outcome stays.
    fn ended(&self, outcome: Outcome) {
        self.end.send_modify(|end| {
            end.outcome.get_or_insert(outcome);
        });
    }

    fn reported(&self, state: ReceiverState) {
        let outcome = match state {
            ReceiverState::Receiving => return,
            ReceiverState::Finished => Outcome::Finished,
            ReceiverState::Failed { message } => Outcome::Failed(for_people(&message)),
            ReceiverState::Cancelled => Outcome::Cancelled,
        };
        self.ended(outcome);
        self.end.send_modify(|end| end.reported = true);
    }

    /// What a receiver reports is for showing only, and held to what can be.
    fn measure(&self, stored: u64) {
        let now = Instant::now();
        let total = self.offer.bytes();
        let stored = stored.min(total);
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        let meter = meter.get_or_insert_with(|| Meter::new(now, total, stored));
        meter.update(now, stored);
        self.progress.send_replace(Some(meter.progress(now)));
    }

    fn carried_by(&self, path: PathId) {
        self.current.send_if_modified(|current| current.replace(path) != Some(path));
    }
}
