//! An open chat, across connections.

use crate::{
    error::{Attempt, ClientError},
    link::{Link, Live},
};
use hypersend_protocol::{
    chat::{Chat, ChatOpened, ChatUpdate, Message, OpenChat, Post, Posted, Read, Typing},
    id::{ChatId, ClientId, FileId, Revision, Seq, UserId},
    name::MessageText,
    refusal::Refusal,
    stream::priority,
};
use hypersend_quic::frames::{FrameReader, SendError, send};
use quinn::SendStream;
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// Events that wait for a slow reader, and wishes that wait for a slow connection. When either is full its sender waits.
const WAITING: usize = 256;

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
}

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
            match self.serve(&live).await {
                Stop::Attempt(Attempt::Lost) => live.gone().await,
                Stop::Attempt(Attempt::Failed(error)) => return self.end(error).await,
                Stop::Dropped => return,
            }
        }
    }

    async fn end(&self, error: ClientError) {
        // Nobody listening any more is a fine end.
        let _ = self.events.send(Err(error)).await;
    }

    /// Serves one stream to its end.
    async fn serve(&mut self, live: &Live) -> Stop {
        match self.exchange(live).await {
            Ok(never) => match never {},
            Err(stop) => stop,
        }
    }

    async fn exchange(&mut self, live: &Live) -> Result<std::convert::Infallible, Stop> {
        let (mut out, stream) = live.connection.open_bi().await.map_err(|_| Attempt::Lost)?;
        let _ = out.set_priority(priority::CHAT);
        let mut reader = FrameReader::new(stream);
        let open = OpenChat { chat: self.chat, after: self.seq, revision: self.revision };
        send(&mut out, &open).await.map_err(|error| self.sending(error))?;
        let opened = reader.expect::<ChatOpened>().await;
        let ChatOpened { chat } = opened.map_err(|error| Attempt::receiving(self.link.server(), error))?;
        self.tell(ChatEvent::Opened(chat)).await?;
        self.repeat(&mut out).await?;
        loop {
            tokio::select! {
                update = reader.expect::<ChatUpdate>() => {
                    let update = update.map_err(|error| Attempt::receiving(self.link.server(), error))?;
                    self.update(update).await?;
                }
                wish = self.wishes.recv() => {
                    self.wish(&mut out, wish.ok_or(Stop::Dropped)?).await?;
                }
            }
        }
    }

    async fn repeat(&mut self, out: &mut SendStream) -> Result<(), Stop> {
        for (post, _) in &self.unanswered {
            send(out, post).await.map_err(|error| self.sending(error))?;
        }
        if let Some(seq) = self.read {
            send(out, &Read { seq }).await.map_err(|error| self.sending(error))?;
        }
        Ok(())
    }

    async fn update(&mut self, update: ChatUpdate) -> Result<(), Stop> {
        match update {
            ChatUpdate::Message(message) => {
                // A later number than expected would be a gap: the stream is opened anew rather than going on with one.
                if message.seq > self.seq.next() {
                    return Err(Attempt::Lost.into());
                }
                if message.seq == self.seq.next() {
                    self.seq = message.seq;
                    self.tell(ChatEvent::Message(message)).await?;
                }
            }
            ChatUpdate::MessageChanged(changed) => {
                self.revision = self.revision.max(changed.message.revision);
                self.tell(ChatEvent::Changed(changed.message)).await?;
            }
            ChatUpdate::Posted(posted) => self.answered(posted.client_id, Ok(posted)),
            ChatUpdate::PostRefused(refused) => self.answered(refused.client_id, Err(refused.refusal)),
            ChatUpdate::TypingBy(typing) => self.tell(ChatEvent::Typing(typing.user)).await?,
            ChatUpdate::ReadBy(read) => self.tell(ChatEvent::Read(read.user, read.seq)).await?,
            ChatUpdate::MembersChanged(members) => self.tell(ChatEvent::Members(members.chat)).await?,
        }
        Ok(())
    }

    fn answered(&mut self, client_id: ClientId, answer: Result<Posted, Refusal>) {
        if let Some(at) = self.unanswered.iter().position(|(post, _)| post.client_id == client_id) {
            let (_, caller) = self.unanswered.remove(at).expect("it is there");
            // The caller may have gone away; the message is posted all the same.
            let _ = caller.send(answer);
        }
    }

    async fn wish(&mut self, out: &mut SendStream, wish: Wish) -> Result<(), Stop> {
        let sent = match wish {
            Wish::Post(post, caller) => {
                self.unanswered.push_back((post, caller));
                let (post, _) = self.unanswered.back().expect("just pushed");
                send(out, post).await
            }
            Wish::Typing => send(out, &Typing {}).await,
            Wish::Read(seq) => {
                self.read = self.read.max(Some(seq));
                send(out, &Read { seq }).await
            }
        };
        Ok(sent.map_err(|error| self.sending(error))?)
    }

    async fn tell(&self, event: ChatEvent) -> Result<(), Stop> {
        self.events.send(Ok(event)).await.map_err(|_| Stop::Dropped)
    }

    fn sending(&self, error: SendError) -> Attempt {
        Attempt::sending(self.link.server(), error)
    }
}
