//! Chats: made once for a pair or a client id, listed by activity. Their members are in `members`.
//!
//! A group whose last member left stays: feeds still name its messages. Nobody can reach it any more.

use super::{
    column::{Column, get, maybe},
    connection::{all, one, run},
    members, messages, users,
    writer::Act,
};
use crate::store::{
    Result,
    chats::{Chat, ChatLine, NewGroup},
};
use hypersend_protocol::{
    chat::{ChatKind, ChatPosition, Role},
    id::{ChatId, ClientId, Seq, UserId},
    name::ChatTitle,
    time::UnixMillis,
};
use rusqlite::{Connection, params};
use std::collections::HashSet;

/// The direct chat of two users, made if there is none.
pub(super) fn open_direct(act: &mut Act<'_>, me: UserId, peer: UserId, new: ChatId, now: UnixMillis) -> Result<Chat> {
    let (low, high) = (me.min(peer), me.max(peer));
    let sql = "SELECT id FROM chats WHERE pair_low = ?1 AND pair_high = ?2";
    let found = one(act.db, sql, params![Column(low), Column(high)], |row| get(row, 0))?;
    if let Some(id) = found {
        return loaded(act.db, id);
    }
    run(
        act.db,
        "INSERT INTO chats (id, kind, pair_low, pair_high) VALUES (?1, ?2, ?3, ?4)",
        params![Column(new), Column(ChatKind::Direct), Column(low), Column(high)],
    )?;
    for user in [me, peer] {
        members::insert(act, new, user, Role::Member, Seq(0), now)?;
    }
    members::announce_joined(act, new, &[], &[me, peer], now)?;
    loaded(act.db, new)
}

/// Makes a group, or finds the one that its owner made with the same client id.
pub(super) fn create_group(act: &mut Act<'_>, group: NewGroup) -> Result<Chat> {
    if let Some(id) = made_before(act.db, group.owner, group.client_id)? {
        return loaded(act.db, id);
    }
    run(
        act.db,
        "INSERT INTO chats (id, kind, title, made_by, made_as) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            Column(group.id),
            Column(ChatKind::Group),
            Column(group.title),
            Column(group.owner),
            Column(group.client_id),
        ],
    )?;
    let mut known = HashSet::new();
    let mut everybody = vec![group.owner];
    everybody.extend(group.members);
    everybody.retain(|&user| known.insert(user));
    for &user in &everybody {
        let role = if user == group.owner { Role::Owner } else { Role::Member };
        members::insert(act, group.id, user, role, Seq(0), group.now)?;
    }
    members::announce_joined(act, group.id, &[], &everybody, group.now)?;
    loaded(act.db, group.id)
}

fn made_before(db: &Connection, owner: UserId, client_id: ClientId) -> Result<Option<ChatId>> {
    let sql = "SELECT id FROM chats WHERE made_by = ?1 AND made_as = ?2";
    one(db, sql, params![Column(owner), Column(client_id)], |row| get(row, 0))
}

/// Frees the client id of a group's maker who leaves: asking with it again must not show them the group.
pub(super) fn forget_maker(act: &mut Act<'_>, chat: ChatId, user: UserId) -> Result<()> {
    run(
        act.db,
        "UPDATE chats SET made_by = NULL, made_as = NULL WHERE id = ?1 AND made_by = ?2",
        params![Column(chat), Column(user)],
    )?;
    Ok(())
}

/// A chat with its members.
pub(super) fn load(db: &Connection, id: ChatId) -> Result<Option<Chat>> {
    let sql = "SELECT id, kind, title, last_seq, revision FROM chats WHERE id = ?1";
    let chat = one(db, sql, [Column(id)], |row| {
        Ok(Chat {
            id: get(row, 0)?,
            kind: get(row, 1)?,
            title: maybe(row, 2)?,
            last: get(row, 3)?,
            revision: get(row, 4)?,
            members: Vec::new(),
        })
    })?;
    let Some(chat) = chat else { return Ok(None) };
    Ok(Some(Chat { members: members::of(db, id)?, ..chat }))
}

fn loaded(db: &Connection, id: ChatId) -> Result<Chat> {
    Ok(load(db, id)?.expect("the chat was found or made in this act"))
}

/// A chat, to one of its members.
pub(super) fn to_viewer(db: &Connection, id: ChatId, viewer: UserId) -> Result<Option<Chat>> {
    match members::standing(db, id, viewer)? {
        Some(_) => load(db, id),
        None => Ok(None),
    }
}

/// The ids of a user's chats, the newest ids first.
pub(super) fn ids_of(db: &Connection, user: UserId, limit: u32) -> Result<Vec<ChatId>> {
    let sql = "SELECT chat_id FROM members WHERE user_id = ?1 ORDER BY chat_id DESC LIMIT ?2";
    all(db, sql, params![Column(user), limit], |row| get(row, 0))
}

/// What the list of chats needs of a chat before the rest is looked up.
struct Line {
    id: ChatId,
    kind: ChatKind,
    title: Option<ChatTitle>,
    last: Seq,
    unread: u64,
    active: UnixMillis,
    peer: Option<UserId>,
}

/// A user's chats after a position, the most recently active first.
///
/// Sorts all chats of the user: keeping them sorted would cost every member an index entry with every message.
pub(super) fn of(db: &Connection, user: UserId, after: Option<ChatPosition>, limit: u32) -> Result<Vec<ChatLine>> {
    let sql = "SELECT chats.id, chats.kind, chats.title, chats.last_seq, chats.last_seq - members.read_seq,
                      max(chats.last_at, members.joined) AS active,
                      iif(chats.pair_low = ?1, chats.pair_high, chats.pair_low)
               FROM members JOIN chats ON chats.id = members.chat_id
               WHERE members.user_id = ?1 AND (?2 IS NULL OR (active, chats.id) < (?2, ?3))
               ORDER BY active DESC, chats.id DESC
               LIMIT ?4";
    let values = params![Column(user), after.map(|a| Column(a.active)), after.map(|a| Column(a.id)), limit];
    let lines = all(db, sql, values, |row| {
        Ok(Line {
            id: get(row, 0)?,
            kind: get(row, 1)?,
            title: maybe(row, 2)?,
            last: get(row, 3)?,
            unread: get(row, 4)?,
            active: get(row, 5)?,
            peer: maybe(row, 6)?,
        })
    })?;
    lines.into_iter().map(|line| complete(db, line)).collect()
}

fn complete(db: &Connection, line: Line) -> Result<ChatLine> {
    let peer = line.peer.map(|peer| users::by_id(db, peer)).transpose()?.flatten();
    let last_message = messages::by_seq(db, line.id, line.last)?;
    let Line { id, kind, title, unread, active, .. } = line;
    Ok(ChatLine { id, kind, title, peer, last_message, unread, active })
}
