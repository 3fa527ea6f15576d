//! What somebody at a terminal sees and types.

use crate::{person::Person, screen::Screen};
use hypersend_lab::{Proxy, TestServer, fixtures::MIB, user::PASSWORD};

#[tokio::test]
async fn registering_asks_for_trust_and_a_password() {
    let server = TestServer::start().await;
    let (ann, address) = (Person::new("ann"), server.address().to_string());
    let register = ["register", &address, &ann.email, "--name", "Ann"];
    let mut screen = Screen::start(&ann, &register);
    screen.shows("Password: ").await;
    screen.types(&format!("{PASSWORD}\n"));
    screen.shows("Password again: ").await;
    screen.types("something else\n");
    let (code, shown) = screen.end().await;
    assert!(code == Some(1) && shown.contains("are not the same"), "{shown}");

    let mut screen = Screen::start(&ann, &register);
    screen.shows("Password: ").await;
    screen.types(&format!("{PASSWORD}\n"));
    screen.shows("Password again: ").await;
    screen.types(&format!("{PASSWORD}\n"));
    screen.shows(&server.fingerprint().to_string()).await;
    screen.shows("(yes/no)").await;
    screen.types("maybe\n");
    screen.shows("Please type yes or no.").await;
    screen.types("yes\n");
    let (code, shown) = screen.end().await;
    assert!(code == Some(0) && shown.contains("Ann <ann@example.org>"), "{shown}");
    assert!(!shown.contains(PASSWORD), "the password was echoed");
    ann.run(["whoami"]).await.ok();
}

#[tokio::test]
async fn trust_may_be_refused() {
    let server = TestServer::start().await;
    let (ann, address) = (Person::new("ann"), server.address().to_string());
    let mut screen = Screen::start(&ann, &["login", &address, &ann.email]);
    screen.shows("Password: ").await;
    screen.types(&format!("{PASSWORD}\n"));
    screen.shows("(yes/no)").await;
    screen.types("no\n");
    let (code, shown) = screen.end().await;
    assert!(code == Some(4) && shown.contains("was not accepted"), "{shown}");
    assert!(!ann.config().join("known_hosts").exists());
}

#[tokio::test]
async fn a_transfer_has_a_bar_with_rate_and_time_left() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = Person::registered("ann", proxy.address()).await;
    ann.file("film.mkv", 24 * MIB);
    proxy.slow_to(6 * MIB);
    let screen = Screen::start(&ann, &["upload", "film.mkv"]);
    screen.shows("█").await;
    screen.shows(" MiB/s").await;
    screen.shows(" s left").await;
    proxy.slow_to(1 << 30);
    let (code, shown) = screen.end().await;
    assert!(code == Some(0) && shown.contains("24.0 MiB stored in "), "{shown}");
}

#[tokio::test]
async fn chatting_at_a_terminal() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let bob = Person::registered("bob", server.socket_address()).await;
    ann.run(["send", &bob.email, "are you there?"]).await.ok();
    let mut screen = Screen::start(&bob, &["chat", &ann.email]);
    screen.shows("#1 ann: are you there?").await;
    screen.types("I am\r");
    screen.shows("#2 bob: I am").await;
    // A message that comes while a line is being typed leaves the line as it is.
    screen.types("half a li");
    ann.run(["send", &bob.email, "and now?"]).await.ok();
    screen.shows("#3 ann: and now?").await;
    screen.types("ne\r");
    screen.shows("#4 bob: half a line").await;
    screen.types("/members\r");
    screen.shows("bob <bob@example.org>").await;
    screen.types("/quit\r");
    let (code, shown) = screen.end().await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(!bob.run(["chats"]).await.ok().contains("new"), "what was on the screen is read");
}

#[tokio::test]
async fn ctrl_d_and_ctrl_c_leave_a_chat() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let bob = Person::registered("bob", server.socket_address()).await;
    for (key, expected) in [("\x04", 0), ("\x03", 130)] {
        let mut screen = Screen::start(&bob, &["chat", &ann.email]);
        screen.shows("> ").await;
        screen.types(key);
        let (code, shown) = screen.end().await;
        assert_eq!(code, Some(expected), "{shown}");
    }
}

#[tokio::test]
async fn ctrl_c_leaves_the_terminal_as_it_was() {
    let server = TestServer::start().await;
    let (ann, address) = (Person::new("ann"), server.address().to_string());
    let mut screen = Screen::start(&ann, &["login", &address, &ann.email]);
    screen.shows("Password: ").await;
    screen.types("\x03");
    let (code, shown) = screen.end().await;
    assert_eq!(code, Some(130), "{shown}");
}
