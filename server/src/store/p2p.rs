//! Transfers from one client to another: the offer, and what became of it.

use hypersend_protocol::{
    id::{ChatId, ClientId, P2pId, UserId},
    p2p::{OfferedFile, P2pPath, P2pStatus},
    time::UnixMillis,
};

/// An offer and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct P2pSession {
    /// Its id; later sessions have larger ones.
    pub id: P2pId,
    /// The chat in which it is offered.
    pub chat: ChatId,
    /// Who offers.
    pub sender: UserId,
    /// To whom.
    pub receiver: UserId,
    /// What.
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

/// An offer to be made.
#[derive(Clone, Debug)]
pub struct NewP2p {
    /// Its id, unless it was made before.
    pub id: P2pId,
    /// The sender's own id for it.
    pub client_id: ClientId,
    /// The chat in which it is offered.
    pub chat: ChatId,
    /// Who offers.
    pub sender: UserId,
    /// To whom.
    pub receiver: UserId,
    /// What.
    pub files: Vec<OfferedFile>,
    /// How many offers of the sender may be open, with this one.
    pub max_open: usize,
    /// When.
    pub now: UnixMillis,
}

/// What became of an offer to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It is made, now or by an earlier attempt; as it is now.
    Made(P2pSession),
    /// There is no such chat, or the sender is not in it.
    NoChat,
    /// The receiver is not another member of the chat.
    NoReceiver,
    /// The sender has as many open as there may be.
    TooMany,
}

/// How far a session is said to have come.
#[derive(Clone, Copy, Debug)]
pub struct P2pChange {
    /// The session.
    pub id: P2pId,
    /// Who says so.
    pub by: UserId,
    /// How far; none to leave that.
    pub status: Option<P2pStatus>,
    /// What the bytes take; none to leave that.
    pub path: Option<P2pPath>,
    /// When.
    pub now: UnixMillis,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum P2pChanged {
    /// It is as was said, now or already.
    Changed(P2pSession),
    /// There is no such session, or it is others'.
    NoSession,
    /// That is for the other side to say.
    OtherSide,
    /// It does not follow from how far it has come.
    Conflict(P2pStatus),
}

impl P2pSession {
    /// The session after a change, and whether anything is new; the one place of the rules.
    pub fn change(&self, change: &P2pChange) -> (P2pChanged, bool) {
        if ![self.sender, self.receiver].contains(&change.by) {
            return (P2pChanged::NoSession, false);
        }
        let status = change.status.unwrap_or(self.status);
        if status != self.status {
            let may_say = match (self.status, status) {
                (P2pStatus::Offered, P2pStatus::Accepted | P2pStatus::Declined)
                | (P2pStatus::Accepted, P2pStatus::Finished) => change.by == self.receiver,
                (P2pStatus::Offered | P2pStatus::Accepted, P2pStatus::Cancelled)
                | (P2pStatus::Accepted, P2pStatus::Failed) => true,
                _ => return (P2pChanged::Conflict(self.status), false),
            };
            if !may_say {
                return (P2pChanged::OtherSide, false);
            }
        }
        let path = change.path.or(self.path);
        if path != self.path && status != P2pStatus::Accepted && self.status != P2pStatus::Accepted {
            return (P2pChanged::Conflict(self.status), false);
        }
        if (status, path) == (self.status, self.path) {
            return (P2pChanged::Changed(self.clone()), false);
        }
        (P2pChanged::Changed(Self { status, path, updated: change.now, ..self.clone() }), true)
    }
}
