//! Reaching a database that will do: a replica set (or a router before some) of a version that has transactions.

use super::transaction::Failure;
use crate::{
    settings::MongodbUri,
    store::{Result, StoreError},
};
use mongodb::{
    Client, Database,
    bson::{Bson, Document, doc},
    error::ErrorKind,
    event::{EventHandler, command::CommandEvent},
    options::{ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern},
};
use std::time::Duration;

/// The database's name when the URI has none.
const DEFAULT_DATABASE: &str = "hypersend";

/// The oldest version that makes collections and their indexes as they are needed, and has transactions throughout.
const OLDEST: [i32; 2] = [4, 4];

/// How long to look for a primary, unless the URI says: an election may come between.
const SELECTION_PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may take to be made, unless the URI says.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// What makes a replica set out of a single `mongod`.
const REMEDY: &str = "start mongod with --replSet rs0 and run once: mongosh --eval 'rs.initiate()'";

/// What a server calls itself to the database: servers know each other's transactions by it.
pub(super) const SERVER: &str = "hypersend-server";

/// What the commands beside the server call themselves: migrate, export, import, doctor.
pub(super) const COMMAND: &str = "hypersend-server command";

/// Connects under one of those names, and makes sure that the database will do. Commands are shown to the watcher.
pub(super) async fn connect(
    uri: &MongodbUri,
    name: &str,
    watcher: Option<EventHandler<CommandEvent>>,
) -> Result<Database> {
    let mut options =
        ClientOptions::parse(uri.as_str()).await.map_err(|error| unfit(uri.hide_secrets_in(&error.to_string())))?;
    options.server_selection_timeout.get_or_insert(SELECTION_PATIENCE);
    options.connect_timeout.get_or_insert(CONNECT_PATIENCE);
    options.app_name = Some(name.to_owned());
    // What is acknowledged survives an election, and nobody reads what may not. Not for the URI to loosen.
    options.write_concern = Some(WriteConcern::majority());
    options.read_concern = Some(ReadConcern::majority());
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    options.command_event_handler = watcher;
    let database = options.default_database.clone().unwrap_or_else(|| DEFAULT_DATABASE.to_owned());
    let client = Client::with_options(options).map_err(|error| unfit(uri.hide_secrets_in(&error.to_string())))?;
    let hello = client.database("admin").run_command(doc! { "hello": 1 }).await.map_err(unreachable)?;
    let info = client.database("admin").run_command(doc! { "buildInfo": 1 }).await.map_err(Failure::from)?;
    check(&hello, &info)?;
    Ok(client.database(&database))
}

/// Whether the database will do, by what it says of itself.
fn check(hello: &Document, info: &Document) -> Result<()> {
    let version = info.get_str("version").unwrap_or("unknown");
    let number = |index| info.get_array("versionArray").ok()?.get(index).and_then(Bson::as_i32);
    if [number(0).unwrap_or(0), number(1).unwrap_or(0)] < OLDEST {
        return Err(unfit(format!(
            "MongoDB {version} is too old: 4.4 is the oldest that will do (5.0 and later need a CPU with AVX)"
        )));
    }
    // A router before a sharded cluster says so by this word; what is behind it are replica sets.
    if !hello.contains_key("setName") && hello.get_str("msg").ok() != Some("isdbgrid") {
        return Err(unfit(format!("this mongod is no replica set, which transactions need: {REMEDY}")));
    }
    Ok(())
}

/// Nobody answers: perhaps a replica set that was never initiated, or a mongod that this CPU cannot run.
fn unreachable(error: mongodb::error::Error) -> StoreError {
    let text = error.to_string();
    if matches!(*error.kind, ErrorKind::ServerSelection { .. }) && text.contains("RsGhost") {
        return unfit(format!("the replica set was never initiated: {REMEDY}"));
    }
    if !has_avx() {
        let hint = "no answer; if mongod is to run on this machine: its CPU has no AVX, so it cannot be 5.0 or later";
        return StoreError::Unavailable(format!("{hint} ({text})").into());
    }
    StoreError::Unavailable(error.into())
}

#[cfg(target_arch = "x86_64")]
fn has_avx() -> bool {
    std::is_x86_feature_detected!("avx")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx() -> bool {
    true
}

fn unfit(reason: String) -> StoreError {
    StoreError::Unfit { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(hello: &Document, version: [i32; 3]) -> String {
        let info = doc! { "version": format!("{version:?}"), "versionArray": version.to_vec() };
        check(hello, &info).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_replica_set_of_4_4_or_a_router_will_do() {
        for hello in [doc! { "setName": "rs0" }, doc! { "msg": "isdbgrid" }] {
            assert_eq!(refusal(&hello, [4, 4, 0]), "");
            assert_eq!(refusal(&hello, [10, 0, 0]), "");
            assert!(refusal(&hello, [4, 2, 24]).contains("is too old: 4.4"));
        }
        assert!(refusal(&doc! {}, [7, 0, 0]).contains("mongosh --eval 'rs.initiate()'"));
    }
}
