//! Tickets: what a server gives to the two sides of a transfer so that a relay lets them in.
//!
//! The server signs (Ed25519, RFC 8032), the relay verifies, the client carries: a relay holds no secret of the server,
//! and asks nobody. This module knows the bytes and what is signed, and has no cryptography: whoever signs or verifies
//! does so by one call over [`Ticket::message`].
//!
//! ```text
//! ticket := relay (16) | session (16) | user (16) | expires (8, big-endian) | side (1) | signature (64)
//! signed := "hypersend relay ticket 1" NUL | ticket without its signature
//! ```
//!
//! Everything is of fixed size, so that no two tickets have the same signed bytes. The text in front keeps the signature
//! from meaning anything elsewhere, should the key ever sign something else.

use crate::{
    id::{P2pId, RelayId, UserId},
    time::UnixMillis,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_bytes::ByteArray;
use uuid::Uuid;

/// Bytes of a ticket without its signature.
const TICKET_BYTES: usize = 16 + 16 + 16 + 8 + 1;
/// Bytes of an Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;
/// What stands before a ticket's bytes when they are signed.
const DOMAIN: &[u8; 25] = b"hypersend relay ticket 1\0";

/// Bytes of a ticket with its signature.
pub const SIGNED_TICKET_BYTES: usize = TICKET_BYTES + SIGNATURE_BYTES;
/// Bytes that are signed.
pub const TICKET_MESSAGE_BYTES: usize = DOMAIN.len() + TICKET_BYTES;

/// Which end of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Who offered; 0 on the wire.
    Sender,
    /// To whom; 1 on the wire.
    Receiver,
}

impl Side {
    /// The end that this one talks to.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Sender => Self::Receiver,
            Self::Receiver => Self::Sender,
        }
    }

    /// Its place in an array of both.
    pub fn index(self) -> usize {
        match self {
            Self::Sender => 0,
            Self::Receiver => 1,
        }
    }
}

/// Says that a user may be one side of one transfer at one relay, until a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The relay that is to take it; no other does.
    pub relay: RelayId,
    /// The transfer.
    pub session: P2pId,
    /// Whose side it is: the relay bounds what one user has.
    pub user: UserId,
    /// From this moment on it counts no more, and what was bound by it ends.
    pub expires: UnixMillis,
    /// Which side.
    pub side: Side,
}

impl Ticket {
    /// The bytes to sign, and to verify the signature over.
    pub fn message(&self) -> [u8; TICKET_MESSAGE_BYTES] {
        let mut message = [0; TICKET_MESSAGE_BYTES];
        message[..DOMAIN.len()].copy_from_slice(DOMAIN);
        message[DOMAIN.len()..].copy_from_slice(&self.bytes());
        message
    }

    /// This ticket with a signature over [`message`](Self::message).
    pub fn signed(self, signature: [u8; SIGNATURE_BYTES]) -> SignedTicket {
        SignedTicket { ticket: self, signature }
    }

    fn bytes(&self) -> [u8; TICKET_BYTES] {
        let mut bytes = [0; TICKET_BYTES];
        bytes[..16].copy_from_slice(self.relay.0.as_bytes());
        bytes[16..32].copy_from_slice(self.session.0.as_bytes());
        bytes[32..48].copy_from_slice(self.user.0.as_bytes());
        bytes[48..56].copy_from_slice(&self.expires.0.to_be_bytes());
        bytes[56] = u8::from(self.side == Side::Receiver);
        bytes
    }

    fn read(bytes: &[u8; TICKET_BYTES]) -> Option<Self> {
        let (relay, rest) = bytes.split_first_chunk()?;
        let (session, rest) = rest.split_first_chunk()?;
        let (user, rest) = rest.split_first_chunk()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let side = match rest {
            [0] => Side::Sender,
            [1] => Side::Receiver,
            _ => return None,
        };
        Some(Self {
            relay: RelayId(Uuid::from_bytes(*relay)),
            session: P2pId(Uuid::from_bytes(*session)),
            user: UserId(Uuid::from_bytes(*user)),
            expires: UnixMillis(u64::from_be_bytes(*expires)),
            side,
        })
    }
}

/// A ticket as it travels. That it was read says nothing about its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignedTicket {
    /// What it says.
    pub ticket: Ticket,
    /// What is to be the server's signature of it.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl SignedTicket {
    /// As it travels.
    pub fn to_bytes(&self) -> [u8; SIGNED_TICKET_BYTES] {
        let mut bytes = [0; SIGNED_TICKET_BYTES];
        bytes[..TICKET_BYTES].copy_from_slice(&self.ticket.bytes());
        bytes[TICKET_BYTES..].copy_from_slice(&self.signature);
        bytes
    }

    /// Reads what came.
    pub fn read(bytes: &[u8; SIGNED_TICKET_BYTES]) -> Result<Self, NotATicket> {
        let (ticket, signature) = bytes.split_first_chunk().ok_or(NotATicket)?;
        let ticket = Ticket::read(ticket).ok_or(NotATicket)?;
        Ok(Self { ticket, signature: signature.try_into().map_err(|_| NotATicket)? })
    }
}

/// In frames, its bytes.
impl Serialize for SignedTicket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ByteArray::new(self.to_bytes()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SignedTicket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&ByteArray::deserialize(deserializer)?.into_array()).map_err(D::Error::custom)
    }
}

/// The bytes are no ticket: they name a side that does not exist.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no relay ticket; ask the server for a new one")]
pub struct NotATicket;
