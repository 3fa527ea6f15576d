//! What a case starts from: an empty store, a clock that it turns by hand, and short ways to people, chats and files.

use crate::store::{
    Store,
    chats::{Chat, NewGroup},
    events::{Event, Fanout, FanoutSink, Feed},
    files::{BeginUpload, Begun, CommitUpload, File, Quota, Upload},
    messages::{Append, NewMessage},
    users::{NewUser, PasswordHash},
};
use hypersend_protocol::{
    hash::{RootHash, UploadKey},
    id::{ChatId, ClientId, Cursor, FileId, Seq, UserId},
    limit::MAX_OPEN_UPLOADS,
    name::{ChatTitle, DisplayName, Email, FileName, MessageText},
    time::UnixMillis,
};
use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::mpsc, time::timeout};
use uuid::Uuid;

/// How long a backend may take to tell its sink. Never waited for when all is well.
const PATIENCE: Duration = Duration::from_secs(10);

/// An empty store and what its sink is told.
pub(in crate::store) struct World {
    /// The backend.
    pub(super) store: Arc<dyn Store>,
    told: mpsc::UnboundedReceiver<Fanout>,
    clock: AtomicU64,
    _guard: Box<dyn Any + Send>,
}

impl World {
    /// A world around the store that `empty` opens.
    pub(in crate::store) async fn new<G: Send + 'static>(
        empty: impl AsyncFnOnce(FanoutSink) -> (Arc<dyn Store>, G),
    ) -> Self {
        let (teller, told) = mpsc::unbounded_channel();
        // A case that looks at no fan-out may have dropped the receiver.
        let sink: FanoutSink = Arc::new(move |fanout| drop(teller.send(fanout)));
        let (store, guard) = empty(sink).await;
        Self { store, told, clock: AtomicU64::new(1_000_000), _guard: Box::new(guard) }
    }

    /// The moment, a millisecond after the one before.
    pub(super) fn now(&self) -> UnixMillis {
        UnixMillis(self.clock.fetch_add(1, Ordering::Relaxed))
    }

    /// The next so many acts that the sink is told of.
    pub(super) async fn told(&mut self, count: usize) -> Vec<Fanout> {
        let mut fanouts = Vec::with_capacity(count);
        while fanouts.len() < count {
            let next = timeout(PATIENCE, self.told.recv()).await.expect("the sink is told");
            fanouts.push(next.expect("the store is open"));
        }
        fanouts
    }

    /// Asserts that the sink has been told of nothing more.
    pub(super) fn nothing_told(&mut self) {
        assert_eq!(self.told.try_recv().ok(), None);
    }

    /// An account named like this, `<name>@example.org`.
    pub(super) async fn user(&self, name: &str) -> UserId {
        user_at(&*self.store, name, self.now()).await
    }

    /// The direct chat of two users. What the sink is told of it is taken.
    pub(super) async fn direct(&mut self, a: UserId, b: UserId) -> ChatId {
        let chat = self.store.open_direct(a, b, ChatId(Uuid::now_v7()), self.now()).await.unwrap();
        self.told(2).await;
        chat.id
    }

    /// A new group. What the sink is told of it is taken.
    pub(super) async fn group(&mut self, owner: UserId, others: &[UserId]) -> Chat {
        let chat = self.store.create_group(self.new_group(owner, others)).await.unwrap();
        self.told(chat.members.len()).await;
        chat
    }

    /// A group to be made.
    pub(super) fn new_group(&self, owner: UserId, others: &[UserId]) -> NewGroup {
        NewGroup {
            id: ChatId(Uuid::now_v7()),
            client_id: client_id(),
            title: ChatTitle::parse("a group").unwrap(),
            owner,
            members: others.to_vec(),
            now: self.now(),
        }
    }

    /// A message to be posted.
    pub(super) fn new_message(&self, chat: ChatId, sender: UserId, words: &str) -> NewMessage {
        NewMessage {
            chat,
            sender,
            client_id: client_id(),
            text: Some(text(words)),
            files: Vec::new(),
            reply_to: None,
            now: self.now(),
        }
    }

    /// Posts a message that must be accepted.
    pub(super) async fn post(&self, chat: ChatId, sender: UserId, words: &str) -> Seq {
        self.accepted(self.new_message(chat, sender, words)).await
    }

    /// Posts a message with files that must be accepted.
    pub(super) async fn post_files(&self, chat: ChatId, sender: UserId, files: &[&File]) -> Seq {
        let files = files.iter().map(|file| file.id).collect();
        self.accepted(NewMessage { text: None, files, ..self.new_message(chat, sender, "-") }).await
    }

    async fn accepted(&self, message: NewMessage) -> Seq {
        match self.store.append_message(message).await.unwrap() {
            Append::Posted { seq, .. } => seq,
            refused => panic!("{refused:?}"),
        }
    }

    /// An upload to be begun, of a name that is also its key.
    pub(super) fn new_upload(&self, owner: UserId, name: &str) -> BeginUpload {
        BeginUpload {
            id: FileId(Uuid::now_v7()),
            owner,
            key: key(name),
            name: FileName::parse(name).unwrap(),
            size: 5 << 30,
            chunk_size: 1 << 20,
            max_open: MAX_OPEN_UPLOADS,
            quota: Quota::Bytes(u64::MAX),
            now: self.now(),
        }
    }

    /// A new upload.
    pub(super) async fn upload(&self, owner: UserId, name: &str) -> Upload {
        match self.store.begin_upload(self.new_upload(owner, name)).await.unwrap() {
            Begun::Open(upload) => upload,
            other => panic!("{other:?}"),
        }
    }

    /// A new file.
    pub(super) async fn file(&self, owner: UserId, name: &str) -> File {
        let id = self.upload(owner, name).await.id;
        let commit = CommitUpload { id, root: root(1), now: self.now() };
        self.store.commit_upload(commit).await.unwrap().unwrap()
    }

    /// A user's whole feed.
    pub(super) async fn feed(&self, user: UserId) -> Vec<Event> {
        match self.store.events_after(user, Cursor(0), u32::MAX).await.unwrap() {
            Feed::Events(events) => events,
            gone @ Feed::Gone(_) => panic!("{gone:?}"),
        }
    }
}

/// An account named like this, of no particular time.
pub(crate) async fn user(store: &dyn Store, name: &str) -> UserId {
    user_at(store, name, UnixMillis(1)).await
}

async fn user_at(store: &dyn Store, name: &str, now: UnixMillis) -> UserId {
    let user = new_user(name, now);
    let id = user.id;
    assert!(store.create_user(user).await.unwrap());
    id
}

/// An account to be made.
pub(crate) fn new_user(name: &str, now: UnixMillis) -> NewUser {
    NewUser {
        id: UserId(Uuid::now_v7()),
        email: email(name),
        name: DisplayName::parse(name).unwrap(),
        password_hash: PasswordHash(format!("hash of {name}")),
        now,
    }
}

/// The address of the account of this name.
pub(super) fn email(name: &str) -> Email {
    Email::parse(&format!("{name}@example.org")).unwrap()
}

/// A client id not used before.
pub(super) fn client_id() -> ClientId {
    ClientId(Uuid::new_v4())
}

/// The text of a message.
pub(super) fn text(words: &str) -> MessageText {
    MessageText::parse(words).unwrap()
}

/// A root hash.
pub(super) fn root(n: u8) -> RootHash {
    RootHash([n; 32])
}

/// The key of an upload of this name.
pub(super) fn key(name: &str) -> UploadKey {
    let mut key = [0; 32];
    key[..name.len()].copy_from_slice(name.as_bytes());
    UploadKey(key)
}

/// A chat's id that stands for nothing.
pub(super) fn no_chat() -> ChatId {
    ChatId(Uuid::now_v7())
}

/// A user's id that stands for nobody.
pub(super) fn nobody() -> UserId {
    UserId(Uuid::now_v7())
}

/// A file's id that stands for nothing.
pub(super) fn no_file() -> FileId {
    FileId(Uuid::now_v7())
}
