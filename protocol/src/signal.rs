//! Signal streams: what the two sides of a transfer say to each other before there is a path between them.
//!
//! There are two registers for a session, one for each side: the newest value that the side has set. The server tells each
//! side the other's newest, when the stream opens and whenever it changes; values in between may be skipped, and the same
//! may come twice. What a value means is between the clients.
//!
//! The client opens the stream with [`OpenSignals`]; the server answers [`SignalsOpen`] with the relays that the side may
//! use; then both sides speak freely, in [`Signal`]s. The server ends the stream with a refusal: `conflict` when the session
//! is over, `superseded` when the same side has opened another.

use crate::{
    frame::{Kind, frame},
    id::{P2pId, RelayId},
    limit::MAX_SIGNAL_BYTES,
    name::{RelayHost, RelayName},
    relay::ticket::SignedTicket,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::fmt;

/// Opens a signal stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSignals {
    /// The session, of which the caller has to be a side, and which may not be over.
    pub session: P2pId,
}
frame!(OpenSignals, Kind(0x230), 64);

/// The stream is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalsOpen {
    /// Relays for this side of this session, the best first; at most [`MAX_RELAYS`](crate::limit::MAX_RELAYS).
    pub relays: Vec<RelaySeat>,
}
frame!(SignalsOpen, Kind(0x232), 4 << 10);

/// A place at a relay, for one side of one session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelaySeat {
    /// The relay.
    pub relay: RelayId,
    /// What people call it.
    pub name: RelayName,
    /// Its host; none for the host by which the client reaches the server.
    pub host: Option<RelayHost>,
    /// Its UDP ports, at most [`MAX_RELAY_PORTS`](crate::limit::MAX_RELAY_PORTS): the first is for binding, all say how the
    /// client looks from there.
    pub ports: Vec<u16>,
    /// What lets the side in there.
    pub ticket: SignedTicket,
}

/// The newest value of a side: from a client its own, from the server the other side's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// The value.
    pub value: SignalValue,
}
frame!(Signal, Kind(0x234), (8 << 10) + 16);

/// What a side sets: 1 to [`MAX_SIGNAL_BYTES`] bytes.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "ByteBuf", into = "ByteBuf")]
pub struct SignalValue(Vec<u8>);

/// The bytes are none, or too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signal has 1 to {MAX_SIGNAL_BYTES} bytes, not {0}")]
pub struct NotASignal(pub usize);

impl SignalValue {
    /// These bytes.
    pub fn new(bytes: Vec<u8>) -> Result<Self, NotASignal> {
        if (1..=MAX_SIGNAL_BYTES).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(NotASignal(bytes.len())) }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for SignalValue {
    /// Addresses of people are in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignalValue({} bytes)", self.0.len())
    }
}

impl TryFrom<ByteBuf> for SignalValue {
    type Error = NotASignal;
    fn try_from(bytes: ByteBuf) -> Result<Self, NotASignal> {
        Self::new(bytes.into_vec())
    }
}

impl From<SignalValue> for ByteBuf {
    fn from(value: SignalValue) -> Self {
        Self::from(value.0)
    }
}
