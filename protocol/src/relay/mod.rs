//! The datagrams by which a client comes to use a relay. What is relayed are QUIC packets, which pass unchanged; these
//! travel beside them, between the same two UDP sockets.
//!
//! 1. [`Hello`](ToRelay::Hello) from the client: which session, and a nonce, padded to the length of the answer.
//! 2. [`Challenge`](FromRelay::Challenge) from the relay: the nonce, and a cookie that is made from the client's address
//!    and the time. The relay remembers nothing.
//! 3. [`Bind`](ToRelay::Bind) from the client: the cookie, which proves that the client receives at its address, and the
//!    [ticket] that it has from the server.
//! 4. [`Bound`](FromRelay::Bound) from the relay, or [`Refused`](FromRelay::Refused). From now on, QUIC packets from this
//!    address go to the address of the other side, if there is one; [`PeerPresent`](FromRelay::PeerPresent) says when.
//! 5. [`Keepalive`](ToRelay::Keepalive) from the client, as often as Bound said; [`Alive`](FromRelay::Alive) from the
//!    relay. Without answers the client begins again with Hello: its address has changed, or the relay forgot it.
//! 6. [`Unbind`](ToRelay::Unbind) from the client, which has no answer.
//!
//! Beside all that, [`Observe`](ToRelay::Observe) from anybody, answered by [`Observed`](FromRelay::Observed): how the sender
//! looks from outside. Whoever asks at two addresses of a relay, or at two relays, by one socket learns whether its NAT gives
//! it one address for all destinations (RFC 4787, 4.1: endpoint-independent mapping) or another one for each.
//!
//! No answer is longer than what it answers, so a relay is of no use to whoever sends from addresses of others.
//!
//! **The first byte** is [`MARK`], 0x0b. A QUIC packet with a long header has the first bit set, and one with a short
//! header the second, the fixed bit (RFC 9000, 17.2 and 17.3); a Version Negotiation packet may lack the second, but has
//! the first (17.2.1). So a byte without both is no QUIC packet, and of those values RFC 9443 (section 2) leaves 4 to 15
//! to nobody: 0x0b is not STUN, ZRTP or DTLS either. A peer that announces `grease_quic_bit` (RFC 9287) is sent packets
//! without the fixed bit; whoever uses a relay must not announce it, as RFC 9443 asks.
//!
//! ```text
//! datagram := MARK (1) | version (1) | kind (1) | 0 (1) | fields
//! ```
//!
//! Every field has a fixed size and every kind a fixed length; numbers are big-endian. A relay tells nobody that it does
//! not know a version: which versions it speaks is for the server to say, with the ticket.

mod bytes;
pub mod ticket;

pub use bytes::{ControlBytes, address_bytes};

use crate::id::P2pId;
use std::net::SocketAddr;
use ticket::{SIGNED_TICKET_BYTES, SignedTicket};

/// The first byte of these datagrams.
pub const MARK: u8 = 0x0b;
/// The version of this module.
pub const RELAY_VERSION: u8 = 1;
/// The longest of these datagrams: a Bind.
pub const MAX_CONTROL_BYTES: usize = HEAD + 8 + COOKIE_BYTES + SIGNED_TICKET_BYTES;
/// The longest datagram of a relay: a Challenge.
pub const MAX_ANSWER_BYTES: usize = HEAD + 8 + COOKIE_BYTES;
/// Bytes of a cookie: an HMAC-SHA-256.
pub const COOKIE_BYTES: usize = 32;

const HEAD: usize = 4;
/// What makes a Hello as long as a Challenge.
const HELLO_PADDING: usize = 16;
/// What makes a Keepalive as long as an Alive.
const KEEPALIVE_PADDING: usize = 3;
/// What makes an Observe as long as an Observed.
const OBSERVE_PADDING: usize = 18;

/// Whether a datagram that begins with this byte may be a QUIC packet. All that a relay passes on are such, so nobody can
/// have it bring one of the datagrams below, in the relay's name, to the other side.
pub fn may_be_quic(first: u8) -> bool {
    first & 0b1100_0000 != 0
}

/// Made by the client, and comes back in the answer: who does not see the question cannot make the answer up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce(pub [u8; 8]);

/// Proves an address to the relay that made it; means nothing to anybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie(pub [u8; COOKIE_BYTES]);

/// What a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToRelay {
    /// Asks for a cookie.
    Hello {
        /// The session that the cookie will be for.
        session: P2pId,
        /// Comes back in the Challenge.
        nonce: Nonce,
    },
    /// Asks to be one side of a session, at the address that this comes from.
    Bind {
        /// Comes back in Bound or Refused.
        nonce: Nonce,
        /// From the Challenge.
        cookie: Cookie,
        /// From the server.
        ticket: SignedTicket,
    },
    /// Keeps the binding, and the NATs on the way, from expiring.
    Keepalive {
        /// The session, which nobody but its sides and those on the way know.
        session: P2pId,
        /// Comes back in Alive.
        nonce: Nonce,
    },
    /// Ends the binding.
    Unbind {
        /// The session.
        session: P2pId,
    },
    /// Asks how its sender looks from outside. Needs no ticket, binds nothing, and keeps nothing from expiring but the NATs
    /// on the way.
    Observe {
        /// Comes back in Observed.
        nonce: Nonce,
    },
}

/// What a relay sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromRelay {
    /// To Hello.
    Challenge {
        /// Of the Hello.
        nonce: Nonce,
        /// For the Bind.
        cookie: Cookie,
    },
    /// To Bind: done. An earlier address of the same side is forgotten.
    Bound {
        /// Of the Bind.
        nonce: Nonce,
        /// The address that the Bind came from: how the client looks from outside.
        observed: SocketAddr,
        /// How long the ticket still lasts, in milliseconds; some 49 days if longer.
        lasts_ms: u32,
        /// How often to send Keepalive, in milliseconds.
        keepalive_ms: u32,
        /// Whether the other side is bound.
        peer: bool,
    },
    /// To Bind: no.
    Refused {
        /// Of the Bind.
        nonce: Nonce,
        /// Why.
        reason: RelayRefusal,
    },
    /// To Keepalive.
    Alive {
        /// Of the Keepalive.
        nonce: Nonce,
        /// The address that the Keepalive came from.
        observed: SocketAddr,
        /// Whether the other side is bound.
        peer: bool,
    },
    /// The other side has been bound, or bound anew at another address. Sent once, and may be lost; `peer` of the next
    /// Alive says the same.
    PeerPresent {
        /// The session.
        session: P2pId,
    },
    /// To Observe.
    Observed {
        /// Of the Observe.
        nonce: Nonce,
        /// The address that the Observe came from.
        observed: SocketAddr,
    },
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $slug:literal;)+) => {
        /// Why a relay does not bind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum RelayRefusal {
            $($(#[$doc])* $name,)+
            /// A reason of a later version; use another relay.
            Other(u8),
        }

        impl RelayRefusal {
            /// Every reason of this version, in order.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The reason's name in documents and logs.
            pub fn slug(self) -> &'static str {
                match self {
                    $(Self::$name => $slug,)+
                    Self::Other(_) => "other",
                }
            }
        }

        impl From<u8> for RelayRefusal {
            fn from(number: u8) -> Self {
                match number {
                    $($number => Self::$name,)+
                    other => Self::Other(other),
                }
            }
        }

        impl From<RelayRefusal> for u8 {
            fn from(reason: RelayRefusal) -> u8 {
                match reason {
                    $(RelayRefusal::$name => $number,)+
                    RelayRefusal::Other(number) => number,
                }
            }
        }
    };
}

refusals! {
    /// The ticket's time is over; ask the server for a new one.
    Expired = 1, "expired";
    /// The ticket is for another relay.
    OtherRelay = 2, "other-relay";
    /// The signature is not the server's.
    BadSignature = 3, "bad-signature";
    /// The relay has as many sessions as it takes; use another one.
    Full = 4, "full";
    /// The user has as many sessions at this relay as one may have; end one.
    TooManyOfUser = 5, "too-many-of-user";
    /// The relay is about to stop; use another one.
    Leaving = 6, "leaving";
}

/// Why a datagram is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotControl {
    /// It begins with another byte.
    #[error("the datagram does not begin with {MARK:#04x}: it is not for the relay's own ears")]
    Foreign,
    /// Of a version that this side does not speak.
    #[error("the datagram is of version {0} of the relay protocol; this side speaks {RELAY_VERSION}")]
    Version(u8),
    /// Of unknown kind, of the wrong length, or with a value that does not exist.
    #[error("the datagram is damaged, or of a kind that does not exist in this version of the relay protocol")]
    Malformed,
}
