//! What the server can do for whom. Doors (native and HTTP) decode, call one method here, and encode.
//!
//! Services know no frame, no stream and no HTTP status: they take domain values and return domain values or one of
//! their own errors, each of which has its place in the catalogue of [`Refusal`]s.
//!
//! [`Refusal`]: hypersend_protocol::refusal::Refusal

mod accounts;
mod chats;
mod feed;
mod files;
mod mailboxes;
mod p2p;
mod passwords;
mod presence;
mod relays;
pub mod root;
mod signals;
mod throttle;
mod tokens;
mod tunnels;
mod updates;
mod uploads;

pub use accounts::{AccountError, Accounts, Caller, Login, Policy};
pub use chats::{ChatError, Chats};
pub use feed::{Feed, FeedItem};
pub use files::{FileError, Files, OpenFile};
pub use mailboxes::{Guest, MailboxError, Mailboxes, OpenMailbox};
pub use p2p::{P2p, P2pError};
pub use passwords::Passwords;
pub use presence::{Here, Presence};
pub use relays::{RelayError, Relays, SAYS_EVERY as RELAY_SAYS_EVERY, TicketKey};
pub use signals::{End, SignalError, SignalLine, Signals};
pub use throttle::{Rates, Throttle, TooOften};
pub use tokens::TokenKey;
pub use tunnels::{MAX_TUNNELS, Traveller, Tunnel, TunnelError, Tunnels};
pub use updates::{Build, Release, Updates, UpdatesError};
pub(crate) use uploads::KEEP_FREE;
pub use uploads::{Appender, Begun, Staging, UploadError, UploadHandle, UploadPolicy, Uploads};

use hypersend_protocol::refusal::{ErrorCode, Refusal};

use crate::{metrics::Metrics, store::StoreError};

/// All services; cloning shares them.
#[derive(Clone, Debug)]
pub struct Services {
    /// Who is who.
    pub accounts: Accounts,
    /// Conversations.
    pub chats: Chats,
    /// Who is connected.
    pub presence: Presence,
    /// Files on their way in.
    pub uploads: Uploads,
    /// Files, and their way out.
    pub files: Files,
    /// Transfers from one client to another.
    pub p2p: P2p,
    /// Relays for them.
    pub relays: Relays,
    /// What their two sides say to each other.
    pub signals: Signals,
    /// Where people without accounts meet.
    pub mailboxes: Mailboxes,
    /// How clients reach relays without UDP.
    pub tunnels: Tunnels,
    /// Releases of client programs.
    pub updates: Updates,
    /// What is counted of all of it.
    pub metrics: Metrics,
}

/// What a caller learns of a backend's failure: nothing of its inside, and whether to try again. The log has the rest.
fn store_refusal(error: &StoreError) -> Refusal {
    tracing::error!(error = %crate::report(error), "store failed");
    match error {
        StoreError::Unavailable(_) => {
            Refusal::new(ErrorCode::Unavailable, "the server's database does not answer; try again in a moment")
                .with_retry_after(std::time::Duration::from_secs(1))
        }
        StoreError::Corrupt { .. } | StoreError::TooNew { .. } | StoreError::Unfit { .. } => internal(),
    }
}

pub(crate) fn internal() -> Refusal {
    Refusal::new(ErrorCode::Internal, "the server failed; its operator finds the cause in its log")
}
