//! Mailboxes: how two people without accounts meet at a server.
//!
//! A mailbox is a pair of registers, as two sides of a transfer have them ([`signal`](crate::signal)), that belongs to no
//! account. It is found by its [`Nameplate`], once. A connection that begins with one of these frames instead of a
//! [`Hello`](crate::session::Hello) speaks for nobody, and has this stream, and beside it none but
//! [tunnels](crate::tunnel):
//!
//! 1. The sender begins with [`OpenMailbox`], the receiver with [`ClaimMailbox`]; either of them, when it has lost its
//!    connection, with [`ResumeMailbox`].
//! 2. The server answers [`MailboxOpen`], or a [`Refusal`](crate::refusal::Refusal) after which it closes the connection
//!    with the refusal's code.
//! 3. Both sides speak freely, in [`Signal`](crate::signal::Signal)s, as on a signal stream.
//! 4. A client that finishes its side has left for good, and the mailbox is over; one that resets it, or loses its
//!    connection, may come back. The server ends the stream with a refusal: `conflict` when the mailbox is over, behind the
//!    other side's last value; `superseded` when the same side has come back by another connection.

use crate::{
    frame::{Kind, frame},
    id::P2pId,
    limit::MAX_NAMEPLATE,
    signal::RelaySeat,
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

/// Makes a mailbox, of which the caller is the sender. Made again with the same key, it is the same mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenMailbox {
    /// The client's [`VERSION`](crate::session::VERSION).
    pub version: u32,
    /// What the caller comes back with.
    pub key: MailboxKey,
}
frame!(OpenMailbox, Kind(0x250), 64);

/// Uses up a nameplate: the caller is the receiver. An answer that was lost is asked for again with the same key; with any
/// other, the nameplate is `not-found` from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimMailbox {
    /// The client's [`VERSION`](crate::session::VERSION).
    pub version: u32,
    /// Which mailbox.
    pub nameplate: Nameplate,
    /// What the caller comes back with.
    pub key: MailboxKey,
}
frame!(ClaimMailbox, Kind(0x252), 128);

/// Comes back to a mailbox after a lost connection, as the side whose key it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeMailbox {
    /// The client's [`VERSION`](crate::session::VERSION).
    pub version: u32,
    /// The mailbox.
    pub mailbox: P2pId,
    /// The key with which it was opened or claimed.
    pub key: MailboxKey,
}
frame!(ResumeMailbox, Kind(0x254), 128);

/// The mailbox is open to the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxOpen {
    /// The mailbox: what its two sides have instead of a transfer's id, at relays too.
    pub mailbox: P2pId,
    /// By what the receiver finds it.
    pub nameplate: Nameplate,
    /// How long it lasts, in milliseconds, unless a side is heard of: being there makes it longer.
    pub lasts_ms: u64,
    /// Relays for this side, the best first; at most [`MAX_RELAYS`](crate::limit::MAX_RELAYS).
    pub relays: Vec<RelaySeat>,
}
frame!(MailboxOpen, Kind(0x256), 4 << 10);

impl MailboxOpen {
    /// How long it lasts unless a side is heard of.
    pub fn lasts(&self) -> Duration {
        Duration::from_millis(self.lasts_ms)
    }
}

/// A small number by which a mailbox is found, once: 1 to [`MAX_NAMEPLATE`]. People type it, so it is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Nameplate(u32);

/// The number, or the text, is no nameplate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a code begins with a number from 1 to {MAX_NAMEPLATE}")]
pub struct NotANameplate;

impl Nameplate {
    /// This number.
    pub fn new(number: u32) -> Result<Self, NotANameplate> {
        if (1..=MAX_NAMEPLATE).contains(&number) { Ok(Self(number)) } else { Err(NotANameplate) }
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Nameplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Nameplate {
    type Err = NotANameplate;
    /// Digits and nothing else.
    fn from_str(text: &str) -> Result<Self, NotANameplate> {
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotANameplate);
        }
        text.parse().map_err(|_| NotANameplate).and_then(Self::new)
    }
}

impl TryFrom<u32> for Nameplate {
    type Error = NotANameplate;
    fn try_from(number: u32) -> Result<Self, NotANameplate> {
        Self::new(number)
    }
}

impl From<Nameplate> for u32 {
    fn from(nameplate: Nameplate) -> u32 {
        nameplate.0
    }
}

/// Random bytes of the client's making: who has them may come back to its side of a mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailboxKey(#[serde(with = "serde_bytes")] pub [u8; 16]);

impl fmt::Debug for MailboxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailboxKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nameplate_is_a_number_within_its_limits() {
        for number in [1, MAX_NAMEPLATE] {
            assert_eq!(Nameplate::new(number).map(Nameplate::get), Ok(number));
            assert_eq!(number.to_string().parse(), Nameplate::new(number));
        }
        for number in [0, MAX_NAMEPLATE + 1, u32::MAX] {
            assert_eq!(Nameplate::new(number), Err(NotANameplate));
        }
        for text in ["", "+7", "-7", " 7", "7a", "0", "4294967297", "٧"] {
            assert_eq!(text.parse::<Nameplate>(), Err(NotANameplate), "{text:?}");
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let open = OpenMailbox { version: 1, key: MailboxKey([77; 16]) };
        assert!(!format!("{open:?}").contains("77"));
    }
}
