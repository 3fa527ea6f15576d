//! The task that keeps the connection.

use super::{
    Bulk, Live, State,
    caller::{Caller, Greeted},
    dial::{DialError, Ways, dial},
    silence,
};
use crate::{Config, Transports, error::ClientError};
use hypersend_net::{
    connection::{Closed, Connection, Transport, close_code},
    frames::FrameReader,
};
use hypersend_protocol::{
    refusal::{ErrorCode, Refusal},
    session::SessionNotice,
};
use quinn::Endpoint;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Waits between attempts: doubling from the first to the last. A server that restarts is back in a second; one that is
/// down for a night is asked six times a minute.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LAST_WAIT: Duration = Duration::from_secs(10);

/// How long a connection of a stopping server may go on before it is given up for the next one.
const DRAIN: Duration = Duration::from_secs(10);

/// How soon after connecting over TCP it is seen whether QUIC gets through by now, and the longest wait between two looks:
/// doubling from the first to the last.
const FIRST_RETURN: Duration = Duration::from_secs(10);
const LAST_RETURN: Duration = Duration::from_mins(5);

/// How long closing may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Dials, has the caller greet, watches, and begins again.
pub(super) struct Keeper<C: Caller> {
    endpoint: Endpoint,
    config: Config,
    caller: C,
    state: watch::Sender<State<C::Welcome>>,
    closing: CancellationToken,
}

/// A connection, and what the server says on it about itself.
type Connected<W> = (Live<W>, Option<FrameReader>);

/// How a connection ended.
enum End<W> {
    Lost(String),
    Fatal(ClientError),
    /// There is a better one.
    Replaced(Box<Connected<W>>),
}

impl<C: Caller> Keeper<C> {
    pub(super) fn new(
        endpoint: Endpoint,
        config: Config,
        caller: C,
        state: watch::Sender<State<C::Welcome>>,
        closing: CancellationToken,
    ) -> Self {
        Self { endpoint, config, caller, state, closing }
    }

    /// Runs until there can be no connection any more, or until it is told to close.
    pub(super) async fn run(self) {
        let error = tokio::select! {
            error = self.keep() => error,
            () = self.closing.cancelled() => ClientError::Closed,
        };
        let last = match &*self.state.borrow() {
            State::Connected(live) => Some(live.connection.clone()),
            State::Connecting { .. } | State::Ended(_) => None,
        };
        if let Some(connection) = last {
            connection.close(ErrorCode::Closed);
            let _ = timeout(FAREWELL, connection.closed()).await;
        }
        self.endpoint.close(close_code(ErrorCode::Closed), b"closed");
        let _ = timeout(FAREWELL, self.endpoint.wait_idle()).await;
        self.state.send_replace(State::Ended(error));
    }

    async fn keep(&self) -> ClientError {
        let mut failures = 0;
        let mut last = None;
        loop {
            let reason = match self.connect(Ways::new(self.config.transports, last)).await {
                Ok(connected) => {
                    failures = 0;
                    match self.stay(connected, &mut last).await {
                        Ok(reason) => reason,
                        Err(error) => return error,
                    }
                }
                Err(DialError::Again) => continue,
                Err(DialError::Fatal(error)) => return error,
                Err(DialError::Unreachable(reason)) => {
                    failures += 1;
                    self.caller.went_unanswered();
                    reason
                }
            };
            let next = wait_before(failures);
            tracing::debug!(server = %self.config.server, failures, reason, ?next, "not connected");
            self.state.send_replace(State::Connecting { failures, reason: Some(reason), next });
            sleep(next).await;
        }
    }

    async fn connect(&self, ways: Ways) -> Result<Connected<C::Welcome>, DialError> {
        let connection = dial(&self.endpoint, &self.config, ways).await?;
        let greeted = self.caller.greet(&connection, &self.config).await;
        let Greeted { welcome, session } = greeted.inspect_err(|_| connection.close(ErrorCode::Closed))?;
        let (draining, bulk) = (CancellationToken::new(), Arc::new(Bulk::new()));
        Ok((Live { connection, welcome, draining, bulk }, session))
    }

    /// Stays connected, by this connection and by those that replace it, until one is lost; says why.
    async fn stay(
        &self,
        (mut live, mut session): Connected<C::Welcome>,
        last: &mut Option<Transport>,
    ) -> Result<String, ClientError> {
        loop {
            *last = Some(live.connection.transport());
            tracing::debug!(server = %self.config.server, over = %live.connection.transport(), "connected");
            self.state.send_replace(State::Connected(live.clone()));
            match self.watch(&live, session).await {
                End::Lost(reason) => return Ok(reason),
                End::Fatal(error) => return Err(error),
                End::Replaced(better) => {
                    live.draining.cancel();
                    drain(live.connection, self.closing.clone());
                    (live, session) = *better;
                }
            }
        }
    }

    /// Stays with a connection until it ends, or until there is a better one.
    async fn watch(&self, live: &Live<C::Welcome>, session: Option<FrameReader>) -> End<C::Welcome> {
        // All of it at once: who looks for a better connection may hold the tokens that are to be renewed.
        tokio::select! {
            closed = live.connection.closed() => end(closed),
            () = silence::detect(&live.connection) => {
                live.connection.close(ErrorCode::TimedOut);
                End::Lost("the server has fallen silent".into())
            }
            () = told_to_go(session) => {
                live.draining.cancel();
                drain(live.connection.clone(), self.closing.clone());
                End::Lost(format!("{} is stopping", self.config.server))
            }
            connected = self.better(live) => End::Replaced(Box::new(connected)),
            error = self.caller.go_on(live, &self.config) => End::Fatal(error),
        }
    }

    /// Waits until QUIC gets through to where only TCP did.
    async fn better(&self, live: &Live<C::Welcome>) -> Connected<C::Welcome> {
        if live.connection.transport() == Transport::Quic || self.config.transports != Transports::Any {
            return std::future::pending().await;
        }
        let mut wait = FIRST_RETURN;
        loop {
            sleep(wait).await;
            if let Ok(connected) = self.connect(Ways::QUIC).await {
                return connected;
            }
            // What is fatal is so for the connection that there is too, and comes out there. Another proof can wait.
            wait = (wait * 2).min(LAST_RETURN);
        }
    }
}

/// Leaves an old connection to what it carries, for a while.
fn drain(connection: Connection, closing: CancellationToken) {
    tokio::spawn(async move {
        let finished = timeout(DRAIN, connection.closed());
        if !matches!(closing.run_until_cancelled(finished).await, Some(Ok(_))) {
            connection.close(ErrorCode::Closed);
        }
    });
}

fn wait_before(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << failures.min(16)).min(LAST_WAIT)
}

/// Returns when the server says that it is about to stop. Anything else on the session stream means that the connection is
/// ending, which says more itself.
async fn told_to_go(session: Option<FrameReader>) {
    if let Some(mut session) = session
        && let Ok(Some(SessionNotice::GoingAway(_))) = session.next::<SessionNotice>().await
    {
        return;
    }
    std::future::pending::<()>().await;
}

fn end<W>(closed: Closed) -> End<W> {
    match closed {
        Closed::ByPeer(ErrorCode::SessionEnded) => {
            End::Fatal(Refusal::new(ErrorCode::SessionEnded, "this login has ended; log in again").into())
        }
        Closed::ByPeer(code) => End::Lost(format!("the server closed the connection ({code})")),
        closed @ (Closed::Here | Closed::Lost(_)) => End::Lost(closed.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_last_and_stay_there() {
        assert_eq!(wait_before(0), FIRST_WAIT);
        assert_eq!(wait_before(1), FIRST_WAIT * 2);
        assert_eq!(wait_before(6), LAST_WAIT);
        assert_eq!(wait_before(u32::MAX), LAST_WAIT);
    }
}
