//! Why not everything arrived.

use crate::{ask::AskError, listing::ListingError};
use hypersend_protocol::refusal::{ErrorCode, Refusal};
use hypersend_transfer::folder::{CreateError, NoSpace, OpenError, StoreError, free_bytes};
use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
};

/// Not everything arrived. What did is kept beside the destination, but for [`ReceiveError::Changed`] files, and the same
/// transfer begun again goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// [`Receiving::cancel`](crate::Receiving::cancel) was called.
    #[error("cancelled")]
    Cancelled,
    /// The sender's user called it off.
    #[error("the sender has cancelled the transfer")]
    SenderCancelled,
    /// A file is no longer what the sender offered; the sender's own words.
    #[error("{0}")]
    Changed(String),
    /// The sender cannot go on.
    #[error("the sender cannot go on: {0}")]
    Sender(Refusal),
    /// The sender does not keep to the protocol.
    #[error("the sender's answer makes no sense: {0}")]
    Nonsense(String),
    /// What is offered is no proper list of files.
    #[error(transparent)]
    Listing(#[from] ListingError),
    /// What is sent is not what was offered and accepted.
    #[error("the sender does not send what it offered, but {0}")]
    Unexpected(String),
    /// A file arrived with other bytes than it was sent with, again and again.
    #[error("{0} arrives damaged again and again")]
    Damaged(String),
    /// The disk is too full. What has arrived is kept.
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    /// The same is just being received here by another process, or another transfer of this one.
    #[error("{} is in use: the same is being received here already; wait for it, or choose another folder", .0.display())]
    InUse(PathBuf),
    /// Two names that the file system takes for one.
    #[error("{} is there already under a name that this disk takes for the same; choose a folder on another disk", .0.display())]
    Collision(PathBuf),
    /// The destination is no folder.
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// What should hold what has arrived was made by another user: there may be anything in it.
    #[error("{} belongs to another user; have it removed, or choose another folder", .0.display())]
    NotOurs(PathBuf),
    /// A large file under way cannot be kept.
    #[error("receive {file}")]
    File {
        /// The file.
        file: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The disk refused.
    #[error("write to {}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ReceiveError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        match (full, free_bytes(folder)) {
            (true, Ok(free)) => NoSpace { needed: free + 1, free }.into(),
            _ => Self::Io { path: path.to_owned(), source },
        }
    }

    pub(crate) fn file(file: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::File { file: file.to_owned(), source: source.into() }
    }

    pub(crate) fn create(file: &str, dir: &Path, error: CreateError) -> Self {
        match error {
            CreateError::NoSpace(no_space) => no_space.into(),
            CreateError::InUse => Self::InUse(dir.to_owned()),
            error => Self::file(file, error),
        }
    }

    pub(crate) fn open(file: &str, dir: &Path, error: OpenError) -> Self {
        match error {
            OpenError::NoSpace(no_space) => no_space.into(),
            OpenError::InUse => Self::InUse(dir.to_owned()),
            error => Self::file(file, error),
        }
    }

    pub(crate) fn store(file: &str, error: StoreError) -> Self {
        match error {
            StoreError::NoSpace(no_space) => no_space.into(),
            error => Self::file(file, error),
        }
    }
}

impl From<AskError> for ReceiveError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Refused(refusal) if refusal.code == ErrorCode::FileChanged => Self::Changed(refusal.message),
            AskError::Refused(refusal) if refusal.code == ErrorCode::Cancelled => Self::SenderCancelled,
            AskError::Refused(refusal) => Self::Sender(refusal),
            AskError::Nonsense(what) => Self::Nonsense(what),
        }
    }
}
