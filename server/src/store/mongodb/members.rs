//! Who is in a chat, and where each has read up to: part of the chat's document.

use super::{
    chats::{self, CHATS, ChatRow, KindRow},
    events::Feeds,
    field::Field,
    transaction::{Act, Result},
    users,
};
use crate::store::{
    chats::{AddMembers, Member, RemoveMember},
    events::Happening,
    users::User,
};
use hypersend_protocol::{
    account::Profile,
    chat::Role,
    id::{ChatId, UserId},
    limit::MAX_MEMBERS,
    time::UnixMillis,
};
use mongodb::bson::{DateTime, Document, Uuid, doc, serialize_to_bson};
use serde::{Deserialize, Serialize};
use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

/// A member in a chat's document.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct MemberRow {
    pub(super) user: Uuid,
    pub(super) role: RoleRow,
    pub(super) read: i64,
    pub(super) joined: DateTime,
}

/// What a member may do.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RoleRow {
    /// Read and post.
    Member,
    /// And let others in and out.
    Owner,
}

impl From<RoleRow> for Role {
    fn from(role: RoleRow) -> Self {
        match role {
            RoleRow::Member => Self::Member,
            RoleRow::Owner => Self::Owner,
        }
    }
}

impl MemberRow {
    /// A member who has read up to a number.
    pub(super) fn new(user: UserId, role: Role, read: i64, joined: UnixMillis) -> Self {
        let role = match role {
            Role::Member => RoleRow::Member,
            Role::Owner => RoleRow::Owner,
        };
        Self { user: user.write(), role, read, joined: joined.write() }
    }
}

/// Members, with what they are called: owners first, then by name, then by id.
pub(super) async fn complete(act: &mut Act, rows: Vec<MemberRow>) -> Result<Vec<Member>> {
    let ids: Vec<UserId> = rows.iter().map(|row| UserId::read(row.user)).collect::<Result<_>>()?;
    let users = users::by_ids(act, ids.iter().copied()).await?;
    let mut users: HashMap<UserId, User> = users.into_iter().map(|user| (user.id, user)).collect();
    let mut members = Vec::with_capacity(rows.len());
    for (id, row) in ids.into_iter().zip(rows) {
        let user = users.remove(&id).ok_or_else(|| chats::missing("account"))?;
        let joined = Field::read(row.joined)?;
        members.push(Member {
            profile: Profile::from(user),
            role: row.role.into(),
            read: Field::read(row.read)?,
            joined,
        });
    }
    members.sort_by(|a, b| {
        let key = |member: &Member| (Reverse(member.role == Role::Owner), member.profile.id);
        let (a_key, b_key) = (key(a), key(b));
        let name = a.profile.name.as_str().cmp(b.profile.name.as_str());
        a_key.0.cmp(&b_key.0).then(name).then(a_key.1.cmp(&b_key.1))
    });
    Ok(members)
}

/// Adds members to a group; who is in it already, and anybody twice, is overlooked. What was posted before counts as read.
pub(super) async fn add(
    act: &mut Act,
    chat: ChatId,
    by: UserId,
    users: Vec<UserId>,
    now: UnixMillis,
) -> Result<AddMembers> {
    let Some(mut row) = chats::row(act, chat).await? else { return Ok(AddMembers::NotFound) };
    let Some(caller) = row.member(by) else { return Ok(AddMembers::NotFound) };
    if row.kind == KindRow::Direct || caller.role != RoleRow::Owner {
        return Ok(AddMembers::Forbidden);
    }
    let present = row.member_ids()?;
    let mut known: HashSet<UserId> = present.iter().copied().collect();
    let newcomers: Vec<UserId> = users.into_iter().filter(|&user| known.insert(user)).collect();
    if known.len() > MAX_MEMBERS {
        return Ok(AddMembers::TooMany);
    }
    if !newcomers.is_empty() {
        let last = row.last;
        row.members.extend(newcomers.iter().map(|&user| MemberRow::new(user, Role::Member, last, now)));
        store(act, &row, doc! {}).await?;
        let mut feeds = Feeds::load(act, known.iter()).await?;
        announce_joined(&mut feeds, chat, &present, &newcomers, now);
        feeds.write(act).await?;
    }
    Ok(AddMembers::Done(chats::complete(act, row).await?))
}

/// Writes who is in a chat, and another change to its document.
async fn store(act: &mut Act, row: &ChatRow, other: Document) -> Result<()> {
    let members = serialize_to_bson(&row.members)?;
    let mut change = doc! { "$set": { "members": members } };
    change.extend(other);
    act.update(&CHATS, doc! { "_id": row.id }, change).await?;
    Ok(())
}

/// Tells of newcomers: those who were there before, of each; and each newcomer, of themselves. A newcomer reads the chat
/// anyway, and telling all of them of one another would be a million entries in a group of a thousand.
pub(super) fn announce_joined(
    feeds: &mut Feeds,
    chat: ChatId,
    present: &[UserId],
    newcomers: &[UserId],
    now: UnixMillis,
) {
    let mut told = present.to_vec();
    for &user in newcomers {
        told.push(user);
        feeds.announce(chat, now, Happening::Joined(user), &told);
        told.pop();
    }
}

/// Takes a member out of a group.
pub(super) async fn remove(
    act: &mut Act,
    chat: ChatId,
    by: UserId,
    user: UserId,
    now: UnixMillis,
) -> Result<RemoveMember> {
    let Some(mut row) = chats::row(act, chat).await? else { return Ok(RemoveMember::NotFound) };
    let (Some(caller), Some(leaving)) = (row.member(by), row.position(user)) else { return Ok(RemoveMember::NotFound) };
    if row.kind == KindRow::Direct || (by != user && caller.role != RoleRow::Owner) {
        return Ok(RemoveMember::Forbidden);
    }
    let told = row.member_ids()?;
    row.members.remove(leaving);
    pass_ownership(&mut row);
    // Frees the client id of a maker who leaves: asking with it again must not show them the group.
    let other = if row.was_made_by(user) {
        doc! { "$unset": { "made": 1 } }
    } else {
        doc! {}
    };
    store(act, &row, other).await?;
    let mut feeds = Feeds::load(act, told.iter()).await?;
    feeds.announce(chat, now, Happening::Left(user), &told);
    feeds.write(act).await?;
    Ok(RemoveMember::Done)
}

/// Makes the member who joined first the owner of a group that has none.
fn pass_ownership(row: &mut ChatRow) {
    if row.members.iter().all(|member| member.role != RoleRow::Owner)
        && let Some(first) = row.members.iter_mut().min_by_key(|member| (member.joined, member.user.bytes()))
    {
        first.role = RoleRow::Owner;
    }
}
