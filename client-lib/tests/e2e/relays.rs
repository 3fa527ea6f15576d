//! Relays that the two sides of a transfer are told of, and that take the tickets which come with them.

use crate::signals::{offer, open};
use hypersend_client::{
    Client,
    doctor::{
        nat::{NatKind, judge},
        survey::survey,
    },
    mailbox::MailboxChannel,
    protocol::{
        id::P2pId,
        p2p::RelayInfo,
        relay::{FromRelay, Nonce, ToRelay},
        signal::RelaySeat,
    },
};
use hypersend_lab::{TestRelay, TestServer, eventually, users, within};
use std::net::SocketAddr;
use tokio::net::UdpSocket;

const TOKEN: &str = "a-token-that-only-the-operator-knows";

/// The place of a side, once there are as many as that.
async fn seats(client: &Client, session: P2pId, count: usize) -> Vec<RelaySeat> {
    let look = async || {
        let seats = open(client, session).await.relays();
        (seats.len() == count).then_some(seats)
    };
    eventually("the server tells of so many relays", look).await
}

/// A side that has bound at a relay.
struct Bound {
    socket: UdpSocket,
    observed: SocketAddr,
    peer: bool,
}

async fn next(socket: &UdpSocket) -> FromRelay {
    let mut bytes = [0; 2_000];
    let length = within("the relay answers", socket.recv(&mut bytes)).await.unwrap();
    FromRelay::read(&bytes[..length]).unwrap()
}

async fn bind(seat: &RelaySeat) -> Bound {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(("127.0.0.1", seat.ports[0])).await.unwrap();
    let (session, nonce) = (seat.ticket.ticket.session, Nonce([7; 8]));
    socket.send(&ToRelay::Hello { session, nonce }.encode()).await.unwrap();
    let FromRelay::Challenge { cookie, .. } = next(&socket).await else { panic!("no Challenge") };
    socket.send(&ToRelay::Bind { nonce, cookie, ticket: seat.ticket }.encode()).await.unwrap();
    match next(&socket).await {
        FromRelay::Bound { observed, peer, .. } => Bound { socket, observed, peer },
        other => panic!("not bound: {other:?}"),
    }
}

/// Both sides at the relay of these seats; a packet goes from one to the other.
async fn meet(hers: &RelaySeat, his: &RelaySeat) -> [Bound; 2] {
    assert_eq!((hers.relay, &hers.ports), (his.relay, &his.ports));
    assert_ne!(hers.ticket, his.ticket);
    let (ann, bob) = (bind(hers).await, bind(his).await);
    assert_eq!((ann.peer, bob.peer), (false, true));
    assert_eq!(ann.observed, ann.socket.local_addr().unwrap());
    assert!(matches!(next(&ann.socket).await, FromRelay::PeerPresent { .. }));
    // What may be QUIC's.
    let packet = [0x40; 1_200];
    bob.socket.send(&packet).await.unwrap();
    let mut got = [0; 2_000];
    assert_eq!(within("it comes", ann.socket.recv(&mut got)).await.unwrap(), packet.len());
    [ann, bob]
}

#[tokio::test]
async fn the_servers_own_relay_takes_the_tickets_that_it_hands_out() {
    let server = TestServer::with([("RELAY_LISTEN", "127.0.0.1:0")]).await;
    let [ann, bob] = users(&server).await;
    let session = offer(&ann, &bob).await;
    let (hers, his) = (seats(&ann.client, session, 1).await, seats(&bob.client, session, 1).await);
    assert_eq!((hers[0].host.as_ref(), hers[0].ports.len()), (None, 2));
    let sides = meet(&hers[0], &his[0]).await;
    // The second port shows how a client looks from there.
    let nonce = Nonce([3; 8]);
    sides[0].socket.connect(("127.0.0.1", hers[0].ports[1])).await.unwrap();
    sides[0].socket.send(&ToRelay::Observe { nonce }.encode()).await.unwrap();
    let observed = sides[0].observed;
    assert_eq!(next(&sides[0].socket).await, FromRelay::Observed { nonce, observed });
}

#[tokio::test]
async fn the_sides_of_a_mailbox_meet_at_a_relay_too() {
    let server = TestServer::with([("RELAY_LISTEN", "127.0.0.1:0")]).await;
    let sender = within("a mailbox opens", MailboxChannel::open(server.config())).await.unwrap();
    let claiming = MailboxChannel::claim(server.config(), sender.nameplate());
    let receiver = within("it is claimed", claiming).await.unwrap();
    let (hers, his) = (sender.relays(), receiver.relays());
    assert_eq!((hers[0].ticket.ticket.session, hers.len()), (sender.id(), 1));
    meet(&hers[0], &his[0]).await;
}

#[tokio::test]
async fn a_relay_that_registers_is_handed_out_until_it_drains() {
    let server = TestServer::with([("RELAY_TOKEN", TOKEN)]).await;
    let [ann, bob] = users(&server).await;
    let session = offer(&ann, &bob).await;
    assert_eq!(seats(&ann.client, session, 0).await, []);
    let mut relay = TestRelay::start(&server, TOKEN, "fra1");
    let (hers, his) = (seats(&ann.client, session, 1).await, seats(&bob.client, session, 1).await);
    let host = hers[0].host.as_ref().map(ToString::to_string);
    assert_eq!((hers[0].name.as_str(), host.as_deref(), hers[0].ports.len()), ("fra1", Some("127.0.0.1"), 2));
    let _sides = meet(&hers[0], &his[0]).await;
    let listed = ann.client.relays().await.unwrap();
    assert_eq!((listed.len(), listed[0].relay, &listed[0].ports), (1, hers[0].relay, &hers[0].ports));
    relay.terminate();
    seats(&ann.client, session, 0).await;
    assert_eq!(ann.client.relays().await.unwrap(), []);
    assert_eq!(relay.ended(), None, "a session is still there");
}

/// It is not sent to for the half minute after which it would be forgotten. Its token is as a file has it that was edited by hand.
#[tokio::test]
async fn a_relay_that_has_ended_is_handed_out_no_more() {
    let server = TestServer::with([("RELAY_TOKEN", TOKEN)]).await;
    let [ann, bob] = users(&server).await;
    let session = offer(&ann, &bob).await;
    let mut relay = TestRelay::start(&server, &format!(" {TOKEN}\n"), "fra1");
    seats(&ann.client, session, 1).await;
    relay.terminate();
    let ended = eventually("the relay ends", || std::future::ready(relay.ended())).await;
    assert_eq!(ended, Some(0));
    assert_eq!(open(&ann.client, session).await.relays(), []);
}

#[tokio::test]
async fn a_relay_whose_server_has_another_key_lets_its_sessions_end_and_then_says_why() {
    let mut server = TestServer::with([("RELAY_TOKEN", TOKEN)]).await;
    let [ann, bob] = users(&server).await;
    let session = offer(&ann, &bob).await;
    let mut relay = TestRelay::start(&server, TOKEN, "fra1");
    let (hers, his) = (seats(&ann.client, session, 1).await, seats(&bob.client, session, 1).await);
    let sides = meet(&hers[0], &his[0]).await;
    server.set("SECRET_KEY", &"k".repeat(64));
    server.restart().await;
    let finds_out = || std::future::ready(relay.log().contains("nobody new is taken").then_some(()));
    eventually("the relay finds out", finds_out).await;
    sides[1].socket.send(&[0x40; 1_200]).await.unwrap();
    let mut got = [0; 2_000];
    assert_eq!(within("it comes", sides[0].socket.recv(&mut got)).await.unwrap(), 1_200);
    assert_eq!(relay.ended(), None, "a session is still there");
    for side in &sides {
        side.socket.send(&ToRelay::Unbind { session }.encode()).await.unwrap();
    }
    let ended = eventually("the relay ends", || std::future::ready(relay.ended())).await;
    assert_eq!(ended, Some(1));
    assert!(relay.log().contains("another key than before"), "{}", relay.log());
}

#[tokio::test]
async fn a_relay_with_another_token_is_told_so_and_ends() {
    for (settings, says) in [([("RELAY_TOKEN", TOKEN)], "401"), ([("RELAY_TOKEN", "")], "has set no RELAY_TOKEN")] {
        let server = TestServer::with(settings).await;
        let mut relay = TestRelay::start(&server, "another-token-of-as-many-bytes-as-that", "fra1");
        let ended = eventually("the relay ends", || std::future::ready(relay.ended())).await;
        assert_eq!(ended, Some(1));
        assert!(relay.log().contains(says), "{}", relay.log());
    }
}

#[tokio::test]
async fn relays_are_surveyed_at_each_of_their_ports() {
    let server = TestServer::with([("RELAY_LISTEN", "127.0.0.1:0")]).await;
    let [ann] = users(&server).await;
    let mut relays = ann.client.relays().await.unwrap();
    // One that is nowhere, which is asked in vain and comes last.
    let nowhere = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    relays.insert(0, RelayInfo { ports: vec![nowhere.local_addr().unwrap().port()], ..relays[0].clone() });
    let surveyed = within("the survey", survey(relays, "127.0.0.1")).await.unwrap();
    let [near, far] = &surveyed[..] else { panic!("{surveyed:?}") };
    assert_eq!((near.views.len(), far.views.len()), (2, 1));
    for view in &near.views {
        assert_eq!((view.asked, view.round_trips.len()), (5, 5), "{view:?}");
        assert_eq!(view.observed, view.own);
    }
    assert!(near.round_trip().is_some() && far.round_trip().is_none());
    let [four, six] = judge(surveyed.iter().flat_map(|relay| &relay.views));
    assert_eq!((four.unwrap().kind, six), (NatKind::Open, None));
}
