//! Why an act came to nothing, and what follows from it.

use super::transaction::PATIENCE;
use crate::store::StoreError;
use mongodb::error::{Error, ErrorKind, InsertManyError, TRANSIENT_TRANSACTION_ERROR, WriteFailure};

/// The database's code for a value that a unique index has already.
pub(super) const DUPLICATE_KEY: i32 = 11_000;

/// The database's code for a document that another transaction has written.
const WRITE_CONFLICT: i32 = 112;

/// What inner functions return.
pub(super) type Result<T> = std::result::Result<T, Failure>;

/// Why an act came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The database or the way to it.
    #[error(transparent)]
    Database(Error),
    /// A unique index has the value already.
    #[error("{0}")]
    Duplicate(String),
    /// What is said to callers already.
    #[error(transparent)]
    Store(StoreError),
    /// No answer for as long as anybody waits.
    #[error("no answer within {PATIENCE:?}")]
    Late,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if is_duplicate(&error) { Self::Duplicate(error.to_string()) } else { Self::Database(error) }
    }
}

impl From<mongodb::bson::error::Error> for Failure {
    fn from(error: mongodb::bson::error::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error,
            Failure::Duplicate(text) => Self::Unavailable(text.into()),
            Failure::Database(error) => match *error.kind {
                ErrorKind::BsonDeserialization(_) => {
                    Self::Corrupt { what: format!("a document out of place ({error})") }
                }
                _ => Self::Unavailable(error.into()),
            },
            late @ Failure::Late => Self::Unavailable(late.into()),
        }
    }
}

impl Failure {
    /// Whether this is what the database says, and not that nothing is heard of it.
    pub(super) fn is_answer(&self) -> bool {
        match self {
            Self::Duplicate(_) | Self::Store(_) => true,
            Self::Late => false,
            Self::Database(error) => matches!(
                *error.kind,
                ErrorKind::Write(_)
                    | ErrorKind::InsertMany(_)
                    | ErrorKind::Command(_)
                    | ErrorKind::BsonDeserialization(_)
                    | ErrorKind::BsonSerialization(_)
                    | ErrorKind::InvalidArgument { .. }
            ),
        }
    }

    /// Whether another transaction had written what this one was to write.
    pub(super) fn is_conflict(&self) -> bool {
        let Self::Database(error) = self else { return false };
        matches!(&*error.kind, ErrorKind::Command(error) if error.code == WRITE_CONFLICT)
    }

    /// Whether the database works, and does not take this act.
    pub(super) fn is_of_the_act(&self) -> bool {
        match self {
            Self::Duplicate(_) | Self::Store(StoreError::Corrupt { .. }) => true,
            Self::Store(_) | Self::Late => false,
            Self::Database(error) => self.is_answer() && !error.contains_label(TRANSIENT_TRANSACTION_ERROR),
        }
    }
}

fn is_duplicate(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::Write(WriteFailure::WriteError(error)) => error.code == DUPLICATE_KEY,
        ErrorKind::InsertMany(InsertManyError { write_errors: Some(errors), .. }) => {
            errors.iter().any(|error| error.code == DUPLICATE_KEY)
        }
        ErrorKind::Command(error) => error.code == DUPLICATE_KEY,
        _ => false,
    }
}
