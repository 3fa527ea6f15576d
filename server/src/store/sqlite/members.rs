//! Who is in a chat, and where each has read up to.

use super::{
    chats,
    column::{Column, get},
    connection::{all, one, run},
    events::announce,
    writer::Act,
};
use crate::store::{
    Result,
    chats::{AddMembers, Member, RemoveMember},
    events::Happening,
};
use hypersend_protocol::{
    account::Profile,
    chat::{ChatKind, Role},
    id::{ChatId, Seq, UserId},
    limit::MAX_MEMBERS,
    time::UnixMillis,
};
use rusqlite::{Connection, params};
use std::collections::HashSet;

/// What a member is to a chat, and how far both are.
pub(super) struct Standing {
    /// Direct or group.
    pub(super) kind: ChatKind,
    /// The chat's newest message.
    pub(super) last: Seq,
    /// What the member may do.
    pub(super) role: Role,
    /// The last message they have read.
    pub(super) read: Seq,
}

/// A user's standing in a chat; `None` when they are not a member, or there is no such chat.
pub(super) fn standing(db: &Connection, chat: ChatId, user: UserId) -> Result<Option<Standing>> {
    let sql = "SELECT chats.kind, chats.last_seq, members.role, members.read_seq
               FROM members JOIN chats ON chats.id = members.chat_id
               WHERE members.chat_id = ?1 AND members.user_id = ?2";
    one(db, sql, params![Column(chat), Column(user)], |row| {
        Ok(Standing { kind: get(row, 0)?, last: get(row, 1)?, role: get(row, 2)?, read: get(row, 3)? })
    })
}

/// A chat's members: owners first, then by name, then by id.
pub(super) fn of(db: &Connection, chat: ChatId) -> Result<Vec<Member>> {
    let sql = "SELECT users.id, users.email, users.name, members.role, members.read_seq, members.joined
               FROM members JOIN users ON users.id = members.user_id
               WHERE members.chat_id = ?1
               ORDER BY members.role DESC, users.name, users.id";
    all(db, sql, [Column(chat)], |row| {
        Ok(Member {
            profile: Profile { id: get(row, 0)?, email: get(row, 1)?, name: get(row, 2)? },
            role: get(row, 3)?,
            read: get(row, 4)?,
            joined: get(row, 5)?,
        })
    })
}

/// The ids of a chat's members.
pub(super) fn ids(db: &Connection, chat: ChatId) -> Result<Vec<UserId>> {
    all(db, "SELECT user_id FROM members WHERE chat_id = ?1", [Column(chat)], |row| get(row, 0))
}

/// Lets a user in; what was posted before counts as read.
pub(super) fn insert(
    act: &mut Act<'_>,
    chat: ChatId,
    user: UserId,
    role: Role,
    read: Seq,
    now: UnixMillis,
) -> Result<()> {
    run(
        act.db,
        "INSERT INTO members (chat_id, user_id, role, read_seq, joined) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![Column(chat), Column(user), Column(role), Column(read), Column(now)],
    )?;
    Ok(())
}

/// Moves a read mark.
pub(super) fn set_read(act: &mut Act<'_>, chat: ChatId, user: UserId, seq: Seq) -> Result<()> {
    run(
        act.db,
        "UPDATE members SET read_seq = ?3 WHERE chat_id = ?1 AND user_id = ?2",
        params![Column(chat), Column(user), Column(seq)],
    )?;
    Ok(())
}

/// Adds members to a group; who is in it already, and anybody twice, is overlooked.
pub(super) fn add(
    act: &mut Act<'_>,
    chat: ChatId,
    by: UserId,
    users: &[UserId],
    now: UnixMillis,
) -> Result<AddMembers> {
    let Some(caller) = standing(act.db, chat, by)? else { return Ok(AddMembers::NotFound) };
    if caller.kind == ChatKind::Direct || caller.role != Role::Owner {
        return Ok(AddMembers::Forbidden);
    }
    let present = ids(act.db, chat)?;
    let mut known: HashSet<UserId> = present.iter().copied().collect();
    let newcomers: Vec<UserId> = users.iter().copied().filter(|&user| known.insert(user)).collect();
    if known.len() > MAX_MEMBERS {
        return Ok(AddMembers::TooMany);
    }
    for &user in &newcomers {
        insert(act, chat, user, Role::Member, caller.last, now)?;
    }
    announce_joined(act, chat, &present, &newcomers, now)?;
    let chat = chats::load(act.db, chat)?.expect("a chat with a member exists");
    Ok(AddMembers::Done(chat))
}

/// Tells of newcomers: those who were there before, of each; and each newcomer, of themselves. A newcomer reads the chat
/// anyway, and telling all of them of one another would be a million entries in a group of a thousand.
pub(super) fn announce_joined(
    act: &mut Act<'_>,
    chat: ChatId,
    present: &[UserId],
    newcomers: &[UserId],
    now: UnixMillis,
) -> Result<()> {
    let mut told = present.to_vec();
    for &user in newcomers {
        told.push(user);
        announce(act, chat, now, Happening::Joined(user), &told)?;
        told.pop();
    }
    Ok(())
}

/// Takes a member out of a group.
pub(super) fn remove(
    act: &mut Act<'_>,
    chat: ChatId,
    by: UserId,
    user: UserId,
    now: UnixMillis,
) -> Result<RemoveMember> {
    let (Some(caller), Some(leaving)) = (standing(act.db, chat, by)?, standing(act.db, chat, user)?) else {
        return Ok(RemoveMember::NotFound);
    };
    if caller.kind == ChatKind::Direct || (by != user && caller.role != Role::Owner) {
        return Ok(RemoveMember::Forbidden);
    }
    let told = ids(act.db, chat)?;
    run(act.db, "DELETE FROM members WHERE chat_id = ?1 AND user_id = ?2", params![Column(chat), Column(user)])?;
    chats::forget_maker(act, chat, user)?;
    if leaving.role == Role::Owner {
        pass_ownership(act, chat)?;
    }
    announce(act, chat, now, Happening::Left(user), &told)?;
    Ok(RemoveMember::Done)
}

/// Makes the member who joined first the owner of a group that has none.
fn pass_ownership(act: &mut Act<'_>, chat: ChatId) -> Result<()> {
    run(
        act.db,
        "UPDATE members SET role = ?2
         WHERE chat_id = ?1
           AND user_id = (SELECT user_id FROM members WHERE chat_id = ?1 ORDER BY joined, user_id LIMIT 1)
           AND NOT EXISTS (SELECT 1 FROM members WHERE chat_id = ?1 AND role = ?2)",
        params![Column(chat), Column(Role::Owner)],
    )?;
    Ok(())
}

/// Moves a read mark forward to `seq` or the chat's end; says where it stands.
pub(super) fn mark_read(
    act: &mut Act<'_>,
    chat: ChatId,
    user: UserId,
    seq: Seq,
    now: UnixMillis,
) -> Result<Option<Seq>> {
    let Some(member) = standing(act.db, chat, user)? else { return Ok(None) };
    let seq = seq.min(member.last);
    if seq <= member.read {
        return Ok(Some(member.read));
    }
    set_read(act, chat, user, seq)?;
    announce(act, chat, now, Happening::Read(user, seq), &[user])?;
    Ok(Some(seq))
}
