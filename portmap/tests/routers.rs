//! Mappings by real routers: the lab's own, which speaks PCP or NAT-PMP, and `miniupnpd`, where it is there, which speaks UPnP too.
//! Left out where network namespaces cannot be made.

#![expect(clippy::unwrap_used, reason = "whatever fails here is a failed test")]

use hypersend_lab::{
    Dice, Nat, NatLab, eventually,
    nat::{MiniUpnp, PortMapper, Speaks},
    within,
};
use hypersend_portmap::{Grant, Mapping, try_out};
use std::{
    net::{SocketAddr, UdpSocket},
    num::NonZeroU16,
    time::Duration,
};
use tokio::{runtime::Builder, sync::watch};

/// Only so that a test that fails ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// Does something on host a, in a runtime whose threads are all there.
fn on_a<T: Send>(lab: &NatLab, what: impl AsyncFnOnce() -> T + Send) -> T {
    let run = || Builder::new_current_thread().enable_all().build().unwrap().block_on(what());
    lab.a.host().inside(run).unwrap()
}

fn port(of: &UdpSocket) -> NonZeroU16 {
    NonZeroU16::new(of.local_addr().unwrap().port()).unwrap()
}

/// The outside address, once there is one.
async fn mapped(outside: &mut watch::Receiver<Option<SocketAddr>>) -> SocketAddr {
    let seen = within("a mapping", outside.wait_for(Option::is_some)).await;
    (*seen.unwrap()).unwrap()
}

/// Sends to an address from a socket of the public host that nobody has heard of.
fn stranger(lab: &NatLab, to: SocketAddr) -> SocketAddr {
    let socket = lab.public().inside(|| UdpSocket::bind((NatLab::PUBLIC[1], 0))).unwrap().unwrap();
    socket.send_to(b"stranger", to).unwrap();
    socket.local_addr().unwrap()
}

/// From whom the next datagram comes.
fn next(socket: &UdpSocket) -> SocketAddr {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.recv_from(&mut [0; 16]).unwrap().1
}

#[test]
fn whoever_has_a_mapping_is_reached_by_everybody_until_it_is_closed() {
    for (nat, speaks) in [(Nat::Symmetric, Speaks::Pcp), (Nat::Restricted, Speaks::NatPmp)] {
        let Some(lab) = NatLab::new(nat, Nat::Open) else { return };
        let router = PortMapper::start(&lab.a, speaks, 600);
        let socket = lab.a.socket();
        let address = on_a(&lab, async || {
            let mapping = Mapping::request(port(&socket));
            let mut outside = mapping.outside();
            let address = mapped(&mut outside).await;
            assert_eq!(address.ip(), lab.a.outside_ip(), "{speaks:?}");
            assert_eq!(stranger(&lab, address), next(&socket), "{speaks:?}");
            assert_eq!(router.mapped(), [port(&socket).get()]);
            mapping.close().await;
            assert_eq!((router.mapped(), *outside.borrow()), (Vec::new(), None), "{speaks:?}");
            address
        });
        // What is sent there now does not come: what comes is from a known one, which was sent to.
        let known = lab.public().inside(|| UdpSocket::bind((NatLab::PUBLIC[0], 0))).unwrap().unwrap();
        socket.send_to(b"hello", known.local_addr().unwrap()).unwrap();
        known.set_read_timeout(Some(PATIENCE)).unwrap();
        let (_, seen) = known.recv_from(&mut [0; 16]).unwrap();
        stranger(&lab, address);
        for _ in 0..3 {
            known.send_to(b"known", seen).unwrap();
            assert_eq!(next(&socket), known.local_addr().unwrap(), "{speaks:?}");
        }
    }
}

#[test]
fn a_dropped_mapping_is_given_back_and_one_is_renewed_while_it_is_held() {
    let Some(lab) = NatLab::new(Nat::Symmetric, Nat::Open) else { return };
    // So short that without a renewal it would be over at once: it is renewed every four seconds.
    let router = PortMapper::start(&lab.a, Speaks::Pcp, 6);
    let socket = lab.a.socket();
    on_a(&lab, async || {
        let mapping = Mapping::request(port(&socket));
        let mut outside = mapping.outside();
        let before = mapped(&mut outside).await;
        // The router is started anew, and knows nothing any more; the renewal brings another port.
        lab.a.flush_mapping();
        let other = within("the renewal", outside.wait_for(|seen| seen.is_some_and(|seen| seen != before))).await;
        let other = (*other.unwrap()).unwrap();
        assert_eq!(stranger(&lab, other), next(&socket));
        drop(mapping);
        let gone = async || router.mapped().is_empty().then_some(());
        eventually("the end of the mapping", gone).await;
    });
}

#[test]
fn who_gives_nothing_is_no_harm() {
    let Some(lab) = NatLab::new(Nat::Restricted, Nat::Open) else { return };
    let router = PortMapper::start(&lab.a, Speaks::No, 600);
    let socket = lab.a.socket();
    on_a(&lab, async || {
        let mapping = Mapping::request(port(&socket));
        assert_eq!(*mapping.outside().borrow(), None);
        within("the end, in the midst of a question", mapping.close()).await;
        assert!(router.mapped().is_empty());
    });
}

#[test]
fn what_a_router_would_give_is_given_back_at_once() {
    for (speaks, seconds, protocol) in [(Speaks::Pcp, 600, "PCP"), (Speaks::NatPmp, 120, "NAT-PMP")] {
        let Some(lab) = NatLab::new(Nat::Symmetric, Nat::Open) else { return };
        let router = PortMapper::start(&lab.a, speaks, seconds);
        let socket = lab.a.socket();
        let grant = on_a(&lab, async || within("an answer", try_out(port(&socket), PATIENCE)).await).unwrap();
        let Grant { outside, lifetime, .. } = grant;
        assert_eq!(outside.ip(), lab.a.outside_ip(), "{speaks:?}");
        assert_eq!((grant.protocol, lifetime), (protocol, Duration::from_secs(seconds.into())));
        assert!(router.mapped().is_empty(), "{speaks:?}: it is still mapped");
    }
    let Some(lab) = NatLab::new(Nat::Restricted, Nat::Open) else { return };
    let _router = PortMapper::start(&lab.a, Speaks::No, 600);
    let socket = lab.a.socket();
    assert_eq!(on_a(&lab, async || within("the end", try_out(port(&socket), PATIENCE)).await), None);
}

/// Many mappings at once, each of which gets other bytes for an answer.
#[test]
fn a_router_that_answers_with_rubbish_is_no_harm() {
    const MAPPINGS: u16 = 200;
    let Some(lab) = NatLab::new(Nat::Restricted, Nat::Open) else { return };
    let router = lab.a.edge().inside(|| UdpSocket::bind((lab.a.gateway(), 5351))).unwrap().unwrap();
    router.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut dice = Dice::new();
    let rubbish = || {
        for _ in 0..MAPPINGS {
            let mut question = [0; 1_100];
            let (_, from) = router.recv_from(&mut question).unwrap();
            let length = usize::try_from(dice.below(70)).unwrap();
            let mut answer: Vec<_> = (0..length).map(|_| dice.roll().to_le_bytes()[0]).collect();
            // Half of them begin as an answer that is a yes, of both protocols in turn.
            let head: [u8; 4] = if dice.below(2) == 0 { [2, 0x81, 0, 0] } else { [0, 0x81, 0, 0] };
            if dice.below(2) == 0 {
                answer.iter_mut().zip(head).for_each(|(byte, of_head)| *byte = of_head);
            }
            router.send_to(&answer, from).unwrap();
        }
    };
    std::thread::scope(|scope| {
        let rubbish = scope.spawn(rubbish);
        on_a(&lab, async || {
            let mappings: Vec<_> =
                (0..MAPPINGS).map(|at| Mapping::request(NonZeroU16::new(20_000 + at).unwrap())).collect();
            let all = async || rubbish.is_finished().then_some(());
            eventually("an answer to everybody", all).await;
            for mapping in mappings {
                let outside = mapping.outside();
                assert!(outside.has_changed().is_ok_and(|changed| !changed), "it has no mapping, and goes on");
                mapping.close().await;
            }
        });
    });
}

#[test]
fn another_program_for_routers_maps_by_pcp_and_by_upnp() {
    for asked in [true, false] {
        let Some(lab) = NatLab::new(Nat::Restricted, Nat::Open) else { return };
        let Some(router) = MiniUpnp::start(&lab.a, asked) else { return };
        let socket = lab.a.socket();
        lab.a.keep_port(port(&socket).get());
        on_a(&lab, async || {
            let listens = async || router.listens().then_some(());
            eventually("a router that listens", listens).await;
            let mapping = Mapping::request(port(&socket));
            let outside = mapped(&mut mapping.outside()).await;
            let log = router.log();
            assert!(log.contains(if asked { "PCP" } else { "AddAnyPortMapping" }), "{log}");
            // It was told another address than the one it has.
            assert_eq!(outside.ip(), MiniUpnp::OUTSIDE);
            let outside = SocketAddr::new(lab.a.outside_ip().into(), outside.port());
            assert_eq!(stranger(&lab, outside), next(&socket));
            mapping.close().await;
            let grant = within("another", try_out(port(&socket), PATIENCE)).await.unwrap();
            assert_eq!(grant.protocol, if asked { "PCP" } else { "UPnP" });
        });
    }
}
