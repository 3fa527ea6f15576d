//! Accounts: operations on request streams.

use crate::{
    frame::{Kind, frame},
    id::{SessionId, UserId},
    name::{DisplayName, Email, Token},
    session::Tokens,
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};

/// What may be known about a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The user.
    pub id: UserId,
    /// The account's name.
    pub email: Email,
    /// What others see.
    pub name: DisplayName,
}
frame!(Profile, Kind(0x40), 1 << 10);

/// The answer of an operation that has nothing more to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}
frame!(Done, Kind(0x42), 16);

/// A login that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// The session.
    pub id: SessionId,
    /// The program that began it, in its own words: [`Hello::agent`](crate::session::Hello::agent).
    pub agent: String,
    /// When it began.
    pub created: UnixMillis,
    /// When its tokens were last renewed.
    pub renewed: UnixMillis,
    /// When it ends unless it is refreshed before.
    pub expires: UnixMillis,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// One page of the caller's logins, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionPage {
    /// The logins.
    pub sessions: Vec<SessionInfo>,
    /// Whether older ones exist; give the last one's id in [`ListSessions::before`].
    pub more: bool,
}
frame!(SessionPage, Kind(0x54), 128 << 10);

/// Who am I?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetMe {}
frame!(GetMe, Kind(0x100), 16 => Profile);

/// Ends the session: its tokens are worthless at once, and its other connections are closed. This connection is closed
/// by the server after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logout {}
frame!(Logout, Kind(0x102), 16 => Done);

/// Buys new tokens on a connection that is already open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewTokens {
    /// The newest refresh token of the connection's session, which is used up.
    pub refresh: Token,
}
frame!(RenewTokens, Kind(0x104), 2 << 10 => Tokens);

/// Who has this email address?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindUser {
    /// The address.
    pub email: Email,
}
frame!(FindUser, Kind(0x106), 512 => Profile);

/// A page of the caller's logins that have not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListSessions {
    /// Logins older than this one; none for the newest.
    pub before: Option<SessionId>,
    /// At most this many, and at most [`MAX_PAGE`](crate::limit::MAX_PAGE).
    pub limit: u32,
}
frame!(ListSessions, Kind(0x108), 64 => SessionPage);

/// Ends one of the caller's logins, as [`Logout`] ends the one that asks. One that has ended stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndSession {
    /// The session.
    pub session: SessionId,
}
frame!(EndSession, Kind(0x10a), 64 => Done);

/// Changes what others see of the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rename {
    /// The new display name.
    pub name: DisplayName,
}
frame!(Rename, Kind(0x10c), 256 => Profile);
