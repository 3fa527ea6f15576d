//! Feeds: an act's one document, which has its place in the feed of everybody concerned.
//!
//! A feed keeps a contiguous run of cursors, from `pruned + 1` to `head`. Only its oldest end is ever forgotten, so
//! comparing a cursor with those two tells a gap from silence.
//!
//! An act is one document whoever it concerns: a post in a group of a thousand is one insert and a thousand index entries
//! instead of a thousand of both, and one document is what another server will have to hear of. So it is also forgotten for
//! all at once, by its `age`: its moment, or that of whatever stands before it in any of its feeds if that is later. Ages
//! never fall along a feed, whatever the clocks of the servers say, and nothing is forgotten before its own moment.

use super::{
    chats::missing,
    field::{Field, corrupt, maybe},
    known::{Head, Known},
    messages::{self, PlaceRow},
    schema::{Collection, index},
    transaction::{Act, Result, Table},
};
use crate::store::{
    events::{Entry, Event, Fanout, Feed, Happening},
    messages::Message,
};
use hypersend_protocol::{
    id::{ChatId, Cursor, Seq, UserId},
    time::UnixMillis,
};
use mongodb::{
    bson::{DateTime, Document, Uuid, doc, oid::ObjectId},
    options::FindOptions,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Acts forgotten in one transaction: a few milliseconds, so that posting goes on between.
const PRUNED_AT_ONCE: i64 = 1_000;

/// Feeds; each lives as long as its account.
pub(super) const FEEDS: Table<FeedRow> = Table::new("feeds");

/// Acts, each with its places in feeds.
pub(super) const EVENTS: Table<EventRow> = Table::new("events");

/// A feed's document: the cursor of the newest event, of the newest one forgotten, and the newest one's age.
#[derive(Serialize, Deserialize)]
pub(super) struct FeedRow {
    #[serde(rename = "_id")]
    pub(super) id: Uuid,
    pub(super) head: i64,
    pub(super) pruned: i64,
    pub(super) age: DateTime,
}

/// An act's document.
#[derive(Serialize, Deserialize)]
pub(super) struct EventRow {
    #[serde(rename = "_id")]
    pub(super) id: ObjectId,
    /// The server whose act it is: it hears of its own acts without asking the database.
    pub(super) by: i64,
    pub(super) chat: Uuid,
    pub(super) at: DateTime,
    pub(super) age: DateTime,
    pub(super) kind: KindRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seq: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<i64>,
    pub(super) to: Vec<EntryRow>,
}

/// An act's place in one feed.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct EntryRow {
    pub(super) user: Uuid,
    pub(super) cursor: i64,
}

/// What kind of act it is.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KindRow {
    Posted,
    Changed,
    Joined,
    Left,
    Read,
    P2p,
}

/// How the collection of feeds is to be.
pub(super) fn feeds_collection() -> Collection {
    Collection::new(&FEEDS, &[("_id", "binData"), ("head", "long"), ("pruned", "long"), ("age", "date")], vec![])
}

/// How the collection of acts is to be.
pub(super) fn collection() -> Collection {
    let fields = [
        ("_id", "objectId"),
        ("by", "long"),
        ("chat", "binData"),
        ("at", "date"),
        ("age", "date"),
        ("kind", "string"),
        ("seq?", "long"),
        ("subject?", "binData"),
        ("revision?", "long"),
        ("to", "array"),
    ];
    let indexes = vec![
        // Unique as a second lock: no place in a feed is given twice.
        index("events_by_feed", doc! { "to.user": 1, "to.cursor": 1 }, doc! { "unique": true }),
        index("events_by_age", doc! { "age": 1 }, doc! {}),
    ];
    Collection::new(&EVENTS, &fields, indexes)
}

/// The feeds that an act goes into.
pub(super) struct Feeds {
    /// Where each is, and how many of its events are this act's.
    heads: HashMap<UserId, (Head, u32)>,
    age: DateTime,
    rows: Vec<EventRow>,
    fanouts: Vec<Fanout>,
}

impl Feeds {
    /// Reads where the feeds of these users are.
    pub(super) async fn load(act: &mut Act, users: impl IntoIterator<Item = &UserId>) -> Result<Self> {
        Self::load_unknown(act, users, &Known::default()).await
    }

    /// The same, reading only what is not known.
    pub(super) async fn load_unknown(
        act: &mut Act,
        users: impl IntoIterator<Item = &UserId>,
        known: &Known,
    ) -> Result<Self> {
        let mut heads = HashMap::new();
        let mut unknown: Vec<Uuid> = Vec::new();
        for &user in users {
            match known.head(user) {
                Some(head) => _ = heads.insert(user, (head, 0)),
                None => unknown.push(user.write()),
            }
        }
        if !unknown.is_empty() {
            for row in act.all(&FEEDS, doc! { "_id": { "$in": unknown } }, FindOptions::default()).await? {
                let head = Head { cursor: Cursor::read(row.head)?, age: row.age };
                heads.insert(UserId::read(row.id)?, (head, 0));
            }
        }
        let age = heads.values().map(|(head, _)| head.age).max().unwrap_or(DateTime::from_millis(0));
        Ok(Self { heads, age, rows: Vec::new(), fanouts: Vec::new() })
    }

    /// Puts a happening in the feeds of users.
    pub(super) fn announce(&mut self, chat: ChatId, at: UnixMillis, what: Happening, users: &[UserId]) {
        let mut to = Vec::with_capacity(users.len());
        for &user in users {
            // Whoever has no feed is found out by `write`.
            let nowhere = Head { cursor: Cursor(0), age: DateTime::from_millis(0) };
            let (head, moved) = self.heads.entry(user).or_insert((nowhere, 0));
            head.cursor = head.cursor.next();
            *moved += 1;
            to.push((user, head.cursor));
        }
        self.age = self.age.max(at.write());
        self.rows.push(row(chat, at, &what, &to));
        self.fanouts.push(Fanout { chat, at, what, to });
    }

    /// Writes everything announced, and has the sink told of it after the commit.
    pub(super) async fn write(self, act: &mut Act) -> Result<()> {
        self.write_to_know(act).await.map(drop)
    }

    /// The same; says where the feeds are after the commit.
    pub(super) async fn write_to_know(mut self, act: &mut Act) -> Result<impl Iterator<Item = (UserId, Head)> + use<>> {
        // All of one age, so that feeds which move by as many steps are one statement.
        let by = act.node.expect("the writer says whose act it is").0;
        for row in &mut self.rows {
            (row.age, row.by) = (self.age, by);
        }
        act.insert(&EVENTS, &self.rows).await?;
        let mut steps: BTreeMap<u32, Vec<Uuid>> = BTreeMap::new();
        let moved = self.heads.iter().filter(|(_, (_, moved))| *moved > 0);
        moved.for_each(|(user, &(_, moved))| steps.entry(moved).or_default().push(user.write()));
        let feeds: usize = steps.values().map(Vec::len).sum();
        let update = |(moved, users): (u32, Vec<Uuid>)| {
            let change = doc! { "$inc": { "head": i64::from(moved) }, "$set": { "age": self.age } };
            doc! { "q": { "_id": { "$in": users } }, "u": change, "multi": true }
        };
        let found = act.update_all(&FEEDS, steps.into_iter().map(update).collect()).await?;
        if usize::try_from(found) != Ok(feeds) {
            return Err(missing("feed"));
        }
        act.fanouts.append(&mut self.fanouts);
        let age = self.age;
        Ok(self
            .heads
            .into_iter()
            .map(move |(user, (head, moved))| (user, if moved > 0 { Head { age, ..head } } else { head })))
    }
}

fn row(chat: ChatId, at: UnixMillis, what: &Happening, to: &[(UserId, Cursor)]) -> EventRow {
    let (kind, seq, subject, revision) = match what {
        Happening::Posted(message) => (KindRow::Posted, Some(message.seq), None, None),
        Happening::Changed(message) => (KindRow::Changed, Some(message.seq), None, Some(message.revision)),
        Happening::Joined(user) => (KindRow::Joined, None, Some(user.write()), None),
        Happening::Left(user) => (KindRow::Left, None, Some(user.write()), None),
        Happening::P2p(session) => (KindRow::P2p, None, Some(session.write()), None),
        Happening::Read(_, seq) => (KindRow::Read, Some(*seq), None, None),
    };
    EventRow {
        id: ObjectId::new(),
        by: 0,
        chat: chat.write(),
        at: at.write(),
        age: at.write(),
        kind,
        seq: seq.map(Field::write),
        subject,
        revision: revision.map(Field::write),
        to: to.iter().map(|(user, cursor)| EntryRow { user: user.write(), cursor: cursor.write() }).collect(),
    }
}

impl EventRow {
    /// The act as the sink is told of it; `None` of one about a message that is not there.
    pub(super) fn fanout(self, messages: &HashMap<(ChatId, Seq), Arc<Message>>) -> Result<Option<Fanout>> {
        let chat = ChatId::read(self.chat)?;
        let seq: Option<Seq> = maybe(self.seq)?;
        let message = || seq.and_then(|seq| messages.get(&(chat, seq))).cloned();
        let mut to = Vec::with_capacity(self.to.len());
        for entry in self.to {
            to.push((UserId::read(entry.user)?, Cursor::read(entry.cursor)?));
        }
        let what = match self.kind {
            KindRow::Posted => message().map(Happening::Posted),
            KindRow::Changed => message().map(Happening::Changed),
            KindRow::Joined => maybe(self.subject)?.map(Happening::Joined),
            KindRow::Left => maybe(self.subject)?.map(Happening::Left),
            KindRow::P2p => maybe(self.subject)?.map(Happening::P2p),
            KindRow::Read => to.first().zip(seq).map(|(&(user, _), seq)| Happening::Read(user, seq)),
        };
        let at = Field::read(self.at)?;
        Ok(what.map(|what| Fanout { chat, at, what, to }))
    }
}

/// The messages that these acts are about, as they are now.
pub(super) async fn messages(
    act: &mut Act,
    rows: impl Iterator<Item = &EventRow>,
) -> Result<HashMap<(ChatId, Seq), Arc<Message>>> {
    let mut places = Vec::new();
    for row in rows {
        if let (KindRow::Posted | KindRow::Changed, Some(seq)) = (row.kind, row.seq) {
            places.push((ChatId::read(row.chat)?, Seq::read(seq)?));
        }
    }
    let messages = messages::by_seqs(act, &places).await?;
    Ok(messages.into_iter().map(|(place, message)| (place, Arc::new(message))).collect())
}

/// Makes an account's empty feed.
pub(super) async fn begin_feed(act: &mut Act, user: UserId) -> Result<()> {
    act.insert(&FEEDS, &[FeedRow { id: user.write(), head: 0, pruned: 0, age: DateTime::from_millis(0) }]).await
}

/// A user's events after a cursor, oldest first.
pub(super) async fn after(act: &mut Act, user: UserId, after: Cursor, limit: u32) -> Result<Feed<Vec<Event>>> {
    loop {
        let (head, pruned) = ends(act, user).await?;
        if !(pruned..=head).contains(&after) {
            return Ok(Feed::Gone(head));
        }
        let upto = Cursor(after.0.saturating_add(limit.into())).min(head);
        let rows = between(act, user, after, upto).await?;
        // Fewer when some have been forgotten since; then the feed's end has moved, and is seen to have.
        if rows.len() as u64 == upto.0 - after.0 {
            return Ok(Feed::Events(read(act, rows).await?));
        }
        if ends(act, user).await?.1 == pruned {
            return Err(corrupt("a feed with a gap"));
        }
    }
}

/// The acts with these places in a feed, in its order. As places are dense, their bounds say how many there are; nothing
/// has to be sorted by the database, which could not do so by an index over arrays.
pub(super) async fn between(act: &mut Act, user: UserId, after: Cursor, upto: Cursor) -> Result<Vec<EventRow>> {
    if after == upto {
        return Ok(Vec::new());
    }
    let places = doc! { "user": user.write(), "cursor": { "$gt": after.write(), "$lte": upto.write() } };
    let own = doc! { "$elemMatch": { "user": user.write() } };
    let mut projection: Document = ["by", "chat", "at", "age", "kind", "seq", "subject", "revision"]
        .into_iter()
        .map(|field| (field.to_owned(), 1.into()))
        .collect();
    projection.insert("to", own);
    let options = FindOptions::builder().projection(projection).build();
    let mut rows = act.all(&EVENTS, doc! { "to": { "$elemMatch": places } }, options).await?;
    rows.sort_by_key(|row| row.to.first().map(|entry| entry.cursor));
    Ok(rows)
}

async fn read(act: &mut Act, rows: Vec<EventRow>) -> Result<Vec<Event>> {
    let mut places = Vec::new();
    for row in &rows {
        if let (KindRow::Posted, Some(seq)) = (row.kind, row.seq) {
            let place = PlaceRow { chat: row.chat, seq };
            places.push((ChatId::read(place.chat)?, Seq::read(place.seq)?));
        }
    }
    let mut messages = messages::by_seqs(act, &places).await?;
    let event = |row: EventRow| {
        let chat = ChatId::read(row.chat)?;
        let seq: Option<Seq> = maybe(row.seq)?;
        let subject = row.subject;
        let what = match row.kind {
            KindRow::Posted => seq.and_then(|seq| messages.remove(&(chat, seq))).map(Entry::Posted),
            KindRow::Changed => seq.zip(maybe(row.revision)?).map(|(seq, revision)| Entry::Changed(seq, revision)),
            KindRow::Joined => maybe(subject)?.map(Entry::Joined),
            KindRow::Left => maybe(subject)?.map(Entry::Left),
            KindRow::P2p => maybe(subject)?.map(Entry::P2p),
            KindRow::Read => seq.map(Entry::Read),
        };
        let what = what.ok_or_else(|| corrupt("an event that does not say of what"))?;
        let cursor = row.to.first().map_or(Ok(Cursor(0)), |entry| Cursor::read(entry.cursor))?;
        Ok(Event { cursor, at: Field::read(row.at)?, chat, what })
    };
    rows.into_iter().map(event).collect()
}

/// The cursor of a user's newest event.
pub(super) async fn head(act: &mut Act, user: UserId) -> Result<Cursor> {
    Ok(ends(act, user).await?.0)
}

/// The newest event's cursor, and the newest forgotten one's.
async fn ends(act: &mut Act, user: UserId) -> Result<(Cursor, Cursor)> {
    match act.one(&FEEDS, doc! { "_id": user.write() }).await? {
        Some(feed) => Ok((Field::read(feed.head)?, Field::read(feed.pruned)?)),
        None => Ok(Default::default()),
    }
}

/// Forgets some of the acts from before this moment; says how many events they were, or `None` when none is left.
pub(super) async fn prune(act: &mut Act, before: UnixMillis) -> Result<Option<u64>> {
    #[derive(Deserialize)]
    struct Oldest {
        #[serde(rename = "_id")]
        id: ObjectId,
        to: Vec<EntryRow>,
    }
    let options =
        FindOptions::builder().sort(doc! { "age": 1 }).limit(PRUNED_AT_ONCE).projection(doc! { "to": 1 }).build();
    let oldest: Vec<Oldest> = act.all_as(&EVENTS, doc! { "age": { "$lt": before.write() } }, options).await?;
    if oldest.is_empty() {
        return Ok(None);
    }
    let mut upto: BTreeMap<[u8; 16], EntryRow> = BTreeMap::new();
    for &entry in oldest.iter().flat_map(|act| &act.to) {
        let last = upto.entry(entry.user.bytes()).or_insert(entry);
        last.cursor = last.cursor.max(entry.cursor);
    }
    let update = |entry: EntryRow| doc! { "q": { "_id": entry.user }, "u": { "$max": { "pruned": entry.cursor } } };
    act.update_all(&FEEDS, upto.into_values().map(update).collect()).await?;
    let ids: Vec<ObjectId> = oldest.iter().map(|act| act.id).collect();
    act.delete(&EVENTS, doc! { "_id": { "$in": ids } }).await?;
    Ok(Some(oldest.iter().map(|act| act.to.len() as u64).sum()))
}
