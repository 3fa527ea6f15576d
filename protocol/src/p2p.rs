//! Transfers from one client to another: who offers what to whom, what became of it, and the relays that there are for
//! them. The bytes never reach the server.

use crate::{
    frame::{Kind, frame},
    id::{ChatId, ClientId, P2pId, RelayId, UserId},
    name::{FileName, RelayHost, RelayName},
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How far an offer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum P2pStatus {
    /// The receiver has not answered.
    Offered,
    /// The receiver wants it.
    Accepted,
    /// The receiver does not want it.
    Declined,
    /// Either side has called it off.
    Cancelled,
    /// The receiver has all of it, verified.
    Finished,
    /// Either side has given up.
    Failed,
}

impl P2pStatus {
    /// Whether nothing comes after it.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Offered | Self::Accepted)
    }
}

/// As it reads in a sentence: `accepted`.
impl fmt::Display for P2pStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Offered => "offered",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Cancelled => "cancelled",
            Self::Finished => "finished",
            Self::Failed => "failed",
        })
    }
}

/// What the bytes take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum P2pPath {
    /// From one side to the other.
    Direct,
    /// By way of a relay.
    Relayed,
    /// Through the server, as there is no way between the two: the sender has put the files into the chat.
    Stored,
}

/// A file or a folder that is offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedFile {
    /// Its name.
    pub name: FileName,
    /// Its size, in bytes; of a folder, that of all files in it.
    pub size: u64,
    /// Whether it is a folder. What was written before folders were offered does not say.
    #[serde(default)]
    pub folder: bool,
}

/// An offer and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct P2pSession {
    /// The session.
    pub id: P2pId,
    /// The chat in which it is offered.
    pub chat: ChatId,
    /// Who offers.
    pub sender: UserId,
    /// To whom.
    pub receiver: UserId,
    /// What, at most [`MAX_OFFERED_FILES`](crate::limit::MAX_OFFERED_FILES).
    pub files: Vec<OfferedFile>,
    /// How far it has come.
    pub status: P2pStatus,
    /// What the bytes take, as either side said last.
    pub path: Option<P2pPath>,
    /// When it was offered.
    pub created: UnixMillis,
    /// When it last changed.
    pub updated: UnixMillis,
}
frame!(P2pSession, Kind(0x56), 64 << 10);

/// One page of the caller's sessions, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct P2pPage {
    /// The sessions.
    pub sessions: Vec<P2pSession>,
    /// Whether older ones exist; give the last one's id in [`ListP2p::before`].
    pub more: bool,
}
frame!(P2pPage, Kind(0x58), 8 << 20);

/// A relay as such. Whoever is to use it for a session gets a [`RelaySeat`](crate::signal::RelaySeat).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayInfo {
    /// The relay.
    pub relay: RelayId,
    /// What people call it.
    pub name: RelayName,
    /// Its host; none for the host by which the client reaches the server.
    pub host: Option<RelayHost>,
    /// Its UDP ports, at most [`MAX_RELAY_PORTS`](crate::limit::MAX_RELAY_PORTS): all say how the client looks from
    /// there.
    pub ports: Vec<u16>,
}

/// The relays that take sessions, the least loaded first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayList {
    /// The relays, at most [`MAX_LISTED_RELAYS`](crate::limit::MAX_LISTED_RELAYS).
    pub relays: Vec<RelayInfo>,
}
frame!(RelayList, Kind(0x5c), 32 << 10);

/// Offers files to another member of a chat. A second offer with the same client id is the first one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferP2p {
    /// The client's own id for it.
    pub client_id: ClientId,
    /// The chat in which it is offered.
    pub chat: ChatId,
    /// To whom.
    pub receiver: UserId,
    /// What, at most [`MAX_OFFERED_FILES`](crate::limit::MAX_OFFERED_FILES).
    pub files: Vec<OfferedFile>,
}
frame!(OfferP2p, Kind(0x160), 64 << 10 => P2pSession);

/// One session, to either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetP2p {
    /// The session.
    pub session: P2pId,
}
frame!(GetP2p, Kind(0x162), 64 => P2pSession);

/// A page of the sessions that the caller sends or receives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListP2p {
    /// Sessions older than this one; none for the newest.
    pub before: Option<P2pId>,
    /// At most this many, and at most [`MAX_PAGE`](crate::limit::MAX_PAGE).
    pub limit: u32,
}
frame!(ListP2p, Kind(0x164), 64 => P2pPage);

/// Says how far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeP2p {
    /// The session.
    pub session: P2pId,
    /// How far it has come; none to leave that.
    pub status: Option<P2pStatus>,
    /// What the bytes take; none to leave that.
    pub path: Option<P2pPath>,
}
frame!(ChangeP2p, Kind(0x166), 128 => P2pSession);

/// The relays there are, without leave to use one: so that a client can tell how far they are, and how it looks from
/// there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRelays {}
frame!(ListRelays, Kind(0x168), 16 => RelayList);
