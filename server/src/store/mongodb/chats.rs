//! Chats: one document each, with its members. Made once for a pair or a client id, listed by activity.
//!
//! The members are in the chat's document because nearly every act in a chat needs them, and because an act that changes
//! who is in a chat must not slip past one that relies on it: both write this document, and the database lets one of them
//! begin again. A group whose last member left stays: feeds still name its messages. Nobody can reach it any more.

use super::{
    events::Feeds,
    field::{Field, read_text},
    members::{self, MemberRow},
    messages,
    schema::{Collection, index},
    transaction::{Act, Failure, Result, Table},
    users,
};
use crate::store::{
    StoreError,
    chats::{Chat, ChatLine, NewGroup},
};
use hypersend_protocol::{
    chat::{ChatKind, ChatPosition, Role},
    id::{ChatId, Seq, UserId},
    name::ChatTitle,
    time::UnixMillis,
};
use mongodb::{
    bson::{DateTime, Document, Uuid, doc},
    options::FindOptions,
};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// Chats. A direct chat has its two users in `pair`, by id. A group has whoever made it and their client id in `made`, until
/// they leave.
pub(super) const CHATS: Table<ChatRow> = Table::new("chats");

/// A chat's document.
#[derive(Serialize, Deserialize)]
pub(super) struct ChatRow {
    #[serde(rename = "_id")]
    pub(super) id: Uuid,
    pub(super) kind: KindRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pair: Option<PairRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) made: Option<MadeRow>,
    pub(super) last: i64,
    pub(super) last_at: DateTime,
    pub(super) revision: i64,
    pub(super) members: Vec<MemberRow>,
}

/// Direct or group.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KindRow {
    /// A direct chat.
    Direct,
    /// A group.
    Group,
}

/// The two users of a direct chat.
#[derive(Serialize, Deserialize)]
pub(super) struct PairRow {
    pub(super) low: Uuid,
    pub(super) high: Uuid,
}

/// Who made a group, and as what.
#[derive(Serialize, Deserialize)]
pub(super) struct MadeRow {
    pub(super) by: Uuid,
    #[serde(rename = "as")]
    pub(super) client: Uuid,
}

/// How the collection is to be.
pub(super) fn collection() -> Collection {
    let fields = [
        ("_id", "binData"),
        ("kind", "string"),
        ("title?", "string"),
        ("pair?", "object"),
        ("made?", "object"),
        ("last", "long"),
        ("last_at", "date"),
        ("revision", "long"),
        ("members", "array"),
    ];
    let once = doc! { "unique": true, "sparse": true };
    let indexes = vec![
        index("chats_by_pair", doc! { "pair": 1 }, once.clone()),
        index("chats_by_maker", doc! { "made": 1 }, once),
        index("chats_by_member", doc! { "members.user": 1 }, doc! {}),
    ];
    Collection::new(&CHATS, &fields, indexes)
}

impl From<KindRow> for ChatKind {
    fn from(kind: KindRow) -> Self {
        match kind {
            KindRow::Direct => Self::Direct,
            KindRow::Group => Self::Group,
        }
    }
}

impl ChatRow {
    fn new(id: ChatId, kind: KindRow, members: Vec<MemberRow>) -> Self {
        let last_at = UnixMillis(0).write();
        Self { id: id.write(), kind, title: None, pair: None, made: None, last: 0, last_at, revision: 0, members }
    }

    /// Where a user stands among the members.
    pub(super) fn position(&self, user: UserId) -> Option<usize> {
        let user = user.write();
        self.members.iter().position(|member| member.user == user)
    }

    /// A user as a member.
    pub(super) fn member(&self, user: UserId) -> Option<&MemberRow> {
        self.position(user).map(|position| &self.members[position])
    }

    /// The members' ids.
    pub(super) fn member_ids(&self) -> Result<Vec<UserId>> {
        self.members.iter().map(|member| UserId::read(member.user)).collect()
    }

    /// Whether a user made this group, and is still in it.
    pub(super) fn was_made_by(&self, user: UserId) -> bool {
        self.made.as_ref().is_some_and(|made| made.by == user.write())
    }
}

/// The direct chat of two users, made if there is none.
pub(super) async fn open_direct(act: &mut Act, me: UserId, peer: UserId, new: ChatId, now: UnixMillis) -> Result<Chat> {
    let pair = PairRow { low: me.min(peer).write(), high: me.max(peer).write() };
    if let Some(found) = act.one(&CHATS, doc! { "pair": { "low": pair.low, "high": pair.high } }).await? {
        return complete(act, found).await;
    }
    let members = [me, peer].map(|user| MemberRow::new(user, Role::Member, 0, now));
    let row = ChatRow { pair: Some(pair), ..ChatRow::new(new, KindRow::Direct, members.into()) };
    make(act, row, &[me, peer], now).await
}

/// Makes a group, or finds the one that its owner made with the same client id.
pub(super) async fn create_group(act: &mut Act, group: NewGroup) -> Result<Chat> {
    let made = MadeRow { by: group.owner.write(), client: group.client_id.write() };
    if let Some(found) = act.one(&CHATS, doc! { "made": { "by": made.by, "as": made.client } }).await? {
        return complete(act, found).await;
    }
    let mut known = HashSet::new();
    let mut everybody = vec![group.owner];
    everybody.extend(group.members);
    everybody.retain(|&user| known.insert(user));
    let member = |&user: &UserId| {
        let role = if user == group.owner { Role::Owner } else { Role::Member };
        MemberRow::new(user, role, 0, group.now)
    };
    let row = ChatRow {
        title: Some(group.title.as_str().to_owned()),
        made: Some(made),
        ..ChatRow::new(group.id, KindRow::Group, everybody.iter().map(member).collect())
    };
    make(act, row, &everybody, group.now).await
}

async fn make(act: &mut Act, row: ChatRow, members: &[UserId], now: UnixMillis) -> Result<Chat> {
    act.insert(&CHATS, std::slice::from_ref(&row)).await?;
    let mut feeds = Feeds::load(act, members).await?;
    members::announce_joined(&mut feeds, ChatId::read(row.id)?, &[], members, now);
    feeds.write(act).await?;
    complete(act, row).await
}

/// A chat's document.
pub(super) async fn row(act: &mut Act, id: ChatId) -> Result<Option<ChatRow>> {
    act.one(&CHATS, doc! { "_id": id.write() }).await
}

/// The documents of chats, by id.
pub(super) async fn rows(act: &mut Act, ids: HashSet<ChatId>) -> Result<HashMap<ChatId, ChatRow>> {
    let ids: Vec<Uuid> = ids.into_iter().map(Field::write).collect();
    let rows = act.all(&CHATS, doc! { "_id": { "$in": ids } }, FindOptions::default()).await?;
    rows.into_iter().map(|row| Ok((ChatId::read(row.id)?, row))).collect()
}

/// A chat, with what its members are called.
pub(super) async fn complete(act: &mut Act, row: ChatRow) -> Result<Chat> {
    Ok(Chat {
        id: ChatId::read(row.id)?,
        kind: row.kind.into(),
        title: title(row.title)?,
        last: Field::read(row.last)?,
        revision: Field::read(row.revision)?,
        members: members::complete(act, row.members).await?,
    })
}

fn title(form: Option<String>) -> Result<Option<ChatTitle>> {
    form.map(|text| read_text(&text, ChatTitle::parse)).transpose()
}

/// A chat, to one of its members.
pub(super) async fn to_viewer(act: &mut Act, id: ChatId, viewer: UserId) -> Result<Option<Chat>> {
    match row(act, id).await? {
        Some(chat) if chat.member(viewer).is_some() => Ok(Some(complete(act, chat).await?)),
        _ => Ok(None),
    }
}

/// What the list of chats takes from a chat's document.
#[derive(Deserialize)]
struct LineRow {
    #[serde(rename = "_id")]
    id: Uuid,
    kind: KindRow,
    title: Option<String>,
    pair: Option<PairRow>,
    last: i64,
    active: DateTime,
    me: MemberRow,
}

impl LineRow {
    fn peer(&self, user: UserId) -> Result<Option<UserId>> {
        let other = self.pair.as_ref().map(|pair| if pair.low == user.write() { pair.high } else { pair.low });
        other.map(UserId::read).transpose()
    }
}

/// A user's chats after a position, the most recently active first.
///
/// Sorts all chats of the user: keeping them sorted would cost every member an index entry with every message.
pub(super) async fn of(act: &mut Act, user: UserId, after: Option<ChatPosition>, limit: u32) -> Result<Vec<ChatLine>> {
    let lines: Vec<LineRow> = act.aggregate(&CHATS, lines(user, after, limit)).await?;
    let mut peers = HashSet::new();
    let mut newest = Vec::with_capacity(lines.len());
    for line in &lines {
        peers.extend(line.peer(user)?);
        newest.push((ChatId::read(line.id)?, Seq::read(line.last)?));
    }
    let peers = users::by_ids(act, peers.into_iter()).await?;
    let peers: HashMap<UserId, _> = peers.into_iter().map(|peer| (peer.id, peer)).collect();
    let mut messages = messages::by_seqs(act, &newest).await?;
    let line = |line: LineRow| {
        let (id, last) = (ChatId::read(line.id)?, Seq::read(line.last)?);
        Ok(ChatLine {
            id,
            kind: line.kind.into(),
            peer: line.peer(user)?.and_then(|peer| peers.get(&peer).cloned()),
            title: title(line.title)?,
            last_message: messages.remove(&(id, last)),
            unread: Field::read(line.last - line.me.read)?,
            active: Field::read(line.active)?,
        })
    };
    lines.into_iter().map(line).collect()
}

/// The ids of a user's chats, the newest ids first.
pub(super) async fn ids_of(act: &mut Act, user: UserId, limit: u32) -> Result<Vec<ChatId>> {
    #[derive(Deserialize)]
    struct IdRow {
        #[serde(rename = "_id")]
        id: Uuid,
    }
    let options =
        FindOptions::builder().projection(doc! { "_id": 1 }).sort(doc! { "_id": -1 }).limit(i64::from(limit)).build();
    let rows: Vec<IdRow> = act.all_as(&CHATS, doc! { "members.user": user.write() }, options).await?;
    rows.into_iter().map(|row| ChatId::read(row.id)).collect()
}

fn lines(user: UserId, after: Option<ChatPosition>, limit: u32) -> Vec<Document> {
    let user = user.write();
    let me = doc! { "$filter": { "input": "$members", "as": "member", "cond": { "$eq": ["$$member.user", user] } } };
    let mut steps = vec![
        doc! { "$match": { "members.user": user } },
        doc! { "$project": {
            "kind": 1, "title": 1, "pair": 1, "last": 1, "last_at": 1, "me": { "$arrayElemAt": [me, 0] },
        } },
        doc! { "$set": { "active": { "$max": ["$last_at", "$me.joined"] } } },
    ];
    if let Some(ChatPosition { active, id }) = after {
        let (active, id) = (active.write(), id.write());
        let behind = vec![doc! { "active": { "$lt": active } }, doc! { "active": active, "_id": { "$lt": id } }];
        steps.push(doc! { "$match": { "$or": behind } });
    }
    steps.extend([doc! { "$sort": { "active": -1, "_id": -1 } }, doc! { "$limit": i64::from(limit) }]);
    steps
}

/// What is said when a document is missing that another one names.
pub(super) fn missing(what: &str) -> Failure {
    Failure::Store(StoreError::Corrupt { what: format!("no {what} where one is named") })
}
