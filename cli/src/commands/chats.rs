//! Reading chats.

use super::reference;
use crate::{
    connect::connect,
    context::Context,
    failure::Failure,
    view::{ChatList, History, MessageView, People, Style},
};
use hypersend_client::protocol::{id::Seq, limit::MAX_PAGE};
use serde::Serialize;
use std::{collections::VecDeque, fmt};

pub(super) async fn list(context: &Context) -> Result<(), Failure> {
    let session = connect(context).await?;
    let chats = reference::all(&session).await?;
    if chats.is_empty() {
        context.talk.say("no chats yet; hypersend send EMAIL TEXT begins one");
    }
    context.out.print(&ChatList::from(&*chats))
}

pub(super) async fn history(
    context: &Context,
    reference: &str,
    limit: u32,
    mut before: Option<Seq>,
) -> Result<(), Failure> {
    let session = connect(context).await?;
    let chat = reference::existing(&session, reference).await?;
    let mut messages = VecDeque::new();
    let (mut left, mut more) = (limit, true);
    while more && left > 0 {
        let page = session.ask(session.client.history(chat.id, before, left.min(MAX_PAGE))).await?;
        let Some(oldest) = page.messages.first().map(|message| message.seq) else {
            more = false;
            break;
        };
        left = left.saturating_sub(u32::try_from(page.messages.len()).unwrap_or(u32::MAX));
        (before, more) = (Some(oldest), page.more);
        page.messages.into_iter().rev().for_each(|message| messages.push_front(message));
    }
    let people = People::of(&chat);
    let messages = messages.iter().map(|message| MessageView::new(message, &people, Style::Dated)).collect();
    context.out.print(&History { messages, more })
}

/// What was done to one message, or up to one message.
#[derive(Serialize)]
struct Done {
    chat: String,
    seq: Seq,
    #[serde(skip)]
    said: &'static str,
}

/// People see that it worked by seeing nothing.
impl fmt::Display for Done {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl Done {
    fn print(&self, context: &Context) -> Result<(), Failure> {
        context.talk.say(&format!("{} #{}", self.said, self.seq));
        context.out.print(self)
    }
}

pub(super) async fn delete(context: &Context, reference: &str, seq: Seq) -> Result<(), Failure> {
    let session = connect(context).await?;
    let chat = reference::existing(&session, reference).await?.id;
    session.ask(session.client.delete_message(chat, seq)).await?;
    Done { chat: chat.to_string(), seq, said: "deleted" }.print(context)
}

pub(super) async fn mark_read(context: &Context, reference: &str) -> Result<(), Failure> {
    let session = connect(context).await?;
    let chat = reference::existing(&session, reference).await?;
    if chat.last > Seq(0) {
        session.ask(session.client.mark_read(chat.id, chat.last)).await?;
    }
    Done { chat: chat.id.to_string(), seq: chat.last, said: "read up to" }.print(context)
}
