//! Accounts.

use super::{
    column::{Column, get},
    connection::{one, run},
    writer::Act,
};
use crate::store::{
    Result,
    users::{NewUser, PasswordHash, User},
};
use hypersend_protocol::{
    id::UserId,
    name::{DisplayName, Email},
};
use rusqlite::{Connection, Row, params};

/// Makes an account and its empty feed; `false` when the email address has one already.
pub(super) fn create(act: &mut Act<'_>, user: NewUser) -> Result<bool> {
    let made = run(
        act.db,
        "INSERT INTO users (id, email, name, password_hash, created) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (email) DO NOTHING",
        params![Column(user.id), Column(user.email), Column(user.name), Column(user.password_hash), Column(user.now)],
    )?;
    if made == 0 {
        return Ok(false);
    }
    run(act.db, "INSERT INTO feeds (user_id) VALUES (?1)", [Column(user.id)])?;
    Ok(true)
}

/// The account with this id.
pub(super) fn by_id(db: &Connection, id: UserId) -> Result<Option<User>> {
    one(db, "SELECT id, email, name, password_hash, created FROM users WHERE id = ?1", [Column(id)], read)
}

/// The account with this email address.
pub(super) fn by_email(db: &Connection, email: &Email) -> Result<Option<User>> {
    let sql = "SELECT id, email, name, password_hash, created FROM users WHERE email = ?1";
    one(db, sql, [email.as_str()], read)
}

/// The accounts with these email addresses.
pub(super) fn by_emails(db: &Connection, emails: &[Email]) -> Result<Vec<User>> {
    emails.iter().filter_map(|email| by_email(db, email).transpose()).collect()
}

/// Replaces an account's password hash.
pub(super) fn set_password_hash(act: &mut Act<'_>, id: UserId, hash: PasswordHash) -> Result<()> {
    run(act.db, "UPDATE users SET password_hash = ?2 WHERE id = ?1", params![Column(id), Column(hash)])?;
    Ok(())
}

/// Replaces what others see of an account.
pub(super) fn set_name(act: &mut Act<'_>, id: UserId, name: DisplayName) -> Result<()> {
    run(act.db, "UPDATE users SET name = ?2 WHERE id = ?1", params![Column(id), Column(name)])?;
    Ok(())
}

/// Reads an account from the columns of the queries above.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: get(row, 0)?,
        email: get(row, 1)?,
        name: get(row, 2)?,
        password_hash: get(row, 3)?,
        created: get(row, 4)?,
    })
}
