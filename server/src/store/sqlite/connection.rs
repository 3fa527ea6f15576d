//! How connections are opened, and how statements are run on them.

use crate::store::{Result, StoreError};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Row, config::DbConfig};
use std::{
    fs::{DirBuilder, OpenOptions},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

/// How long a statement waits for a lock that another program holds (a backup, the `sqlite3` shell).
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Prepared statements kept by each connection: more than there are in this folder.
const STATEMENTS: usize = 128;

/// Page cache of the writer. What it does not hold, the kernel's cache usually does.
const WRITER_CACHE_KIB: i64 = 8 << 10;

/// Page cache of each reader.
const READER_CACHE_KIB: i64 = 2 << 10;

/// Pages that gather in the write-ahead log before they are carried into the database: 16 MiB, so that a page changed by
/// many acts is carried once.
const CHECKPOINT_PAGES: i64 = 4_096;

/// What is kept of a write-ahead log that has grown beyond its checkpoint, in bytes.
const LOG_KEPT: i64 = 64 << 20;

/// Opens the connection that changes the database; makes the file, readable by its owner only, when there is none.
pub(super) fn open_writer(path: &Path) -> Result<Connection> {
    make_file(path).map_err(|e| StoreError::Unavailable(e.into()))?;
    let db = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, WRITER_CACHE_KIB)?;
    db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    // Every commit is synced: what was reported as done survives a power cut. Group commit pays for it.
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT_PAGES, |_| Ok(()))?;
    db.pragma_update_and_check(None, "journal_size_limit", LOG_KEPT, |_| Ok(()))?;
    Ok(db)
}

/// Opens a connection that only reads. The writer must be open: it makes the files that WAL mode needs.
pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    let db = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, READER_CACHE_KIB)?;
    db.pragma_update(None, "query_only", true)?;
    Ok(db)
}

/// Opens a database that is there, whoever else has it open, to look at it.
pub(super) fn open_existing(path: &Path) -> Result<Connection> {
    // In WAL mode who reads takes part in the log, and may have to make it.
    open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, READER_CACHE_KIB)
}

fn open(path: &Path, mode: OpenFlags, cache_kib: i64) -> Result<Connection> {
    // Each connection is used by one thread at a time, so SQLite's own mutexes are left out.
    let db = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    #[cfg(test)]
    let db = super::plan_tests::recorded(db);
    // Plans must not depend on the values bound: else SQLite prepares many a statement anew for every run of it.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.busy_timeout(LOCK_PATIENCE)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.pragma_update(None, "temp_store", "memory")?;
    db.pragma_update(None, "cache_size", -cache_kib)?;
    Ok(db)
}

/// SQLite gives the files beside the database the database's own mode.
fn make_file(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    Ok(())
}

/// Runs a statement; says how many rows it changed.
pub(super) fn run(db: &Connection, sql: &str, values: impl Params) -> Result<usize> {
    Ok(db.prepare_cached(sql)?.execute(values)?)
}

/// The first row, if there is one.
pub(super) fn one<T>(
    db: &Connection,
    sql: &str,
    values: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>> {
    Ok(db.prepare_cached(sql)?.query_row(values, read).optional()?)
}

/// Every row.
pub(super) fn all<T>(
    db: &Connection,
    sql: &str,
    values: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    Ok(db.prepare_cached(sql)?.query_map(values, read)?.collect::<rusqlite::Result<_>>()?)
}
