//! Probes: small datagrams between the two sides of a session, which ask whether a way is open.
//!
//! ```text
//! probe := MARK (1) | version (1) | kind (1) | side (1) | nonce (8) | mac (16)
//! mac   := the first 16 bytes of HMAC-SHA-256(key, probe without its mac)
//! key   := HMAC-SHA-256(secret of the sender | secret of the receiver, key message)
//! key message := "hypersend probe key 1" NUL | session (16) | incarnation of the sender (8) | of the receiver (8)
//! ```
//!
//! Both kinds are of one length, so nobody is sent more than came from its address. `side` is who made it (0 the sender, 1
//! the receiver), so that a side's own probe, sent back to it, is none. The first byte has neither of the two top bits, so
//! it is no QUIC packet, and no relay passes it on (see [`crate::relay`]).

use crate::{
    id::P2pId,
    paths::Incarnation,
    relay::{Nonce, ticket::Side},
};

/// The first byte of a probe.
pub const PROBE_MARK: u8 = 0x0d;
/// The version of this module.
pub const PROBE_VERSION: u8 = 1;
/// Bytes of a probe, of either kind.
pub const PROBE_BYTES: usize = UNSEALED_BYTES + MAC_BYTES;
/// Bytes from which the key is made, beside the two secrets.
pub const PROBE_KEY_MESSAGE_BYTES: usize = DOMAIN.len() + 16 + 8 + 8;

const UNSEALED_BYTES: usize = 4 + 8;
const MAC_BYTES: usize = 16;
const DOMAIN: &[u8; 22] = b"hypersend probe key 1\0";

/// What a probe asks or says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// Asks; 1 on the wire.
    Ping,
    /// Answers, with the ping's nonce; 2 on the wire.
    Pong,
}

/// A probe without its seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Question or answer.
    pub kind: ProbeKind,
    /// Who made it.
    pub side: Side,
    /// Made for the ping, and repeated in the pong.
    pub nonce: Nonce,
}

impl Probe {
    /// The bytes that the seal is made over.
    pub fn message(&self) -> [u8; UNSEALED_BYTES] {
        let mut bytes = [0; UNSEALED_BYTES];
        let kind = match self.kind {
            ProbeKind::Ping => 1,
            ProbeKind::Pong => 2,
        };
        bytes[..4].copy_from_slice(&[PROBE_MARK, PROBE_VERSION, kind, u8::from(self.side == Side::Receiver)]);
        bytes[4..].copy_from_slice(&self.nonce.0);
        bytes
    }

    /// As it travels.
    pub fn sealed(&self, mac: [u8; MAC_BYTES]) -> [u8; PROBE_BYTES] {
        let mut bytes = [0; PROBE_BYTES];
        bytes[..UNSEALED_BYTES].copy_from_slice(&self.message());
        bytes[UNSEALED_BYTES..].copy_from_slice(&mac);
        bytes
    }

    /// Reads what came: the probe and its seal, which the caller compares. `None` for whatever is no probe of this version.
    pub fn read(bytes: &[u8]) -> Option<(Self, [u8; MAC_BYTES])> {
        let (&[PROBE_MARK, PROBE_VERSION, kind, side], rest) = bytes.split_first_chunk()? else { return None };
        let kind = match kind {
            1 => ProbeKind::Ping,
            2 => ProbeKind::Pong,
            _ => return None,
        };
        let side = match side {
            0 => Side::Sender,
            1 => Side::Receiver,
            _ => return None,
        };
        let (nonce, mac) = rest.split_first_chunk()?;
        Some((Self { kind, side, nonce: Nonce(*nonce) }, mac.try_into().ok()?))
    }
}

/// What the key of a session's probes is made from, beside the two secrets: another session, or another run of either side,
/// has another key.
pub fn probe_key_message(session: P2pId, sender: Incarnation, receiver: Incarnation) -> [u8; PROBE_KEY_MESSAGE_BYTES] {
    let mut bytes = [0; PROBE_KEY_MESSAGE_BYTES];
    let (domain, rest) = bytes.split_at_mut(DOMAIN.len());
    domain.copy_from_slice(DOMAIN);
    rest[..16].copy_from_slice(session.0.as_bytes());
    rest[16..24].copy_from_slice(&sender.0.to_be_bytes());
    rest[24..].copy_from_slice(&receiver.0.to_be_bytes());
    bytes
}
