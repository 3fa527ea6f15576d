//! The writing side: acts that go into feeds, one transaction after the other.
//!
//! Within one server they take turns, so that they do not make each other begin again, and so that the sink is told in the
//! order of the commits. Posts and read marks share transactions: while one is under way, those that come wait, and the next
//! takes all of them. Nobody hears of an act before it is committed: first the sink is told, then whoever asked.
//!
//! The turn is given on when it is known what became of an act, however long the database stays away. Callers do not wait for
//! that: their patience is their own, and begins when they ask.

use super::{
    batch::{self, Done, Outcome, Wish},
    known::Known,
    transaction::{Act, Failure, Result, by, deadline, see_through, transact},
};
use crate::store::{
    self, StoreError,
    events::{Fanout, FanoutSink},
    news::Node,
};
use futures::{FutureExt, future::BoxFuture};
use mongodb::Database;
use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::Instant,
};

/// Wishes that may wait. Beyond it callers wait to be let in, so that a slow database slows them down instead of filling the
/// memory: a wish is at most some 20 KiB.
const MAX_WAITING: usize = 1_024;

/// Wishes in one transaction. Enough to share the round trips and the wait for the majority among them, few enough that the
/// first does not wait long for the last.
const MAX_BATCH: usize = 256;

/// The writing side. Dropping it finishes what waits.
pub(super) struct Writer {
    queue: mpsc::Sender<Asked>,
    side: Side,
}

/// What every act needs.
#[derive(Clone)]
struct Side {
    db: Database,
    node: Node,
    /// The turn to write, and what is remembered from the last one.
    turn: Arc<Mutex<Known>>,
    sink: FanoutSink,
    /// Whether to expect messages that were posted before: the last batch had some. Clients send again together, after an
    /// outage, and then every batch would have to be run twice.
    careful: Arc<AtomicBool>,
}

/// A wish and whoever waits for it.
struct Asked {
    wish: Wish,
    /// When they are told that there is no answer.
    deadline: Instant,
    answer: oneshot::Sender<store::Result<Outcome>>,
}

impl Asked {
    /// Whether somebody waits for it. Who does not any more asks again, by the same ids.
    fn waits(&self) -> bool {
        self.deadline > Instant::now()
    }
}

impl Writer {
    /// Starts taking wishes.
    pub(super) fn start(db: Database, node: Node, sink: FanoutSink) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let side = Side { db, node, turn: Arc::default(), sink, careful: Arc::default() };
        // Ends when the queue is closed and empty.
        tokio::spawn(side.clone().commit_all(waiting));
        Self { queue, side }
    }

    /// Has an act done in a transaction of its own. It is done even if the caller goes away.
    pub(super) async fn act<T, F>(&self, mut act: F) -> store::Result<T>
    where
        T: Send + 'static,
        F: for<'a> FnMut(&'a mut Act) -> BoxFuture<'a, Result<T>> + Send + 'static,
    {
        let Side { db, node, turn, sink, .. } = self.side.clone();
        see_through(async move {
            let deadline = deadline();
            let mut known = by(deadline, turn.lock().map(Ok)).await?;
            known.forget();
            let act = transact(&db, deadline, move |under_way| {
                under_way.node = Some(node);
                act(under_way)
            });
            let (outcome, fanouts) = act.await?;
            fanouts.into_iter().for_each(&*sink);
            Ok(outcome)
        })
        .await
    }

    /// Has a wish fulfilled together with others; returns when it is committed. It is even if the caller goes away, unless
    /// its turn comes after their time.
    pub(super) async fn wish(&self, wish: Wish) -> store::Result<Outcome> {
        let (answer, answered) = oneshot::channel();
        let deadline = deadline();
        let fulfilled = async {
            self.queue.send(Asked { wish, deadline, answer }).await.map_err(|_| stopped())?;
            Ok(answered.await.map_err(|_| stopped())??)
        };
        Ok(by(deadline, fulfilled).await?)
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the database writer has stopped".into())
}

impl Side {
    async fn commit_all(self, mut queue: mpsc::Receiver<Asked>) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                let Some(asked) = queue.recv().await else { return };
                waiting.push_back(asked);
            }
            let mut known = self.turn.lock().await;
            while waiting.len() < MAX_BATCH
                && let Ok(asked) = queue.try_recv()
            {
                waiting.push_back(asked);
            }
            waiting.retain(Asked::waits);
            if waiting.is_empty() {
                continue;
            }
            match self.commit(&waiting, &mut known).await {
                Ok(outcomes) => answer(&mut waiting, outcomes),
                // One of them may be what the others suffer from.
                Err(failure) if failure.is_of_the_act() && waiting.len() > 1 => {
                    self.commit_each(&mut waiting, &mut known).await;
                }
                Err(failure) => fail(&mut waiting, failure),
            }
        }
    }

    /// Fulfils the first of these wishes, in one transaction, as long as one of those who asked waits.
    async fn commit(&self, asked: impl IntoIterator<Item = &Asked> + Clone, known: &mut Known) -> Result<Vec<Outcome>> {
        let deadline = asked.clone().into_iter().map(|asked| asked.deadline).max().unwrap_or_else(Instant::now);
        let wishes: Arc<[Wish]> = asked.into_iter().map(|asked| asked.wish.clone()).collect();
        let mut careful = self.careful.load(Ordering::Relaxed);
        let node = self.node;
        let mut handed_out = known.hand_out(std::time::Instant::now());
        let built_on_memory = !handed_out.is_empty();
        let mut attempts = 0;
        let committed = transact(&self.db, deadline, |act| {
            act.node = Some(node);
            let wishes = Arc::clone(&wishes);
            // Another attempt may be one because of a duplicate: posted before, or built on what is out of date.
            let careful = std::mem::replace(&mut careful, true);
            let known = std::mem::take(&mut handed_out);
            attempts += 1;
            Box::pin(async move { batch::run(act, &wishes, careful, known).await })
        });
        // A bug met by one batch must not take the task, and with it everybody's posts.
        let committed = AssertUnwindSafe(committed).catch_unwind().await;
        let (done, fanouts): (Done, Vec<Fanout>) = committed.unwrap_or_else(|_| Err(panicked()))?;
        self.careful.store(done.repeated, Ordering::Relaxed);
        known.take_back(done.known, built_on_memory && attempts > 1);
        fanouts.into_iter().for_each(&*self.sink);
        Ok(done.outcomes)
    }

    async fn commit_each(&self, waiting: &mut VecDeque<Asked>, known: &mut Known) {
        while let Some(asked) = waiting.pop_front().filter(Asked::waits) {
            let outcome = self.commit([&asked], known).await;
            let outcome = outcome.map_err(StoreError::from).and_then(|all| all.first().copied().ok_or_else(stopped));
            drop(asked.answer.send(outcome));
        }
    }
}

fn panicked() -> Failure {
    Failure::Store(StoreError::Corrupt { what: "what makes an act panic".to_owned() })
}

fn answer(waiting: &mut VecDeque<Asked>, outcomes: Vec<Outcome>) {
    for (asked, outcome) in waiting.drain(..outcomes.len()).zip(outcomes) {
        // Whoever asked may have gone; the act is done all the same.
        drop(asked.answer.send(Ok(outcome)));
    }
}

fn fail(waiting: &mut VecDeque<Asked>, failure: Failure) {
    let error = StoreError::from(failure);
    tracing::error!(error = %crate::report(&error), acts = waiting.len(), "commit failed");
    let cause = Arc::new(error);
    for asked in waiting.drain(..) {
        drop(asked.answer.send(Err(StoreError::Unavailable(Arc::clone(&cause).into()))));
    }
}
