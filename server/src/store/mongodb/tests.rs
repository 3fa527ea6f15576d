//! The suite against this backend, and what concerns MongoDB alone.

use super::{MongodbStore, schema};
use crate::{
    settings::MongodbUri,
    store::{Store, StoreError, conformance, events::FanoutSink},
};
use hypersend_lab::mongod::{self, Database};
use std::sync::Arc;

/// An empty store in a database of its own.
pub(super) async fn empty(sink: FanoutSink) -> (Arc<dyn Store>, Database) {
    let database = mongod::database().await;
    let uri = MongodbUri::parse(&database.uri()).unwrap();
    (Arc::new(MongodbStore::open(&uri, sink).await.unwrap()), database)
}

conformance::tests!(empty);
