//! Migrations. `PRAGMA user_version` says how many of them a database has seen; each runs once, in a transaction that also
//! raises the version. They only go forward, and one that was released is never changed.

use crate::store::{Migrated, Result, StoreError};
use rusqlite::{Connection, TransactionBehavior};

/// The migrations, in order. The version is how many of them have run.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_logins_and_removals.sql"),
    include_str!("migrations/0003_p2p.sql"),
    include_str!("migrations/0004_mailboxes.sql"),
];

/// Brings a database to the version that this program knows.
pub(super) fn migrate(db: &mut Connection) -> Result<Migrated> {
    migrate_by(db, MIGRATIONS)
}

/// Runs those of the migrations that the database has not seen.
pub(super) fn migrate_by(db: &mut Connection, migrations: &[&str]) -> Result<Migrated> {
    let known = version_of(migrations);
    let mut first = None;
    loop {
        // The version is read inside, so that two programs starting at once do not both run the same migration.
        let step = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = found(&step)?;
        if found > known {
            return Err(StoreError::TooNew { found, known });
        }
        let first = *first.get_or_insert(found);
        let Some(sql) = migrations.get(found as usize) else { return Ok(Migrated { found: first, now: found }) };
        step.execute_batch(sql)?;
        step.pragma_update(None, "user_version", found + 1)?;
        step.commit()?;
        tracing::info!(version = found + 1, "database migrated");
    }
}

/// The version that a database has, and the one that this program knows.
pub(super) fn versions(db: &Connection) -> Result<Migrated> {
    Ok(Migrated { found: found(db)?, now: version_of(MIGRATIONS) })
}

fn found(db: &Connection) -> Result<u32> {
    Ok(db.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn version_of(migrations: &[&str]) -> u32 {
    u32::try_from(migrations.len()).expect("there are few migrations")
}
