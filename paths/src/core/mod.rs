//! What to do, without doing it: no socket, no clock, no randomness of its own.
//!
//! The shell tells the core what has happened and when, and carries out the [`Wish`]es that it finds in [`Core::poll`]; it
//! calls [`Core::settle`] when [`Core::wake_at`] says so. A [`Moment`] is the time since the session was opened.
//!
//! | module | what it decides |
//! | --- | --- |
//! | `session` | the whole: what happens is told to its parts, and they have their turn |
//! | `register` | what is said to the other side, and what of its words counts |
//! | `candidates` | which addresses are named, and which of the other side's are believed |
//! | `relays`, `seat` | how this side comes to its seats at relays and holds them |
//! | `trial` | whether a seat that is held through a tunnel can be had by UDP |
//! | `observe` | how the NAT in front of this side chooses ports |
//! | `key` | which probes are the other side's |
//! | `probes` | which addresses are probed, when, and which may be connected to |
//! | `guess` | when ports are guessed, and which |
//! | `ways` | which connections there are, and which of them are dead |
//! | `budget`, `dice` | how much, and random numbers |

mod budget;
mod candidates;
mod dice;
mod guess;
mod key;
mod observe;
mod probes;
mod register;
mod relays;
mod seat;
mod session;
#[cfg(test)]
mod tests;
mod trial;
mod ways;

use crate::event::{PathId, Why};
pub use observe::mapping;
pub(crate) use session::{Core, Setup};
use std::{collections::VecDeque, net::SocketAddr, time::Duration};
pub(crate) use ways::Route;

/// Time since the session was opened.
pub(crate) type Moment = Duration;

/// Which of this side's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Via(pub(crate) u32);

impl Via {
    /// The one that there always is, by which this side speaks with relays.
    pub(crate) const MAIN: Self = Self(0);
}

/// What the core wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A datagram sent. It may be lost.
    Send { via: Via, to: SocketAddr, bytes: Vec<u8> },
    /// The register set.
    Set(Vec<u8>),
    /// A connection made; [`Core::up`] or [`Core::undialed`] is to follow.
    Dial(Route),
    /// Connections that are being made, given up.
    StopDialing,
    /// A connection closed; nothing is to follow.
    Cut(PathId, Why),
    /// Another main socket; [`Core::placed`] is to follow.
    Rebind,
    /// Sockets opened, for guessing; [`Core::opened`] is to follow.
    Open(Vec<Via>),
    /// One of them made an endpoint's, which outlives the others.
    Keep(Via),
    /// Those that were not kept closed.
    CloseOpened,
    /// One that was kept closed.
    Release(Via),
    /// The owner told.
    Tell(Notice),
}

/// What the owner is to know of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Another run of it has been heard of.
    PeerChanged,
    /// It has said goodbye.
    PeerLeft,
}

pub(crate) type Out = VecDeque<Wish>;
