//! Whose certificate is accepted: pinned like ssh at first contact, loud when it changes.

use crate::person::{Person, Running};
use hypersend_lab::TestServer;
use std::fs;

#[tokio::test]
async fn an_unknown_server_is_not_trusted_without_being_told_to() {
    let server = TestServer::start().await;
    let ann = Person::new("ann");
    let (address, fingerprint) = (server.address().to_string(), server.fingerprint().to_string());
    let words = ["register", &address, &ann.email, "--name", "Ann"];
    let err = ann.run(words).await.fails(4);
    assert!(err.contains(&fingerprint) && err.contains("--accept-new-key"), "{err}");
    assert!(!ann.config().join("known_hosts").exists());

    ann.run([&["--accept-new-key"][..], &words].concat()).await.ok();
    assert_eq!(fs::read_to_string(ann.config().join("known_hosts")).unwrap(), format!("{address} {fingerprint}\n"));
}

#[tokio::test]
async fn a_changed_certificate_is_loud_and_no_flag_waves_it_through() {
    let mut server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let before = server.fingerprint().to_string();
    server.kill();
    server.forget_certificate();
    server.start_again().await;
    let now = server.fingerprint().to_string();
    for words in [&["whoami"][..], &["--accept-new-key", "whoami"]] {
        let err = ann.run(words).await.fails(4);
        for part in ["HAS CHANGED", &before, &now, "remove line 1 of", "known_hosts"] {
            assert!(err.contains(part), "{part} in {err}");
        }
    }
    // What it says to do is what helps.
    fs::write(ann.config().join("known_hosts"), "").unwrap();
    ann.run(["--accept-new-key", "whoami"]).await.ok();
    ann.run(["whoami"]).await.ok();
}

#[tokio::test]
async fn an_authority_in_a_file_is_trusted_and_remembered() {
    let server = TestServer::start().await;
    let ann = Person::new("ann");
    let (address, ca) = (server.address().to_string(), server.certificate());
    let ca = ca.to_str().unwrap();
    ann.run(["--ca", ca, "register", &address, &ann.email, "--name", "Ann"]).await.ok();
    assert!(!ann.config().join("known_hosts").exists(), "nothing had to be pinned");
    ann.run(["whoami"]).await.ok();

    let other = TestServer::start().await;
    let err = ann.run(["--ca", other.certificate().to_str().unwrap(), "whoami"]).await.fails(4);
    assert!(err.contains("no authority in"), "{err}");
    fs::write(ann.path("none.pem"), "nothing").unwrap();
    let err = ann.run(["--ca", "none.pem", "whoami"]).await.fails(4);
    assert!(err.contains("none.pem"), "{err}");
    ann.run(["--ca", "missing.pem", "whoami"]).await.fails(7);
}

/// A certificate that this machine's authorities vouch for is accepted silently; one that they no longer vouch for is not
/// taken for a first contact.
#[tokio::test]
async fn a_server_that_was_vouched_for_has_to_stay_so() {
    let server = TestServer::start().await;
    let ann = Person::new("ann");
    let (address, authorities) = (server.address().to_string(), server.certificate());
    let vouched = async |words: &[&str]| {
        let mut command = ann.command(words);
        // What stands in for the machine's own list on every Unix.
        command.env("SSL_CERT_FILE", &authorities);
        Running::start(command).end().await
    };
    vouched(&["register", &address, &ann.email, "--name", "Ann"]).await.ok();
    assert!(!ann.config().join("known_hosts").exists());
    vouched(&["whoami"]).await.ok();
    let err = ann.run(["--accept-new-key", "whoami"]).await.fails(4);
    assert!(err.contains("no authority vouches any more") && err.contains("try: ask"), "{err}");
    ann.run(["--accept-new-key", "login", &address, &ann.email]).await.ok();
    ann.run(["whoami"]).await.ok();
}
