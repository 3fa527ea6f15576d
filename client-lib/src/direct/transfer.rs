//! A transfer between two clients, as its owner sees it.

use super::error::DirectError;
use hypersend_paths::{Report, Way};
use hypersend_peer::Progress;
use hypersend_protocol::{id::P2pId, p2p::P2pSession};
use std::fmt;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Where a transfer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// The receiver has not answered.
    Offered,
    /// Agreed upon; the other side has not been heard of yet, or has gone away for now.
    Waiting,
    /// The other side is there, and a way to it is looked for.
    Seeking,
    /// Bytes go this way.
    Carried(Way),
    /// No way is found; the files go through the server.
    Stored,
}

impl fmt::Display for Whereabouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offered => f.write_str("offered, not answered yet"),
            Self::Waiting => f.write_str("waiting for the other side"),
            Self::Seeking => f.write_str("looking for a way"),
            Self::Carried(way) => way.fmt(f),
            Self::Stored => f.write_str("through the server"),
        }
    }
}

/// Six words that both sides have alike, if nobody is between them; two people compare them by voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys(pub [&'static str; 6]);

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// Files on their way from one client to another. Dropping it stops; what has arrived stays, and the same begun again goes
/// on from there.
#[derive(Debug)]
pub struct DirectTransfer<T> {
    pub(super) seen: Seen,
    pub(super) cancel: CancellationToken,
    pub(super) task: AbortOnDropHandle<Result<T, DirectError>>,
}

/// What is told of a transfer.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) session: watch::Receiver<Option<P2pSession>>,
    pub(super) progress: watch::Receiver<Option<Progress>>,
    pub(super) whereabouts: watch::Receiver<Whereabouts>,
    pub(super) keys: watch::Receiver<Option<Keys>>,
    pub(super) report: watch::Receiver<Option<Report>>,
}

/// Tells it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) session: watch::Sender<Option<P2pSession>>,
    pub(super) progress: watch::Sender<Option<Progress>>,
    pub(super) whereabouts: watch::Sender<Whereabouts>,
    pub(super) keys: watch::Sender<Option<Keys>>,
    pub(super) report: watch::Sender<Option<Report>>,
}

impl Told {
    pub(super) fn new(begin: Whereabouts) -> (Self, Seen) {
        let (session, seen_session) = watch::channel(None);
        let (progress, seen_progress) = watch::channel(None);
        let (whereabouts, seen_whereabouts) = watch::channel(begin);
        let (keys, seen_keys) = watch::channel(None);
        let (report, seen_report) = watch::channel(None);
        let seen = Seen {
            session: seen_session,
            progress: seen_progress,
            whereabouts: seen_whereabouts,
            keys: seen_keys,
            report: seen_report,
        };
        (Self { session, progress, whereabouts, keys, report }, seen)
    }

    /// Says where it is, if that is new.
    pub(super) fn whereabouts(&self, now: Whereabouts) {
        self.whereabouts.send_if_modified(|before| {
            let is_new = *before != now;
            *before = now;
            is_new
        });
    }
}

/// What this gives, unless it is called off before.
pub(super) async fn unless<T, E: Into<DirectError>>(
    cancel: &CancellationToken,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, DirectError> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(DirectError::Cancelled),
        done = future => done.map_err(Into::into),
    }
}

impl<T: Send + 'static> DirectTransfer<T> {
    /// Has a task do it.
    pub(super) fn start<F>(begin: Whereabouts, run: impl FnOnce(Told, CancellationToken) -> F) -> Self
    where
        F: Future<Output = Result<T, DirectError>> + Send + 'static,
    {
        let (told, seen) = Told::new(begin);
        let cancel = CancellationToken::new();
        let (own, running) = (cancel.clone(), run(told, cancel.clone()));
        let task = async move {
            match running.await {
                // The other side was quicker to tell the server of it.
                Err(error) if own.is_cancelled() && error.is_others_cancellation() => Err(DirectError::Cancelled),
                done => done,
            }
        };
        Self { seen, cancel, task: AbortOnDropHandle::new(tokio::spawn(task)) }
    }

    /// The session at the server, once there is one.
    pub fn session(&self) -> Option<P2pId> {
        self.seen.session.borrow().as_ref().map(|session| session.id)
    }

    /// How far it is; `None` until that is known.
    pub fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.seen.progress.clone()
    }

    /// Where it is.
    pub fn whereabouts(&self) -> watch::Receiver<Whereabouts> {
        self.seen.whereabouts.clone()
    }

    /// The words to compare, once the other side is known.
    pub fn keys(&self) -> watch::Receiver<Option<Keys>> {
        self.seen.keys.clone()
    }

    /// How the ways stand: kinds of NAT, addresses, relays.
    pub fn report(&self) -> watch::Receiver<Option<Report>> {
        self.seen.report.clone()
    }

    /// Calls it off for both sides; [`finish`](Self::finish) then gives [`DirectError::Cancelled`].
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Waits until everything is across. Cancel safe.
    ///
    /// # Panics
    /// When called again after it has given its result.
    pub async fn finish(&mut self) -> Result<T, DirectError> {
        (&mut self.task).await.expect("the task neither panics nor is aborted while awaited")
    }
}
