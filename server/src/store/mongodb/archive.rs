//! All records out of a database, in one snapshot, and into an empty one. An import is too much for one transaction: while it
//! is under way the database is marked, and nobody serves it.

mod rows;

use super::{
    chats::{CHATS, ChatRow},
    connection::{COMMAND, connect},
    events::{self, EVENTS, FEEDS, FeedRow},
    field::{Field, corrupt},
    files::{FILES, FileRow, POSTINGS, PostingRow, REMOVALS, RemovalRow},
    messages::{MESSAGES, MessageRow},
    p2p::{P2P, P2pRow},
    schema,
    sessions::{SESSIONS, SessionRow},
    transaction::{Act, Failure, Result, Table},
    users::{USERS, UserRow},
};
use crate::{
    settings::MongodbUri,
    store::{
        self, StoreError,
        archive::{Feed, Record, Records, Taken, ended_early, nobody_writes},
    },
};
use hypersend_protocol::id::{Cursor, FileId};
use mongodb::{
    Database,
    bson::{Bson, DateTime, Document, doc, serialize_to_bson, serialize_to_document},
    error::TRANSIENT_TRANSACTION_ERROR,
    options::FindOptions,
};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// Documents read, and written, at once.
const AT_ONCE: u32 = 256;

/// Hands out all records of a database.
pub(in crate::store) async fn dump(uri: &MongodbUri, records: Records) -> store::Result<()> {
    let db = connect(uri, COMMAND, None).await?;
    schema::versions(&db).await?.check()?;
    let mut snapshot = Act::begin(&db).await?;
    let dumped = dump_all(&mut snapshot, &records).await;
    snapshot.abort(dumped.as_ref().err().is_none_or(Failure::is_answer)).await;
    Ok(dumped.map_err(too_slow)?)
}

/// A transaction is a snapshot that the database gives up after a while.
fn too_slow(failure: Failure) -> Failure {
    match failure {
        Failure::Database(error) if error.contains_label(TRANSIENT_TRANSACTION_ERROR) => {
            let reason = format!(
                "the database gave up the snapshot before all of it was read ({error}); let it live for longer, with \
                 `db.adminCommand({{ setParameter: 1, transactionLifetimeLimitSeconds: 3600 }})`, and export again"
            );
            Failure::Store(StoreError::Unfit { reason })
        }
        failure => failure,
    }
}

async fn dump_all(act: &mut Act, records: &Records) -> Result<()> {
    each(act, &USERS, records, |row: &UserRow| row.id.into(), |row| row.read().map(Record::User)).await?;
    each(act, &SESSIONS, records, |row: &SessionRow| row.id.into(), |row| row.read().map(Record::Session)).await?;
    each(act, &CHATS, records, |row: &ChatRow| row.id.into(), rows::chat).await?;
    let place = |row: &MessageRow| serialize_to_bson(&row.id).unwrap_or_default();
    each(act, &MESSAGES, records, place, |row| row.read().map(Record::Message)).await?;
    each(act, &FILES, records, |row: &FileRow| row.id.into(), rows::file).await?;
    let place = |row: &PostingRow| serialize_to_bson(&row.id).unwrap_or_default();
    each(act, &POSTINGS, records, place, rows::posting).await?;
    let removal = |row: RemovalRow| FileId::read(row.id).map(Record::Removal);
    each(act, &REMOVALS, records, |row: &RemovalRow| row.id.into(), removal).await?;
    each(act, &P2P, records, |row: &P2pRow| row.id.into(), rows::p2p).await?;
    let mut last = None;
    loop {
        let feeds: Vec<FeedRow> = page(act, &FEEDS, last.take()).await?;
        for row in feeds {
            last = Some(row.id.into());
            let feed = rows::feed(&row)?;
            dump_events(act, records, &feed).await?;
            send(records, Record::Feed(feed)).await?;
        }
        if last.is_none() {
            return Ok(());
        }
    }
}

/// Hands out a feed's events by their places, which are dense.
async fn dump_events(act: &mut Act, records: &Records, feed: &Feed) -> Result<()> {
    let mut after = feed.pruned;
    while after < feed.head {
        let upto = Cursor(after.0.saturating_add(AT_ONCE.into())).min(feed.head);
        let rows = events::between(act, feed.user, after, upto).await?;
        if rows.len() as u64 != upto.0 - after.0 {
            return Err(corrupt("a feed with a gap"));
        }
        for row in rows {
            send(records, Record::Event(rows::event(&row)?)).await?;
        }
        after = upto;
    }
    Ok(())
}

/// Hands out what comes of each document, in the order of their ids.
async fn each<R: DeserializeOwned + Send + Sync>(
    act: &mut Act,
    table: &Table<R>,
    records: &Records,
    id: impl Fn(&R) -> Bson,
    read: impl Fn(R) -> Result<Record>,
) -> Result<()> {
    let mut last = None;
    loop {
        let rows = page(act, table, last).await?;
        let Some(next) = rows.last().map(&id) else { return Ok(()) };
        for row in rows {
            send(records, read(row)?).await?;
        }
        last = Some(next);
    }
}

/// The documents behind this one.
async fn page<R: DeserializeOwned + Send + Sync>(
    act: &mut Act,
    table: &Table<R>,
    last: Option<Bson>,
) -> Result<Vec<R>> {
    let filter = last.map_or_else(Document::new, |last| doc! { "_id": { "$gt": last } });
    act.all(table, filter, FindOptions::builder().sort(doc! { "_id": 1 }).limit(i64::from(AT_ONCE)).build()).await
}

async fn send(records: &Records, record: Record) -> Result<()> {
    Ok(records.send(record).await.map_err(nobody_writes)?)
}

/// Takes so many records into a database.
pub(in crate::store) async fn load(uri: &MongodbUri, mut records: Taken, total: u64) -> store::Result<()> {
    let db = connect(uri, COMMAND, None).await?;
    let mark = schema::begin_import(&db).await?;
    let mut loader = Loader { db: &db, waiting: BTreeMap::new(), age: DateTime::from_millis(0) };
    let mut loaded = 0;
    while let Some(record) = records.recv().await {
        loader.load(record).await?;
        loaded += 1;
    }
    if loaded != total {
        return Err(ended_early());
    }
    loader.flush().await?;
    schema::end_import(&db, mark).await
}

/// Writes records, those of a collection together.
struct Loader<'a> {
    db: &'a Database,
    waiting: BTreeMap<&'static str, Vec<Document>>,
    /// The age of the newest event of the feed that is to come: ages never fall along a feed.
    age: DateTime,
}

impl Loader<'_> {
    async fn load(&mut self, record: Record) -> Result<()> {
        match record {
            Record::User(user) => self.put(&USERS, rows::from_user(user)).await,
            Record::Session(session) => self.put(&SESSIONS, SessionRow::from(&session)).await,
            Record::Chat(chat) => self.put(&CHATS, rows::from_chat(chat)).await,
            Record::Message(message) => self.put(&MESSAGES, MessageRow::from(&message)).await,
            Record::File(file) => self.put(&FILES, rows::from_file(&file)).await,
            Record::Posting(posting) => self.put(&POSTINGS, rows::from_posting(&posting)).await,
            Record::Removal(file) => self.put(&REMOVALS, RemovalRow { id: file.write() }).await,
            Record::P2p(offer) => self.put(&P2P, P2pRow::new(&offer.session, offer.client_id)).await,
            Record::Event(event) => {
                self.age = self.age.max(event.at.write());
                self.put(&EVENTS, rows::from_event(&event, self.age)).await
            }
            Record::Feed(feed) => {
                let age = std::mem::replace(&mut self.age, DateTime::from_millis(0));
                self.put(&FEEDS, rows::from_feed(&feed, age)).await
            }
        }
    }

    async fn put<R: Serialize>(&mut self, table: &Table<R>, row: R) -> Result<()> {
        let waiting = self.waiting.entry(table.name).or_default();
        waiting.push(serialize_to_document(&row)?);
        if waiting.len() >= AT_ONCE as usize {
            let full = std::mem::take(waiting);
            insert(self.db, table.name, full).await?;
        }
        Ok(())
    }

    async fn flush(self) -> Result<()> {
        for (name, rows) in self.waiting {
            insert(self.db, name, rows).await?;
        }
        Ok(())
    }
}

async fn insert(db: &Database, name: &str, rows: Vec<Document>) -> Result<()> {
    if !rows.is_empty() {
        db.collection::<Document>(name).insert_many(rows).await?;
    }
    Ok(())
}
