//! Chats that a WebSocket watches: who in them is present, and who is typing.

use crate::{
    hub::{ChatNotice, Missed},
    services::{Caller, ChatError, Services},
    store::events::Happening,
};
use futures::{
    StreamExt,
    future::{AbortHandle, Abortable},
    stream::{self, BoxStream, SelectAll},
};
use hypersend_protocol::{
    id::{ChatId, UserId},
    refusal::{ErrorCode, Refusal},
};
use serde::Serialize;
use std::collections::HashMap;
use uuid::Uuid;

/// How many chats one WebSocket watches: those that a page shows, and some more. Each costs a listener's backlog.
const MOST_WATCHED: usize = 32;

/// What is told of a chat that is watched.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Seen {
    /// The other members who are present; replaces what was known.
    Present { chat: Uuid, users: Vec<Uuid> },
    /// Another member came or went.
    Presence { chat: Uuid, user: Uuid, present: bool },
    /// Another member is typing.
    Typing { chat: Uuid, user: Uuid },
}

type Heard = (ChatId, Result<ChatNotice, Missed>);

/// The chats.
#[derive(Default)]
pub(super) struct Watched {
    notices: SelectAll<BoxStream<'static, Heard>>,
    chats: HashMap<ChatId, AbortHandle>,
}

impl Watched {
    /// Begins to watch one of the caller's chats; says who is present.
    pub(super) async fn watch(&mut self, services: &Services, me: &Caller, chat: ChatId) -> Result<Seen, Refusal> {
        if !self.chats.contains_key(&chat) && self.chats.len() >= MOST_WATCHED {
            let message = format!("{MOST_WATCHED} chats are watched on this connection already; unwatch one first");
            return Err(Refusal::new(ErrorCode::LimitReached, message).with_limit(MOST_WATCHED as u64));
        }
        // Listens first and looks then, so that nothing falls between.
        let listener = services.chats.hub().chat(chat);
        let seen = present(services, me, chat).await?;
        let notices = stream::unfold(listener, move |mut listener| async move {
            let notice = listener.next().await;
            Some(((chat, notice), listener))
        });
        let (handle, registration) = AbortHandle::new_pair();
        self.notices.push(Abortable::new(notices, registration).boxed());
        if let Some(before) = self.chats.insert(chat, handle) {
            before.abort();
        }
        Ok(seen)
    }

    /// Stops.
    pub(super) fn unwatch(&mut self, chat: ChatId) {
        if let Some(handle) = self.chats.remove(&chat) {
            handle.abort();
        }
    }

    /// What is heard next, once there is anything to be heard. Cancel safe.
    pub(super) async fn next(&mut self) -> Heard {
        loop {
            if self.notices.is_empty() {
                std::future::pending::<()>().await;
            }
            // A chat that is no longer watched ends without a word.
            if let Some(heard) = self.notices.next().await {
                return heard;
            }
        }
    }

    /// What that says to the client. Whoever is no longer in the chat hears nothing more of it.
    pub(super) async fn tell(&mut self, services: &Services, me: &Caller, (chat, notice): Heard) -> Vec<Seen> {
        match notice {
            Ok(ChatNotice::Typing(user)) if user != me.id() => vec![Seen::Typing { chat: chat.0, user: user.0 }],
            Ok(ChatNotice::Typing(_)) => Vec::new(),
            Ok(ChatNotice::Presence(changes)) => {
                let others = changes.iter().filter(|(user, _)| *user != me.id());
                others.map(|&(user, present)| Seen::Presence { chat: chat.0, user: user.0, present }).collect()
            }
            Ok(ChatNotice::Committed(fanout)) => match fanout.what {
                Happening::Left(user) if user == me.id() => {
                    self.unwatch(chat);
                    Vec::new()
                }
                Happening::Joined(_) | Happening::Left(_) => self.anew(services, me, chat).await,
                _ => Vec::new(),
            },
            Err(Missed) => self.anew(services, me, chat).await,
        }
    }

    async fn anew(&mut self, services: &Services, me: &Caller, chat: ChatId) -> Vec<Seen> {
        match present(services, me, chat).await {
            Ok(seen) => vec![seen],
            Err(ChatError::NoChat) => {
                self.unwatch(chat);
                Vec::new()
            }
            // The store does not answer; the next change is told all the same.
            Err(_) => Vec::new(),
        }
    }
}

async fn present(services: &Services, me: &Caller, chat: ChatId) -> Result<Seen, ChatError> {
    let members = services.chats.chat(me, chat).await?;
    let users = services.presence.others(&members, me.id()).into_iter().map(|UserId(user)| user).collect();
    Ok(Seen::Present { chat: chat.0, users })
}
