//! The session stream: who the connection speaks for. Then, for the life of the connection, what the server has to say
//! about the connection itself.
//!
//! 1. The client opens its first bidirectional stream with [`Hello`].
//! 2. The server answers [`Welcome`] or a [`Refusal`](crate::refusal::Refusal), after which it closes the connection
//!    with the refusal's code.
//! 3. The stream stays open. Before it shuts down the server sends [`GoingAway`], lets what is in flight finish, and
//!    closes the connection with [`Stopping`](crate::refusal::ErrorCode::Stopping).

use crate::{
    account::Profile,
    frame::{Kind, frame, frame_set},
    id::SessionId,
    name::{DisplayName, Email, Password, Token},
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};

/// The version of the frames that this crate describes, raised with every addition. A peer of another version within
/// the same ALPN token can be spoken to: additions are optional fields, odd kinds and features.
pub const VERSION: u32 = 1;

/// Parts of the protocol that a peer may or may not have, announced in [`Hello`] and [`Welcome`] and unknown ones
/// ignored. There are none yet.
pub const FEATURES: &[&str] = &[];

/// The client's first words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The client's [`VERSION`].
    pub version: u32,
    /// The client's [`FEATURES`].
    pub features: Vec<String>,
    /// Program and version, for the list of logins: at most [`AGENT_BYTES`] are kept.
    pub agent: String,
    /// Whom the connection speaks for.
    pub auth: Auth,
}
frame!(Hello, Kind(0x02), 4 << 10);

/// The longest [`Hello::agent`] kept, in bytes.
pub const AGENT_BYTES: usize = 100;

/// How a client proves whom it speaks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// Makes an account and logs in to it.
    Register {
        /// The account's name.
        email: Email,
        /// What others see.
        name: DisplayName,
        /// At least [`MIN_PASSWORD_BYTES`](crate::limit::MIN_PASSWORD_BYTES) long.
        password: Password,
    },
    /// Begins a session.
    Login {
        /// The account's name.
        email: Email,
        /// The account's password.
        password: Password,
    },
    /// Goes on with a session, by its access token.
    Access {
        /// A token that has not expired.
        token: Token,
    },
    /// Goes on with a session, by its refresh token, which is used up.
    Refresh {
        /// The newest refresh token of the session.
        token: Token,
    },
}

/// The server's answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The server's [`VERSION`].
    pub version: u32,
    /// The server's [`FEATURES`].
    pub features: Vec<String>,
    /// Whom the connection speaks for.
    pub me: Profile,
    /// The session it belongs to.
    pub session: SessionId,
    /// New tokens, unless the client came with an access token.
    pub tokens: Option<Tokens>,
    /// The server's clock.
    pub now: UnixMillis,
}
frame!(Welcome, Kind(0x04), 8 << 10);

/// The two tokens of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Opens connections for a short while; a signed JWT (RFC 7519).
    pub access: Token,
    /// When the access token expires.
    pub access_expires: UnixMillis,
    /// Buys new tokens, once.
    pub refresh: Token,
    /// When the session ends unless it is refreshed before.
    pub refresh_expires: UnixMillis,
}
frame!(Tokens, Kind(0x06), 4 << 10);

/// The server shuts down: begin nothing new, connect again after the connection closes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoingAway {
    /// How long what is in flight may still take, in milliseconds.
    pub grace_ms: u64,
}
frame!(GoingAway, Kind(0x08), 64);

frame_set! {
    /// What the server may say on the session stream after [`Welcome`].
    pub enum SessionNotice {
        /// It shuts down.
        GoingAway,
    }
}
