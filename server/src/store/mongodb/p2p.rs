//! Transfers from one client to another. What a change comes to is decided by [`P2pChange::apply`]; this file only carries
//! it out.

use super::{
    chats,
    events::Feeds,
    field::{Field, read_text},
    schema::{Collection, index},
    transaction::{Act, Result, Table},
};
use crate::store::{
    events::Happening,
    p2p::{NewP2p, Offered, P2pChange, P2pChanged},
};
use hypersend_protocol::{
    id::{ClientId, P2pId, UserId},
    name::FileName,
    p2p::{OfferedFile, P2pPath, P2pSession, P2pStatus},
    time::UnixMillis,
};
use mongodb::{
    bson::{DateTime, Document, Uuid, doc},
    options::FindOptions,
};
use serde::{Deserialize, Serialize};

/// Sessions. `open` is there as long as they are not over.
pub(super) const P2P: Table<P2pRow> = Table::new("p2p_sessions");

/// A session's document.
#[derive(Serialize, Deserialize)]
pub(super) struct P2pRow {
    #[serde(rename = "_id")]
    pub(super) id: Uuid,
    pub(super) client_id: Uuid,
    chat: Uuid,
    sender: Uuid,
    receiver: Uuid,
    files: Vec<FileRow>,
    status: StatusRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathRow>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    open: bool,
    created: DateTime,
    updated: DateTime,
}

#[derive(Serialize, Deserialize)]
struct FileRow {
    name: String,
    size: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    folder: bool,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StatusRow {
    Offered,
    Accepted,
    Declined,
    Cancelled,
    Finished,
    Failed,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PathRow {
    Direct,
    Relayed,
    Stored,
}

impl From<P2pStatus> for StatusRow {
    fn from(status: P2pStatus) -> Self {
        match status {
            P2pStatus::Offered => Self::Offered,
            P2pStatus::Accepted => Self::Accepted,
            P2pStatus::Declined => Self::Declined,
            P2pStatus::Cancelled => Self::Cancelled,
            P2pStatus::Finished => Self::Finished,
            P2pStatus::Failed => Self::Failed,
        }
    }
}

impl From<StatusRow> for P2pStatus {
    fn from(status: StatusRow) -> Self {
        match status {
            StatusRow::Offered => Self::Offered,
            StatusRow::Accepted => Self::Accepted,
            StatusRow::Declined => Self::Declined,
            StatusRow::Cancelled => Self::Cancelled,
            StatusRow::Finished => Self::Finished,
            StatusRow::Failed => Self::Failed,
        }
    }
}

impl From<P2pPath> for PathRow {
    fn from(path: P2pPath) -> Self {
        match path {
            P2pPath::Direct => Self::Direct,
            P2pPath::Relayed => Self::Relayed,
            P2pPath::Stored => Self::Stored,
        }
    }
}

impl From<PathRow> for P2pPath {
    fn from(path: PathRow) -> Self {
        match path {
            PathRow::Direct => Self::Direct,
            PathRow::Relayed => Self::Relayed,
            PathRow::Stored => Self::Stored,
        }
    }
}

/// How the collection is to be.
pub(super) fn collection() -> Collection {
    let fields = [
        ("_id", "binData"),
        ("client_id", "binData"),
        ("chat", "binData"),
        ("sender", "binData"),
        ("receiver", "binData"),
        ("files", "array"),
        ("status", "string"),
        ("path?", "string"),
        ("open?", "bool"),
        ("created", "date"),
        ("updated", "date"),
    ];
    let indexes = vec![
        index("p2p_by_client_id", doc! { "client_id": 1, "sender": 1 }, doc! { "unique": true }),
        index("p2p_by_sender", doc! { "sender": 1, "_id": 1 }, doc! {}),
        index("p2p_by_receiver", doc! { "receiver": 1, "_id": 1 }, doc! {}),
        index(
            "p2p_open_by_sender",
            doc! { "sender": 1, "open": 1 },
            doc! { "partialFilterExpression": { "open": true } },
        ),
        index("p2p_by_update", doc! { "updated": 1 }, doc! {}),
    ];
    Collection::new(&P2P, &fields, indexes)
}

impl P2pRow {
    /// The document of a session that its sender calls so.
    pub(super) fn new(session: &P2pSession, client_id: ClientId) -> Self {
        let file = |file: &OfferedFile| FileRow {
            name: file.name.as_str().to_owned(),
            size: file.size.write(),
            folder: file.folder,
        };
        Self {
            id: session.id.write(),
            client_id: client_id.write(),
            chat: session.chat.write(),
            sender: session.sender.write(),
            receiver: session.receiver.write(),
            files: session.files.iter().map(file).collect(),
            status: session.status.into(),
            path: session.path.map(Into::into),
            open: !session.status.is_over(),
            created: session.created.write(),
            updated: session.updated.write(),
        }
    }

    /// The session.
    pub(super) fn read(self) -> Result<P2pSession> {
        let file = |FileRow { name, size, folder }| {
            Ok(OfferedFile { name: read_text(&name, FileName::parse)?, size: Field::read(size)?, folder })
        };
        Ok(P2pSession {
            id: Field::read(self.id)?,
            chat: Field::read(self.chat)?,
            sender: Field::read(self.sender)?,
            receiver: Field::read(self.receiver)?,
            files: self.files.into_iter().map(file).collect::<Result<_>>()?,
            status: self.status.into(),
            path: self.path.map(Into::into),
            created: Field::read(self.created)?,
            updated: Field::read(self.updated)?,
        })
    }
}

/// Makes an offer, unless its sender made one with the same client id before. Two at once of one sender move the same feed,
/// so that one of them begins again and counts the other.
pub(super) async fn offer(act: &mut Act, new: NewP2p) -> Result<Offered> {
    let chat = chats::row(act, new.chat).await?.filter(|chat| chat.member(new.sender).is_some());
    let Some(chat) = chat else { return Ok(Offered::NoChat) };
    let made = doc! { "client_id": new.client_id.write(), "sender": new.sender.write() };
    if let Some(before) = act.one(&P2P, made).await? {
        return Ok(Offered::Made(before.read()?));
    }
    if new.receiver == new.sender || chat.member(new.receiver).is_none() {
        return Ok(Offered::NoReceiver);
    }
    if open(act, new.sender, new.max_open).await? >= new.max_open {
        return Ok(Offered::TooMany);
    }
    let session = P2pSession {
        id: new.id,
        chat: new.chat,
        sender: new.sender,
        receiver: new.receiver,
        files: new.files.clone(),
        status: P2pStatus::Offered,
        path: None,
        created: new.now,
        updated: new.now,
    };
    act.insert(&P2P, &[P2pRow::new(&session, new.client_id)]).await?;
    tell(act, &session).await?;
    Ok(Offered::Made(session))
}

/// How many of a sender's offers are open, counted no further than that.
async fn open(act: &mut Act, sender: UserId, most: usize) -> Result<usize> {
    if most == 0 {
        return Ok(0);
    }
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let options = FindOptions::builder().projection(doc! { "_id": 1 }).limit(limit).build();
    let filter = doc! { "sender": sender.write(), "open": true };
    Ok(act.all_as::<_, Document>(&P2P, filter, options).await?.len())
}

async fn by_id(act: &mut Act, id: P2pId) -> Result<Option<P2pSession>> {
    act.one(&P2P, doc! { "_id": id.write() }).await?.map(P2pRow::read).transpose()
}

/// A session, to either side.
pub(super) async fn to_viewer(act: &mut Act, id: P2pId, viewer: UserId) -> Result<Option<P2pSession>> {
    let session = by_id(act, id).await?;
    Ok(session.filter(|session| [session.sender, session.receiver].contains(&viewer)))
}

/// The sessions in which a user sends or receives, newest first, older than `before`.
pub(super) async fn of(act: &mut Act, user: UserId, before: Option<P2pId>, limit: u32) -> Result<Vec<P2pSession>> {
    let side = |side: &str| {
        let mut filter = doc! { side: user.write() };
        if let Some(before) = before {
            filter.insert("_id", doc! { "$lt": before.write() });
        }
        filter
    };
    let filter = doc! { "$or": [side("sender"), side("receiver")] };
    let options = FindOptions::builder().sort(doc! { "_id": -1 }).limit(i64::from(limit)).build();
    act.all(&P2P, filter, options).await?.into_iter().map(P2pRow::read).collect()
}

/// Changes a session.
pub(super) async fn change(act: &mut Act, change: P2pChange) -> Result<P2pChanged> {
    let Some(session) = by_id(act, change.id).await? else { return Ok(P2pChanged::NoSession) };
    let (outcome, is_new) = change.apply(&session);
    if let (P2pChanged::Changed(session), true) = (&outcome, is_new) {
        let status = mongodb::bson::serialize_to_bson(&StatusRow::from(session.status))?;
        let mut set = doc! { "status": status, "updated": session.updated.write() };
        if let Some(path) = session.path {
            set.insert("path", mongodb::bson::serialize_to_bson(&PathRow::from(path))?);
        }
        let mut update = doc! { "$set": set };
        if session.status.is_over() {
            update.insert("$unset", doc! { "open": 1 });
        }
        act.update(&P2P, doc! { "_id": session.id.write() }, update).await?;
        tell(act, session).await?;
    }
    Ok(outcome)
}

/// Forgets sessions that have not changed since this moment; says how many.
pub(super) async fn prune(act: &mut Act, before: UnixMillis) -> Result<u64> {
    act.delete(&P2P, doc! { "updated": { "$lt": before.write() } }).await
}

async fn tell(act: &mut Act, session: &P2pSession) -> Result<()> {
    let told = [session.sender, session.receiver];
    let mut feeds = Feeds::load(act, told.iter()).await?;
    feeds.announce(session.chat, session.updated, Happening::P2p(session.id), &told);
    feeds.write(act).await
}
