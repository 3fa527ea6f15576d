//! What servers settle among themselves. Clocks are the database's, so that the servers' own need not agree.

use super::{
    field::Field,
    schema::{Collection, index},
    transaction::{Failure, Result, Table},
};
use crate::store::news::{Attempt, Duty, News, Node};
use hypersend_protocol::id::{ChatId, UserId};
use mongodb::{
    Database,
    bson::{DateTime, Document, Uuid, doc},
    options::{Acknowledgment, ReturnDocument, WriteConcern},
};
use serde::{Deserialize, Serialize};
use std::{num::NonZeroU32, time::Duration};

/// Who is typing, for servers to tell each other; forgotten at once.
pub(super) const TYPING: Table<TypingRow> = Table::new("typing");

/// Attempts, by what is counted.
const ATTEMPTS: Table<AttemptRow> = Table::new("attempts");

/// Duties, by name.
const DUTIES: Table<DutyRow> = Table::new("duties");

/// How long what is forgotten at once is there. The database looks every minute.
pub(super) const FORGOTTEN_SECONDS: i64 = 60;

/// A server unlike all others.
pub(super) fn new_node() -> Node {
    Node(i64::from_ne_bytes(*uuid::Uuid::new_v4().as_bytes().first_chunk().expect("it has 16 bytes")))
}

/// Somebody typing.
#[derive(Serialize, Deserialize)]
pub(super) struct TypingRow {
    by: i64,
    chat: Uuid,
    user: Uuid,
    at: DateTime,
}

/// What is counted. `free` is when as many attempts as are allowed at once may come again (the generic cell rate
/// algorithm's theoretical arrival time), `wait` the milliseconds for which the last one came too soon.
#[derive(Serialize, Deserialize)]
struct AttemptRow {
    #[serde(rename = "_id")]
    id: String,
    free: DateTime,
    wait: i64,
}

/// A duty, whose it is, and until when.
#[derive(Serialize, Deserialize)]
struct DutyRow {
    #[serde(rename = "_id")]
    id: String,
    by: i64,
    until: DateTime,
}

/// How the collections are to be.
pub(super) fn collections() -> Vec<Collection> {
    let forget = |name, field| index(name, doc! { field: 1 }, doc! { "expireAfterSeconds": FORGOTTEN_SECONDS });
    vec![
        Collection::new(
            &TYPING,
            &[("_id", "objectId"), ("by", "long"), ("chat", "binData"), ("user", "binData"), ("at", "date")],
            vec![forget("typing_by_age", "at")],
        ),
        Collection::new(
            &ATTEMPTS,
            &[("_id", "string"), ("free", "date"), ("wait", "long")],
            vec![forget("attempts_by_age", "free")],
        ),
        Collection::new(&DUTIES, &[("_id", "string"), ("by", "long"), ("until", "date")], vec![]),
    ]
}

impl TypingRow {
    /// What it says.
    pub(super) fn news(self) -> Result<News> {
        Ok(News::Typing(ChatId::read(self.chat)?, UserId::read(self.user)?))
    }
}

/// Lets other servers know that somebody is typing. Nobody waits for a majority to know it.
pub(super) async fn typing(db: &Database, node: Node, chat: ChatId, user: UserId) -> Result<()> {
    let row = TypingRow { by: node.0, chat: chat.write(), user: user.write(), at: DateTime::now() };
    let soon = WriteConcern::builder().w(Acknowledgment::Nodes(1)).build();
    db.collection(TYPING.name).insert_one(row).write_concern(soon).await?;
    Ok(())
}

/// Counts an attempt; says how long to wait if it came too soon.
pub(super) async fn count(db: &Database, attempt: &Attempt, per_minute: NonZeroU32) -> Result<Option<Duration>> {
    let id = match attempt {
        Attempt::LoginTo(email) => format!("login to {}", email.as_str()),
        Attempt::LoginFrom(address) => format!("login from {address}"),
        Attempt::RegistrationFrom(address) => format!("registration from {address}"),
        Attempt::OpeningFrom(address) => format!("mailbox opened from {address}"),
        Attempt::ClaimFrom(address) => format!("mailbox claimed from {address}"),
        Attempt::ClaimFromSite(site) => format!("mailbox claimed from site {site}"),
    };
    let every = 60_000 / i64::from(per_minute.get());
    let at_once = every * (i64::from(per_minute.get()) - 1);
    let early = doc! { "$subtract": [{ "$subtract": ["$free", "$$NOW"] }, at_once] };
    let steps = vec![
        doc! { "$set": { "free": { "$max": ["$free", "$$NOW"] } } },
        doc! { "$set": { "wait": { "$max": [{ "$toLong": early }, { "$toLong": 0 }] } } },
        doc! { "$set": { "free": { "$cond": [{ "$gt": ["$wait", 0] }, "$free", { "$add": ["$free", every] }] } } },
    ];
    let row: AttemptRow = settle(db, &ATTEMPTS, &id, steps).await?;
    Ok(u64::try_from(row.wait).ok().filter(|&wait| wait > 0).map(Duration::from_millis))
}

/// Whether this server has a duty: it has had it before, or nobody has it now.
pub(super) async fn lead(db: &Database, node: Node, duty: Duty, lasting: Duration) -> Result<bool> {
    let id = match duty {
        Duty::Tidying => "tidying",
    };
    let lasting = i64::try_from(lasting.as_millis()).unwrap_or(i64::MAX);
    // A document that has just been made has neither field; nothing is less than any date.
    let takes = doc! { "$or": [{ "$eq": ["$by", node.0] }, { "$lte": ["$until", "$$NOW"] }] };
    let steps = vec![
        doc! { "$set": { "by": { "$cond": [takes, node.0, "$by"] } } },
        doc! { "$set": { "until": {
            "$cond": [{ "$eq": ["$by", node.0] }, { "$add": ["$$NOW", lasting] }, "$until"],
        } } },
    ];
    let row: DutyRow = settle(db, &DUTIES, id, steps).await?;
    Ok(row.by == node.0)
}

/// Makes a document if there is none, changes it by these steps, and gives it as it is then.
async fn settle<R>(db: &Database, table: &Table<R>, id: &str, steps: Vec<Document>) -> Result<R>
where
    R: for<'a> Deserialize<'a> + Send + Sync,
{
    let collection = db.collection::<R>(table.name);
    loop {
        let change = collection.find_one_and_update(doc! { "_id": id }, steps.clone());
        match change.upsert(true).return_document(ReturnDocument::After).await.map_err(Failure::from) {
            Ok(row) => return row.ok_or_else(|| Failure::Duplicate(format!("{id}: made and gone"))),
            // Another has just made it: now it is there.
            Err(Failure::Duplicate(_)) => {}
            Err(failure) => return Err(failure),
        }
    }
}
