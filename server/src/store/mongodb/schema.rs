//! Collections, their validators and their indexes: made at start where they are missing, and compared where they are not.
//! The document `schema` in `meta` says of which version they are.

use super::{
    chats, events, files, mailboxes, messages, p2p, peers, presence, relays, sessions, signals,
    transaction::{Failure, Table},
    users,
};
use crate::store::{Migrated, Result, StoreError, archive};
use futures::TryStreamExt;
use mongodb::{
    Database,
    bson::{Bson, Document, doc, oid::ObjectId},
    error::{Error, ErrorKind},
};
use std::collections::BTreeMap;

/// The version that this program knows.
const VERSION: u32 = 1;

/// Where the version is kept.
const META: &str = "meta";

/// The field beside it that marks an import under way.
const IMPORTING: &str = "importing";

/// The database's codes for: a collection of this name is there; an index of this name or key is there, and is another.
const NAMESPACE_EXISTS: i32 = 48;
const INDEX_CONFLICTS: [i32; 3] = [67, 85, 86];

/// How one collection is to be.
pub(super) struct Collection {
    name: &'static str,
    validator: Document,
    indexes: Vec<Document>,
}

impl Collection {
    /// A collection whose documents have these fields (see [`fields`]) and that is found by these indexes.
    pub(super) fn new<R>(table: &Table<R>, fields: &[(&str, &str)], indexes: Vec<Document>) -> Self {
        Self { name: table.name, validator: doc! { "$jsonSchema": schema(fields) }, indexes }
    }
}

/// A schema of fields by name and BSON type; the name of one that may be missing ends in `?`. No others are allowed, so that
/// a slip of the pen in an update does not pass. Arrays are looked at no further: a large group's members would be checked
/// one by one with each post.
fn schema(fields: &[(&str, &str)]) -> Document {
    let name = |field: &str| field.trim_end_matches('?').to_owned();
    let required: Vec<String> =
        fields.iter().filter(|(field, _)| !field.ends_with('?')).map(|(field, _)| name(field)).collect();
    let properties: Document =
        fields.iter().map(|(field, kind)| (name(field), Bson::from(doc! { "bsonType": *kind }))).collect();
    doc! { "bsonType": "object", "required": required, "properties": properties, "additionalProperties": false }
}

/// An index by name and keys, with whatever else is to be said of it.
pub(super) fn index(name: &str, keys: Document, options: Document) -> Document {
    let mut index = doc! { "name": name, "key": keys };
    index.extend(options);
    index
}

/// All collections.
pub(super) fn collections() -> Vec<Collection> {
    let mut all = records();
    all.extend(peers::collections());
    all.extend(presence::collections());
    all.extend([signals::collection(), relays::collection()]);
    all.extend(mailboxes::collections());
    all
}

/// Those whose documents are kept until somebody wants them gone; the others are of use for a day at most.
fn records() -> Vec<Collection> {
    let mut all = vec![
        users::collection(),
        sessions::collection(),
        chats::collection(),
        messages::collection(),
        p2p::collection(),
        events::feeds_collection(),
        events::collection(),
    ];
    all.extend(files::collections());
    all
}

/// What the document `schema` says.
struct State {
    version: u32,
    /// An import was begun and did not end.
    importing: bool,
}

async fn state(db: &Database) -> Result<State> {
    let found = db.collection::<Document>(META).find_one(doc! { "_id": "schema" }).await.map_err(Failure::from)?;
    let found = found.unwrap_or_default();
    let version = found.get_i32("version").map_or(0, i32::unsigned_abs);
    if version > VERSION {
        return Err(StoreError::TooNew { found: version, known: VERSION });
    }
    Ok(State { version, importing: found.contains_key(IMPORTING) })
}

impl State {
    /// Half an archive is not to be served.
    fn is_whole(&self) -> Result<()> {
        if !self.importing {
            return Ok(());
        }
        let reason =
            "an import into this database did not end: run `hypersend-server import FILE` again, which starts over";
        Err(StoreError::Unfit { reason: reason.to_owned() })
    }
}

/// The version that a database has, and the one that this program knows; an error when it is not whole.
pub(super) async fn versions(db: &Database) -> Result<Migrated> {
    let state = state(db).await?;
    state.is_whole()?;
    Ok(Migrated { found: state.version, now: VERSION })
}

/// Brings a database to the version that this program knows.
pub(super) async fn prepare(db: &Database) -> Result<Migrated> {
    let state = state(db).await?;
    state.is_whole()?;
    make(db, state.version).await
}

/// Empties a database that an import left half full, makes sure that it is empty, and marks it: from now on nobody serves
/// it. The mark is this import's own.
pub(super) async fn begin_import(db: &Database) -> Result<ObjectId> {
    let state = state(db).await?;
    if state.importing {
        for collection in records() {
            db.collection::<Document>(collection.name).drop().await.map_err(Failure::from)?;
        }
    }
    make(db, state.version).await?;
    for collection in records() {
        let any = db.collection::<Document>(collection.name).find_one(doc! {}).await.map_err(Failure::from)?;
        if any.is_some() {
            return Err(archive::not_empty(collection.name));
        }
    }
    let mark = ObjectId::new();
    let change = doc! { "$set": { IMPORTING: mark } };
    db.collection::<Document>(META).update_one(doc! { "_id": "schema" }, change).await.map_err(Failure::from)?;
    Ok(mark)
}

/// Takes an import's mark away: all of it is there.
pub(super) async fn end_import(db: &Database, mark: ObjectId) -> Result<()> {
    let (own, change) = (doc! { "_id": "schema", IMPORTING: mark }, doc! { "$unset": { IMPORTING: 1 } });
    let ended = db.collection::<Document>(META).update_one(own, change).await.map_err(Failure::from)?;
    if ended.matched_count == 1 {
        return Ok(());
    }
    Err(StoreError::Unfit {
        reason: "another import into this database was begun meanwhile; do one at a time".to_owned(),
    })
}

/// Makes what is missing.
async fn make(db: &Database, found: u32) -> Result<Migrated> {
    let meta = db.collection::<Document>(META);
    let there = there(db).await.map_err(Failure::from)?;
    for collection in collections() {
        match there.get(collection.name) {
            Some(validator) if *validator == collection.validator => {}
            Some(_) => validate(db, &collection).await?,
            None => create(db, &collection).await?,
        }
        create_indexes(db, &collection).await?;
    }
    if found < VERSION {
        // Only ever raised: another server, of a later version, may be doing the same.
        let raise = doc! { "$max": { "version": VERSION } };
        meta.update_one(doc! { "_id": "schema" }, raise).upsert(true).await.map_err(Failure::from)?;
        tracing::info!(version = VERSION, "database prepared");
    }
    Ok(Migrated { found, now: VERSION })
}

/// The collections that are there, with their validators.
async fn there(db: &Database) -> std::result::Result<BTreeMap<String, Document>, Error> {
    let collections: Vec<_> = db.list_collections().await?.try_collect().await?;
    Ok(collections.into_iter().map(|there| (there.name, there.options.validator.unwrap_or_default())).collect())
}

async fn create(db: &Database, collection: &Collection) -> Result<()> {
    match db.create_collection(collection.name).validator(collection.validator.clone()).await {
        // Another server has been quicker.
        Err(error) if code(&error) == Some(NAMESPACE_EXISTS) => validate(db, collection).await,
        outcome => Ok(outcome.map_err(Failure::from)?),
    }
}

async fn validate(db: &Database, collection: &Collection) -> Result<()> {
    let change = doc! { "collMod": collection.name, "validator": collection.validator.clone() };
    db.run_command(change).await.map_err(Failure::from)?;
    Ok(())
}

/// Makes the indexes that are missing. One that is there under the same name and is another is for the operator to look at.
async fn create_indexes(db: &Database, collection: &Collection) -> Result<()> {
    if collection.indexes.is_empty() {
        return Ok(());
    }
    let command = doc! {
        "createIndexes": collection.name,
        "indexes": collection.indexes.clone(),
        "writeConcern": { "w": "majority" },
    };
    match db.run_command(command).await {
        Ok(_) => Ok(()),
        Err(error) if code(&error).is_some_and(|code| INDEX_CONFLICTS.contains(&code)) => Err(StoreError::Unfit {
            reason: format!(
                "an index of {} is not as this version needs it; drop it and start again: {error}",
                collection.name
            ),
        }),
        Err(error) => Err(Failure::from(error).into()),
    }
}

fn code(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(error) => Some(error.code),
        _ => None,
    }
}

#[cfg(test)]
impl Collection {
    /// Its name and the names of its indexes, but for that of `_id`.
    pub(super) fn index_names(&self) -> (&'static str, Vec<String>) {
        let names = self.indexes.iter().map(|index| index.get_str("name").expect("`index` names it").to_owned());
        (self.name, names.collect())
    }
}
