//! One act on the database: reads and writes, inside a transaction or, for acts that only read, outside of one.
//!
//! A transaction reads a snapshot, commits by a majority, and begins again when the database says that this may help: by
//! the error labels `TransientTransactionError` (nothing was committed: the act is run anew) and
//! `UnknownTransactionCommitResult` (the commit alone is repeated, which the database takes for the same one). All of it
//! within [`PATIENCE`]. Who is told that the outcome is not known asks again with the same ids, and finds what became of it.

use crate::store::{StoreError, events::Fanout};
use futures::{TryStreamExt, future::BoxFuture};
use mongodb::{
    ClientSession, Database,
    bson::{Document, doc},
    error::{
        Error, ErrorKind, InsertManyError, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure,
    },
    options::{FindOptions, ReadConcern, WriteConcern},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{marker::PhantomData, time::Duration};
use tokio::time::{sleep, timeout};

/// How long an act may take with all its attempts: an election takes some 10 s at worst, and whoever waits longer than this
/// has given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// How often an act may find that somebody else has just written what it is about to write. Once is what a race comes to:
/// the next attempt sees what is there.
const MAX_DUPLICATES: u32 = 4;

/// The database's code for a value that a unique index has already.
const DUPLICATE_KEY: i32 = 11_000;

/// The longest pause before another attempt.
const MAX_PAUSE: Duration = Duration::from_millis(200);

/// What inner functions return.
pub(super) type Result<T> = std::result::Result<T, Failure>;

/// Why an act came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// The database or the way to it.
    Database(Error),
    /// A unique index has the value already.
    Duplicate(String),
    /// What is said to callers already.
    Store(StoreError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if is_duplicate(&error) { Self::Duplicate(error.to_string()) } else { Self::Database(error) }
    }
}

impl From<mongodb::bson::error::Error> for Failure {
    fn from(error: mongodb::bson::error::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error,
            Failure::Duplicate(text) => Self::Unavailable(text.into()),
            Failure::Database(error) => match *error.kind {
                ErrorKind::BsonDeserialization(_) => {
                    Self::Corrupt { what: format!("a document out of place ({error})") }
                }
                _ => Self::Unavailable(error.into()),
            },
        }
    }
}

impl Failure {
    /// Whether the database works, and does not take this act.
    pub(super) fn is_of_the_act(&self) -> bool {
        match self {
            Self::Duplicate(_) | Self::Store(StoreError::Corrupt { .. }) => true,
            Self::Store(_) => false,
            Self::Database(error) => {
                let answered = matches!(
                    *error.kind,
                    ErrorKind::Write(_)
                        | ErrorKind::InsertMany(_)
                        | ErrorKind::Command(_)
                        | ErrorKind::BsonDeserialization(_)
                        | ErrorKind::BsonSerialization(_)
                        | ErrorKind::InvalidArgument { .. }
                );
                answered && !error.contains_label(TRANSIENT_TRANSACTION_ERROR)
            }
        }
    }
}

fn is_duplicate(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::Write(WriteFailure::WriteError(error)) => error.code == DUPLICATE_KEY,
        ErrorKind::InsertMany(InsertManyError { write_errors: Some(errors), .. }) => {
            errors.iter().any(|error| error.code == DUPLICATE_KEY)
        }
        ErrorKind::Command(error) => error.code == DUPLICATE_KEY,
        _ => false,
    }
}

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
    /// What the sink is told if the act is committed.
    pub(super) fanouts: Vec<Fanout>,
}

impl Act {
    /// An act that only reads, what a majority has.
    pub(super) fn reading(db: &Database) -> Self {
        Self { db: db.clone(), session: None, fanouts: Vec::new() }
    }

    /// An act in a transaction: what it reads is as it was at one moment.
    pub(super) async fn begin(db: &Database) -> Result<Self> {
        let mut session = db.client().start_session().await?;
        let start = session.start_transaction().read_concern(ReadConcern::snapshot());
        start.write_concern(WriteConcern::majority()).await?;
        Ok(Self { session: Some(session), ..Self::reading(db) })
    }

    async fn commit(mut self) -> Result<Vec<Fanout>> {
        let session = self.session.as_mut().expect("only what was begun is committed");
        let mut attempt = 0;
        while let Err(error) = session.commit_transaction().await {
            if !error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) {
                return Err(error.into());
            }
            attempt += 1;
            sleep(pause(attempt)).await;
        }
        Ok(self.fanouts)
    }

    /// Gives up.
    pub(super) async fn abort(mut self) {
        if let Some(session) = &mut self.session {
            // The database undoes it by itself when it does not hear of this.
            drop(session.abort_transaction().await);
        }
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

/// Runs an act in a transaction, again and again where that may help; gives its outcome, and what the sink is to be told.
pub(super) async fn transact<T, F>(db: &Database, act: F) -> Result<(T, Vec<Fanout>)>
where
    F: for<'a> FnMut(&'a mut Act) -> BoxFuture<'a, Result<T>>,
{
    within(attempts(db, act)).await
}

/// What comes of something that may not take for ever.
pub(super) async fn within<T>(done: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(PATIENCE, done).await.unwrap_or_else(|_| {
        Err(Failure::Store(StoreError::Unavailable(format!("no answer within {PATIENCE:?}").into())))
    })
}

async fn attempts<T, F>(db: &Database, mut act: F) -> Result<(T, Vec<Fanout>)>
where
    F: for<'a> FnMut(&'a mut Act) -> BoxFuture<'a, Result<T>>,
{
    let mut duplicates = 0;
    for attempt in 1.. {
        let mut under_way = Act::begin(db).await?;
        let failure = match act(&mut under_way).await {
            Ok(outcome) => match under_way.commit().await {
                Ok(fanouts) => return Ok((outcome, fanouts)),
                Err(failure) => failure,
            },
            Err(failure) => {
                under_way.abort().await;
                failure
            }
        };
        match &failure {
            Failure::Database(error) if error.contains_label(TRANSIENT_TRANSACTION_ERROR) => {
                tracing::debug!(%error, attempt, "transaction begun again");
            }
            Failure::Duplicate(_) if duplicates < MAX_DUPLICATES => duplicates += 1,
            _ => return Err(failure),
        }
        sleep(pause(attempt)).await;
    }
    unreachable!("the attempts end by returning, or by the caller's clock")
}

/// How long to wait before another attempt: longer each time, and never as long as somebody else.
fn pause(attempt: u32) -> Duration {
    let most = Duration::from_millis(1 << attempt.min(8)).min(MAX_PAUSE);
    let share = getrandom::u32().unwrap_or(u32::MAX / 2);
    most.mul_f64(f64::from(share) / f64::from(u32::MAX))
}
