//! Files between two people who have nothing in common but a code: no account, no chat, no name.
//!
//! The sender opens a mailbox at the server, and reads out a [`Code`]: the mailbox's number and three words. Who types it has the
//! mailbox's other side. From the words both make a key (SPAKE2, by Abdalla and Pointcheval, 2005), with which they
//! seal what they say to each other there: what is offered, the answer, and the states out of which ways come. So the server knows
//! that two clients meet, and neither what they say nor what they send; and who guesses has one guess of 2^33 for each code
//! (docs/decisions/0007-codes.md). Everything after that is as with accounts, but for the way through the server's
//! storage, which needs one.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `text` | [`Code`], as people write it |
//! | `exchange` | from the words to a key, and sealing; no I/O, no clock |
//! | `line` | words across a mailbox, as a session has signals |
//! | `send`, `receive` | either side, from the code to the end |
//! | `error` | [`CodeError`] |

mod error;
mod exchange;
mod line;
mod receive;
mod send;
mod text;

pub use error::CodeError;
pub use hypersend_protocol::code::OfferSummary;
pub use receive::{CodeOffer, receive_by_code};
pub use send::send_by_code;
pub use text::{BadCode, Code};

use super::{error::DirectError, meeting::Terms, send::SEEK};
use hypersend_protocol::code::Word;
use std::time::Duration;

/// How long the other side may be away in the midst of a transfer: its process cannot come back, but its network may.
const AWAY: Duration = Duration::from_mins(5);

/// Longer than a client waits between two attempts to reach a server that is away.
const GREETING: Duration = Duration::from_secs(30);

/// How to send or receive by a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeOptions {
    /// Whether to use relays alone, so that the other side learns no address of this one. False.
    pub relay_only: bool,
    /// How long a way to the other side is looked for. 25 s.
    pub seek: Duration,
    /// How long the other side may take to its first word: a receiver from when it is there, a sender from when its code was typed.
    /// 30 s.
    pub greeting: Duration,
}

impl Default for CodeOptions {
    fn default() -> Self {
        Self { relay_only: false, seek: SEEK, greeting: GREETING }
    }
}

impl CodeOptions {
    fn terms(self) -> Terms {
        Terms { relay_only: self.relay_only, seek: Some(self.seek), wait: Some(AWAY), is_never_stored: true }
    }
}

/// What to tell the other side at the end.
fn last_word<T>(done: &Result<T, DirectError>) -> Word {
    match done {
        Ok(_) => Word::Finished,
        Err(error) if error.is_own_cancellation() => Word::Cancelled,
        Err(DirectError::NoWay) => Word::NoWay,
        Err(_) => Word::Failed,
    }
}
