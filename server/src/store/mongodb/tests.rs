//! The suite against this backend, and what concerns MongoDB alone.

use super::{MongodbStore, schema};
use crate::{
    settings::MongodbUri,
    store::{
        self, Place, Store, StoreError,
        conformance::{self, World, user},
        events::{Fanout, FanoutSink, Feed},
        messages::{Append, Message, NewMessage},
    },
};
use futures::future::join_all;
use hypersend_lab::{
    eventually,
    mongod::{self, Database, Mongod},
};
use hypersend_protocol::{
    id::{ChatId, ClientId, Cursor, Seq, UserId},
    name::MessageText,
    time::UnixMillis,
};
use mongodb::{
    Client,
    bson::{Document, doc},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::mpsc;
use uuid::Uuid;

/// An empty store in a database of its own.
pub(super) async fn empty(sink: FanoutSink) -> (Arc<dyn Store>, Database) {
    let database = mongod::database().await;
    (Arc::new(open(&database.uri(), sink).await.unwrap()), database)
}

conformance::tests!(empty);

pub(super) async fn open(uri: &str, sink: FanoutSink) -> Result<MongodbStore, StoreError> {
    MongodbStore::open(&MongodbUri::parse(uri).unwrap(), sink).await
}

pub(super) fn deaf() -> FanoutSink {
    Arc::new(|_| ())
}

async fn refusal(uri: &str) -> String {
    open(uri, deaf()).await.map(|_| ()).unwrap_err().to_string()
}

async fn raw(database: &Database) -> mongodb::Database {
    Client::with_uri_str(database.uri()).await.unwrap().default_database().unwrap()
}

pub(super) async fn direct(store: &dyn Store, a: UserId, b: UserId) -> ChatId {
    store.open_direct(a, b, ChatId(Uuid::now_v7()), UnixMillis(1)).await.unwrap().id
}

pub(super) fn post(chat: ChatId, sender: UserId) -> NewMessage {
    let (text, now) = (Some(MessageText::parse("hi").unwrap()), UnixMillis(2));
    NewMessage { chat, sender, client_id: ClientId(Uuid::new_v4()), text, files: Vec::new(), reply_to: None, now }
}

pub(super) async fn history(store: &dyn Store, chat: ChatId) -> Vec<Message> {
    store.messages_after(chat, Seq(0), u32::MAX).await.unwrap()
}

pub(super) fn numbers(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| message.seq.0).collect()
}

pub(super) async fn cursors(store: &dyn Store, user: UserId) -> Vec<u64> {
    match store.events_after(user, Cursor(0), u32::MAX).await.unwrap() {
        Feed::Events(events) => events.into_iter().map(|event| event.cursor.0).collect(),
        gone @ Feed::Gone(_) => panic!("{gone:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_post_into_one_chat() {
    const POSTS: usize = 150;
    let database = mongod::database().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = || -> FanoutSink {
        let told = Arc::clone(&told);
        Arc::new(move |fanout: Fanout| told.lock().unwrap().push(fanout))
    };
    let (one, two) = (open(&database.uri(), sink()).await.unwrap(), open(&database.uri(), sink()).await.unwrap());
    let (ann, bob) = (user(&one, "ann").await, user(&two, "bob").await);
    let chat = direct(&one, ann, bob).await;

    // Each of them is sent to both servers at once, as by a client that lost its connection.
    let posts: Vec<NewMessage> = (0..POSTS).map(|n| post(chat, if n % 2 == 0 { ann } else { bob })).collect();
    let sent = posts.iter().map(async |new| {
        let (first, second) = tokio::join!(one.append_message(new.clone()), two.append_message(new.clone()));
        (new.client_id, first.unwrap(), second.unwrap())
    });
    let answers = join_all(sent).await;

    let messages = history(&one, chat).await;
    assert_eq!(numbers(&messages), (1..=POSTS as u64).collect::<Vec<_>>());
    let by_client: BTreeMap<Uuid, Seq> = messages.iter().map(|message| (message.client_id.0, message.seq)).collect();
    assert_eq!(by_client.len(), POSTS);
    for (id, first, second) in answers {
        let Append::Posted { seq, .. } = first else { panic!("{first:?}") };
        assert_eq!((first, by_client[&id.0]), (second, seq), "both have answered for the same message");
    }
    for user in [ann, bob] {
        assert_eq!(cursors(&two, user).await, (1..=POSTS as u64 + 1).collect::<Vec<_>>());
    }
    // Each of them is told of by the one server that posted it. The first two are of the chat itself.
    let told = told.lock().unwrap();
    let places: BTreeSet<Cursor> = told[2..]
        .iter()
        .flat_map(|fanout| &fanout.to)
        .filter(|(user, _)| *user == ann)
        .map(|(_, cursor)| *cursor)
        .collect();
    assert_eq!((told.len(), places.len()), (POSTS + 2, POSTS));
}

#[tokio::test]
async fn a_single_mongod_is_refused_with_the_remedy() {
    let single = Mongod::standalone().await;
    let refused = refusal(&single.uri()).await;
    assert!(refused.contains("no replica set") && refused.contains("mongosh --eval 'rs.initiate()'"), "{refused}");
}

#[tokio::test]
async fn a_replica_set_that_is_none_yet_is_refused_with_the_remedy() {
    let idle = Mongod::uninitiated().await;
    let refused = refusal(&format!("{}?serverSelectionTimeoutMS=500", idle.plain_uri())).await;
    assert!(refused.contains("never initiated") && refused.contains("mongosh --eval 'rs.initiate()'"), "{refused}");
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let refused = open("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300", deaf()).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
}

#[tokio::test]
async fn a_bad_address_is_refused_without_its_password() {
    let refused = refusal("mongodb://ann:hush%zz@127.0.0.1:1/?authMechanism=none").await;
    assert!(!refused.contains("hush"), "{refused}");
}

#[tokio::test]
async fn what_is_needed_is_made_once() {
    let database = mongod::database().await;
    // Two at once, and a third that finds all of it.
    let uri = database.uri();
    let (one, two) = tokio::join!(open(&uri, deaf()), open(&uri, deaf()));
    drop((one.unwrap(), two.unwrap()));
    drop(open(&uri, deaf()).await.unwrap());
    let db = raw(&database).await;
    for (collection, mut indexes) in schema::collections().iter().map(schema::Collection::index_names) {
        indexes.insert(0, "_id_".to_owned());
        assert_eq!(db.collection::<Document>(collection).list_index_names().await.unwrap(), indexes);
        let refused = db.collection(collection).insert_one(doc! { "odd": true }).await.unwrap_err();
        assert!(refused.to_string().contains("121"), "the validator takes anything: {refused}");
    }
}

#[tokio::test]
async fn an_index_that_is_another_is_refused() {
    let database = mongod::database().await;
    let other = doc! { "createIndexes": "users", "indexes": [{ "name": "users_by_email", "key": { "name": 1 } }] };
    raw(&database).await.run_command(other).await.unwrap();
    let refused = refusal(&database.uri()).await;
    assert!(refused.contains("an index of users"), "{refused}");
}

#[tokio::test]
async fn a_database_of_a_later_version_is_left_alone() {
    let database = mongod::database().await;
    let db = raw(&database).await;
    db.collection("meta").insert_one(doc! { "_id": "schema", "version": 99 }).await.unwrap();
    let refused = open(&database.uri(), deaf()).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, StoreError::TooNew { found: 99, known: 1 }), "{refused}");
    assert_eq!(db.list_collection_names().await.unwrap(), ["meta"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mongod_killed_while_messages_are_posted_loses_none_and_doubles_none() {
    const SENDERS: u64 = 8;
    let mut mongod = Mongod::start().await;
    let store: Arc<dyn Store> = Arc::new(open(&mongod.uri(), deaf()).await.unwrap());
    let (ann, bob) = (user(&*store, "ann").await, user(&*store, "bob").await);
    let chat = direct(&*store, ann, bob).await;

    let (done, posted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let senders: Vec<_> = (0..SENDERS)
        .map(|n| {
            let (store, done, posted) = (Arc::clone(&store), Arc::clone(&done), Arc::clone(&posted));
            tokio::spawn(async move {
                let mut answers = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    let new = post(chat, if n % 2 == 0 { ann } else { bob });
                    // Asks until it is answered, as a client does.
                    let answer = loop {
                        match store.append_message(new.clone()).await {
                            Ok(answer) => break answer,
                            Err(StoreError::Unavailable(_)) => {}
                            Err(other) => panic!("{other}"),
                        }
                    };
                    posted.fetch_add(1, Ordering::Relaxed);
                    answers.push((new.client_id, answer));
                }
                answers
            })
        })
        .collect();
    for _ in 0..2 {
        let before = posted.load(Ordering::Relaxed);
        eventually("messages are posted", async || (posted.load(Ordering::Relaxed) > before + 100).then_some(())).await;
        mongod.kill();
        mongod.restart().await;
    }
    let before = posted.load(Ordering::Relaxed);
    eventually("posting goes on", async || (posted.load(Ordering::Relaxed) > before + 100).then_some(())).await;
    done.store(true, Ordering::Relaxed);
    let answers: Vec<_> = join_all(senders).await.into_iter().flat_map(Result::unwrap).collect();

    let messages = history(&*store, chat).await;
    let count = messages.len() as u64;
    assert_eq!(numbers(&messages), (1..=count).collect::<Vec<_>>());
    let by_client: BTreeMap<Uuid, Seq> = messages.iter().map(|message| (message.client_id.0, message.seq)).collect();
    assert_eq!(by_client.len(), messages.len(), "a message is there twice");
    assert_eq!(answers.len(), messages.len(), "every message was answered for in the end");
    for (id, answer) in answers {
        let Append::Posted { seq, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(by_client.get(&id.0), Some(&seq));
    }
    for user in [ann, bob] {
        assert_eq!(cursors(&*store, user).await, (1..=count + 1).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_takes_longer_than_its_snapshot_lives_says_so() {
    let mongod = Mongod::start().await;
    let uri = MongodbUri::parse(&mongod.uri()).unwrap();
    let place = Place::Mongodb(uri.clone());
    let mut world = World::new(async |sink| (store::open(&place, sink).await.unwrap(), ())).await;
    conformance::fill(&mut world).await;
    let admin = Client::with_uri_str(mongod.uri()).await.unwrap().database("admin");
    admin.run_command(doc! { "setParameter": 1, "transactionLifetimeLimitSeconds": 1 }).await.unwrap();
    let aborted = async || {
        let status = admin.run_command(doc! { "serverStatus": 1 }).await.unwrap();
        status.get_document("transactions").unwrap().get_i64("totalAborted").unwrap()
    };
    let before = aborted().await;

    // Nobody takes the records until the database has given up.
    let (records, mut taken) = mpsc::channel(1);
    let dump = tokio::spawn(async move { super::archive::dump(&uri, records).await });
    eventually("the snapshot is given up", async || (aborted().await > before).then_some(())).await;
    while taken.recv().await.is_some() {}
    let refused = dump.await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("transactionLifetimeLimitSeconds: 3600"), "{refused}");
}
