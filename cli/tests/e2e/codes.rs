//! Files to whoever types a code: two people who have no account.

use crate::{
    person::{Ended, Person, Running, b3_of},
    screen::Screen,
};
use hypersend_lab::{TestServer, eventually, fixtures::MIB};
use serde_json::{Value, json};

/// A server, and two people at it.
struct Stage {
    server: TestServer,
    at: String,
    ann: Person,
    bob: Person,
}

impl Stage {
    async fn new() -> Self {
        let server = TestServer::start().await;
        let at = server.socket_address().to_string();
        Self { server, at, ann: Person::new("ann"), bob: Person::new("bob") }
    }

    fn send(&self, words: &[&str]) -> Running {
        self.ann.start([&["--accept-new-key", "send", "--server", &self.at], words].concat())
    }

    fn receiving<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        [&["--accept-new-key", "receive", "--server", &self.at], words].concat()
    }

    async fn receive(&self, words: &[&str]) -> Ended {
        self.bob.run(self.receiving(words)).await
    }
}

/// The code, once it is on standard output.
async fn code_of(sending: &Running) -> String {
    eventually("a code is printed", async || sending.out().strip_suffix('\n').map(str::to_owned)).await
}

#[tokio::test]
async fn a_code_is_printed_and_what_it_stands_for_is_fetched() {
    let stage = Stage::new().await;
    let film = stage.ann.file("film.mkv", 3 * MIB);
    stage.ann.file("notes.txt", 10);
    let sending = stage.send(&["film.mkv", "notes.txt"]);
    let code = code_of(&sending).await;
    sending.tells(&format!("hypersend receive --server {} {code}\n", stage.at)).await;
    std::fs::create_dir(stage.bob.path("in")).unwrap();
    let words: Vec<&str> = code.split('-').collect();
    let got = stage.receive(&[&["--yes", "-o", "in"], words.as_slice()].concat()).await;
    assert!(got.err.contains("film.mkv, notes.txt: 2 files, 3.0 MiB\n"), "{}", got.err);
    assert!(!got.err.contains("check words"), "{}", got.err);
    assert_eq!(got.ok(), "in/film.mkv\nin/notes.txt");
    assert_eq!(b3_of(&stage.bob.path("in/film.mkv")).await, b3_of(&film).await);
    let sent = sending.end().await;
    assert!(sent.err.contains("film.mkv and 1 more: the receiver has all of it, 3.0 MiB in "), "{}", sent.err);
    assert!(!sent.err.contains("connection"), "the mailbox is over, and nothing is lost: {}", sent.err);
    assert!(!sent.err.contains('█'), "a QR code where there is no terminal");
    assert_eq!(sent.ok(), code, "nothing but the code");
    assert!(!stage.ann.config().join("credentials.json").exists());
    let err = stage.receive(&["--yes", &code]).await.fails(6);
    assert!(err.contains("has been used"), "{err}");
}

#[tokio::test]
async fn programs_read_codes_and_results_as_json() {
    let stage = Stage::new().await;
    stage.ann.file("film.mkv", 1_000);
    let sending = stage.send(&["--json", "--code", "film.mkv"]);
    let printed: Value = serde_json::from_str(&code_of(&sending).await).unwrap();
    let link = format!("HYPERSEND:{}/{}", stage.at, printed["code"].as_str().unwrap());
    let got = stage.bob.run(["--json", "--accept-new-key", "receive", "--yes", &link]).await.json();
    let way = got["way"].as_str().unwrap();
    assert_eq!(got, json!({ "files": 1, "bytes": 1_000, "way": way, "paths": ["./film.mkv"] }));
    assert_eq!(sending.end().await.json(), printed);
}

#[tokio::test]
async fn a_wrong_code_ends_both_sides() {
    let stage = Stage::new().await;
    stage.ann.file("film.mkv", 1_000);
    let sending = stage.send(&["film.mkv"]);
    let code = code_of(&sending).await;
    let (rest, last) = code.rsplit_once('-').unwrap();
    let wrong = format!("{rest}-{}", if last == "river" { "moon" } else { "river" });
    let err = stage.receive(&["--yes", &wrong]).await.fails(1);
    assert!(err.contains("the words of the code are wrong") && err.contains("try: a new code"), "{err}");
    let sent = sending.end().await;
    assert!(sent.code == Some(1) && sent.err.contains("tried to guess it"), "{sent:?}");
    stage.receive(&["--yes", &code]).await.fails(6);
}

#[tokio::test]
async fn who_says_no_is_not_asked_again() {
    let stage = Stage::new().await;
    stage.ann.file("film.mkv", 1_000);
    let sending = stage.send(&["film.mkv"]);
    let code = code_of(&sending).await;
    let mut screen = Screen::start(&stage.bob, &stage.receiving(&[&code]));
    screen.shows("film.mkv: 1 file, 1000 B. Accept? (yes/no)").await;
    screen.types("no\n");
    let (exit, shown) = screen.end().await;
    assert!(exit == Some(0) && shown.contains("declined"), "{shown}");
    let sent = sending.end().await;
    assert!(sent.code == Some(1) && sent.err.contains("declined by the receiver"), "{sent:?}");
    assert!(!stage.bob.path("film.mkv").exists());
}

#[tokio::test]
async fn the_other_side_is_told_of_an_interruption() {
    let stage = Stage::new().await;
    stage.ann.file("film.mkv", 1_000);
    let sending = stage.send(&["film.mkv"]);
    let code = code_of(&sending).await;
    let screen = Screen::start(&stage.bob, &stage.receiving(&[&code]));
    screen.shows("Accept? (yes/no)").await;
    sending.interrupt();
    let (exit, shown) = screen.end().await;
    assert!(exit == Some(1) && shown.contains("the other side has cancelled"), "{shown}");
    let sent = sending.end().await;
    assert!(sent.code == Some(130) && sent.err.contains("interrupted"), "{sent:?}");

    let sending = stage.send(&["film.mkv"]);
    let code = code_of(&sending).await;
    let mut screen = Screen::start(&stage.bob, &stage.receiving(&[&code]));
    screen.shows("Accept? (yes/no)").await;
    screen.types("\x03");
    let (exit, shown) = screen.end().await;
    assert!(exit == Some(130), "{shown}");
    let sent = sending.end().await;
    assert!(sent.code == Some(1) && sent.err.contains("declined by the receiver"), "{sent:?}");
}

#[tokio::test]
async fn a_terminal_shows_a_qr_code() {
    let stage = Stage::new().await;
    stage.ann.file("film.mkv", 1_000);
    let mut screen = Screen::start(&stage.ann, &["--accept-new-key", "send", "--server", &stage.at, "film.mkv"]);
    screen.shows("▄").await;
    screen.shows("on the other computer: hypersend receive --server").await;
    screen.types("\x03");
    let (exit, shown) = screen.end().await;
    assert_eq!(exit, Some(130), "{shown}");
}

#[tokio::test]
async fn where_to_meet_is_said_or_known_by_the_environment_or_the_login() {
    let stage = Stage::new().await;
    stage.ann.file("film.mkv", 1_000);
    let err = stage.ann.run(["send", "film.mkv"]).await.fails(2);
    assert!(err.contains("--server HOST"), "{err}");
    let cy = Person::registered("cy", stage.server.socket_address()).await;
    cy.file("film.mkv", 1_000);
    let sending = cy.start(["send", "film.mkv"]);
    let code = code_of(&sending).await;
    let mut command = stage.bob.command(["--accept-new-key", "receive", "--yes", &code]);
    command.env("HYPERSEND_SERVER", &stage.at);
    assert_eq!(Running::start(command).end().await.ok(), "./film.mkv");
    sending.end().await.ok();
}

#[tokio::test]
async fn what_makes_no_sense_is_said_before_a_code_is_used_up() {
    let stage = Stage::new().await;
    stage.ann.file("film.mkv", 1_000);
    let sending = stage.send(&["film.mkv"]);
    let code = code_of(&sending).await;
    let refused = async |words: &[&str], exit, why: &str| {
        let err = stage.receive(words).await.fails(exit);
        assert!(err.contains(why), "{words:?}: {err}");
    };
    refused(&[&code], 2, "nobody to ask").await;
    refused(&["--yes", "--once", &code], 2, "--once").await;
    refused(&["--yes", "-o", "none", &code], 7, "there is no folder none").await;
    refused(&["--yes", "7-aple-river-moon"], 2, r#"is it "apple"?"#).await;
    refused(&["--yes", "7-apple"], 2, "a code is a number and three words").await;
    refused(&["--yes"], 2, "CODE").await;
    assert!(stage.receive(&["--yes", &code]).await.ok().ends_with("film.mkv"), "it was not used up");
    sending.end().await.ok();

    let refused = async |words: &[&str], why: &str| {
        let err = stage.ann.run([&["send"], words].concat()).await.fails(2);
        assert!(err.contains(why), "{words:?}: {err}");
    };
    refused(&["missing.mkv"], "there is no file missing.mkv to send, and no text for the chat").await;
    refused(&["film.mkv", "missing.mkv", "--server", &stage.at], "there is no file missing.mkv").await;
    refused(&["--code", "--direct", "film.mkv"], "cannot be used with").await;
    refused(&["--code", "film.mkv", "--file", "film.mkv"], "cannot be used with").await;
    refused(&["--direct", "bob@example.org", "film.mkv", "--server", &stage.at], "cannot be used with").await;
    let err = stage.ann.run(["send", "--server", &stage.at, "--code", "missing.mkv"]).await.fails(7);
    assert!(err.contains("missing.mkv does not exist"), "{err}");
}
