//! kill -9, Ctrl-C and a server that goes away, in the middle: the same command typed again goes on.

use crate::person::{Person, b3_of};
use hypersend_lab::{Proxy, TestServer, fixtures::MIB};

const SIZE: u64 = 40 * MIB;

/// What passes before each interruption. Chunks travel side by side, eight at a time; the rest of this is whole.
const PASSES: u64 = 14 * MIB;

/// What is certainly stored after two interruptions.
const STORED: u64 = 2 * (PASSES - 10 * MIB);

#[tokio::test]
async fn an_upload_killed_twice_goes_on() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = Person::registered("ann", proxy.address()).await;
    let film = ann.file("film.mkv", SIZE);
    for _ in 1..=2 {
        proxy.cut_after(PASSES);
        let sending = ann.start(["upload", "film.mkv"]);
        proxy.until_cut().await;
        sending.kill();
    }
    proxy.restore();
    let before = proxy.carried_up();
    let ended = ann.run(["upload", "film.mkv"]).await;
    assert!(ended.err.contains("film.mkv goes on at "), "{ended:?}");
    let id = ended.ok();
    let sent = proxy.carried_up() - before;
    assert!(sent < SIZE - STORED, "{sent} bytes were sent");

    for _ in 1..=2 {
        proxy.cut_after(PASSES);
        let fetching = ann.start(["download", &id, "-o", "copy.mkv"]);
        proxy.until_cut().await;
        fetching.kill();
    }
    proxy.restore();
    let before = proxy.carried_down();
    ann.run(["download", &id, "-o", "copy.mkv"]).await.ok();
    let fetched = proxy.carried_down() - before;
    assert!(fetched < SIZE - STORED, "{fetched} bytes were fetched");
    assert_eq!(b3_of(&ann.path("copy.mkv")).await, b3_of(&film).await);
}

/// The README's promise: the transfer says so, waits, and goes on from where it was.
#[tokio::test]
async fn a_transfer_outlives_two_kills_of_the_server() {
    let mut server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = Person::registered("ann", proxy.address()).await;
    let bob = Person::registered("bob", server.socket_address()).await;
    let film = ann.file("film.mkv", SIZE);
    let sending = ann.start(["send", &bob.email, "The film.", "--file", "film.mkv"]);
    for kill in 1..=2 {
        proxy.cut_after(PASSES);
        proxy.until_cut().await;
        server.kill();
        proxy.restore();
        sending.tells("the connection to ").await;
        server.start_again().await;
        let again = async || (sending.err().matches("connected again").count() == kill).then_some(());
        hypersend_lab::eventually("it is connected again", again).await;
    }
    let ended = sending.end().await;
    assert!(!ended.err.contains("goes on at"), "nothing was there before: {ended:?}");
    assert_eq!(ended.ok(), "1");

    let history = bob.run(["--json", "history", &ann.email]).await.json();
    let id = history["messages"][0]["files"][0]["id"].as_str().unwrap().to_owned();
    bob.run(["download", &id, "-o", "copy.mkv"]).await.ok();
    assert_eq!(b3_of(&bob.path("copy.mkv")).await, b3_of(&film).await);
}

#[tokio::test]
async fn ctrl_c_says_how_to_go_on() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = Person::registered("ann", proxy.address()).await;
    ann.file("film.mkv", SIZE);
    proxy.cut_after(PASSES);
    let sending = ann.start(["upload", "film.mkv"]);
    proxy.until_cut().await;
    sending.interrupt();
    let err = sending.end().await.fails(130);
    assert!(err.contains("what is stored stays") && err.contains("try: the same command"), "{err}");
    proxy.restore();
    ann.run(["upload", "film.mkv"]).await.ok();
}
