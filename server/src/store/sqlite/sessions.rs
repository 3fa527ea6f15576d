//! Sessions. What a presented token does is decided by [`Session::rotate`]; this file only carries it out.

use super::{
    column::{Column, get, maybe},
    connection::{one, run},
    writer::Act,
};
use crate::store::{
    Result,
    sessions::{Rotated, Rotation, Session},
};
use hypersend_protocol::{id::SessionId, time::UnixMillis};
use rusqlite::{Connection, params};

/// Begins a session.
pub(super) fn create(act: &mut Act<'_>, session: &Session) -> Result<()> {
    run(
        act.db,
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
    let sql =
        "SELECT id, user_id, agent, created, current, previous, rotated, expires, ended FROM sessions WHERE id = ?1";
    one(db, sql, [Column(id)], |row| {
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
    })
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
            end(act, rotation.session, rotation.now)?;
        }
        Rotated::Ended => {}
    }
    Ok(outcome)
}

/// Ends a session; `false` when it has ended already or never was.
pub(super) fn end(act: &mut Act<'_>, id: SessionId, now: UnixMillis) -> Result<bool> {
    let sql = "UPDATE sessions SET ended = ?2 WHERE id = ?1 AND ended IS NULL";
    Ok(run(act.db, sql, params![Column(id), Column(now)])? == 1)
}

/// Forgets sessions that ended or expired before this moment; says how many.
pub(super) fn prune(act: &mut Act<'_>, before: UnixMillis) -> Result<u64> {
    let sql = "DELETE FROM sessions WHERE min(expires, ifnull(ended, expires)) < ?1";
    Ok(run(act.db, sql, [Column(before)])? as u64)
}
