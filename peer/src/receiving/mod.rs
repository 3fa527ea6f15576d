//! The receiver's side: asks for everything that is missing, on the best path there is, and puts it where it belongs.
//!
//! | file | what it does |
//! | --- | --- |
//! | `run` | the whole of it, from the list of files to the last report |
//! | `list` | the sender's list, page by page |
//! | `prepare` | what is there from earlier attempts, and whether the rest has room |
//! | `queue` | what is asked for next; no I/O |
//! | `carry` | one piece, or one batch of small files, from question to disk |
//! | `error` | why not everything arrived |

mod carry;
mod error;
mod list;
mod prepare;
mod queue;
mod run;

use crate::paths::{Paths, Rank};
pub use error::ReceiveError;
use hypersend_protocol::p2p::OfferedFile;
use hypersend_transfer::{progress::Progress, schedule::PathId};
use std::{path::PathBuf, sync::Arc};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// What has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Where each of the things offered is now, in the order of the offer.
    pub places: Vec<PathBuf>,
    /// Whether the sender knows.
    pub reported: bool,
}

/// Files on their way from one sender. Dropping it stops; what has arrived stays beside the destination, and the same begun
/// again goes on from there.
#[derive(Debug)]
pub struct Receiving {
    paths: Arc<Paths>,
    progress: watch::Receiver<Option<Progress>>,
    cancelled: watch::Sender<bool>,
    task: AbortOnDropHandle<Result<Received, ReceiveError>>,
}

impl Receiving {
    /// Begins to receive into a folder that exists. Nothing happens until there is a path. `sender` tells senders apart, and is
    /// the same for the same sender every time: what arrived before is found by it. Must be called within a tokio runtime.
    ///
    /// `expected` is what its user has agreed to, in the order of the offer: a sender that sends anything else, by its name, its
    /// size or its kind, is refused. `None` takes whatever comes.
    pub fn start(destination: PathBuf, sender: [u8; 32], expected: Option<Vec<OfferedFile>>) -> Self {
        let paths = Paths::new();
        let (told, progress) = watch::channel(None);
        let cancelled = watch::Sender::new(false);
        let what = run::Wanted { destination, sender, expected };
        let run = run::run(what, paths.clone(), told, cancelled.subscribe());
        Self { paths, progress, cancelled, task: AbortOnDropHandle::new(tokio::spawn(run)) }
    }

    /// Adds a connection, of which there may be any number at any time. What is asked next is asked on the best of them.
    pub fn add_path(&self, path: PathId, rank: Rank, connection: quinn::Connection) {
        self.paths.add(path, rank, connection);
    }

    /// Forgets a connection; it stays open. What was asked on it is asked again on another. A connection that has closed is
    /// forgotten by itself.
    pub fn remove_path(&self, path: PathId) {
        self.paths.remove(path);
    }

    /// How far it is; `None` until the list of files is there.
    pub fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.progress.clone()
    }

    /// The path on which something was last asked.
    pub fn current_path(&self) -> watch::Receiver<Option<PathId>> {
        self.paths.current()
    }

    /// Waits until everything is in its place and the sender knows, or has not answered for a while. Cancel safe. Waits as
    /// long as there is no path; whoever makes paths decides for how long.
    ///
    /// # Panics
    /// When called again after it has given its result.
    pub async fn finish(&mut self) -> Result<Received, ReceiveError> {
        (&mut self.task).await.expect("the task neither panics nor is aborted while awaited")
    }

    /// Calls it off: the sender is told, the connections are closed, and [`finish`](Self::finish) gives
    /// [`ReceiveError::Cancelled`]. What has arrived is kept. Without effect once everything is there.
    pub fn cancel(&self) {
        self.cancelled.send_replace(true);
    }
}
