//! Messages: dense numbers, posted once (in `batch`), changed in place only by deletion.

use super::{
    chats::{self, CHATS, KindRow},
    events::Feeds,
    field::{Field, maybe, read_text},
    files,
    members::RoleRow,
    schema::{Collection, index},
    transaction::{Act, Result, Table},
};
use crate::store::{
    events::Happening,
    messages::{DeleteMessage, Message},
};
use hypersend_protocol::{
    file::FileCard,
    id::{ChatId, Revision, Seq, UserId},
    name::{FileName, MessageText},
    time::UnixMillis,
};
use mongodb::{
    bson::{Bson, DateTime, Document, Uuid, doc},
    options::FindOptions,
};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc};

/// Messages, by chat and number: the ids of one chat's are neighbours, in their order.
pub(super) const MESSAGES: Table<MessageRow> = Table::new("messages");

/// A message's document. `files` has the files' cards as they were when it was posted, so that reading history joins nothing.
#[derive(Serialize, Deserialize)]
pub(super) struct MessageRow {
    #[serde(rename = "_id")]
    pub(super) id: PlaceRow,
    sender: Uuid,
    client_id: Uuid,
    at: DateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    files: Vec<CardRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<i64>,
}

/// A message's place; the order of the fields is that of the comparison.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct PlaceRow {
    pub(super) chat: Uuid,
    pub(super) seq: i64,
}

#[derive(Serialize, Deserialize)]
struct CardRow {
    id: Uuid,
    name: String,
    size: i64,
}

/// How the collection is to be.
pub(super) fn collection() -> Collection {
    let fields = [
        ("_id", "object"),
        ("sender", "binData"),
        ("client_id", "binData"),
        ("at", "date"),
        ("text?", "string"),
        ("files?", "array"),
        ("reply_to?", "long"),
        ("deleted?", "date"),
        ("revision?", "long"),
    ];
    let once = doc! { "client_id": 1, "sender": 1, "_id.chat": 1 };
    let changed = doc! { "partialFilterExpression": { "revision": { "$gt": 0_i64 } } };
    let indexes = vec![
        index("messages_by_client_id", once, doc! { "unique": true }),
        index("messages_by_revision", doc! { "_id.chat": 1, "revision": 1 }, changed),
    ];
    Collection::new(&MESSAGES, &fields, indexes)
}

impl From<&Message> for MessageRow {
    fn from(message: &Message) -> Self {
        let card = |card: &FileCard| CardRow {
            id: card.id.write(),
            name: card.name.as_str().to_owned(),
            size: card.size.write(),
        };
        Self {
            id: PlaceRow { chat: message.chat.write(), seq: message.seq.write() },
            sender: message.sender.write(),
            client_id: message.client_id.write(),
            at: message.at.write(),
            text: message.text.as_ref().map(|text| text.as_str().to_owned()),
            files: message.files.iter().map(card).collect(),
            reply_to: message.reply_to.map(Field::write),
            deleted: message.deleted.map(Field::write),
            revision: (message.revision > Revision(0)).then(|| message.revision.write()),
        }
    }
}

impl MessageRow {
    /// The message.
    pub(super) fn read(self) -> Result<Message> {
        let card = |card: CardRow| {
            let name = read_text(&card.name, FileName::parse)?;
            Ok(FileCard { id: Field::read(card.id)?, name, size: Field::read(card.size)? })
        };
        Ok(Message {
            chat: Field::read(self.id.chat)?,
            seq: Field::read(self.id.seq)?,
            sender: Field::read(self.sender)?,
            client_id: Field::read(self.client_id)?,
            at: Field::read(self.at)?,
            text: self.text.map(|text| read_text(&text, MessageText::parse)).transpose()?,
            files: self.files.into_iter().map(card).collect::<Result<_>>()?,
            reply_to: maybe(self.reply_to)?,
            deleted: maybe(self.deleted)?,
            revision: maybe(self.revision)?.unwrap_or_default(),
        })
    }
}

/// A message's id in filters.
fn place(chat: ChatId, seq: Seq) -> Document {
    doc! { "chat": chat.write(), "seq": seq.write() }
}

/// One message.
async fn by_seq(act: &mut Act, chat: ChatId, seq: Seq) -> Result<Option<Message>> {
    act.one(&MESSAGES, doc! { "_id": place(chat, seq) }).await?.map(MessageRow::read).transpose()
}

/// Messages by their places; those that do not exist are left out.
pub(super) async fn by_seqs(act: &mut Act, places: &[(ChatId, Seq)]) -> Result<HashMap<(ChatId, Seq), Message>> {
    let ids: Vec<Bson> = places.iter().map(|&(chat, seq)| place(chat, seq).into()).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = act.all(&MESSAGES, doc! { "_id": { "$in": ids } }, FindOptions::default()).await?;
    let keyed = |row: MessageRow| row.read().map(|message| ((message.chat, message.seq), message));
    rows.into_iter().map(keyed).collect()
}

/// Messages with numbers above `after`, oldest first.
pub(super) async fn after(act: &mut Act, chat: ChatId, after: Seq, limit: u32) -> Result<Vec<Message>> {
    let filter = doc! { "_id": { "$gt": place(chat, after), "$lte": place(chat, Seq(u64::MAX)) } };
    page(act, filter, doc! { "_id": 1 }, limit).await
}

/// Messages with numbers below `before` (or the newest), the newest `limit` of them, oldest first.
pub(super) async fn before(act: &mut Act, chat: ChatId, before: Option<Seq>, limit: u32) -> Result<Vec<Message>> {
    let end = place(chat, before.unwrap_or(Seq(u64::MAX)));
    let filter = doc! { "_id": { "$gte": place(chat, Seq(0)), "$lt": end } };
    let mut messages = page(act, filter, doc! { "_id": -1 }, limit).await?;
    messages.reverse();
    Ok(messages)
}

/// Messages changed in place after a revision, in the order of their changes.
pub(super) async fn changed(act: &mut Act, chat: ChatId, after: Revision, limit: u32) -> Result<Vec<Message>> {
    let filter = doc! { "_id.chat": chat.write(), "revision": { "$gt": after.write() } };
    page(act, filter, doc! { "revision": 1 }, limit).await
}

async fn page(act: &mut Act, filter: Document, order: Document, limit: u32) -> Result<Vec<Message>> {
    let options = FindOptions::builder().sort(order).limit(i64::from(limit)).build();
    act.all(&MESSAGES, filter, options).await?.into_iter().map(MessageRow::read).collect()
}

/// Replaces a message by a tombstone and takes back the access to its files that it gave.
pub(super) async fn delete(
    act: &mut Act,
    chat: ChatId,
    seq: Seq,
    by: UserId,
    now: UnixMillis,
) -> Result<DeleteMessage> {
    let Some(row) = chats::row(act, chat).await? else { return Ok(DeleteMessage::NotFound) };
    let Some(caller) = row.member(by) else { return Ok(DeleteMessage::NotFound) };
    let Some(message) = by_seq(act, chat, seq).await? else { return Ok(DeleteMessage::NotFound) };
    let owns_group = row.kind == KindRow::Group && caller.role == RoleRow::Owner;
    if message.sender != by && !owns_group {
        return Ok(DeleteMessage::Forbidden);
    }
    if message.deleted.is_some() {
        return Ok(DeleteMessage::Done);
    }
    files::unpost(act, message.files.iter().map(|card| card.id), chat, seq).await?;
    let revision = Revision::read(row.revision)?.next();
    let change = doc! {
        "$set": { "deleted": now.write(), "revision": revision.write() },
        "$unset": { "text": 1, "files": 1 },
    };
    act.update(&MESSAGES, doc! { "_id": place(chat, seq) }, change).await?;
    act.update(&CHATS, doc! { "_id": row.id }, doc! { "$set": { "revision": revision.write() } }).await?;
    let tombstone = Message { text: None, files: Vec::new(), deleted: Some(now), revision, ..message };
    let told = row.member_ids()?;
    let mut feeds = Feeds::load(act, told.iter()).await?;
    feeds.announce(chat, now, Happening::Changed(Arc::new(tombstone)), &told);
    feeds.write(act).await?;
    Ok(DeleteMessage::Done)
}
