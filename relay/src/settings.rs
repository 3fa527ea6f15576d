//! What an operator says, and the numbers that a peer is held to, with their reasons.

use hypersend_protocol::id::RelayId;
use std::{fmt, time::Duration};

/// How long a binding lasts without a datagram from its address. Several keepalives may be lost in it, and a client that
/// sleeps for longer binds anew.
pub const IDLE: Duration = Duration::from_mins(1);

/// How often a client is asked to send a keepalive. Some NATs forget a UDP mapping after 30 s, whatever RFC 4787 (REQ-5)
/// asks of them.
pub const KEEPALIVE: Duration = Duration::from_secs(15);

/// How often [`Relay::sweep`](crate::Relay::sweep) wants to be called. What has ended counts against the limits until then.
pub const SWEEP: Duration = Duration::from_secs(1);

/// Signatures that are verified in one second. One takes about a tenth of a millisecond, so whoever sends tickets that are
/// not the server's, from addresses that are theirs, takes a tenth of a core at most. Binds above it are dropped, and come
/// again.
pub const MAX_VERIFICATIONS_PER_SECOND: u32 = 1_000;

/// What a relay is told at its start.
pub struct Settings {
    /// Who this relay is: tickets for others are refused.
    pub id: RelayId,
    /// The server's Ed25519 public key: tickets are to be signed by it.
    pub server_key: [u8; 32],
    /// Random bytes, made anew at each start; cookies are made with them.
    pub cookie_secret: [u8; 32],
    /// Bytes of datagrams passed on in a second, all sessions together. None for as much as there is.
    pub capacity: Option<u64>,
    /// Bytes of datagrams passed on in a second for one session, both ways together. None for as much as its share.
    pub session_capacity: Option<u64>,
    /// Sessions at one time. 10,000. Each takes less than 1 KiB of memory.
    pub max_sessions: usize,
    /// Sides of sessions at one time that are one user's. 32: more than a person sends at once, and few enough that one
    /// account does not fill a relay.
    pub max_sessions_of_user: u32,
}

impl Settings {
    /// Settings with the usual limits and no bound on the capacity.
    pub fn new(id: RelayId, server_key: [u8; 32], cookie_secret: [u8; 32]) -> Self {
        Self {
            id,
            server_key,
            cookie_secret,
            capacity: None,
            session_capacity: None,
            max_sessions: 10_000,
            max_sessions_of_user: 32,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("id", &self.id)
            .field("capacity", &self.capacity)
            .field("session_capacity", &self.session_capacity)
            .field("max_sessions", &self.max_sessions)
            .field("max_sessions_of_user", &self.max_sessions_of_user)
            .finish_non_exhaustive()
    }
}
