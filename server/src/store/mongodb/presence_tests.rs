//! What servers on one database tell each other of who is connected to them.

use super::{
    MongodbStore,
    tests::{deaf, open},
};
use crate::store::{
    Store,
    news::{News, NewsStream, Node},
};
use futures::StreamExt;
use hypersend_lab::{
    mongod::{self, Database},
    within,
};
use hypersend_protocol::id::UserId;
use std::time::Duration;
use uuid::Uuid;

const LONG: Duration = Duration::from_mins(10);

fn ann() -> UserId {
    UserId(Uuid::from_u128(1))
}

fn bob() -> UserId {
    UserId(Uuid::from_u128(2))
}

async fn two() -> (MongodbStore, MongodbStore, Database) {
    let database = mongod::database().await;
    let (here, there) = (open(&database.uri(), deaf()).await.unwrap(), open(&database.uri(), deaf()).await.unwrap());
    (here, there, database)
}

async fn next(news: &mut NewsStream) -> News {
    within("there is news", news.next()).await.expect("news never end")
}

async fn next_present(news: &mut NewsStream) -> (Node, UserId, bool) {
    match next(news).await {
        News::Present(node, user, present) => (node, user, present),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_comes_and_goes_is_heard_on_the_other_server_once() {
    let (here, there, _database) = two().await;
    let mut news = there.news().await.unwrap().unwrap();
    there.set_present(&[(bob(), true)]).await.unwrap();
    here.set_present(&[(ann(), true)]).await.unwrap();
    let (node, user, present) = next_present(&mut news).await;
    assert_eq!((user, present), (ann(), true), "its own are no news");
    assert_eq!(there.present_on(node).await.unwrap(), [ann()]);
    here.set_present(&[(ann(), true), (bob(), true)]).await.unwrap();
    assert_eq!(next_present(&mut news).await, (node, bob(), true), "who was there already is no news");
    here.set_present(&[(ann(), false), (bob(), true)]).await.unwrap();
    assert_eq!(next_present(&mut news).await, (node, ann(), false));
    assert_eq!(there.present_on(node).await.unwrap(), [bob()]);
}

#[tokio::test]
async fn a_server_counts_as_there_as_long_as_it_said() {
    let (here, there, _database) = two().await;
    assert_eq!(here.renew(LONG).await.unwrap(), []);
    let others = there.renew(Duration::ZERO).await.unwrap();
    assert_eq!(others.len(), 1, "the other is there");
    assert_eq!(here.renew(LONG).await.unwrap(), [], "that one's time is over already");
    there.renew(LONG).await.unwrap();
    assert_eq!(here.renew(LONG).await.unwrap().len(), 1);
}

#[tokio::test]
async fn who_was_connected_to_a_dead_server_is_forgotten() {
    let (here, there, _database) = two().await;
    let mut news = there.news().await.unwrap().unwrap();
    here.renew(Duration::ZERO).await.unwrap();
    here.set_present(&[(ann(), true), (bob(), true)]).await.unwrap();
    there.renew(LONG).await.unwrap();
    there.set_present(&[(bob(), true)]).await.unwrap();
    let (node, ..) = next_present(&mut news).await;
    assert_eq!(there.prune_present().await.unwrap(), 2);
    assert_eq!(there.prune_present().await.unwrap(), 0, "who is connected to a living one stays");
    assert_eq!(there.present_on(node).await.unwrap(), []);
}

/// Else nobody would know of those who are connected to it.
#[tokio::test]
async fn a_server_taken_for_dead_hears_that_it_was_forgotten() {
    let (here, there, _database) = two().await;
    here.renew(Duration::ZERO).await.unwrap();
    here.set_present(&[(ann(), true)]).await.unwrap();
    let mut news = here.news().await.unwrap().unwrap();
    assert_eq!(there.prune_present().await.unwrap(), 1);
    assert!(matches!(next(&mut news).await, News::Forgotten(user) if user == ann()));
}

#[tokio::test]
async fn a_server_that_stops_leaves_nothing_behind() {
    let (here, there, _database) = two().await;
    let mut news = there.news().await.unwrap().unwrap();
    here.renew(LONG).await.unwrap();
    here.set_present(&[(ann(), true)]).await.unwrap();
    let (node, ..) = next_present(&mut news).await;
    assert_eq!(there.renew(LONG).await.unwrap(), [node]);
    here.take_leave().await.unwrap();
    assert_eq!(next_present(&mut news).await, (node, ann(), false));
    assert_eq!(there.renew(LONG).await.unwrap(), []);
}
