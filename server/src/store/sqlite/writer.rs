//! The writing side: one thread, and the only connection that changes the database.
//!
//! Group commit: the thread takes the act that has waited longest and all that wait behind it, runs each in a savepoint
//! of one transaction, and commits them together. An act that fails is rolled back alone; a commit that fails fails all.
//! Nobody hears of an act before it is committed: first the sink is told, in the order of the acts, then whoever asked.

use crate::store::{
    Result, StoreError,
    events::{Fanout, FanoutSink},
};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
};
use tokio::sync::{mpsc, oneshot};

/// Acts that may wait. Beyond it callers wait to be let in, so that a slow disk slows them down instead of filling the
/// memory: an act is at most some 20 KiB.
const MAX_WAITING: usize = 1_024;

/// Acts in one commit. Enough to share a sync among them, few enough that the first does not wait long for the last.
const MAX_BATCH: usize = 256;

/// The writing side. Dropping it finishes what waits.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

/// One act under way: reads see what it has changed so far, and nobody else does.
pub(super) struct Act<'a> {
    /// The write connection, inside the act's savepoint.
    pub(super) db: &'a Connection,
    /// What the sink is told if the act is committed.
    pub(super) fanouts: Vec<Fanout>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(db: Connection, sink: FanoutSink) -> Result<Self> {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || commit_all(&db, waiting, &sink))
            .map_err(|e| StoreError::Unavailable(e.into()))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Has an act done; returns when it is committed. It is done even if the caller goes away after it was queued.
    pub(super) async fn act<T, F>(&self, act: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Act<'_>) -> Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().expect("the queue is open until the writer is dropped");
        let job = Asked { act: Some(act), outcome: None, answer };
        queue.send(Box::new(job)).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the database writer had panicked");
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the database writer has stopped".into())
}

/// An act and whoever waits for it, whatever the type of its outcome.
trait Job: Send {
    /// Runs the act and keeps the outcome; `false` when it failed and what it changed must be undone.
    fn run(&mut self, act: &mut Act<'_>) -> bool;
    /// Hands over the outcome.
    fn answer(self: Box<Self>);
    /// Reports that nothing of the act is left.
    fn fail(self: Box<Self>, cause: Arc<rusqlite::Error>);
}

struct Asked<T, F> {
    act: Option<F>,
    outcome: Option<Result<T>>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for Asked<T, F>
where
    T: Send,
    F: FnOnce(&mut Act<'_>) -> Result<T> + Send,
{
    fn run(&mut self, act: &mut Act<'_>) -> bool {
        let todo = self.act.take().expect("a job is run once");
        // A bug in one act must not take the thread, and with it everybody's acts; its savepoint undoes what it did.
        let outcome = catch_unwind(AssertUnwindSafe(|| todo(act))).unwrap_or_else(|panic| Err(panicked(&*panic)));
        self.outcome.insert(outcome).is_ok()
    }

    fn answer(self: Box<Self>) {
        // Whoever asked may have gone; the act is done all the same.
        drop(self.answer.send(self.outcome.expect("a job is run before it is answered")));
    }

    fn fail(self: Box<Self>, cause: Arc<rusqlite::Error>) {
        drop(self.answer.send(Err(StoreError::Unavailable(cause.into()))));
    }
}

fn panicked(panic: &(dyn Any + Send)) -> StoreError {
    let words = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    StoreError::Unavailable(words.unwrap_or("the act panicked").into())
}

fn commit_all(db: &Connection, mut waiting: mpsc::Receiver<Box<dyn Job>>, sink: &FanoutSink) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while waiting.blocking_recv_many(&mut batch, MAX_BATCH) > 0 {
        match commit(db, &mut batch) {
            Ok(fanouts) => {
                fanouts.into_iter().for_each(&**sink);
                batch.drain(..).for_each(Job::answer);
            }
            Err(error) => {
                tracing::error!(%error, acts = batch.len(), "commit failed");
                let cause = Arc::new(error);
                batch.drain(..).for_each(|job| job.fail(Arc::clone(&cause)));
            }
        }
    }
}

/// Runs every job of a batch and commits what succeeded. On an error nothing of the batch is left.
fn commit(db: &Connection, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<Vec<Fanout>> {
    // Rolled back when dropped before its commit.
    let transaction = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    let mut act = Act { db, fanouts: Vec::new() };
    for job in batch {
        let before = act.fanouts.len();
        execute(db, "SAVEPOINT act")?;
        if !job.run(&mut act) {
            act.fanouts.truncate(before);
            // Fails when the error has undone the whole transaction (a full disk may do so), and so fails the batch.
            execute(db, "ROLLBACK TO act")?;
        }
        execute(db, "RELEASE act")?;
    }
    transaction.commit()?;
    Ok(act.fanouts)
}

fn execute(db: &Connection, sql: &str) -> rusqlite::Result<usize> {
    db.prepare_cached(sql)?.execute([])
}
