//! The backend itself: how each act is run.

use super::{
    batch::{Outcome, Wish},
    chats,
    connection::{COMMAND, SERVER, connect},
    events,
    field::Field,
    files, mailboxes, members, messages, news, p2p, peers, presence, relays, schema, sessions, signals,
    transaction::{self, Act, FORGOTTEN, Failure, deadline, see_through, transact, within},
    users,
    writer::Writer,
};
use crate::settings::MongodbUri;
use crate::store::{
    Inspected, Migrated, Result, Store,
    chats::{AddMembers, Chat, ChatLine, NewGroup, RemoveMember},
    events::{Event, FanoutSink, Feed},
    files::{BeginUpload, Begun, CommitUpload, DeleteFile, File, Upload},
    mailboxes::{Claim, KeyHash, Mailbox, NewMailbox, Opened},
    messages::{Append, DeleteMessage, Message, NewMessage},
    news::{Attempt, Duty, NewsStream, Node},
    p2p::{NewP2p, Offered, P2pChange, P2pChanged},
    relays::Relay,
    sessions::{Rotated, Rotation, Session},
    signals::{Holder, Place, Register},
    users::{NewUser, PasswordHash, User},
};
use async_trait::async_trait;
use futures::future::BoxFuture;
use hypersend_protocol::{
    chat::ChatPosition,
    id::{ChatId, Cursor, FileId, P2pId, Revision, Seq, SessionId, UserId},
    name::{DisplayName, Email},
    p2p::P2pSession,
    signal::SignalValue,
    time::UnixMillis,
};
use mongodb::{
    Database,
    bson::doc,
    event::{EventHandler, command::CommandEvent},
};
use std::{num::NonZeroU32, time::Duration};
use tokio::time::timeout;

/// A store in one database of a replica set. Dropping it finishes the posts under way.
pub struct MongodbStore {
    db: Database,
    node: Node,
    writer: Writer,
}

impl MongodbStore {
    /// Connects to the database, makes sure that it will do, and brings it to the version that this program knows.
    pub async fn open(uri: &MongodbUri, sink: FanoutSink) -> Result<Self> {
        Self::open_watched(uri, sink, None).await
    }

    /// The same, with everything that is asked of the database shown to a watcher.
    pub(super) async fn open_watched(
        uri: &MongodbUri,
        sink: FanoutSink,
        watcher: Option<EventHandler<CommandEvent>>,
    ) -> Result<Self> {
        let db = connect(uri, SERVER, watcher).await?;
        schema::prepare(&db).await?;
        let node = peers::new_node();
        Ok(Self { writer: Writer::start(db.clone(), node, sink), node, db })
    }

    /// What an act that only reads is run on.
    fn reading(&self) -> Act {
        Act::reading(&self.db)
    }

    /// Runs such an act.
    async fn read<T>(&self, act: impl Future<Output = transaction::Result<T>>) -> Result<T> {
        Ok(within(act).await?)
    }

    /// Runs an act that changes something and goes into no feed.
    async fn act<T, F>(&self, act: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a> FnMut(&'a mut Act) -> BoxFuture<'a, transaction::Result<T>> + Send + 'static,
    {
        let db = self.db.clone();
        see_through(async move {
            // Many may be under way, so none is seen to for longer than it can be in somebody's way.
            let done = timeout(FORGOTTEN, transact(&db, deadline(), act)).await;
            Ok(done.map_err(|_| Failure::Late)??.0)
        })
        .await
    }
}

/// Brings the database to the version that this program knows.
pub(in crate::store) async fn migrate(uri: &MongodbUri) -> Result<Migrated> {
    schema::prepare(&connect(uri, COMMAND, None).await?).await
}

/// What a database says of itself.
pub(in crate::store) async fn inspect(uri: &MongodbUri) -> Result<Inspected> {
    let db = connect(uri, COMMAND, None).await?;
    let version = schema::versions(&db).await?;
    let hello = db.run_command(doc! { "hello": 1 }).await.map_err(Failure::from)?;
    let clock = hello.get_datetime("localTime").ok().map(|&now| Field::read(now)).transpose()?;
    let set = hello.get_str("setName").map_or_else(|_| "a router".to_owned(), |set| format!("replica set {set}"));
    Ok(Inspected { kind: format!("MongoDB, {set}, database {}", db.name()), version, clock })
}

#[async_trait]
impl Store for MongodbStore {
    async fn create_user(&self, user: NewUser) -> Result<bool> {
        self.act(move |act| Box::pin(users::create(act, user.clone()))).await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        self.read(users::by_id(&mut self.reading(), id)).await
    }

    async fn user_by_email(&self, email: &Email) -> Result<Option<User>> {
        self.read(users::by_email(&mut self.reading(), email)).await
    }

    async fn users_by_email(&self, emails: &[Email]) -> Result<Vec<User>> {
        self.read(users::by_emails(&mut self.reading(), emails)).await
    }

    async fn set_password_hash(&self, id: UserId, hash: PasswordHash) -> Result<()> {
        self.act(move |act| Box::pin(users::set_password_hash(act, id, hash.clone()))).await
    }

    async fn set_name(&self, id: UserId, name: DisplayName) -> Result<()> {
        self.act(move |act| Box::pin(users::set_name(act, id, name.clone()))).await
    }

    async fn create_session(&self, session: Session) -> Result<()> {
        self.act(move |act| Box::pin(sessions::create(act, session.clone()))).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>> {
        self.read(sessions::by_id(&mut self.reading(), id)).await
    }

    async fn rotate_session(&self, rotation: Rotation) -> Result<Rotated> {
        self.act(move |act| Box::pin(sessions::rotate(act, rotation))).await
    }

    async fn sessions_of(
        &self,
        user: UserId,
        before: Option<SessionId>,
        limit: u32,
        now: UnixMillis,
    ) -> Result<Vec<Session>> {
        self.read(sessions::of(&mut self.reading(), user, before, limit, now)).await
    }

    async fn end_session(&self, id: SessionId, user: UserId, now: UnixMillis) -> Result<bool> {
        self.act(move |act| Box::pin(sessions::end(act, id, user, now))).await
    }

    async fn prune_sessions(&self, before: UnixMillis) -> Result<u64> {
        self.act(move |act| Box::pin(sessions::prune(act, before))).await
    }

    async fn open_direct(&self, me: UserId, peer: UserId, new: ChatId, now: UnixMillis) -> Result<Chat> {
        self.writer.act(move |act| Box::pin(chats::open_direct(act, me, peer, new, now))).await
    }

    async fn create_group(&self, group: NewGroup) -> Result<Chat> {
        self.writer.act(move |act| Box::pin(chats::create_group(act, group.clone()))).await
    }

    async fn chat(&self, id: ChatId, viewer: UserId) -> Result<Option<Chat>> {
        self.read(chats::to_viewer(&mut self.reading(), id, viewer)).await
    }

    async fn chats_of(&self, user: UserId, after: Option<ChatPosition>, limit: u32) -> Result<Vec<ChatLine>> {
        self.read(chats::of(&mut self.reading(), user, after, limit)).await
    }

    async fn chat_ids_of(&self, user: UserId, limit: u32) -> Result<Vec<ChatId>> {
        self.read(chats::ids_of(&mut self.reading(), user, limit)).await
    }

    async fn add_members(&self, chat: ChatId, by: UserId, users: &[UserId], now: UnixMillis) -> Result<AddMembers> {
        let users = users.to_vec();
        self.writer.act(move |act| Box::pin(members::add(act, chat, by, users.clone(), now))).await
    }

    async fn remove_member(&self, chat: ChatId, by: UserId, user: UserId, now: UnixMillis) -> Result<RemoveMember> {
        self.writer.act(move |act| Box::pin(members::remove(act, chat, by, user, now))).await
    }

    async fn mark_read(&self, chat: ChatId, user: UserId, seq: Seq, now: UnixMillis) -> Result<Option<Seq>> {
        match self.writer.wish(Wish::Mark { chat, user, seq, now }).await? {
            Outcome::Mark(mark) => Ok(mark),
            Outcome::Post(_) => unreachable!("a mark is answered as one"),
        }
    }

    async fn append_message(&self, message: NewMessage) -> Result<Append> {
        match self.writer.wish(Wish::Post(message)).await? {
            Outcome::Post(append) => Ok(append),
            Outcome::Mark(_) => unreachable!("a post is answered as one"),
        }
    }

    async fn messages_after(&self, chat: ChatId, after: Seq, limit: u32) -> Result<Vec<Message>> {
        self.read(messages::after(&mut self.reading(), chat, after, limit)).await
    }

    async fn messages_before(&self, chat: ChatId, before: Option<Seq>, limit: u32) -> Result<Vec<Message>> {
        self.read(messages::before(&mut self.reading(), chat, before, limit)).await
    }

    async fn messages_changed(&self, chat: ChatId, after: Revision, limit: u32) -> Result<Vec<Message>> {
        self.read(messages::changed(&mut self.reading(), chat, after, limit)).await
    }

    async fn delete_message(&self, chat: ChatId, seq: Seq, by: UserId, now: UnixMillis) -> Result<DeleteMessage> {
        self.writer.act(move |act| Box::pin(messages::delete(act, chat, seq, by, now))).await
    }

    async fn begin_upload(&self, upload: BeginUpload) -> Result<Begun> {
        self.act(move |act| Box::pin(files::begin(act, upload.clone()))).await
    }

    async fn upload(&self, id: FileId) -> Result<Option<Upload>> {
        self.read(files::upload(&mut self.reading(), id)).await
    }

    async fn resume_upload(&self, id: FileId, owner: UserId, now: UnixMillis) -> Result<Option<Upload>> {
        self.act(move |act| Box::pin(files::resume(act, id, owner, now))).await
    }

    async fn commit_upload(&self, commit: CommitUpload) -> Result<Option<File>> {
        self.act(move |act| Box::pin(files::commit(act, commit))).await
    }

    async fn drop_upload(&self, id: FileId) -> Result<bool> {
        self.act(move |act| Box::pin(files::drop_upload(act, id))).await
    }

    async fn drop_upload_if_stale(&self, id: FileId, before: UnixMillis) -> Result<bool> {
        self.act(move |act| Box::pin(files::drop_if_stale(act, id, before))).await
    }

    async fn stale_uploads(&self, before: UnixMillis, limit: u32) -> Result<Vec<Upload>> {
        self.read(files::stale(&mut self.reading(), before, limit)).await
    }

    async fn file(&self, id: FileId, viewer: UserId) -> Result<Option<File>> {
        self.read(files::to_viewer(&mut self.reading(), id, viewer)).await
    }

    async fn files_of(&self, owner: UserId, before: Option<FileId>, limit: u32) -> Result<Vec<File>> {
        self.read(files::of(&mut self.reading(), owner, before, limit)).await
    }

    async fn delete_file(&self, id: FileId, by: UserId) -> Result<DeleteFile> {
        self.act(move |act| Box::pin(files::delete(act, id, by))).await
    }

    async fn removals(&self, after: Option<FileId>, limit: u32) -> Result<Vec<FileId>> {
        self.read(files::removals(&mut self.reading(), after, limit)).await
    }

    async fn forget_removal(&self, id: FileId) -> Result<()> {
        self.act(move |act| Box::pin(files::forget_removal(act, id))).await
    }

    async fn offer_p2p(&self, offer: NewP2p) -> Result<Offered> {
        self.writer.act(move |act| Box::pin(p2p::offer(act, offer.clone()))).await
    }

    async fn p2p_session(&self, id: P2pId, viewer: UserId) -> Result<Option<P2pSession>> {
        self.read(p2p::to_viewer(&mut self.reading(), id, viewer)).await
    }

    async fn p2p_sessions_of(&self, user: UserId, before: Option<P2pId>, limit: u32) -> Result<Vec<P2pSession>> {
        self.read(p2p::of(&mut self.reading(), user, before, limit)).await
    }

    async fn change_p2p(&self, change: P2pChange) -> Result<P2pChanged> {
        self.writer.act(move |act| Box::pin(p2p::change(act, change))).await
    }

    async fn prune_p2p(&self, before: UnixMillis) -> Result<u64> {
        self.act(move |act| Box::pin(p2p::prune(act, before))).await
    }

    async fn open_signal(&self, place: Place, holder: Holder) -> Result<Option<SignalValue>> {
        self.read(signals::open(&self.db, self.node, place, holder)).await
    }

    async fn set_signal(&self, place: Place, register: Register) -> Result<bool> {
        self.read(signals::set(&self.db, self.node, place, register)).await
    }

    async fn signal(&self, place: Place) -> Result<Option<Register>> {
        self.read(signals::get(&mut self.reading(), place)).await
    }

    async fn open_mailbox(&self, new: NewMailbox) -> Result<Opened> {
        self.act(move |act| Box::pin(mailboxes::open(act, new))).await
    }

    async fn claim_mailbox(&self, claim: Claim) -> Result<Option<Mailbox>> {
        self.act(move |act| Box::pin(mailboxes::claim(act, claim))).await
    }

    async fn mailbox(&self, id: P2pId, now: UnixMillis) -> Result<Option<Mailbox>> {
        self.read(mailboxes::by_id(&mut self.reading(), id, now)).await
    }

    async fn hold_mailbox(&self, id: P2pId, key: KeyHash, now: UnixMillis) -> Result<Option<Mailbox>> {
        self.act(move |act| Box::pin(mailboxes::hold(act, id, key, now))).await
    }

    async fn leave_mailbox(&self, id: P2pId, now: UnixMillis) -> Result<Option<Mailbox>> {
        self.act(move |act| Box::pin(mailboxes::leave(act, id, now))).await
    }

    async fn prune_mailboxes(&self, now: UnixMillis) -> Result<u64> {
        self.act(move |act| Box::pin(mailboxes::prune(act, now))).await
    }

    async fn put_relay(&self, relay: Relay, lasting: Duration) -> Result<()> {
        self.read(relays::put(&self.db, relay, lasting)).await
    }

    async fn relays(&self, limit: u32) -> Result<Vec<Relay>> {
        self.read(relays::list(&mut self.reading(), limit)).await
    }

    async fn events_after(&self, user: UserId, after: Cursor, limit: u32) -> Result<Feed<Vec<Event>>> {
        self.read(events::after(&mut self.reading(), user, after, limit)).await
    }

    async fn feed_head(&self, user: UserId) -> Result<Cursor> {
        self.read(events::head(&mut self.reading(), user)).await
    }

    async fn prune_events(&self, before: UnixMillis) -> Result<u64> {
        let mut pruned = 0;
        // In pieces, so that other acts come between.
        while let Some(more) = self.writer.act(move |act| Box::pin(events::prune(act, before))).await? {
            pruned += more;
        }
        Ok(pruned)
    }

    async fn news(&self) -> Result<Option<NewsStream>> {
        self.read(news::follow(&self.db, self.node)).await.map(Some)
    }

    async fn typing(&self, chat: ChatId, user: UserId) -> Result<()> {
        self.read(peers::typing(&self.db, self.node, chat, user)).await
    }

    async fn set_present(&self, users: &[(UserId, bool)]) -> Result<()> {
        self.read(presence::set(&self.db, self.node, users)).await
    }

    async fn present_on(&self, node: Node) -> Result<Vec<UserId>> {
        self.read(presence::on(&mut self.reading(), node)).await
    }

    async fn renew(&self, lasting: Duration) -> Result<Vec<Node>> {
        self.read(presence::renew(&self.db, self.node, lasting)).await
    }

    async fn take_leave(&self) -> Result<()> {
        self.read(presence::take_leave(&self.db, self.node)).await
    }

    async fn prune_present(&self) -> Result<u64> {
        self.read(presence::prune(&self.db)).await
    }

    async fn count_attempt(&self, attempt: Attempt, per_minute: NonZeroU32) -> Result<Option<Duration>> {
        self.read(peers::count(&self.db, &attempt, per_minute)).await
    }

    async fn lead(&self, duty: Duty, lasting: Duration) -> Result<bool> {
        self.read(peers::lead(&self.db, self.node, duty, lasting)).await
    }
}
