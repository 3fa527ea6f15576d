//! Accounts: operations on request streams.

use crate::{
    frame::{Kind, frame},
    id::UserId,
    name::{DisplayName, Email, Token},
    session::Tokens,
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
