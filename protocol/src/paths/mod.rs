//! Ways between two clients of one transfer: what they tell each other of themselves, and the probes by which they find out
//! which way a datagram gets through.
//!
//! 1. Each side sets its [`State`] in a register at the server, which hands the newest value to the other side. A value
//!    stands for itself: whoever missed the ones before has missed nothing.
//! 2. With both states a side has the key of the [`Probe`]s. It sends pings to the addresses that the other has named, from
//!    the socket that it will use, which opens its own NAT; a ping is answered by a pong to where it came from.
//! 3. The sender opens a QUIC connection to an address that has answered, and to a relay where both sides are. Each side's
//!    certificate is the one whose fingerprint is in its state.
//! 4. At the end a side sets a state that says so.
//!
//! The bytes are here and no cryptography: each side makes its calls of HMAC itself.

mod probe;
mod state;

pub use probe::{PROBE_BYTES, PROBE_KEY_MESSAGE_BYTES, PROBE_MARK, PROBE_VERSION, Probe, ProbeKind, probe_key_message};
pub use state::{
    Candidate, CandidateKind, Incarnation, MAX_CANDIDATES, MAX_STATE_BYTES, MAX_STATE_RELAYS, Mapping, NotAState,
    ProbeSecret, STATE_VERSION, Seen, State,
};

/// The ALPN token (RFC 7301) of a connection between two clients.
pub const PEER_ALPN: &[u8] = b"hypersend-p2p/1";
