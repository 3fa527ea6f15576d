//! What goes wrong with either root.

use crate::objects::ObjectsError;
use hypersend_transfer::{
    folder::{PublishError, SealError},
    stored::StoredError,
};
use std::io;

/// A root did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The file's folder is missing or damaged.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// The upload is not complete, or not what it should be.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The upload's folder cannot be moved.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bucket failed.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
}
