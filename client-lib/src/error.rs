//! Why something did not work.

use crate::{
    Fingerprint, ServerAddress,
    link::{Closed, Live},
    trust::TrustError,
};
use hypersend_protocol::{
    frame::FrameError,
    refusal::{ErrorCode, Refusal},
};
use hypersend_quic::frames::{RecvError, SendError};
use std::{io, sync::Arc};

/// Why a call failed. Broken connections are not among the reasons: the client repairs them and goes on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The server said no, and why.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The server's certificate is not trusted.
    #[error(transparent)]
    Certificate(#[from] CertificateProblem),
    /// There are no tokens to go on with.
    #[error("not logged in; log in first")]
    NotLoggedIn,
    /// The token store failed.
    #[error("use the stored tokens")]
    Tokens(#[source] Arc<io::Error>),
    /// The network cannot be used at all.
    #[error("open a UDP socket")]
    Socket(#[source] Arc<io::Error>),
    /// The trust settings are unusable.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The server broke the protocol.
    #[error("the server at {server} does not speak this version of the protocol; install the matching client")]
    Protocol {
        /// Which server.
        server: ServerAddress,
        /// What it did.
        source: FrameError,
    },
    /// The client was closed, or every handle of it dropped.
    #[error("the client is closed")]
    Closed,
}

impl ClientError {
    /// The server's code, if the server refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }
}

/// Why a server's certificate is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// No authority vouches for it, and none is pinned: show the fingerprint to somebody who knows, then pin it.
    #[error("the server {server} is not known; its certificate has the fingerprint {fingerprint}")]
    Unknown {
        /// Which server.
        server: ServerAddress,
        /// What it showed.
        fingerprint: Fingerprint,
    },
    /// It is not the one that is pinned. Somebody may be listening in, or the operator has replaced it.
    #[error("THE CERTIFICATE OF {server} HAS CHANGED: expected {expected}, found {found}")]
    Changed {
        /// Which server.
        server: ServerAddress,
        /// What is pinned.
        expected: Fingerprint,
        /// What it showed.
        found: Fingerprint,
    },
}

/// Why one attempt on one connection failed.
#[derive(Clone, Debug)]
pub(crate) enum Attempt {
    /// The connection is gone or going; another may do better.
    Lost,
    /// No connection would do better.
    Failed(ClientError),
}

impl From<Closed> for Attempt {
    fn from(closed: Closed) -> Self {
        Self::Failed(closed.0)
    }
}

/// How many refusals that may pass one transfer waits out, a second each: longer than a database takes to restart.
const REFUSALS: u32 = 300;

/// What a transfer has waited out so far.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    refusals: u32,
}

impl Patience {
    /// Waits out what may pass; gives back what will not, or has not passed for too long.
    pub(crate) async fn wait_out(&mut self, attempt: Attempt, live: &Live) -> Result<(), ClientError> {
        match attempt {
            Attempt::Failed(ClientError::Refused(refusal))
                if refusal.code.is_transient() && self.refusals < REFUSALS =>
            {
                self.refusals += 1;
            }
            Attempt::Failed(error) => return Err(error),
            Attempt::Lost => {}
        }
        live.gone().await;
        Ok(())
    }
}

impl Attempt {
    pub(crate) fn receiving(server: &ServerAddress, error: RecvError) -> Self {
        match error {
            RecvError::Refused(refusal) if refusal.code == ErrorCode::Stopping => Self::Lost,
            RecvError::Refused(refusal) => Self::Failed(refusal.into()),
            RecvError::Frame(source) => Self::Failed(ClientError::Protocol { server: server.clone(), source }),
            RecvError::Ended | RecvError::Stream(_) => Self::Lost,
        }
    }

    pub(crate) fn sending(server: &ServerAddress, error: SendError) -> Self {
        match error {
            SendError::Frame(source) => Self::Failed(ClientError::Protocol { server: server.clone(), source }),
            SendError::Stream(_) => Self::Lost,
        }
    }
}
