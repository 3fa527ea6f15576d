//! A server's key, and tickets that it signs.

use hypersend_protocol::{
    id::{P2pId, RelayId, UserId},
    relay::ticket::{Side, SignedTicket, Ticket},
    time::UnixMillis,
};
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// The relay that the tests start.
pub(crate) const RELAY: RelayId = RelayId(Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_0001));

pub(crate) fn key(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

/// The public half of the server's.
pub(crate) fn server_key() -> Vec<u8> {
    key(7).public_key().as_ref().to_vec()
}

pub(crate) fn now() -> UnixMillis {
    SystemTime::now().into()
}

pub(crate) fn session(number: u16) -> P2pId {
    P2pId(Uuid::from_u128(0x019a_0000_0000_7000_8000_0001_0000_0000 | u128::from(number)))
}

pub(crate) fn unsigned(number: u16, side: Side) -> Ticket {
    let user = UserId(Uuid::from_u128(0x019a_0000_0000_7000_8000_0002_0000_0000 | side.index() as u128));
    let expires = now().plus(Duration::from_hours(1));
    Ticket { relay: RELAY, session: session(number), user, expires, side }
}

pub(crate) fn sign(key: &Ed25519KeyPair, ticket: Ticket) -> SignedTicket {
    ticket.signed(key.sign(&ticket.message()).as_ref().try_into().unwrap())
}

pub(crate) fn ticket(number: u16, side: Side) -> SignedTicket {
    sign(&key(7), unsigned(number, side))
}
