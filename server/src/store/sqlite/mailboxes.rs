//! Mailboxes. What becomes of one is decided by [`Mailbox`] and [`NewMailbox`]; this file only carries it out.

use super::{
    column::{Column, get, maybe},
    connection::{all, one, run},
    writer::Act,
};
use crate::store::{
    Result,
    mailboxes::{Claim, KeyHash, Mailbox, NewMailbox, Opened, Participant},
};
use hypersend_protocol::{id::P2pId, mailbox::Nameplate, time::UnixMillis};
use rusqlite::{Connection, Row, params};

/// A query for what [`read`] reads.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, nameplate, opened, sender_key, sender_last_held, receiver_key, receiver_last_held, over, expires
             FROM mailboxes ",
            $rest
        )
    };
}

/// Opens one, unless it was opened before with the same key.
pub(super) fn open(act: &mut Act<'_>, new: &NewMailbox) -> Result<Opened> {
    // What has expired holds no nameplate.
    prune(act, new.now)?;
    if let Some(before) = one(act.db, select!("WHERE sender_key = ?1"), [Column(new.key)], read)? {
        return Ok(Opened::Open(before));
    }
    let sql = "SELECT nameplate FROM mailboxes WHERE over = 0 AND nameplate > 0 ORDER BY nameplate";
    let taken: Vec<Nameplate> = all(act.db, sql, [], |row| get(row, 0))?;
    if taken.len() >= new.max_open {
        return Ok(Opened::TooMany);
    }
    let sql = "SELECT count(*) FROM mailboxes WHERE opened_from = ?1 AND over = 0";
    let from_there: u64 = one(act.db, sql, [Column(new.from)], |row| get(row, 0))?.unwrap_or_default();
    if from_there >= new.max_open_from_there as u64 {
        return Ok(Opened::TooManyFromThere);
    }
    let mailbox = new.mailbox(&taken);
    run(
        act.db,
        "INSERT INTO mailboxes (id, nameplate, opened_from, opened, sender_key, sender_last_held, over, expires)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            Column(mailbox.id),
            Column(mailbox.nameplate),
            Column(new.from),
            Column(mailbox.opened),
            Column(mailbox.sender.key),
            Column(mailbox.sender.last_held),
            mailbox.over,
            Column(mailbox.expires),
        ],
    )?;
    Ok(Opened::Open(mailbox))
}

/// Uses a nameplate up.
pub(super) fn claim(act: &mut Act<'_>, claim: &Claim) -> Result<Option<Mailbox>> {
    let sql = select!("WHERE nameplate = ?1 AND over = 0 AND expires > ?2");
    let found = one(act.db, sql, params![Column(claim.nameplate), Column(claim.now)], read)?;
    found.and_then(|mailbox: Mailbox| mailbox.claimed(claim)).map(|mailbox| put(act.db, mailbox)).transpose()
}

/// One that is held open by the side whose key this is.
pub(super) fn hold(act: &mut Act<'_>, id: P2pId, key: &KeyHash, now: UnixMillis) -> Result<Option<Mailbox>> {
    let held = by_id(act.db, id, now)?.and_then(|mailbox| mailbox.held(key, now));
    held.map(|mailbox| put(act.db, mailbox)).transpose()
}

/// One that a side has left.
pub(super) fn leave(act: &mut Act<'_>, id: P2pId, now: UnixMillis) -> Result<Option<Mailbox>> {
    by_id(act.db, id, now)?.map(|mailbox| put(act.db, mailbox.left(now))).transpose()
}

/// Forgets those whose time is over; says how many.
pub(super) fn prune(act: &mut Act<'_>, now: UnixMillis) -> Result<u64> {
    Ok(run(act.db, "DELETE FROM mailboxes WHERE expires <= ?1", [Column(now)])? as u64)
}

/// One whose time is not over.
pub(super) fn by_id(db: &Connection, id: P2pId, now: UnixMillis) -> Result<Option<Mailbox>> {
    one(db, select!("WHERE id = ?1 AND expires > ?2"), params![Column(id), Column(now)], read)
}

/// Writes what may change of one.
fn put(db: &Connection, mailbox: Mailbox) -> Result<Mailbox> {
    run(
        db,
        "UPDATE mailboxes SET sender_last_held = ?2, receiver_key = ?3, receiver_last_held = ?4, over = ?5, expires = ?6
         WHERE id = ?1",
        params![
            Column(mailbox.id),
            Column(mailbox.sender.last_held),
            mailbox.receiver.map(|receiver| Column(receiver.key)),
            mailbox.receiver.map(|receiver| Column(receiver.last_held)),
            mailbox.over,
            Column(mailbox.expires),
        ],
    )?;
    Ok(mailbox)
}

/// Reads one from the columns of `select!`.
fn read(row: &Row<'_>) -> rusqlite::Result<Mailbox> {
    // The table has both or neither.
    let receiver = maybe(row, 5)?.zip(maybe(row, 6)?);
    Ok(Mailbox {
        id: get(row, 0)?,
        nameplate: get(row, 1)?,
        opened: get(row, 2)?,
        sender: Participant { key: get(row, 3)?, last_held: get(row, 4)? },
        receiver: receiver.map(|(key, last_held)| Participant { key, last_held }),
        over: row.get(7)?,
        expires: get(row, 8)?,
    })
}
