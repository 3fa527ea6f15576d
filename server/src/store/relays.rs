//! Relays that are there: each says so of itself again and again, and counts no more when it has not.

use hypersend_protocol::{
    id::RelayId,
    name::{RelayHost, RelayName},
};

/// A relay, as it said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// Which.
    pub id: RelayId,
    /// What people call it.
    pub name: RelayName,
    /// Where clients find it; none for the host by which they reach the server.
    pub host: Option<RelayHost>,
    /// Its UDP ports, the first for binding.
    pub ports: Vec<u16>,
    /// Sessions that it has.
    pub sessions: u32,
    /// Sessions that it may have.
    pub max_sessions: u32,
    /// Whether it takes nobody new.
    pub draining: bool,
}

impl Relay {
    /// Whether it takes a session more.
    pub fn has_room(&self) -> bool {
        !self.draining && self.sessions < self.max_sessions
    }

    /// How much of what it may have it has, in thousandths.
    pub fn load(&self) -> u32 {
        let thousandths = u64::from(self.sessions) * 1_000 / u64::from(self.max_sessions.max(1));
        u32::try_from(thousandths).unwrap_or(u32::MAX)
    }
}
