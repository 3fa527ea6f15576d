//! Why an upload does not go on, and what a client is told of it.

use super::RELEASE;
use crate::{
    objects::ObjectsError,
    services::{internal, root::RootError, store_refusal},
    store::StoreError,
};
use hypersend_protocol::{
    id::FileId,
    limit::MAX_OPEN_UPLOADS,
    refusal::{ErrorCode, Refusal},
    size::Size,
};
use hypersend_transfer::{
    folder::{self, AppendError, CreateError, OpenError, PublishError, SealError},
    plan::PlanError,
    stored::StoredError,
};
use std::io;

/// Why an upload does not go on.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// No such upload, or not the caller's, or not begun on this connection.
    #[error("there is no upload {0}; begin it first")]
    NoUpload(FileId),
    /// Larger than this server takes.
    #[error("the file has {size} bytes; this server takes at most {limit}: split it, or ask the operator")]
    TooLarge {
        /// Its size, in bytes.
        size: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Too many at once.
    #[error("you have {MAX_OPEN_UPLOADS} uploads under way; finish or cancel some first")]
    TooMany,
    /// The key is another file's.
    #[error("an upload with this key exists for a file of another name or size; use another key")]
    KeyTaken,
    /// Too much reserved at once, by the operator's word.
    #[error(
        "your unfinished uploads may have {} of the server's disk, and have {}: finish or cancel some, or ask the operator to \
         raise MAX_RESERVED_PER_USER",
        Size(*.limit), Size(*.reserved)
    )]
    OverQuota {
        /// Reserved already, in bytes.
        reserved: u64,
        /// Allowed, in bytes.
        limit: u64,
    },
    /// Too much of what is free reserved at once.
    #[error(
        "your unfinished uploads may have {}, half of what is free on the server's disk, and have {}: finish or cancel some, \
         or ask the operator to make room",
        Size(*.limit), Size(*.reserved)
    )]
    OverShare {
        /// Reserved already, in bytes.
        reserved: u64,
        /// Allowed, in bytes.
        limit: u64,
    },
    /// No room.
    #[error("the server's disk has no room for {}; ask its operator to free some", Size(*.needed))]
    NoSpace {
        /// Wanted, in bytes.
        needed: u64,
    },
    /// Not a file that can be.
    #[error("there is no such file")]
    Plan(#[from] PlanError),
    /// The range was refused.
    #[error(transparent)]
    Range(#[from] folder::StoreError),
    /// The bytes do not follow on what is there.
    #[error("the upload has come to byte {reached}, and the bytes begin at {at}: go on from byte {reached}")]
    Gap {
        /// Where they begin.
        at: u64,
        /// Up to where there is something.
        reached: u64,
    },
    /// Another request appends to it and does not let go.
    #[error("another request is writing to this upload; try again in a moment")]
    Locked,
    /// Another request has taken the turn to append.
    #[error("another request goes on with this upload")]
    Overtaken,
    /// Chunks are missing.
    #[error("{0} chunks are missing; send them first")]
    Incomplete(u32),
    /// The content is not what the client computed.
    #[error("the file changed while it was being sent: what was stored of it has been dropped; send it again")]
    Changed,
    /// Somebody else works on it and does not let go.
    #[error("the upload is in use; try again in a moment")]
    InUse,
    /// The folder cannot be opened or made.
    #[error("open the upload's folder")]
    Open(#[from] OpenError),
    /// The folder cannot be made.
    #[error("create the upload's folder")]
    Create(#[from] CreateError),
    /// The folder cannot be sealed.
    #[error("finish the upload")]
    Seal(#[from] SealError),
    /// The folder cannot be moved.
    #[error("finish the upload")]
    Publish(#[from] PublishError),
    /// The published folder cannot be opened.
    #[error("finish the upload")]
    Stored(#[from] StoredError),
    /// The bucket failed.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// The disk failed.
    #[error("use the upload's folder")]
    Io(#[from] io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<UploadError> for Refusal {
    fn from(error: UploadError) -> Self {
        let refusal = |code| Self::new(code, error.to_string());
        match &error {
            UploadError::NoUpload(_) => refusal(ErrorCode::NotFound),
            UploadError::TooLarge { limit, .. }
            | UploadError::OverQuota { limit, .. }
            | UploadError::OverShare { limit, .. } => refusal(ErrorCode::LimitReached).with_limit(*limit),
            UploadError::TooMany => refusal(ErrorCode::LimitReached).with_limit(MAX_OPEN_UPLOADS as u64),
            UploadError::KeyTaken | UploadError::Gap { .. } | UploadError::Overtaken => refusal(ErrorCode::Conflict),
            UploadError::NoSpace { .. }
            | UploadError::Range(folder::StoreError::NoSpace(_))
            | UploadError::Create(CreateError::NoSpace(_))
            | UploadError::Open(OpenError::NoSpace(_)) => refusal(ErrorCode::StorageFull),
            UploadError::Plan(source) | UploadError::Range(folder::StoreError::Place(source)) => {
                Self::new(ErrorCode::Invalid, source.to_string())
            }
            UploadError::Range(folder::StoreError::RangeMismatch { .. } | folder::StoreError::ChunkMismatch(_)) => {
                refusal(ErrorCode::HashMismatch)
            }
            UploadError::Range(folder::StoreError::Length { .. }) => refusal(ErrorCode::Invalid),
            UploadError::Range(folder::StoreError::TooManyBegun) => {
                refusal(ErrorCode::LimitReached).with_limit(folder::MAX_CHUNKS_BEGUN as u64)
            }
            UploadError::Incomplete(_) => refusal(ErrorCode::Incomplete),
            UploadError::Changed => refusal(ErrorCode::FileChanged),
            UploadError::InUse | UploadError::Locked => refusal(ErrorCode::Unavailable).with_retry_after(RELEASE),
            UploadError::Store(error) => store_refusal(error),
            UploadError::Objects(error) => error.into(),
            UploadError::Range(_)
            | UploadError::Open(_)
            | UploadError::Create(_)
            | UploadError::Seal(_)
            | UploadError::Publish(_)
            | UploadError::Stored(_)
            | UploadError::Io(_) => {
                tracing::error!(error = %crate::report(&error), "upload failed");
                internal()
            }
        }
    }
}

impl From<RootError> for UploadError {
    fn from(error: RootError) -> Self {
        match error {
            RootError::Stored(error) => error.into(),
            RootError::Seal(error) => error.into(),
            RootError::Publish(error) => error.into(),
            RootError::Io(error) => error.into(),
            RootError::Objects(error) => error.into(),
        }
    }
}

impl From<AppendError> for UploadError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Gap { at, reached } => Self::Gap { at, reached },
            AppendError::Store(error) => Self::Range(error),
        }
    }
}
