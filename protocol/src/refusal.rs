//! The catalogue of error codes: one list for every door.
//!
//! The native door sends a [`Refusal`] as the answer on a stream, and a code alone as the application error code when it
//! closes a connection (RFC 9000, 19.19) or resets a stream. The HTTP door turns the same codes into Problem Details.

use crate::{
    frame::{Kind, frame},
    limit::MAX_REFUSAL_MESSAGE_BYTES,
};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $slug:literal;)+) => {
        /// What went wrong, as a number that is never used for anything else again.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(from = "u16", into = "u16")]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)+
            /// A code of a later version; treat it like [`ErrorCode::Internal`].
            Other(u16),
        }

        impl ErrorCode {
            /// Every code of this version, in order.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code's name in documents, logs and Problem Details.
            pub fn slug(self) -> &'static str {
                match self {
                    $(Self::$name => $slug,)+
                    Self::Other(_) => "other",
                }
            }
        }

        impl From<u16> for ErrorCode {
            fn from(number: u16) -> Self {
                match number {
                    $($number => Self::$name,)+
                    other => Self::Other(other),
                }
            }
        }

        impl From<ErrorCode> for u16 {
            fn from(code: ErrorCode) -> u16 {
                match code {
                    $(ErrorCode::$name => $number,)+
                    ErrorCode::Other(number) => number,
                }
            }
        }
    };
}

codes! {
    /// The peer is done and closes in good order.
    Closed = 0, "closed";
    /// A fault of the server's own; its log says more.
    Internal = 1, "internal";
    /// A part that the server needs does not answer; try again.
    Unavailable = 2, "unavailable";
    /// The server is shutting down; connect again in a moment.
    Stopping = 3, "stopping";

    /// Bytes that are no frame of this protocol.
    BadFrame = 10, "bad-frame";
    /// A mandatory frame that this side does not know, or that has no place here.
    UnexpectedFrame = 11, "unexpected-frame";
    /// A frame longer than its kind's ceiling.
    FrameTooLong = 12, "frame-too-long";
    /// No version in common.
    UnsupportedVersion = 13, "unsupported-version";
    /// The peer took longer than allowed.
    TimedOut = 14, "timed-out";

    /// A value that is not acceptable; the message says which.
    Invalid = 20, "invalid";
    /// Nothing of that name, or nothing that the caller may know about.
    NotFound = 21, "not-found";
    /// Known to the caller, but not the caller's to do.
    Forbidden = 22, "forbidden";
    /// Contradicts what is already there.
    Conflict = 23, "conflict";
    /// A limit is reached; `limit` says which number.
    LimitReached = 24, "limit-reached";
    /// Too many attempts; `retry_after` says when.
    RateLimited = 25, "rate-limited";
    /// The server's disk has no room.
    StorageFull = 26, "storage-full";
    /// The same user has opened the same again elsewhere, and the newest counts.
    Superseded = 27, "superseded";

    /// No account has this email address and password.
    WrongCredentials = 30, "wrong-credentials";
    /// The access token is expired or not ours; renew it.
    BadToken = 31, "bad-token";
    /// This login has ended: logged out, expired, or its refresh token was used twice. Log in again.
    SessionEnded = 32, "session-ended";
    /// The email address has an account already.
    EmailTaken = 33, "email-taken";

    /// Bytes do not have the hash they came with.
    HashMismatch = 40, "hash-mismatch";
    /// The upload still lacks chunks.
    Incomplete = 41, "incomplete";
    /// The file's content is not what was sent before under the same key.
    FileChanged = 42, "file-changed";

    /// The user at the other end has called it off.
    Cancelled = 50, "cancelled";
}

impl ErrorCode {
    /// Whether the same request may succeed later with nothing changed by the caller.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Unavailable | Self::Stopping | Self::TimedOut)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.slug())
    }
}

/// The answer "no": a code for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What went wrong.
    pub code: ErrorCode,
    /// Cause and remedy, for a person.
    pub message: String,
    /// When to try again, in milliseconds from now, if waiting helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The limit that was hit, in its own unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

frame!(Refusal, Kind(0x00), 4 << 10);

impl Refusal {
    /// A refusal with neither limit nor time. A message of more than [`MAX_REFUSAL_MESSAGE_BYTES`] is cut.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MAX_REFUSAL_MESSAGE_BYTES));
        Self { code, message, retry_after_ms: None, limit: None }
    }

    /// Names the limit that was hit.
    #[must_use]
    pub fn with_limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// When to try again, if waiting helps.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after_ms.map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_and_slugs_are_distinct_and_survive_the_wire() {
        let numbers: HashSet<u16> = ErrorCode::ALL.iter().map(|&c| c.into()).collect();
        let slugs: HashSet<&str> = ErrorCode::ALL.iter().map(|c| c.slug()).collect();
        assert_eq!((numbers.len(), slugs.len()), (ErrorCode::ALL.len(), ErrorCode::ALL.len()));
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from(u16::from(code)), code);
        }
        assert_eq!(u16::from(ErrorCode::from(9_999)), 9_999);
    }

    #[test]
    fn a_refusal_that_quotes_a_long_text_still_fits_into_its_frame() {
        for long in ["x".repeat(1 << 20), "ü".repeat(1 << 20)] {
            let refusal = Refusal::new(ErrorCode::Other(u16::MAX), long)
                .with_limit(u64::MAX)
                .with_retry_after(Duration::from_millis(u64::MAX));
            assert!(refusal.message.len() <= MAX_REFUSAL_MESSAGE_BYTES);
            assert!(crate::frame::encode(&refusal).is_ok());
        }
    }
}
