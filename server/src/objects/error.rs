//! What goes wrong with a bucket, and what a client is told of it.

use crate::services::internal;
use hypersend_protocol::{
    id::FileId,
    refusal::{ErrorCode, Refusal},
};
use object_store::Error;
use std::time::Duration;

/// When a client is to come again: what a bucket needs that is slow for a moment.
pub(super) const COME_AGAIN: Duration = Duration::from_secs(2);

/// The bucket was not used.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// The settings fit no bucket.
    #[error("set up the bucket; check the OBJECTS_ settings")]
    Setup(#[source] Error),
    /// It does not answer, or refuses.
    #[error("use the bucket; hypersend-server doctor tries it out")]
    Unavailable(#[source] Error),
    /// An object is not what was put.
    #[error("file {file} is damaged in the bucket: {what}")]
    Damaged {
        /// The file.
        file: FileId,
        /// What is wrong.
        what: String,
    },
}

impl From<Error> for ObjectsError {
    fn from(error: Error) -> Self {
        Self::Unavailable(error)
    }
}

impl From<&ObjectsError> for Refusal {
    fn from(error: &ObjectsError) -> Self {
        tracing::error!(error = %crate::report(error), "bucket failed");
        match error {
            ObjectsError::Unavailable(_) => {
                Self::new(ErrorCode::Unavailable, "the server's file storage does not answer; try again in a moment")
                    .with_retry_after(COME_AGAIN)
            }
            ObjectsError::Setup(_) | ObjectsError::Damaged { .. } => internal(),
        }
    }
}

/// Whether there is no such object. That there is no such bucket has the same status, and only the answer's text tells.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && !crate::report(error).contains("NoSuchBucket")
}
