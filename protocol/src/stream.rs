//! Which frame may open a stream: one stream is one operation, and its first frame says which.
//!
//! The client opens all streams, all bidirectional. The very first one begins with a [`Greeting`]: it is the session stream
//! ([`session`](crate::session)), after which each later one begins with an [`Opening`]; or it is the stream of a mailbox, on a
//! connection that speaks for nobody ([`mailbox`](crate::mailbox)), and each later one a tunnel ([`tunnel`](crate::tunnel)).

use crate::{
    account::{EndSession, FindUser, GetMe, ListSessions, Logout, Rename, RenewTokens},
    chat::{
        AddMembers, CreateGroup, DeleteMessage, GetChat, GetHistory, ListChats, MarkRead, OpenChat, OpenDirect,
        PostMessage, RemoveMember,
    },
    event::OpenEvents,
    file::{BeginUpload, CancelUpload, DeleteFile, FinishUpload, GetFile, GetRange, GetValues, ListFiles, PutRange},
    frame::frame_set,
    mailbox::{ClaimMailbox, OpenMailbox, ResumeMailbox},
    p2p::{ChangeP2p, GetP2p, ListP2p, ListRelays, OfferP2p},
    session::Hello,
    signal::OpenSignals,
    tunnel::OpenTunnel,
    update::GetUpdate,
};

frame_set! {
    /// The first frame of a connection.
    pub enum Greeting {
        /// Says whom the connection speaks for.
        Hello,
        /// Opens a mailbox.
        OpenMailbox,
        /// Claims a mailbox.
        ClaimMailbox,
        /// Comes back to a mailbox.
        ResumeMailbox,
    }
}

frame_set! {
    /// The first frame of a later stream. All but the last six open a request stream: the client finishes after it, the
    /// server answers with one frame and finishes.
    pub enum Opening {
        /// Request.
        GetMe,
        /// Request.
        Logout,
        /// Request.
        RenewTokens,
        /// Request.
        FindUser,
        /// Request.
        ListSessions,
        /// Request.
        EndSession,
        /// Request.
        Rename,
        /// Request.
        GetUpdate,
        /// Request.
        ListChats,
        /// Request.
        OpenDirect,
        /// Request.
        CreateGroup,
        /// Request.
        GetChat,
        /// Request.
        AddMembers,
        /// Request.
        RemoveMember,
        /// Request.
        GetHistory,
        /// Request.
        PostMessage,
        /// Request.
        DeleteMessage,
        /// Request.
        MarkRead,
        /// Request.
        BeginUpload,
        /// Request.
        FinishUpload,
        /// Request.
        CancelUpload,
        /// Request.
        GetFile,
        /// Request.
        GetValues,
        /// Request.
        ListFiles,
        /// Request.
        DeleteFile,
        /// Request.
        OfferP2p,
        /// Request.
        GetP2p,
        /// Request.
        ListP2p,
        /// Request.
        ChangeP2p,
        /// Request.
        ListRelays,
        /// Opens a chat stream.
        OpenChat,
        /// Opens the event stream.
        OpenEvents,
        /// Opens a signal stream.
        OpenSignals,
        /// Opens a tunnel to a relay.
        OpenTunnel,
        /// Opens a chunk stream towards the server.
        PutRange,
        /// Opens a chunk stream towards the client.
        GetRange,
    }
}

/// How urgent the streams of a connection are, for QUIC's scheduler: larger goes first.
pub mod priority {
    /// Session, chat, event and signal streams.
    pub const CHAT: i32 = 2;
    /// Requests and their answers.
    pub const REQUEST: i32 = 1;
    /// Bulk bytes.
    pub const BULK: i32 = -1;
}
