//! The relays that are there. A relay counts for a while after it last said so, by the database's clock, so that the servers'
//! own need not agree; later the database forgets it by itself.

use super::{
    field::{Field, corrupt, read_text},
    peers::FORGOTTEN_SECONDS,
    schema::{Collection, index},
    transaction::{Act, Failure, Result, Table},
};
use crate::store::relays::Relay;
use hypersend_protocol::{
    id::RelayId,
    name::{RelayHost, RelayName},
};
use mongodb::{
    Database,
    bson::{Bson, DateTime, Uuid, doc},
    options::FindOptions,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The relays.
const RELAYS: Table<RelayRow> = Table::new("relays");

/// A relay's document. `open` is there as long as it takes sessions; `load` is [`Relay::load`].
#[derive(Serialize, Deserialize)]
struct RelayRow {
    #[serde(rename = "_id")]
    id: Uuid,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    ports: Vec<i64>,
    sessions: i64,
    max_sessions: i64,
    open: bool,
    load: i64,
    until: DateTime,
}

/// How the collection is to be.
pub(super) fn collection() -> Collection {
    let fields = [
        ("_id", "binData"),
        ("name", "string"),
        ("host?", "string"),
        ("ports", "array"),
        ("sessions", "long"),
        ("max_sessions", "long"),
        ("open", "bool"),
        ("load", "long"),
        ("until", "date"),
    ];
    let forget = doc! { "expireAfterSeconds": FORGOTTEN_SECONDS };
    let indexes = vec![
        index("relays_by_load", doc! { "open": 1, "load": 1, "_id": 1 }, doc! {}),
        index("relays_by_end", doc! { "until": 1 }, forget),
    ];
    Collection::new(&RELAYS, &fields, indexes)
}

/// Takes note of one.
pub(super) async fn put(db: &Database, relay: Relay, lasting: Duration) -> Result<()> {
    let lasting = i64::try_from(lasting.as_millis()).unwrap_or(i64::MAX);
    let host =
        relay.host.as_ref().map_or_else(|| Bson::from("$$REMOVE"), |host| doc! { "$literal": host.as_str() }.into());
    let step = doc! { "$set": {
        "name": { "$literal": relay.name.as_str() },
        "host": host,
        "ports": relay.ports.iter().map(|&port| i64::from(port)).collect::<Vec<_>>(),
        "sessions": i64::from(relay.sessions),
        "max_sessions": i64::from(relay.max_sessions),
        "open": relay.has_room(),
        "load": i64::from(relay.load()),
        "until": { "$add": ["$$NOW", lasting] },
    } };
    let relays = db.collection::<RelayRow>(RELAYS.name);
    loop {
        match relays
            .update_one(doc! { "_id": relay.id.write() }, vec![step.clone()])
            .upsert(true)
            .await
            .map_err(Failure::from)
        {
            Ok(_) => return Ok(()),
            // Another has just made it: now it is there.
            Err(Failure::Duplicate(_)) => {}
            Err(failure) => return Err(failure),
        }
    }
}

/// Those that take sessions, the least loaded first.
pub(super) async fn list(act: &mut Act, limit: u32) -> Result<Vec<Relay>> {
    let filter = doc! { "open": true, "$expr": { "$gt": ["$until", "$$NOW"] } };
    let options = FindOptions::builder().sort(doc! { "load": 1, "_id": 1 }).limit(i64::from(limit)).build();
    act.all(&RELAYS, filter, options).await?.into_iter().map(RelayRow::read).collect()
}

impl RelayRow {
    fn read(self) -> Result<Relay> {
        let small = |number: i64| u32::try_from(number).map_err(|_| corrupt("a number out of place"));
        let port = |port: i64| u16::try_from(port).map_err(|_| corrupt("a port out of place"));
        Ok(Relay {
            id: RelayId::read(self.id)?,
            name: read_text(&self.name, RelayName::parse)?,
            host: self.host.map(|host| read_text(&host, RelayHost::parse)).transpose()?,
            ports: self.ports.into_iter().map(port).collect::<Result<_>>()?,
            sessions: small(self.sessions)?,
            max_sessions: small(self.max_sessions)?,
            draining: false,
        })
    }
}
