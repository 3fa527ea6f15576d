//! What a session is opened with.

use crate::identity::Identity;
use hypersend_protocol::{
    id::{P2pId, RelayId},
    relay::ticket::{Side, SignedTicket},
};
use std::{collections::BTreeSet, io, net::SocketAddr};
use tokio::sync::mpsc;

/// Which end of a session. The sender makes the connections, the receiver takes them.
pub type Role = Side;

/// A relay that this side may use, as the server has named it.
#[derive(Clone, Debug)]
pub struct RelayPlace {
    /// Which.
    pub id: RelayId,
    /// Its name for people.
    pub name: String,
    /// Where it listens; at most 4 are used.
    pub addresses: Vec<SocketAddr>,
    /// An address of this machine whose datagrams go there, and come from there, by other means than this machine's network: for
    /// where that lets no UDP through. What the relay sees of them is not this side's address.
    pub tunnel: Option<SocketAddr>,
    /// Where else it says how a client's address looks: other ports or other machines; at most 4 are used. With one or more,
    /// it is found out how the NAT chooses ports.
    pub observe: Vec<SocketAddr>,
    /// For this side of this session at this relay.
    pub ticket: SignedTicket,
}

impl RelayPlace {
    /// All addresses by which it is reached.
    pub(crate) fn ways(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses.iter().copied().chain(self.tunnel)
    }

    /// Whether another is reached at the same addresses, in whichever order.
    pub(crate) fn is_where(&self, other: &Self) -> bool {
        let all: BTreeSet<SocketAddr> = self.ways().collect();
        all == other.ways().collect()
    }
}

/// What a session is opened with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which end this is.
    pub role: Role,
    /// The session.
    pub session: P2pId,
    /// Who this side is to the other.
    pub identity: Identity,
    /// Relays; at most 4 are used. More may be added later.
    pub relays: Vec<RelayPlace>,
    /// Further addresses of this side, such as one that somebody has had a router map for ever.
    pub candidates: Vec<SocketAddr>,
    /// Whether to guess ports where one side's NAT makes them up anew for each destination. True. Costs up to 256 sockets and
    /// 1,024 small datagrams a round, and at most 3 rounds.
    pub guess: bool,
    /// Whether to ask the router for an outside port of this session's socket, where direct ways are looked for. True. Costs a
    /// few datagrams to the router and one to the local network, again every minute while nobody gives one; nothing waits for
    /// an answer. The port is open to everybody until the session is closed, or for 10 min at most where the program is killed.
    pub map: bool,
    /// Whether to look for direct ways. True. Without, the other side learns no address of this one.
    pub direct: bool,
}

impl Config {
    /// With no relays and the usual settings.
    pub fn new(role: Role, session: P2pId, identity: Identity) -> Self {
        Self {
            role,
            session,
            identity,
            relays: Vec::new(),
            candidates: Vec::new(),
            guess: true,
            map: true,
            direct: true,
        }
    }
}

/// The two registers at the server, by which both sides know of each other. Each holds the newest value only: a value that is
/// set replaces the one before, and of those heard the newest counts. Values may get lost, or come twice.
///
/// The owner pumps both channels. After [`Paths::close`](crate::Paths::close), the last value set is this side's goodbye.
#[derive(Debug)]
pub struct Signals {
    /// What this side sets; at most [`MAX_STATE_BYTES`](hypersend_protocol::paths::MAX_STATE_BYTES) each.
    pub set: mpsc::Sender<Vec<u8>>,
    /// What the other side has set.
    pub heard: mpsc::Receiver<Vec<u8>>,
}

/// A session could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system gives no socket.
    #[error("open a UDP socket")]
    Socket(#[source] io::Error),
    /// The system gives no random bytes.
    #[error("ask the system for random bytes")]
    Random(#[source] getrandom::Error),
}
