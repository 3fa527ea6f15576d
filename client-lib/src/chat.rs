//! An open chat, across connections.
//!
//! One task reads the stream, writes to it and takes wishes, and none of these waits for another: a server that writes
//! while it reads nothing, or a reader that takes no events, would else stop everything for good. While nobody takes
//! events, none are read, and the answers to posts stay behind them in the stream; posts then go by request, each on a
//! stream of its own, one after the other. A post that went both ways is there once, by its client's id.

use crate::{
    client::ask,
    error::{Attempt, ClientError, Patience},
    link::{Link, Live},
};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use hypersend_net::frames::{FrameReader, RecvError};
use hypersend_net::stream::SendStream;
use hypersend_protocol::{
    chat::{Chat, ChatOpened, ChatUpdate, Message, OpenChat, Post, PostMessage, Posted, Read, Typing},
    frame::{Frame, encode},
    id::{ChatId, ClientId, FileId, Revision, Seq, UserId},
    name::MessageText,
    refusal::Refusal,
    stream::priority,
};
use std::{collections::VecDeque, convert::Infallible, iter, sync::Arc};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// Events that wait for a slow reader, and wishes that wait for a slow connection. When either is full its sender waits.
const WAITING: usize = 256;

/// Posts under way at once, of at most 48 KiB each; the next waits for an answer to one of them. More only fill the
/// server's window: at a round trip of 250 ms this is 128 messages a second.
const UNANSWERED: usize = 32;

/// Frames that wait to be written. Enough for a stream to begin with: what opens it, every unanswered post, the read mark.
const OUTBOX: usize = UNANSWERED + 2;

/// What happens in an open chat.
#[derive(Clone, Debug, PartialEq)]
pub enum ChatEvent {
    /// The chat is open, for the first time or after a lost connection; as it is now.
    Opened(Chat),
    /// A message, in the order of sequence numbers, each once.
    Message(Message),
    /// A message that came before was changed (deleted).
    Changed(Message),
    /// A member is typing.
    Typing(UserId),
    /// A member has read up to here.
    Read(UserId, Seq),
    /// Somebody joined or left; the chat as it is now.
    Members(Chat),
    /// Which of the other members are connected; replaces what was known of it.
    Present(Vec<UserId>),
    /// Another member has connected, or has gone away and not come back for a while.
    Presence(UserId, bool),
}

/// Why a message was not posted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PostError {
    /// The server said no, and why.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The chat has ended; [`ChatHandle::next`] says why.
    #[error("the chat is closed")]
    Closed,
}

/// An open chat. Events come in [`ChatHandle::next`]; what is posted survives a lost connection and is posted once.
/// Closed when dropped.
#[derive(Debug)]
pub struct ChatHandle {
    events: mpsc::Receiver<Result<ChatEvent, ClientError>>,
    wishes: mpsc::Sender<Wish>,
    _task: AbortOnDropHandle<()>,
}

/// A message on its way. Dropping this does not call it back.
#[derive(Debug)]
pub struct Posting(oneshot::Receiver<Result<Posted, Refusal>>);

impl Posting {
    /// Waits until the server has it.
    pub async fn posted(self) -> Result<Posted, PostError> {
        Ok(self.0.await.map_err(|_| PostError::Closed)??)
    }
}

#[derive(Debug)]
enum Wish {
    Post(Post, oneshot::Sender<Result<Posted, Refusal>>),
    Typing,
    Read(Seq),
}

impl ChatHandle {
    pub(crate) fn open(link: Arc<Link>, chat: ChatId, seq: Seq, revision: Revision) -> Self {
        let (event_sender, events) = mpsc::channel(WAITING);
        let (wishes, wish_receiver) = mpsc::channel(WAITING);
        let task = Task {
            link,
            chat,
            seq,
            revision,
            events: event_sender,
            wishes: wish_receiver,
            unanswered: VecDeque::new(),
            read: None,
            patience: Patience::default(),
        };
        Self { events, wishes, _task: AbortOnDropHandle::new(tokio::spawn(task.run())) }
    }

    /// The next event; after an error, no more. Cancel safe.
    pub async fn next(&mut self) -> Result<ChatEvent, ClientError> {
        self.events.recv().await.unwrap_or(Err(ClientError::Closed))
    }

    /// Posts a message; returns when the server has it. Messages of one handle are posted in the order of the calls.
    pub async fn post(&self, text: Option<MessageText>, files: Vec<FileId>) -> Result<Posted, PostError> {
        self.poster().post(text, files).await
    }

    /// Posts to this chat while [`ChatHandle::next`] is being awaited.
    pub fn poster(&self) -> ChatPoster {
        ChatPoster { wishes: self.wishes.clone() }
    }

    /// Tells the others that this user is typing. Repeat it every few seconds while it is so.
    pub async fn typing(&self) -> Result<(), PostError> {
        self.wish(Wish::Typing).await
    }

    /// Tells the others that this user has read up to a message.
    pub async fn read(&self, seq: Seq) -> Result<(), PostError> {
        self.wish(Wish::Read(seq)).await
    }

    async fn wish(&self, wish: Wish) -> Result<(), PostError> {
        self.wishes.send(wish).await.map_err(|_| PostError::Closed)
    }
}

/// Posts to an open chat, as long as its [`ChatHandle`] lives.
#[derive(Clone, Debug)]
pub struct ChatPoster {
    wishes: mpsc::Sender<Wish>,
}

impl ChatPoster {
    /// Posts a message; returns when the server has it.
    pub async fn post(&self, text: Option<MessageText>, files: Vec<FileId>) -> Result<Posted, PostError> {
        self.begin_post(text, files).await?.posted().await
    }

    /// Takes a message in; when this returns, its place among the messages of the chat's handle is fixed. For callers
    /// who post more while the answer is on its way.
    pub async fn begin_post(&self, text: Option<MessageText>, files: Vec<FileId>) -> Result<Posting, PostError> {
        let post = Post { client_id: ClientId(Uuid::new_v4()), text, files, reply_to: None };
        let (answer, answered) = oneshot::channel();
        self.wishes.send(Wish::Post(post, answer)).await.map_err(|_| PostError::Closed)?;
        Ok(Posting(answered))
    }
}

/// Owns the stream, and opens another when it is lost.
struct Task {
    link: Arc<Link>,
    chat: ChatId,
    /// The last message given out.
    seq: Seq,
    /// The last change given out. Only changes move it: a message may carry a later one.
    revision: Revision,
    events: mpsc::Sender<Result<ChatEvent, ClientError>>,
    wishes: mpsc::Receiver<Wish>,
    /// Posts without an answer, oldest first: sent again on every new stream.
    unanswered: VecDeque<(Post, oneshot::Sender<Result<Posted, Refusal>>)>,
    /// The read mark, likewise.
    read: Option<Seq>,
    patience: Patience,
}

/// What comes on a chat stream.
enum Heard {
    Opened(ChatOpened),
    Update(ChatUpdate),
}

/// A place in the queue of events.
type Place<'a> = mpsc::Permit<'a, Result<ChatEvent, ClientError>>;

/// The outcome of a post by request.
type ByRequest = BoxFuture<'static, (ClientId, Result<Posted, Attempt>)>;

/// Why the task goes on without a stream, or not at all.
enum Stop {
    Attempt(Attempt),
    /// Nobody listens any more.
    Dropped,
}

impl From<Attempt> for Stop {
    fn from(attempt: Attempt) -> Self {
        Self::Attempt(attempt)
    }
}

impl Task {
    async fn run(mut self) {
        loop {
            let live = match self.link.live().await {
                Ok(live) => live,
                Err(closed) => return self.end(closed.into()).await,
            };
            let Err(stop) = self.exchange(&live).await;
            match stop {
                Stop::Attempt(attempt) => {
                    if let Err(error) = self.patience.wait_out(attempt, &live).await {
                        return self.end(error).await;
                    }
                }
                Stop::Dropped => return,
            }
        }
    }

    async fn end(self, error: ClientError) {
        let Self { events, wishes, unanswered, .. } = self;
        // Whoever posts learns of the end now, and not when somebody takes the events before it.
        drop((wishes, unanswered));
        // Nobody listening any more is a fine end.
        let _ = events.send(Err(error)).await;
    }

    /// Serves one stream to its end.
    async fn exchange(&mut self, live: &Live) -> Result<Infallible, Stop> {
        let (out, stream) = live.connection.open_bi().await.map_err(|_| Attempt::Lost)?;
        out.set_priority(priority::CHAT);
        let (outbox, frames) = mpsc::channel(OUTBOX);
        self.begin(&outbox)?;
        let writing = write(out, frames);
        tokio::pin!(writing);
        let (mut reader, mut opened) = (FrameReader::new(stream), false);
        // Cloned, so that a place in it can be held while the rest of the task changes.
        let events = self.events.clone();
        let mut by_request: Option<ByRequest> = None;
        loop {
            if events.capacity() == 0 && by_request.is_none() {
                by_request = self.unanswered.front().map(|(post, _)| self.post_by_request(live, post.clone()));
            }
            let takes_wishes = self.unanswered.len() < UNANSWERED;
            tokio::select! {
                heard = hear(&events, &mut reader, opened) => {
                    let (place, heard) = heard?;
                    let heard = heard.map_err(|error| Attempt::receiving(self.link.server(), error))?;
                    opened = true;
                    self.heard(place, heard)?;
                }
                wish = wish(&outbox, &mut self.wishes), if takes_wishes => {
                    let (place, wish) = wish.ok_or(Stop::Dropped)?;
                    place.send(self.frame_of(wish)?);
                }
                (client_id, posted) = async { by_request.as_mut().expect("checked").await }, if by_request.is_some() => {
                    by_request = None;
                    match posted {
                        Ok(posted) => self.answered(client_id, Ok(posted)),
                        Err(Attempt::Failed(ClientError::Refused(refusal))) if !refusal.code.is_transient() => {
                            self.answered(client_id, Err(refusal));
                        }
                        Err(attempt) => return Err(attempt.into()),
                    }
                }
                never = &mut writing => match never {},
            }
        }
    }

    /// The first frames of a stream. What was posted on an earlier one is posted again.
    fn begin(&self, outbox: &mpsc::Sender<Bytes>) -> Result<(), Attempt> {
        let open = OpenChat { chat: self.chat, after: self.seq, revision: self.revision };
        let read = self.read.map(|seq| self.frame(&Read { seq }));
        let posts = self.unanswered.iter().map(|(post, _)| self.frame(post));
        for frame in iter::once(self.frame(&open)).chain(posts).chain(read) {
            outbox.try_send(frame?).expect("an empty outbox has room for them");
        }
        Ok(())
    }

    fn post_by_request(&self, live: &Live, post: Post) -> ByRequest {
        let (connection, server, chat) = (live.connection.clone(), self.link.server().clone(), self.chat);
        async move { (post.client_id, ask(&connection, &server, &PostMessage { chat, post }).await) }.boxed()
    }

    fn heard(&mut self, place: Place<'_>, heard: Heard) -> Result<(), Attempt> {
        let update = match heard {
            Heard::Opened(ChatOpened { chat }) => {
                place.send(Ok(ChatEvent::Opened(chat)));
                return Ok(());
            }
            Heard::Update(update) => update,
        };
        // Not at the opening, after which a server may still refuse to go on.
        self.patience.rest();
        if let Some(event) = self.update(update)? {
            place.send(Ok(event));
        }
        Ok(())
    }

    fn update(&mut self, update: ChatUpdate) -> Result<Option<ChatEvent>, Attempt> {
        Ok(Some(match update {
            // A later number than expected would be a gap: the stream is opened anew rather than going on with one.
            ChatUpdate::Message(message) if message.seq > self.seq.next() => return Err(Attempt::Lost),
            ChatUpdate::Message(message) if message.seq < self.seq.next() => return Ok(None),
            ChatUpdate::Message(message) => {
                self.seq = message.seq;
                ChatEvent::Message(message)
            }
            ChatUpdate::MessageChanged(changed) => {
                self.revision = self.revision.max(changed.message.revision);
                ChatEvent::Changed(changed.message)
            }
            ChatUpdate::Posted(posted) => {
                self.answered(posted.client_id, Ok(posted));
                return Ok(None);
            }
            ChatUpdate::PostRefused(refused) => {
                self.answered(refused.client_id, Err(refused.refusal));
                return Ok(None);
            }
            ChatUpdate::TypingBy(typing) => ChatEvent::Typing(typing.user),
            ChatUpdate::ReadBy(read) => ChatEvent::Read(read.user, read.seq),
            ChatUpdate::MembersChanged(members) => ChatEvent::Members(members.chat),
            ChatUpdate::Present(present) => ChatEvent::Present(present.users),
            ChatUpdate::PresenceBy(presence) => ChatEvent::Presence(presence.user, presence.present),
        }))
    }

    fn answered(&mut self, client_id: ClientId, answer: Result<Posted, Refusal>) {
        if let Some(at) = self.unanswered.iter().position(|(post, _)| post.client_id == client_id) {
            let (_, caller) = self.unanswered.remove(at).expect("it is there");
            // The caller may have gone away; the message is posted all the same.
            let _ = caller.send(answer);
        }
    }

    /// Takes note of a wish; gives what is to be written.
    fn frame_of(&mut self, wish: Wish) -> Result<Bytes, Attempt> {
        match wish {
            Wish::Post(post, caller) => {
                let frame = self.frame(&post);
                self.unanswered.push_back((post, caller));
                frame
            }
            Wish::Typing => self.frame(&Typing {}),
            Wish::Read(seq) => {
                self.read = self.read.max(Some(seq));
                self.frame(&Read { seq })
            }
        }
    }

    fn frame<F: Frame>(&self, frame: &F) -> Result<Bytes, Attempt> {
        let encoded = encode(frame).map_err(|error| Attempt::sending(self.link.server(), error.into()))?;
        Ok(encoded.into())
    }
}

/// The next frame, and a place for the event that it brings: nothing is read while there is none. Cancel safe.
async fn hear<'a>(
    events: &'a mpsc::Sender<Result<ChatEvent, ClientError>>,
    reader: &mut FrameReader,
    opened: bool,
) -> Result<(Place<'a>, Result<Heard, RecvError>), Stop> {
    let place = events.reserve().await.map_err(|_| Stop::Dropped)?;
    let heard =
        if opened { reader.expect().await.map(Heard::Update) } else { reader.expect().await.map(Heard::Opened) };
    Ok((place, heard))
}

/// The next wish, and a place for its frame. Cancel safe.
async fn wish<'a>(
    outbox: &'a mpsc::Sender<Bytes>,
    wishes: &mut mpsc::Receiver<Wish>,
) -> Option<(mpsc::Permit<'a, Bytes>, Wish)> {
    let place = outbox.reserve().await.ok()?;
    Some((place, wishes.recv().await?))
}

/// Writes frames for as long as it is awaited.
async fn write(mut out: SendStream, mut frames: mpsc::Receiver<Bytes>) -> Infallible {
    while let Some(frame) = frames.recv().await {
        if out.write(frame).await.is_err() {
            break;
        }
    }
    // A server that refuses stops reading before it is understood: why, the reader hears.
    std::future::pending().await
}
