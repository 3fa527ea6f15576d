//! Either side started again, at any moment, goes on.

use crate::support::{Link, MIB, World, arrives, both, content, stored, tree};
use hypersend_lab::eventually;
use hypersend_peer::{Rank, Sending};
use std::fs;

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_was_dropped_goes_on_where_it_was() {
    let world = World::new();
    let size = 200 * MIB;
    world.file("film.mkv", size);
    let offer = world.offer(&["film.mkv"]).await;
    let link = Link::make().await;
    let sending = Sending::start(offer.clone());
    let receiving = world.receive();
    link.join(0, Rank::Direct, &sending, &receiving);
    let before = stored(&receiving, 20 * MIB as u64).await;
    assert!(before.stored_bytes < size as u64, "it was too quick to be interrupted");
    drop((receiving, sending));

    // Another session of both, with a look at the files of its own.
    let again = world.offer(&["film.mkv"]).await;
    let link = Link::make().await;
    let (sending, mut receiving) = (Sending::start(again), world.receive());
    link.join(0, Rank::Direct, &sending, &receiving);
    let first = stored(&receiving, 1).await;
    assert!(first.resumed_bytes >= 20 * MIB as u64, "{first:?}");
    let (sent, received) = both(&sending, &mut receiving).await;
    sent.unwrap();
    let place = &received.unwrap().places[0];
    assert!(fs::read(place).unwrap() == content("film.mkv", size));
    assert_eq!(world.arrived(), ["film.mkv"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_folder_only_what_changed_is_fetched_again() {
    let world = World::new();
    let names: Vec<_> = (0..400).map(|n| format!("trip/{n:03}.jpg")).collect();
    for name in &names {
        world.file(name, 100_000);
    }
    world.file("trip/film.mkv", 200 * MIB);
    let offer = world.offer(&["trip"]).await;
    let link = Link::make().await;
    let (sending, receiving) = (Sending::start(offer), world.receive());
    link.join(0, Rank::Direct, &sending, &receiving);
    stored(&receiving, 60 * MIB as u64).await;
    drop((receiving, sending));

    fs::write(world.from("trip/007.jpg"), "another picture").unwrap();
    fs::remove_file(world.from("trip/008.jpg")).unwrap();
    world.file("trip/new", 77);
    let link = Link::make().await;
    let (sending, mut receiving) = (Sending::start(world.offer(&["trip"]).await), world.receive());
    link.join(0, Rank::Direct, &sending, &receiving);
    arrives(&sending, &mut receiving).await;
    let progress = receiving.progress().borrow().unwrap();
    assert!(progress.resumed_bytes >= 59 * MIB as u64, "{progress:?}");
    assert_eq!(tree(&world.to().join("trip")), tree(&world.from("trip")));
    assert_eq!(world.arrived(), ["trip"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_was_started_again_finds_its_receiver_going_on() {
    let world = World::new();
    world.file("film.mkv", 150 * MIB);
    world.file("note", 10);
    let (link, proxy) = Link::through_a_proxy().await;
    proxy.slow_to(40_000_000);
    let sending = Sending::start(world.offer(&["film.mkv", "note"]).await);
    let mut receiving = world.receive();
    link.join(0, Rank::Direct, &sending, &receiving);
    stored(&receiving, 10 * MIB as u64).await;
    drop(sending);
    link.sender.close(0_u8.into(), b"");

    // The same film, and another note: another list.
    fs::write(world.from("note"), "another note").unwrap();
    let link = Link::make().await;
    let sending = Sending::start(world.offer(&["film.mkv", "note"]).await);
    link.join(1, Rank::Direct, &sending, &receiving);
    let places = arrives(&sending, &mut receiving).await.places;
    assert!(fs::read(&places[0]).unwrap() == content("film.mkv", 150 * MIB));
    assert_eq!(fs::read(&places[1]).unwrap(), b"another note");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_damaged_beside_the_destination_is_fetched_again() {
    let world = World::new();
    (0..50).for_each(|n| drop(world.file(&format!("trip/{n:02}"), 100_000)));
    world.file("trip/zz", 200 * MIB);
    let link = Link::make().await;
    let (sending, receiving) = (Sending::start(world.offer(&["trip"]).await), world.receive());
    link.join(0, Rank::Direct, &sending, &receiving);
    stored(&receiving, 20 * MIB as u64).await;
    drop((receiving, sending));
    let part = world.to().join(&world.arrived()[0]);
    let files = part.join("files");
    let free = async || fs::File::open(part.join("lock")).unwrap().try_lock().ok();
    eventually("the part is let go of", free).await;
    // As a power cut leaves them: blank, short, half written.
    let mut found: Vec<_> = fs::read_dir(&files).unwrap().map(|file| file.unwrap().path()).collect();
    found.sort();
    fs::write(&found[0], vec![0; 100_000]).unwrap();
    fs::write(&found[1], "short").unwrap();
    fs::rename(&found[2], found[2].with_extension("new")).unwrap();
    let link = Link::make().await;
    let (sending, mut receiving) = (Sending::start(world.offer(&["trip"]).await), world.receive());
    link.join(0, Rank::Direct, &sending, &receiving);
    arrives(&sending, &mut receiving).await;
    assert_eq!(tree(&world.to().join("trip")), tree(&world.from("trip")));
}
