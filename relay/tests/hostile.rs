//! Any bytes from anywhere, and random histories against a model of what may be.

use crate::desk::{Desk, NONCE, address, answered, session, settings};
use hypersend_protocol::relay::{
    FromRelay, MARK, RELAY_VERSION, ToRelay,
    ticket::{Side, SignedTicket},
};
use hypersend_relay::{Action, Door, Moment, Relay};
use proptest::{collection::vec, prelude::*, sample::Index};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// One thing that happens, by small numbers, so that things meet.
#[derive(Clone, Debug)]
enum Step {
    Bind { from: u16, session: u16, receiver: bool, forged: bool },
    Unbind { from: u16, session: u16 },
    Keepalive { from: u16, session: u16 },
    Packet { from: u16 },
    Junk { from: u16, bytes: Vec<u8> },
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    let (from, session) = (0..6_u16, 0..3_u16);
    prop_oneof![
        4 => (from.clone(), session.clone(), any::<bool>(), prop::bool::weighted(0.1))
            .prop_map(|(from, session, receiver, forged)| Step::Bind { from, session, receiver, forged }),
        1 => (from.clone(), session.clone()).prop_map(|(from, session)| Step::Unbind { from, session }),
        1 => (from.clone(), session).prop_map(|(from, session)| Step::Keepalive { from, session }),
        8 => from.clone().prop_map(|from| Step::Packet { from }),
        1 => (from, vec(any::<u8>(), 0..60)).prop_map(|(from, bytes)| Step::Junk { from, bytes }),
        1 => Just(Step::Sweep),
    ]
}

/// Who is where, as plainly as can be.
#[derive(Default)]
struct Model(HashMap<(u16, Side), SocketAddr>);

impl Model {
    fn seat(&self, from: SocketAddr) -> Option<(u16, Side)> {
        self.0.iter().find(|(_, address)| **address == from).map(|(seat, _)| *seat)
    }

    fn peer(&self, from: SocketAddr) -> Option<SocketAddr> {
        let (session, side) = self.seat(from)?;
        self.0.get(&(session, side.other())).copied()
    }

    fn bind(&mut self, from: SocketAddr, seat: (u16, Side)) {
        self.0.retain(|_, address| *address != from);
        self.0.insert(seat, from);
    }
}

proptest! {
    #[test]
    fn whatever_happens_a_packet_goes_to_the_other_side_or_nowhere(steps in vec(step(), 0..120)) {
        let (mut desk, mut model) = (Desk::new(), Model::default());
        for step in steps {
            match step {
                Step::Bind { from, session, receiver, forged } => {
                    let from = address(from, Side::Sender);
                    let side = if receiver { Side::Receiver } else { Side::Sender };
                    let mut ticket: SignedTicket = desk.ticket(session, side);
                    ticket.signature[0] ^= u8::from(forged);
                    let done = answered(&desk.bind(from, ticket));
                    prop_assert_eq!(matches!(done, FromRelay::Refused { .. }), forged);
                    if !forged {
                        model.bind(from, (session, side));
                        let bound_to_a_peer = matches!(done, FromRelay::Bound { peer: true, .. });
                        prop_assert_eq!(bound_to_a_peer, model.peer(from).is_some());
                    }
                }
                Step::Unbind { from, session: number } => {
                    let from = address(from, Side::Sender);
                    let seat = model.seat(from).filter(|(session, _)| *session == number);
                    let done = desk.ask(from, ToRelay::Unbind { session: session(number.into()) });
                    prop_assert_eq!(done == Action::Taken, seat.is_some());
                    seat.map(|seat| model.0.remove(&seat));
                }
                Step::Keepalive { from, session } => {
                    let from = address(from, Side::Sender);
                    let done = desk.keepalive(from, session);
                    let own = model.seat(from).is_some_and(|(own, _)| own == session);
                    prop_assert_eq!(matches!(done, Action::Answer { .. }), own);
                    if own {
                        let peer = model.peer(from).is_some();
                        prop_assert_eq!(answered(&done), FromRelay::Alive { nonce: NONCE, observed: from, peer });
                    }
                }
                Step::Packet { from } => {
                    let from = address(from, Side::Sender);
                    let to = match desk.send(from, &[0x40; 40]) {
                        Action::Forward { to, .. } => Some(to),
                        _ => None,
                    };
                    prop_assert_eq!(to, model.peer(from));
                }
                Step::Junk { from, mut bytes } => {
                    // A first byte of the relay protocol, and the rest as it comes: no such thing is ever forwarded.
                    if let Some(first) = bytes.first_mut() {
                        *first &= 0x3f;
                    }
                    let done = desk.send(address(from, Side::Sender), &bytes);
                    prop_assert!(matches!(done, Action::Drop(_)), "{:?}", done);
                }
                Step::Sweep => drop(desk.relay.sweep(desk.now)),
            }
            prop_assert_eq!(desk.relay.addresses(), model.0.len());
        }
    }

    #[test]
    fn no_bytes_and_no_clock_make_it_panic_or_answer_more_than_came(
        datagrams in vec((any::<(IpAddr, u16)>(), any::<(u64, u64)>(), any::<bool>(), 0..12_u8, vec(any::<u8>(), 0..200)), 1..50),
    ) {
        let mut relay = Relay::new(&settings());
        for ((ip, port), (steady, unix), control, kind, rest) in datagrams {
            let now = Moment { steady: Duration::from_millis(steady), unix: hypersend_protocol::time::UnixMillis(unix) };
            let bytes = if control { [&[MARK, RELAY_VERSION, kind, 0], &rest[..]].concat() } else { rest };
            match relay.datagram(now, Door::FIRST, SocketAddr::new(ip, port), &bytes) {
                Action::Answer { answer, notice } => {
                    prop_assert!(answer.len() + notice.map_or(0, |notice| notice.bytes.len()) <= bytes.len());
                }
                Action::Drop(_) => {}
                other => prop_assert!(false, "{:?} to somebody without a ticket", other),
            }
            relay.sweep(now);
        }
        prop_assert_eq!(relay.addresses(), 0);
    }

    #[test]
    fn a_flipped_bind_never_binds(at: Index, mask in 1..=u8::MAX) {
        let mut desk = Desk::new();
        let from = address(1, Side::Sender);
        let cookie = desk.cookie(from, session(1));
        let mut bytes = ToRelay::Bind { nonce: NONCE, cookie, ticket: desk.ticket(1, Side::Sender) }.encode().to_vec();
        // All but the nonce counts.
        let counted: Vec<_> = (0..4).chain(12..bytes.len()).collect();
        bytes[*at.get(&counted)] ^= mask;
        let done = desk.send(from, &bytes);
        let bound = matches!(&done, Action::Answer { .. } if matches!(answered(&done), FromRelay::Bound { .. }));
        prop_assert!(!bound);
        prop_assert_eq!(desk.relay.addresses(), 0);
    }
}
