//! Every error that a user can cause names its cause and its remedy, and has its exit code.

use crate::person::{Person, Running};
use hypersend_lab::{TestServer, eventually, user::PASSWORD};
use std::{fs, process::Stdio, time::Instant};

#[tokio::test]
async fn wrong_passwords_and_logins() {
    let server = TestServer::start().await;
    let (address, ann) = (server.address().to_string(), Person::registered("ann", server.socket_address()).await);
    let with_password = async |person: &Person, password: &str, words: &[&str]| {
        let mut command = person.command(words);
        command.env("HYPERSEND_PASSWORD", password);
        Running::start(command).end().await
    };
    let login = ["login", &address, &ann.email, "--accept-new-key"];
    let err = with_password(&ann, "wrong horse", &login).await.fails(3);
    assert!(err.contains("password"), "{err}");
    let unknown = ["login", &address, "nobody@example.org", "--accept-new-key"];
    assert_eq!(with_password(&ann, "wrong horse", &unknown).await.fails(3).lines().last(), err.lines().last());
    // A login that failed takes nothing away.
    ann.run(["whoami"]).await.ok();

    let bob = Person::new("bob");
    let register = ["--accept-new-key", "register", &address, &bob.email, "--name", "Bob"];
    let err = with_password(&bob, "short", &register).await.fails(1);
    assert!(err.contains("fewer than 8"), "{err}");
    let err = with_password(&bob, &"x".repeat(73), &register).await.fails(2);
    assert!(err.contains("72"), "{err}");
    let taken = ["register", &address, &ann.email, "--name", "Ann"];
    let err = with_password(&bob, PASSWORD, &taken).await.fails(1);
    assert!(err.contains("has an account already"), "{err}");
    let err = bob.run(["whoami"]).await.fails(3);
    assert!(err.contains("not logged in") && err.contains("hypersend login SERVER EMAIL"), "{err}");
}

#[tokio::test]
async fn a_login_that_has_ended_says_how_to_log_in_again() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let twin = ann.twin();
    twin.run(["logout"]).await.ok();
    let err = ann.run(["whoami"]).await.fails(3);
    let remedy = format!("try: hypersend login {} {}", server.address(), ann.email);
    assert!(err.contains("has ended") && err.contains(&remedy), "{err}");
    ann.run(["login", &server.address().to_string(), &ann.email]).await.ok();
    ann.run(["whoami"]).await.ok();
    ann.run(["logout"]).await.ok();
    ann.run(["logout"]).await.fails(3);
}

#[tokio::test]
async fn logging_out_ends_what_runs_with_the_login() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let bob = Person::registered("bob", server.socket_address()).await;
    let chat = ann.start(["--json", "chat", &bob.email]);
    chat.prints(r#""event":"opened""#).await;
    ann.twin().run(["logout"]).await.ok();
    let mut chat = chat;
    let look = async || chat.process.try_wait().unwrap();
    let status = eventually("the chat ends", look).await;
    assert_eq!(status.code(), Some(3), "{}", chat.err());
}

#[tokio::test]
async fn unknown_people_groups_and_files() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let bob = Person::registered("bob", server.socket_address()).await;
    let err = ann.run(["send", "nobody@example.org", "hello"]).await.fails(6);
    assert!(err.contains("nobody@example.org"), "{err}");
    let err = ann.run(["history", "No such group"]).await.fails(6);
    assert!(err.contains("No such group") && err.contains("hypersend chats"), "{err}");
    ann.run(["download", "01900000-0000-7000-8000-000000000000"]).await.fails(6);
    // What others have is not there for those who may not have it.
    ann.file("film.mkv", 1_000);
    let id = ann.run(["upload", "film.mkv"]).await.ok();
    bob.run(["download", &id]).await.fails(6);
    assert!(!bob.path("film.mkv").exists());

    for group in 1..=2 {
        ann.run(["group", "create", "Twice", &bob.email]).await.ok();
        let err = bob.run(["group", "create", "Twice", "nobody@example.org"]).await.fails(6);
        assert!(err.contains("nobody@example.org"), "{group}: {err}");
    }
    let err = ann.run(["send", "Twice", "hello"]).await.fails(2);
    assert!(err.contains("2 groups are called") && err.contains("try: the id"), "{err}");
}

#[tokio::test]
async fn a_server_that_is_down_is_waited_for() {
    let mut server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    server.kill();
    let start = Instant::now();
    let err = ann.run(["--wait", "1", "whoami"]).await.fails(5);
    assert!(start.elapsed().as_secs() < 10);
    assert!(err.contains("has not answered for 1 s") && err.contains("try: check the address"), "{err}");
    let status = ann.run(["--wait", "1", "status"]).await;
    assert_eq!(status.code, Some(5));
    assert!(status.out.contains("answers      no"), "{status:?}");

    let waiting = ann.start(["whoami"]);
    waiting.tells("does not answer").await;
    server.start_again().await;
    assert!(waiting.end().await.ok().starts_with("ann "));
}

#[tokio::test]
async fn what_makes_no_sense_is_said_before_anything_is_done() {
    let ann = Person::new("ann");
    let usage = async |words: &[&str], part: &str| {
        let err = ann.run(words).await.fails(2);
        assert!(err.contains(part), "{part:?} in {err}");
    };
    usage(&["nonsense"], "unrecognized subcommand").await;
    usage(&["register", "https://example.org", "ann@example.org", "--name", "Ann"], "no server address").await;
    usage(&["login", "localhost", "no address"], "email").await;
    usage(&["send", "bob@example.org"], "the text is missing").await;
    usage(&["send", "--direct", "bob@example.org"], "what is to be sent is missing").await;
    usage(&["send", "bob@example.org", "two", "words"], "a message is one text").await;
    usage(&["receive"], "there is nobody to ask").await;
    usage(&["send", "bob@example.org", &"x".repeat(17 << 10)], "at most 16384 are allowed").await;
    usage(&["download", "nonsense"], "nonsense").await;
    usage(&["history", "bob@example.org", "--limit", "0"], "0").await;
    let mut many = vec!["send", "bob@example.org"];
    many.extend(["--file", "x"].repeat(33));
    usage(&many, "at most 32 files").await;
}

#[tokio::test]
async fn the_folder_may_be_damaged_or_forbidden() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    fs::write(ann.config().join("credentials.json"), "nonsense").unwrap();
    let err = ann.run(["whoami"]).await.fails(7);
    assert!(err.contains("credentials.json") && err.contains("log in again"), "{err}");
    ann.run(["login", &server.address().to_string(), &ann.email]).await.ok();
    ann.run(["whoami"]).await.ok();
    let err = ann.run(["--config-dir", "/dev/null/x", "whoami"]).await.fails(7);
    assert!(err.contains("/dev/null/x"), "{err}");
}

#[tokio::test]
async fn a_reader_that_goes_away_is_success() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let mut command = ann.command(["whoami"]);
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(process.stdout.take());
    let look = async || process.try_wait().unwrap();
    let status = eventually("it ends", look).await;
    assert_eq!(status.code(), Some(0));
}
