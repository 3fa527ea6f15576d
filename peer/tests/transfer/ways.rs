//! Paths that come, go, and fall silent.

use crate::support::{Link, MIB, World, arrives, both, content, stored, tree};
use hypersend_lab::within;
use hypersend_peer::{PathId, Rank, Sending};
use std::{
    fs,
    time::{Duration, Instant},
};

const FILM: usize = 150 * MIB;

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_falls_silent_is_left_for_the_next() {
    let world = World::new();
    world.file("film.mkv", FILM);
    let (direct, proxy) = Link::through_a_proxy().await;
    let relayed = Link::make().await;
    let (sending, mut receiving) = (Sending::start(world.offer(&["film.mkv"]).await), world.receive());
    direct.join(0, Rank::Direct, &sending, &receiving);
    relayed.join(1, Rank::Relayed, &sending, &receiving);
    proxy.cut_after(30 * MIB as u64);
    within("the path is cut", proxy.until_cut()).await;
    assert_eq!(*receiving.current_path().borrow(), Some(PathId(0)));
    let (sent, received) = both(&sending, &mut receiving).await;
    sent.unwrap();
    assert_eq!(*receiving.current_path().borrow(), Some(PathId(1)));
    assert!(direct.receiver.close_reason().is_none(), "nobody has closed it");
    assert!(fs::read(&received.unwrap().places[0]).unwrap() == content("film.mkv", FILM));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_closes_is_left_at_once() {
    let world = World::new();
    world.file("film.mkv", FILM);
    let (direct, relayed) = (Link::make().await, Link::make().await);
    let (sending, mut receiving) = (Sending::start(world.offer(&["film.mkv"]).await), world.receive());
    direct.join(0, Rank::Direct, &sending, &receiving);
    relayed.join(1, Rank::Relayed, &sending, &receiving);
    stored(&receiving, 10 * MIB as u64).await;
    direct.sender.close(0_u8.into(), b"");
    arrives(&sending, &mut receiving).await;
    assert_eq!(*receiving.current_path().borrow(), Some(PathId(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_better_path_takes_over_and_the_slow_one_is_not_waited_for() {
    let world = World::new();
    world.file("film.mkv", FILM);
    let (relayed, proxy) = Link::through_a_proxy().await;
    proxy.slow_to(200_000);
    let (sending, mut receiving) = (Sending::start(world.offer(&["film.mkv"]).await), world.receive());
    relayed.join(0, Rank::Relayed, &sending, &receiving);
    let under_way = |progress: &Option<_>| progress.is_some();
    within("it has begun", receiving.progress().wait_for(under_way)).await.unwrap();
    let direct = Link::make().await;
    let start = Instant::now();
    direct.join(1, Rank::Direct, &sending, &receiving);
    arrives(&sending, &mut receiving).await;
    // What was under way on it would take 40 s.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(*receiving.current_path().borrow(), Some(PathId(1)));
    assert!(fs::read(world.to().join("film.mkv")).unwrap() == content("film.mkv", FILM));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_path_it_waits() {
    let world = World::new();
    world.file("film.mkv", FILM);
    let (sending, mut receiving) = (Sending::start(world.offer(&["film.mkv"]).await), world.receive());
    let link = Link::make().await;
    link.join(0, Rank::Direct, &sending, &receiving);
    stored(&receiving, 10 * MIB as u64).await;
    receiving.remove_path(PathId(0));
    sending.remove_path(PathId(0));
    assert!(tokio::time::timeout(Duration::from_millis(500), receiving.finish()).await.is_err());
    assert!(tokio::time::timeout(Duration::from_millis(10), sending.finish()).await.is_err());
    // The same connection, under another number.
    link.join(1, Rank::Relayed, &sending, &receiving);
    arrives(&sending, &mut receiving).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_path_is_used_again_when_it_speaks_again() {
    let world = World::new();
    world.file("film.mkv", FILM);
    let (link, proxy) = Link::through_a_proxy().await;
    let (sending, mut receiving) = (Sending::start(world.offer(&["film.mkv"]).await), world.receive());
    link.join(0, Rank::Direct, &sending, &receiving);
    proxy.cut_after(30 * MIB as u64);
    within("the path is cut", proxy.until_cut()).await;
    let long = hypersend_peer::paths::SILENCE + Duration::from_secs(1);
    assert!(tokio::time::timeout(long, receiving.finish()).await.is_err(), "it cannot end");
    proxy.restore();
    arrives(&sending, &mut receiving).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_files_do_not_wait_for_a_round_trip_each() {
    let world = World::new();
    for n in 0..10_000 {
        let path = world.from(&format!("many/{:02}/{n:05}", n % 20));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content(&n.to_string(), 10_000)).unwrap();
    }
    let link = Link::delayed(Duration::from_millis(50)).await;
    let (sending, mut receiving) = (Sending::start(world.offer(&["many"]).await), world.receive());
    let start = Instant::now();
    link.join(0, Rank::Direct, &sending, &receiving);
    let (sent, received) = both(&sending, &mut receiving).await;
    assert_eq!((sent.unwrap().files, received.unwrap().files), (10_000, 10_000));
    println!("10,000 files of 10 KB at 100 ms: {:?}", start.elapsed());
    // One at a time it would be 1,000 s.
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    assert!(tree(&world.to().join("many")) == tree(&world.from("many")));
}
