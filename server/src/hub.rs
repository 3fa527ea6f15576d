//! Who is listening, and telling them. Lives in memory: a listener who misses something reads it from the store.
//!
//! Four kinds of topic: a chat (for those who have it open), a user (for their event streams), a session (for its
//! connections), a transfer or mailbox (for its signal streams). A topic exists while somebody listens to it. A listener that falls more than [`BACKLOG`] behind is told
//! that it has, instead of slowing anybody down.

use crate::store::{
    events::{Fanout, Happening},
    news::News,
};
use hypersend_protocol::{
    id::{ChatId, Cursor, P2pId, SessionId, UserId},
    relay::ticket::Side,
};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::broadcast;

/// How many notices wait for a slow listener, each the size of a pointer or two. Idle connections are many, so this is
/// small; falling behind costs a query.
pub const BACKLOG: usize = 64;

/// The hub; cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Hub(Arc<Topics>);

#[derive(Debug, Default)]
struct Topics {
    chats: Topic<ChatId, ChatNotice>,
    users: Topic<UserId, UserNotice>,
    sessions: Topic<SessionId, ()>,
    transfers: Topic<P2pId, TransferNotice>,
}

/// What those hear who have a chat open.
#[derive(Clone, Debug)]
pub enum ChatNotice {
    /// An act was committed.
    Committed(Arc<Fanout>),
    /// A member is typing.
    Typing(UserId),
    /// Members have connected, or have gone away.
    Presence(Arc<[(UserId, bool)]>),
}

/// What a user's event streams hear: a committed act, and its place in the user's feed.
#[derive(Clone, Debug)]
pub struct UserNotice {
    /// The place.
    pub cursor: Cursor,
    /// The act.
    pub fanout: Arc<Fanout>,
}

/// What the signal streams of a transfer, or of a mailbox, hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferNotice {
    /// A side's register was opened or set.
    Signal(Side),
    /// It has got on, or is over.
    Changed,
}

impl Hub {
    /// Tells everybody concerned of a committed act. Never blocks.
    pub fn committed(&self, fanout: Fanout) {
        let fanout = Arc::new(fanout);
        self.0.chats.tell(fanout.chat, || ChatNotice::Committed(fanout.clone()));
        if let Happening::P2p(session) = fanout.what {
            self.0.transfers.tell(session, || TransferNotice::Changed);
        }
        for &(user, cursor) in &fanout.to {
            self.0.users.tell(user, || UserNotice { cursor, fanout: fanout.clone() });
        }
    }

    /// Tells of what was done on another server.
    pub fn heard(&self, news: News) {
        match news {
            News::Committed(fanout) => self.committed(fanout),
            News::SessionEnded(session) => self.session_ended(session),
            News::Typing(chat, user) => self.typing(chat, user),
            News::Signal(session, side) => self.signal(session, side),
            News::MailboxLeft(mailbox) => self.mailbox_left(mailbox),
            // For whoever keeps who is present, and knows their chats.
            News::Present(..) | News::Forgotten(_) => {}
            News::Missed => {
                self.0.chats.miss();
                self.0.users.miss();
                self.0.sessions.miss();
                self.0.transfers.miss();
            }
        }
    }

    /// Tells those who have the chat open that a member is typing.
    pub fn typing(&self, chat: ChatId, user: UserId) {
        self.0.chats.tell(chat, || ChatNotice::Typing(user));
    }

    /// Tells those who have the chat open which members came and went.
    pub fn presence(&self, chat: ChatId, changes: &Arc<[(UserId, bool)]>) {
        self.0.chats.tell(chat, || ChatNotice::Presence(changes.clone()));
    }

    /// Whether anybody has any chat open.
    pub fn has_open_chats(&self) -> bool {
        !self.0.chats.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Whether anybody has this chat open.
    pub fn is_open(&self, chat: ChatId) -> bool {
        self.0.chats.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&chat)
    }

    /// Tells a session's connections that it has ended.
    pub fn session_ended(&self, session: SessionId) {
        self.0.sessions.tell(session, || ());
    }

    /// Tells a transfer's signal streams that a side's register was opened or set.
    pub fn signal(&self, session: P2pId, side: Side) {
        self.0.transfers.tell(session, || TransferNotice::Signal(side));
    }

    /// Tells a mailbox's streams that a side has left it for good.
    pub fn mailbox_left(&self, mailbox: P2pId) {
        self.0.transfers.tell(mailbox, || TransferNotice::Changed);
    }

    /// Listens to a transfer, or to a mailbox.
    pub fn transfer(&self, session: P2pId) -> Listener<P2pId, TransferNotice> {
        self.0.transfers.listen(session)
    }

    /// Listens to a chat.
    pub fn chat(&self, chat: ChatId) -> Listener<ChatId, ChatNotice> {
        self.0.chats.listen(chat)
    }

    /// Listens to a user's feed.
    pub fn user(&self, user: UserId) -> Listener<UserId, UserNotice> {
        self.0.users.listen(user)
    }

    /// Listens for a session's end.
    pub fn session(&self, session: SessionId) -> Listener<SessionId, ()> {
        self.0.sessions.listen(session)
    }
}

type Senders<K, T> = Mutex<HashMap<K, broadcast::Sender<Heard<T>>>>;

/// A notice, or that there are some which nobody can give.
type Heard<T> = Result<T, Missed>;

#[derive(Debug)]
struct Topic<K, T>(Arc<Senders<K, T>>);

impl<K, T> Default for Topic<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Hash + Eq + Copy, T: Clone> Topic<K, T> {
    fn tell(&self, key: K, notice: impl FnOnce() -> T) {
        let senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = senders.get(&key) {
            // Nobody listening any more is as good as told.
            let _ = sender.send(Ok(notice()));
        }
    }

    /// Has every listener look in the store.
    fn miss(&self) {
        let senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for sender in senders.values() {
            let _ = sender.send(Err(Missed));
        }
    }

    fn listen(&self, key: K) -> Listener<K, T> {
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = senders.entry(key).or_insert_with(|| broadcast::Sender::new(BACKLOG));
        Listener { receiver: Some(sender.subscribe()), key, senders: Arc::downgrade(&self.0) }
    }
}

/// The listener has fallen behind, or the server has: what it missed is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed;

/// Somebody listening to a topic; stops when dropped.
#[derive(Debug)]
pub struct Listener<K: Hash + Eq, T> {
    /// There until the listener is dropped.
    receiver: Option<broadcast::Receiver<Heard<T>>>,
    key: K,
    senders: Weak<Senders<K, T>>,
}

impl<K: Hash + Eq, T: Clone> Listener<K, T> {
    /// The next notice. Cancel safe.
    pub async fn next(&mut self) -> Result<T, Missed> {
        // The topic outlives its listeners, so the only error is having fallen behind.
        let receiver = self.receiver.as_mut().expect("it goes only with the listener");
        receiver.recv().await.unwrap_or(Err(Missed))
    }
}

impl<K: Hash + Eq, T> Drop for Listener<K, T> {
    fn drop(&mut self) {
        let Some(senders) = self.senders.upgrade() else { return };
        let mut senders = senders.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that of two who leave together the second sees that it is the last.
        self.receiver = None;
        if senders.get(&self.key).is_some_and(|sender| sender.receiver_count() == 0) {
            senders.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::events::Happening;
    use hypersend_protocol::time::UnixMillis;
    use std::sync::atomic::{AtomicBool, Ordering};
    use uuid::Uuid;

    fn chat(n: u128) -> ChatId {
        ChatId(Uuid::from_u128(n))
    }

    fn user(n: u128) -> UserId {
        UserId(Uuid::from_u128(n))
    }

    #[tokio::test]
    async fn an_act_reaches_the_chat_and_the_feeds_it_is_in() {
        let hub = Hub::default();
        let (mut open, mut feed, mut other) = (hub.chat(chat(1)), hub.user(user(1)), hub.user(user(2)));
        let to = vec![(user(1), Cursor(7))];
        hub.committed(Fanout { chat: chat(1), at: UnixMillis(5), what: Happening::Joined(user(1)), to });
        assert!(matches!(open.next().await, Ok(ChatNotice::Committed(_))));
        assert_eq!(feed.next().await.unwrap().cursor, Cursor(7));
        hub.committed(Fanout {
            chat: chat(2),
            at: UnixMillis(6),
            what: Happening::Joined(user(2)),
            to: vec![(user(2), Cursor(1))],
        });
        assert_eq!(other.next().await.unwrap().fanout.chat, chat(2));
    }

    #[tokio::test]
    async fn a_slow_listener_is_told_and_goes_on() {
        let hub = Hub::default();
        let mut open = hub.chat(chat(1));
        for n in 0..=BACKLOG as u128 {
            hub.typing(chat(1), user(n));
        }
        assert_eq!(open.next().await.unwrap_err(), Missed);
        assert!(matches!(open.next().await, Ok(ChatNotice::Typing(first)) if first == user(1)));
    }

    #[tokio::test]
    async fn news_that_nobody_heard_send_every_listener_to_the_store() {
        let hub = Hub::default();
        let session = SessionId(Uuid::from_u128(1));
        let (mut open, mut feed, mut ended) = (hub.chat(chat(1)), hub.user(user(1)), hub.session(session));
        hub.heard(News::Missed);
        assert_eq!(open.next().await.unwrap_err(), Missed);
        assert_eq!(feed.next().await.unwrap_err(), Missed);
        assert_eq!(ended.next().await.unwrap_err(), Missed);
    }

    #[test]
    fn a_topic_lives_as_long_as_its_listeners() {
        let hub = Hub::default();
        let (first, second) = (hub.chat(chat(1)), hub.chat(chat(1)));
        drop(first);
        assert_eq!(hub.0.chats.0.lock().unwrap().len(), 1);
        drop(second);
        assert!(hub.0.chats.0.lock().unwrap().is_empty());
    }

    /// Sees, when it is dropped unread with its last receiver, whether the topics are locked.
    #[derive(Clone)]
    struct Probe {
        senders: Weak<Senders<u8, Probe>>,
        locked: Arc<AtomicBool>,
    }

    impl Drop for Probe {
        fn drop(&mut self) {
            let senders = self.senders.upgrade().unwrap();
            self.locked.store(senders.try_lock().is_err(), Ordering::Relaxed);
        }
    }

    /// Otherwise each of two who leave together could take the other for still there, and the topic would stay.
    #[test]
    fn a_listener_is_counted_and_gone_in_one_step() {
        let (topic, locked) = (Topic::default(), Arc::new(AtomicBool::new(false)));
        let listener = topic.listen(1);
        topic.tell(1, || Probe { senders: Arc::downgrade(&topic.0), locked: locked.clone() });
        drop(listener);
        assert!(locked.load(Ordering::Relaxed), "it left after it had looked");
        assert!(topic.0.lock().unwrap().is_empty());
    }
}
