//! The README's way through the product, and the same for scripts.

use crate::person::{Person, b3_of};
use hypersend_lab::TestServer;

#[tokio::test]
async fn two_people_chat_and_a_file_crosses() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let bob = Person::registered("bob", server.socket_address()).await;
    assert!(ann.run(["whoami"]).await.ok().starts_with("ann <ann@example.org> "));

    assert_eq!(ann.run(["send", &bob.email, "Hello Bob, a film is coming."]).await.ok(), "1");
    let film = ann.file("film.mkv", 3_000_000);
    assert_eq!(ann.run(["send", "BOB@example.org", "--file", "film.mkv"]).await.ok(), "2");
    let chats = bob.run(["chats"]).await.ok();
    assert!(chats.contains("2 new") && chats.contains("ann <ann@example.org>: file film.mkv"), "{chats}");

    let history = bob.run(["history", &ann.email]).await.ok();
    let (first, second) = history.split_once('\n').unwrap();
    assert!(first.ends_with("#1 ann: Hello Bob, a film is coming."), "{history}");
    let (_, file) = second.split_once("file ").unwrap();
    let (id, name) = file.split_once("  ").unwrap();
    assert_eq!(name, "film.mkv (2.8 MiB)");
    assert_eq!(bob.run(["download", id, "-o", "copy.mkv"]).await.ok(), "copy.mkv");
    assert_eq!(b3_of(&bob.path("copy.mkv")).await, b3_of(&film).await);

    bob.run(["read", &ann.email]).await.ok();
    assert!(!bob.run(["chats"]).await.ok().contains("new"));
    assert!(bob.run(["files"]).await.ok().is_empty());
    assert!(ann.run(["files"]).await.ok().starts_with(id));
}

#[tokio::test]
async fn groups_are_made_changed_and_left() {
    let server = TestServer::start().await;
    let [ann, bob, carol] = ["ann", "bob", "carol"].map(|name| Person::registered(name, server.socket_address()));
    let (ann, bob, carol) = tokio::join!(ann, bob, carol);
    let id = ann.run(["group", "create", "Film club", &bob.email]).await.ok();
    assert_eq!(ann.run(["group", "add", "film CLUB", &carol.email]).await.ok(), id);
    carol.run(["send", "Film club", "hello"]).await.ok();
    assert!(bob.run(["history", &id]).await.ok().ends_with("#1 carol: hello"));
    let members = bob.run(["group", "members", "Film club"]).await.ok();
    assert_eq!(members.lines().count(), 3, "{members}");
    assert!(members.contains("ann <ann@example.org>  (owner)"), "{members}");

    carol.run(["group", "leave", "Film club"]).await.ok();
    carol.run(["history", &id]).await.fails(6);
    let err = bob.run(["group", "remove", "Film club", &ann.email]).await.fails(6);
    assert!(err.contains("owner"), "{err}");
    ann.run(["group", "remove", "Film club", &bob.email]).await.ok();
    bob.run(["send", &id, "still here"]).await.fails(6);
}

#[tokio::test]
async fn a_deleted_message_leaves_its_place() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let bob = Person::registered("bob", server.socket_address()).await;
    for text in ["one", "two", "three"] {
        ann.run(["send", &bob.email, text]).await.ok();
    }
    let err = bob.run(["delete", &ann.email, "2"]).await.fails(6);
    assert!(err.starts_with("error: "), "{err}");
    ann.run(["delete", &bob.email, "#2"]).await.ok();
    let history = bob.run(["history", &ann.email, "--limit", "2"]).await.ok();
    let (second, third) = history.split_once('\n').unwrap();
    assert!(second.ends_with("#2 ann: (deleted)") && third.ends_with("#3 ann: three"), "{history}");
    assert!(bob.run(["history", &ann.email, "--before", "2"]).await.ok().ends_with("#1 ann: one"));
}

/// What docs/cli.md promises to scripts.
#[tokio::test]
async fn scripts_get_json() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let bob = Person::registered("bob", server.socket_address()).await;
    let me = ann.run(["--json", "whoami"]).await.json();
    assert_eq!((&me["email"], &me["name"]), (&"ann@example.org".into(), &"ann".into()));
    ann.file("film.mkv", 1_000);
    let stored = ann.run(["--json", "upload", "film.mkv"]).await.json();
    assert_eq!((&stored["size"], &stored["already_stored"]), (&1_000.into(), &false.into()));
    assert_eq!(stored["blake3"], b3_of(&ann.path("film.mkv")).await);
    let again = ann.run(["upload", "film.mkv", "--json"]).await.json();
    assert_eq!((&again["id"], &again["already_stored"]), (&stored["id"], &true.into()));

    let sent = ann.run(["--json", "send", &bob.email, "look", "--file", "film.mkv"]).await.json();
    assert_eq!((&sent["seq"], &sent["files"][0]), (&1.into(), &stored["id"]));
    let history = bob.run(["--json", "history", &ann.email]).await.json();
    let message = &history["messages"][0];
    assert_eq!((&message["text"], &message["sender_email"]), (&"look".into(), &"ann@example.org".into()));
    assert_eq!(
        (&message["files"][0], &history["more"]),
        (&serde_json::json!({ "id": stored["id"], "name": "film.mkv", "size": 1_000 }), &false.into())
    );
    let chats = bob.run(["--json", "chats"]).await.json();
    assert_eq!((&chats["chats"][0]["unread"], &chats["chats"][0]["id"]), (&1.into(), &sent["chat"]));
    let received = bob.run(["--json", "download", stored["id"].as_str().unwrap()]).await.json();
    assert_eq!((&received["path"], &received["blake3"]), (&"film.mkv".into(), &stored["blake3"]));

    let ended = bob.run(["--json", "history", "No such group"]).await;
    let error: serde_json::Value = serde_json::from_str(&ended.fails(6)).unwrap();
    assert_eq!(error["error"]["code"], "not-found");
    let ended = bob.run(["--json", "history"]).await;
    let error: serde_json::Value = serde_json::from_str(&ended.fails(2)).unwrap();
    assert_eq!(error["error"]["code"], "usage");
}

#[tokio::test]
async fn logins_are_listed_and_ended_by_their_ids() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let phone = Person::new("ann");
    phone.run(["--accept-new-key", "login", &server.address().to_string(), &phone.email]).await.ok();
    let listed = ann.run(["logins"]).await.ok();
    let [newest, first] = listed.lines().collect::<Vec<_>>()[..] else { panic!("{listed}") };
    let agent = format!("  hypersend/{}", env!("CARGO_PKG_VERSION"));
    assert!(newest.ends_with(&agent) && first.ends_with(&format!("{agent}  (this one)")), "{listed}");
    let json = phone.run(["--json", "logins"]).await.json();
    let own = |n: usize| {
        (json["logins"][n]["current"].clone(), newest.starts_with(json["logins"][n]["id"].as_str().unwrap()))
    };
    assert_eq!((own(0), own(1)), ((true.into(), true), (false.into(), false)));
    assert!(json["logins"][0]["expires"].as_str() > json["logins"][0]["created"].as_str(), "{json}");

    let (phones, anns) = (&newest[..36], &first[..36]);
    let stranger = Person::registered("bob", server.socket_address()).await;
    stranger.run(["logout", phones]).await.fails(6);
    assert_eq!(ann.run(["logout", phones]).await.ok(), "");
    phone.run(["whoami"]).await.fails(3);
    assert_eq!(ann.run(["logins"]).await.ok(), first);
    assert_eq!(ann.run(["--json", "logout", anns]).await.json(), serde_json::json!({ "logged_out": true }));
    let err = ann.run(["whoami"]).await.fails(3);
    assert!(err.contains("not logged in"), "its own login is forgotten: {err}");
}

#[tokio::test]
async fn a_new_name_is_what_others_see() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let bob = Person::registered("bob", server.socket_address()).await;
    ann.run(["send", &bob.email, "hello"]).await.ok();
    assert!(ann.run(["rename", "Ann B."]).await.ok().starts_with("Ann B. <ann@example.org> "));
    assert!(ann.run(["whoami"]).await.ok().starts_with("Ann B. <ann@example.org> "));
    assert_eq!(ann.run(["--json", "rename", "Ann C."]).await.json()["name"], "Ann C.");
    assert!(bob.run(["history", &ann.email]).await.ok().ends_with("#1 Ann C.: hello"));
    let err = ann.run(["rename", "two\nlines"]).await.fails(2);
    assert!(err.contains("two"), "{err}");
}

#[tokio::test]
async fn status_tells_what_is_known() {
    let server = TestServer::start().await;
    let stranger = Person::new("nobody").run(["status"]).await;
    assert_eq!(stranger.code, Some(3));
    assert!(stranger.out.contains("not logged in"), "{stranger:?}");

    let ann = Person::registered("ann", server.socket_address()).await;
    let status = ann.run(["status"]).await.ok();
    for part in [&server.address().to_string(), "answers      yes", &server.fingerprint().to_string(), &ann.email] {
        assert!(status.contains(part), "{part} in {status}");
    }
    let status = ann.run(["--json", "status"]).await.json();
    assert_eq!((&status["logged_in"], &status["answers"]), (&true.into(), &true.into()));
}
