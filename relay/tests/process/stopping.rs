//! It takes nobody new, lets the others finish, and ends.

use crate::{
    client::Client,
    program::{Program, eventually},
    tickets::ticket,
};
use hypersend_protocol::relay::{FromRelay, RelayRefusal, ticket::Side};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_is_told_to_stop_takes_nobody_new_and_ends_with_its_last_session() {
    let mut relay = Program::start("127.0.0.1:0", &["--drain", "86400"]);
    let at = relay.at("127.0.0.1");
    let [mut sender, mut receiver, mut late] = std::array::from_fn(|_| Client::new(at, None));
    sender.join(1, Side::Sender).await;
    receiver.join(1, Side::Receiver).await;
    assert!(relay.get("/readyz").starts_with("HTTP/1.1 200 ") && relay.get("/").starts_with("HTTP/1.1 404 "));
    assert!(relay.get("/metrics").ends_with("# EOF\n"));
    relay.terminate();
    eventually("that it leaves", || (relay.metric("leaving") == 1).then_some(()));
    assert!(relay.get("/readyz").starts_with("HTTP/1.1 503 ") && relay.get("/healthz").starts_with("HTTP/1.1 200 "));
    let refused = late.bind(ticket(2, Side::Sender)).await;
    assert!(matches!(refused, FromRelay::Refused { reason: RelayRefusal::Leaving, .. }), "{refused:?}");
    // A NAT may rebind at any time.
    let mut moved = Client::new(at, None);
    moved.join(1, Side::Sender).await;
    moved.leave(1);
    receiver.leave(1);
    assert!(relay.ended().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_does_not_end_holds_nothing_up() {
    let mut relay = Program::start("127.0.0.1:0", &["--drain", "1"]);
    Client::new(relay.at("127.0.0.1"), None).join(1, Side::Sender).await;
    relay.terminate();
    assert!(relay.ended().success());
}
