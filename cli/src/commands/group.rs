//! Groups.

use super::reference;
use crate::{
    args::GroupCommand,
    connect::{Session, connect},
    context::Context,
    failure::Failure,
    view::{ChatView, MemberList},
};
use hypersend_client::protocol::{
    chat::{Chat, ChatKind},
    name::Email,
};

pub(super) async fn run(context: &Context, command: GroupCommand) -> Result<(), Failure> {
    let session = connect(context).await?;
    let client = &session.client;
    let me = session.me().id;
    match command {
        GroupCommand::Create { title, emails } => {
            let chat = session.ask(client.create_group(title, emails)).await?;
            let view = ChatView::new(&chat, me);
            context.talk.say(&format!("made the group {} of {}", view.title, count(&chat)));
            context.out.print(&view)
        }
        GroupCommand::Add { chat, emails } => {
            let chat = group(&session, &chat).await?;
            let chat = session.ask(client.add_members(chat.id, emails)).await?;
            let view = ChatView::new(&chat, me);
            context.talk.say(&format!("{} has {} now", view.title, count(&chat)));
            context.out.print(&view)
        }
        GroupCommand::Remove { chat, email } => {
            let chat = group(&session, &chat).await?;
            remove(context, &session, chat, &email).await
        }
        GroupCommand::Leave { chat } => {
            let chat = group(&session, &chat).await?;
            remove(context, &session, chat, &session.me().email).await
        }
        GroupCommand::Members { chat } => {
            let chat = reference::open(&session, &chat).await?;
            context.out.print(&MemberList::from(&chat))
        }
    }
}

async fn group(session: &Session, text: &str) -> Result<Chat, Failure> {
    let direct = || Failure::usage("a direct chat has two members, for ever").or_try("a group's title or id");
    if reference::is_person(text) {
        return Err(direct());
    }
    let chat = reference::open(session, text).await?;
    match chat.kind {
        ChatKind::Group => Ok(chat),
        ChatKind::Direct => Err(direct()),
    }
}

async fn remove(context: &Context, session: &Session, mut chat: Chat, email: &Email) -> Result<(), Failure> {
    let at = chat.members.iter().position(|member| member.profile.email == *email);
    let title = ChatView::new(&chat, session.me().id).title;
    let at = at.ok_or_else(|| Failure::not_found(format!("{email} is not in {title}")))?;
    let member = chat.members.remove(at);
    session.ask(session.client.remove_member(chat.id, member.profile.id)).await?;
    context.talk.say(&format!("{email} is no longer in {title}"));
    context.out.print(&ChatView::new(&chat, session.me().id))
}

fn count(chat: &Chat) -> String {
    match chat.members.len() {
        1 => "1 member".to_owned(),
        members => format!("{members} members"),
    }
}
