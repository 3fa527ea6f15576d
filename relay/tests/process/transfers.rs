//! Two quinn endpoints talk through it, and go on after it was killed.

use crate::{
    client::{Certified, Client},
    program::Program,
};
use hypersend_protocol::relay::ticket::Side;
use quinn::{Connection, RecvStream, SendStream};

const MIB: usize = 1 << 20;

/// Bytes that are nowhere the same for long.
fn content(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(step).collect()
}

/// Both sides of a session, and a connection between them.
struct Pair {
    sender: Client,
    receiver: Client,
    outgoing: Connection,
    incoming: Connection,
    number: u16,
}

impl Pair {
    async fn meet(relay: &Program, ips: [&str; 2], number: u16) -> Self {
        let certified = Certified::new();
        let mut sender = Client::new(relay.at(ips[0]), None);
        let mut receiver = Client::new(relay.at(ips[1]), Some(&certified));
        sender.join(number, Side::Sender).await;
        receiver.join(number, Side::Receiver).await;
        let accept = async { receiver.endpoint.accept().await.unwrap().await.unwrap() };
        let (outgoing, incoming) = tokio::join!(sender.connect(&certified), accept);
        Self { sender, receiver, outgoing, incoming, number }
    }

    /// A stream from the sender, with so much written on it already as nobody has to wait for.
    async fn stream(&self) -> (SendStream, RecvStream, SendStream) {
        let (mut out, _) = self.outgoing.open_bi().await.unwrap();
        out.write_all(b"!").await.unwrap();
        let (back, mut into) = self.incoming.accept_bi().await.unwrap();
        let mut first = [0];
        into.read_exact(&mut first).await.unwrap();
        (out, into, back)
    }

    /// Both send all of it at once, and both get it.
    async fn exchange(&self, content: &[u8]) {
        let send = async |connection: &Connection| {
            let mut stream = connection.open_uni().await.unwrap();
            stream.write_all(content).await.unwrap();
            stream.finish().unwrap();
        };
        let take = async |connection: &Connection| {
            let mut stream = connection.accept_uni().await.unwrap();
            assert!(stream.read_to_end(content.len()).await.unwrap() == content);
        };
        tokio::join!(send(&self.outgoing), take(&self.incoming), send(&self.incoming), take(&self.outgoing));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_endpoints_exchange_megabytes_through_a_relay() {
    let relay = Program::start("127.0.0.1:0", &["--sockets", "1"]);
    let pair = Pair::meet(&relay, ["127.0.0.1"; 2], 1).await;
    pair.exchange(&content(8 * MIB)).await;
    assert!(relay.metric("forwarded_bytes_total") > 16 * MIB as u64);
    assert_eq!((relay.metric("sessions"), relay.metric("addresses")), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_pass_between_the_sockets_of_a_port_and_between_ipv4_and_ipv6() {
    let relay = Program::start("[::]:0", &["--sockets", "4"]);
    let content = content(MIB);
    // The kernel divides sixteen addresses among four sockets: hardly ever each pair to one.
    for number in 0..8 {
        let ips = if number % 2 == 0 { ["127.0.0.1", "::1"] } else { ["::1", "127.0.0.1"] };
        Pair::meet(&relay, ips, number).await.exchange(&content).await;
    }
    assert_eq!(relay.metric("sessions"), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounded_capacity_slows_a_transfer_down_and_does_not_break_it() {
    let relay = Program::start("127.0.0.1:0", &["--sockets", "1", "--capacity", "8M"]);
    let pair = Pair::meet(&relay, ["127.0.0.1"; 2], 1).await;
    pair.exchange(&content(MIB)).await;
    assert!(relay.metric("dropped_datagrams_total{reason=\"over-share\"}") > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_goes_on_when_the_relay_was_killed_and_both_bind_again() {
    let mut relay = Program::start("127.0.0.1:0", &[]);
    let listen = relay.at("127.0.0.1").to_string();
    let mut pair = Pair::meet(&relay, ["127.0.0.1"; 2], 1).await;
    let (mut out, mut into, _back) = pair.stream().await;
    let sent = content(32 * MIB);
    let writing = tokio::spawn(async move {
        out.write_all(&sent).await.unwrap();
        out.finish().unwrap();
        sent
    });
    let mut got = vec![0; MIB];
    into.read_exact(&mut got).await.unwrap();
    relay.kill();
    let relay = Program::start(&listen, &[]);
    assert_eq!(relay.metric("addresses"), 0);
    let number = pair.number;
    tokio::join!(pair.sender.join(number, Side::Sender), pair.receiver.join(number, Side::Receiver));
    got.extend(into.read_to_end(32 * MIB).await.unwrap());
    assert!(got == writing.await.unwrap());
    assert!(relay.metric("forwarded_bytes_total") > 0);
}
