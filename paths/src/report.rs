//! How a session's ways stand, for a person to look at.

use hypersend_protocol::{
    id::RelayId,
    paths::{Candidate, Mapping},
    relay::RelayRefusal,
};
use std::{net::SocketAddr, time::Duration};

/// How things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// This side, as it says itself.
    pub own: SideReport,
    /// The other side, as it says itself; none before it has been heard of.
    pub peer: Option<SideReport>,
    /// The relays.
    pub relays: Vec<RelayReport>,
    /// Time from the opening to the first way of any kind.
    pub first_after: Option<Duration>,
    /// Time from the opening to the first direct way.
    pub direct_after: Option<Duration>,
}

/// One side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideReport {
    /// How its NAT chooses ports.
    pub mapping: Mapping,
    /// Its addresses as relays see them.
    pub observed: Vec<SocketAddr>,
    /// All of its addresses.
    pub candidates: Vec<Candidate>,
    /// Where it is bound.
    pub relays: Vec<RelayId>,
    /// Rounds of port guessing so far.
    pub guessing: u32,
}

/// One relay, as this side sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayReport {
    /// Which.
    pub id: RelayId,
    /// Its name for people.
    pub name: String,
    /// How this side stands with it.
    pub state: RelayState,
    /// Whether this side is bound through its [tunnel](crate::RelayPlace::tunnel).
    pub tunnelled: bool,
    /// Of the last question and its answer.
    pub round_trip: Option<Duration>,
}

/// How a side stands with a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayState {
    /// It has been asked.
    Asking,
    /// It has been asked several times and has not answered.
    Silent,
    /// It passes datagrams on.
    Bound {
        /// This side's address as the relay sees it.
        observed: SocketAddr,
        /// Whether the other side is there too.
        has_peer: bool,
    },
    /// It has said no.
    Refused(RelayRefusal),
}
