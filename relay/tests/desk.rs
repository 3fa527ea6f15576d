//! A relay, a clock that stands until it is told, and a server's key to sign tickets with.

use hypersend_protocol::{
    id::{P2pId, RelayId, UserId},
    relay::{
        Cookie, FromRelay, Nonce, ToRelay,
        ticket::{Side, SignedTicket, Ticket},
    },
    time::UnixMillis,
};
use hypersend_relay::{Action, Door, Moment, Relay, Settings};
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::{net::SocketAddr, time::Duration};
use uuid::Uuid;

/// A QUIC packet as far as a relay can tell: of 1,200 bytes, with a short header.
pub(crate) const PACKET: [u8; 1_200] = [0x40; 1_200];
pub(crate) const NONCE: Nonce = Nonce(*b"a nonce.");
/// How long tickets last when nothing else is said.
pub(crate) const HOUR: Duration = Duration::from_hours(1);

pub(crate) struct Desk {
    pub(crate) relay: Relay,
    pub(crate) now: Moment,
    key: Ed25519KeyPair,
}

pub(crate) fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_0000 | number)
}

pub(crate) fn session(number: u128) -> P2pId {
    P2pId(uuid(number))
}

/// The address of one side of a session, where the tests put it.
pub(crate) fn address(session: u16, side: Side) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1 + u8::from(side == Side::Receiver)], 10_000 + session))
}

/// What the key of the server is made from.
pub(crate) fn key(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

pub(crate) fn settings() -> Settings {
    let server_key = key(7).public_key().as_ref().try_into().unwrap();
    Settings::new(RelayId(uuid(3)), server_key, [9; 32])
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings();
        change(&mut settings);
        let now = Moment { steady: Duration::from_secs(1_000), unix: UnixMillis(1_795_340_000_000) };
        Self { relay: Relay::new(&settings), now, key: key(7) }
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now = Moment { steady: self.now.steady + time, unix: self.now.unix.plus(time) };
    }

    /// What a ticket for a session's side says, before it is signed. Each side of each session has a user of its own.
    pub(crate) fn unsigned(&self, number: u16, side: Side) -> Ticket {
        let user = UserId(uuid(0x1_0000 + 2 * u128::from(number) + side.index() as u128));
        let (relay, expires) = (RelayId(uuid(3)), self.now.unix.plus(HOUR));
        Ticket { relay, session: session(number.into()), user, expires, side }
    }

    pub(crate) fn sign(&self, ticket: Ticket) -> SignedTicket {
        sign(&self.key, ticket)
    }

    pub(crate) fn ticket(&self, number: u16, side: Side) -> SignedTicket {
        self.sign(self.unsigned(number, side))
    }

    pub(crate) fn send(&mut self, from: SocketAddr, bytes: &[u8]) -> Action {
        self.relay.datagram(self.now, Door::FIRST, from, bytes)
    }

    pub(crate) fn ask(&mut self, from: SocketAddr, question: ToRelay) -> Action {
        self.send(from, &question.encode())
    }

    pub(crate) fn cookie(&mut self, from: SocketAddr, session: P2pId) -> Cookie {
        match answered(&self.ask(from, ToRelay::Hello { session, nonce: NONCE })) {
            FromRelay::Challenge { nonce: NONCE, cookie } => cookie,
            other => panic!("a Hello was answered by {other:?}"),
        }
    }

    /// Hello, and Bind with the cookie that came.
    pub(crate) fn bind(&mut self, from: SocketAddr, ticket: SignedTicket) -> Action {
        let cookie = self.cookie(from, ticket.ticket.session);
        self.ask(from, ToRelay::Bind { nonce: NONCE, cookie, ticket })
    }

    /// Both sides of a session, at their addresses.
    pub(crate) fn bind_both(&mut self, number: u16) -> [SocketAddr; 2] {
        [Side::Sender, Side::Receiver].map(|side| {
            let done = self.bind(address(number, side), self.ticket(number, side));
            assert!(matches!(answered(&done), FromRelay::Bound { .. }), "{done:?}");
            address(number, side)
        })
    }

    pub(crate) fn keepalive(&mut self, from: SocketAddr, number: u16) -> Action {
        self.ask(from, ToRelay::Keepalive { session: session(number.into()), nonce: NONCE })
    }
}

pub(crate) fn sign(key: &Ed25519KeyPair, ticket: Ticket) -> SignedTicket {
    ticket.signed(key.sign(&ticket.message()).as_ref().try_into().unwrap())
}

/// The answer, which there must be.
pub(crate) fn answered(action: &Action) -> FromRelay {
    match action {
        Action::Answer { answer, .. } => FromRelay::read(answer).unwrap(),
        other => panic!("no answer: {other:?}"),
    }
}
