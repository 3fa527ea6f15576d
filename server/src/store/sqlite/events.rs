//! Feeds: an act's entry for everybody concerned, written beside what it tells of.
//!
//! A feed keeps a contiguous run of cursors, from `pruned + 1` to `head`. Only its oldest end is ever forgotten, so
//! comparing a cursor with those two tells a gap from silence.

use super::{
    column::{Column, get},
    connection::{all, one, run},
    messages,
    writer::Act,
};
use crate::store::{
    Result,
    archive::{self, What},
    events::{Entry, Event, Fanout, Feed, Happening},
};
use hypersend_protocol::{
    id::{ChatId, Cursor, Revision, Seq, UserId},
    time::UnixMillis,
};
use rusqlite::{
    Connection, Row, Statement, params,
    types::{FromSql, FromSqlError, FromSqlResult, ValueRef},
};
use uuid::Uuid;

/// Events forgotten in one act: a few milliseconds of the writer's time, so that posting goes on between.
const PRUNED_AT_ONCE: usize = 5_000;

/// What kind of entry an event's row holds.
#[derive(Clone, Copy)]
enum Kind {
    Posted = 0,
    Changed = 1,
    Joined = 2,
    Left = 3,
    Read = 4,
    P2p = 5,
}

impl FromSql for Column<Kind> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let known = [Kind::Posted, Kind::Changed, Kind::Joined, Kind::Left, Kind::Read, Kind::P2p];
        let number = value.as_i64()?;
        let kind = known.into_iter().find(|&kind| kind as i64 == number);
        kind.map(Self).ok_or(FromSqlError::OutOfRange(number))
    }
}

/// A happening as its row has it.
struct Said {
    kind: Kind,
    seq: Option<Seq>,
    /// A user, or a session between two.
    subject: Option<Uuid>,
    revision: Option<Revision>,
}

impl From<&Happening> for Said {
    fn from(what: &Happening) -> Self {
        let said = |kind| Self { kind, seq: None, subject: None, revision: None };
        match what {
            Happening::Posted(message) => Self { seq: Some(message.seq), ..said(Kind::Posted) },
            Happening::Changed(message) => {
                Self { seq: Some(message.seq), revision: Some(message.revision), ..said(Kind::Changed) }
            }
            Happening::Joined(user) => Self { subject: Some(user.0), ..said(Kind::Joined) },
            Happening::Left(user) => Self { subject: Some(user.0), ..said(Kind::Left) },
            Happening::P2p(session) => Self { subject: Some(session.0), ..said(Kind::P2p) },
            Happening::Read(_, seq) => Self { seq: Some(*seq), ..said(Kind::Read) },
        }
    }
}

impl From<&What> for Said {
    fn from(what: &What) -> Self {
        let said = |kind| Self { kind, seq: None, subject: None, revision: None };
        match *what {
            What::Posted(seq) => Self { seq: Some(seq), ..said(Kind::Posted) },
            What::Changed(seq, revision) => Self { seq: Some(seq), revision: Some(revision), ..said(Kind::Changed) },
            What::Joined(user) => Self { subject: Some(user.0), ..said(Kind::Joined) },
            What::Left(user) => Self { subject: Some(user.0), ..said(Kind::Left) },
            What::P2p(session) => Self { subject: Some(session.0), ..said(Kind::P2p) },
            What::Read(seq) => Self { seq: Some(seq), ..said(Kind::Read) },
        }
    }
}

/// Puts a happening in the feeds of users, and has the sink told of it after the commit.
pub(super) fn announce(
    act: &mut Act<'_>,
    chat: ChatId,
    at: UnixMillis,
    what: Happening,
    users: &[UserId],
) -> Result<()> {
    let said = Said::from(&what);
    let mut statement = act.db.prepare_cached(INSERT)?;
    let mut to = Vec::with_capacity(users.len());
    for &user in users {
        let cursor = next_cursor(act.db, user, at)?;
        insert(&mut statement, (user, cursor), at, chat, &said)?;
        to.push((user, cursor));
    }
    act.fanouts.push(Fanout { chat, at, what, to });
    Ok(())
}

/// What [`insert`] runs.
const INSERT: &str = "INSERT INTO events (user_id, cursor, at, kind, chat_id, seq, subject, revision)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// Writes the row of an event at this place.
fn insert(
    statement: &mut Statement<'_>,
    (user, cursor): (UserId, Cursor),
    at: UnixMillis,
    chat: ChatId,
    said: &Said,
) -> Result<()> {
    statement.execute(params![
        Column(user),
        Column(cursor),
        Column(at),
        said.kind as i64,
        Column(chat),
        said.seq.map(Column),
        said.subject.map(Column),
        said.revision.map(Column),
    ])?;
    Ok(())
}

/// Moves a feed's head. A `SELECT` before an `UPDATE`: one with `RETURNING` builds a table for its answer, and costs more
/// than both.
fn next_cursor(db: &Connection, user: UserId, at: UnixMillis) -> Result<Cursor> {
    let (head, pruned) = ends(db, user)?;
    let cursor = head.next();
    run(db, "UPDATE feeds SET head = ?2 WHERE user_id = ?1", params![Column(user), Column(cursor)])?;
    if head == pruned {
        // The first of an empty feed. Apart from the update above, which would touch the index each time.
        run(db, "UPDATE feeds SET oldest = ?2 WHERE user_id = ?1", params![Column(user), Column(at)])?;
    }
    Ok(cursor)
}

/// A user's events after a cursor, oldest first.
pub(super) fn after(db: &Connection, user: UserId, after: Cursor, limit: u32) -> Result<Feed<Vec<Event>>> {
    let (head, pruned) = ends(db, user)?;
    if !(pruned..=head).contains(&after) {
        return Ok(Feed::Gone(head));
    }
    let sql =
        "SELECT events.cursor, events.at, events.chat_id, events.kind, events.seq, events.subject, events.revision,
                      messages.chat_id, messages.seq, messages.sender, messages.client_id, messages.at, messages.text,
                      messages.files, messages.reply_to, messages.deleted, messages.revision
               FROM events LEFT JOIN messages
                 ON events.kind = 0 AND messages.chat_id = events.chat_id AND messages.seq = events.seq
               WHERE events.user_id = ?1 AND events.cursor > ?2
               ORDER BY events.cursor
               LIMIT ?3";
    Ok(Feed::Events(all(db, sql, params![Column(user), Column(after), limit], read)?))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Event> {
    let what = match get(row, 3)? {
        Kind::Posted => Entry::Posted(messages::read(row, 7)?),
        Kind::Changed => Entry::Changed(get(row, 4)?, get(row, 6)?),
        Kind::Joined => Entry::Joined(get(row, 5)?),
        Kind::Left => Entry::Left(get(row, 5)?),
        Kind::P2p => Entry::P2p(get(row, 5)?),
        Kind::Read => Entry::Read(get(row, 4)?),
    };
    Ok(Event { cursor: get(row, 0)?, at: get(row, 1)?, chat: get(row, 2)?, what })
}

/// The cursor of a user's newest event.
pub(super) fn head(db: &Connection, user: UserId) -> Result<Cursor> {
    Ok(ends(db, user)?.0)
}

/// The newest event's cursor, and the newest forgotten one's.
fn ends(db: &Connection, user: UserId) -> Result<(Cursor, Cursor)> {
    let sql = "SELECT head, pruned FROM feeds WHERE user_id = ?1";
    let ends = one(db, sql, [Column(user)], |row| Ok((get(row, 0)?, get(row, 1)?)))?;
    Ok(ends.unwrap_or_default())
}

/// Forgets some of the events from before this moment; says how many, or `None` when none is left.
///
/// A feed loses only its oldest end: an event that came after one that is kept is kept too, whatever its moment.
pub(super) fn prune(act: &mut Act<'_>, before: UnixMillis) -> Result<Option<u64>> {
    let mut left = PRUNED_AT_ONCE;
    while left > 0 {
        let sql = "SELECT user_id, pruned FROM feeds WHERE oldest < ?1 ORDER BY oldest LIMIT 1";
        let feed = one(act.db, sql, [Column(before)], |row| Ok((get(row, 0)?, get(row, 1)?)))?;
        let Some((user, pruned)) = feed else { break };
        left -= prune_feed(act, user, pruned, before, left)?;
    }
    let pruned = PRUNED_AT_ONCE - left;
    Ok((pruned > 0).then_some(pruned as u64))
}

/// Forgets at most `limit` events of one feed; says how many.
fn prune_feed(act: &mut Act<'_>, user: UserId, pruned: Cursor, before: UnixMillis, limit: usize) -> Result<usize> {
    // One more than may go, for the moment of the first that stays.
    let sql = "SELECT at FROM events WHERE user_id = ?1 AND cursor > ?2 ORDER BY cursor LIMIT ?3";
    let moments: Vec<UnixMillis> =
        all(act.db, sql, params![Column(user), Column(pruned), Column(limit as u64 + 1)], |row| get(row, 0))?;
    let expired = moments.iter().take(limit).take_while(|&&at| at < before).count();
    let upto = Cursor(pruned.0 + expired as u64);
    run(act.db, "DELETE FROM events WHERE user_id = ?1 AND cursor <= ?2", params![Column(user), Column(upto)])?;
    run(
        act.db,
        "UPDATE feeds SET pruned = ?2, oldest = ?3 WHERE user_id = ?1",
        params![Column(user), Column(upto), moments.get(expired).copied().map(Column)],
    )?;
    Ok(expired)
}

/// Hands out the events of a feed, oldest first; says how many.
pub(super) fn dump(db: &Connection, user: UserId, mut take: impl FnMut(archive::Event) -> Result<()>) -> Result<u64> {
    let sql = "SELECT cursor, at, chat_id, kind, seq, subject, revision FROM events WHERE user_id = ?1 ORDER BY cursor";
    let mut rows = db.prepare_cached(sql)?;
    let mut count = 0;
    for event in rows.query_map([Column(user)], |row| dumped(row, user))? {
        take(event?)?;
        count += 1;
    }
    Ok(count)
}

fn dumped(row: &Row<'_>, user: UserId) -> rusqlite::Result<archive::Event> {
    let what = match get(row, 3)? {
        Kind::Posted => What::Posted(get(row, 4)?),
        Kind::Changed => What::Changed(get(row, 4)?, get(row, 6)?),
        Kind::Joined => What::Joined(get(row, 5)?),
        Kind::Left => What::Left(get(row, 5)?),
        Kind::P2p => What::P2p(get(row, 5)?),
        Kind::Read => What::Read(get(row, 4)?),
    };
    Ok(archive::Event { user, cursor: get(row, 0)?, at: get(row, 1)?, chat: get(row, 2)?, what })
}

/// Takes an event of an archive.
pub(super) fn load(db: &Connection, event: &archive::Event) -> Result<()> {
    let said = Said::from(&event.what);
    insert(&mut *db.prepare_cached(INSERT)?, (event.user, event.cursor), event.at, event.chat, &said)
}
