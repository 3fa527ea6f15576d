//! Transfers from one client to another: the offer, and what became of it.

use hypersend_protocol::{
    id::{ChatId, ClientId, P2pId, UserId},
    p2p::{OfferedFile, P2pPath, P2pSession, P2pStatus},
    time::UnixMillis,
};

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

impl P2pChange {
    /// The session after this change, and whether anything is new; the one place of the rules.
    pub fn apply(&self, session: &P2pSession) -> (P2pChanged, bool) {
        if ![session.sender, session.receiver].contains(&self.by) {
            return (P2pChanged::NoSession, false);
        }
        let status = self.status.unwrap_or(session.status);
        if status != session.status {
            let may_say = match (session.status, status) {
                (P2pStatus::Offered, P2pStatus::Accepted | P2pStatus::Declined)
                | (P2pStatus::Accepted, P2pStatus::Finished) => self.by == session.receiver,
                (P2pStatus::Offered | P2pStatus::Accepted, P2pStatus::Cancelled)
                | (P2pStatus::Accepted, P2pStatus::Failed) => true,
                _ => return (P2pChanged::Conflict(session.status), false),
            };
            if !may_say {
                return (P2pChanged::OtherSide, false);
            }
        }
        let path = self.path.or(session.path);
        let may_change = status == P2pStatus::Accepted || session.status == P2pStatus::Accepted;
        // What is stored stays so: the receiver has been told to fetch it, whatever its sender finds out late.
        if path != session.path && (!may_change || session.path == Some(P2pPath::Stored)) {
            return (P2pChanged::Conflict(session.status), false);
        }
        if (status, path) == (session.status, session.path) {
            return (P2pChanged::Changed(session.clone()), false);
        }
        (P2pChanged::Changed(P2pSession { status, path, updated: self.now, ..session.clone() }), true)
    }
}
