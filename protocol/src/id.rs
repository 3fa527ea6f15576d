//! Ids: one newtype for each kind of thing, so that a chat's id cannot be given where a user's is wanted.
//!
//! All are UUIDs (RFC 9562); the server makes version 7, so that ids sort by age. This crate reads no clock: the
//! maker of an id passes the UUID in.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

ids! {
    /// A person with an account.
    UserId
    /// One login of one user: the family of refresh tokens that grew from it.
    SessionId
    /// A conversation, direct or group.
    ChatId
    /// A file, from the moment its upload begins.
    FileId
    /// A transfer from one client to another.
    P2pId
    /// A relay: a program that passes datagrams on between the two sides of a transfer.
    RelayId
    /// Made by the client for an act that must happen once however often it is asked for.
    ClientId
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident($int:ty))+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl $name {
            /// The one after this; the largest stays, because a peer may have sent it.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

counters! {
    /// A message's place in its chat: dense, from 1. 0 stands before the first message.
    Seq(u64)
    /// How often the messages of a chat have been changed in place (deleted): dense, from 1.
    Revision(u64)
    /// A place in one user's event feed: dense, from 1. 0 stands before the first event.
    Cursor(u64)
    /// A chunk's place in its file, from 0.
    ChunkIndex(u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_after_the_largest_is_the_largest() {
        assert_eq!(Seq(7).next(), Seq(8));
        assert_eq!(Seq(u64::MAX).next(), Seq(u64::MAX));
        assert_eq!(ChunkIndex(u32::MAX).next(), ChunkIndex(u32::MAX));
    }
}
