//! Mailboxes. What becomes of one is decided by [`Mailbox`] and [`NewMailbox`]; this file only carries it out. Other servers
//! hear by the news that one was left.

use super::{
    field::{Field, corrupt, read_hash, write_hash},
    schema::{Collection, index},
    transaction::{Act, Result, Table},
};
use crate::store::{
    mailboxes::{Claim, KeyHash, Mailbox, NewMailbox, Opened},
    news::News,
};
use hypersend_protocol::{id::P2pId, mailbox::Nameplate, time::UnixMillis};
use mongodb::{
    bson::{Binary, DateTime, Document, Uuid, deserialize_from_bson, doc},
    options::FindOptions,
};
use serde::{Deserialize, Serialize};

/// Mailboxes. `open` is there as long as they are not over.
pub(super) const MAILBOXES: Table<MailboxRow> = Table::new("mailboxes");

/// What is written by all acts of one kind, so that of two at once one begins again and sees what the other did.
const TURNS: Table<TurnRow> = Table::new("turns");

/// The turn of those who open mailboxes.
const OPENING: &str = "opening a mailbox";

/// A mailbox's document.
#[derive(Serialize, Deserialize)]
pub(super) struct MailboxRow {
    #[serde(rename = "_id")]
    id: Uuid,
    nameplate: i64,
    opened_from: Uuid,
    sender_key: Binary,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver_key: Option<Binary>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    open: bool,
    expires: DateTime,
}

/// A kind of acts, and how many there were.
#[derive(Serialize, Deserialize)]
struct TurnRow {
    #[serde(rename = "_id")]
    id: String,
    taken: i64,
}

/// A nameplate that is taken.
#[derive(Deserialize)]
struct Taken {
    nameplate: i64,
}

/// How the collections are to be.
pub(super) fn collections() -> [Collection; 2] {
    let fields = [
        ("_id", "binData"),
        ("nameplate", "long"),
        ("opened_from", "binData"),
        ("sender_key", "binData"),
        ("receiver_key?", "binData"),
        ("open?", "bool"),
        ("expires", "date"),
    ];
    let open = || doc! { "partialFilterExpression": { "open": true } };
    let unique = doc! { "unique": true };
    let mut unique_open = open();
    unique_open.extend(unique.clone());
    let indexes = vec![
        index("mailboxes_by_nameplate", doc! { "open": 1, "nameplate": 1 }, unique_open),
        index("mailboxes_by_sender_key", doc! { "sender_key": 1 }, unique),
        index("mailboxes_open_by_origin", doc! { "opened_from": 1, "open": 1 }, open()),
        index("mailboxes_by_end", doc! { "expires": 1 }, doc! {}),
    ];
    [
        Collection::new(&MAILBOXES, &fields, indexes),
        Collection::new(&TURNS, &[("_id", "string"), ("taken", "long")], vec![]),
    ]
}

impl MailboxRow {
    fn read(self) -> Result<Mailbox> {
        let key = |key: Binary| read_hash(key).map(KeyHash);
        Ok(Mailbox {
            id: P2pId::read(self.id)?,
            nameplate: read_nameplate(self.nameplate)?,
            sender: key(self.sender_key)?,
            receiver: self.receiver_key.map(key).transpose()?,
            over: !self.open,
            expires: Field::read(self.expires)?,
        })
    }
}

fn read_nameplate(form: i64) -> Result<Nameplate> {
    let number = u32::try_from(form).ok().and_then(|number| Nameplate::new(number).ok());
    number.ok_or_else(|| corrupt("a nameplate out of place"))
}

/// What a change by which one was left says.
pub(super) fn news(key: &Document) -> Result<News> {
    let id = key.get("_id").cloned().ok_or_else(|| corrupt("a change of no document"))?;
    Ok(News::MailboxLeft(P2pId::read(deserialize_from_bson(id)?)?))
}

/// Opens one, unless it was opened before with the same key.
pub(super) async fn open(act: &mut Act, new: NewMailbox) -> Result<Opened> {
    // What has expired holds no nameplate.
    prune(act, new.now).await?;
    if let Some(before) = act.one(&MAILBOXES, doc! { "sender_key": write_hash(new.key.0) }).await? {
        return Ok(Opened::Open(before.read()?));
    }
    let turn = doc! { "q": { "_id": OPENING }, "u": { "$inc": { "taken": 1_i64 } }, "upsert": true };
    act.update_all(&TURNS, vec![turn]).await?;
    let taken = taken(act).await?;
    if taken.len() >= new.max_open {
        return Ok(Opened::TooMany);
    }
    let from_there = doc! { "opened_from": new.from.write(), "open": true };
    let only_ids = FindOptions::builder().projection(doc! { "_id": 1 }).build();
    if act.all_as::<_, Document>(&MAILBOXES, from_there, only_ids).await?.len() >= new.max_open_from_there {
        return Ok(Opened::TooManyFromThere);
    }
    let mailbox = new.mailbox(&taken);
    let row = MailboxRow {
        id: mailbox.id.write(),
        nameplate: mailbox.nameplate.get().into(),
        opened_from: new.from.write(),
        sender_key: write_hash(mailbox.sender.0),
        receiver_key: None,
        open: true,
        expires: mailbox.expires.write(),
    };
    act.insert(&MAILBOXES, &[row]).await?;
    Ok(Opened::Open(mailbox))
}

/// The nameplates that are taken, from the smallest.
async fn taken(act: &mut Act) -> Result<Vec<Nameplate>> {
    let options = FindOptions::builder().sort(doc! { "nameplate": 1 }).projection(doc! { "nameplate": 1 }).build();
    let rows: Vec<Taken> = act.all_as(&MAILBOXES, doc! { "open": true, "nameplate": { "$gt": 0 } }, options).await?;
    rows.into_iter().map(|row| read_nameplate(row.nameplate)).collect()
}

/// Uses a nameplate up.
pub(super) async fn claim(act: &mut Act, claim: Claim) -> Result<Option<Mailbox>> {
    let number = i64::from(claim.nameplate.get());
    let filter = doc! { "open": true, "nameplate": number, "expires": { "$gt": claim.now.write() } };
    let Some(found) = act.one(&MAILBOXES, filter).await? else { return Ok(None) };
    match found.read()?.claimed(&claim) {
        Some(mailbox) => put(act, mailbox).await.map(Some),
        None => Ok(None),
    }
}

/// One that is held open.
pub(super) async fn hold(act: &mut Act, id: P2pId, now: UnixMillis) -> Result<Option<Mailbox>> {
    match by_id(act, id, now).await? {
        Some(mailbox) => put(act, mailbox.held(now)).await.map(Some),
        None => Ok(None),
    }
}

/// One that a side has left.
pub(super) async fn leave(act: &mut Act, id: P2pId, now: UnixMillis) -> Result<Option<Mailbox>> {
    match by_id(act, id, now).await? {
        Some(mailbox) => put(act, mailbox.left(now)).await.map(Some),
        None => Ok(None),
    }
}

/// Forgets those whose time is over; says how many.
pub(super) async fn prune(act: &mut Act, now: UnixMillis) -> Result<u64> {
    act.delete(&MAILBOXES, doc! { "expires": { "$lte": now.write() } }).await
}

async fn by_id(act: &mut Act, id: P2pId, now: UnixMillis) -> Result<Option<Mailbox>> {
    let filter = doc! { "_id": id.write(), "expires": { "$gt": now.write() } };
    act.one(&MAILBOXES, filter).await?.map(MailboxRow::read).transpose()
}

/// Writes what may change of one.
async fn put(act: &mut Act, mailbox: Mailbox) -> Result<Mailbox> {
    let mut change = doc! { "$set": { "expires": mailbox.expires.write() } };
    if let Some(key) = mailbox.receiver {
        change.get_document_mut("$set").expect("it is there").insert("receiver_key", write_hash(key.0));
    }
    if mailbox.over {
        change.insert("$unset", doc! { "open": 1 });
    }
    act.update(&MAILBOXES, doc! { "_id": mailbox.id.write() }, change).await?;
    Ok(mailbox)
}
