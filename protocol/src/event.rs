//! Event streams: what happens to a user outside the chats they have open.
//!
//! The client opens it with [`OpenEvents`]; the server answers with [`Event`]s after the cursor, then live ones, for the
//! life of the connection. Cursors are dense. Events are kept for some days: when the wanted ones are gone, or when no
//! cursor was given, the stream begins with [`EventsReset`], and the client reads its lists anew.

use crate::{
    chat::Message,
    frame::{Kind, frame, frame_set},
    id::{ChatId, Cursor, P2pId, Revision, Seq, UserId},
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};

/// Opens an event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenEvents {
    /// The last event the client has; none to begin with what happens from now on.
    pub after: Option<Cursor>,
}
frame!(OpenEvents, Kind(0x220), 64);

/// Events between the client's cursor and this one are not available.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsReset {
    /// The events that follow come after this one.
    pub cursor: Cursor,
}
frame!(EventsReset, Kind(0x222), 64);

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the user's feed.
    pub cursor: Cursor,
    /// When.
    pub at: UnixMillis,
    /// What.
    pub what: Happening,
}
frame!(Event, Kind(0x224), 72 << 10);

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// A message was posted in one of the user's chats.
    Posted {
        /// The message.
        message: Message,
    },
    /// A message was changed in place (deleted).
    Changed {
        /// The chat.
        chat: ChatId,
        /// The message.
        seq: Seq,
        /// The chat's revision since then.
        revision: Revision,
    },
    /// A user joined one of the user's chats; the user themselves when they were added to a chat.
    Joined {
        /// The chat.
        chat: ChatId,
        /// Who.
        user: UserId,
    },
    /// A user left one of the user's chats, or was taken out; perhaps the user themselves.
    Left {
        /// The chat.
        chat: ChatId,
        /// Who.
        user: UserId,
    },
    /// The user has read up to here, perhaps on another device.
    Read {
        /// The chat.
        chat: ChatId,
        /// The last message read.
        seq: Seq,
    },
    /// A transfer from or to the user was offered, or got on; how far, its session tells.
    P2p {
        /// The chat in which it is offered.
        chat: ChatId,
        /// The session.
        session: P2pId,
    },
}

frame_set! {
    /// What a server may say on the event stream.
    pub enum EventUpdate {
        /// The feed begins anew.
        EventsReset,
        /// Something happened.
        Event,
    }
}
