//! The client: requests, and the handles of what lasts longer.

use crate::{
    ChatHandle, Config, Credentials, Download, Events, ServerAddress, SignalChannel, Status, TokenStore, Upload,
    error::{Attempt, ClientError, wait_after},
    link::{Account, Link, Live, StatusCursor},
};
use hypersend_net::{
    connection::Connection,
    frames::{FrameReader, send},
};
use hypersend_protocol::{
    account::{Done, EndSession, FindUser, GetMe, ListSessions, Logout, Profile, Rename, SessionPage},
    chat::{
        AddMembers, Chat, ChatPage, ChatPosition, CreateGroup, DeleteMessage, GetChat, GetHistory, ListChats, MarkRead,
        MessagePage, OpenDirect, Post, PostMessage, Posted, RemoveMember,
    },
    file::{CancelUpload, DeleteFile, FileInfo, FilePage, GetFile, ListFiles},
    frame::Operation,
    id::{ChatId, ClientId, Cursor, FileId, P2pId, Revision, Seq, SessionId, UserId},
    limit::MAX_PAGE,
    name::{ChatTitle, DisplayName, Email, MessageText},
    p2p::{
        ChangeP2p, GetP2p, ListP2p, ListRelays, OfferP2p, OfferedFile, P2pPage, P2pPath, P2pSession, P2pStatus,
        RelayInfo,
    },
    refusal::ErrorCode,
    session::Welcome,
    stream::priority,
    update::{GetUpdate, Release},
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::time::sleep;
use uuid::Uuid;

/// A client of one server, logged in as one user; cloning shares it. Dropping the last clone, and the last handle made
/// from one, closes the connection.
#[derive(Clone, Debug)]
pub struct Client {
    link: Arc<Link>,
}

/// How often a request is repeated that the server could not answer for the moment.
const RETRIES: u32 = 5;

impl Client {
    /// Begins to connect, and goes on trying until the server answers; [`Client::ready`] waits for that. Must be called
    /// within a tokio runtime.
    pub fn start(config: Config, credentials: Credentials, tokens: Arc<dyn TokenStore>) -> Result<Self, ClientError> {
        Ok(Self { link: Arc::new(Link::start(config, Account::new(credentials, tokens))?) })
    }

    /// Waits for a connection; says whom it speaks for.
    pub async fn ready(&self) -> Result<Arc<Welcome>, ClientError> {
        Ok(self.link.live().await?.welcome)
    }

    /// Which server.
    pub fn server(&self) -> &ServerAddress {
        self.link.server()
    }

    /// What the client is doing about its connection.
    pub fn status(&self) -> Status {
        self.link.status()
    }

    /// Calls back at every change of [`Client::status`], for as long as the returned future is awaited.
    pub async fn watch_status(&self, mut told: impl FnMut(Status)) -> std::convert::Infallible {
        let mut seen = StatusCursor::default();
        loop {
            told(self.link.changed(&mut seen).await);
        }
    }

    /// The round trip time to the server, as measured on the connection of the moment.
    pub async fn round_trip(&self) -> Result<Duration, ClientError> {
        Ok(self.link.live().await?.connection.rtt())
    }

    /// Closes the connection in good order. Everything that is still under way on it fails.
    pub async fn close(&self) {
        self.link.close().await;
    }

    /// Ends the session: its tokens are worthless from now on.
    pub async fn logout(&self) -> Result<(), ClientError> {
        match self.ask(Logout {}).await {
            // The answer can be overtaken by the end that it announces.
            Err(error) if error.code() != Some(ErrorCode::SessionEnded) => Err(error),
            _ => Ok(()),
        }
    }

    /// A page of this user's logins that have not ended, newest first, older than `before`.
    pub async fn sessions(&self, before: Option<SessionId>) -> Result<SessionPage, ClientError> {
        self.ask(ListSessions { before, limit: MAX_PAGE }).await
    }

    /// Ends one of this user's logins; the client's own as [`Client::logout`] does.
    pub async fn end_session(&self, session: SessionId) -> Result<(), ClientError> {
        if self.ready().await?.session == session {
            return self.logout().await;
        }
        self.ask(EndSession { session }).await.map(drop)
    }

    /// The newest release of the client programs for a platform that is newer than `current`, if the operator publishes one.
    pub async fn update(&self, platform: &str, current: &str) -> Result<Option<Release>, ClientError> {
        Ok(self.ask(GetUpdate { platform: platform.to_owned(), current: current.to_owned() }).await?.newer)
    }

    /// Whom this client speaks for, as others see them now.
    pub async fn me(&self) -> Result<Profile, ClientError> {
        self.ask(GetMe {}).await
    }

    /// Changes what others see of this user.
    pub async fn rename(&self, name: DisplayName) -> Result<Profile, ClientError> {
        self.ask(Rename { name }).await
    }

    /// Who has this email address.
    pub async fn find_user(&self, email: Email) -> Result<Profile, ClientError> {
        self.ask(FindUser { email }).await
    }

    /// A page of chats, the most recently active first.
    pub async fn chats(&self, after: Option<ChatPosition>) -> Result<ChatPage, ClientError> {
        self.ask(ListChats { after, limit: MAX_PAGE }).await
    }

    /// One chat with its members.
    pub async fn chat(&self, chat: ChatId) -> Result<Chat, ClientError> {
        self.ask(GetChat { chat }).await
    }

    /// The direct chat with somebody; made if there is none.
    pub async fn open_direct(&self, email: Email) -> Result<Chat, ClientError> {
        self.ask(OpenDirect { email }).await
    }

    /// Makes a group with the caller as its owner.
    pub async fn create_group(&self, title: ChatTitle, members: Vec<Email>) -> Result<Chat, ClientError> {
        self.ask(CreateGroup { client_id: fresh_id(), title, members }).await
    }

    /// Adds members to a group.
    pub async fn add_members(&self, chat: ChatId, members: Vec<Email>) -> Result<Chat, ClientError> {
        self.ask(AddMembers { chat, members }).await
    }

    /// Takes somebody, perhaps oneself, out of a group.
    pub async fn remove_member(&self, chat: ChatId, user: UserId) -> Result<(), ClientError> {
        self.ask(RemoveMember { chat, user }).await.map(drop)
    }

    /// Messages before one (or the newest), at most `limit` and at most 200, oldest first.
    pub async fn history(&self, chat: ChatId, before: Option<Seq>, limit: u32) -> Result<MessagePage, ClientError> {
        self.ask(GetHistory { chat, before, limit }).await
    }

    /// Posts a message, once.
    pub async fn post(
        &self,
        chat: ChatId,
        text: Option<MessageText>,
        files: Vec<FileId>,
    ) -> Result<Posted, ClientError> {
        self.post_as(chat, Post { client_id: fresh_id(), text, files, reply_to: None }).await
    }

    /// Posts a message under an id of the caller's: it is posted once, even if this program dies and does it again.
    pub async fn post_as(&self, chat: ChatId, post: Post) -> Result<Posted, ClientError> {
        self.ask(PostMessage { chat, post }).await
    }

    /// Deletes a message for everybody; a tombstone stays.
    pub async fn delete_message(&self, chat: ChatId, seq: Seq) -> Result<(), ClientError> {
        self.ask(DeleteMessage { chat, seq }).await.map(drop)
    }

    /// Moves one's read mark forward.
    pub async fn mark_read(&self, chat: ChatId, seq: Seq) -> Result<(), ClientError> {
        self.ask(MarkRead { chat, seq }).await.map(drop)
    }

    /// Opens a chat: everything after `seq` and `revision`, then everything that happens. Zeros for the whole history.
    pub fn open_chat(&self, chat: ChatId, seq: Seq, revision: Revision) -> ChatHandle {
        ChatHandle::open(self.link.clone(), chat, seq, revision)
    }

    /// What happens outside open chats, after a cursor or from now on.
    pub fn events(&self, after: Option<Cursor>) -> Events {
        Events::new(self.link.clone(), after)
    }

    /// Uploads a file; begins at once. Uploading the same unchanged file again goes on where it was, or, when it was
    /// finished, ends at once.
    pub fn upload(&self, path: impl AsRef<Path>) -> Upload {
        Upload::start(self.clone(), path.as_ref().to_owned())
    }

    /// Downloads a file to a path at which there is nothing yet; begins at once. What has arrived stays beside the path
    /// until the file is whole, so that downloading it again goes on where it was.
    pub fn download(&self, file: FileId, to: impl AsRef<Path>) -> Download {
        Download::start(self.clone(), file, to.as_ref().to_owned())
    }

    /// One file.
    pub async fn file(&self, file: FileId) -> Result<FileInfo, ClientError> {
        self.ask(GetFile { file }).await
    }

    /// A page of the files that this user uploaded, newest first, older than `before`.
    pub async fn files(&self, before: Option<FileId>) -> Result<FilePage, ClientError> {
        self.ask(ListFiles { before, limit: MAX_PAGE }).await
    }

    /// Drops an upload that is under way, and what was stored of it.
    pub async fn cancel_upload(&self, file: FileId) -> Result<(), ClientError> {
        self.ask_to_remove(CancelUpload { file }).await
    }

    /// Deletes a file that this user uploaded: nobody can fetch it any more. Messages keep its card.
    pub async fn delete_file(&self, file: FileId) -> Result<(), ClientError> {
        self.ask_to_remove(DeleteFile { file }).await
    }

    /// Offers files to another member of a chat, to be sent from this client to theirs.
    pub async fn offer_p2p(
        &self,
        chat: ChatId,
        receiver: UserId,
        files: Vec<OfferedFile>,
    ) -> Result<P2pSession, ClientError> {
        self.offer_p2p_as(fresh_id(), chat, receiver, files).await
    }

    /// The same under an id of the caller's: it is one offer however often it is made.
    pub async fn offer_p2p_as(
        &self,
        client_id: ClientId,
        chat: ChatId,
        receiver: UserId,
        files: Vec<OfferedFile>,
    ) -> Result<P2pSession, ClientError> {
        self.ask(OfferP2p { client_id, chat, receiver, files }).await
    }

    /// One transfer between clients.
    pub async fn p2p_session(&self, session: P2pId) -> Result<P2pSession, ClientError> {
        self.ask(GetP2p { session }).await
    }

    /// A page of the transfers that this user sends or receives, newest first, older than `before`.
    pub async fn p2p_sessions(&self, before: Option<P2pId>) -> Result<P2pPage, ClientError> {
        self.ask(ListP2p { before, limit: MAX_PAGE }).await
    }

    /// Says how far a transfer has come.
    pub async fn change_p2p(
        &self,
        session: P2pId,
        status: Option<P2pStatus>,
        path: Option<P2pPath>,
    ) -> Result<P2pSession, ClientError> {
        self.ask(ChangeP2p { session, status, path }).await
    }

    /// The relays that take transfers, the least loaded first.
    pub async fn relays(&self) -> Result<Vec<RelayInfo>, ClientError> {
        Ok(self.ask(ListRelays {}).await?.relays)
    }

    /// Opens this user's side of a transfer that is not over: what it says to the other side by way of the server, and hears.
    /// An earlier one of the same user ends, on whichever device it is.
    pub async fn open_signals(&self, session: P2pId) -> Result<SignalChannel, ClientError> {
        SignalChannel::open(self.link.clone(), session).await
    }

    pub(crate) async fn live(&self) -> Result<Live, ClientError> {
        Ok(self.link.live().await?)
    }

    /// Asks on whatever connection there is, again after a lost one. Every operation may be repeated: those that make
    /// something carry the client's own id for it.
    async fn ask<O: Operation>(&self, operation: O) -> Result<O::Answer, ClientError> {
        self.ask_noting(operation, &mut false).await
    }

    /// Has something removed that cannot be found a second time.
    async fn ask_to_remove<O: Operation<Answer = Done>>(&self, operation: O) -> Result<(), ClientError> {
        let mut lost = false;
        match self.ask_noting(operation, &mut lost).await {
            // An attempt whose answer was lost has removed it.
            Err(error) if lost && error.code() == Some(ErrorCode::NotFound) => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Asks, and notes whether an attempt was lost on the way to the answer.
    async fn ask_noting<O: Operation>(&self, operation: O, lost: &mut bool) -> Result<O::Answer, ClientError> {
        let mut retries = 0;
        loop {
            let live = self.link.live().await?;
            match ask(&live.connection, self.server(), &operation).await {
                Ok(answer) => return Ok(answer),
                Err(Attempt::Lost) => {
                    *lost = true;
                    live.gone().await;
                }
                Err(Attempt::Failed(ClientError::Refused(refusal))) if refusal.code.is_transient() => {
                    if retries == RETRIES {
                        return Err(refusal.into());
                    }
                    retries += 1;
                    sleep(wait_after(&refusal)).await;
                }
                Err(Attempt::Failed(error)) => return Err(error),
            }
        }
    }
}

fn fresh_id() -> ClientId {
    ClientId(Uuid::new_v4())
}

/// Asks once, on one connection.
pub(crate) async fn ask<O: Operation>(
    connection: &Connection,
    server: &ServerAddress,
    operation: &O,
) -> Result<O::Answer, Attempt> {
    let (mut stream, answer) = connection.open_bi().await.map_err(|_| Attempt::Lost)?;
    stream.set_priority(priority::REQUEST);
    let mut answer = FrameReader::new(answer);
    let sent = send(&mut stream, operation).await;
    // A server that refuses may do so, and stop reading, before all is sent: its answer says more than that.
    if sent.is_ok() {
        stream.finish();
    }
    match answer.expect::<O::Answer>().await {
        Ok(answer) => Ok(answer),
        Err(received) => Err(match (sent, Attempt::receiving(server, received)) {
            (Err(error), Attempt::Lost) => Attempt::sending(server, error),
            (_, attempt) => attempt,
        }),
    }
}
