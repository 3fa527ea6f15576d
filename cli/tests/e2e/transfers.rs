//! Files there and back, and what stands in their way.

use crate::person::{Person, b3_of};
use hypersend_lab::{
    Proxy, TestServer,
    fixtures::{MIB, sparse_file},
};
use std::{fs, io::Write};

#[tokio::test]
async fn the_id_is_printed_last_and_fetches_the_file() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let film = ann.file("film.mkv", 5 * MIB + 1);
    let id = ann.run(["upload", "film.mkv"]).await.ok();
    assert_eq!(id.lines().count(), 1);
    assert_eq!(ann.run(["upload", "film.mkv"]).await.ok(), id, "the same file is stored once");

    fs::create_dir(ann.path("films")).unwrap();
    assert_eq!(ann.run(["download", &id, "-o", "films"]).await.ok(), "films/film.mkv");
    assert_eq!(b3_of(&ann.path("films/film.mkv")).await, b3_of(&film).await);
    let left: Vec<_> = fs::read_dir(ann.path("films")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["film.mkv"], "nothing is left beside it");

    let err = ann.run(["download", &id]).await.fails(7);
    assert!(err.contains("film.mkv is already there") && err.contains("try: another name"), "{err}");
    let err = ann.run(["download", &id, "-o", "none/film.mkv"]).await.fails(7);
    assert!(err.contains("there is no folder none"), "{err}");
}

#[tokio::test]
async fn a_removed_file_is_gone_and_its_message_stays() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let bob = Person::registered("bob", server.socket_address()).await;
    ann.file("film.mkv", 1_000);
    ann.run(["send", &bob.email, "--file", "film.mkv"]).await.ok();
    let id = ann.run(["--json", "files"]).await.json()["files"][0]["id"].as_str().unwrap().to_owned();
    let err = bob.run(["remove", &id]).await.fails(6);
    assert!(err.contains("only who uploaded"), "{err}");
    assert_eq!(ann.run(["--json", "remove", &id]).await.json(), serde_json::json!({ "id": id }));
    bob.run(["download", &id]).await.fails(6);
    ann.run(["remove", &id]).await.fails(6);
    assert_eq!(ann.run(["files"]).await.ok(), "");
    assert!(bob.run(["history", &ann.email]).await.ok().ends_with("film.mkv (1000 B)"));

    let again = ann.run(["upload", "film.mkv"]).await.ok();
    assert_ne!(again, id);
    assert_eq!(ann.run(["remove", &again]).await.ok(), "");
}

#[tokio::test]
async fn progress_is_told_in_lines_where_there_is_no_terminal() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = Person::registered("ann", proxy.address()).await;
    ann.file("film.mkv", 16 * MIB);
    proxy.slow_to(3 * MIB);
    let sending = ann.start(["upload", "film.mkv"]);
    sending.tells("film.mkv ").await;
    assert!(sending.err().contains(" of 16.0 MiB, "), "{}", sending.err());
    let json = ann.start(["--json", "upload", "film.mkv"]);
    json.tells(r#""progress":{"#).await;
    let quiet = ann.start(["--quiet", "upload", "film.mkv"]);
    proxy.slow_to(1 << 30);
    assert!(sending.end().await.err.contains("16.0 MiB stored in "));
    json.end().await.ok();
    assert_eq!(quiet.end().await.err, "");
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_by_its_reason() {
    let server = TestServer::with([("MAX_FILE_SIZE", "1M")]).await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let refused = async |name: &str, code| ann.run(["upload", name]).await.fails(code);
    assert!(refused("none", 7).await.contains("none"));
    assert!(refused(".", 7).await.contains("is a folder"));
    fs::write(ann.path("a\\b"), "x").unwrap();
    let err = refused("a\\b", 7).await;
    assert!(err.contains("a backslash") && err.contains("remove it"), "{err}");
    sparse_file(&ann.path("large"), MIB + 1);
    let err = refused("large", 8).await;
    assert!(err.contains("1048577 bytes") && err.contains("1048576"), "{err}");
    // Nothing of a message is posted when one of its files cannot be.
    ann.run(["send", &ann.email, "text", "--file", "none"]).await.fails(7);
    assert_eq!(ann.run(["chats"]).await.ok(), "");
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_is_not_sent() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = Person::registered("ann", proxy.address()).await;
    let film = ann.file("film.mkv", 12 * MIB);
    proxy.cut_after(6 * MIB);
    let sending = ann.start(["upload", "film.mkv"]);
    proxy.until_cut().await;
    fs::File::options().append(true).open(&film).unwrap().write_all(b"x").unwrap();
    proxy.restore();
    let err = sending.end().await.fails(7);
    assert!(err.contains("film.mkv changed while it was being sent; send it again"), "{err}");
    ann.run(["upload", "film.mkv"]).await.ok();
}

#[tokio::test]
async fn transfers_between_computers_are_listed_and_called_off() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let bob = Person::registered("bob", server.socket_address()).await;
    ann.file("film.mkv", 1_000);
    assert_eq!(ann.run(["transfers"]).await.ok(), "");
    let sending = ann.start(["send", "--direct", &bob.email, "film.mkv"]);
    sending.tells("offered to bob").await;

    let listed = ann.run(["transfers"]).await.ok();
    assert!(listed.ends_with("offered    to bob: film.mkv (1000 B)"), "{listed}");
    let listed = bob.run(["--json", "transfers"]).await.json();
    let [transfer] = listed["transfers"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!((&transfer["direction"], &transfer["with"]), (&"from".into(), &"ann".into()));
    assert_eq!((&transfer["status"], &transfer["files"][0]["size"]), (&"offered".into(), &1_000.into()));

    assert_eq!(transfer["files"][0]["folder"], false);
    let id = transfer["id"].as_str().unwrap();
    let err = Person::registered("eve", server.socket_address()).await.run(["cancel", id]).await.fails(6);
    assert!(err.contains("there is no transfer"), "{err}");
    let cancelled = bob.run(["cancel", id]).await.ok();
    assert!(cancelled.ends_with("cancelled  from ann: film.mkv (1000 B)"), "{cancelled}");
    let err = sending.end().await.fails(1);
    assert!(err.contains("cancelled"), "{err}");
    assert_eq!(ann.run(["transfers"]).await.ok(), "");
    assert!(ann.run(["transfers", "--all"]).await.ok().contains("cancelled"));
    bob.run(["cancel", id]).await.ok();
}
