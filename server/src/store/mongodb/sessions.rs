//! Sessions. The rule of rotation is the domain's; here it is carried out in a transaction, so that a token presented by
//! many at once has one successor.

use super::{
    field::{Field, maybe, read_hash, write_hash},
    schema::{Collection, index},
    transaction::{Act, Result, Table},
};
use crate::store::sessions::{Rotated, Rotation, Session, TokenHash};
use hypersend_protocol::{
    id::{SessionId, UserId},
    time::UnixMillis,
};
use mongodb::{
    bson::{Binary, DateTime, Uuid, doc},
    options::FindOptions,
};
use serde::{Deserialize, Serialize};

/// Sessions. `over` is when they ended or expire, whichever is sooner.
pub(super) const SESSIONS: Table<SessionRow> = Table::new("sessions");

/// When the database itself forgets a session that is over: as late as the janitor does, so that its tokens are refused for
/// the right reason until then.
const KEPT_SECONDS: i64 = 30 * 24 * 60 * 60;

/// A session's document.
#[derive(Serialize, Deserialize)]
pub(super) struct SessionRow {
    #[serde(rename = "_id")]
    pub(super) id: Uuid,
    user: Uuid,
    agent: String,
    created: DateTime,
    current: Binary,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Binary>,
    rotated: DateTime,
    expires: DateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<DateTime>,
    over: DateTime,
}

/// How the collection is to be.
pub(super) fn collection() -> Collection {
    let fields = [
        ("_id", "binData"),
        ("user", "binData"),
        ("agent", "string"),
        ("created", "date"),
        ("current", "binData"),
        ("previous?", "binData"),
        ("rotated", "date"),
        ("expires", "date"),
        ("ended?", "date"),
        ("over", "date"),
    ];
    let indexes = vec![
        index("sessions_by_user", doc! { "user": 1, "_id": 1 }, doc! {}),
        index("sessions_by_end", doc! { "over": 1 }, doc! { "expireAfterSeconds": KEPT_SECONDS }),
    ];
    Collection::new(&SESSIONS, &fields, indexes)
}

impl From<&Session> for SessionRow {
    fn from(session: &Session) -> Self {
        let expires = session.expires.write();
        let ended = session.ended.map(Field::write);
        Self {
            id: session.id.write(),
            user: session.user.write(),
            agent: session.agent.clone(),
            created: session.created.write(),
            current: write_hash(session.current.0),
            previous: session.previous.map(|token| write_hash(token.0)),
            rotated: session.rotated.write(),
            expires,
            ended,
            over: ended.map_or(expires, |ended| ended.min(expires)),
        }
    }
}

impl SessionRow {
    /// The session.
    pub(super) fn read(self) -> Result<Session> {
        Ok(Session {
            id: Field::read(self.id)?,
            user: Field::read(self.user)?,
            agent: self.agent,
            created: Field::read(self.created)?,
            current: read_hash(self.current).map(TokenHash)?,
            previous: self.previous.map(read_hash).transpose()?.map(TokenHash),
            rotated: Field::read(self.rotated)?,
            expires: Field::read(self.expires)?,
            ended: maybe(self.ended)?,
        })
    }
}

/// Begins a session.
pub(super) async fn create(act: &mut Act, session: Session) -> Result<()> {
    act.insert(&SESSIONS, &[SessionRow::from(&session)]).await
}

/// The session with this id, ended or not.
pub(super) async fn by_id(act: &mut Act, id: SessionId) -> Result<Option<Session>> {
    act.one(&SESSIONS, doc! { "_id": id.write() }).await?.map(SessionRow::read).transpose()
}

/// A user's living sessions, newest first, older than `before`.
pub(super) async fn of(
    act: &mut Act,
    user: UserId,
    before: Option<SessionId>,
    limit: u32,
    now: UnixMillis,
) -> Result<Vec<Session>> {
    let mut filter = doc! { "user": user.write(), "ended": null, "expires": { "$gt": now.write() } };
    if let Some(before) = before {
        filter.insert("_id", doc! { "$lt": before.write() });
    }
    let options = FindOptions::builder().sort(doc! { "_id": -1 }).limit(i64::from(limit)).build();
    act.all(&SESSIONS, filter, options).await?.into_iter().map(SessionRow::read).collect()
}

/// Uses up a refresh token, or ends the session of one that was used up before.
pub(super) async fn rotate(act: &mut Act, rotation: Rotation) -> Result<Rotated> {
    let Some(session) = by_id(act, rotation.session).await? else { return Ok(Rotated::Ended) };
    let outcome = session.rotate(&rotation);
    match &outcome {
        Rotated::Fresh(session) => replace(act, session).await?,
        Rotated::Reused => {
            end(act, session.id, session.user, rotation.now).await?;
        }
        Rotated::Ended => {}
    }
    Ok(outcome)
}

/// Ends a user's session, once; `false` when they have none with this id.
pub(super) async fn end(act: &mut Act, id: SessionId, user: UserId, now: UnixMillis) -> Result<bool> {
    match by_id(act, id).await? {
        Some(session) if session.user == user => {
            if session.ended.is_none() {
                replace(act, &Session { ended: Some(now), ..session }).await?;
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

async fn replace(act: &mut Act, session: &Session) -> Result<()> {
    let row = SessionRow::from(session);
    let mut set = doc! { "current": row.current, "rotated": row.rotated, "expires": row.expires, "over": row.over };
    set.extend(row.previous.map(|previous| ("previous".to_owned(), previous.into())));
    set.extend(row.ended.map(|ended| ("ended".to_owned(), ended.into())));
    act.update(&SESSIONS, doc! { "_id": row.id }, doc! { "$set": set }).await?;
    Ok(())
}

/// Forgets sessions that ended or expired before this moment; says how many.
pub(super) async fn prune(act: &mut Act, before: UnixMillis) -> Result<u64> {
    act.delete(&SESSIONS, doc! { "over": { "$lt": before.write() } }).await
}
