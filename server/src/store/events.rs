//! Events: each user's feed, and the fan-out of committed acts to whoever is connected.

use super::messages::Message;
use hypersend_protocol::{
    id::{ChatId, Cursor, P2pId, Revision, Seq, UserId},
    time::UnixMillis,
};
use std::sync::Arc;

/// What happened in a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A message was posted; in every member's feed.
    Posted(Arc<Message>),
    /// A message was changed in place, and is now this; in every member's feed.
    Changed(Arc<Message>),
    /// A user joined; in their feed, and in those of the members who were there before the act. Who joins in the same act
    /// hears of themselves alone, and reads the list of members: a group of a thousand would otherwise begin with a
    /// million entries.
    Joined(UserId),
    /// A user left; in every member's feed, and the user's.
    Left(UserId),
    /// A user has read up to here; in that user's feed alone. Others learn it while they have the chat open.
    Read(UserId, Seq),
    /// A transfer between two members was offered, or got on; in both feeds.
    P2p(P2pId),
}

/// One committed act: what happened where, and its place in the feed of everybody concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fanout {
    /// The chat.
    pub chat: ChatId,
    /// When.
    pub at: UnixMillis,
    /// What.
    pub what: Happening,
    /// Whose feeds it is in, and where.
    pub to: Vec<(UserId, Cursor)>,
}

impl Fanout {
    /// The act as an entry of the feed in which it has this place, as it would be read back now.
    pub fn event(&self, cursor: Cursor) -> Event {
        let what = match &self.what {
            Happening::Posted(message) => Entry::Posted(Message::clone(message)),
            Happening::Changed(message) => Entry::Changed(message.seq, message.revision),
            Happening::Joined(user) => Entry::Joined(*user),
            Happening::Left(user) => Entry::Left(*user),
            Happening::Read(_, seq) => Entry::Read(*seq),
            Happening::P2p(session) => Entry::P2p(*session),
        };
        Event { cursor, at: self.at, chat: self.chat, what }
    }
}

/// Is told of every committed act, in the order of the commits, from whatever thread committed it. It must not block.
pub type FanoutSink = Arc<dyn Fn(Fanout) + Send + Sync>;

/// One entry of a user's feed, as it is read back: messages are named, not carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place in the feed.
    pub cursor: Cursor,
    /// When.
    pub at: UnixMillis,
    /// Where.
    pub chat: ChatId,
    /// What.
    pub what: Entry,
}

/// What a feed's entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A message was posted; as it is now, so perhaps deleted since.
    Posted(Message),
    /// A message was changed in place.
    Changed(Seq, Revision),
    /// A user joined.
    Joined(UserId),
    /// A user left.
    Left(UserId),
    /// The feed's owner has read up to here.
    Read(Seq),
    /// A transfer from or to the feed's owner was offered, or got on.
    P2p(P2pId),
}

/// A part of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feed<T> {
    /// The part.
    Events(T),
    /// Some of what was wanted has been forgotten, or the cursor is ahead of the feed; the newest event is this one.
    Gone(Cursor),
}
