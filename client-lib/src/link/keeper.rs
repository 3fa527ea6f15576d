//! The task that keeps the connection.

use super::{
    Bulk, Live, State,
    dial::{DialError, dial},
    greet::{Greeted, greet, load, renew},
    silence,
};
use crate::{
    Config, Credentials, TokenStore,
    error::{Attempt, ClientError},
};
use hypersend_protocol::{
    refusal::{ErrorCode, Refusal},
    session::{SessionNotice, Tokens},
    time::UnixMillis,
};
use hypersend_quic::frames::{FrameReader, close_code};
use quinn::{Connection, ConnectionError, Endpoint};
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

/// How long closing may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Dials, greets, watches, and begins again.
pub(super) struct Keeper {
    endpoint: Endpoint,
    config: Config,
    tokens: Arc<dyn TokenStore>,
    state: watch::Sender<State>,
}

/// How a connection ended.
enum End {
    Lost(String),
    Fatal(ClientError),
}

impl Keeper {
    pub(super) fn new(
        endpoint: Endpoint,
        config: Config,
        tokens: Arc<dyn TokenStore>,
        state: watch::Sender<State>,
    ) -> Self {
        Self { endpoint, config, tokens, state }
    }

    /// Runs until there can be no connection any more, or until `closing` is cancelled.
    pub(super) async fn run(self, credentials: Credentials, closing: CancellationToken) {
        let error = tokio::select! {
            error = self.keep(credentials) => error,
            () = closing.cancelled() => ClientError::Closed,
        };
        self.endpoint.close(close_code(ErrorCode::Closed), b"closed");
        let _ = timeout(FAREWELL, self.endpoint.wait_idle()).await;
        self.state.send_replace(State::Ended(error));
    }

    async fn keep(&self, mut credentials: Credentials) -> ClientError {
        let (mut failures, mut access_refused) = (0, false);
        // An account whose making was not answered may have been made: then its password logs in.
        let mut taken = None;
        loop {
            let reason = match self.connect(&credentials, access_refused).await {
                Ok((live, greeted)) => {
                    (failures, access_refused) = (0, false);
                    credentials = Credentials::Stored;
                    self.state.send_replace(State::Connected(live.clone()));
                    match self.watch(&live, greeted.session).await {
                        End::Lost(reason) => reason,
                        End::Fatal(error) => return error,
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

    async fn connect(&self, credentials: &Credentials, access_refused: bool) -> Result<(Live, Greeted), DialError> {
        let connection = dial(&self.endpoint, &self.config).await?;
        let greeted = greet(&connection, &self.config, credentials, &self.tokens, access_refused).await;
        let greeted = greeted.inspect_err(|_| connection.close(close_code(ErrorCode::Closed), b""))?;
        let (welcome, draining) = (Arc::new(greeted.welcome.clone()), CancellationToken::new());
        let bulk = Arc::new(Bulk::new());
        Ok((Live { connection, welcome, draining, bulk }, greeted))
    }

    /// Stays with a connection until it ends.
    async fn watch(&self, live: &Live, mut session: FrameReader) -> End {
        let mut renewal = self.first_renewal(live).await;
        let silence = silence::detect(&live.connection);
        tokio::pin!(silence);
        loop {
            tokio::select! {
                error = live.connection.closed() => return end(&error),
                () = &mut silence => {
                    live.connection.close(close_code(ErrorCode::TimedOut), b"no answer");
                    return End::Lost("the server has fallen silent".into());
                }
                notice = session.next::<SessionNotice>(), if !live.draining.is_cancelled() => {
                    if let Ok(Some(SessionNotice::GoingAway(_))) = notice {
                        live.draining.cancel();
                        return self.drain(&live.connection);
                    }
                    // Anything else means that the connection is ending, which says more.
                    return end(&live.connection.closed().await);
                }
                () = renewal.due() => match renew(&live.connection, &self.config, &self.tokens).await {
                    Ok(tokens) => renewal = Renewal::after(&tokens),
                    Err(Attempt::Failed(ClientError::Refused(refusal))) if refusal.code.is_transient() => {
                        renewal = Renewal::soon(refusal.retry_after());
                    }
                    Err(Attempt::Failed(error)) => return End::Fatal(error),
                    Err(Attempt::Lost) => renewal = Renewal::soon(None),
                },
            }
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

    /// Leaves the old connection to what it carries, for a while.
    fn drain(&self, connection: &Connection) -> End {
        let connection = connection.clone();
        tokio::spawn(async move {
            if timeout(DRAIN, connection.closed()).await.is_err() {
                connection.close(close_code(ErrorCode::Closed), b"");
            }
        });
        End::Lost(format!("{} is stopping", self.config.server))
    }
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

fn end(error: &ConnectionError) -> End {
    let ConnectionError::ApplicationClosed(close) = error else { return End::Lost(error.to_string()) };
    let code = u16::try_from(close.error_code.into_inner()).map_or(ErrorCode::Internal, ErrorCode::from);
    match code {
        ErrorCode::SessionEnded => {
            End::Fatal(Refusal::new(ErrorCode::SessionEnded, "this login has ended; log in again").into())
        }
        code => End::Lost(format!("the server closed the connection ({code})")),
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
