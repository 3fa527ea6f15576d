//! Accounts.

use super::{
    field::{Field, read_text},
    schema::{Collection, index},
    transaction::{Act, Result, Table},
};
use crate::store::users::{NewUser, PasswordHash, User};
use hypersend_protocol::{
    id::UserId,
    name::{DisplayName, Email},
};
use mongodb::{
    bson::{DateTime, Uuid, doc},
    options::FindOptions,
};
use serde::{Deserialize, Serialize};

/// Accounts. `uploads` counts the uploads that were begun, so that two of one owner at once cannot both take the last place.
pub(super) const USERS: Table<UserRow> = Table::new("users");

/// An account's document.
#[derive(Serialize, Deserialize)]
pub(super) struct UserRow {
    #[serde(rename = "_id")]
    pub(super) id: Uuid,
    pub(super) email: String,
    pub(super) name: String,
    pub(super) password_hash: String,
    pub(super) created: DateTime,
    pub(super) uploads: i64,
}

/// How the collection is to be.
pub(super) fn collection() -> Collection {
    let fields = [
        ("_id", "binData"),
        ("email", "string"),
        ("name", "string"),
        ("password_hash", "string"),
        ("created", "date"),
        ("uploads", "long"),
    ];
    Collection::new(&USERS, &fields, vec![index("users_by_email", doc! { "email": 1 }, doc! { "unique": true })])
}

impl UserRow {
    /// The account.
    pub(super) fn read(self) -> Result<User> {
        Ok(User {
            id: UserId::read(self.id)?,
            email: read_text(&self.email, Email::parse)?,
            name: read_text(&self.name, DisplayName::parse)?,
            password_hash: PasswordHash(self.password_hash),
            created: Field::read(self.created)?,
        })
    }
}

/// Makes an account and its empty feed; `false` when the email address has one already.
pub(super) async fn create(act: &mut Act, user: NewUser) -> Result<bool> {
    if by_email(act, &user.email).await?.is_some() {
        return Ok(false);
    }
    let row = UserRow {
        id: user.id.write(),
        email: user.email.as_str().to_owned(),
        name: user.name.as_str().to_owned(),
        password_hash: user.password_hash.0,
        created: user.now.write(),
        uploads: 0,
    };
    act.insert(&USERS, &[row]).await?;
    super::events::begin_feed(act, user.id).await?;
    Ok(true)
}

/// The account with this id.
pub(super) async fn by_id(act: &mut Act, id: UserId) -> Result<Option<User>> {
    act.one(&USERS, doc! { "_id": id.write() }).await?.map(UserRow::read).transpose()
}

/// The accounts with these ids, in no order.
pub(super) async fn by_ids(act: &mut Act, ids: impl Iterator<Item = UserId>) -> Result<Vec<User>> {
    let ids: Vec<Uuid> = ids.map(Field::write).collect();
    let rows = act.all(&USERS, doc! { "_id": { "$in": ids } }, FindOptions::default()).await?;
    rows.into_iter().map(UserRow::read).collect()
}

/// The account with this email address.
pub(super) async fn by_email(act: &mut Act, email: &Email) -> Result<Option<User>> {
    act.one(&USERS, doc! { "email": email.as_str() }).await?.map(UserRow::read).transpose()
}

/// The accounts with these email addresses.
pub(super) async fn by_emails(act: &mut Act, emails: &[Email]) -> Result<Vec<User>> {
    let emails: Vec<&str> = emails.iter().map(Email::as_str).collect();
    let rows = act.all(&USERS, doc! { "email": { "$in": emails } }, FindOptions::default()).await?;
    rows.into_iter().map(UserRow::read).collect()
}

/// Replaces an account's password hash.
pub(super) async fn set_password_hash(act: &mut Act, id: UserId, hash: PasswordHash) -> Result<()> {
    act.update(&USERS, doc! { "_id": id.write() }, doc! { "$set": { "password_hash": hash.0 } }).await?;
    Ok(())
}

/// Replaces what others see of an account.
pub(super) async fn set_name(act: &mut Act, id: UserId, name: DisplayName) -> Result<()> {
    act.update(&USERS, doc! { "_id": id.write() }, doc! { "$set": { "name": name.as_str() } }).await?;
    Ok(())
}

/// Takes the turn among an owner's uploads: of two acts that do so at once, one begins again and sees what the other did.
pub(super) async fn take_upload_turn(act: &mut Act, id: UserId) -> Result<()> {
    act.update(&USERS, doc! { "_id": id.write() }, doc! { "$inc": { "uploads": 1_i64 } }).await?;
    Ok(())
}
