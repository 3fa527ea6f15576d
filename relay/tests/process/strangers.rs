//! Who has not proved itself gets nothing, floods leave nothing behind, and of who has, each datagram arrives as it was sent.
//!
//! That nothing comes is not waited for: a question follows by the same way, and its answer is the first that comes. The
//! relay has one socket here, so it answers in order.

use crate::{
    program::Program,
    tickets::{RELAY, key, now, session, sign, ticket, unsigned},
};
use hypersend_protocol::{
    id::RelayId,
    relay::{
        Cookie, FromRelay, Nonce, RelayRefusal, ToRelay,
        ticket::{Side, SignedTicket, Ticket},
    },
};
use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};
use uuid::Uuid;

/// A socket that counts.
struct Stranger {
    socket: UdpSocket,
    sent: usize,
    got: usize,
}

impl Stranger {
    fn new(relay: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(relay).unwrap();
        // Only so that a test that fails ends.
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { socket, sent: 0, got: 0 }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.sent += self.socket.send(bytes).unwrap();
    }

    fn next(&mut self) -> FromRelay {
        let mut bytes = [0; 2_000];
        let length = self.socket.recv(&mut bytes).unwrap();
        self.got += length;
        FromRelay::read(&bytes[..length]).unwrap()
    }

    fn cookie(&mut self, nonce: Nonce) -> Cookie {
        self.send(&ToRelay::Hello { session: session(1), nonce }.encode());
        let answer = self.next();
        let FromRelay::Challenge { nonce: said, cookie } = answer else { panic!("not a Challenge: {answer:?}") };
        assert_eq!(said, nonce, "something came that was not asked for");
        cookie
    }

    /// Asks until there is an answer: what comes during a flood may find no room in the relay's socket.
    fn ask_until_answered(&mut self) {
        self.socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut bytes = [0; 2_000];
        self.got += (0..300)
            .find_map(|_| {
                self.send(&ToRelay::Hello { session: session(1), nonce: Nonce([9; 8]) }.encode());
                self.socket.recv(&mut bytes).ok()
            })
            .unwrap();
    }

    fn bind(&mut self, cookie: Cookie, ticket: SignedTicket) {
        self.send(&ToRelay::Bind { nonce: Nonce([2; 8]), cookie, ticket }.encode());
    }
}

/// A side of a session that is no QUIC endpoint.
fn bound(relay: SocketAddr, number: u16, side: Side) -> Stranger {
    let mut stranger = Stranger::new(relay);
    let (session, nonce) = (session(number), Nonce([1; 8]));
    stranger.send(&ToRelay::Hello { session, nonce }.encode());
    let answer = stranger.next();
    let FromRelay::Challenge { cookie, .. } = answer else { panic!("not a Challenge: {answer:?}") };
    stranger.bind(cookie, ticket(number, side));
    let answer = stranger.next();
    assert!(matches!(answer, FromRelay::Bound { .. }), "not bound: {answer:?}");
    stranger
}

fn relay() -> Program {
    Program::start("127.0.0.1:0", &["--sockets", "1"])
}

#[test]
fn an_address_that_is_not_bound_gets_nothing_and_its_packets_go_nowhere() {
    let relay = relay();
    let mut stranger = Stranger::new(relay.at("127.0.0.1"));
    let unbind = ToRelay::Unbind { session: session(1) }.encode();
    let keepalive = ToRelay::Keepalive { session: session(1), nonce: Nonce([0; 8]) }.encode();
    let packets: [&[u8]; 7] = [&[0x40; 1_200], &[0xc0; 1_200], &[0; 50], &[0x0b; 44], &[], &unbind, &keepalive];
    for bytes in packets {
        stranger.send(bytes);
    }
    stranger.cookie(Nonce([1; 8]));
    assert_eq!((relay.metric("forwarded_datagrams_total"), relay.metric("answers_total")), (0, 1));
    assert!(stranger.got <= stranger.sent);
}

#[test]
fn every_door_says_how_others_look_and_takes_sides_of_one_session() {
    let further = ["--sockets", "1", "--listen", "127.0.0.2:0", "--listen", "127.0.0.1:0"];
    let relay = Program::start("127.0.0.1:0", &further);
    let doors = [&[relay.at("127.0.0.1")], relay.elsewhere()].concat();
    assert_eq!(doors.len(), 3);
    for (at, &door) in (0..).zip(&doors) {
        let mut stranger = Stranger::new(door);
        let (nonce, observed) = (Nonce([at; 8]), stranger.socket.local_addr().unwrap());
        stranger.send(&ToRelay::Observe { nonce }.encode());
        assert_eq!(stranger.next(), FromRelay::Observed { nonce, observed });
    }
    // A socket that is connected hears only the door that it knows.
    let [mut sender, mut receiver] = [bound(doors[0], 1, Side::Sender), bound(doors[1], 1, Side::Receiver)];
    assert!(matches!(sender.next(), FromRelay::PeerPresent { .. }));
    sender.send(&[0x40; 1_200]);
    assert_eq!(receiver.socket.recv(&mut [0; 2_000]).unwrap(), 1_200);
    receiver.send(&[0x41; 900]);
    assert_eq!(sender.socket.recv(&mut [0; 2_000]).unwrap(), 900);
    assert_eq!(relay.metric("forwarded_datagrams_total"), 2);
}

#[test]
fn a_cookie_that_somebody_else_received_binds_nobody() {
    let relay = relay();
    let at = relay.at("127.0.0.1");
    let [mut own, mut other] = [Stranger::new(at), Stranger::new(at)];
    let cookie = own.cookie(Nonce([1; 8]));
    other.bind(cookie, ticket(1, Side::Sender));
    other.cookie(Nonce([3; 8]));
    assert_eq!(relay.metric("dropped_datagrams_total{reason=\"bad-cookie\"}"), 1);
    own.bind(cookie, ticket(1, Side::Sender));
    assert!(matches!(own.next(), FromRelay::Bound { .. }));
}

#[test]
fn tickets_that_are_over_or_forged_or_for_another_relay_are_refused() {
    let relay = relay();
    let mut stranger = Stranger::new(relay.at("127.0.0.1"));
    let good = unsigned(1, Side::Sender);
    let over = Ticket { expires: now(), ..good };
    let elsewhere = Ticket { relay: RelayId(Uuid::from_u128(RELAY.0.as_u128() + 1)), ..good };
    let cookie = stranger.cookie(Nonce([1; 8]));
    for (ticket, expected) in [
        (sign(&key(7), over), RelayRefusal::Expired),
        (sign(&key(7), elsewhere), RelayRefusal::OtherRelay),
        (sign(&key(8), good), RelayRefusal::BadSignature),
    ] {
        stranger.bind(cookie, ticket);
        let answer = stranger.next();
        assert!(
            matches!(answer, FromRelay::Refused { reason, .. } if reason == expected),
            "{answer:?} for {expected:?}"
        );
    }
    assert_eq!(relay.metric("addresses"), 0);
    assert!(stranger.got <= stranger.sent);
}

#[test]
fn a_flood_of_hellos_is_answered_by_no_more_than_came_and_leaves_no_memory_taken() {
    let relay = relay();
    let mut crowd: Vec<_> = (0..200).map(|_| Stranger::new(relay.at("127.0.0.1"))).collect();
    let flood = |crowd: &mut Vec<Stranger>, rounds: u64| {
        for round in 0..rounds {
            for stranger in crowd.iter_mut() {
                stranger.send(&ToRelay::Hello { session: session(1), nonce: Nonce(round.to_be_bytes()) }.encode());
            }
        }
    };
    flood(&mut crowd, 50);
    let before = relay.resident_bytes();
    flood(&mut crowd, 500);
    // What the kernel still has of the flood comes before this.
    let mut last = Stranger::new(relay.at("127.0.0.1"));
    last.ask_until_answered();
    crowd.push(last);
    let after = relay.resident_bytes();
    assert!(after < before + (2 << 20), "{before} bytes of memory before the flood, {after} after");
    let answers = relay.metric("answers_total");
    let hellos = crowd.iter().map(|stranger| stranger.sent as u64 / 44).sum::<u64>();
    assert!((1..=hellos).contains(&answers), "{answers} answers to {hellos} questions");
    assert_eq!((relay.metric("addresses"), relay.metric("sessions")), (0, 0));
    for stranger in &mut crowd {
        stranger.socket.set_nonblocking(true).unwrap();
        let mut bytes = [0; 2_000];
        while let Ok(length) = stranger.socket.recv(&mut bytes) {
            stranger.got += length;
        }
        assert!(stranger.got <= stranger.sent);
    }
}

/// What the relay puts together on the way, the kernel takes apart again.
#[test]
fn datagrams_of_several_sessions_sent_one_by_one_arrive_as_they_were_sent() {
    const SESSIONS: u16 = 3;
    const LENGTHS: [usize; 8] = [1_200, 1_200, 1_200, 30, 1_200, 1_452, 1_452, 1];
    let relay = relay();
    let at = relay.at("127.0.0.1");
    let mut senders: Vec<_> = (0..SESSIONS).map(|number| bound(at, number, Side::Sender)).collect();
    let receivers: Vec<_> = (0..SESSIONS).map(|number| bound(at, number, Side::Receiver)).collect();
    for sender in &mut senders {
        assert!(matches!(sender.next(), FromRelay::PeerPresent { .. }));
    }
    // So many in a burst that they come to the relay together, and so few that every socket holds them.
    for burst in 0..50_u8 {
        for turn in 0..16_u8 {
            for (number, sender) in senders.iter_mut().enumerate() {
                let length = LENGTHS[(usize::from(turn) + number + usize::from(burst)) % LENGTHS.len()];
                let mut datagram = vec![turn; length];
                datagram[0] = 0x40 | burst & 0x3f;
                sender.send(&datagram);
            }
        }
        for (number, receiver) in receivers.iter().enumerate() {
            for turn in 0..16_u8 {
                let length = LENGTHS[(usize::from(turn) + number + usize::from(burst)) % LENGTHS.len()];
                let mut datagram = [0; 2_000];
                let got = receiver.socket.recv(&mut datagram).unwrap();
                let wanted = vec![turn; length];
                assert_eq!((got, datagram[0]), (length, 0x40 | burst & 0x3f), "burst {burst}, turn {turn}");
                assert!(datagram[1..got] == wanted[1..], "burst {burst}, turn {turn}: other bytes");
            }
        }
    }
    assert_eq!(relay.metric("forwarded_datagrams_total"), u64::from(SESSIONS) * 50 * 16);
}
