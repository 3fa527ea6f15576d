//! All records out of a database, in one snapshot, and into an empty one, in one transaction: a program that dies half-way
//! leaves it empty.

use super::{
    column::{Column, get, maybe},
    connection::{all, one, open_writer},
    events, messages, p2p, schema, sessions, users,
};
use crate::store::{
    Result, StoreError,
    archive::{
        Chat, Feed, File, Member, P2p, Posting, Record, Records, Stage, Taken, ended_early, nobody_writes, not_empty,
    },
};
use hypersend_protocol::{id::ChatId, time::UnixMillis};
use rusqlite::{Connection, Row, TransactionBehavior, params};
use std::path::Path;

/// A query that reads a table from end to end. The comment sets it apart from those of the acts, none of which may.
macro_rules! whole {
    ($rest:literal) => {
        concat!("/* all of it */ SELECT ", $rest)
    };
}

/// The tables that have to be empty before an import.
const TABLES: [&str; 11] = [
    "users",
    "sessions",
    "chats",
    "members",
    "messages",
    "files",
    "postings",
    "removals",
    "p2p_sessions",
    "events",
    "feeds",
];

/// Hands out all records of the database in this file.
pub(in crate::store) async fn dump(path: &Path, records: Records) -> Result<()> {
    let path = path.to_owned();
    let dumped = tokio::task::spawn_blocking(move || {
        if !path.exists() {
            let reason = format!("there is no database {}; check DATA_ROOT", path.display());
            return Err(StoreError::Unfit { reason });
        }
        let mut db = open_writer(&path)?;
        // Reads only, all of it in the snapshot that begins with the first query.
        let snapshot = db.transaction()?;
        schema::versions(&snapshot)?.check()?;
        dump_all(&snapshot, &records)
    });
    dumped.await.map_err(|e| StoreError::Unavailable(e.into()))?
}

fn dump_all(db: &Connection, records: &Records) -> Result<()> {
    let users = whole!("id, email, name, password_hash, created FROM users ORDER BY id");
    each(db, users, records, |row| users::read(row).map(Record::User))?;
    let sessions =
        whole!("id, user_id, agent, created, current, previous, rotated, expires, ended FROM sessions ORDER BY id");
    each(db, sessions, records, |row| sessions::read(row).map(Record::Session))?;
    let chats = whole!(
        "id, kind, title, pair_low, pair_high, made_by, made_as, last_seq, last_at, revision FROM chats ORDER BY id"
    );
    for_each(db, chats, read_chat, |mut chat| {
        chat.members = members(db, chat.id)?;
        send(records, Record::Chat(chat))
    })?;
    let messages = whole!(
        "chat_id, seq, sender, client_id, at, text, files, reply_to, deleted, revision FROM messages
         ORDER BY chat_id, seq"
    );
    each(db, messages, records, |row| messages::read(row, 0).map(Record::Message))?;
    let files = whole!("id, owner, key, name, size, chunk_size, active, root, finished FROM files ORDER BY id");
    each(db, files, records, |row| read_file(row).map(Record::File))?;
    let postings = whole!("file_id, chat_id, seq FROM postings ORDER BY file_id, chat_id, seq");
    let posting = |row: &Row<'_>| Ok(Posting { file: get(row, 0)?, chat: get(row, 1)?, seq: get(row, 2)? });
    each(db, postings, records, |row| posting(row).map(Record::Posting))?;
    each(db, whole!("file_id FROM removals ORDER BY file_id"), records, |row| get(row, 0).map(Record::Removal))?;
    let p2p = whole!(
        "id, chat_id, sender, receiver, files, status, path, created, updated, client_id FROM p2p_sessions ORDER BY id"
    );
    let offer = |row: &Row<'_>| Ok(P2p { session: p2p::read(row)?, client_id: get(row, 9)? });
    each(db, p2p, records, |row| offer(row).map(Record::P2p))?;
    let feeds = whole!("user_id, head, pruned FROM feeds ORDER BY user_id");
    let feed = |row: &Row<'_>| Ok(Feed { user: get(row, 0)?, head: get(row, 1)?, pruned: get(row, 2)? });
    for_each(db, feeds, feed, |feed| {
        let count = events::dump(db, feed.user, |event| send(records, Record::Event(event)))?;
        if count != feed.head.0 - feed.pruned.0 {
            return Err(StoreError::Corrupt { what: "a feed with a gap".to_owned() });
        }
        send(records, Record::Feed(feed))
    })
}

/// Hands out what comes of each row.
fn each(
    db: &Connection,
    sql: &str,
    records: &Records,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<Record>,
) -> Result<()> {
    for_each(db, sql, read, |record| send(records, record))
}

fn for_each<T>(
    db: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    mut take: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    db.prepare(sql)?.query_map([], read)?.try_for_each(|row| take(row?))
}

fn send(records: &Records, record: Record) -> Result<()> {
    records.blocking_send(record).map_err(nobody_writes)
}

fn read_chat(row: &Row<'_>) -> rusqlite::Result<Chat> {
    Ok(Chat {
        id: get(row, 0)?,
        kind: get(row, 1)?,
        title: maybe(row, 2)?,
        pair: maybe(row, 3)?.zip(maybe(row, 4)?),
        made: maybe(row, 5)?.zip(maybe(row, 6)?),
        last: get(row, 7)?,
        last_at: get(row, 8)?,
        revision: get(row, 9)?,
        members: Vec::new(),
    })
}

fn members(db: &Connection, chat: ChatId) -> Result<Vec<Member>> {
    let sql = "SELECT user_id, role, read_seq, joined FROM members WHERE chat_id = ?1 ORDER BY user_id";
    all(db, sql, [Column(chat)], |row| {
        Ok(Member { user: get(row, 0)?, role: get(row, 1)?, read: get(row, 2)?, joined: get(row, 3)? })
    })
}

fn read_file(row: &Row<'_>) -> rusqlite::Result<File> {
    let stage = match (maybe(row, 7)?, maybe(row, 8)?) {
        (Some(root), Some(at)) => Stage::Finished { root, at },
        _ => Stage::Open { active: get(row, 6)? },
    };
    Ok(File {
        id: get(row, 0)?,
        owner: get(row, 1)?,
        key: get(row, 2)?,
        name: get(row, 3)?,
        size: get(row, 4)?,
        chunk_size: get(row, 5)?,
        stage,
    })
}

/// Takes so many records into the database in this file, which is made if there is none.
pub(in crate::store) async fn load(path: &Path, records: Taken, total: u64) -> Result<()> {
    let path = path.to_owned();
    let loaded = tokio::task::spawn_blocking(move || {
        let mut db = open_writer(&path)?;
        schema::migrate(&mut db)?;
        let import = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for table in TABLES {
            let any = format!("/* all of it */ SELECT 1 FROM {table} LIMIT 1");
            if one(&import, &any, [], |_| Ok(()))?.is_some() {
                return Err(not_empty(table));
            }
        }
        load_all(&import, records, total)?;
        Ok(import.commit()?)
    });
    loaded.await.map_err(|e| StoreError::Unavailable(e.into()))?
}

fn load_all(db: &Connection, mut records: Taken, total: u64) -> Result<()> {
    let mut loader = Loader { db, oldest: None };
    let mut loaded = 0;
    while let Some(record) = records.blocking_recv() {
        loader.load(record)?;
        loaded += 1;
    }
    if loaded == total { Ok(()) } else { Err(ended_early()) }
}

/// Writes records.
struct Loader<'a> {
    db: &'a Connection,
    /// The moment of the first event of the feed that is to come.
    oldest: Option<UnixMillis>,
}

impl Loader<'_> {
    fn load(&mut self, record: Record) -> Result<()> {
        match record {
            Record::User(user) => self.run(
                "INSERT INTO users (id, email, name, password_hash, created) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    Column(user.id),
                    Column(user.email),
                    Column(user.name),
                    Column(user.password_hash),
                    Column(user.created),
                ],
            ),
            Record::Session(session) => sessions::insert(self.db, &session),
            Record::Chat(chat) => self.chat(&chat),
            Record::Message(message) => messages::insert_row(self.db, &message),
            Record::File(file) => self.file(&file),
            Record::Posting(Posting { file, chat, seq }) => {
                self.run("INSERT INTO postings VALUES (?1, ?2, ?3)", params![Column(file), Column(chat), Column(seq)])
            }
            Record::Removal(file) => self.run("INSERT INTO removals VALUES (?1)", [Column(file)]),
            Record::P2p(offer) => p2p::insert(self.db, &offer.session, offer.client_id),
            Record::Event(event) => {
                self.oldest.get_or_insert(event.at);
                events::load(self.db, &event)
            }
            Record::Feed(feed) => {
                let values =
                    params![Column(feed.user), Column(feed.head), Column(feed.pruned), self.oldest.take().map(Column)];
                self.run("INSERT INTO feeds (user_id, head, pruned, oldest) VALUES (?1, ?2, ?3, ?4)", values)
            }
        }
    }

    fn chat(&self, chat: &Chat) -> Result<()> {
        self.run(
            "INSERT INTO chats (id, kind, title, pair_low, pair_high, made_by, made_as, last_seq, last_at, revision)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                Column(chat.id),
                Column(chat.kind),
                chat.title.clone().map(Column),
                chat.pair.map(|(low, _)| Column(low)),
                chat.pair.map(|(_, high)| Column(high)),
                chat.made.map(|(by, _)| Column(by)),
                chat.made.map(|(_, client)| Column(client)),
                Column(chat.last),
                Column(chat.last_at),
                Column(chat.revision),
            ],
        )?;
        chat.members.iter().try_for_each(|member| {
            self.run(
                "INSERT INTO members (chat_id, user_id, role, read_seq, joined) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    Column(chat.id),
                    Column(member.user),
                    Column(member.role),
                    Column(member.read),
                    Column(member.joined),
                ],
            )
        })
    }

    fn file(&self, file: &File) -> Result<()> {
        let (active, root, finished) = match file.stage {
            Stage::Open { active } => (active, None, None),
            Stage::Finished { root, at } => (at, Some(root), Some(at)),
        };
        self.run(
            "INSERT INTO files (id, owner, key, name, size, chunk_size, active, root, finished)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                Column(file.id),
                Column(file.owner),
                Column(file.key),
                Column(file.name.clone()),
                Column(file.size),
                Column(file.chunk_size),
                Column(active),
                root.map(Column),
                finished.map(Column),
            ],
        )
    }

    fn run(&self, sql: &str, values: impl rusqlite::Params) -> Result<()> {
        super::connection::run(self.db, sql, values).map(drop)
    }
}
