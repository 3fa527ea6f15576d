//! The task that keeps the connection.

use super::{
    Bulk, Live, State,
    dial::{DialError, Ways, dial},
    greet::{Greeted, greet, load, renew},
    silence,
};
use crate::{
    Config, Credentials, TokenStore, Transports,
    error::{Attempt, ClientError},
};
use hypersend_net::{
    connection::{Closed, Connection, Transport, close_code},
    frames::FrameReader,
};
use hypersend_protocol::{
    refusal::{ErrorCode, Refusal},
    session::{SessionNotice, Tokens},
    time::UnixMillis,
};
use quinn::Endpoint;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
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

/// Dials, greets, watches, and begins again.
pub(super) struct Keeper {
    endpoint: Endpoint,
    config: Config,
    tokens: Arc<dyn TokenStore>,
    state: watch::Sender<State>,
    closing: CancellationToken,
}

/// How a connection ended.
enum End {
    Lost(String),
    Fatal(ClientError),
    /// There is a better one.
    Replaced(Box<(Live, Greeted)>),
}

impl Keeper {
    pub(super) fn new(
        endpoint: Endpoint,
        config: Config,
        tokens: Arc<dyn TokenStore>,
        state: watch::Sender<State>,
        closing: CancellationToken,
    ) -> Self {
        Self { endpoint, config, tokens, state, closing }
    }

    /// Runs until there can be no connection any more, or until it is told to close.
    pub(super) async fn run(self, credentials: Credentials) {
        let error = tokio::select! {
            error = self.keep(credentials) => error,
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

    async fn keep(&self, mut credentials: Credentials) -> ClientError {
        let (mut failures, mut access_refused) = (0, false);
        // An account whose making was not answered may have been made: then its password logs in.
        let mut taken = None;
        let mut last = None;
        loop {
            let ways = Ways::new(self.config.transports, last);
            let reason = match self.connect(ways, &credentials, access_refused).await {
                Ok(connected) => {
                    (failures, access_refused) = (0, false);
                    credentials = Credentials::Stored;
                    match self.stay(connected, &mut last).await {
                        Ok(reason) => reason,
                        Err(error) => return error,
                    }
                }
                Err(DialError::AccessRefused) => {
                    access_refused = true;
                    continue;
                }
                Err(DialError::Fatal(error)) if error.code() == Some(ErrorCode::EmailTaken) && failures > 0 => {
                    let Some(login) = instead(&credentials) else { return error };
                    (credentials, taken) = (login, Some(error));
                    continue;
                }
                Err(DialError::Fatal(error)) if error.code() == Some(ErrorCode::WrongCredentials) => {
                    // It is somebody else's after all.
                    return taken.unwrap_or(error);
                }
                Err(DialError::Fatal(error)) => return error,
                Err(DialError::Unreachable(reason)) => {
                    failures += 1;
                    reason
                }
            };
            let next = wait_before(failures);
            tracing::debug!(server = %self.config.server, failures, reason, ?next, "not connected");
            self.state.send_replace(State::Connecting { failures, reason: Some(reason), next });
            sleep(next).await;
        }
    }

    async fn connect(
        &self,
        ways: Ways,
        credentials: &Credentials,
        access_refused: bool,
    ) -> Result<(Live, Greeted), DialError> {
        let connection = dial(&self.endpoint, &self.config, ways).await?;
        let greeted = greet(&connection, &self.config, credentials, &self.tokens, access_refused).await;
        let greeted = greeted.inspect_err(|_| connection.close(ErrorCode::Closed))?;
        let (welcome, draining) = (Arc::new(greeted.welcome.clone()), CancellationToken::new());
        let bulk = Arc::new(Bulk::new());
        Ok((Live { connection, welcome, draining, bulk }, greeted))
    }

    /// Stays connected, by this connection and by those that replace it, until one is lost; says why.
    async fn stay(
        &self,
        (mut live, mut greeted): (Live, Greeted),
        last: &mut Option<Transport>,
    ) -> Result<String, ClientError> {
        loop {
            *last = Some(live.connection.transport());
            tracing::debug!(server = %self.config.server, over = %live.connection.transport(), "connected");
            self.state.send_replace(State::Connected(live.clone()));
            match self.watch(&live, greeted.session).await {
                End::Lost(reason) => return Ok(reason),
                End::Fatal(error) => return Err(error),
                End::Replaced(better) => {
                    live.draining.cancel();
                    drain(live.connection, self.closing.clone());
                    (live, greeted) = *better;
                }
            }
        }
    }

    /// Stays with a connection until it ends, or until there is a better one.
    async fn watch(&self, live: &Live, mut session: FrameReader) -> End {
        // All of it at once: who looks for a better connection may hold the tokens that are to be renewed.
        tokio::select! {
            closed = live.connection.closed() => end(closed),
            () = silence::detect(&live.connection) => {
                live.connection.close(ErrorCode::TimedOut);
                End::Lost("the server has fallen silent".into())
            }
            notice = session.next::<SessionNotice>() => {
                if let Ok(Some(SessionNotice::GoingAway(_))) = notice {
                    live.draining.cancel();
                    drain(live.connection.clone(), self.closing.clone());
                    return End::Lost(format!("{} is stopping", self.config.server));
                }
                // Anything else means that the connection is ending, which says more.
                end(live.connection.closed().await)
            }
            connected = self.better(live) => End::Replaced(Box::new(connected)),
            error = self.go_on_renewing(live) => End::Fatal(error),
        }
    }

    /// Renews the tokens whenever it is time; says why it cannot.
    async fn go_on_renewing(&self, live: &Live) -> ClientError {
        let mut renewal = self.first_renewal(live).await;
        loop {
            renewal.due().await;
            renewal = match renew(&live.connection, &self.config, &self.tokens).await {
                Ok(tokens) => Renewal::after(&tokens),
                Err(Attempt::Failed(ClientError::Refused(refusal))) if refusal.code.is_transient() => {
                    Renewal::soon(refusal.retry_after())
                }
                Err(Attempt::Failed(error)) => return error,
                Err(Attempt::Lost) => Renewal::soon(None),
            };
        }
    }

    /// A connection opened by an access token brings no tokens; the session ends by those that are stored.
    async fn first_renewal(&self, live: &Live) -> Renewal {
        match &live.welcome.tokens {
            Some(tokens) => Renewal::after(tokens),
            // A store that fails for good says so when the time has come.
            None => load(&self.tokens).await.map_or_else(|_| Renewal::soon(None), |tokens| Renewal::after(&tokens)),
        }
    }

    /// Waits until QUIC gets through to where only TCP did.
    async fn better(&self, live: &Live) -> (Live, Greeted) {
        if live.connection.transport() == Transport::Quic || self.config.transports != Transports::Any {
            return std::future::pending().await;
        }
        let (mut wait, mut access_refused) = (FIRST_RETURN, false);
        loop {
            sleep(wait).await;
            match self.connect(Ways::QUIC, &Credentials::Stored, access_refused).await {
                Ok(connected) => return connected,
                Err(DialError::AccessRefused) if !access_refused => access_refused = true,
                // What is fatal is so for the connection that there is too, and comes out there.
                Err(_) => wait = (wait * 2).min(LAST_RETURN),
            }
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

/// The login to an account that is about to be made.
fn instead(credentials: &Credentials) -> Option<Credentials> {
    match credentials.clone() {
        Credentials::Register { email, password, .. } => Some(Credentials::Login { email, password }),
        Credentials::Stored | Credentials::Login { .. } => None,
    }
}

fn wait_before(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << failures.min(16)).min(LAST_WAIT)
}

fn end(closed: Closed) -> End {
    match closed {
        Closed::ByPeer(ErrorCode::SessionEnded) => {
            End::Fatal(Refusal::new(ErrorCode::SessionEnded, "this login has ended; log in again").into())
        }
        Closed::ByPeer(code) => End::Lost(format!("the server closed the connection ({code})")),
        closed @ (Closed::Here | Closed::Lost(_)) => End::Lost(closed.to_string()),
    }
}

/// When to renew the tokens of a connection that lives long: half-way to the session's end.
struct Renewal(tokio::time::Instant);

impl Renewal {
    fn after(tokens: &Tokens) -> Self {
        let now = UnixMillis::from(SystemTime::now());
        Self(tokio::time::Instant::now() + tokens.refresh_expires.since(now) / 2)
    }

    /// After an attempt that came to nothing; half of the session is left, so there is time for many.
    fn soon(retry_after: Option<Duration>) -> Self {
        Self(tokio::time::Instant::now() + retry_after.unwrap_or(LAST_WAIT).min(LAST_WAIT))
    }

    async fn due(&self) {
        tokio::time::sleep_until(self.0).await;
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
