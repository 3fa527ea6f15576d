//! The backend itself: which act runs on which side.

use super::{
    chats,
    connection::{open_existing, open_writer},
    events, files, mailboxes, members, messages, p2p,
    readers::Readers,
    relays::Relays,
    schema, sessions,
    signals::Registers,
    users,
    writer::Writer,
};
use crate::store::{
    Inspected, Migrated, Result, Store, StoreError,
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
use hypersend_protocol::{
    chat::ChatPosition,
    id::{ChatId, Cursor, FileId, P2pId, Revision, Seq, SessionId, UserId},
    name::{DisplayName, Email},
    p2p::P2pSession,
    signal::SignalValue,
    time::UnixMillis,
};
use std::{num::NonZeroU32, path::Path, time::Duration};

/// A store in one SQLite file. Dropping it finishes the acts under way and closes the file.
pub struct SqliteStore {
    // Dropped first: the last connection to close tidies up the write-ahead log, and only the writer's may.
    readers: Readers,
    writer: Writer,
    registers: Registers,
    relays: Relays,
}

impl SqliteStore {
    /// Opens the file, or makes it with the folders above it, and brings it to the version that this program knows.
    pub async fn open(path: &Path, sink: FanoutSink) -> Result<Self> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            let mut db = open_writer(&path)?;
            schema::migrate(&mut db)?;
            Ok(Self {
                readers: Readers::open(&path)?,
                writer: Writer::start(db, sink)?,
                registers: Registers::default(),
                relays: Relays::default(),
            })
        });
        opened.await.map_err(|e| StoreError::Unavailable(e.into()))?
    }
}

/// Brings the database in this file to the version that this program knows; makes it when there is none.
pub(in crate::store) async fn migrate(path: &Path) -> Result<Migrated> {
    let path = path.to_owned();
    let migrated = tokio::task::spawn_blocking(move || schema::migrate(&mut open_writer(&path)?));
    migrated.await.map_err(|e| StoreError::Unavailable(e.into()))?
}

/// What the database in this file says of itself; `None` when there is none.
pub(in crate::store) async fn inspect(path: &Path) -> Result<Option<Inspected>> {
    let path = path.to_owned();
    let inspected = tokio::task::spawn_blocking(move || {
        if !path.exists() {
            return Ok(None);
        }
        let version = schema::versions(&open_existing(&path)?)?;
        Ok(Some(Inspected { kind: format!("SQLite, {}", path.display()), version, clock: None }))
    });
    inspected.await.map_err(|e| StoreError::Unavailable(e.into()))?
}

#[async_trait]
impl Store for SqliteStore {
    async fn create_user(&self, user: NewUser) -> Result<bool> {
        self.writer.act(|act| users::create(act, user)).await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        self.readers.read(move |db| users::by_id(db, id)).await
    }

    async fn user_by_email(&self, email: &Email) -> Result<Option<User>> {
        let email = email.clone();
        self.readers.read(move |db| users::by_email(db, &email)).await
    }

    async fn users_by_email(&self, emails: &[Email]) -> Result<Vec<User>> {
        let emails = emails.to_vec();
        self.readers.read(move |db| users::by_emails(db, &emails)).await
    }

    async fn set_password_hash(&self, id: UserId, hash: PasswordHash) -> Result<()> {
        self.writer.act(move |act| users::set_password_hash(act, id, hash)).await
    }

    async fn set_name(&self, id: UserId, name: DisplayName) -> Result<()> {
        self.writer.act(move |act| users::set_name(act, id, name)).await
    }

    async fn create_session(&self, session: Session) -> Result<()> {
        self.writer.act(move |act| sessions::create(act, &session)).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>> {
        self.readers.read(move |db| sessions::by_id(db, id)).await
    }

    async fn rotate_session(&self, rotation: Rotation) -> Result<Rotated> {
        self.writer.act(move |act| sessions::rotate(act, rotation)).await
    }

    async fn sessions_of(
        &self,
        user: UserId,
        before: Option<SessionId>,
        limit: u32,
        now: UnixMillis,
    ) -> Result<Vec<Session>> {
        self.readers.read(move |db| sessions::of(db, user, before, limit, now)).await
    }

    async fn end_session(&self, id: SessionId, user: UserId, now: UnixMillis) -> Result<bool> {
        self.writer.act(move |act| sessions::end(act, id, user, now)).await
    }

    async fn prune_sessions(&self, before: UnixMillis) -> Result<u64> {
        self.writer.act(move |act| sessions::prune(act, before)).await
    }

    async fn open_direct(&self, me: UserId, peer: UserId, new: ChatId, now: UnixMillis) -> Result<Chat> {
        self.writer.act(move |act| chats::open_direct(act, me, peer, new, now)).await
    }

    async fn create_group(&self, group: NewGroup) -> Result<Chat> {
        self.writer.act(|act| chats::create_group(act, group)).await
    }

    async fn chat(&self, id: ChatId, viewer: UserId) -> Result<Option<Chat>> {
        self.readers.read(move |db| chats::to_viewer(db, id, viewer)).await
    }

    async fn chats_of(&self, user: UserId, after: Option<ChatPosition>, limit: u32) -> Result<Vec<ChatLine>> {
        self.readers.read(move |db| chats::of(db, user, after, limit)).await
    }

    async fn chat_ids_of(&self, user: UserId, limit: u32) -> Result<Vec<ChatId>> {
        self.readers.read(move |db| chats::ids_of(db, user, limit)).await
    }

    async fn add_members(&self, chat: ChatId, by: UserId, users: &[UserId], now: UnixMillis) -> Result<AddMembers> {
        let users = users.to_vec();
        self.writer.act(move |act| members::add(act, chat, by, &users, now)).await
    }

    async fn remove_member(&self, chat: ChatId, by: UserId, user: UserId, now: UnixMillis) -> Result<RemoveMember> {
        self.writer.act(move |act| members::remove(act, chat, by, user, now)).await
    }

    async fn mark_read(&self, chat: ChatId, user: UserId, seq: Seq, now: UnixMillis) -> Result<Option<Seq>> {
        self.writer.act(move |act| members::mark_read(act, chat, user, seq, now)).await
    }

    async fn append_message(&self, message: NewMessage) -> Result<Append> {
        self.writer.act(|act| messages::append(act, message)).await
    }

    async fn messages_after(&self, chat: ChatId, after: Seq, limit: u32) -> Result<Vec<Message>> {
        self.readers.read(move |db| messages::after(db, chat, after, limit)).await
    }

    async fn messages_before(&self, chat: ChatId, before: Option<Seq>, limit: u32) -> Result<Vec<Message>> {
        self.readers.read(move |db| messages::before(db, chat, before, limit)).await
    }

    async fn messages_changed(&self, chat: ChatId, after: Revision, limit: u32) -> Result<Vec<Message>> {
        self.readers.read(move |db| messages::changed(db, chat, after, limit)).await
    }

    async fn delete_message(&self, chat: ChatId, seq: Seq, by: UserId, now: UnixMillis) -> Result<DeleteMessage> {
        self.writer.act(move |act| messages::delete(act, chat, seq, by, now)).await
    }

    async fn begin_upload(&self, upload: BeginUpload) -> Result<Begun> {
        self.writer.act(|act| files::begin(act, upload)).await
    }

    async fn upload(&self, id: FileId) -> Result<Option<Upload>> {
        self.readers.read(move |db| files::upload(db, id)).await
    }

    async fn resume_upload(&self, id: FileId, owner: UserId, now: UnixMillis) -> Result<Option<Upload>> {
        self.writer.act(move |act| files::resume(act, id, owner, now)).await
    }

    async fn commit_upload(&self, commit: CommitUpload) -> Result<Option<File>> {
        self.writer.act(move |act| files::commit(act, commit)).await
    }

    async fn drop_upload(&self, id: FileId) -> Result<bool> {
        self.writer.act(move |act| files::drop_upload(act, id)).await
    }

    async fn drop_upload_if_stale(&self, id: FileId, before: UnixMillis) -> Result<bool> {
        self.writer.act(move |act| files::drop_if_stale(act, id, before)).await
    }

    async fn stale_uploads(&self, before: UnixMillis, limit: u32) -> Result<Vec<Upload>> {
        self.readers.read(move |db| files::stale(db, before, limit)).await
    }

    async fn file(&self, id: FileId, viewer: UserId) -> Result<Option<File>> {
        self.readers.read(move |db| files::to_viewer(db, id, viewer)).await
    }

    async fn files_of(&self, owner: UserId, before: Option<FileId>, limit: u32) -> Result<Vec<File>> {
        self.readers.read(move |db| files::of(db, owner, before, limit)).await
    }

    async fn delete_file(&self, id: FileId, by: UserId) -> Result<DeleteFile> {
        self.writer.act(move |act| files::delete(act, id, by)).await
    }

    async fn removals(&self, after: Option<FileId>, limit: u32) -> Result<Vec<FileId>> {
        self.readers.read(move |db| files::removals(db, after, limit)).await
    }

    async fn forget_removal(&self, id: FileId) -> Result<()> {
        self.writer.act(move |act| files::forget_removal(act, id)).await
    }

    async fn offer_p2p(&self, offer: NewP2p) -> Result<Offered> {
        self.writer.act(|act| p2p::offer(act, offer)).await
    }

    async fn p2p_session(&self, id: P2pId, viewer: UserId) -> Result<Option<P2pSession>> {
        self.readers.read(move |db| p2p::to_viewer(db, id, viewer)).await
    }

    async fn p2p_sessions_of(&self, user: UserId, before: Option<P2pId>, limit: u32) -> Result<Vec<P2pSession>> {
        self.readers.read(move |db| p2p::of(db, user, before, limit)).await
    }

    async fn change_p2p(&self, change: P2pChange) -> Result<P2pChanged> {
        self.writer.act(move |act| p2p::change(act, &change)).await
    }

    async fn prune_p2p(&self, before: UnixMillis) -> Result<u64> {
        self.writer.act(move |act| p2p::prune(act, before)).await
    }

    async fn open_signal(&self, place: Place, holder: Holder) -> Result<Option<SignalValue>> {
        Ok(self.registers.open(place, holder))
    }

    async fn set_signal(&self, place: Place, register: Register) -> Result<bool> {
        Ok(self.registers.set(place, register))
    }

    async fn signal(&self, place: Place) -> Result<Option<Register>> {
        Ok(self.registers.get(place))
    }

    async fn open_mailbox(&self, new: NewMailbox) -> Result<Opened> {
        self.writer.act(move |act| mailboxes::open(act, &new)).await
    }

    async fn claim_mailbox(&self, claim: Claim) -> Result<Option<Mailbox>> {
        self.writer.act(move |act| mailboxes::claim(act, &claim)).await
    }

    async fn mailbox(&self, id: P2pId, now: UnixMillis) -> Result<Option<Mailbox>> {
        self.readers.read(move |db| mailboxes::by_id(db, id, now)).await
    }

    async fn hold_mailbox(&self, id: P2pId, key: KeyHash, now: UnixMillis) -> Result<Option<Mailbox>> {
        self.writer.act(move |act| mailboxes::hold(act, id, &key, now)).await
    }

    async fn leave_mailbox(&self, id: P2pId, now: UnixMillis) -> Result<Option<Mailbox>> {
        self.writer.act(move |act| mailboxes::leave(act, id, now)).await
    }

    async fn prune_mailboxes(&self, now: UnixMillis) -> Result<u64> {
        self.writer.act(move |act| mailboxes::prune(act, now)).await
    }

    async fn put_relay(&self, relay: Relay, lasting: Duration) -> Result<()> {
        self.relays.put(relay, lasting);
        Ok(())
    }

    async fn relays(&self, limit: u32) -> Result<Vec<Relay>> {
        Ok(self.relays.list(limit))
    }

    async fn events_after(&self, user: UserId, after: Cursor, limit: u32) -> Result<Feed<Vec<Event>>> {
        self.readers.read(move |db| events::after(db, user, after, limit)).await
    }

    async fn feed_head(&self, user: UserId) -> Result<Cursor> {
        self.readers.read(move |db| events::head(db, user)).await
    }

    async fn prune_events(&self, before: UnixMillis) -> Result<u64> {
        let mut pruned = 0;
        // In pieces, so that other acts come between.
        while let Some(more) = self.writer.act(move |act| events::prune(act, before)).await? {
            pruned += more;
        }
        Ok(pruned)
    }

    async fn news(&self) -> Result<Option<NewsStream>> {
        // One server owns the file.
        Ok(None)
    }

    async fn typing(&self, _: ChatId, _: UserId) -> Result<()> {
        Ok(())
    }

    async fn set_present(&self, _: &[(UserId, bool)]) -> Result<()> {
        Ok(())
    }

    async fn present_on(&self, _: Node) -> Result<Vec<UserId>> {
        Ok(Vec::new())
    }

    async fn renew(&self, _: Duration) -> Result<Vec<Node>> {
        Ok(Vec::new())
    }

    async fn take_leave(&self) -> Result<()> {
        Ok(())
    }

    async fn prune_present(&self) -> Result<u64> {
        Ok(0)
    }

    async fn count_attempt(&self, _: Attempt, _: NonZeroU32) -> Result<Option<Duration>> {
        Ok(None)
    }

    async fn lead(&self, _: Duty, _: Duration) -> Result<bool> {
        Ok(true)
    }
}
