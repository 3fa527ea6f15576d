//! Mailboxes. What becomes of one is decided by [`Mailbox`] and [`NewMailbox`]; this file only carries it out. Other servers
//! hear by the news that one was left.

use super::{
    field::{Field, corrupt, read_hash, write_hash},
    schema::{Collection, index},
    transaction::{Act, Result, Table},
};
use crate::store::{
    mailboxes::{Claim, KeyHash, Mailbox, NewMailbox, Opened, Participant},
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
    opened: DateTime,
    sender_key: Binary,
    sender_last_held: DateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver_key: Option<Binary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver_last_held: Option<DateTime>,
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
        ("opened", "date"),
        ("sender_key", "binData"),
        ("sender_last_held", "date"),
        ("receiver_key?", "binData"),
        ("receiver_last_held?", "date"),
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
        let receiver = match (self.receiver_key, self.receiver_last_held) {
            (None, None) => None,
            (Some(key), Some(last_held)) => Some(read_participant(key, last_held)?),
            _ => return Err(corrupt("half a receiver of a mailbox")),
        };
        Ok(Mailbox {
            id: P2pId::read(self.id)?,
            nameplate: read_nameplate(self.nameplate)?,
            opened: Field::read(self.opened)?,
            sender: read_participant(self.sender_key, self.sender_last_held)?,
            receiver,
            over: !self.open,
            expires: Field::read(self.expires)?,
        })
    }
}

fn read_participant(key: Binary, last_held: DateTime) -> Result<Participant> {
    Ok(Participant { key: read_hash(key).map(KeyHash)?, last_held: Field::read(last_held)? })
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
        opened: mailbox.opened.write(),
        sender_key: write_hash(mailbox.sender.key.0),
        sender_last_held: mailbox.sender.last_held.write(),
        receiver_key: None,
        receiver_last_held: None,
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

/// One that is held open by the side whose key this is.
pub(super) async fn hold(act: &mut Act, id: P2pId, key: KeyHash, now: UnixMillis) -> Result<Option<Mailbox>> {
    match by_id(act, id, now).await?.and_then(|mailbox| mailbox.held(&key, now)) {
        Some(mailbox) => put(act, mailbox).await.map(Some),
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

/// One whose time is not over.
pub(super) async fn by_id(act: &mut Act, id: P2pId, now: UnixMillis) -> Result<Option<Mailbox>> {
    let filter = doc! { "_id": id.write(), "expires": { "$gt": now.write() } };
    act.one(&MAILBOXES, filter).await?.map(MailboxRow::read).transpose()
}

/// Writes what may change of one.
async fn put(act: &mut Act, mailbox: Mailbox) -> Result<Mailbox> {
    let mut set = doc! { "sender_last_held": mailbox.sender.last_held.write(), "expires": mailbox.expires.write() };
    if let Some(receiver) = mailbox.receiver {
        set.insert("receiver_key", write_hash(receiver.key.0));
        set.insert("receiver_last_held", receiver.last_held.write());
    }
    let mut change = doc! { "$set": set };
    if mailbox.over {
        change.insert("$unset", doc! { "open": 1 });
    }
    act.update(&MAILBOXES, doc! { "_id": mailbox.id.write() }, change).await?;
    Ok(mailbox)
}
