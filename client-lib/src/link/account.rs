//! A user with an account: by which proof they come, and how their session outlives its connections.

use super::{
    Live,
    caller::{Caller, Greeted},
    dial::DialError,
    greet::{Refused, greet, load, renew},
};
use crate::{
    Config, Credentials, TokenStore,
    error::{Attempt, ClientError},
};
use hypersend_net::connection::Connection;
use hypersend_protocol::{
    refusal::ErrorCode,
    session::{Tokens, Welcome},
    time::UnixMillis,
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

/// How long after an attempt to renew tokens that came to nothing another is made, at most.
const RENEWAL_WAIT: Duration = Duration::from_secs(10);

/// A user, and where their tokens are.
pub(crate) struct Account {
    tokens: Arc<dyn TokenStore>,
    proof: Mutex<Proof>,
}

/// What is tried next.
#[derive(Clone)]
struct Proof {
    credentials: Credentials,
    /// The stored access token was refused, whatever our clock says of it.
    access_refused: bool,
    /// An account whose making was not answered may have been made: then its password logs in.
    unanswered: bool,
    /// Why the account could not be made, if that is tried.
    taken: Option<ClientError>,
}

impl Proof {
    fn new(credentials: Credentials) -> Self {
        Self { credentials, access_refused: false, unanswered: false, taken: None }
    }
}

impl Account {
    pub(crate) fn new(credentials: Credentials, tokens: Arc<dyn TokenStore>) -> Self {
        Self { tokens, proof: Mutex::new(Proof::new(credentials)) }
    }

    fn proof(&self) -> MutexGuard<'_, Proof> {
        self.proof.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What follows from a proof that was refused.
    fn learn(&self, refused: Refused) -> DialError {
        let mut proof = self.proof();
        match refused {
            Refused::Access => {
                proof.access_refused = true;
                DialError::Again
            }
            Refused::Unanswered(reason) => DialError::Unreachable(reason),
            Refused::Fatal(error) if error.code() == Some(ErrorCode::EmailTaken) && proof.unanswered => {
                let Some(login) = instead(&proof.credentials) else { return error.into() };
                (proof.credentials, proof.taken) = (login, Some(error));
                DialError::Again
            }
            Refused::Fatal(error) if error.code() == Some(ErrorCode::WrongCredentials) => {
                // It is somebody else's after all.
                proof.taken.take().unwrap_or(error).into()
            }
            Refused::Fatal(error) => error.into(),
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
}

impl Caller for Account {
    type Welcome = Arc<Welcome>;

    async fn greet(&self, connection: &Connection, config: &Config) -> Result<Greeted<Arc<Welcome>>, DialError> {
        let Proof { credentials, access_refused, .. } = self.proof().clone();
        let greeted = greet(connection, config, &credentials, &self.tokens, access_refused).await;
        let greeted = greeted.map_err(|refused| self.learn(refused))?;
        *self.proof() = Proof::new(Credentials::Stored);
        Ok(greeted)
    }

    fn went_unanswered(&self) {
        self.proof().unanswered = true;
    }

    /// Renews the tokens whenever it is time.
    async fn go_on(&self, live: &Live, config: &Config) -> ClientError {
        let mut renewal = self.first_renewal(live).await;
        loop {
            renewal.due().await;
            renewal = match renew(&live.connection, config, &self.tokens).await {
                Ok(tokens) => Renewal::after(&tokens),
                Err(Attempt::Failed(ClientError::Refused(refusal))) if refusal.code.is_transient() => {
                    Renewal::soon(refusal.retry_after())
                }
                Err(Attempt::Failed(error)) => return error,
                Err(Attempt::Lost) => Renewal::soon(None),
            };
        }
    }
}

/// The login to an account that is about to be made.
fn instead(credentials: &Credentials) -> Option<Credentials> {
    match credentials.clone() {
        Credentials::Register { email, password, .. } => Some(Credentials::Login { email, password }),
        Credentials::Stored | Credentials::Login { .. } => None,
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
        Self(tokio::time::Instant::now() + retry_after.unwrap_or(RENEWAL_WAIT).min(RENEWAL_WAIT))
    }

    async fn due(&self) {
        tokio::time::sleep_until(self.0).await;
    }
}
