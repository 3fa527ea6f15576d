//! Chats and their members.

use super::{messages::Message, users::User};
use hypersend_protocol::{
    account::Profile,
    chat::{ChatKind, Role},
    id::{ChatId, ClientId, Revision, Seq, UserId},
    name::ChatTitle,
    time::UnixMillis,
};

/// A chat with its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// Its id.
    pub id: ChatId,
    /// Direct or group.
    pub kind: ChatKind,
    /// A group's title.
    pub title: Option<ChatTitle>,
    /// The newest message's number.
    pub last: Seq,
    /// The newest change's number.
    pub revision: Revision,
    /// Owners first, then by name, then by id.
    pub members: Vec<Member>,
}

/// One member of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub profile: Profile,
    /// What they may do.
    pub role: Role,
    /// The last message they have read.
    pub read: Seq,
    /// When they joined.
    pub joined: UnixMillis,
}

/// A group to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGroup {
    /// Its id.
    pub id: ChatId,
    /// Its owner's own id for it.
    pub client_id: ClientId,
    /// Its title.
    pub title: ChatTitle,
    /// Its owner.
    pub owner: UserId,
    /// The others; the owner among them, and anybody twice, is overlooked.
    pub members: Vec<UserId>,
    /// The moment.
    pub now: UnixMillis,
}

/// One line of a user's list of chats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatLine {
    /// The chat.
    pub id: ChatId,
    /// Direct or group.
    pub kind: ChatKind,
    /// A group's title.
    pub title: Option<ChatTitle>,
    /// The other member of a direct chat.
    pub peer: Option<User>,
    /// The newest message.
    pub last_message: Option<Message>,
    /// How many messages the user has not read: the chat's last number less the member's read mark.
    pub unread: u64,
    /// When the newest message came, or the user joined, whichever is later.
    pub active: UnixMillis,
}

/// What became of adding members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddMembers {
    /// They are in; the chat as it is now.
    Done(Chat),
    /// The caller is not a member, or there is no such chat.
    NotFound,
    /// The caller is not an owner, or the chat is direct.
    Forbidden,
    /// The group would have more than [`MAX_MEMBERS`](hypersend_protocol::limit::MAX_MEMBERS).
    TooMany,
}

/// What became of taking a member out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoveMember {
    /// They are out.
    Done,
    /// The caller or the user is not a member, or there is no such chat.
    NotFound,
    /// The caller is neither the user nor an owner, or the chat is direct.
    Forbidden,
}
