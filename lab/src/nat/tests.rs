//! That each kind of NAT behaves by the book, as seen by sockets on both of its sides.

use super::*;
use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

/// Only so that a test that fails ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// A socket in the public host.
fn public(lab: &NatLab, address: usize) -> UdpSocket {
    let bound = lab.public().inside(|| UdpSocket::bind((NatLab::PUBLIC[address], 0))).unwrap().unwrap();
    bound.set_read_timeout(Some(PATIENCE)).unwrap();
    bound
}

/// What comes, and from where.
fn next(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = [0; 64];
    loop {
        match socket.recv_from(&mut bytes) {
            Ok((length, from)) => return (bytes[..length].to_vec(), from),
            // A wait with an end is not begun anew by the system when it stopped the program (signal(7)).
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("nothing came: {error}"),
        }
    }
}

/// How one socket looks to another, which it sends to.
fn seen(from: &UdpSocket, by: &UdpSocket) -> SocketAddr {
    from.send_to(b"hello", by.local_addr().unwrap()).unwrap();
    next(by).1
}

/// Whether what is sent there comes in. That it does not is not waited for: behind it goes what does come, from `known`, one
/// after the other, so that no other way through the kernel brings it later than them.
fn comes_in(to: &UdpSocket, from: &UdpSocket, at: SocketAddr, known: &UdpSocket, known_at: SocketAddr) -> bool {
    from.send_to(b"stranger", at).unwrap();
    let mut has_come = false;
    for turn in 0..5_u8 {
        known.send_to(&[turn], known_at).unwrap();
        loop {
            match next(to).0 {
                bytes if bytes == b"stranger" => has_come = true,
                bytes => break assert_eq!(bytes, [turn]),
            }
        }
    }
    has_come
}

#[test]
fn each_kind_maps_and_filters_by_the_book() {
    for kind in [Nat::Open, Nat::Cone, Nat::Restricted, Nat::Symmetric] {
        let Some(lab) = NatLab::new(kind, Nat::Open) else { return };
        let [own, other_own] = [lab.a.socket(), lab.a.socket()];
        let [here, same_ip, elsewhere] = [public(&lab, 0), public(&lab, 0), public(&lab, 1)];

        // Mapping: how it looks to one destination, and to others.
        let mapped = seen(&own, &here);
        assert_eq!(mapped.ip(), lab.a.outside_ip());
        assert_eq!(mapped == own.local_addr().unwrap(), kind == Nat::Open, "{kind:?}");
        assert_ne!(seen(&other_own, &here), mapped, "{kind:?}: two sockets look alike");
        assert_eq!(seen(&own, &here), mapped, "{kind:?}: it looks otherwise the second time");
        for (what, by) in [("another port", &same_ip), ("another address", &elsewhere)] {
            assert_eq!(seen(&own, by) == mapped, kind != Nat::Symmetric, "{kind:?}: {what}");
        }

        // Filtering: a new socket, which has sent to `here` only.
        let own = lab.a.socket();
        let mapped = seen(&own, &here);
        let open = matches!(kind, Nat::Open | Nat::Cone);
        let b = lab.b.socket();
        // So that what it sends next waits for no neighbour's address.
        seen(&b, &here);
        for (what, stranger) in [("another port", &same_ip), ("another address", &elsewhere), ("b", &b)] {
            assert_eq!(comes_in(&own, stranger, mapped, &here, mapped), open, "{kind:?}: from {what}");
        }
        // A port that was never mapped leads nowhere.
        let unmapped = SocketAddr::new(mapped.ip(), mapped.port() ^ 0x400);
        assert!(!comes_in(&own, &here, unmapped, &here, mapped), "{kind:?}");
    }
}

#[test]
fn a_forgotten_mapping_reaches_nobody_and_the_next_is_another() {
    for kind in [Nat::Cone, Nat::Restricted, Nat::Symmetric] {
        let Some(lab) = NatLab::new(kind, Nat::Open) else { return };
        let (own, here) = (lab.a.socket(), public(&lab, 0));
        let before = seen(&own, &here);
        lab.a.flush_mapping();
        here.send_to(b"lost", before).unwrap();
        let after = seen(&own, &here);
        assert_ne!(after, before, "{kind:?}");
        assert!(!comes_in(&own, &here, before, &here, after), "{kind:?}");
    }
}

#[test]
fn where_udp_is_blocked_only_tcp_goes() {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };
    let Some(lab) = NatLab::new(Nat::UdpBlocked, Nat::Open) else { return };
    let (own, here) = (lab.a.socket(), public(&lab, 0));
    own.send_to(b"blocked", here.local_addr().unwrap()).unwrap();
    let listener = lab.public().inside(|| TcpListener::bind((NatLab::PUBLIC[0], 0))).unwrap().unwrap();
    let address = listener.local_addr().unwrap();
    let mut stream = lab.a.host().inside(|| TcpStream::connect_timeout(&address, PATIENCE)).unwrap().unwrap();
    stream.write_all(b"through").unwrap();
    drop(stream);
    let (mut accepted, from) = listener.accept().unwrap();
    assert_eq!(from.ip(), lab.a.outside_ip());
    let mut through = String::new();
    accepted.read_to_string(&mut through).unwrap();
    assert_eq!(through, "through");
    // What was sent before the stream was opened would be here by now.
    here.set_nonblocking(true).unwrap();
    assert!(here.recv(&mut [0; 8]).is_err());
}

#[test]
fn restricted_sides_reach_each_other_by_both_sending_and_not_when_cut() {
    let Some(lab) = NatLab::new(Nat::Restricted, Nat::Restricted) else { return };
    lab.limit(50);
    let (here, [a, b]) = (public(&lab, 0), [lab.a.socket(), lab.b.socket()]);
    let [a_at, b_at] = [seen(&a, &here), seen(&b, &here)];
    // The first finds b's NAT shut and opens a's own; the second comes through it.
    a.send_to(b"opens", b_at).unwrap();
    here.send_to(b"pong", b_at).unwrap();
    assert_eq!(next(&b).0, b"pong", "what a sent before did not come in");
    b.send_to(b"from b", a_at).unwrap();
    assert_eq!(next(&a), (b"from b".to_vec(), b_at));
    a.send_to(b"from a", b_at).unwrap();
    assert_eq!(next(&b), (b"from a".to_vec(), a_at));

    lab.cut();
    assert!(!comes_in(&b, &a, b_at, &here, b_at));
    lab.mend();
    assert!(comes_in(&b, &a, b_at, &here, b_at));
}

#[test]
fn programs_run_on_their_host() {
    let Some(lab) = NatLab::new(Nat::Symmetric, Nat::Cone) else { return };
    for side in [&lab.a, &lab.b] {
        let said = side.command("ip").args(["-4", "-o", "addr", "show", "dev", "home"]).output().unwrap();
        assert!(String::from_utf8_lossy(&said.stdout).contains(&format!("{}/24", side.ip())));
    }
}
