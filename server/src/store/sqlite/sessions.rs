//! Sessions. What a presented token does is decided by [`Session::rotate`]; this file only carries it out.

use super::{
    column::{Column, get, maybe},
    connection::{all, one, run},
    writer::Act,
};
use crate::store::{
    Result,
    sessions::{Rotated, Rotation, Session},
};
use hypersend_protocol::{
    id::{SessionId, UserId},
    time::UnixMillis,
};
use rusqlite::{Connection, Row, params};

/// A query for what [`read`] reads.
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, user_id, agent, created, current, previous, rotated, expires, ended FROM sessions ", $rest)
    };
}

/// Begins a session.
pub(super) fn create(act: &mut Act<'_>, session: &Session) -> Result<()> {
    insert(act.db, session)
}

/// Writes a session's row.
pub(super) fn insert(db: &Connection, session: &Session) -> Result<()> {
    run(
        db,
        "INSERT INTO sessions (id, user_id, agent, created, current, previous, rotated, expires, ended)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            Column(session.id),
            Column(session.user),
            session.agent,
            Column(session.created),
            Column(session.current),
            session.previous.map(Column),
            Column(session.rotated),
            Column(session.expires),
            session.ended.map(Column),
        ],
    )?;
    Ok(())
}

/// The session with this id, ended or not.
pub(super) fn by_id(db: &Connection, id: SessionId) -> Result<Option<Session>> {
    one(db, select!("WHERE id = ?1"), [Column(id)], read)
}

/// A user's living sessions, newest first, older than `before`.
pub(super) fn of(
    db: &Connection,
    user: UserId,
    before: Option<SessionId>,
    limit: u32,
    now: UnixMillis,
) -> Result<Vec<Session>> {
    let sql = select!(
        "WHERE user_id = ?1 AND ended IS NULL AND expires > ?2 AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4"
    );
    all(db, sql, params![Column(user), Column(now), before.map(Column), limit], read)
}

/// Uses up a refresh token, or ends the session of one that was used up before.
pub(super) fn rotate(act: &mut Act<'_>, rotation: Rotation) -> Result<Rotated> {
    let Some(session) = by_id(act.db, rotation.session)? else { return Ok(Rotated::Ended) };
    let outcome = session.rotate(&rotation);
    match &outcome {
        Rotated::Fresh(session) => {
            run(
                act.db,
                "UPDATE sessions SET current = ?2, previous = ?3, rotated = ?4, expires = ?5 WHERE id = ?1",
                params![
                    Column(session.id),
                    Column(session.current),
                    session.previous.map(Column),
                    Column(session.rotated),
                    Column(session.expires),
                ],
            )?;
        }
        Rotated::Reused => {
            end(act, session.id, session.user, rotation.now)?;
        }
        Rotated::Ended => {}
    }
    Ok(outcome)
}

/// Ends a user's session, once; `false` when they have none with this id.
pub(super) fn end(act: &mut Act<'_>, id: SessionId, user: UserId, now: UnixMillis) -> Result<bool> {
    let sql = "UPDATE sessions SET ended = ifnull(ended, ?3) WHERE id = ?1 AND user_id = ?2";
    Ok(run(act.db, sql, params![Column(id), Column(user), Column(now)])? == 1)
}

/// Forgets sessions that ended or expired before this moment; says how many.
pub(super) fn prune(act: &mut Act<'_>, before: UnixMillis) -> Result<u64> {
    let sql = "DELETE FROM sessions WHERE min(expires, ifnull(ended, expires)) < ?1";
    Ok(run(act.db, sql, [Column(before)])? as u64)
}

/// Reads a session from the columns of `select!`.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: get(row, 0)?,
        user: get(row, 1)?,
        agent: row.get(2)?,
        created: get(row, 3)?,
        current: get(row, 4)?,
        previous: maybe(row, 5)?,
        rotated: get(row, 6)?,
        expires: get(row, 7)?,
        ended: maybe(row, 8)?,
    })
}
