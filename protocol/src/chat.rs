//! Chats: their records, the operations on request streams, and the chat stream.
//!
//! A chat stream is opened by [`OpenChat`] and lives as long as both sides want it:
//! 1. server: [`ChatOpened`], then every message changed in place since the client's revision as [`MessageChanged`],
//!    then every message after the client's sequence number as [`Message`];
//! 2. from then on, in both directions and in any order, [`ChatIntent`] and [`ChatUpdate`]. Each [`Post`] is answered by
//!    one [`Posted`] or [`PostRefused`]; its message also comes to every open chat stream, the sender's own included;
//! 3. either side ends the stream by finishing its sending side.
//!
//! Messages arrive in the order of their dense sequence numbers: a client that saw number n and opens the stream with
//! `after: n` misses nothing and sees nothing twice.

use crate::{
    account::{Done, Profile},
    file::FileCard,
    frame::{Kind, frame, frame_set},
    id::{ChatId, ClientId, FileId, Revision, Seq, UserId},
    name::{ChatTitle, Email, MessageText},
    refusal::Refusal,
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};

/// Two kinds of chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatKind {
    /// Between two users, one for each pair.
    Direct,
    /// With a title and any number of members.
    Group,
}

/// What a member may do to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read and write.
    Member,
    /// Also add and remove members, and delete anybody's messages.
    Owner,
}

/// One member of a chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub profile: Profile,
    /// What they may do.
    pub role: Role,
    /// The last message they have read.
    pub read: Seq,
}

/// A chat, to one of its members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chat {
    /// The chat.
    pub id: ChatId,
    /// Direct or group.
    pub kind: ChatKind,
    /// The group's title; none for a direct chat, which is called after the other member.
    pub title: Option<ChatTitle>,
    /// Everybody in it, owners first, then by name.
    pub members: Vec<Member>,
    /// The newest message's number.
    pub last: Seq,
    /// The newest change's number.
    pub revision: Revision,
}
frame!(Chat, Kind(0x44), 1 << 20);

/// One line of the list of chats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatSummary {
    /// The chat.
    pub id: ChatId,
    /// Direct or group.
    pub kind: ChatKind,
    /// The group's title, or the other member's display name.
    pub title: String,
    /// The other member of a direct chat.
    pub peer: Option<Profile>,
    /// The newest message.
    pub last_message: Option<Message>,
    /// How many messages the caller has not read.
    pub unread: u64,
    /// When something last happened: the newest message, or the caller's joining.
    pub active: UnixMillis,
}

/// One page of the list of chats, the most recently active first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatPage {
    /// The chats.
    pub chats: Vec<ChatSummary>,
    /// Give this in [`ListChats::after`] for the page that follows; none on the last page.
    pub next: Option<ChatPosition>,
}
frame!(ChatPage, Kind(0x46), 8 << 20);

/// A place in the list of chats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatPosition {
    /// [`ChatSummary::active`] of the last chat seen.
    pub active: UnixMillis,
    /// Its id, for chats active in the same millisecond.
    pub id: ChatId,
}

/// One message. A deleted one keeps its number, sender and time, and has no content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The chat it was posted in.
    pub chat: ChatId,
    /// Its place in the chat.
    pub seq: Seq,
    /// Who posted it.
    pub sender: UserId,
    /// The sender's own id for it.
    pub client_id: ClientId,
    /// When the server accepted it.
    pub at: UnixMillis,
    /// The text, if any.
    pub text: Option<MessageText>,
    /// The files, if any.
    pub files: Vec<FileCard>,
    /// The message it answers.
    pub reply_to: Option<Seq>,
    /// When it was deleted.
    pub deleted: Option<UnixMillis>,
    /// The chat's revision at its last change in place; 0 when it was never changed.
    pub revision: Revision,
}
frame!(Message, Kind(0x48), 64 << 10);

/// Messages of one chat, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagePage {
    /// The messages; their numbers are dense.
    pub messages: Vec<Message>,
    /// Whether older ones exist.
    pub more: bool,
}
frame!(MessagePage, Kind(0x4a), 12 << 20);

/// A page of the caller's chats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListChats {
    /// Where the page before ended; none for the first.
    pub after: Option<ChatPosition>,
    /// At most this many, and at most [`MAX_PAGE`](crate::limit::MAX_PAGE).
    pub limit: u32,
}
frame!(ListChats, Kind(0x120), 256 => ChatPage);

/// The direct chat with a user; made if there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenDirect {
    /// The other user.
    pub email: Email,
}
frame!(OpenDirect, Kind(0x122), 512 => Chat);

/// Makes a group with the caller as its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateGroup {
    /// Asked again with the same id, the same group is the answer.
    pub client_id: ClientId,
    /// The title.
    pub title: ChatTitle,
    /// The others.
    pub members: Vec<Email>,
}
frame!(CreateGroup, Kind(0x124), 512 << 10 => Chat);

/// One chat with its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetChat {
    /// The chat.
    pub chat: ChatId,
}
frame!(GetChat, Kind(0x126), 128 => Chat);

/// Adds members to a group; who is in it already stays as they are. For owners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddMembers {
    /// The group.
    pub chat: ChatId,
    /// The new members.
    pub members: Vec<Email>,
}
frame!(AddMembers, Kind(0x128), 512 << 10 => Chat);

/// Takes a member out of a group: anybody themselves, owners anybody. When the last owner leaves, the member who joined
/// first becomes owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveMember {
    /// The group.
    pub chat: ChatId,
    /// The member.
    pub user: UserId,
}
frame!(RemoveMember, Kind(0x12a), 128 => Done);

/// A page of a chat's messages, backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetHistory {
    /// The chat.
    pub chat: ChatId,
    /// Messages before this one; none for the newest.
    pub before: Option<Seq>,
    /// At most this many, and at most [`MAX_PAGE`](crate::limit::MAX_PAGE).
    pub limit: u32,
}
frame!(GetHistory, Kind(0x12c), 128 => MessagePage);

/// Posts one message without opening the chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostMessage {
    /// The chat.
    pub chat: ChatId,
    /// The message.
    pub post: Post,
}
frame!(PostMessage, Kind(0x12e), 64 << 10 => Posted);

/// Deletes a message for everybody; a tombstone stays. One's own, or anybody's in a group one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteMessage {
    /// The chat.
    pub chat: ChatId,
    /// The message.
    pub seq: Seq,
}
frame!(DeleteMessage, Kind(0x130), 128 => Done);

/// Moves the caller's read mark forward; never back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkRead {
    /// The chat.
    pub chat: ChatId,
    /// The last message read.
    pub seq: Seq,
}
frame!(MarkRead, Kind(0x132), 128 => Done);

/// Opens a chat stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenChat {
    /// The chat.
    pub chat: ChatId,
    /// The last message the client has; 0 for the whole history.
    pub after: Seq,
    /// The newest change the client has; 0 for all.
    pub revision: Revision,
}
frame!(OpenChat, Kind(0x200), 128);

/// The chat stream is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatOpened {
    /// The chat as it is now; messages up to [`Chat::last`] follow.
    pub chat: Chat,
}
frame!(ChatOpened, Kind(0x202), 1 << 20);

/// A message to post.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// Posted again with the same id, the message is not posted twice.
    pub client_id: ClientId,
    /// The text; may be missing when there are files.
    pub text: Option<MessageText>,
    /// Files that the sender uploaded or may read; at most
    /// [`MAX_FILES_PER_MESSAGE`](crate::limit::MAX_FILES_PER_MESSAGE).
    pub files: Vec<FileId>,
    /// The message it answers.
    pub reply_to: Option<Seq>,
}
frame!(Post, Kind(0x204), 48 << 10);

/// A message was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// Of the [`Post`] that this answers.
    pub client_id: ClientId,
    /// Its place in the chat.
    pub seq: Seq,
    /// When it was accepted.
    pub at: UnixMillis,
}
frame!(Posted, Kind(0x206), 128);

/// A message was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostRefused {
    /// Of the [`Post`] that this answers.
    pub client_id: ClientId,
    /// Why.
    pub refusal: Refusal,
}
frame!(PostRefused, Kind(0x208), 8 << 10);

/// A message that the client may hold was changed in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageChanged {
    /// The message as it is now.
    pub message: Message,
}
frame!(MessageChanged, Kind(0x20a), 64 << 10);

/// The sender is typing. Sent every few seconds while it is so; forgotten by the receiver after six.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typing {}
frame!(Typing, Kind(0x20d), 16);

/// A member is typing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypingBy {
    /// Who.
    pub user: UserId,
}
frame!(TypingBy, Kind(0x20f), 64);

/// The sender has read up to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// The last message read.
    pub seq: Seq,
}
frame!(Read, Kind(0x210), 32);

/// A member has read up to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadBy {
    /// Who.
    pub user: UserId,
    /// The last message they have read.
    pub seq: Seq,
}
frame!(ReadBy, Kind(0x212), 64);

/// Somebody joined or left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersChanged {
    /// The chat as it is now.
    pub chat: Chat,
}
frame!(MembersChanged, Kind(0x214), 1 << 20);

/// Which of the other members are connected at the moment: this and no one else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// Who, in no order.
    pub users: Vec<UserId>,
}
frame!(Present, Kind(0x217), 32 << 10);

/// Another member has connected, or has gone away and not come back for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceBy {
    /// Who.
    pub user: UserId,
    /// Whether they are connected now.
    pub present: bool,
}
frame!(PresenceBy, Kind(0x219), 64);

frame_set! {
    /// What a client may say on a chat stream.
    pub enum ChatIntent {
        /// Post a message.
        Post,
        /// I am typing.
        Typing,
        /// I have read up to here.
        Read,
    }
}

frame_set! {
    /// What a server may say on a chat stream after [`ChatOpened`].
    pub enum ChatUpdate {
        /// A message, in the order of sequence numbers.
        Message,
        /// A message was changed in place.
        MessageChanged,
        /// The client's post was accepted.
        Posted,
        /// The client's post was not accepted.
        PostRefused,
        /// A member is typing.
        TypingBy,
        /// A member has read up to here.
        ReadBy,
        /// Somebody joined or left.
        MembersChanged,
        /// Who is connected.
        Present,
        /// A member came or went.
        PresenceBy,
    }
}
