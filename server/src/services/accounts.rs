//! Accounts and sessions: who is calling, and whether they may.

use super::{
    passwords::{Busy, Checked, Passwords},
    store_refusal,
    throttle::{Throttle, TooOften},
    tokens::{TokenKey, hash_refresh_token, read_refresh_token, refresh_token},
};
use crate::{
    clock,
    hub::Hub,
    metrics::{Metrics, Outcome},
    store::{
        Store, StoreError,
        sessions::{Rotated, Rotation, Session},
        users::NewUser,
    },
};
use hypersend_protocol::{
    account::Profile,
    id::{SessionId, UserId},
    limit::{MAX_PAGE, MIN_PASSWORD_BYTES},
    name::{DisplayName, Email, Password, Token},
    refusal::{ErrorCode, Refusal},
    session::{AGENT_BYTES, Tokens},
    time::UnixMillis,
};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::time::timeout;
use uuid::Uuid;

/// How long to wait before a store that failed is asked again whether a session lives.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The account service.
#[derive(Clone, Debug)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    hub: Hub,
    passwords: Passwords,
    throttle: Throttle,
    key: TokenKey,
    policy: Policy,
    metrics: Metrics,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// What the operator decides about accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether anybody may make an account.
    pub registration_open: bool,
    /// How long a session lasts without being refreshed.
    pub session_lifetime: Duration,
}

/// Somebody who has proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who, as others saw them when they called.
    pub profile: Profile,
    /// By which session.
    pub session: SessionId,
    /// When that session ends unless it is refreshed before.
    pub session_expires: UnixMillis,
}

impl Caller {
    /// Who.
    pub fn id(&self) -> UserId {
        self.profile.id
    }
}

/// A caller, and the tokens of a session that was begun or refreshed to get here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Who.
    pub caller: Caller,
    /// To come back with.
    pub tokens: Tokens,
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// No account has this email address and password.
    #[error("wrong email address or password; check both, or register first")]
    WrongCredentials,
    /// The email address has an account.
    #[error("{0} has an account already; log in instead")]
    EmailTaken(Email),
    /// Too short a password.
    #[error("the password has fewer than {MIN_PASSWORD_BYTES} characters; choose a longer one")]
    PasswordTooShort,
    /// The operator does not want strangers.
    #[error("this server accepts no registrations; ask its operator for an account")]
    RegistrationClosed,
    /// Too many attempts.
    #[error(transparent)]
    TooOften(#[from] TooOften),
    /// Too many logins at once.
    #[error("too many people are logging in; try again in a moment")]
    Busy(#[from] Busy),
    /// An access token that is not ours or has expired.
    #[error("the access token is expired or unknown; renew it")]
    BadToken,
    /// A refresh token or session that is over.
    #[error("this login has ended; log in again")]
    SessionEnded,
    /// No such session, or another user's.
    #[error("you have no login {0}")]
    NoSession(SessionId),
    /// Nobody has this email address.
    #[error("nobody here has the email address {0}; check it, or ask them to register")]
    UnknownUser(Email),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<AccountError> for Refusal {
    fn from(error: AccountError) -> Self {
        let code = match &error {
            AccountError::WrongCredentials => ErrorCode::WrongCredentials,
            AccountError::EmailTaken(_) => ErrorCode::EmailTaken,
            AccountError::PasswordTooShort => {
                return Self::new(ErrorCode::Invalid, error.to_string()).with_limit(MIN_PASSWORD_BYTES as u64);
            }
            AccountError::RegistrationClosed => ErrorCode::Forbidden,
            AccountError::TooOften(TooOften { wait }) => {
                return Self::new(ErrorCode::RateLimited, error.to_string()).with_retry_after(*wait);
            }
            AccountError::Busy(_) => ErrorCode::Unavailable,
            AccountError::BadToken => ErrorCode::BadToken,
            AccountError::SessionEnded => ErrorCode::SessionEnded,
            AccountError::NoSession(_) | AccountError::UnknownUser(_) => ErrorCode::NotFound,
            AccountError::Store(error) => return store_refusal(error),
        };
        Self::new(code, error.to_string())
    }
}

type Result<T> = std::result::Result<T, AccountError>;

impl Accounts {
    /// Serves from `store`; sessions that end are announced on `hub`.
    pub fn new(
        store: Arc<dyn Store>,
        hub: Hub,
        passwords: Passwords,
        throttle: Throttle,
        key: TokenKey,
        policy: Policy,
        metrics: Metrics,
    ) -> Self {
        Self(Arc::new(Inner { store, hub, passwords, throttle, key, policy, metrics }))
    }

    /// Makes an account and begins a session.
    pub async fn register(
        &self,
        from: IpAddr,
        agent: &str,
        email: Email,
        name: DisplayName,
        password: Password,
    ) -> Result<Login> {
        if !self.0.policy.registration_open {
            return Err(AccountError::RegistrationClosed);
        }
        self.0.throttle.registration(&*self.0.store, from).await??;
        if password.as_str().len() < MIN_PASSWORD_BYTES {
            return Err(AccountError::PasswordTooShort);
        }
        let (id, now) = (UserId(clock::new_id()), clock::now());
        let password_hash = self.0.passwords.hash(password).await?;
        let user = NewUser { id, email: email.clone(), name: name.clone(), password_hash, now };
        if !self.0.store.create_user(user).await? {
            return Err(AccountError::EmailTaken(email));
        }
        tracing::info!(user = %id, "account registered");
        self.begin_session(Profile { id, email, name }, agent).await
    }

    /// Begins a session.
    pub async fn login(&self, from: IpAddr, agent: &str, email: Email, password: Password) -> Result<Login> {
        let login = self.try_login(from, agent, email, password).await;
        self.0.metrics.login(match &login {
            Ok(_) => Outcome::Accepted,
            Err(AccountError::WrongCredentials) => Outcome::Wrong,
            Err(AccountError::TooOften(_)) => Outcome::Limited,
            Err(_) => Outcome::Failed,
        });
        login
    }

    async fn try_login(&self, from: IpAddr, agent: &str, email: Email, password: Password) -> Result<Login> {
        self.0.throttle.login(&*self.0.store, from, &email).await??;
        let user = self.0.store.user_by_email(&email).await?;
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let checked = self.0.passwords.check(password, hash).await?;
        let (Some(user), Checked::Right | Checked::Rehashed(_)) = (user, &checked) else {
            return Err(AccountError::WrongCredentials);
        };
        if let Checked::Rehashed(hash) = checked {
            self.0.store.set_password_hash(user.id, hash).await?;
        }
        self.begin_session(user.into(), agent).await
    }

    /// Goes on with a session by its access token.
    pub async fn authenticate(&self, access: &Token) -> Result<Caller> {
        let bearer = self.0.key.verify(access).ok_or(AccountError::BadToken)?;
        self.resume(bearer.session).await
    }

    /// The caller that a session speaks for, if it still does.
    pub async fn resume(&self, session: SessionId) -> Result<Caller> {
        let session = self.0.store.session(session).await?.ok_or(AccountError::SessionEnded)?;
        if !session.is_alive(clock::now()) {
            return Err(AccountError::SessionEnded);
        }
        self.caller(&session).await
    }

    /// Whom a refresh token claims to speak for. The token itself is looked at by [`Accounts::refresh`].
    pub async fn claimed(&self, token: &Token) -> Result<Caller> {
        let (session, _) = read_refresh_token(token).ok_or(AccountError::SessionEnded)?;
        self.resume(session).await
    }

    /// Uses up a refresh token and goes on with its session, which must be `expected` when one is given.
    pub async fn refresh(&self, token: &Token, expected: Option<SessionId>) -> Result<Login> {
        let (session, presented) = read_refresh_token(token).ok_or(AccountError::SessionEnded)?;
        if expected.is_some_and(|expected| expected != session) {
            return Err(AccountError::SessionEnded);
        }
        let (now, next) = (clock::now(), refresh_token(session));
        let expires = now.plus(self.0.policy.session_lifetime);
        let rotation = Rotation { session, presented, fresh: hash_refresh_token(&next), expires, now };
        match self.0.store.rotate_session(rotation).await? {
            Rotated::Fresh(session) => {
                let caller = self.caller(&session).await?;
                Ok(Login { caller, tokens: self.tokens(&session, next, now) })
            }
            Rotated::Reused => {
                tracing::warn!(%session, "refresh token used twice; session ended");
                self.0.hub.session_ended(session);
                Err(AccountError::SessionEnded)
            }
            Rotated::Ended => Err(AccountError::SessionEnded),
        }
    }

    /// Ends the caller's session and closes its connections.
    pub async fn logout(&self, me: &Caller) -> Result<()> {
        self.end(me, me.session).await
    }

    /// Ends one of the caller's sessions and closes its connections.
    pub async fn end(&self, me: &Caller, session: SessionId) -> Result<()> {
        if !self.0.store.end_session(session, me.id(), clock::now()).await? {
            return Err(AccountError::NoSession(session));
        }
        self.0.hub.session_ended(session);
        Ok(())
    }

    /// Whether the store answers.
    pub async fn can_ask_the_store(&self) -> bool {
        self.0.store.session(SessionId(Uuid::nil())).await.is_ok()
    }

    /// Returns when a session no longer speaks for its user: it was ended, or ran out. A refresh elsewhere prolongs it, so
    /// at its known end the store is asked.
    pub async fn until_over(&self, session: SessionId) {
        let mut ended = self.0.hub.session(session);
        loop {
            // Asked once at the beginning too: the session may have ended just before this began to listen.
            let left = match self.resume(session).await {
                Ok(caller) => caller.session_expires.since(clock::now()),
                Err(AccountError::Store(_)) => ASK_AGAIN,
                Err(_) => return,
            };
            // Having missed a notice says the same as the notice: look.
            let _ = timeout(left.max(ASK_AGAIN), ended.next()).await;
        }
    }

    /// The caller's living sessions, newest first, older than `before`, and whether there are older ones.
    pub async fn sessions(&self, me: &Caller, before: Option<SessionId>, limit: u32) -> Result<(Vec<Session>, bool)> {
        let limit = limit.clamp(1, MAX_PAGE);
        let mut sessions = self.0.store.sessions_of(me.id(), before, limit + 1, clock::now()).await?;
        let more = sessions.len() > limit as usize;
        sessions.truncate(limit as usize);
        Ok((sessions, more))
    }

    /// Who the caller is, as others see them now.
    pub async fn me(&self, me: &Caller) -> Result<Profile> {
        self.profile(me.id()).await
    }

    /// Changes what others see of the caller; says what they see now.
    pub async fn rename(&self, me: &Caller, name: DisplayName) -> Result<Profile> {
        self.0.store.set_name(me.id(), name).await?;
        self.profile(me.id()).await
    }

    /// Who has this email address.
    pub async fn find(&self, email: &Email) -> Result<Profile> {
        let user = self.0.store.user_by_email(email).await?;
        user.map(Profile::from).ok_or_else(|| AccountError::UnknownUser(email.clone()))
    }

    async fn begin_session(&self, profile: Profile, agent: &str) -> Result<Login> {
        let (id, now) = (SessionId(clock::new_id()), clock::now());
        let token = refresh_token(id);
        let session = Session {
            id,
            user: profile.id,
            agent: agent[..agent.floor_char_boundary(AGENT_BYTES)].to_owned(),
            created: now,
            current: hash_refresh_token(&token),
            previous: None,
            rotated: now,
            expires: now.plus(self.0.policy.session_lifetime),
            ended: None,
        };
        let tokens = self.tokens(&session, token, now);
        let caller = Caller { profile, session: id, session_expires: session.expires };
        self.0.store.create_session(session).await?;
        Ok(Login { caller, tokens })
    }

    async fn caller(&self, session: &Session) -> Result<Caller> {
        let profile = self.profile(session.user).await?;
        Ok(Caller { profile, session: session.id, session_expires: session.expires })
    }

    async fn profile(&self, user: UserId) -> Result<Profile> {
        Ok(self.0.store.user(user).await?.ok_or(AccountError::SessionEnded)?.into())
    }

    fn tokens(&self, session: &Session, refresh: Token, now: UnixMillis) -> Tokens {
        let (access, access_expires) = self.0.key.access(session, now);
        Tokens { access, access_expires, refresh, refresh_expires: session.expires }
    }
}
