//! The registers of transfers. The database forgets them by itself, and other servers hear of each change by the news.

use super::{
    field::{Field, corrupt},
    schema::{Collection, index},
    transaction::{Act, Failure, Result, Table},
};
use crate::store::{
    news::{News, Node},
    signals::{FORGOTTEN_AFTER, Holder, Place, Register},
};
use hypersend_protocol::{id::P2pId, relay::ticket::Side, signal::SignalValue};
use mongodb::{
    Database,
    bson::{Binary, DateTime, Document, Uuid, deserialize_from_bson, doc, spec::BinarySubtype},
    options::ReturnDocument,
};
use serde::{Deserialize, Serialize};

/// The registers.
pub(super) const SIGNALS: Table<SignalRow> = Table::new("signals");

/// A register's document. `by` is the server that wrote it.
#[derive(Serialize, Deserialize)]
pub(super) struct SignalRow {
    #[serde(rename = "_id")]
    id: PlaceRow,
    by: i64,
    holder: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Binary>,
    at: DateTime,
}

/// Which side of which session; all that a change stream tells of a document is its id.
#[derive(Serialize, Deserialize)]
struct PlaceRow {
    session: Uuid,
    side: SideRow,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SideRow {
    Sender,
    Receiver,
}

/// How the collection is to be.
pub(super) fn collection() -> Collection {
    let fields = [("_id", "object"), ("by", "long"), ("holder", "long"), ("value?", "binData"), ("at", "date")];
    let seconds = i64::try_from(FORGOTTEN_AFTER.as_secs()).expect("an hour");
    let forget = index("signals_by_age", doc! { "at": 1 }, doc! { "expireAfterSeconds": seconds });
    Collection::new(&SIGNALS, &fields, vec![forget])
}

fn id((session, side): Place) -> Document {
    let side = match side {
        Side::Sender => "sender",
        Side::Receiver => "receiver",
    };
    doc! { "session": session.write(), "side": side }
}

/// What a change of a document says.
pub(super) fn news(key: &Document) -> Result<News> {
    let id = key.get("_id").cloned().ok_or_else(|| corrupt("a change of no document"))?;
    let PlaceRow { session, side } = deserialize_from_bson(id)?;
    let side = match side {
        SideRow::Sender => Side::Sender,
        SideRow::Receiver => Side::Receiver,
    };
    Ok(News::Signal(P2pId::read(session)?, side))
}

fn value(row: Option<Binary>) -> Result<Option<SignalValue>> {
    let parse = |row: Binary| SignalValue::new(row.bytes).map_err(|error| corrupt(&error.to_string()));
    row.map(parse).transpose()
}

/// Makes somebody its holder; gives its value.
pub(super) async fn open(db: &Database, node: Node, place: Place, holder: Holder) -> Result<Option<SignalValue>> {
    let signals = db.collection::<SignalRow>(SIGNALS.name);
    let change = doc! { "$set": { "by": node.0, "holder": holder.0, "at": DateTime::now() } };
    loop {
        let opened = signals.find_one_and_update(doc! { "_id": id(place) }, change.clone());
        match opened.upsert(true).return_document(ReturnDocument::After).await.map_err(Failure::from) {
            Ok(row) => return value(row.and_then(|row| row.value)),
            // Another has just made it: now it is there.
            Err(Failure::Duplicate(_)) => {}
            Err(failure) => return Err(failure),
        }
    }
}

/// Sets it for its holder; `false` to anybody else.
pub(super) async fn set(db: &Database, node: Node, place: Place, register: Register) -> Result<bool> {
    let signals = db.collection::<Document>(SIGNALS.name);
    let own = doc! { "_id": id(place), "holder": register.holder.0 };
    let mut row = doc! { "_id": id(place), "by": node.0, "holder": register.holder.0, "at": DateTime::now() };
    if let Some(value) = register.value {
        row.insert("value", Binary { subtype: BinarySubtype::Generic, bytes: value.into_bytes() });
    }
    // Replaced as a whole, so that the news have the server in them; made anew when it was forgotten.
    match signals.replace_one(own, row).upsert(true).await.map_err(Failure::from) {
        Ok(_) => Ok(true),
        // It is there and somebody else's.
        Err(Failure::Duplicate(_)) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// What it says, and to whom it belongs.
pub(super) async fn get(act: &mut Act, place: Place) -> Result<Option<Register>> {
    let Some(row) = act.one(&SIGNALS, doc! { "_id": id(place) }).await? else { return Ok(None) };
    Ok(Some(Register { holder: Holder(row.holder), value: value(row.value)? }))
}
