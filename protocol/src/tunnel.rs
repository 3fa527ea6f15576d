//! Tunnels: datagrams to and from a relay, by the connection to the server, where the network lets no UDP through.
//!
//! The client begins the stream with [`OpenTunnel`]; the server answers [`TunnelOpen`], or a
//! [`Refusal`](crate::refusal::Refusal) by which this stream ends alone. Then both send [`Datagram`]s: the server passes the
//! client's on to the relay, from a UDP socket that is this tunnel's alone, and what the relay sends there to the client. It looks
//! into none of them, and drops those for which there is no room before the stream, as a router does.

use crate::{
    frame::{Kind, frame},
    id::RelayId,
    limit::MAX_DATAGRAM_BYTES,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::fmt;

/// Opens a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTunnel {
    /// The relay it leads to: one that the server has named on this connection, when a mailbox or the signals of a session were
    /// opened.
    pub relay: RelayId,
}
frame!(OpenTunnel, Kind(0x258), 64);

/// The tunnel is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelOpen {}
frame!(TunnelOpen, Kind(0x25a), 8);

/// One datagram, of 1 to [`MAX_DATAGRAM_BYTES`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagram {
    /// What is in it.
    pub bytes: DatagramBytes,
}
frame!(Datagram, Kind(0x25c), 1_472 + 16);

/// The bytes of a datagram: 1 to [`MAX_DATAGRAM_BYTES`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ByteBuf", into = "ByteBuf")]
pub struct DatagramBytes(Vec<u8>);

/// The bytes are none, or too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a datagram in a tunnel has 1 to {MAX_DATAGRAM_BYTES} bytes, not {0}")]
pub struct NotADatagram(pub usize);

impl DatagramBytes {
    /// These bytes.
    pub fn new(bytes: Vec<u8>) -> Result<Self, NotADatagram> {
        if (1..=MAX_DATAGRAM_BYTES).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(NotADatagram(bytes.len())) }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for DatagramBytes {
    /// They are nobody's here to read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatagramBytes({})", self.0.len())
    }
}

impl TryFrom<ByteBuf> for DatagramBytes {
    type Error = NotADatagram;
    fn try_from(bytes: ByteBuf) -> Result<Self, NotADatagram> {
        Self::new(bytes.into_vec())
    }
}

impl From<DatagramBytes> for ByteBuf {
    fn from(bytes: DatagramBytes) -> Self {
        Self::from(bytes.0)
    }
}
