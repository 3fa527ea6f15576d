//! What the two sides of a transfer say to each other by way of the server.

use crate::support::{code, disconnected, hears, says};
use hypersend_client::{
    Client, ClientError, SignalChannel,
    protocol::{
        id::P2pId,
        limit::{MAX_SIGNAL_BYTES, MAX_SIGNALS_AT_ONCE},
        p2p::{OfferedFile, P2pStatus},
        refusal::ErrorCode,
        session::Auth,
        signal::{OpenSignals, Signal, SignalValue, SignalsOpen},
    },
};
use hypersend_lab::{
    Proxy, RawPeer, TestServer, TestUser, mongod,
    peer::refusal,
    user::{email, password},
    users, within,
};
use hypersend_net::frames::send;
use std::time::{Duration, Instant};

pub(crate) async fn offer(from: &TestUser, to: &TestUser) -> P2pId {
    let chat = from.client.open_direct(to.email()).await.unwrap().id;
    let files = vec![OfferedFile { name: "film.mkv".parse().unwrap(), size: 1 << 30, folder: false }];
    from.client.offer_p2p(chat, to.id(), files).await.unwrap().id
}

pub(crate) async fn open(client: &Client, session: P2pId) -> SignalChannel {
    within("the signals are open", client.open_signals(session)).await.unwrap()
}

#[tokio::test]
async fn both_sides_hear_what_the_other_set_last() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let session = offer(&ann, &bob).await;
    let mut hers = open(&ann.client, session).await;
    hers.set(b"before bob came".to_vec()).unwrap();
    let mut his = open(&bob.client, session).await;
    hears(&mut his, b"before bob came").await;
    says(&his, &mut hers, b"\0").await;
    says(&hers, &mut his, &vec![0xff; MAX_SIGNAL_BYTES]).await;
    for value in [Vec::new(), vec![0; MAX_SIGNAL_BYTES + 1]] {
        assert_eq!(hers.set(value.clone()).unwrap_err().0, value.len());
    }
    // More than the server reads at once: what counts is the last.
    for n in 0..10 * MAX_SIGNALS_AT_ONCE {
        his.set(n.to_be_bytes().to_vec()).unwrap();
    }
    hears(&mut hers, &(10 * MAX_SIGNALS_AT_ONCE - 1).to_be_bytes()).await;
    // Accepting is no end.
    bob.client.change_p2p(session, Some(P2pStatus::Accepted), None).await.unwrap();
    says(&his, &mut hers, b"accepted").await;
}

#[tokio::test]
async fn the_end_of_a_transfer_ends_its_signals() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let session = offer(&ann, &bob).await;
    let (mut hers, mut his) = (open(&ann.client, session).await, open(&bob.client, session).await);
    says(&hers, &mut his, b"hello").await;
    ann.client.change_p2p(session, Some(P2pStatus::Cancelled), None).await.unwrap();
    assert_eq!(within("his end", his.next()).await.unwrap(), None);
    assert_eq!(within("her end", hers.next()).await.unwrap(), None);
    assert_eq!(within("it stays so", hers.next()).await.unwrap(), None);
    assert_eq!(code(ann.client.open_signals(session).await), ErrorCode::Conflict);
}

#[tokio::test]
async fn only_the_two_sides_may_speak() {
    let server = TestServer::start().await;
    let [ann, bob, carol] = users(&server).await;
    let session = offer(&ann, &bob).await;
    assert_eq!(code(carol.client.open_signals(session).await), ErrorCode::NotFound);
    assert_eq!(code(ann.client.open_signals(P2pId(uuid::Uuid::now_v7())).await), ErrorCode::NotFound);
}

async fn superseded(channel: &mut SignalChannel) {
    let end = async {
        loop {
            match channel.next().await {
                Ok(value) => assert!(value.is_some(), "the transfer goes on"),
                Err(error) => return error,
            }
        }
    };
    assert_eq!(within("the older one ends", end).await.code(), Some(ErrorCode::Superseded));
}

#[tokio::test]
async fn of_two_devices_on_one_side_the_newest_speaks() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let session = offer(&ann, &bob).await;
    let (mut older, mut his) = (open(&ann.client, session).await, open(&bob.client, session).await);
    says(&older, &mut his, b"older").await;
    let device = ann.device(server.config()).await;
    let mut newer = open(&device, session).await;
    superseded(&mut older).await;
    says(&newer, &mut his, b"newer").await;
    says(&his, &mut newer, b"bob").await;
}

#[tokio::test]
async fn a_lost_connection_is_no_end() {
    let mut server = TestServer::start().await;
    let [ann] = users(&server).await;
    let proxy = Proxy::start(server.socket_address());
    let bob = TestUser::register(server.config_via(proxy.address()), "bob").await;
    let session = offer(&ann, &bob).await;
    let (mut hers, mut his) = (open(&ann.client, session).await, open(&bob.client, session).await);
    says(&his, &mut hers, b"before").await;
    proxy.cut();
    disconnected(&bob.client).await;
    hers.set(b"while bob is away".to_vec()).unwrap();
    his.set(b"while away".to_vec()).unwrap();
    proxy.restore();
    hears(&mut his, b"while bob is away").await;
    hears(&mut hers, b"while away").await;
    // What was set is not in any file of the server.
    server.restart().await;
    let mut late = open(&ann.device(server.config()).await, session).await;
    hears(&mut late, b"while away").await;
    says(&late, &mut his, b"again").await;
}

#[tokio::test]
async fn a_client_that_sets_too_often_is_held_and_not_refused() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let bob = TestUser::register(server.config(), "bob").await;
    let session = offer(&ann, &bob).await;
    let mut hers = open(&ann.client, session).await;
    let raw = RawPeer::login(&server, Auth::Login { email: email("bob"), password: password() }).await;
    let (mut stream, mut answer) = raw.stream().await;
    send(&mut stream, &OpenSignals { session }).await.unwrap();
    within("it opens", answer.expect::<SignalsOpen>()).await.unwrap();
    let begun = Instant::now();
    let values = MAX_SIGNALS_AT_ONCE + 10;
    for n in 1..=values {
        let value = SignalValue::new(n.to_be_bytes().to_vec()).unwrap();
        send(&mut stream, &Signal { value }).await.unwrap();
    }
    hears(&mut hers, &values.to_be_bytes()).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    // A value of no bytes is no signal.
    let empty = [0x42, 0x34, 0x08, 0xa1, 0x65, b'v', b'a', b'l', b'u', b'e', 0x40];
    stream.write(bytes::Bytes::copy_from_slice(&empty)).await.unwrap();
    assert_eq!(refusal(within("it is refused", answer.expect::<Signal>()).await), ErrorCode::BadFrame);
}

#[tokio::test]
async fn sides_at_two_servers_hear_each_other() {
    let database = mongod::database().await;
    let mut here = TestServer::start().await;
    here.stop().await;
    here.set("MONGODB_URI", &database.uri());
    here.start_again().await;
    let there = here.beside().await;
    let ann = TestUser::register(here.config(), "ann").await;
    let bob = TestUser::register(there.config(), "bob").await;
    let session = offer(&ann, &bob).await;
    let mut hers = open(&ann.client, session).await;
    hers.set(b"early".to_vec()).unwrap();
    let mut his = open(&bob.client, session).await;
    hears(&mut his, b"early").await;
    for n in 0..5_u8 {
        says(&his, &mut hers, &[n]).await;
        says(&hers, &mut his, &[n, n]).await;
    }
    // Her other device is at his server.
    let device = ann.device(there.config()).await;
    let newer = open(&device, session).await;
    superseded(&mut hers).await;
    says(&newer, &mut his, b"newer").await;
    device.change_p2p(session, Some(P2pStatus::Cancelled), None).await.unwrap();
    assert_eq!(within("his end", his.next()).await.unwrap(), None);
    assert!(matches!(device.open_signals(session).await, Err(ClientError::Refused(_))));
}
