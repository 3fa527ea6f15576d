//! Messages: dense numbers, posted once, changed in place only by deletion.

use super::{
    column::{Column, get, maybe},
    connection::{all, one, run},
    events::announce,
    files, members,
    writer::Act,
};
use crate::store::{
    Result,
    events::Happening,
    messages::{Append, DeleteMessage, Message, NewMessage},
};
use hypersend_protocol::{
    chat::{ChatKind, Role},
    file::FileCard,
    id::{ChatId, FileId, Revision, Seq, UserId},
    name::{FileName, MessageText},
    time::UnixMillis,
};
use rusqlite::{
    Connection, Row, params,
    types::{FromSql, FromSqlError, FromSqlResult, ValueRef},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A query for what [`read`] reads.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT chat_id, seq, sender, client_id, at, text, files, reply_to, deleted, revision FROM messages ",
            $rest
        )
    };
}

/// Gives a message the next number of its chat, unless its sender posted one with the same client id before.
pub(super) fn append(act: &mut Act<'_>, new: NewMessage) -> Result<Append> {
    let Some(sender) = members::standing(act.db, new.chat, new.sender)? else { return Ok(Append::NotFound) };
    if let Some((seq, at)) = posted_before(act.db, &new)? {
        return Ok(Append::Posted { seq, at });
    }
    // Numbers are dense, so every one up to the last is a message.
    if let Some(seq) = new.reply_to.filter(|seq| !(Seq(1)..=sender.last).contains(seq)) {
        return Ok(Append::ReplyNotFound(seq));
    }
    let mut cards = Vec::with_capacity(new.files.len());
    for &id in &new.files {
        let Some(file) = files::to_viewer(act.db, id, new.sender)? else { return Ok(Append::FileNotFound(id)) };
        cards.push(FileCard::from(&file));
    }
    let message = Message {
        chat: new.chat,
        seq: sender.last.next(),
        sender: new.sender,
        client_id: new.client_id,
        at: new.now,
        text: new.text,
        files: cards,
        reply_to: new.reply_to,
        deleted: None,
        revision: Revision(0),
    };
    insert(act, &message)?;
    let (seq, at) = (message.seq, message.at);
    let told = members::ids(act.db, new.chat)?;
    announce(act, new.chat, at, Happening::Posted(Arc::new(message)), &told)?;
    Ok(Append::Posted { seq, at })
}

fn posted_before(db: &Connection, new: &NewMessage) -> Result<Option<(Seq, UnixMillis)>> {
    let sql = "SELECT seq, at FROM messages WHERE chat_id = ?1 AND sender = ?2 AND client_id = ?3";
    let values = params![Column(new.chat), Column(new.sender), Column(new.client_id)];
    one(db, sql, values, |row| Ok((get(row, 0)?, get(row, 1)?)))
}

/// Writes a new message, and everything that moves with it: the chat's end, the sender's read mark, the files' postings.
fn insert(act: &mut Act<'_>, message: &Message) -> Result<()> {
    insert_row(act.db, message)?;
    run(
        act.db,
        "UPDATE chats SET last_seq = ?2, last_at = ?3 WHERE id = ?1",
        params![Column(message.chat), Column(message.seq), Column(message.at)],
    )?;
    members::set_read(act, message.chat, message.sender, message.seq)?;
    for card in &message.files {
        files::post(act, card.id, message.chat, message.seq)?;
    }
    Ok(())
}

/// Writes a message's row.
pub(super) fn insert_row(db: &Connection, message: &Message) -> Result<()> {
    run(
        db,
        "INSERT INTO messages (chat_id, seq, sender, client_id, at, text, files, reply_to, deleted, revision)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            Column(message.chat),
            Column(message.seq),
            Column(message.sender),
            Column(message.client_id),
            Column(message.at),
            message.text.as_ref().map(MessageText::as_str),
            write_cards(&message.files),
            message.reply_to.map(Column),
            message.deleted.map(Column),
            Column(message.revision),
        ],
    )?;
    Ok(())
}

/// One message.
pub(super) fn by_seq(db: &Connection, chat: ChatId, seq: Seq) -> Result<Option<Message>> {
    let sql = select!("WHERE chat_id = ?1 AND seq = ?2");
    one(db, sql, params![Column(chat), Column(seq)], |row| read(row, 0))
}

/// Messages with numbers above `after`, oldest first.
pub(super) fn after(db: &Connection, chat: ChatId, after: Seq, limit: u32) -> Result<Vec<Message>> {
    let sql = select!("WHERE chat_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3");
    all(db, sql, params![Column(chat), Column(after), limit], |row| read(row, 0))
}

/// Messages with numbers below `before` (or the newest), the newest `limit` of them, oldest first.
pub(super) fn before(db: &Connection, chat: ChatId, before: Option<Seq>, limit: u32) -> Result<Vec<Message>> {
    let sql = select!("WHERE chat_id = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3");
    let before = before.unwrap_or(Seq(u64::MAX));
    let mut messages = all(db, sql, params![Column(chat), Column(before), limit], |row| read(row, 0))?;
    messages.reverse();
    Ok(messages)
}

/// Messages changed in place after a revision, in the order of their changes.
pub(super) fn changed(db: &Connection, chat: ChatId, after: Revision, limit: u32) -> Result<Vec<Message>> {
    // `revision > 0` says that the partial index will do.
    let sql = select!("WHERE chat_id = ?1 AND revision > 0 AND revision > ?2 ORDER BY revision LIMIT ?3");
    all(db, sql, params![Column(chat), Column(after), limit], |row| read(row, 0))
}

/// Replaces a message by a tombstone and takes back the access to its files that it gave.
pub(super) fn delete(act: &mut Act<'_>, chat: ChatId, seq: Seq, by: UserId, now: UnixMillis) -> Result<DeleteMessage> {
    let Some(caller) = members::standing(act.db, chat, by)? else { return Ok(DeleteMessage::NotFound) };
    let Some(message) = by_seq(act.db, chat, seq)? else { return Ok(DeleteMessage::NotFound) };
    let owns_group = caller.kind == ChatKind::Group && caller.role == Role::Owner;
    if message.sender != by && !owns_group {
        return Ok(DeleteMessage::Forbidden);
    }
    if message.deleted.is_some() {
        return Ok(DeleteMessage::Done);
    }
    for card in &message.files {
        files::unpost(act, card.id, chat, seq)?;
    }
    let revision = next_revision(act, chat)?;
    run(
        act.db,
        "UPDATE messages SET text = NULL, files = NULL, deleted = ?3, revision = ?4 WHERE chat_id = ?1 AND seq = ?2",
        params![Column(chat), Column(seq), Column(now), Column(revision)],
    )?;
    let tombstone = Message { text: None, files: Vec::new(), deleted: Some(now), revision, ..message };
    let told = members::ids(act.db, chat)?;
    announce(act, chat, now, Happening::Changed(Arc::new(tombstone)), &told)?;
    Ok(DeleteMessage::Done)
}

fn next_revision(act: &mut Act<'_>, chat: ChatId) -> Result<Revision> {
    let sql = "UPDATE chats SET revision = revision + 1 WHERE id = ?1 RETURNING revision";
    let revision = one(act.db, sql, [Column(chat)], |row| get(row, 0))?;
    Ok(revision.expect("the caller is a member of the chat"))
}

/// Reads a message from ten columns, beginning at `first`.
pub(super) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Message> {
    Ok(Message {
        chat: get(row, first)?,
        seq: get(row, first + 1)?,
        sender: get(row, first + 2)?,
        client_id: get(row, first + 3)?,
        at: get(row, first + 4)?,
        text: maybe(row, first + 5)?,
        files: maybe::<Cards>(row, first + 6)?.map_or_else(Vec::new, |cards| cards.0),
        reply_to: maybe(row, first + 7)?,
        deleted: maybe(row, first + 8)?,
        revision: get(row, first + 9)?,
    })
}

/// A file's card in the JSON of a message's `files` column.
#[derive(Serialize, Deserialize)]
struct CardRow {
    id: FileId,
    name: FileName,
    size: u64,
}

/// The cards of a message's files.
struct Cards(Vec<FileCard>);

impl FromSql for Column<Cards> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let rows: Vec<CardRow> = serde_json::from_str(value.as_str()?).map_err(|e| FromSqlError::Other(e.into()))?;
        let cards = rows.into_iter().map(|CardRow { id, name, size }| FileCard { id, name, size });
        Ok(Self(Cards(cards.collect())))
    }
}

fn write_cards(cards: &[FileCard]) -> Option<String> {
    let row = |card: &FileCard| CardRow { id: card.id, name: card.name.clone(), size: card.size };
    let rows: Vec<CardRow> = cards.iter().map(row).collect();
    (!rows.is_empty()).then(|| serde_json::to_string(&rows).expect("ids, names and sizes have a form in JSON"))
}
