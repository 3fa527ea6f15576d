//! Where no UDP gets through, TCP carries everything; where it does again, QUIC takes its place.
//!
//! All other tests of this suite run over TCP as well with `HYPERSEND_LAB_TRANSPORT=tcp`, but for those about UDP paths.

use crate::support::{Desk, connect, download, next_message, text, upload};
use hypersend_client::{
    CertificateProblem, Client, ClientError, Config, Status, Transport, Transports, Trust,
    protocol::{
        account::GetMe,
        event::{EventsReset, OpenEvents},
        id::{Revision, Seq},
        refusal::ErrorCode,
        session::{Auth, GoingAway},
    },
};
use hypersend_lab::{
    RawPeer, TcpPath, TestServer, TestUser, Ways, eventually, fixtures::b3_of, user::password, users, within,
};
use hypersend_net::frames::send;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

fn only(transport: Transport, config: Config) -> Config {
    Config { transports: Transports::Only(transport), ..config }
}

async fn connected_over(client: &Client, transport: Transport) {
    let look =
        || std::future::ready(matches!(client.status(), Status::Connected { over } if over == transport).then_some(()));
    eventually("the client is connected as expected", look).await;
}

async fn ways_to(server: &TestServer) -> Ways {
    Ways::to(server.socket_address(), server.socket_address()).await
}

#[tokio::test]
async fn tcp_carries_all_that_quic_does() {
    let server = TestServer::start().await;
    let ann = TestUser::register(only(Transport::Tcp, server.config()), "ann").await;
    let bob = TestUser::register(only(Transport::Quic, server.config()), "bob").await;
    connected_over(&ann.client, Transport::Tcp).await;
    assert!(ann.client.round_trip().await.unwrap() > Duration::ZERO);

    let chat = ann.client.open_direct(bob.email()).await.unwrap();
    let mut hers = ann.client.open_chat(chat.id, Seq(0), Revision(0));
    let mut his = bob.client.open_chat(chat.id, Seq(0), Revision(0));
    hers.post(text("over TCP"), Vec::new()).await.unwrap();
    assert_eq!(next_message(&mut his).await.text, text("over TCP"));
    his.post(text("over QUIC"), Vec::new()).await.unwrap();
    assert_eq!(next_message(&mut hers).await.text, text("over TCP"));
    assert_eq!(next_message(&mut hers).await.text, text("over QUIC"));

    let desk = Desk::new();
    let source = desk.file("film", 40 * MIB + 7);
    let file = upload(&ann.client, &source).await;
    assert_eq!(file.root, b3_of(&source));
    ann.client.post(chat.id, None, vec![file.id]).await.unwrap();
    download(&bob.client, &file, &desk.path("his")).await;
    download(&ann.client, &file, &desk.path("hers")).await;
    assert_eq!((b3_of(&desk.path("his")), b3_of(&desk.path("hers"))), (file.root, file.root));
}

#[tokio::test]
async fn tcp_takes_over_where_udp_is_blocked_and_gives_back() {
    let server = TestServer::start().await;
    let ways = ways_to(&server).await;
    ways.udp.cut();
    let begun = Instant::now();
    let ann = TestUser::register(server.config_via(ways.address()), "ann").await;
    let took = begun.elapsed();
    connected_over(&ann.client, Transport::Tcp).await;
    assert!(took >= Duration::from_secs(3), "QUIC is tried first: {took:?}");
    let [bob] = users(&server).await;
    let chat = ann.client.open_direct(bob.email()).await.unwrap();
    let mut hers = ann.client.open_chat(chat.id, Seq(0), Revision(0));

    // A transfer that is under way goes on over QUIC, and a chat that is open misses nothing.
    ways.tcp.slow_to(2 << 20);
    let desk = Desk::new();
    let source = desk.file("film", 60 * MIB);
    let sending = ann.client.upload(&source);
    let mut progress = sending.progress();
    within("some of it is stored", progress.wait_for(|told| told.is_some_and(|told| told.stored_bytes > MIB)))
        .await
        .unwrap();
    ways.udp.restore();
    connected_over(&ann.client, Transport::Quic).await;
    let before = progress.borrow().unwrap().stored_bytes;
    assert!(before < 60 * MIB, "the transfer is still under way");
    let posted: Vec<_> = (0..20).map(|n| format!("{n}")).collect();
    for words in &posted {
        bob.client.post(chat.id, text(words), Vec::new()).await.unwrap();
    }
    assert_eq!(within("the upload ends", sending.finish()).await.unwrap().root, b3_of(&source));
    for words in &posted {
        assert_eq!(next_message(&mut hers).await.text, text(words));
    }
    let sent_by_udp = ways.udp.carried_up();
    assert!(sent_by_udp > MIB, "QUIC carried the rest: {sent_by_udp}");
    // The old connection is given up; nobody notices.
    ways.tcp.cut();
    hers.post(text("still here"), Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_client_told_to_use_one_transport_uses_no_other() {
    let server = TestServer::start().await;
    let ways = ways_to(&server).await;
    let ann = TestUser::register(server.config(), "ann").await;
    let config = server.config_via(ways.address());
    ways.udp.cut();
    let client =
        Client::start(only(Transport::Quic, config.clone()), ann.login(), hypersend_client::MemoryTokens::empty());
    let client = client.unwrap();
    let look = || std::future::ready(matches!(client.status(), Status::Connecting { failures: 1.., .. }).then_some(()));
    eventually("QUIC does not get through", look).await;

    connect(only(Transport::Tcp, config.clone()), ann.login()).await.unwrap();
    ways.udp.restore();
    ways.tcp.cut();
    connect(only(Transport::Quic, config), ann.login()).await.unwrap();
}

#[tokio::test]
async fn a_transfer_over_tcp_outlives_a_path_that_breaks_and_one_that_stands_still() {
    let server = TestServer::start().await;
    let path = TcpPath::start(server.socket_address()).await;
    let ann = TestUser::register(only(Transport::Tcp, server.config_via(path.address())), "ann").await;
    let desk = Desk::new();
    let source = desk.file("film", 40 * MIB);
    path.slow_to(8 << 20);
    let sending = ann.client.upload(&source);
    let mut progress = sending.progress();
    for (share, harm) in [(4, TcpPath::cut as fn(&TcpPath)), (12, TcpPath::stand_still)] {
        within("it gets on", progress.wait_for(|told| told.is_some_and(|told| told.stored_bytes >= share * MIB)))
            .await
            .unwrap();
        harm(&path);
        let look = || std::future::ready(matches!(ann.client.status(), Status::Connecting { .. }).then_some(()));
        eventually("the client notices", look).await;
        path.restore();
    }
    assert_eq!(within("the upload ends", sending.finish()).await.unwrap().root, b3_of(&source));
}

#[tokio::test]
async fn a_server_that_stops_says_so_over_tcp() {
    let mut server = TestServer::start().await;
    let ann = TestUser::register(server.config(), "ann").await;
    let mut peer = RawPeer::connect_over(Transport::Tcp, &server).await;
    peer.hello(Auth::Login { email: ann.email(), password: password() }).await.unwrap();
    let took = server.stop().await;
    peer.notice::<GoingAway>().await.unwrap();
    assert_eq!(peer.closed().await, ErrorCode::Stopping);
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn the_end_of_a_session_ends_its_clients_over_tcp() {
    let server = TestServer::start().await;
    let ann = TestUser::register(only(Transport::Tcp, server.config()), "ann").await;
    let other = ann.device(server.config()).await;
    let session = ann.client.ready().await.unwrap().session;
    other.end_session(session).await.unwrap();
    let error = crate::support::ended(&ann.client).await;
    assert!(matches!(&error, ClientError::Refused(refusal) if refusal.code == ErrorCode::SessionEnded), "{error:?}");
}

/// Over TCP a stream that is reset makes room at once; the server does no more at once for all that.
#[tokio::test]
async fn streams_that_are_reset_do_not_pile_up() {
    let server = TestServer::start().await;
    let ann = TestUser::register(server.config(), "ann").await;
    let mut peer = RawPeer::connect_over(Transport::Tcp, &server).await;
    peer.hello(Auth::Login { email: ann.email(), password: password() }).await.unwrap();
    let before = server.peak_memory();
    for _ in 0..2_000 {
        let (mut stream, mut answer) = peer.stream().await;
        send(&mut stream, &OpenEvents { after: None }).await.unwrap();
        stream.finish();
        within("the feed begins", answer.expect::<EventsReset>()).await.unwrap();
    }
    peer.ask(&GetMe {}).await.unwrap();
    let grown = server.peak_memory().saturating_sub(before);
    assert!(grown < 8 * MIB, "2,000 streams that are gone take {grown} bytes");
}

#[tokio::test]
async fn a_slow_upload_is_not_taken_for_a_dead_connection() {
    let server = TestServer::start().await;
    let path = TcpPath::start(server.socket_address()).await;
    let ann = TestUser::register(only(Transport::Tcp, server.config_via(path.address())), "ann").await;
    let desk = Desk::new();
    // At this rate what the kernels hold of it alone takes longer than a dead connection has.
    path.slow_to(16 << 10);
    let sending = ann.client.upload(desk.file("film", 8 * MIB));
    let unbroken = async {
        loop {
            assert!(matches!(ann.client.status(), Status::Connected { .. }), "{:?}", ann.client.status());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(25), unbroken).await.is_err());
    drop(sending);
}

#[tokio::test]
async fn a_server_that_only_tcp_reaches_is_met_by_its_fingerprint() {
    let server = TestServer::start().await;
    let ways = ways_to(&server).await;
    ways.udp.cut();
    let config = Config { trust: Trust::web_pki(), ..server.config_via(ways.address()) };
    let ann = TestUser::register(server.config(), "ann").await;
    let refused = connect(config, ann.login()).await.unwrap_err();
    let ClientError::Certificate(CertificateProblem::Unknown { fingerprint, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(fingerprint, server.fingerprint());
}

/// A portal that lets no UDP through and shows a certificate of its own is waited out by who has met the server.
#[tokio::test]
async fn another_certificate_over_tcp_does_not_end_a_client() {
    let (server, portal) = (TestServer::start().await, TestServer::start().await);
    let ways = Ways::to(server.socket_address(), portal.socket_address()).await;
    let ann = TestUser::register(server.config_via(ways.address()), "ann").await;
    connected_over(&ann.client, Transport::Quic).await;
    ways.udp.cut();
    let look = || {
        let status = ann.client.status();
        assert!(!matches!(status, Status::Ended(_)), "{status:?}");
        std::future::ready(matches!(status, Status::Connecting { failures: 1.., .. }).then_some(()))
    };
    eventually("neither way leads to the server", look).await;
    ways.udp.restore();
    connected_over(&ann.client, Transport::Quic).await;
}
