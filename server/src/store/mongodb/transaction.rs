//! One act on the database: reads and writes, inside a transaction or, for acts that only read, outside of one.
//!
//! A transaction reads a snapshot, commits by a majority, and begins again when the database says that this may help, by
//! the error label `TransientTransactionError`: nothing was committed.
//!
//! Callers wait for [`PATIENCE`] at most. What is under way when they are told that the database does not answer is seen to
//! its end all the same ([`see_through`]). What is not to be committed is undone: the database would otherwise hold what it
//! has written against everybody else for a minute. And a commit that says neither yes nor no is repeated, which the
//! database takes for the same one, until it says either: listeners must hear of what was committed. Who was told that the
//! outcome is not known asks again with the same ids, and finds what became of it.

pub(super) use super::failure::{Failure, Result};
use super::{failure::DUPLICATE_KEY, orphans};
use crate::store::{self, StoreError, events::Fanout, news::Node};
use futures::{FutureExt, TryStreamExt, future::BoxFuture};
use mongodb::{
    ClientSession, Database,
    bson::{Document, doc},
    error::TRANSIENT_TRANSACTION_ERROR,
    options::{FindOptions, ReadConcern, WriteConcern},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{marker::PhantomData, time::Duration};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long a caller waits for an act with all its attempts: an election takes some 10 s at worst, and whoever waits longer
/// than this has given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// After this the database has undone what nobody ended: `transactionLifetimeLimitSeconds`, and the half of it that may pass
/// before it looks.
pub(super) const FORGOTTEN: Duration = Duration::from_secs(90);

/// How often an act may find that somebody else has just written what it is about to write. Once is what a race comes to:
/// the next attempt sees what is there.
const MAX_DUPLICATES: u32 = 4;

/// The longest pause before another attempt.
const MAX_PAUSE: Duration = Duration::from_millis(200);

/// A collection and the type of its documents.
pub(super) struct Table<R> {
    /// Its name.
    pub(super) name: &'static str,
    row: PhantomData<fn() -> R>,
}

impl<R> Table<R> {
    /// The collection of this name.
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, row: PhantomData }
    }
}

/// One act under way.
pub(super) struct Act {
    db: Database,
    session: Option<ClientSession>,
    /// Whose act it is, of one that goes into feeds.
    pub(super) node: Option<Node>,
    /// What the sink is told if the act is committed.
    pub(super) fanouts: Vec<Fanout>,
}

impl Act {
    /// An act that only reads, what a majority has.
    pub(super) fn reading(db: &Database) -> Self {
        Self { db: db.clone(), session: None, node: None, fanouts: Vec::new() }
    }

    /// An act in a transaction: what it reads is as it was at one moment.
    pub(super) async fn begin(db: &Database) -> Result<Self> {
        let mut session = db.client().start_session().await?;
        let start = session.start_transaction().read_concern(ReadConcern::snapshot());
        start.write_concern(WriteConcern::majority()).await?;
        Ok(Self { session: Some(session), ..Self::reading(db) })
    }

    /// Commits, and asks until it is known what became of it.
    async fn commit(mut self) -> Result<Vec<Fanout>> {
        let session = self.session.as_mut().expect("only what was begun is committed");
        for attempt in 1.. {
            let doubt = match timeout(PATIENCE, session.commit_transaction()).await {
                Ok(Ok(())) => return Ok(self.fanouts),
                Ok(Err(error)) if error.contains_label(TRANSIENT_TRANSACTION_ERROR) => return Err(error.into()),
                // Whether it says that the outcome is unknown or not, it does not say that nothing was committed.
                Ok(Err(error)) => error.to_string(),
                Err(_) => Failure::Late.to_string(),
            };
            if attempt == 1 {
                tracing::warn!(error = doubt, "not known whether a commit was carried out; asking until it is");
            }
            sleep(pause(attempt)).await;
        }
        unreachable!("the attempts end by returning")
    }

    /// Undoes what was done so far, as soon as the database can be told to; at once if it has answered.
    pub(super) async fn abort(mut self, answered: bool) {
        let Some(session) = &mut self.session else { return };
        if !answered {
            until_reached(&self.db).await;
        }
        drop(timeout(PATIENCE, session.abort_transaction()).await);
    }

    /// The first document that fits.
    pub(super) async fn one<R: DeserializeOwned + Send + Sync>(
        &mut self,
        table: &Table<R>,
        filter: Document,
    ) -> Result<Option<R>> {
        Ok(self.all(table, filter, FindOptions::builder().limit(1).build()).await?.pop())
    }

    /// All documents that fit.
    pub(super) async fn all<R: DeserializeOwned + Send + Sync>(
        &mut self,
        table: &Table<R>,
        filter: Document,
        options: FindOptions,
    ) -> Result<Vec<R>> {
        self.all_as(table, filter, options).await
    }

    /// Parts of all documents that fit, by the projection in the options.
    pub(super) async fn all_as<R, P: DeserializeOwned + Send + Sync>(
        &mut self,
        table: &Table<R>,
        filter: Document,
        options: FindOptions,
    ) -> Result<Vec<P>> {
        let collection = self.db.collection::<P>(table.name);
        let find = collection.find(filter).with_options(options);
        Ok(match &mut self.session {
            None => find.await?.try_collect().await?,
            Some(session) => {
                let mut found = find.session(&mut *session).await?;
                found.stream(session).try_collect().await?
            }
        })
    }

    /// What comes out of a pipeline; not inside a transaction.
    pub(super) async fn aggregate<R, P>(&mut self, table: &Table<R>, steps: Vec<Document>) -> Result<Vec<P>>
    where
        R: Send + Sync,
        P: DeserializeOwned + Send + Sync,
    {
        let found = self.db.collection::<Document>(table.name).aggregate(steps).with_type::<P>().await?;
        Ok(found.try_collect().await?)
    }

    /// Writes new documents.
    pub(super) async fn insert<R: Serialize + Send + Sync>(&mut self, table: &Table<R>, rows: &[R]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let collection = self.db.collection::<R>(table.name);
        collection.insert_many(rows).session(self.session()).await?;
        Ok(())
    }

    /// Changes the document that fits; says whether there is one.
    pub(super) async fn update<R>(&mut self, table: &Table<R>, filter: Document, change: Document) -> Result<bool> {
        Ok(self.update_all(table, vec![doc! { "q": filter, "u": change }]).await? == 1)
    }

    /// Carries out statements of the `update` command in their order; says how many documents they fitted.
    pub(super) async fn update_all<R>(&mut self, table: &Table<R>, updates: Vec<Document>) -> Result<i64> {
        if updates.is_empty() {
            return Ok(0);
        }
        // The driver has no call for several statements before MongoDB 8; the command has always taken them.
        let db = self.db.clone();
        let reply = db.run_command(doc! { "update": table.name, "updates": updates }).session(self.session()).await?;
        if let Ok(errors) = reply.get_array("writeErrors") {
            let duplicate = errors.iter().filter_map(|error| error.as_document()?.get_i32("code").ok());
            return Err(if duplicate.into_iter().any(|code| code == DUPLICATE_KEY) {
                Failure::Duplicate(format!("update of {}", table.name))
            } else {
                Failure::Store(StoreError::Unavailable(format!("update of {}: {errors:?}", table.name).into()))
            });
        }
        Ok(reply.get_i32("n").map_or(0, i64::from))
    }

    /// Removes the documents that fit; says how many.
    pub(super) async fn delete<R: Send + Sync>(&mut self, table: &Table<R>, filter: Document) -> Result<u64> {
        let collection = self.db.collection::<Document>(table.name);
        Ok(collection.delete_many(filter).session(self.session()).await?.deleted_count)
    }

    fn session(&mut self) -> &mut ClientSession {
        self.session.as_mut().expect("an act that changes something is in a transaction")
    }
}

/// Until when a caller who asks now waits.
pub(super) fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

/// What comes of something until a moment.
pub(super) fn by<T>(deadline: Instant, done: impl Future<Output = Result<T>>) -> impl Future<Output = Result<T>> {
    timeout_at(deadline, done).map(|done| done.unwrap_or(Err(Failure::Late)))
}

/// What comes of something that may not take for ever.
pub(super) fn within<T>(done: impl Future<Output = Result<T>>) -> impl Future<Output = Result<T>> {
    by(deadline(), done)
}

/// Has an act done in a task of its own, to its end, and waits for it as long as a caller does. It is done even if the
/// caller goes away.
pub(super) async fn see_through<T: Send + 'static>(
    act: impl Future<Output = Result<T>> + Send + 'static,
) -> store::Result<T> {
    let done = tokio::spawn(act);
    let done = async { done.await.unwrap_or_else(|panic| Err(StoreError::Unavailable(panic.into()).into())) };
    Ok(within(done).await?)
}

/// Runs an act in a transaction, again and again until a moment where that may help; gives its outcome, and what the sink is
/// to be told. Returns later than that if it takes longer to know what became of it.
pub(super) async fn transact<T, F>(db: &Database, deadline: Instant, mut act: F) -> Result<(T, Vec<Fanout>)>
where
    F: for<'a> FnMut(&'a mut Act) -> BoxFuture<'a, Result<T>>,
{
    let mut duplicates = 0;
    let mut look = Instant::now() + orphans::HELD;
    for attempt in 1.. {
        let mut under_way = by(deadline, Act::begin(db)).await?;
        let failure = match by(deadline, act(&mut under_way)).await {
            Ok(outcome) => match under_way.commit().await {
                Ok(fanouts) => return Ok((outcome, fanouts)),
                Err(failure) => failure,
            },
            Err(failure) => {
                under_way.abort(failure.is_answer()).await;
                failure
            }
        };
        match &failure {
            _ if Instant::now() >= deadline => return Err(failure),
            Failure::Database(error) if error.contains_label(TRANSIENT_TRANSACTION_ERROR) => {
                tracing::debug!(%error, attempt, "transaction begun again");
                if failure.is_conflict() && Instant::now() >= look {
                    look = Instant::now() + orphans::HELD;
                    if let Err(error) = by(deadline, orphans::undo(db)).await {
                        tracing::warn!(%error, "cannot look for transactions that were left open");
                    }
                }
            }
            Failure::Duplicate(_) if duplicates < MAX_DUPLICATES => duplicates += 1,
            _ => return Err(failure),
        }
        sleep(pause(attempt)).await;
    }
    unreachable!("the attempts end by returning")
}

/// Waits until the database answers.
async fn until_reached(db: &Database) {
    for attempt in 1.. {
        if let Ok(Ok(_)) = timeout(PATIENCE, db.run_command(doc! { "ping": 1 })).await {
            return;
        }
        sleep(pause(attempt)).await;
    }
}

/// How long to wait before another attempt: longer each time, and never as long as somebody else.
fn pause(attempt: u32) -> Duration {
    let most = Duration::from_millis(1 << attempt.min(8)).min(MAX_PAUSE);
    let share = getrandom::u32().unwrap_or(u32::MAX / 2);
    most.mul_f64(f64::from(share) / f64::from(u32::MAX))
}
