//! Transactions that a dead server left open.
//!
//! The database does not end a transaction with the connection it came by: for [`FORGOTTEN`](super::transaction::FORGOTTEN)
//! it keeps what was written in it from everybody else, and a chat in which a server was killed with `kill -9` would take no
//! post for as long. So whoever is kept from writing for [`HELD`] looks for transactions of servers in which nothing happens,
//! and has the database undo them. That is safe, whoever they belong to: nothing of them is committed, and a server that was
//! only slow is told so, and begins again.

use super::{connection::SERVER, transaction::Result};
use futures::TryStreamExt;
use mongodb::{
    Database,
    bson::{Document, Uuid, doc},
    options::ReadConcern,
};
use serde::Deserialize;
use std::time::Duration;

/// How long an act is kept from writing before it looks for the reason, and how long a transaction is left alone in which
/// nothing happens. A server that lives thinks for milliseconds between two statements.
pub(super) const HELD: Duration = Duration::from_secs(2);

/// A session with a transaction in which nothing happens.
#[derive(Deserialize)]
struct Idle {
    lsid: SessionId,
}

#[derive(Deserialize)]
struct SessionId {
    id: Uuid,
}

/// Has the database undo the transactions of servers in which nothing has happened for [`HELD`].
pub(super) async fn undo(db: &Database) -> Result<()> {
    let admin = db.client().database("admin");
    // Of the same user of the database: nobody needs a right to see or to end what is their own.
    let idle = doc! {
        "type": "idleSession",
        // A server's transactions are there to write. An export's is not, and may wait for long for whoever takes what it reads;
        // the database shows the same locks of both.
        "appName": SERVER,
        "transaction.timeInactiveMicros": { "$gte": i64::try_from(HELD.as_micros()).unwrap_or(i64::MAX) },
    };
    let stages = [
        doc! { "$currentOp": { "allUsers": false, "idleSessions": true } },
        doc! { "$match": idle },
        doc! { "$project": { "lsid": 1 } },
    ];
    let idle: Vec<Idle> =
        admin.aggregate(stages).read_concern(ReadConcern::local()).with_type::<Idle>().await?.try_collect().await?;
    if idle.is_empty() {
        return Ok(());
    }
    let sessions: Vec<Document> = idle.into_iter().map(|idle| doc! { "id": idle.lsid.id }).collect();
    tracing::warn!(
        sessions = sessions.len(),
        "transactions were left open, by a server that died perhaps; they are undone"
    );
    admin.run_command(doc! { "killSessions": sessions }).await?;
    Ok(())
}
