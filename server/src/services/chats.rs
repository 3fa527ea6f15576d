//! Conversations: making them, talking in them, looking back.

use super::{accounts::Caller, feed::Feed as Follow, store_refusal};
use crate::{
    clock,
    hub::Hub,
    metrics::Metrics,
    store::{
        Store, StoreError,
        chats::{AddMembers, Chat, ChatLine, NewGroup, RemoveMember},
        events::{Event, Feed},
        messages::{Append, DeleteMessage, Message, NewMessage},
        users::User,
    },
};
use hypersend_protocol::{
    chat::{ChatPosition, Post, Posted},
    id::{ChatId, ClientId, Cursor, FileId, Revision, Seq, UserId},
    limit::{MAX_FILES_PER_MESSAGE, MAX_MEMBERS, MAX_NEWCOMERS, MAX_PAGE},
    name::{ChatTitle, Email},
    refusal::{ErrorCode, Refusal},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// How long letting other servers know of typing may take.
const TYPING_PATIENCE: Duration = Duration::from_secs(1);

/// The chat service.
#[derive(Clone)]
pub struct Chats {
    store: Arc<dyn Store>,
    hub: Hub,
    metrics: Metrics,
}

impl std::fmt::Debug for Chats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chats")
    }
}

/// Why a conversation does not go that way.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// No such chat, or none that the caller is in.
    #[error("there is no such chat, or you are not in it")]
    NoChat,
    /// No such member.
    #[error("that user is not in this chat")]
    NoMember,
    /// No such message.
    #[error("there is no message {0} in this chat")]
    NoMessage(Seq),
    /// No such file, or none that the caller may read.
    #[error("there is no file {0}, or you may not read it; upload it first")]
    NoFile(FileId),
    /// Nobody has these email addresses.
    #[error("nobody here has the email address {}; check it, or ask them to register", list(.0))]
    UnknownUsers(Vec<Email>),
    /// A chat with oneself.
    #[error("you are alone in that chat; name somebody else")]
    Alone,
    /// Something only an owner may do, or that cannot be done in a direct chat.
    #[error("only an owner of a group can {0}; ask one of them")]
    NotOwner(&'static str),
    /// Something that cannot be done in a direct chat.
    #[error("only the sender or an owner of the group can delete a message")]
    NotSender,
    /// Too many members.
    #[error("a group has at most {MAX_MEMBERS} members; make a second one")]
    TooManyMembers,
    /// Too many new members.
    #[error("at most {MAX_NEWCOMERS} members are added at once; add the others after them")]
    TooManyNewcomers,
    /// Neither text nor files.
    #[error("the message is empty; give it a text or a file")]
    Empty,
    /// Too many files.
    #[error("a message carries at most {MAX_FILES_PER_MESSAGE} files; send several messages")]
    TooManyFiles,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn list(emails: &[Email]) -> String {
    emails.iter().map(Email::as_str).collect::<Vec<_>>().join(", ")
}

impl From<ChatError> for Refusal {
    fn from(error: ChatError) -> Self {
        let message = error.to_string();
        match error {
            ChatError::NoChat
            | ChatError::NoMember
            | ChatError::NoMessage(_)
            | ChatError::NoFile(_)
            | ChatError::UnknownUsers(_) => Self::new(ErrorCode::NotFound, message),
            ChatError::NotOwner(_) | ChatError::NotSender => Self::new(ErrorCode::Forbidden, message),
            ChatError::Alone | ChatError::Empty => Self::new(ErrorCode::Invalid, message),
            ChatError::TooManyMembers => Self::new(ErrorCode::LimitReached, message).with_limit(MAX_MEMBERS as u64),
            ChatError::TooManyNewcomers => Self::new(ErrorCode::LimitReached, message).with_limit(MAX_NEWCOMERS as u64),
            ChatError::TooManyFiles => {
                Self::new(ErrorCode::LimitReached, message).with_limit(MAX_FILES_PER_MESSAGE as u64)
            }
            ChatError::Store(error) => store_refusal(&error),
        }
    }
}

type Result<T> = std::result::Result<T, ChatError>;

impl Chats {
    /// Serves from `store`; live notices come by `hub`.
    pub fn new(store: Arc<dyn Store>, hub: Hub, metrics: Metrics) -> Self {
        Self { store, hub, metrics }
    }

    /// Where live notices come from.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Shows those who have the chat open that the caller is typing, whichever server they are connected to.
    pub async fn typing(&self, me: &Caller, chat: ChatId) {
        self.hub.typing(chat, me.id());
        // Late is as good as never, and what the caller does next must not wait for it.
        match timeout(TYPING_PATIENCE, self.store.typing(chat, me.id())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error = %crate::report(&error), "other servers do not hear of typing"),
            Err(_) => tracing::debug!("other servers do not hear of typing: the database does not answer"),
        }
    }

    /// The caller's direct chat with somebody.
    pub async fn open_direct(&self, me: &Caller, peer: &Email) -> Result<Chat> {
        let peer = self.users(std::slice::from_ref(peer)).await?[0].id;
        if peer == me.id() {
            return Err(ChatError::Alone);
        }
        Ok(self.store.open_direct(me.id(), peer, ChatId(clock::new_id()), clock::now()).await?)
    }

    /// A group with the caller as its owner.
    pub async fn create_group(
        &self,
        me: &Caller,
        client_id: ClientId,
        title: ChatTitle,
        members: &[Email],
    ) -> Result<Chat> {
        // The owner is a member beside those named, or twice.
        if members.len() >= MAX_MEMBERS {
            return Err(ChatError::TooManyMembers);
        }
        let members = self.users(members).await?.into_iter().map(|user| user.id).collect();
        let (id, owner, now) = (ChatId(clock::new_id()), me.id(), clock::now());
        Ok(self.store.create_group(NewGroup { id, client_id, title, owner, members, now }).await?)
    }

    /// One of the caller's chats.
    pub async fn chat(&self, me: &Caller, chat: ChatId) -> Result<Chat> {
        self.store.chat(chat, me.id()).await?.ok_or(ChatError::NoChat)
    }

    /// A page of the caller's chats.
    pub async fn list(&self, me: &Caller, after: Option<ChatPosition>, limit: u32) -> Result<Vec<ChatLine>> {
        Ok(self.store.chats_of(me.id(), after, page(limit)).await?)
    }

    /// Adds members to a group.
    pub async fn add_members(&self, me: &Caller, chat: ChatId, members: &[Email]) -> Result<Chat> {
        if members.len() > MAX_NEWCOMERS {
            return Err(ChatError::TooManyNewcomers);
        }
        let users: Vec<UserId> = self.users(members).await?.into_iter().map(|user| user.id).collect();
        match self.store.add_members(chat, me.id(), &users, clock::now()).await? {
            AddMembers::Done(chat) => Ok(chat),
            AddMembers::NotFound => Err(ChatError::NoChat),
            AddMembers::Forbidden => Err(ChatError::NotOwner("add members")),
            AddMembers::TooMany => Err(ChatError::TooManyMembers),
        }
    }

    /// Takes somebody, perhaps the caller, out of a group.
    pub async fn remove_member(&self, me: &Caller, chat: ChatId, user: UserId) -> Result<()> {
        match self.store.remove_member(chat, me.id(), user, clock::now()).await? {
            RemoveMember::Done => Ok(()),
            RemoveMember::NotFound if user == me.id() => Err(ChatError::NoChat),
            RemoveMember::NotFound => Err(ChatError::NoMember),
            RemoveMember::Forbidden => Err(ChatError::NotOwner("take members out")),
        }
    }

    /// Posts a message, once however often it is asked for.
    pub async fn post(&self, me: &Caller, chat: ChatId, post: Post) -> Result<Posted> {
        let Post { client_id, text, files, reply_to } = post;
        if text.is_none() && files.is_empty() {
            return Err(ChatError::Empty);
        }
        if files.len() > MAX_FILES_PER_MESSAGE {
            return Err(ChatError::TooManyFiles);
        }
        let message = NewMessage { chat, sender: me.id(), client_id, text, files, reply_to, now: clock::now() };
        let start = Instant::now();
        match self.store.append_message(message).await? {
            Append::Posted { seq, at } => {
                self.metrics.message(start.elapsed());
                Ok(Posted { client_id, seq, at })
            }
            Append::NotFound => Err(ChatError::NoChat),
            Append::FileNotFound(file) => Err(ChatError::NoFile(file)),
            Append::ReplyNotFound(seq) => Err(ChatError::NoMessage(seq)),
        }
    }

    /// Deletes a message for everybody.
    pub async fn delete(&self, me: &Caller, chat: ChatId, seq: Seq) -> Result<()> {
        match self.store.delete_message(chat, seq, me.id(), clock::now()).await? {
            DeleteMessage::Done => Ok(()),
            DeleteMessage::NotFound => Err(ChatError::NoMessage(seq)),
            DeleteMessage::Forbidden => Err(ChatError::NotSender),
        }
    }

    /// Moves the caller's read mark forward; says where it stands.
    pub async fn mark_read(&self, me: &Caller, chat: ChatId, seq: Seq) -> Result<Seq> {
        self.store.mark_read(chat, me.id(), seq, clock::now()).await?.ok_or(ChatError::NoChat)
    }

    /// Messages before one, oldest first, and whether there are older ones still.
    pub async fn history(
        &self,
        me: &Caller,
        chat: ChatId,
        before: Option<Seq>,
        limit: u32,
    ) -> Result<(Vec<Message>, bool)> {
        self.chat(me, chat).await?;
        let messages = self.store.messages_before(chat, before, page(limit)).await?;
        let more = messages.first().is_some_and(|oldest| oldest.seq > Seq(1));
        Ok((messages, more))
    }

    /// A page of messages after one, for somebody whom [`Chats::chat`] let in.
    pub async fn messages_after(&self, chat: ChatId, after: Seq) -> Result<Vec<Message>> {
        Ok(self.store.messages_after(chat, after, MAX_PAGE).await?)
    }

    /// A page of messages changed after a revision, for somebody whom [`Chats::chat`] let in.
    pub async fn messages_changed(&self, chat: ChatId, after: Revision) -> Result<Vec<Message>> {
        Ok(self.store.messages_changed(chat, after, MAX_PAGE).await?)
    }

    /// A page of the caller's events after a cursor.
    pub async fn events_after(&self, me: &Caller, after: Cursor) -> Result<Feed<Vec<Event>>> {
        Ok(self.store.events_after(me.id(), after, MAX_PAGE).await?)
    }

    /// The caller's newest event.
    pub async fn feed_head(&self, me: &Caller) -> Result<Cursor> {
        Ok(self.store.feed_head(me.id()).await?)
    }

    /// What happens to the caller, after a cursor or from now on.
    pub fn follow(&self, me: &Caller, after: Option<Cursor>) -> Follow {
        Follow::new(self.clone(), me.clone(), after)
    }

    async fn users(&self, emails: &[Email]) -> Result<Vec<User>> {
        let users = self.store.users_by_email(emails).await?;
        let unknown: Vec<Email> =
            emails.iter().filter(|email| !users.iter().any(|user| user.email == **email)).cloned().collect();
        if unknown.is_empty() { Ok(users) } else { Err(ChatError::UnknownUsers(unknown)) }
    }
}

/// What a caller asks for, held to what a page may have.
fn page(limit: u32) -> u32 {
    limit.clamp(1, MAX_PAGE)
}
