//! Releases of client programs, as the server's operator publishes them.

use crate::frame::{Kind, frame};
use serde::{Deserialize, Serialize};

/// A version of a client program, built for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// By Semantic Versioning.
    pub version: String,
    /// What is new, for people.
    pub notes: String,
    /// What it runs on, such as `linux-x86_64`.
    pub platform: String,
    /// Where it is.
    pub url: String,
    /// Its SHA-256: 64 hexadecimal digits.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
}

/// What is newer than what somebody has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// The newest release; none when there is none, or none that is newer.
    pub newer: Option<Release>,
}
frame!(Update, Kind(0x5a), 1056 << 10);

/// Asks for the newest release for a platform, if it is newer than what is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetUpdate {
    /// What the client runs on.
    pub platform: String,
    /// Its version, by Semantic Versioning.
    pub current: String,
}
frame!(GetUpdate, Kind(0x10e), 1 << 10 => Update);
