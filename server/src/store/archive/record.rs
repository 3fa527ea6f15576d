//! The records of an archive: everything that a server remembers, in a form that is neither backend's. What a backend keeps
//! only for itself (counters that act as locks, values derived from others) is not in it, and is made anew.

use crate::store::{messages::Message, sessions::Session, users::User};
use hypersend_protocol::{
    chat::{ChatKind, Role},
    hash::{RootHash, UploadKey},
    id::{ChatId, ClientId, Cursor, FileId, P2pId, Revision, Seq, UserId},
    name::{ChatTitle, FileName},
    p2p::P2pSession,
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};

/// One record. They come in the order of this list, those of one kind in the order of their keys, so that two archives of
/// the same records are equal byte for byte; a user's events come before the feed that they are in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// An account.
    User(User),
    /// A login.
    Session(Session),
    /// A chat with its members.
    Chat(Chat),
    /// A message, or a tombstone.
    Message(Message),
    /// A file, or an upload under way.
    File(File),
    /// A file stands in a message.
    Posting(Posting),
    /// The folder of this deleted file has to go.
    Removal(FileId),
    /// A transfer from client to client.
    P2p(P2p),
    /// An entry of a feed.
    Event(Event),
    /// A feed, behind its entries.
    Feed(Feed),
}

impl Record {
    /// The name of its kind.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Session(_) => "session",
            Self::Chat(_) => "chat",
            Self::Message(_) => "message",
            Self::File(_) => "file",
            Self::Posting(_) => "posting",
            Self::Removal(_) => "removal",
            Self::P2p(_) => "p2p",
            Self::Event(_) => "event",
            Self::Feed(_) => "feed",
        }
    }
}

/// A chat with its members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chat {
    /// Its id.
    pub id: ChatId,
    /// Direct or group.
    pub kind: ChatKind,
    /// A group's title.
    pub title: Option<ChatTitle>,
    /// The two users of a direct chat, the smaller id first.
    pub pair: Option<(UserId, UserId)>,
    /// Who made a group, and their client id, until they leave.
    pub made: Option<(UserId, ClientId)>,
    /// The newest message's number.
    pub last: Seq,
    /// When the newest message came.
    pub last_at: UnixMillis,
    /// The newest change's number.
    pub revision: Revision,
    /// By id.
    pub members: Vec<Member>,
}

/// A member of a chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// What they may do.
    pub role: Role,
    /// The last message they have read.
    pub read: Seq,
    /// When they joined.
    pub joined: UnixMillis,
}

/// A file, or an upload under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its id.
    pub id: FileId,
    /// Who uploads it.
    pub owner: UserId,
    /// The owner's key for its source.
    #[serde(with = "hex")]
    pub key: UploadKey,
    /// Its name.
    pub name: FileName,
    /// Its size, in bytes.
    pub size: u64,
    /// Its chunks' size, in bytes.
    pub chunk_size: u64,
    /// How far it is.
    pub stage: Stage,
}

/// How far a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its upload is under way.
    Open {
        /// When it was last begun or resumed.
        active: UnixMillis,
    },
    /// It is whole.
    Finished {
        /// Its BLAKE3 hash.
        #[serde(with = "hex")]
        root: RootHash,
        /// Since when.
        at: UnixMillis,
    },
}

/// A file stands in a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// The file.
    pub file: FileId,
    /// The message's chat.
    pub chat: ChatId,
    /// Its number.
    pub seq: Seq,
}

/// A transfer from client to client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct P2p {
    /// The sender's own id for it.
    pub client_id: ClientId,
    /// What both sides see of it.
    pub session: P2pSession,
}

/// An entry of a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Whose feed.
    pub user: UserId,
    /// Its place in it.
    pub cursor: Cursor,
    /// When.
    pub at: UnixMillis,
    /// In which chat.
    pub chat: ChatId,
    /// What.
    pub what: What,
}

/// What an entry of a feed says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A message was posted.
    Posted(Seq),
    /// A message was changed in place.
    Changed(Seq, Revision),
    /// A user joined.
    Joined(UserId),
    /// A user left.
    Left(UserId),
    /// The feed's owner has read up to here.
    Read(Seq),
    /// A transfer was offered, or got on.
    P2p(P2pId),
}

/// Where a feed begins and ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    /// Whose.
    pub user: UserId,
    /// The newest entry's cursor.
    pub head: Cursor,
    /// The newest forgotten one's.
    pub pruned: Cursor,
}

/// Hashes as people write them.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::{fmt::Display, str::FromStr};

    pub(super) fn serialize<S: Serializer>(hash: &impl Display, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(hash)
    }

    pub(super) fn deserialize<'a, T: FromStr<Err: Display>, D: Deserializer<'a>>(input: D) -> Result<T, D::Error> {
        String::deserialize(input)?.parse().map_err(D::Error::custom)
    }
}
