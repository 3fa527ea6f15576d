//! Accounts.

use hypersend_protocol::{
    account::Profile,
    id::UserId,
    name::{DisplayName, Email},
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A bcrypt hash in its modular crypt form. Prints as `***`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// An account to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    /// Its id.
    pub id: UserId,
    /// Its name.
    pub email: Email,
    /// What others see.
    pub name: DisplayName,
    /// Proof of its password.
    pub password_hash: PasswordHash,
    /// The moment.
    pub now: UnixMillis,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its name.
    pub email: Email,
    /// What others see.
    pub name: DisplayName,
    /// Proof of its password.
    pub password_hash: PasswordHash,
    /// When it was made.
    pub created: UnixMillis,
}

impl From<User> for Profile {
    fn from(user: User) -> Self {
        Self { id: user.id, email: user.email, name: user.name }
    }
}
