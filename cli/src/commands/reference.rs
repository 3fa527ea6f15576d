//! Which chat is meant: an email address, an id, or a group's title.

use crate::{connect::Session, failure::Failure};
use hypersend_client::protocol::{
    chat::{Chat, ChatKind, ChatSummary},
    id::ChatId,
    name::Email,
};

#[derive(Debug, PartialEq, Eq)]
enum Reference<'a> {
    Direct(Email),
    Id(ChatId),
    Title(&'a str),
}

impl<'a> Reference<'a> {
    fn parse(text: &'a str) -> Self {
        if let Ok(id) = text.parse() {
            return Self::Id(id);
        }
        match text.parse() {
            Ok(email) => Self::Direct(email),
            Err(_) => Self::Title(text.trim()),
        }
    }
}

/// Whether a direct chat is meant.
pub(super) fn is_person(text: &str) -> bool {
    matches!(Reference::parse(text), Reference::Direct(_))
}

/// Finds the chat; a direct chat that does not exist yet is made.
pub(super) async fn find(session: &Session, text: &str) -> Result<ChatId, Failure> {
    match Reference::parse(text) {
        Reference::Id(id) => Ok(id),
        Reference::Direct(email) => Ok(session.ask(session.client.open_direct(email)).await?.id),
        Reference::Title(title) => choose(title, &all(session).await?),
    }
}

/// Finds a chat that is there already: looking back makes none.
pub(super) async fn existing(session: &Session, text: &str) -> Result<Chat, Failure> {
    let Reference::Direct(email) = Reference::parse(text) else { return open(session, text).await };
    let chats = all(session).await?;
    let direct = chats.iter().find(|chat| chat.peer.as_ref().is_some_and(|peer| peer.email == email));
    let none = || {
        Failure::not_found(format!("there is no chat with {email}"))
            .or_try(format!("hypersend send {email} TEXT, to begin one"))
    };
    session.ask(session.client.chat(direct.ok_or_else(none)?.id)).await
}

/// Finds the chat, with its members.
pub(super) async fn open(session: &Session, text: &str) -> Result<Chat, Failure> {
    if let Reference::Direct(email) = Reference::parse(text) {
        return session.ask(session.client.open_direct(email)).await;
    }
    let id = find(session, text).await?;
    session.ask(session.client.chat(id)).await
}

/// All chats, the most recently active first.
pub(super) async fn all(session: &Session) -> Result<Vec<ChatSummary>, Failure> {
    let (mut chats, mut after) = (Vec::new(), None);
    loop {
        let page = session.ask(session.client.chats(after)).await?;
        chats.extend(page.chats);
        if page.next.is_none() {
            return Ok(chats);
        }
        after = page.next;
    }
}

/// The only group of that title; upper and lower case count when they help.
fn choose(title: &str, chats: &[ChatSummary]) -> Result<ChatId, Failure> {
    let groups = || chats.iter().filter(|chat| chat.kind == ChatKind::Group);
    let exact: Vec<ChatId> = groups().filter(|chat| chat.title == title).map(|chat| chat.id).collect();
    let folded = || {
        let same = |chat: &&ChatSummary| chat.title.to_lowercase() == title.to_lowercase();
        groups().filter(same).map(|chat| chat.id).collect()
    };
    let found = if exact.is_empty() { folded() } else { exact };
    match *found {
        [id] => Ok(id),
        [] => Err(Failure::not_found(format!("there is no group called {title:?} that you are in"))
            .or_try("hypersend chats lists your chats; a person is named by their email address")),
        _ => {
            let ids: Vec<String> = found.iter().map(ToString::to_string).collect();
            Err(Failure::usage(format!("{} groups are called {title:?}: {}", ids.len(), ids.join(", ")))
                .or_try("the id of the one you mean"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;
    use hypersend_client::protocol::time::UnixMillis;
    use uuid::Uuid;

    fn chat(id: u128, kind: ChatKind, title: &str) -> ChatSummary {
        ChatSummary {
            id: ChatId(Uuid::from_u128(id)),
            kind,
            title: title.to_owned(),
            peer: None,
            last_message: None,
            unread: 0,
            active: UnixMillis(0),
        }
    }

    #[test]
    fn the_form_says_what_is_meant() {
        assert_eq!(Reference::parse("Bob@x.org"), Reference::Direct("bob@x.org".parse().unwrap()));
        let id = ChatId(Uuid::from_u128(7));
        assert_eq!(Reference::parse(&id.to_string()), Reference::Id(id));
        assert_eq!(Reference::parse(" Team @ home "), Reference::Title("Team @ home"));
    }

    #[test]
    fn a_title_is_matched_exactly_before_loosely_and_only_among_groups() {
        let chats = [
            chat(1, ChatKind::Direct, "Team"),
            chat(2, ChatKind::Group, "team"),
            chat(3, ChatKind::Group, "Team"),
            chat(4, ChatKind::Group, "Family"),
        ];
        assert_eq!(choose("Team", &chats).unwrap().0.as_u128(), 3);
        assert_eq!(choose("team", &chats).unwrap().0.as_u128(), 2);
        assert_eq!(choose("FAMILY", &chats).unwrap().0.as_u128(), 4);
    }

    #[test]
    fn no_group_and_several_groups_say_what_to_do() {
        let chats = [chat(2, ChatKind::Group, "team"), chat(3, ChatKind::Group, "Team")];
        let several = choose("TEAM", &chats).unwrap_err();
        assert_eq!(several.exit, Exit::Usage);
        let text = several.as_text();
        assert!(chats.iter().all(|chat| text.contains(&chat.id.to_string())), "{text}");
        assert_eq!(choose("x", &chats).unwrap_err().exit, Exit::NotFound);
    }
}
