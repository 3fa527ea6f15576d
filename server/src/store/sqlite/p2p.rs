//! Transfers from one client to another. What a change comes to is decided by [`P2pChange::apply`]; this file only carries
//! it out.

use super::{
    column::{Column, get, maybe},
    connection::{all, one, run},
    events::announce,
    members,
    writer::Act,
};
use crate::store::{
    Result,
    events::Happening,
    p2p::{NewP2p, Offered, P2pChange, P2pChanged},
};
use hypersend_protocol::{
    id::{ClientId, P2pId, UserId},
    name::FileName,
    p2p::{OfferedFile, P2pSession, P2pStatus},
    time::UnixMillis,
};
use rusqlite::{
    Connection, Row, params,
    types::{FromSql, FromSqlError, FromSqlResult, ValueRef},
};
use serde::{Deserialize, Serialize};

/// A query for what [`read`] reads.
macro_rules! select {
    ($($rest:literal)+) => {
        concat!($(
            "SELECT id, chat_id, sender, receiver, files, status, path, created, updated FROM p2p_sessions ",
            $rest
        ),+)
    };
}

/// Makes an offer, unless its sender made one with the same client id before.
pub(super) fn offer(act: &mut Act<'_>, new: NewP2p) -> Result<Offered> {
    if members::standing(act.db, new.chat, new.sender)?.is_none() {
        return Ok(Offered::NoChat);
    }
    let made = select!("WHERE sender = ?1 AND client_id = ?2");
    if let Some(before) = one(act.db, made, params![Column(new.sender), Column(new.client_id)], read)? {
        return Ok(Offered::Made(before));
    }
    if new.receiver == new.sender || members::standing(act.db, new.chat, new.receiver)?.is_none() {
        return Ok(Offered::NoReceiver);
    }
    let sql = "SELECT count(*) FROM p2p_sessions WHERE sender = ?1 AND status <= 1";
    let open: u64 = one(act.db, sql, [Column(new.sender)], |row| get(row, 0))?.unwrap_or_default();
    if open >= new.max_open as u64 {
        return Ok(Offered::TooMany);
    }
    let session = P2pSession {
        id: new.id,
        chat: new.chat,
        sender: new.sender,
        receiver: new.receiver,
        files: new.files,
        status: P2pStatus::Offered,
        path: None,
        created: new.now,
        updated: new.now,
    };
    insert(act.db, &session, new.client_id)?;
    tell(act, &session)?;
    Ok(Offered::Made(session))
}

/// Writes a session's row.
pub(super) fn insert(db: &Connection, session: &P2pSession, client_id: ClientId) -> Result<()> {
    run(
        db,
        "INSERT INTO p2p_sessions (id, client_id, chat_id, sender, receiver, files, status, path, created, updated)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            Column(session.id),
            Column(client_id),
            Column(session.chat),
            Column(session.sender),
            Column(session.receiver),
            write_files(&session.files),
            Column(session.status),
            session.path.map(Column),
            Column(session.created),
            Column(session.updated),
        ],
    )?;
    Ok(())
}

/// A session, to either side.
pub(super) fn to_viewer(db: &Connection, id: P2pId, viewer: UserId) -> Result<Option<P2pSession>> {
    let session = one(db, select!("WHERE id = ?1"), [Column(id)], read)?;
    Ok(session.filter(|session: &P2pSession| [session.sender, session.receiver].contains(&viewer)))
}

/// The sessions in which a user sends or receives, newest first, older than `before`.
pub(super) fn of(db: &Connection, user: UserId, before: Option<P2pId>, limit: u32) -> Result<Vec<P2pSession>> {
    let sql = select!(
        "WHERE sender = ?1 AND (?2 IS NULL OR id < ?2) UNION ALL "
        "WHERE receiver = ?1 AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3"
    );
    all(db, sql, params![Column(user), before.map(Column), limit], read)
}

/// Changes a session.
pub(super) fn change(act: &mut Act<'_>, change: &P2pChange) -> Result<P2pChanged> {
    let Some(session) = one(act.db, select!("WHERE id = ?1"), [Column(change.id)], read)? else {
        return Ok(P2pChanged::NoSession);
    };
    let (outcome, is_new) = change.apply(&session);
    if let (P2pChanged::Changed(session), true) = (&outcome, is_new) {
        run(
            act.db,
            "UPDATE p2p_sessions SET status = ?2, path = ?3, updated = ?4 WHERE id = ?1",
            params![Column(session.id), Column(session.status), session.path.map(Column), Column(session.updated)],
        )?;
        tell(act, session)?;
    }
    Ok(outcome)
}

/// Forgets sessions that have not changed since this moment; says how many.
pub(super) fn prune(act: &mut Act<'_>, before: UnixMillis) -> Result<u64> {
    Ok(run(act.db, "DELETE FROM p2p_sessions WHERE updated < ?1", [Column(before)])? as u64)
}

fn tell(act: &mut Act<'_>, session: &P2pSession) -> Result<()> {
    let told = [session.sender, session.receiver];
    announce(act, session.chat, session.updated, Happening::P2p(session.id), &told)
}

/// Reads a session from the columns of `select!`.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<P2pSession> {
    Ok(P2pSession {
        id: get(row, 0)?,
        chat: get(row, 1)?,
        sender: get(row, 2)?,
        receiver: get(row, 3)?,
        files: get::<Offer>(row, 4)?.0,
        status: get(row, 5)?,
        path: maybe(row, 6)?,
        created: get(row, 7)?,
        updated: get(row, 8)?,
    })
}

/// A file in the JSON of a session's `files` column.
#[derive(Serialize, Deserialize)]
struct FileRow {
    name: FileName,
    size: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    folder: bool,
}

/// The files of an offer.
struct Offer(Vec<OfferedFile>);

impl FromSql for Column<Offer> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let rows: Vec<FileRow> = serde_json::from_str(value.as_str()?).map_err(|e| FromSqlError::Other(e.into()))?;
        let file = |FileRow { name, size, folder }| OfferedFile { name, size, folder };
        Ok(Self(Offer(rows.into_iter().map(file).collect())))
    }
}

fn write_files(files: &[OfferedFile]) -> String {
    let row = |file: &OfferedFile| FileRow { name: file.name.clone(), size: file.size, folder: file.folder };
    let rows: Vec<_> = files.iter().map(row).collect();
    serde_json::to_string(&rows).expect("names and sizes have a form in JSON")
}
