//! What has to hold of single acts when the database does not answer, and when two servers are busy on one.

use super::{
    MongodbStore,
    chats::CHATS,
    connection::{COMMAND, SERVER, connect},
    field::Field,
    tests::{cursors, deaf, direct, history, numbers, open, post},
    transaction::{Act, Failure},
};
use crate::{
    settings::MongodbUri,
    store::{
        Store, StoreError,
        conformance::user,
        events::{Fanout, FanoutSink, Happening},
        messages::Append,
    },
};
use futures::future::join_all;
use hypersend_lab::{
    Mongod, TcpPath,
    mongod::{self, Illness},
    within,
};
use hypersend_protocol::id::{ChatId, Seq, UserId};
use mongodb::{
    bson::doc,
    error::TRANSIENT_TRANSACTION_ERROR,
    event::{EventHandler, command::CommandEvent},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{Notify, mpsc};

#[tokio::test]
async fn the_sink_hears_of_a_commit_whose_outcome_was_not_known_at_first() {
    let mongod = Mongod::start().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let sink: FanoutSink = Arc::new(move |fanout: Fanout| drop(tell.send(fanout)));
    let store = open(&mongod.uri(), sink).await.unwrap();
    let (ann, bob) = (user(&store, "ann").await, user(&store, "bob").await);
    let chat = direct(&store, ann, bob).await;
    while told.try_recv().is_ok() {}

    mongod.fall_ill(Illness::Unsure, &["commitTransaction"]).await;
    let new = post(chat, ann);
    let answer = store.append_message(new.clone()).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    assert!(told.try_recv().is_err(), "told of what may yet be undone");

    mongod.recover().await;
    let fanout = within("the sink hears of it", told.recv()).await.unwrap();
    let Happening::Posted(message) = fanout.what else { panic!("{fanout:?}") };
    assert_eq!((message.seq, message.client_id), (Seq(1), new.client_id));
    let answer = store.append_message(new).await.unwrap();
    assert_eq!(answer, Append::Posted { seq: Seq(1), at: message.at });
    assert!(told.try_recv().is_err(), "told twice");
}

/// The database keeps a transaction for a minute and more, and what it has written from everybody else.
#[tokio::test]
async fn what_a_transaction_had_written_when_the_network_was_cut_is_free_when_it_is_repaired() {
    let mongod = Mongod::start().await;
    let path = TcpPath::start(mongod.socket_address()).await;
    let inserting = Arc::new(Notify::new());
    let notified = Arc::clone(&inserting);
    let watcher = EventHandler::Callback(Arc::new(move |event| {
        if matches!(event, CommandEvent::Started(started) if started.command_name == "insert") {
            notified.notify_waiters();
        }
    }));
    let uri = MongodbUri::parse(&mongod.uri_via(path.address())).unwrap();
    let store = Arc::new(MongodbStore::open_watched(&uri, deaf(), Some(watcher)).await.unwrap());
    let (ann, bob) = (user(&*store, "ann").await, user(&*store, "bob").await);
    let chat = direct(&*store, ann, bob).await;

    // So that the answer does not come before the cut.
    mongod.fall_ill(Illness::Slow(Duration::from_secs(1)), &["insert"]).await;
    let new = post(chat, ann);
    let has_written = inserting.notified();
    let answer = tokio::spawn({
        let (store, new) = (Arc::clone(&store), new.clone());
        async move { store.append_message(new).await }
    });
    within("the chat is written", has_written).await;
    path.hold();
    mongod.recover().await;
    let answer = within("the server gives up", answer).await.unwrap();
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");

    path.restore();
    let answer = store.append_message(new).await.unwrap();
    assert!(matches!(answer, Append::Posted { seq: Seq(1), .. }), "{answer:?}");
}

/// A server that is killed between two statements leaves a transaction that nobody goes on with. An export's is left alone,
/// however long nothing happens in it.
#[tokio::test]
async fn what_a_dead_server_had_written_is_undone_for_who_is_kept_from_writing() {
    let database = mongod::database().await;
    let uri = MongodbUri::parse(&database.uri()).unwrap();
    let store = MongodbStore::open(&uri, deaf()).await.unwrap();
    let (ann, bob) = (user(&store, "ann").await, user(&store, "bob").await);
    let chat = direct(&store, ann, bob).await;
    let dead = connect(&uri, SERVER, None).await.unwrap();
    let mut left = Act::begin(&dead).await.unwrap();
    assert!(left.update(&CHATS, doc! { "_id": chat.write() }, doc! { "$set": { "last": 7_i64 } }).await.unwrap());

    let export = connect(&uri, COMMAND, None).await.unwrap();
    let mut reading = Act::begin(&export).await.unwrap();
    let row = async |act: &mut Act| act.one(&CHATS, doc! { "_id": chat.write() }).await.unwrap().unwrap();
    assert_eq!(row(&mut reading).await.last, 0);

    let answer = store.append_message(post(chat, ann)).await.unwrap();
    assert!(matches!(answer, Append::Posted { seq: Seq(1), .. }), "{answer:?}");
    assert_eq!(row(&mut reading).await.last, 0, "as it was when it began");
    reading.abort(true).await;
    // If it was not dead after all, it is told.
    let late = left.update(&CHATS, doc! { "_id": chat.write() }, doc! { "$set": { "last": 8_i64 } }).await.unwrap_err();
    let Failure::Database(error) = late else { panic!("{late}") };
    assert!(error.contains_label(TRANSIENT_TRANSACTION_ERROR), "{error}");
}

/// What each sender of [`busy`] posts.
const POSTS_EACH: u32 = 25;

/// Posts to all chats at once on each of these servers; says how many messages a second that is.
async fn busy(servers: &[&MongodbStore], chats: &[(ChatId, [UserId; 2])]) -> f64 {
    const SENDERS: usize = 4;
    let start = Instant::now();
    let senders = servers.iter().flat_map(|&server| {
        chats.iter().flat_map(move |&(chat, members)| (0..SENDERS).map(move |n| (server, chat, members[n % 2])))
    });
    let sent = join_all(senders.map(async |(server, chat, sender)| {
        for _ in 0..POSTS_EACH {
            let answer = server.append_message(post(chat, sender)).await.unwrap();
            assert!(matches!(answer, Append::Posted { .. }), "{answer:?}");
        }
        POSTS_EACH
    }));
    f64::from(sent.await.into_iter().sum::<u32>()) / start.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_busy_servers_share_chats() {
    let database = mongod::database().await;
    let (one, two) = (open(&database.uri(), deaf()).await.unwrap(), open(&database.uri(), deaf()).await.unwrap());
    let ann = user(&one, "ann").await;
    let mut chats = Vec::new();
    for name in ["bob", "cid", "dan", "eve"] {
        let peer = user(&two, name).await;
        chats.push((direct(&one, ann, peer).await, [ann, peer]));
    }
    let alone = busy(&[&one], &chats).await;
    let together = busy(&[&one, &two], &chats).await;
    println!("{alone:.0} messages/s by one server, {together:.0} by two in the same chats");

    let posted = u64::from(POSTS_EACH) * 4 * 3;
    for &(chat, _) in &chats {
        assert_eq!(numbers(&history(&two, chat).await), (1..=posted).collect::<Vec<_>>());
    }
    let entries = (posted + 1) * chats.len() as u64;
    assert_eq!(cursors(&one, ann).await, (1..=entries).collect::<Vec<_>>());
}
