//! Transfers from one client to another: offering, answering, and saying how far they are. The bytes never come here.

use super::{accounts::Caller, store_refusal};
use crate::{
    clock,
    store::{
        Store, StoreError,
        p2p::{NewP2p, Offered, P2pChange, P2pChanged},
    },
};
use hypersend_protocol::{
    id::P2pId,
    limit::{MAX_OFFERED_FILES, MAX_OPEN_OFFERS, MAX_PAGE},
    p2p::{ChangeP2p, OfferP2p, P2pSession, P2pStatus},
    refusal::{ErrorCode, Refusal},
};
use std::sync::Arc;
use uuid::Uuid;

/// The service of transfers from one client to another.
#[derive(Clone)]
pub struct P2p {
    store: Arc<dyn Store>,
}

impl std::fmt::Debug for P2p {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("P2p").finish_non_exhaustive()
    }
}

/// Why a transfer is not offered, or not changed.
#[derive(Debug, thiserror::Error)]
pub enum P2pError {
    /// There is nothing to send, or too much.
    #[error("an offer has 1 to {MAX_OFFERED_FILES} files, not {0}")]
    Files(usize),
    /// The chat is not there, or the caller is not in it.
    #[error("there is no such chat, or you are not in it")]
    NoChat,
    /// The receiver is the caller, or not in the chat.
    #[error("the receiver has to be another member of the chat")]
    NoReceiver,
    /// Too many are open.
    #[error("you have {MAX_OPEN_OFFERS} open offers already; cancel some first")]
    TooMany,
    /// The session is not there, or not the caller's.
    #[error("there is no transfer {0}, or it is not yours")]
    NoSession(P2pId),
    /// The other side has to say that.
    #[error("that is for the other side to say")]
    OtherSide,
    /// It cannot be so any more, or yet.
    #[error("the transfer is {0}, and that does not follow")]
    Conflict(P2pStatus),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<P2pError> for Refusal {
    fn from(error: P2pError) -> Self {
        let code = match &error {
            P2pError::Files(0) | P2pError::NoReceiver => ErrorCode::Invalid,
            P2pError::Files(_) => {
                return Self::new(ErrorCode::LimitReached, error.to_string()).with_limit(MAX_OFFERED_FILES as u64);
            }
            P2pError::TooMany => {
                return Self::new(ErrorCode::LimitReached, error.to_string()).with_limit(MAX_OPEN_OFFERS as u64);
            }
            P2pError::NoChat | P2pError::NoSession(_) => ErrorCode::NotFound,
            P2pError::OtherSide => ErrorCode::Forbidden,
            P2pError::Conflict(_) => ErrorCode::Conflict,
            P2pError::Store(error) => return store_refusal(error),
        };
        Self::new(code, error.to_string())
    }
}

type Result<T> = std::result::Result<T, P2pError>;

impl P2p {
    /// On this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Offers files to another member of a chat; the same offer when it was made before.
    pub async fn offer(&self, me: &Caller, offer: OfferP2p) -> Result<P2pSession> {
        if offer.files.is_empty() || offer.files.len() > MAX_OFFERED_FILES {
            return Err(P2pError::Files(offer.files.len()));
        }
        let new = NewP2p {
            id: P2pId(Uuid::now_v7()),
            client_id: offer.client_id,
            chat: offer.chat,
            sender: me.id(),
            receiver: offer.receiver,
            files: offer.files,
            max_open: MAX_OPEN_OFFERS,
            now: clock::now(),
        };
        match self.store.offer_p2p(new).await? {
            Offered::Made(session) => Ok(session),
            Offered::NoChat => Err(P2pError::NoChat),
            Offered::NoReceiver => Err(P2pError::NoReceiver),
            Offered::TooMany => Err(P2pError::TooMany),
        }
    }

    /// A session in which the caller sends or receives.
    pub async fn session(&self, me: &Caller, id: P2pId) -> Result<P2pSession> {
        self.store.p2p_session(id, me.id()).await?.ok_or(P2pError::NoSession(id))
    }

    /// The caller's sessions, newest first, and whether there are older ones.
    pub async fn list(&self, me: &Caller, before: Option<P2pId>, limit: u32) -> Result<(Vec<P2pSession>, bool)> {
        let limit = limit.clamp(1, MAX_PAGE);
        let mut sessions = self.store.p2p_sessions_of(me.id(), before, limit + 1).await?;
        let more = sessions.len() > limit as usize;
        sessions.truncate(limit as usize);
        Ok((sessions, more))
    }

    /// Says how far a session has come; both sides hear of it.
    pub async fn change(&self, me: &Caller, change: ChangeP2p) -> Result<P2pSession> {
        let ChangeP2p { session: id, status, path } = change;
        match self.store.change_p2p(P2pChange { id, by: me.id(), status, path, now: clock::now() }).await? {
            P2pChanged::Changed(session) => Ok(session),
            P2pChanged::NoSession => Err(P2pError::NoSession(id)),
            P2pChanged::OtherSide => Err(P2pError::OtherSide),
            P2pChanged::Conflict(status) => Err(P2pError::Conflict(status)),
        }
    }
}
