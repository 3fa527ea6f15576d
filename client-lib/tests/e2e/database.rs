//! A server whose records are in MongoDB, under load, while MongoDB fails in each of its ways. Meanwhile clients are told to
//! try again; afterwards everything goes on by itself; and [`Load`] sees to it that nothing is lost or doubled.

use crate::{
    load::Load,
    support::{Desk, download, upload},
};
use hypersend_lab::{
    Mongod, TcpPath, TestServer, TestUser,
    fixtures::{KIB, b3_of},
    mongod::{Illness, ReplicaSet},
    within,
};
use std::time::Duration;

/// A server with its records at an address, and load on it.
async fn under_load(mongodb: &str) -> (TestServer, Load) {
    let server = TestServer::with([("MONGODB_URI", mongodb)]).await;
    let load = Load::begin(&server).await;
    load.goes_on().await;
    (server, load)
}

#[tokio::test]
async fn a_mongod_is_killed_and_comes_back() {
    let mut mongod = Mongod::start().await;
    let (_server, load) = under_load(&mongod.uri()).await;
    for _ in 0..2 {
        mongod.kill();
        mongod.restart().await;
        load.goes_on().await;
    }
    load.end().await;
}

#[tokio::test]
async fn a_replica_set_changes_and_loses_its_primary() {
    let mut set = ReplicaSet::start().await;
    let (_server, load) = under_load(&set.uri()).await;
    set.step_down().await;
    load.goes_on().await;
    set.kill_primary().await;
    load.goes_on().await;
    set.restart().await;
    load.goes_on().await;
    load.end().await;
}

/// Longer than the server waits for an answer, and than the driver takes to believe that the database is gone.
#[tokio::test]
async fn the_network_to_mongod_is_cut_and_repaired() {
    let mongod = Mongod::start().await;
    let path = TcpPath::start(mongod.socket_address()).await;
    let (_server, mut load) = under_load(&mongod.uri_via(path.address())).await;
    path.hold();
    for _ in 0..2 {
        load.is_told_to_try_again().await;
    }
    path.restore();
    load.goes_on().await;
    load.end().await;
}

#[tokio::test]
async fn the_disk_of_mongod_is_full_for_a_while() {
    let mongod = Mongod::start().await;
    let (_server, mut load) = under_load(&mongod.uri()).await;
    for commands in [&["insert", "update"][..], &["commitTransaction"]] {
        mongod.fall_ill(Illness::DiskFull, commands).await;
        load.is_told_to_try_again().await;
        mongod.recover().await;
        load.goes_on().await;
    }
    load.end().await;
}

#[tokio::test]
async fn a_slow_mongod_makes_everything_slow_and_nothing_else() {
    let mongod = Mongod::start().await;
    let (server, load) = under_load(&mongod.uri()).await;
    let slow = Illness::Slow(Duration::from_millis(500));
    mongod.fall_ill(slow, &["find", "insert", "update", "commitTransaction"]).await;
    let refused = load.refused();
    let desk = Desk::new();
    let source = desk.file("note", 300 * KIB);
    let file = async {
        let file = upload(&load.ann.client, &source).await;
        download(&load.ann.client, &file, &desk.path("copy")).await;
        assert_eq!(b3_of(&desk.path("copy")), b3_of(&source));
    };
    let newcomer = async {
        let cid = TestUser::register(server.config(), "cid").await;
        let group = cid.client.create_group("Us".parse().unwrap(), vec![load.ann.email()]);
        within("the group is made", group).await.unwrap();
    };
    tokio::join!(load.goes_on_by(2), file, newcomer);
    assert_eq!(load.refused(), refused, "somebody was told to try again");
    mongod.recover().await;
    load.goes_on().await;
    load.end().await;
}
