//! What the server remembers, behind one trait.
//!
//! A method of [`Store`] is one whole act on the domain: it happens or it does not, whatever dies in between, and what it
//! reports as done survives a power cut. Rules that need what is stored (is the sender a member? does the file exist?)
//! are checked inside the act, so that two acts at once cannot slip past each other. Clock readings and new ids are
//! arguments.
//!
//! Backends live in folders of their own, with the same file names: [`sqlite`] and [`mongodb`]. Both pass the suite in
//! `conformance` unchanged. Nothing outside a backend's folder names its crate; [`open`] chooses.

pub mod archive;
pub mod chats;
#[cfg(test)]
pub(crate) mod conformance;
pub mod events;
pub mod files;
pub mod mailboxes;
pub mod messages;
pub mod mongodb;
pub mod news;
pub mod p2p;
pub mod relays;
pub mod sessions;
pub mod signals;
pub mod sqlite;
pub mod users;

use crate::settings::MongodbUri;
use async_trait::async_trait;
use chats::{AddMembers, Chat, ChatLine, NewGroup, RemoveMember};
use events::{Event, FanoutSink, Feed};
use files::{BeginUpload, Begun, CommitUpload, DeleteFile, File, Upload};
use hypersend_protocol::{
    chat::ChatPosition,
    id::{ChatId, Cursor, FileId, P2pId, Revision, Seq, SessionId, UserId},
    name::{DisplayName, Email},
    p2p::P2pSession,
    signal::SignalValue,
    time::UnixMillis,
};
use mailboxes::{Claim, KeyHash, Mailbox, NewMailbox, Opened};
use messages::{Append, DeleteMessage, Message, NewMessage};
use news::{Attempt, Duty, NewsStream, Node};
use p2p::{NewP2p, Offered, P2pChange, P2pChanged};
use relays::Relay;
use sessions::{Rotated, Rotation, Session};
use signals::{Holder, Place as SignalPlace, Register};
use std::{cmp::Ordering, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};
use users::{NewUser, PasswordHash, User};

/// The backend did not do what it was asked: nothing about the request was wrong.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, is shutting down, or its disk is full. Trying again later may help.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What it holds is not what this version wrote.
    #[error("the database holds {what}, which this version cannot read")]
    Corrupt {
        /// What was found.
        what: String,
    },
    /// It was written by a later version.
    #[error("the database has schema version {found}; this program knows up to {known}: install the newer version")]
    TooNew {
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// It is not of the kind that this program needs, or is not set up for it.
    #[error("{reason}")]
    Unfit {
        /// What is wrong, and what would be right.
        reason: String,
    },
}

/// What every method returns when the backend works.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Where the records are: which backend, and what it needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// SQLite, in this file.
    File(PathBuf),
    /// MongoDB, at this address.
    Mongodb(MongodbUri),
}

/// The versions of a database's schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Which one it had; 0 when it was empty.
    pub found: u32,
    /// Which one it has now: the one that this program knows.
    pub now: u32,
}

impl Migrated {
    /// Whether there is nothing to do; else what has to be done by whoever only reads.
    pub fn check(self) -> Result<()> {
        let Self { found, now: known } = self;
        match found.cmp(&known) {
            Ordering::Equal => Ok(()),
            Ordering::Greater => Err(StoreError::TooNew { found, known }),
            Ordering::Less => Err(StoreError::Unfit {
                reason: format!(
                    "the database has schema version {found}, and this program needs {known}: run `hypersend-server \
                     migrate` first"
                ),
            }),
        }
    }
}

/// Brings the database to the version that this program knows, as [`open`] does. What dies half-way goes on when it is done
/// again.
pub async fn migrate(place: &Place) -> Result<Migrated> {
    match place {
        Place::File(path) => sqlite::migrate(path).await,
        Place::Mongodb(uri) => mongodb::migrate(uri).await,
    }
}

/// What a database says of itself.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// What it is.
    pub kind: String,
    /// The version that it has, and the one that this program needs.
    pub version: Migrated,
    /// Its clock, when it has one of its own.
    pub clock: Option<UnixMillis>,
}

/// Looks at the database and changes nothing; `None` when it is yet to be made.
pub async fn inspect(place: &Place) -> Result<Option<Inspected>> {
    match place {
        Place::File(path) => sqlite::inspect(path).await,
        Place::Mongodb(uri) => mongodb::inspect(uri).await.map(Some),
    }
}

/// Opens the backend that the settings ask for.
///
/// `sink` is told of every committed act that concerns more than its caller; see [`FanoutSink`].
pub async fn open(place: &Place, sink: FanoutSink) -> Result<Arc<dyn Store>> {
    Ok(match place {
        Place::File(path) => Arc::new(sqlite::SqliteStore::open(path, sink).await?),
        Place::Mongodb(uri) => Arc::new(mongodb::MongodbStore::open(uri, sink).await?),
    })
}

/// The acts.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Makes an account; `false` when the email address has one already.
    async fn create_user(&self, user: NewUser) -> Result<bool>;
    /// The account with this id.
    async fn user(&self, id: UserId) -> Result<Option<User>>;
    /// The account with this email address.
    async fn user_by_email(&self, email: &Email) -> Result<Option<User>>;
    /// The accounts with these email addresses, in no order; addresses without one are left out.
    async fn users_by_email(&self, emails: &[Email]) -> Result<Vec<User>>;
    /// Replaces an account's password hash.
    async fn set_password_hash(&self, id: UserId, hash: PasswordHash) -> Result<()>;
    /// Replaces what others see of an account.
    async fn set_name(&self, id: UserId, name: DisplayName) -> Result<()>;

    /// Begins a session.
    async fn create_session(&self, session: Session) -> Result<()>;
    /// The session with this id, ended or not.
    async fn session(&self, id: SessionId) -> Result<Option<Session>>;
    /// Uses up a session's refresh token; ends the session when the token was used up before.
    async fn rotate_session(&self, rotation: Rotation) -> Result<Rotated>;
    /// A user's living sessions, newest first, older than `before`.
    async fn sessions_of(
        &self,
        user: UserId,
        before: Option<SessionId>,
        limit: u32,
        now: UnixMillis,
    ) -> Result<Vec<Session>>;
    /// Ends a user's session, once; `false` when they have none with this id.
    async fn end_session(&self, id: SessionId, user: UserId, now: UnixMillis) -> Result<bool>;
    /// Forgets sessions that ended or expired before this moment; says how many.
    async fn prune_sessions(&self, before: UnixMillis) -> Result<u64>;

    /// The direct chat of two different users; made with the given id if there is none.
    async fn open_direct(&self, me: UserId, peer: UserId, new: ChatId, now: UnixMillis) -> Result<Chat>;
    /// Makes a group, unless its owner made one with the same client id before: then that one is the answer.
    async fn create_group(&self, group: NewGroup) -> Result<Chat>;
    /// One chat with its members, to one of them; `None` to anybody else.
    async fn chat(&self, id: ChatId, viewer: UserId) -> Result<Option<Chat>>;
    /// A user's chats after a position, the most recently active first.
    async fn chats_of(&self, user: UserId, after: Option<ChatPosition>, limit: u32) -> Result<Vec<ChatLine>>;
    /// The ids of a user's chats, the newest ids first.
    async fn chat_ids_of(&self, user: UserId, limit: u32) -> Result<Vec<ChatId>>;
    /// Adds members to a group.
    async fn add_members(&self, chat: ChatId, by: UserId, users: &[UserId], now: UnixMillis) -> Result<AddMembers>;
    /// Takes a member out of a group; passes ownership on when the last owner goes.
    async fn remove_member(&self, chat: ChatId, by: UserId, user: UserId, now: UnixMillis) -> Result<RemoveMember>;
    /// Moves a member's read mark forward to `seq` or the chat's end; `None` when they are not a member, else where the
    /// mark stands now.
    async fn mark_read(&self, chat: ChatId, user: UserId, seq: Seq, now: UnixMillis) -> Result<Option<Seq>>;

    /// Gives a message the next number of its chat, unless its sender posted one with the same client id before.
    async fn append_message(&self, message: NewMessage) -> Result<Append>;
    /// Messages with numbers above `after`, oldest first.
    async fn messages_after(&self, chat: ChatId, after: Seq, limit: u32) -> Result<Vec<Message>>;
    /// Messages with numbers below `before` (or the newest), the newest `limit` of them, oldest first.
    async fn messages_before(&self, chat: ChatId, before: Option<Seq>, limit: u32) -> Result<Vec<Message>>;
    /// Messages changed in place after a revision, in the order of their changes.
    async fn messages_changed(&self, chat: ChatId, after: Revision, limit: u32) -> Result<Vec<Message>>;
    /// Replaces a message by a tombstone and takes back the access to its files that it gave.
    async fn delete_message(&self, chat: ChatId, seq: Seq, by: UserId, now: UnixMillis) -> Result<DeleteMessage>;

    /// Begins an upload, or finds the one with the same owner and key.
    async fn begin_upload(&self, upload: BeginUpload) -> Result<Begun>;
    /// An upload under way.
    async fn upload(&self, id: FileId) -> Result<Option<Upload>>;
    /// An upload of this owner under way, marked as resumed now; `None` when there is none.
    async fn resume_upload(&self, id: FileId, owner: UserId, now: UnixMillis) -> Result<Option<Upload>>;
    /// Turns an upload into a file; the same file when it is one already, `None` when there is neither.
    async fn commit_upload(&self, commit: CommitUpload) -> Result<Option<File>>;
    /// Forgets an upload under way and notes that what is stored of it has to go; `false` when there is none.
    async fn drop_upload(&self, id: FileId) -> Result<bool>;
    /// The same, when nobody has begun or resumed it since this moment.
    async fn drop_upload_if_stale(&self, id: FileId, before: UnixMillis) -> Result<bool>;
    /// Uploads under way that nobody has begun or resumed since this moment.
    async fn stale_uploads(&self, before: UnixMillis, limit: u32) -> Result<Vec<Upload>>;
    /// A file, to its owner or to a member of a chat in which it was posted; `None` to anybody else.
    async fn file(&self, id: FileId, viewer: UserId) -> Result<Option<File>>;
    /// The files that a user uploaded, newest first, older than `before`.
    async fn files_of(&self, owner: UserId, before: Option<FileId>, limit: u32) -> Result<Vec<File>>;
    /// Deletes a file for its owner, with its postings, and notes that what is stored of it has to go.
    async fn delete_file(&self, id: FileId, by: UserId) -> Result<DeleteFile>;
    /// Deleted files and dropped uploads of which something may still be stored, in the order of their ids, behind `after`.
    async fn removals(&self, after: Option<FileId>, limit: u32) -> Result<Vec<FileId>>;
    /// Forgets that what is stored of a file has to go: it has gone.
    async fn forget_removal(&self, id: FileId) -> Result<()>;

    /// Makes an offer from one member of a chat to another, unless its sender made one with the same client id before.
    async fn offer_p2p(&self, offer: NewP2p) -> Result<Offered>;
    /// A session, to either side; `None` to anybody else.
    async fn p2p_session(&self, id: P2pId, viewer: UserId) -> Result<Option<P2pSession>>;
    /// The sessions in which a user sends or receives, newest first, older than `before`.
    async fn p2p_sessions_of(&self, user: UserId, before: Option<P2pId>, limit: u32) -> Result<Vec<P2pSession>>;
    /// Changes a session, by the rules of [`P2pChange::apply`]; both sides hear of it.
    async fn change_p2p(&self, change: P2pChange) -> Result<P2pChanged>;
    /// Forgets sessions that have not changed since this moment; says how many.
    async fn prune_p2p(&self, before: UnixMillis) -> Result<u64>;

    /// Makes somebody the one who may set a register; gives its value.
    async fn open_signal(&self, place: SignalPlace, holder: Holder) -> Result<Option<SignalValue>>;
    /// Sets a register, or says again what it says so that it is not forgotten; `false` when somebody else opened it since.
    async fn set_signal(&self, place: SignalPlace, register: Register) -> Result<bool>;
    /// What a register says, if it was opened and is not forgotten.
    async fn signal(&self, place: SignalPlace) -> Result<Option<Register>>;

    /// Opens a mailbox, unless it was opened before with the same key.
    async fn open_mailbox(&self, new: NewMailbox) -> Result<Opened>;
    /// Uses a nameplate up, once; `None` when there is no mailbox with it, or somebody else has claimed it.
    async fn claim_mailbox(&self, claim: Claim) -> Result<Option<Mailbox>>;
    /// A mailbox as it is, to whoever asks.
    async fn mailbox(&self, id: P2pId, now: UnixMillis) -> Result<Option<Mailbox>>;
    /// A mailbox, to the side whose key this is and that holds it open: it lasts longer for that. `None`, and nothing is changed,
    /// when there is no such mailbox or the key is neither side's.
    async fn hold_mailbox(&self, id: P2pId, key: KeyHash, now: UnixMillis) -> Result<Option<Mailbox>>;
    /// Takes note that a side has left; `None` when there is no such mailbox.
    async fn leave_mailbox(&self, id: P2pId, now: UnixMillis) -> Result<Option<Mailbox>>;
    /// Forgets mailboxes whose time is over; says how many.
    async fn prune_mailboxes(&self, now: UnixMillis) -> Result<u64>;

    /// Takes note of a relay as it is now; it counts for so long from now.
    async fn put_relay(&self, relay: Relay, lasting: Duration) -> Result<()>;
    /// Relays that are there and have room, the least loaded first.
    async fn relays(&self, limit: u32) -> Result<Vec<Relay>>;

    /// A user's events after a cursor, oldest first.
    async fn events_after(&self, user: UserId, after: Cursor, limit: u32) -> Result<Feed<Vec<Event>>>;
    /// The cursor of a user's newest event.
    async fn feed_head(&self, user: UserId) -> Result<Cursor>;
    /// Forgets events from before this moment; says how many.
    async fn prune_events(&self, before: UnixMillis) -> Result<u64>;

    /// What other servers on these records do from now on; `None` where there cannot be any.
    async fn news(&self) -> Result<Option<NewsStream>>;
    /// Lets other servers know that a member is typing. It may get lost.
    async fn typing(&self, chat: ChatId, user: UserId) -> Result<()>;
    /// Lets other servers know who is connected to this one, and who no longer is; each user once.
    async fn set_present(&self, users: &[(UserId, bool)]) -> Result<()>;
    /// Who is connected to another server.
    async fn present_on(&self, node: Node) -> Result<Vec<UserId>>;
    /// Lets other servers know that this one will be there for so long from now; gives those of which it is known.
    async fn renew(&self, lasting: Duration) -> Result<Vec<Node>>;
    /// Lets other servers know that this one goes, and nobody is connected to it.
    async fn take_leave(&self) -> Result<()>;
    /// Forgets who was connected to servers that are no more; says how many.
    async fn prune_present(&self) -> Result<u64>;
    /// Counts an attempt among all servers; says how long to wait if there were too many. Where there is one server, it
    /// counts by itself, and this allows everything.
    async fn count_attempt(&self, attempt: Attempt, per_minute: NonZeroU32) -> Result<Option<Duration>>;
    /// Whether it is this server that does what one of them does: it is until so long from now, and no other before then.
    async fn lead(&self, duty: Duty, lasting: Duration) -> Result<bool>;
}
