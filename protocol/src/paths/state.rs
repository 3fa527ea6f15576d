//! What one side of a session tells the other of itself.
//!
//! ```text
//! state := version (1) | CBOR map (RFC 8949), at most MAX_STATE_BYTES together
//! ```
//!
//! | field | what it holds |
//! | --- | --- |
//! | `incarnation` | drawn at random when a side begins: another one means that it began anew, and what was known of it is void |
//! | `version` | counts up with each change of what follows but `seen` |
//! | `seen` | incarnation and version of the other's newest state that this side has |
//! | `fingerprint` | SHA-256 of this side's certificate, 32 bytes |
//! | `secret` | this side's half of the probes' key, 16 bytes |
//! | `candidates` | at most 16 maps: `address` (18 bytes, as in the relay's datagrams), `kind` |
//! | `mapping` | how this side's NAT chooses ports: `unknown`, `independent`, `dependent`, `blocked` |
//! | `relays` | at most 4 ids: where this side is bound |
//! | `guessing` | number of the newest round of port guessing that this side is in or has been in; 0 for none |
//! | `leaving` | whether this side says goodbye to the incarnation in `seen` |
//!
//! A receiver ignores unknown fields, and reads a kind or mapping that it does not know as `other`. A state is set again when
//! something in it has changed, and every few seconds, as a new version, until the other's `seen` shows it. One whose version is below that of
//! the last, of the same incarnation, is void.

use crate::{
    fingerprint::Fingerprint,
    id::RelayId,
    relay::{address_bytes, read_address},
};
use cbor4ii::{
    core::{dec::Read, utils::SliceReader},
    serde::Deserializer,
};
use serde::{Deserialize, Deserializer as Decoder, Serialize, Serializer as Encoder};
use std::{fmt, net::SocketAddr};

/// The version of this module.
pub const STATE_VERSION: u8 = 1;
/// Longest state, in bytes: twice what the limits below come to, for fields of later versions.
pub const MAX_STATE_BYTES: usize = 4 << 10;
/// Addresses of one side: more than a laptop with several networks has, and few enough to probe all.
pub const MAX_CANDIDATES: usize = 16;
/// Relays that one side is bound to: each costs keepalives, and one that works is enough.
pub const MAX_STATE_RELAYS: usize = 4;

/// One run of one side, from its beginning to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

/// Half of the probes' key. Written as `***`.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProbeSecret(#[serde(with = "serde_bytes")] pub [u8; 16]);

impl fmt::Debug for ProbeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProbeSecret(***)")
    }
}

/// Which state of the other side is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Of which run.
    pub incarnation: Incarnation,
    /// Its newest version.
    pub version: u64,
}

/// How an address is known to its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CandidateKind {
    /// It is an interface's.
    Host,
    /// A relay has seen it.
    Observed,
    /// The router has been told, or the owner has said so.
    Mapped,
    /// Of a later version.
    #[serde(other)]
    Other,
}

/// An address at which a side may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Candidate {
    /// The address; an IPv4 one is never in its IPv6 form.
    #[serde(serialize_with = "write_address", deserialize_with = "take_address")]
    pub address: SocketAddr,
    /// How it is known.
    pub kind: CandidateKind,
}

/// How the NAT in front of a side chooses the outer port (RFC 4787, 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mapping {
    /// Not found out, or not yet.
    #[default]
    Unknown,
    /// One port for all destinations: what one relay sees holds for everybody. Or there is no NAT.
    Independent,
    /// Another port for each destination: it has to be guessed.
    Dependent,
    /// No relay has answered: UDP seems not to get through.
    Blocked,
    /// Of a later version.
    #[serde(other)]
    Other,
}

/// What one side says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Which run of this side.
    pub incarnation: Incarnation,
    /// Counts up with each change.
    pub version: u64,
    /// What this side has of the other.
    pub seen: Option<Seen>,
    /// Of its certificate.
    pub fingerprint: Fingerprint,
    /// This side's half of the probes' key.
    pub secret: ProbeSecret,
    /// Where this side may be reached, the likeliest first; at most [`MAX_CANDIDATES`].
    pub candidates: Vec<Candidate>,
    /// How its NAT chooses ports.
    pub mapping: Mapping,
    /// Where it is bound; at most [`MAX_STATE_RELAYS`].
    pub relays: Vec<RelayId>,
    /// The newest round of guessing; 0 for none.
    pub guessing: u32,
    /// Whether this is a goodbye to the incarnation in `seen`.
    pub leaving: bool,
}

/// Why bytes are no state, or a state cannot travel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAState {
    /// Longer than [`MAX_STATE_BYTES`].
    #[error("the state has {0} bytes; at most {MAX_STATE_BYTES} are allowed")]
    TooLong(usize),
    /// Of a version that this side does not speak.
    #[error("the state is of version {0}; this side speaks {STATE_VERSION}")]
    Version(u8),
    /// More addresses or relays than are allowed.
    #[error("the state has more addresses or relays than are allowed")]
    TooMany,
    /// Not CBOR, or not CBOR of these fields.
    #[error("malformed state: {0}")]
    Malformed(String),
}

impl State {
    /// As it travels.
    pub fn encode(&self) -> Result<Vec<u8>, NotAState> {
        self.check()?;
        let bytes =
            cbor4ii::serde::to_vec(vec![STATE_VERSION], self).map_err(|e| NotAState::Malformed(e.to_string()))?;
        if bytes.len() > MAX_STATE_BYTES { Err(NotAState::TooLong(bytes.len())) } else { Ok(bytes) }
    }

    /// Reads what came.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotAState> {
        let malformed = |reason: String| NotAState::Malformed(reason.chars().take(200).collect());
        if bytes.len() > MAX_STATE_BYTES {
            return Err(NotAState::TooLong(bytes.len()));
        }
        let body = match bytes {
            [STATE_VERSION, body @ ..] => body,
            [version, ..] => return Err(NotAState::Version(*version)),
            [] => return Err(malformed("no bytes".to_owned())),
        };
        let mut cbor = Deserializer::new(SliceReader::new(body));
        let state = Self::deserialize(&mut cbor).map_err(|e| malformed(e.to_string()))?;
        match cbor.into_inner().fill(1).map(|rest| rest.as_ref().is_empty()) {
            Ok(true) => state.check().map(|()| state),
            _ => Err(malformed("bytes after the only item".to_owned())),
        }
    }

    fn check(&self) -> Result<(), NotAState> {
        let fits = self.candidates.len() <= MAX_CANDIDATES && self.relays.len() <= MAX_STATE_RELAYS;
        if fits { Ok(()) } else { Err(NotAState::TooMany) }
    }
}

fn write_address<S: Encoder>(address: &SocketAddr, encoder: S) -> Result<S::Ok, S::Error> {
    encoder.serialize_bytes(&address_bytes(*address))
}

fn take_address<'de, D: Decoder<'de>>(decoder: D) -> Result<SocketAddr, D::Error> {
    serde_bytes::deserialize::<[u8; 18], D>(decoder).map(read_address)
}
