//! Either side started again, at any moment, goes on.

use crate::support::{Link, MIB, World, both, content};
use hypersend_lab::within;
use hypersend_peer::{Progress, Rank, Receiving, Sending};
use std::fs;

/// Waits until so many bytes are there.
async fn stored(receiving: &Receiving, bytes: u64) -> Progress {
    let mut progress = receiving.progress();
    let enough = |now: &Option<Progress>| now.is_some_and(|now| now.stored_bytes >= bytes);
    let seen = within("bytes are stored", progress.wait_for(enough)).await.unwrap().unwrap();
    seen
}

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
    let (mut sending, mut receiving) = (Sending::start(again), world.receive());
    link.join(0, Rank::Direct, &sending, &receiving);
    let first = stored(&receiving, 1).await;
    assert!(first.resumed_bytes >= 20 * MIB as u64, "{first:?}");
    let (sent, received) = both(&mut sending, &mut receiving).await;
    sent.unwrap();
    let place = &received.unwrap().places[0];
    assert!(fs::read(place).unwrap() == content("film.mkv", size));
    assert_eq!(world.arrived(), ["film.mkv"]);
}
