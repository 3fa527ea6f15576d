//! Every command that the backend gives finds its documents by an index: the suite is run, what it asks of the database is
//! recorded, and the plan of each kind of command is looked at.

use super::{MongodbStore, schema};
use crate::{
    settings::MongodbUri,
    store::{Store, conformance, events::FanoutSink},
};
use hypersend_lab::mongod::{self, Database};
use mongodb::{
    Client,
    bson::{Bson, Document, doc},
    event::{EventHandler, command::CommandEvent},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// One command of each shape, and the database that it was for.
static RECORDED: Mutex<BTreeMap<String, Document>> = Mutex::new(BTreeMap::new());

/// Commands that have a plan.
const PLANNED: [&str; 5] = ["find", "aggregate", "update", "delete", "findAndModify"];

/// What the driver adds to a command, and what `explain` does not take.
const ADDED: [&str; 12] = [
    "$db",
    "lsid",
    "txnNumber",
    "autocommit",
    "startTransaction",
    "$clusterTime",
    "$readPreference",
    "readConcern",
    "writeConcern",
    "ordered",
    "maxTimeMS",
    "apiVersion",
];

/// An empty store whose commands are recorded.
async fn recorded(sink: FanoutSink) -> (Arc<dyn Store>, Database) {
    let database = mongod::database().await;
    let uri = MongodbUri::parse(&database.uri()).unwrap();
    let watcher = EventHandler::Callback(Arc::new(|event| {
        if let CommandEvent::Started(started) = event
            && PLANNED.contains(&started.command_name.as_str())
        {
            let mut recorded = RECORDED.lock().unwrap_or_else(PoisonError::into_inner);
            for command in alone(started.command) {
                recorded.entry(shape(&command)).or_insert(command);
            }
        }
    }));
    (Arc::new(MongodbStore::open_watched(&uri, sink, Some(watcher)).await.unwrap()), database)
}

/// A command as it can be explained; each statement of one that has several by itself.
fn alone(mut command: Document) -> Vec<Document> {
    for field in ADDED {
        command.remove(field);
    }
    for field in ["updates", "deletes"] {
        if let Ok(statements) = command.get_array(field).cloned() {
            let one = |statement: Bson| {
                let mut one = command.clone();
                one.insert(field, vec![statement]);
                one
            };
            return statements.into_iter().map(one).collect();
        }
    }
    vec![command]
}

/// A command's shape: its names and operators, its collection, and nothing of its values.
fn shape(command: &Document) -> String {
    fn of(value: &Bson, shape: &mut String) {
        match value {
            Bson::Document(document) => {
                shape.push('{');
                for (name, value) in document {
                    // Members are named by their places.
                    shape.extend(name.chars().filter(|c| !c.is_ascii_digit()));
                    shape.push(' ');
                    of(value, shape);
                }
                shape.push('}');
            }
            Bson::Array(values) => {
                shape.push('[');
                let mut shapes: Vec<String> = values
                    .iter()
                    .map(|value| {
                        let mut one = String::new();
                        of(value, &mut one);
                        one
                    })
                    .collect();
                shapes.dedup();
                shape.extend(shapes);
                shape.push(']');
            }
            _ => {}
        }
    }
    let (verb, collection) = command.iter().next().expect("a command has a name");
    let mut text = format!("{verb} {collection} ");
    of(&Bson::Document(command.clone()), &mut text);
    text
}

/// Every step of the plans in the answer to `explain`.
fn steps(answer: &Bson, found: &mut Vec<String>) {
    match answer {
        Bson::Document(document) => {
            found.extend(document.get_str("stage").ok().map(str::to_owned));
            // Plans that were weighed and left.
            document.iter().filter(|(name, _)| *name != "rejectedPlans").for_each(|(_, value)| steps(value, found));
        }
        Bson::Array(values) => values.iter().for_each(|value| steps(value, found)),
        _ => {}
    }
}

async fn explain(db: &mongodb::Database, command: &Document) -> Vec<String> {
    let explain = doc! { "explain": command.clone(), "verbosity": "queryPlanner" };
    let answer = db.run_command(explain).await.unwrap_or_else(|error| panic!("{command}: {error}"));
    let mut found = Vec::new();
    steps(&answer.into(), &mut found);
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_finds_its_documents_by_an_index() {
    conformance::run_all!(recorded);
    let (_store, database) = recorded(Arc::new(|_| ())).await;
    let client = Client::with_uri_str(database.uri()).await.unwrap();
    let db = client.default_database().unwrap();
    let recorded: Vec<Document> = RECORDED.lock().unwrap().values().cloned().collect();
    let names: Vec<&str> = schema::collections().iter().map(|collection| collection.index_names().0).collect();
    let mut explained = 0;
    for command in recorded {
        let collection = command.iter().next().and_then(|(_, name)| name.as_str());
        if !collection.is_some_and(|name| names.contains(&name)) {
            continue;
        }
        let steps = explain(&db, &command).await;
        assert!(!steps.is_empty(), "no plan: {command}");
        assert!(!steps.iter().any(|step| step == "COLLSCAN"), "{steps:?}: {command}");
        explained += 1;
    }
    assert!(explained >= 40, "only {explained} kinds of commands were recorded");
}

#[tokio::test]
async fn a_scan_is_noticed() {
    let (_store, database) = recorded(Arc::new(|_| ())).await;
    let client = Client::with_uri_str(database.uri()).await.unwrap();
    let db = client.default_database().unwrap();
    assert!(
        explain(&db, &doc! { "find": "users", "filter": { "name": "Ann" } }).await.contains(&"COLLSCAN".to_owned())
    );
    assert!(
        !explain(&db, &doc! { "find": "users", "filter": { "email": "a" } }).await.contains(&"COLLSCAN".to_owned())
    );
}
