//! Messages: dense numbers, posted once.

use hypersend_protocol::{
    file::FileCard,
    id::{ChatId, ClientId, FileId, Revision, Seq, UserId},
    name::MessageText,
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};

/// A message to be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Where.
    pub chat: ChatId,
    /// By whom.
    pub sender: UserId,
    /// The sender's own id for it.
    pub client_id: ClientId,
    /// The text.
    pub text: Option<MessageText>,
    /// The files, each finished, and readable by the sender.
    pub files: Vec<FileId>,
    /// The message it answers.
    pub reply_to: Option<Seq>,
    /// The moment.
    pub now: UnixMillis,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Where.
    pub chat: ChatId,
    /// Its number.
    pub seq: Seq,
    /// By whom.
    pub sender: UserId,
    /// The sender's own id for it.
    pub client_id: ClientId,
    /// When.
    pub at: UnixMillis,
    /// The text; none when there is none, or when deleted.
    pub text: Option<MessageText>,
    /// The files; none when deleted.
    pub files: Vec<FileCard>,
    /// The message it answers.
    pub reply_to: Option<Seq>,
    /// When it was deleted.
    pub deleted: Option<UnixMillis>,
    /// The chat's revision at its last change in place; 0 when never changed.
    pub revision: Revision,
}

/// What became of posting a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// It is in the chat.
    Posted {
        /// Its number.
        seq: Seq,
        /// When it was posted: earlier than asked when it had been posted before.
        at: UnixMillis,
    },
    /// The sender is not a member, or there is no such chat.
    NotFound,
    /// The sender may not read this file, or there is none.
    FileNotFound(FileId),
    /// The message to answer does not exist.
    ReplyNotFound(Seq),
}

/// What became of deleting a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteMessage {
    /// It is a tombstone, since now or before.
    Done,
    /// The caller is not a member, or there is no such message.
    NotFound,
    /// The message is somebody else's, and the caller does not own the group.
    Forbidden,
}
