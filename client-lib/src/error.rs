//! Why something did not work.

use crate::{
    Fingerprint, ServerAddress,
    link::{Closed, Live},
    trust::TrustError,
};
use hypersend_net::frames::{RecvError, SendError};
use hypersend_protocol::{
    frame::FrameError,
    refusal::{ErrorCode, Refusal},
};
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

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

/// How long refusals that may pass are waited out when nothing comes of it: longer than a database takes to restart.
const PATIENCE: Duration = Duration::from_mins(5);

/// A refusal this long after the one before has nothing to do with it: more than any wait between two attempts.
const APART: Duration = Duration::from_mins(1);

/// How long to wait after a refusal when the server does not say, and at most when it does.
const RETRY_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What a transfer or an open chat has waited out so far.
#[derive(Debug, Default)]
pub(crate) struct Patience(Option<Spell>);

/// Refusals with nothing good between them.
#[derive(Clone, Copy, Debug)]
struct Spell {
    began: Instant,
    last: Instant,
}

impl Patience {
    /// Waits out what may pass; gives back what will not, or has not passed for too long.
    pub(crate) async fn wait_out<W>(&mut self, attempt: Attempt, live: &Live<W>) -> Result<(), ClientError> {
        match attempt {
            Attempt::Failed(ClientError::Refused(refusal))
                if refusal.code.is_transient() && self.bears(Instant::now()) =>
            {
                live.gone_or(wait_after(&refusal)).await;
            }
            Attempt::Failed(error) => return Err(error),
            Attempt::Lost => live.gone().await,
        }
        Ok(())
    }

    /// Whether a refusal that came now is worth another attempt.
    pub(crate) fn bears(&mut self, now: Instant) -> bool {
        let recent = self.0.filter(|spell| now.duration_since(spell.last) < APART);
        let began = recent.map_or(now, |spell| spell.began);
        self.0 = Some(Spell { began, last: now });
        now.duration_since(began) < PATIENCE
    }

    /// Something got on: whatever was waited out has passed.
    pub(crate) fn rest(&mut self) {
        self.0 = None;
    }
}

/// How long to wait before asking again.
pub(crate) fn wait_after(refusal: &Refusal) -> Duration {
    refusal.retry_after().unwrap_or(RETRY_WAIT).min(LONGEST_WAIT)
}

impl Attempt {
    /// How long the server asks to be left alone.
    pub(crate) fn asked_wait(&self) -> Option<Duration> {
        match self {
            Self::Failed(ClientError::Refused(refusal)) => Some(wait_after(refusal)),
            Self::Failed(_) | Self::Lost => None,
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Refusals one after another until patience ends, if it does.
    fn refused(patience: &mut Patience, from: Instant, every: Duration) -> Option<Duration> {
        (1..1_000).map(|n| every * n).find(|&after| !patience.bears(from + after))
    }

    #[test]
    fn patience_ends_by_time_and_not_by_number() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(refused(&mut Patience::default(), now, second), Some(PATIENCE + second));
        assert_eq!(refused(&mut Patience::default(), now, second / 1_000), None);
        assert_eq!(refused(&mut Patience::default(), now, APART), None, "these have nothing to do with each other");
    }

    #[test]
    fn what_gets_on_is_waited_for_again() {
        let now = Instant::now();
        let mut patience = Patience::default();
        assert!(refused(&mut patience, now, LONGEST_WAIT).is_some());
        patience.rest();
        assert!(patience.bears(now + PATIENCE + 2 * LONGEST_WAIT));
    }

    #[test]
    fn the_server_says_how_long_to_wait_within_reason() {
        let refusal = Refusal::new(ErrorCode::Unavailable, "busy");
        assert_eq!(wait_after(&refusal), RETRY_WAIT);
        assert_eq!(wait_after(&refusal.clone().with_retry_after(Duration::from_millis(20))), Duration::from_millis(20));
        assert_eq!(wait_after(&refusal.with_retry_after(Duration::MAX)), LONGEST_WAIT);
    }
}
