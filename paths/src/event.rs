//! What a session's owner hears of.

use quinn::Connection;
use std::{fmt, net::SocketAddr};

/// One connection to the other side, among those of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub u64);

/// Which way a connection takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// From one side to the other; the other side's address.
    Direct(SocketAddr),
    /// Over a relay.
    Relayed {
        /// The relay's name for people.
        name: String,
        /// Its address.
        address: SocketAddr,
        /// Whether this side comes there through its [tunnel](crate::RelayPlace::tunnel).
        tunnelled: bool,
    },
}

impl Way {
    /// Whether no relay is in between.
    pub fn is_direct(&self) -> bool {
        matches!(self, Self::Direct(_))
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct(address) => write!(f, "direct to {address}"),
            Self::Relayed { name, tunnelled: false, .. } => write!(f, "relay {name}"),
            Self::Relayed { name, tunnelled: true, .. } => write!(f, "relay {name}, by way of the server"),
        }
    }
}

/// Why a path is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing has come for 2.5 s, and no ping was answered.
    Silent,
    /// The connection has ended: by the other side, by its own timeout, or by the owner.
    Closed,
    /// The other side began anew.
    PeerChanged,
    /// The other side has said goodbye.
    PeerLeft,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "nothing came any more",
            Self::Closed => "the connection has ended",
            Self::PeerChanged => "the other side began anew",
            Self::PeerLeft => "the other side has left",
        })
    }
}

/// What has happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A way is open. Both sides hear of each connection.
    Up {
        /// Names it.
        path: PathId,
        /// Which way it takes.
        way: Way,
        /// Authenticated: the other end has the certificate that the other side's state names.
        connection: Connection,
    },
    /// A way is gone; its connection is closed.
    Down {
        /// Which.
        path: PathId,
        /// Why.
        why: Why,
    },
    /// A run of the other side has been heard of that was not known: the first one, or it began anew. All paths of an earlier
    /// one are gone.
    PeerChanged,
    /// The other side has ended the session. All paths are gone. Another run of it may follow.
    PeerLeft,
    /// [`Signals`](crate::Signals) has ended: paths that there are stay, and nothing is heard of the other side any more.
    SignalsLost,
}
