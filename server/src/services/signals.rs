//! What the two sides of a transfer, or of a mailbox, say to each other before there is a path between them: a register for each.
//!
//! The store has the registers, and the hub says when to look. Whoever opened a side's register last holds it; an earlier
//! one, here or at another server, is told so and ends. So does one whose tickets for relays have become old: opened again, it
//! comes with new ones.

mod line;

use super::{accounts::Caller, p2p::P2pError, relays::Relays, store_refusal};
use crate::{
    hub::Hub,
    store::{Store, StoreError, mailboxes::KeyHash, signals::Place},
};
use hypersend_protocol::{
    id::{P2pId, UserId},
    p2p::{P2pSession, P2pStatus},
    refusal::{ErrorCode, Refusal},
    relay::ticket::Side,
};
use line::Matter;
pub use line::SignalLine;
use std::{fmt, sync::Arc, time::Duration};

/// How soon a client may open its stream again that was ended for that.
const OPEN_AGAIN: Duration = Duration::from_millis(100);

/// The service of signals.
#[derive(Clone)]
pub struct Signals {
    store: Arc<dyn Store>,
    hub: Hub,
    relays: Relays,
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

/// Why there are no signals, or no more.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// The session is not there, or not the caller's.
    #[error("there is no transfer {0}, or it is not yours")]
    NoSession(P2pId),
    /// Nothing comes after it.
    #[error("{0}")]
    Over(End),
    /// The same side opened its register again.
    #[error("this side of the transfer is open elsewhere, and the newest counts")]
    Superseded,
    /// It was open for so long that its tickets are old.
    #[error("the tickets for relays are to be renewed: open the signals again")]
    TicketsAreOld,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why nothing more is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The transfer is over.
    Transfer(P2pStatus),
    /// A side has left the mailbox, or nobody came in time.
    Mailbox,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transfer(status) => write!(f, "the transfer is {status}"),
            Self::Mailbox => f.write_str("the code is used up: the other side has left, or nobody came in time"),
        }
    }
}

impl From<SignalError> for Refusal {
    fn from(error: SignalError) -> Self {
        let code = match &error {
            SignalError::NoSession(session) => return P2pError::NoSession(*session).into(),
            SignalError::Over(_) => ErrorCode::Conflict,
            SignalError::Superseded => ErrorCode::Superseded,
            SignalError::TicketsAreOld => {
                return Self::new(ErrorCode::Unavailable, error.to_string()).with_retry_after(OPEN_AGAIN);
            }
            SignalError::Store(error) => return store_refusal(error),
        };
        Self::new(code, error.to_string())
    }
}

type Result<T> = std::result::Result<T, SignalError>;

impl Signals {
    /// On this store.
    pub fn new(store: Arc<dyn Store>, hub: Hub, relays: Relays) -> Self {
        Self { store, hub, relays }
    }

    /// Opens the caller's side of a session that is not over.
    pub async fn open(&self, me: &Caller, session: P2pId) -> Result<SignalLine> {
        // Listens first and looks then, so that nothing falls between.
        let notices = self.hub.transfer(session);
        let found = self.session(me.id(), session).await?;
        let side = if found.sender == me.id() { Side::Sender } else { Side::Receiver };
        if found.status.is_over() {
            return Err(SignalError::Over(End::Transfer(found.status)));
        }
        self.line(notices, Matter::Transfer { me: me.id() }, (session, side), me.id()).await
    }

    /// Opens one side of a mailbox, whoever it is that has its key; what is over ends behind the other side's last value.
    pub(super) async fn open_mailbox(&self, place: Place, key: KeyHash, guest: UserId) -> Result<SignalLine> {
        let notices = self.hub.transfer(place.0);
        self.line(notices, Matter::Mailbox { key }, place, guest).await
    }

    async fn session(&self, me: UserId, session: P2pId) -> Result<P2pSession> {
        self.store.p2p_session(session, me).await?.ok_or(SignalError::NoSession(session))
    }
}
