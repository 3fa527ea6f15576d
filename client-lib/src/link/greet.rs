//! Saying who is calling, with whatever tokens work.

use super::caller::Greeted;
use crate::{
    Config, Credentials, TokenGuard, TokenStore,
    client::ask,
    error::{Attempt, ClientError},
};
use hypersend_net::{
    connection::Connection,
    frames::{FrameReader, send},
};
use hypersend_protocol::{
    account::RenewTokens,
    refusal::ErrorCode,
    session::{Auth, FEATURES, Hello, Tokens, VERSION, Welcome},
    stream::priority,
    time::UnixMillis,
};
use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{task::spawn_blocking, time::timeout};

/// How long the server may think about a greeting; a login may wait 10 s for its password to be hashed.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long an access token must still last to be worth presenting.
const MARGIN: Duration = Duration::from_secs(30);

/// Why a greeting came to nothing.
pub(super) enum Refused {
    /// The access token is no longer good; the refresh token may be.
    Access,
    /// Perhaps another time; whether the server has done what it was asked is not known.
    Unanswered(String),
    /// Never, as things are.
    Fatal(ClientError),
}

impl From<ClientError> for Refused {
    fn from(error: ClientError) -> Self {
        Self::Fatal(error)
    }
}

/// What to try on a fresh connection: a proof, and, when it brings new tokens, the right to save them.
struct Plan {
    auth: Auth,
    guard: Option<Box<dyn TokenGuard>>,
}

impl Plan {
    async fn make(
        credentials: &Credentials,
        tokens: &Arc<dyn TokenStore>,
        access_refused: bool,
    ) -> Result<Self, ClientError> {
        let auth = match credentials.clone() {
            Credentials::Login { email, password } => Auth::Login { email, password },
            Credentials::Register { email, name, password } => Auth::Register { email, name, password },
            Credentials::Stored => return Self::stored(tokens, access_refused).await,
        };
        Ok(Self { auth, guard: Some(lock(tokens).await?) })
    }

    async fn stored(tokens: &Arc<dyn TokenStore>, access_refused: bool) -> Result<Self, ClientError> {
        let seen = load(tokens).await?;
        if let Some(access) = fresh_access(&seen).filter(|_| !access_refused) {
            return Ok(Self { auth: access, guard: None });
        }
        let guard = lock(tokens).await?;
        // Somebody else may have renewed while this waited for the lock.
        let current = load(tokens).await?;
        match fresh_access(&current).filter(|_| current != seen) {
            Some(access) => Ok(Self { auth: access, guard: None }),
            None => Ok(Self { auth: Auth::Refresh { token: current.refresh }, guard: Some(guard) }),
        }
    }
}

fn fresh_access(tokens: &Tokens) -> Option<Auth> {
    let soon = UnixMillis::from(SystemTime::now()).plus(MARGIN);
    (tokens.access_expires > soon).then(|| Auth::Access { token: tokens.access.clone() })
}

/// Greets, and saves the tokens that come back before anything else happens. `access_refused`: the stored access token
/// was refused on an earlier connection, whatever our clock says of it.
pub(super) async fn greet(
    connection: &Connection,
    config: &Config,
    credentials: &Credentials,
    tokens: &Arc<dyn TokenStore>,
    access_refused: bool,
) -> Result<Greeted<Arc<Welcome>>, Refused> {
    let Plan { auth, guard } = Plan::make(credentials, tokens, access_refused).await?;
    let by_access = matches!(auth, Auth::Access { .. });
    let Ok(greeted) = timeout(PATIENCE, hello(connection, config, auth)).await else {
        return Err(Refused::Unanswered("the server did not answer the greeting".into()));
    };
    let greeted = greeted.map_err(|attempt| match attempt {
        Attempt::Lost => Refused::Unanswered("the connection broke during the greeting".into()),
        Attempt::Failed(error) if by_access && error.code() == Some(ErrorCode::BadToken) => Refused::Access,
        Attempt::Failed(error) if error.code().is_some_and(ErrorCode::is_transient) => {
            Refused::Unanswered(error.to_string())
        }
        Attempt::Failed(error) => Refused::Fatal(error),
    })?;
    if let (Some(tokens), Some(guard)) = (greeted.welcome.tokens.clone(), guard) {
        save(guard, tokens).await?;
    }
    Ok(greeted)
}

async fn hello(connection: &Connection, config: &Config, auth: Auth) -> Result<Greeted<Arc<Welcome>>, Attempt> {
    let features = FEATURES.iter().map(ToString::to_string).collect();
    let hello = Hello { version: VERSION, features, agent: config.agent.clone(), auth };
    let (mut stream, answer) = connection.open_bi().await.map_err(|_| Attempt::Lost)?;
    stream.set_priority(priority::CHAT);
    send(&mut stream, &hello).await.map_err(|error| Attempt::sending(&config.server, error))?;
    stream.finish();
    let mut session = FrameReader::new(answer);
    let welcome = session.expect::<Welcome>().await.map_err(|error| Attempt::receiving(&config.server, error))?;
    Ok(Greeted { welcome: Arc::new(welcome), session: Some(session) })
}

/// Renews the tokens on a connection that is open, so that the session outlives it.
pub(super) async fn renew(
    connection: &Connection,
    config: &Config,
    tokens: &Arc<dyn TokenStore>,
) -> Result<Tokens, Attempt> {
    let guard = lock(tokens).await.map_err(Attempt::Failed)?;
    let refresh = load(tokens).await.map_err(Attempt::Failed)?.refresh;
    let renewed = ask(connection, &config.server, &RenewTokens { refresh }).await?;
    save(guard, renewed.clone()).await.map_err(Attempt::Failed)?;
    Ok(renewed)
}

/// The stored tokens, which have to be there.
pub(super) async fn load(tokens: &Arc<dyn TokenStore>) -> Result<Tokens, ClientError> {
    let tokens = tokens.clone();
    blocking(move || tokens.load()).await?.ok_or(ClientError::NotLoggedIn)
}

async fn lock(tokens: &Arc<dyn TokenStore>) -> Result<Box<dyn TokenGuard>, ClientError> {
    let tokens = tokens.clone();
    blocking(move || tokens.lock()).await
}

async fn save(mut guard: Box<dyn TokenGuard>, tokens: Tokens) -> Result<(), ClientError> {
    blocking(move || guard.save(&tokens)).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, ClientError> {
    let done = spawn_blocking(work).await.expect("a token store does not panic");
    done.map_err(|error| ClientError::Tokens(Arc::new(error)))
}
