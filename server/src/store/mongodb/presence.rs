//! Who is connected to which server, and which servers there are. A server says of itself that it will be there for a while, by
//! the database's clock; who is connected to one that has not said so counts no more.

use super::{
    field::{Field, corrupt},
    peers::FORGOTTEN_SECONDS,
    schema::{Collection, index},
    transaction::{Act, Failure, Result, Table},
};
use crate::store::{
    StoreError,
    news::{News, Node},
};
use futures::TryStreamExt;
use hypersend_protocol::id::UserId;
use mongodb::{
    Database,
    bson::{Bson, DateTime, Document, Uuid, deserialize_from_bson, doc},
    options::{FindOptions, ReturnDocument},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Who is connected where. All of a document is in its id, so that a deletion tells whose it was.
pub(super) const PRESENCE: Table<PresenceRow> = Table::new("presence");

/// The servers that are there.
const NODES: Table<NodeRow> = Table::new("nodes");

/// A user's being connected to a server.
#[derive(Serialize, Deserialize)]
pub(super) struct PresenceRow {
    #[serde(rename = "_id")]
    id: WhereRow,
}

/// Which server and who; the order of the fields is that of the comparison.
#[derive(Serialize, Deserialize)]
struct WhereRow {
    node: i64,
    user: Uuid,
}

/// A server, and until when it counts as there.
#[derive(Serialize, Deserialize)]
struct NodeRow {
    #[serde(rename = "_id")]
    id: i64,
    until: DateTime,
}

/// How the collections are to be.
pub(super) fn collections() -> Vec<Collection> {
    let forget = doc! { "expireAfterSeconds": FORGOTTEN_SECONDS };
    vec![
        Collection::new(&PRESENCE, &[("_id", "object")], vec![]),
        Collection::new(
            &NODES,
            &[("_id", "long"), ("until", "date")],
            vec![index("nodes_by_end", doc! { "until": 1 }, forget)],
        ),
    ]
}

fn place(node: Node, user: impl Into<Bson>) -> Document {
    doc! { "node": node.0, "user": user }
}

/// A filter for everybody who is connected to a server.
fn everybody_on(node: Node) -> Document {
    doc! { "_id": { "$gt": place(node, Bson::MinKey), "$lt": place(node, Bson::MaxKey) } }
}

/// What the coming or going of a document says to `node`.
pub(super) fn news(key: &Document, node: Node, came: bool) -> Result<News> {
    let id = key.get("_id").cloned().ok_or_else(|| corrupt("a change of no document"))?;
    let id: WhereRow = deserialize_from_bson(id)?;
    let user = UserId::read(id.user)?;
    Ok(if id.node == node.0 { News::Forgotten(user) } else { News::Present(Node(id.node), user, came) })
}

/// Writes who is connected to this server, and removes who is not.
pub(super) async fn set(db: &Database, node: Node, users: &[(UserId, bool)]) -> Result<()> {
    let of = |present| {
        let users = users.iter().filter(move |&&(_, is_present)| is_present == present);
        users.map(|(user, _)| place(node, user.write())).collect::<Vec<_>>()
    };
    let (come, gone) = (of(true), of(false));
    if !gone.is_empty() {
        db.collection::<Document>(PRESENCE.name).delete_many(doc! { "_id": { "$in": gone } }).await?;
    }
    if !come.is_empty() {
        // Nothing is changed about those that are there: others have heard of them.
        let written = come.into_iter().map(|id| doc! { "q": { "_id": id }, "u": {}, "upsert": true });
        let command = doc! {
            "update": PRESENCE.name,
            "updates": written.collect::<Vec<_>>(),
            "ordered": false,
            "writeConcern": { "w": "majority" },
        };
        let reply = db.run_command(command).await?;
        if let Ok(errors) = reply.get_array("writeErrors") {
            return Err(StoreError::Unavailable(format!("write who is connected: {errors:?}").into()).into());
        }
    }
    Ok(())
}

/// Who is connected to a server.
pub(super) async fn on(act: &mut Act, node: Node) -> Result<Vec<UserId>> {
    let rows = act.all(&PRESENCE, everybody_on(node), FindOptions::default()).await?;
    rows.into_iter().map(|row| UserId::read(row.id.user)).collect()
}

/// Says until when this server counts as there; gives the others that do now.
pub(super) async fn renew(db: &Database, node: Node, lasting: Duration) -> Result<Vec<Node>> {
    let lasting = i64::try_from(lasting.as_millis()).unwrap_or(i64::MAX);
    let nodes = db.collection::<NodeRow>(NODES.name);
    let step = doc! { "$set": { "until": { "$add": ["$$NOW", lasting] } } };
    let renewed = nodes.find_one_and_update(doc! { "_id": node.0 }, vec![step]);
    let renewed = renewed.upsert(true).return_document(ReturnDocument::After).await?;
    let until = renewed.ok_or_else(|| Failure::Duplicate("this server: made and gone".to_owned()))?.until;
    let now = DateTime::from_millis(until.timestamp_millis().saturating_sub(lasting));
    let rows: Vec<NodeRow> = nodes.find(doc! { "until": { "$gt": now } }).await?.try_collect().await?;
    Ok(rows.into_iter().map(|row| Node(row.id)).filter(|&other| other != node).collect())
}

/// Says that this server is no longer there.
pub(super) async fn take_leave(db: &Database, node: Node) -> Result<()> {
    db.collection::<Document>(PRESENCE.name).delete_many(everybody_on(node)).await?;
    db.collection::<NodeRow>(NODES.name).delete_one(doc! { "_id": node.0 }).await?;
    Ok(())
}

/// Removes who was connected to servers that are no longer there. Looks at one document of each server.
pub(super) async fn prune(db: &Database) -> Result<u64> {
    let (presence, nodes) = (db.collection::<PresenceRow>(PRESENCE.name), db.collection::<NodeRow>(NODES.name));
    let (mut pruned, mut behind) = (0, doc! { "node": Bson::MinKey });
    while let Some(row) =
        presence.find_one(doc! { "_id": { "$gt": behind } }).sort(doc! { "_id": 1 }).await.map_err(Failure::from)?
    {
        let node = Node(row.id.node);
        // Asked after the document was seen: a server says that it is there before it says who is connected to it.
        let alive = doc! { "_id": node.0, "$expr": { "$gt": ["$until", "$$NOW"] } };
        if nodes.find_one(alive).await?.is_none() {
            pruned += presence.delete_many(everybody_on(node)).await?.deleted_count;
        }
        behind = place(node, Bson::MaxKey);
    }
    Ok(pruned)
}
