//! `hypersend chat` at the ends of pipes.

use crate::person::Person;
use hypersend_lab::{Proxy, TestServer, fixtures::MIB};
use serde_json::Value;
use std::io::Write;

#[tokio::test]
async fn lines_go_in_and_come_out() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let bob = Person::registered("bob", server.socket_address()).await;
    ann.run(["send", &bob.email, "before"]).await.ok();
    let mut chat = bob.start(["chat", &ann.email]);
    chat.prints("#1 ann: before\n").await;
    ann.run(["send", &bob.email, "meanwhile"]).await.ok();
    chat.prints("#2 ann: meanwhile\n").await;
    ann.file("film.mkv", MIB);
    let mut input = chat.process.stdin.take().unwrap();
    input.write_all(b"an answer\n//slash\n/nonsense\n").unwrap();
    chat.prints("#4 bob: /slash\n").await;
    chat.tells("there is no command /nonsense").await;
    ann.run(["delete", &bob.email, "2"]).await.ok();
    chat.prints("* message #2 of ann was deleted\n").await;
    drop(input);
    let ended = chat.end().await;
    assert_eq!(ended.code, Some(2), "a line was not understood: {ended:?}");
    assert!(bob.run(["chats"]).await.ok().contains("bob: /slash") || !bob.run(["chats"]).await.ok().contains("new"));
}

#[tokio::test]
async fn a_pipe_is_posted_in_order_with_its_files() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let bob = Person::registered("bob", server.socket_address()).await;
    ann.file("film.mkv", MIB);
    let mut chat = ann.start(["chat", &bob.email]);
    let mut input = chat.process.stdin.take().unwrap();
    for n in 1..=200 {
        writeln!(input, "line {n}").unwrap();
    }
    input.write_all(b"/file film.mkv\nthe last\n").unwrap();
    drop(input);
    chat.end().await.ok();
    let history = bob.run(["--json", "history", &ann.email, "--limit", "500"]).await.json();
    let messages = history["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 202);
    for (n, message) in (1..=200).zip(messages) {
        assert_eq!(message["text"], format!("line {n}"));
    }
    let id = messages[200]["files"][0]["id"].as_str().unwrap();
    assert_eq!(messages[201]["text"], "the last");

    let mut fetching = bob.start(["chat", &ann.email]);
    let mut input = fetching.process.stdin.take().unwrap();
    input.write_all(format!("/get {id} copy.mkv\n").as_bytes()).unwrap();
    drop(input);
    let out = fetching.end().await.ok();
    assert!(out.contains("saved as copy.mkv"), "{out}");
    assert!(bob.path("copy.mkv").exists());
}

#[tokio::test]
async fn programs_get_an_object_for_each_event() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let bob = Person::registered("bob", server.socket_address()).await;
    let group = ann.run(["group", "create", "Club", &bob.email]).await.ok();
    let chat = bob.start(["--json", "chat", &group]);
    chat.prints("opened").await;
    let seq = ann.run(["--json", "send", &group, "hello"]).await.json()["seq"].clone();
    chat.prints(r#""event":"message""#).await;
    ann.run(["read", &group]).await.ok();
    ann.run(["delete", &group, &seq.to_string()]).await.ok();
    chat.prints(r#""event":"changed""#).await;
    ann.run(["group", "leave", &group]).await.ok();
    chat.prints(r#""event":"members""#).await;
    let ended = chat.end().await.ok();
    let events: Vec<Value> = ended.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| events.iter().find(|event| event["event"] == kind).unwrap();
    assert_eq!((&of("opened")["id"], &of("opened")["title"]), (&group.as_str().into(), &"Club".into()));
    assert_eq!((&of("message")["text"], &of("message")["sender_name"]), (&"hello".into(), &"ann".into()));
    assert_eq!((&of("changed")["deleted"], &of("changed")["seq"]), (&true.into(), &seq));
    assert_eq!(of("members")["members"].as_array().unwrap().len(), 1);
}

/// Nothing is missed and nothing comes twice over a connection that is lost.
#[tokio::test]
async fn a_conversation_outlives_its_connection() {
    let mut server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = Person::registered("ann", server.socket_address()).await;
    let bob = Person::registered("bob", proxy.address()).await;
    let mut chat = bob.start(["chat", &ann.email]);
    let mut input = chat.process.stdin.take().unwrap();
    input.write_all(b"one\n").unwrap();
    chat.prints("#1 bob: one\n").await;
    proxy.cut();
    ann.run(["send", &bob.email, "two"]).await.ok();
    server.restart().await;
    input.write_all(b"three\n").unwrap();
    proxy.restore();
    chat.prints("#3 bob: three\n").await;
    drop(input);
    let out = chat.end().await.ok();
    let said: Vec<_> = out.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(said, ["#1 bob: one", "#2 ann: two", "#3 bob: three"]);
}
