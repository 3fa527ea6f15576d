//! Ways over a relay.

use crate::pair::{PATIENCE, Registers, Relay, both, talk};
use hypersend_paths::{RelayPlace, RelayState, Role, Way, Why};
use hypersend_protocol::paths::{CandidateKind, Mapping};
use std::net::SocketAddr;
use tokio::{net::UdpSocket, time::timeout};

fn is_relayed(way: &Way) -> bool {
    !way.is_direct()
}

#[tokio::test]
async fn a_relay_is_the_way_where_no_direct_one_is_wanted() {
    let relay = Relay::start();
    let [mut sender, mut receiver] = both(&Registers::new(), |config| {
        config.relays = vec![relay.place(config.role)];
        config.direct = false;
    });
    let (one, other) = (sender.up(|_| true).await, receiver.up(|_| true).await);
    assert_eq!(one.way, Way::Relayed { name: "fra1".to_owned(), address: relay.address, tunnelled: false });
    assert_eq!((one.way.to_string().as_str(), one.way), ("relay fra1", other.way));
    talk(&one.connection, &other.connection).await;
    let report = sender.paths.report().borrow().clone();
    assert!(matches!(report.relays[0].state, RelayState::Bound { has_peer: true, .. }), "{report:?}");
    let peer = report.peer.unwrap();
    assert!(peer.candidates.is_empty(), "an address was told: {peer:?}");
}

#[tokio::test]
async fn relay_and_direct_way_are_both_there() {
    let relay = Relay::start();
    let [mut sender, mut receiver] = both(&Registers::new(), |config| config.relays = vec![relay.place(config.role)]);
    let (mut direct, mut relayed) = (None, None);
    while direct.is_none() || relayed.is_none() {
        let (one, other) = (sender.up(|_| true).await, receiver.up(|_| true).await);
        assert_eq!(one.way.is_direct(), other.way.is_direct());
        talk(&one.connection, &other.connection).await;
        let is_direct = one.way.is_direct();
        *(if is_direct { &mut direct } else { &mut relayed }) = Some(one);
    }
    let report = sender.paths.report().borrow().clone();
    assert!(report.own.candidates.iter().any(|candidate| candidate.kind == CandidateKind::Observed), "{report:?}");
}

#[tokio::test]
async fn relays_may_come_later() {
    let relay = Relay::start();
    let [mut sender, mut receiver] = both(&Registers::new(), |config| config.direct = false);
    for (end, role) in [(&sender, Role::Sender), (&receiver, Role::Receiver)] {
        end.paths.add_relays(vec![relay.place(role)]).await;
    }
    let (one, other) = (sender.up(is_relayed).await, receiver.up(is_relayed).await);
    talk(&one.connection, &other.connection).await;
}

#[tokio::test]
async fn a_relay_that_was_started_again_is_found_again() {
    let relay = Relay::start();
    let [mut sender, mut receiver] = both(&Registers::new(), |config| {
        config.relays = vec![relay.place(config.role)];
        config.direct = false;
    });
    let one = sender.up(is_relayed).await;
    receiver.up(is_relayed).await;
    let address = relay.kill().await;
    let _relay = Relay::start_at(address);
    // It knows nobody. Neither side is told so: what is sent has no answer.
    one.connection.open_bi().await.unwrap().0.write_all(b"is anybody there?").await.unwrap();
    assert_eq!(sender.down(one.path).await, Why::Silent);
    let (one, other) = (sender.up(is_relayed).await, receiver.up(is_relayed).await);
    talk(&one.connection, &other.connection).await;
}

#[tokio::test]
async fn what_goes_through_a_tunnel_goes_by_udp_as_soon_as_that_gets_through() {
    let relay = Relay::start();
    let (silent, tunnel) = (UdpSocket::bind("127.0.0.1:0").await.unwrap(), tunnel(relay.address).await);
    let [mut sender, mut receiver] = both(&Registers::new(), |config| {
        let mut place = relay.place(config.role);
        if config.role == Role::Sender {
            (place.addresses, place.tunnel) = (vec![silent.local_addr().unwrap()], Some(tunnel));
        }
        (config.relays, config.direct) = (vec![place], false);
    });
    let (one, other) = (sender.up(|_| true).await, receiver.up(|_| true).await);
    assert_eq!(one.way, Way::Relayed { name: "fra1".to_owned(), address: tunnel, tunnelled: true });
    assert!(matches!(other.way, Way::Relayed { tunnelled: false, .. }), "{}", other.way);
    talk(&one.connection, &other.connection).await;
    let report = sender.paths.report().borrow().clone();
    assert_eq!((report.own.mapping, report.relays[0].tunnelled), (Mapping::Blocked, true), "{report:?}");

    let place = RelayPlace { tunnel: Some(tunnel), ..relay.place(Role::Sender) };
    sender.paths.add_relays(vec![place]).await;
    sender.down(one.path).await;
    let (one, other) = (sender.up(is_relayed).await, receiver.up(is_relayed).await);
    assert_eq!(one.way, Way::Relayed { name: "fra1".to_owned(), address: relay.address, tunnelled: false });
    talk(&one.connection, &other.connection).await;
}

/// An address from which all goes to another and back.
async fn tunnel(to: SocketAddr) -> SocketAddr {
    let [near, far] = [UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap()];
    far.connect(to).await.unwrap();
    let address = near.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut out, mut back) = ([0; 2_000], [0; 2_000]);
        let mut speaker = None;
        loop {
            tokio::select! {
                Ok((length, from)) = near.recv_from(&mut out) => {
                    speaker = Some(from);
                    let _ = far.send(&out[..length]).await;
                }
                Ok(length) = far.recv(&mut back) => if let Some(speaker) = speaker {
                    let _ = near.send_to(&back[..length], speaker).await;
                },
            }
        }
    });
    address
}

#[tokio::test]
async fn a_refusal_is_reported() {
    let relay = Relay::start();
    let [sender, _receiver] = both(&Registers::new(), |config| {
        let mut place = relay.place(config.role);
        place.ticket.signature = [1; 64];
        config.relays = vec![place];
    });
    let mut report = sender.paths.report();
    let refused = report.wait_for(|report| matches!(report.relays[0].state, RelayState::Refused(_)));
    timeout(PATIENCE, refused).await.expect("a refusal in time").unwrap();
}

#[tokio::test]
async fn whoever_closes_leaves_no_seat_behind() {
    let relay = Relay::start();
    let [mut sender, mut receiver] = both(&Registers::new(), |config| {
        config.relays = vec![relay.place(config.role)];
        config.direct = false;
    });
    tokio::join!(sender.up(is_relayed), receiver.up(is_relayed));
    assert_eq!(relay.observer.snapshot().addresses, 2);
    tokio::join!(sender.paths.close(), receiver.paths.close());
    let gone = async {
        while relay.observer.snapshot().addresses != 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("the seats are given back in time");
}
