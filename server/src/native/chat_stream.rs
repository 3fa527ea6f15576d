//! An open chat: what it was, then what happens.
//!
//! The store is the truth and the hub only says when to look. The stream listens first and reads then, so nothing falls
//! between; it knows the last number and the last revision that it has sent, so nothing comes twice. Whatever is not the
//! next in line (a gap after falling behind) is read from the store.

use super::{
    connection::{Ending, Peer, gone},
    wire,
};
use crate::{
    hub::{ChatNotice, Missed},
    services::ChatError,
    store::{
        chats::Chat,
        events::{Fanout, Happening},
        messages::Message,
    },
};
use hypersend_net::frames::{FrameReader, RecvError, SendError, send};
use hypersend_net::stream::SendStream;
use hypersend_protocol::{
    chat::{
        ChatIntent, ChatOpened, MembersChanged, MessageChanged, OpenChat, Post, PostRefused, PresenceBy, Present,
        ReadBy, TypingBy,
    },
    frame::{Frame, encode},
    id::{ChatId, Revision, Seq, UserId},
    refusal::{ErrorCode, Refusal},
};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

/// How often one stream's user is shown as typing. Clients say it every few seconds; more would push messages out of the
/// others' backlogs.
const TYPING_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn serve(
    peer: &Peer,
    open: OpenChat,
    out: &mut SendStream,
    reader: &mut FrameReader,
) -> Result<(), Ending> {
    let chats = &peer.services.chats;
    let mut notices = chats.hub().chat(open.chat);
    let chat = chats.chat(&peer.me, open.chat).await?;
    let (members, users) = (digest(&chat), peer.services.presence.others(&chat, peer.me.id()));
    send(out, &ChatOpened { chat: wire::chat(chat) }).await.map_err(gone)?;
    send(out, &Present { users }).await.map_err(gone)?;
    let OpenChat { chat, after: seq, revision } = open;
    let mut stream = ChatStream { peer, out, chat, seq, revision, members, typed: None };
    stream.catch_up().await?;
    loop {
        tokio::select! {
            notice = notices.next() => match notice {
                Ok(ChatNotice::Committed(fanout)) => stream.committed(&fanout).await?,
                Ok(ChatNotice::Typing(user)) if user != peer.me.id() => stream.say(&TypingBy { user }).await?,
                Ok(ChatNotice::Typing(_)) => {}
                Ok(ChatNotice::Presence(changes)) => stream.presence(&changes).await?,
                Err(Missed) => stream.start_over().await?,
            },
            intent = reader.next::<ChatIntent>() => match intent {
                Ok(Some(intent)) => stream.intent(intent).await?,
                Ok(None) => return Ok(()),
                Err(RecvError::Frame(error)) => return Err(error.into()),
                Err(_) => return Err(Ending::Gone),
            },
            () = peer.ending.cancelled() => return Ok(()),
        }
    }
}

struct ChatStream<'a> {
    peer: &'a Peer,
    out: &'a mut SendStream,
    chat: ChatId,
    /// The last message sent.
    seq: Seq,
    /// The last change sent, or overtaken by sending the message as changed.
    revision: Revision,
    /// Of the members as they were last sent.
    members: u64,
    /// When the user was last shown as typing.
    typed: Option<Instant>,
}

/// Tells whether somebody came, went or became owner: a group's members are too many to keep for each stream.
fn digest(chat: &Chat) -> u64 {
    let mut hasher = DefaultHasher::new();
    for member in &chat.members {
        (member.profile.id, member.role as u8).hash(&mut hasher);
    }
    hasher.finish()
}

impl ChatStream<'_> {
    async fn say<F: Frame>(&mut self, frame: &F) -> Result<(), Ending> {
        send(self.out, frame).await.map_err(gone)
    }

    /// Sends what the store has beyond what was sent: changes to what the client holds, then new messages.
    async fn catch_up(&mut self) -> Result<(), Ending> {
        loop {
            let changed = self.peer.services.chats.messages_changed(self.chat, self.revision).await?;
            let Some(last) = changed.last() else { break };
            self.revision = last.revision;
            for message in changed {
                // What the client does not hold yet it gets below, as it is now.
                if message.seq <= self.seq {
                    self.say(&MessageChanged { message: wire::message(message) }).await?;
                }
            }
        }
        loop {
            let messages = self.peer.services.chats.messages_after(self.chat, self.seq).await?;
            if messages.is_empty() {
                return Ok(());
            }
            for message in messages {
                self.seq = message.seq;
                self.say(&wire::message(message)).await?;
            }
        }
    }

    /// After notices were missed: everything that they could have said, but for read marks within what was sent before.
    /// Those are hints, and the next one makes up for them.
    async fn start_over(&mut self) -> Result<(), Ending> {
        let chat = self.chat_now().await?;
        let moved = chat.members.iter().filter(|member| member.read > self.seq);
        let read: Vec<_> = moved.map(|member| ReadBy { user: member.profile.id, seq: member.read }).collect();
        if digest(&chat) == self.members {
            self.present(&chat).await?;
        }
        self.members(chat).await?;
        self.catch_up().await?;
        for read in read {
            self.say(&read).await?;
        }
        Ok(())
    }

    /// The chat as it is now; the end of the stream for somebody who is no longer in it.
    async fn chat_now(&self) -> Result<Chat, Ending> {
        Ok(self.peer.services.chats.chat(&self.peer.me, self.chat).await?)
    }

    /// Sends the members if they are not those that were sent last.
    async fn members(&mut self, chat: Chat) -> Result<(), Ending> {
        let members = digest(&chat);
        if members == self.members {
            return Ok(());
        }
        self.members = members;
        let users = self.peer.services.presence.others(&chat, self.peer.me.id());
        self.say(&MembersChanged { chat: wire::chat(chat) }).await?;
        self.say(&Present { users }).await
    }

    async fn present(&mut self, chat: &Chat) -> Result<(), Ending> {
        let users = self.peer.services.presence.others(chat, self.peer.me.id());
        self.say(&Present { users }).await
    }

    /// Sends who came and went, in one piece: when a server starts, all of a large group come at once.
    async fn presence(&mut self, changes: &[(UserId, bool)]) -> Result<(), Ending> {
        let mut frames = Vec::new();
        for &(user, present) in changes.iter().filter(|(user, _)| *user != self.peer.me.id()) {
            frames.extend(encode(&PresenceBy { user, present }).map_err(SendError::from).map_err(gone)?);
        }
        if frames.is_empty() { Ok(()) } else { self.out.write(frames.into()).await.map_err(gone) }
    }

    async fn committed(&mut self, fanout: &Fanout) -> Result<(), Ending> {
        match &fanout.what {
            Happening::Posted(message) => self.posted(message).await,
            Happening::Changed(message) => self.changed(message).await,
            Happening::Left(user) if *user == self.peer.me.id() => {
                Err(Refusal::new(ErrorCode::NotFound, "you are no longer in this chat").into())
            }
            Happening::Joined(_) | Happening::Left(_) => {
                let chat = self.chat_now().await?;
                self.members(chat).await
            }
            // On its two members' event streams.
            Happening::P2p(_) => Ok(()),
            Happening::Read(user, seq) => self.say(&ReadBy { user: *user, seq: *seq }).await,
        }
    }

    async fn posted(&mut self, message: &Message) -> Result<(), Ending> {
        if message.seq == self.seq.next() {
            self.seq = message.seq;
            return self.say(&wire::message(message.clone())).await;
        }
        if message.seq > self.seq { self.catch_up().await } else { Ok(()) }
    }

    async fn changed(&mut self, message: &Message) -> Result<(), Ending> {
        if message.seq <= self.seq && message.revision == self.revision.next() {
            self.revision = message.revision;
            return self.say(&MessageChanged { message: wire::message(message.clone()) }).await;
        }
        if message.revision > self.revision { self.catch_up().await } else { Ok(()) }
    }

    async fn intent(&mut self, intent: ChatIntent) -> Result<(), Ending> {
        let chats = &self.peer.services.chats;
        match intent {
            ChatIntent::Post(post) => self.post(post).await,
            ChatIntent::Typing(_) => {
                if self.typed.is_none_or(|typed| typed.elapsed() >= TYPING_EVERY) {
                    self.typed = Some(Instant::now());
                    chats.typing(&self.peer.me, self.chat).await;
                }
                Ok(())
            }
            ChatIntent::Read(read) => {
                chats.mark_read(&self.peer.me, self.chat, read.seq).await?;
                Ok(())
            }
        }
    }

    async fn post(&mut self, post: Post) -> Result<(), Ending> {
        let client_id = post.client_id;
        match self.peer.services.chats.post(&self.peer.me, self.chat, post).await {
            Ok(posted) => self.say(&posted).await,
            Err(error @ ChatError::NoChat) => Err(error.into()),
            Err(error) => match Refusal::from(error) {
                // The client sends it again, and those behind it, which must not overtake it.
                refusal if refusal.code.is_transient() => Err(refusal.into()),
                refusal => self.say(&PostRefused { client_id, refusal }).await,
            },
        }
    }
}
