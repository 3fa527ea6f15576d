//! How domain values are written in documents, and read back. Ids are UUIDs (binary, subtype 4), hashes plain binary,
//! moments dates, numbers 64 bits. A value that is read is checked again by its own type: what another version wrote and
//! this one refuses is corrupt.

use super::transaction::{Failure, Result};
use crate::store::StoreError;
use hypersend_protocol::{
    id::{ChatId, ClientId, FileId, P2pId, RelayId, SessionId, UserId},
    time::UnixMillis,
};
use mongodb::bson::{Binary, Bson, DateTime, Uuid, spec::BinarySubtype};

/// A domain value with a form in documents.
pub(super) trait Field: Sized {
    /// The form.
    type Form: Into<Bson>;
    /// Writes it.
    fn write(self) -> Self::Form;
    /// Reads it.
    fn read(form: Self::Form) -> Result<Self>;
}

macro_rules! ids {
    ($($name:ident)+) => {$(
        impl Field for $name {
            type Form = Uuid;

            fn write(self) -> Uuid {
                Uuid::from_bytes(self.0.into_bytes())
            }

            fn read(form: Uuid) -> Result<Self> {
                Ok(Self(uuid::Uuid::from_bytes(form.bytes())))
            }
        }
    )+};
}

ids! { UserId SessionId ChatId FileId P2pId RelayId ClientId }

/// BSON's integers end at 2^63 - 1. A larger number comes only from a peer who asks for what is after or before it, and no
/// stored number reaches the end: stopping there does not change the answer.
impl Field for u64 {
    type Form = i64;

    fn write(self) -> i64 {
        i64::try_from(self).unwrap_or(i64::MAX)
    }

    fn read(form: i64) -> Result<Self> {
        Self::try_from(form).map_err(|_| corrupt("a number below zero"))
    }
}

macro_rules! counters {
    ($($name:ident)+) => {$(
        impl Field for hypersend_protocol::id::$name {
            type Form = i64;

            fn write(self) -> i64 {
                self.0.write()
            }

            fn read(form: i64) -> Result<Self> {
                u64::read(form).map(Self)
            }
        }
    )+};
}

counters! { Seq Revision Cursor }

impl Field for UnixMillis {
    type Form = DateTime;

    fn write(self) -> DateTime {
        DateTime::from_millis(self.0.write())
    }

    fn read(form: DateTime) -> Result<Self> {
        u64::read(form.timestamp_millis()).map(Self)
    }
}

/// Writes a hash.
pub(super) fn write_hash(hash: [u8; 32]) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: hash.to_vec() }
}

/// Reads a hash.
pub(super) fn read_hash(form: Binary) -> Result<[u8; 32]> {
    form.bytes.try_into().map_err(|_| corrupt("a hash of another length"))
}

/// Reads what has to be parsed.
pub(super) fn read_text<T, E: std::fmt::Display>(
    text: &str,
    parse: fn(&str) -> std::result::Result<T, E>,
) -> Result<T> {
    parse(text).map_err(|error| corrupt(&format!("a text out of place ({error})")))
}

/// Reads what may be missing.
pub(super) fn maybe<T: Field>(form: Option<T::Form>) -> Result<Option<T>> {
    form.map(T::read).transpose()
}

/// What is said of a document that no act of this version writes.
pub(super) fn corrupt(what: &str) -> Failure {
    Failure::Store(StoreError::Corrupt { what: what.to_owned() })
}
