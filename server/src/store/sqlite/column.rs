//! How domain values are written in columns, and read back. A value that is read is checked again by its own type: what
//! another version wrote and this one refuses is corrupt.

use crate::store::{StoreError, mailboxes::KeyHash, sessions::TokenHash, users::PasswordHash};
use hypersend_protocol::{
    chat::{ChatKind, Role},
    hash::{RootHash, UploadKey},
    id::{ChatId, ClientId, Cursor, FileId, P2pId, Revision, Seq, SessionId, UserId},
    mailbox::Nameplate,
    name::{ChatTitle, DisplayName, Email, FileName, MessageText},
    p2p::{P2pPath, P2pStatus},
    time::UnixMillis,
};
use rusqlite::{
    Error, Row, ToSql,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};
use uuid::Uuid;

/// A domain value in its column's form.
pub(super) struct Column<T>(pub(super) T);

/// Reads one column of a row as what the caller needs.
pub(super) fn get<T>(row: &Row<'_>, index: usize) -> rusqlite::Result<T>
where
    Column<T>: FromSql,
{
    row.get::<_, Column<T>>(index).map(|column| column.0)
}

/// The same, of a column that may be empty.
pub(super) fn maybe<T>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<T>>
where
    Column<T>: FromSql,
{
    row.get::<_, Option<Column<T>>>(index).map(|column| column.map(|column| column.0))
}

macro_rules! columns {
    ($($name:ident: $write:expr, $read:expr;)+) => {$(
        impl ToSql for Column<$name> {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                let write: fn(&$name) -> ToSqlOutput<'_> = $write;
                Ok(write(&self.0))
            }
        }

        impl FromSql for Column<$name> {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let read: fn(ValueRef<'_>) -> FromSqlResult<$name> = $read;
                read(value).map(Self)
            }
        }
    )+};
}

columns! {
    UserId: |id| write_id(&id.0), |value| read_id(value).map(UserId);
    SessionId: |id| write_id(&id.0), |value| read_id(value).map(SessionId);
    ChatId: |id| write_id(&id.0), |value| read_id(value).map(ChatId);
    P2pId: |id| write_id(&id.0), |value| read_id(value).map(P2pId);
    Uuid: write_id, read_id;
    FileId: |id| write_id(&id.0), |value| read_id(value).map(FileId);
    ClientId: |id| write_id(&id.0), |value| read_id(value).map(ClientId);

    TokenHash: |hash| write_hash(&hash.0), |value| read_hash(value).map(TokenHash);
    KeyHash: |hash| write_hash(&hash.0), |value| read_hash(value).map(KeyHash);
    RootHash: |hash| write_hash(&hash.0), |value| read_hash(value).map(RootHash);
    UploadKey: |hash| write_hash(&hash.0), |value| read_hash(value).map(UploadKey);

    u64: write_count, read_count;
    Seq: |seq| write_count(&seq.0), |value| read_count(value).map(Seq);
    Revision: |revision| write_count(&revision.0), |value| read_count(value).map(Revision);
    Cursor: |cursor| write_count(&cursor.0), |value| read_count(value).map(Cursor);
    Nameplate: |nameplate| nameplate.get().into(), |value| {
        let number = u32::try_from(read_count(value)?).map_err(|e| FromSqlError::Other(e.into()))?;
        Nameplate::new(number).map_err(|e| FromSqlError::Other(e.into()))
    };
    UnixMillis: |moment| write_count(&moment.0), |value| read_count(value).map(UnixMillis);

    Email: |text| text.as_str().into(), |value| read_text(value, Email::parse);
    DisplayName: |text| text.as_str().into(), |value| read_text(value, DisplayName::parse);
    ChatTitle: |text| text.as_str().into(), |value| read_text(value, ChatTitle::parse);
    FileName: |text| text.as_str().into(), |value| read_text(value, FileName::parse);
    MessageText: |text| text.as_str().into(), |value| read_text(value, MessageText::parse);
    PasswordHash: |hash| hash.0.as_str().into(), |value| Ok(PasswordHash(value.as_str()?.to_owned()));

    ChatKind: |kind| match kind {
        ChatKind::Direct => 0_i64.into(),
        ChatKind::Group => 1_i64.into(),
    }, |value| match value.as_i64()? {
        0 => Ok(ChatKind::Direct),
        1 => Ok(ChatKind::Group),
        other => Err(FromSqlError::OutOfRange(other)),
    };
    Role: |role| match role {
        Role::Member => 0_i64.into(),
        Role::Owner => 1_i64.into(),
    }, |value| match value.as_i64()? {
        0 => Ok(Role::Member),
        1 => Ok(Role::Owner),
        other => Err(FromSqlError::OutOfRange(other)),
    };
    P2pStatus: |status| match status {
        P2pStatus::Offered => 0_i64.into(),
        P2pStatus::Accepted => 1_i64.into(),
        P2pStatus::Declined => 2_i64.into(),
        P2pStatus::Cancelled => 3_i64.into(),
        P2pStatus::Finished => 4_i64.into(),
        P2pStatus::Failed => 5_i64.into(),
    }, |value| match value.as_i64()? {
        0 => Ok(P2pStatus::Offered),
        1 => Ok(P2pStatus::Accepted),
        2 => Ok(P2pStatus::Declined),
        3 => Ok(P2pStatus::Cancelled),
        4 => Ok(P2pStatus::Finished),
        5 => Ok(P2pStatus::Failed),
        other => Err(FromSqlError::OutOfRange(other)),
    };
    P2pPath: |path| match path {
        P2pPath::Direct => 0_i64.into(),
        P2pPath::Relayed => 1_i64.into(),
        P2pPath::Stored => 2_i64.into(),
    }, |value| match value.as_i64()? {
        0 => Ok(P2pPath::Direct),
        1 => Ok(P2pPath::Relayed),
        2 => Ok(P2pPath::Stored),
        other => Err(FromSqlError::OutOfRange(other)),
    };
}

fn write_id(id: &Uuid) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Blob(id.as_bytes()))
}

fn read_id(value: ValueRef<'_>) -> FromSqlResult<Uuid> {
    Uuid::from_slice(value.as_blob()?).map_err(|e| FromSqlError::Other(e.into()))
}

fn write_hash(hash: &[u8; 32]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Blob(hash))
}

fn read_hash(value: ValueRef<'_>) -> FromSqlResult<[u8; 32]> {
    value.as_blob()?.try_into().map_err(|_| FromSqlError::InvalidType)
}

/// SQLite's integers end at 2^63 - 1. A larger number comes only from a peer who asks for what is after or before it, and
/// no stored number reaches the end: stopping there does not change the answer.
fn write_count(count: &u64) -> ToSqlOutput<'_> {
    i64::try_from(*count).unwrap_or(i64::MAX).into()
}

fn read_count(value: ValueRef<'_>) -> FromSqlResult<u64> {
    let count = value.as_i64()?;
    u64::try_from(count).map_err(|_| FromSqlError::OutOfRange(count))
}

fn read_text<T, E>(value: ValueRef<'_>, parse: fn(&str) -> Result<T, E>) -> FromSqlResult<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    parse(value.as_str()?).map_err(|e| FromSqlError::Other(e.into()))
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::FromSqlConversionFailure(..) | Error::IntegralValueOutOfRange(..) | Error::InvalidColumnType(..) => {
                Self::Corrupt { what: format!("a value out of place ({error})") }
            }
            error => Self::Unavailable(error.into()),
        }
    }
}
