//! How the datagrams look, byte by byte.

use super::{
    Cookie, FromRelay, HELLO_PADDING, KEEPALIVE_PADDING, MARK, MAX_ANSWER_BYTES, MAX_CONTROL_BYTES, Nonce, NotControl,
    OBSERVE_PADDING, RELAY_VERSION, ToRelay, ticket::SignedTicket,
};
use crate::id::P2pId;
use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    ops::Deref,
};
use uuid::Uuid;

/// A datagram as it travels; on the stack, because a relay answers without allocating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlBytes<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> ControlBytes<N> {
    fn new(kind: u8) -> Self {
        Self { bytes: [0; N], length: 0 }.with(&[MARK, RELAY_VERSION, kind, 0])
    }

    fn with(mut self, field: &[u8]) -> Self {
        self.bytes[self.length..][..field.len()].copy_from_slice(field);
        self.length += field.len();
        self
    }
}

impl<const N: usize> Deref for ControlBytes<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl ToRelay {
    /// As it travels.
    pub fn encode(&self) -> ControlBytes<MAX_CONTROL_BYTES> {
        match self {
            Self::Hello { session, nonce } => {
                ControlBytes::new(1).with(session.0.as_bytes()).with(&nonce.0).with(&[0; HELLO_PADDING])
            }
            Self::Bind { nonce, cookie, ticket } => {
                ControlBytes::new(3).with(&nonce.0).with(&cookie.0).with(&ticket.to_bytes())
            }
            Self::Keepalive { session, nonce } => {
                ControlBytes::new(6).with(session.0.as_bytes()).with(&nonce.0).with(&[0; KEEPALIVE_PADDING])
            }
            Self::Unbind { session } => ControlBytes::new(8).with(session.0.as_bytes()),
            Self::Observe { nonce } => ControlBytes::new(10).with(&nonce.0).with(&[0; OBSERVE_PADDING]),
        }
    }

    /// Reads what came to a relay. What is padding may be anything.
    pub fn read(bytes: &[u8]) -> Result<Self, NotControl> {
        let mut fields = Fields::of(bytes)?;
        let read = match fields.kind {
            1 => {
                let read = Self::Hello { session: fields.session()?, nonce: fields.nonce()? };
                fields.take::<HELLO_PADDING>()?;
                read
            }
            3 => Self::Bind {
                nonce: fields.nonce()?,
                cookie: Cookie(fields.take()?),
                ticket: SignedTicket::read(&fields.take()?).map_err(|_| NotControl::Malformed)?,
            },
            6 => {
                let read = Self::Keepalive { session: fields.session()?, nonce: fields.nonce()? };
                fields.take::<KEEPALIVE_PADDING>()?;
                read
            }
            8 => Self::Unbind { session: fields.session()? },
            10 => {
                let read = Self::Observe { nonce: fields.nonce()? };
                fields.take::<OBSERVE_PADDING>()?;
                read
            }
            _ => return Err(NotControl::Malformed),
        };
        fields.end(read)
    }
}

impl FromRelay {
    /// As it travels.
    pub fn encode(&self) -> ControlBytes<MAX_ANSWER_BYTES> {
        match self {
            Self::Challenge { nonce, cookie } => ControlBytes::new(2).with(&nonce.0).with(&cookie.0),
            Self::Bound { nonce, observed, lasts_ms, keepalive_ms, peer } => ControlBytes::new(4)
                .with(&nonce.0)
                .with(&address_bytes(*observed))
                .with(&lasts_ms.to_be_bytes())
                .with(&keepalive_ms.to_be_bytes())
                .with(&[u8::from(*peer)]),
            Self::Refused { nonce, reason } => ControlBytes::new(5).with(&nonce.0).with(&[(*reason).into()]),
            Self::Alive { nonce, observed, peer } => {
                ControlBytes::new(7).with(&nonce.0).with(&address_bytes(*observed)).with(&[u8::from(*peer)])
            }
            Self::PeerPresent { session } => ControlBytes::new(9).with(session.0.as_bytes()),
            Self::Observed { nonce, observed } => ControlBytes::new(11).with(&nonce.0).with(&address_bytes(*observed)),
        }
    }

    /// Reads what came to a client.
    pub fn read(bytes: &[u8]) -> Result<Self, NotControl> {
        let mut fields = Fields::of(bytes)?;
        let read = match fields.kind {
            2 => Self::Challenge { nonce: fields.nonce()?, cookie: Cookie(fields.take()?) },
            4 => Self::Bound {
                nonce: fields.nonce()?,
                observed: fields.address()?,
                lasts_ms: u32::from_be_bytes(fields.take()?),
                keepalive_ms: u32::from_be_bytes(fields.take()?),
                peer: fields.flag()?,
            },
            5 => Self::Refused { nonce: fields.nonce()?, reason: fields.take::<1>()?[0].into() },
            7 => Self::Alive { nonce: fields.nonce()?, observed: fields.address()?, peer: fields.flag()? },
            9 => Self::PeerPresent { session: fields.session()? },
            11 => Self::Observed { nonce: fields.nonce()?, observed: fields.address()? },
            _ => return Err(NotControl::Malformed),
        };
        fields.end(read)
    }
}

/// An address in 18 bytes: IPv6, or IPv4 mapped into it (RFC 4291, 2.5.5.2), then the port. So one address has one form,
/// whatever kind of socket saw it.
pub fn address_bytes(address: SocketAddr) -> [u8; 18] {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; 18];
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&address.port().to_be_bytes());
    bytes
}

/// What is left to read of a datagram.
struct Fields<'a> {
    kind: u8,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, NotControl> {
        match bytes {
            [MARK, RELAY_VERSION, kind, 0, rest @ ..] => Ok(Self { kind: *kind, rest }),
            [MARK, version, ..] if *version != RELAY_VERSION => Err(NotControl::Version(*version)),
            [MARK, ..] => Err(NotControl::Malformed),
            _ => Err(NotControl::Foreign),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], NotControl> {
        let (field, rest) = self.rest.split_first_chunk().ok_or(NotControl::Malformed)?;
        self.rest = rest;
        Ok(*field)
    }

    fn session(&mut self) -> Result<P2pId, NotControl> {
        self.take().map(|bytes| P2pId(Uuid::from_bytes(bytes)))
    }

    fn nonce(&mut self) -> Result<Nonce, NotControl> {
        self.take().map(Nonce)
    }

    fn address(&mut self) -> Result<SocketAddr, NotControl> {
        let ip = Ipv6Addr::from(self.take::<16>()?).to_canonical();
        Ok(SocketAddr::new(ip, u16::from_be_bytes(self.take()?)))
    }

    fn flag(&mut self) -> Result<bool, NotControl> {
        match self.take()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(NotControl::Malformed),
        }
    }

    fn end<T>(self, read: T) -> Result<T, NotControl> {
        if self.rest.is_empty() { Ok(read) } else { Err(NotControl::Malformed) }
    }
}
