//! Chats.

use super::{Person, words};
use hypersend_client::protocol::{
    chat::{Chat, ChatKind, ChatSummary, Member, Role},
    id::UserId,
};
use serde::Serialize;
use std::fmt;

/// What to call a chat: a group by its title, a direct chat by the other's name.
fn title(chat: &Chat, me: UserId) -> String {
    let other = || chat.members.iter().map(|member| &member.profile).find(|profile| profile.id != me);
    match &chat.title {
        Some(title) => words::printable(title.as_str()),
        None => other().map_or_else(|| "yourself".to_owned(), |other| Person::from(other).to_string()),
    }
}

/// One chat with its members.
#[derive(Debug, Serialize)]
pub(crate) struct ChatView {
    pub(crate) id: String,
    kind: ChatKind,
    pub(crate) title: String,
    members: Vec<MemberView>,
    last_seq: u64,
}

impl ChatView {
    pub(crate) fn new(chat: &Chat, me: UserId) -> Self {
        Self {
            id: chat.id.to_string(),
            kind: chat.kind,
            title: title(chat, me),
            members: chat.members.iter().map(MemberView::from).collect(),
            last_seq: chat.last.0,
        }
    }
}

/// The id alone: what the next command wants.
impl fmt::Display for ChatView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

/// A member of a chat.
#[derive(Debug, Serialize)]
struct MemberView {
    #[serde(flatten)]
    person: Person,
    role: Role,
    read_seq: u64,
}

impl From<&Member> for MemberView {
    fn from(member: &Member) -> Self {
        Self { person: Person::from(&member.profile), role: member.role, read_seq: member.read.0 }
    }
}

/// Who is in a chat.
#[derive(Debug, Serialize)]
pub(crate) struct MemberList {
    members: Vec<MemberView>,
}

impl From<&Chat> for MemberList {
    fn from(chat: &Chat) -> Self {
        Self { members: chat.members.iter().map(MemberView::from).collect() }
    }
}

impl fmt::Display for MemberList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.members.iter().try_for_each(|member| {
            let role = if member.role == Role::Owner { "  (owner)" } else { "" };
            writeln!(f, "{}{role}", member.person)
        })
    }
}

/// One line of the list of chats.
#[derive(Debug, Serialize)]
struct SummaryView {
    id: String,
    kind: ChatKind,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<Person>,
    unread: u64,
    active: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_text: Option<String>,
    #[serde(skip)]
    shown_active: String,
    #[serde(skip)]
    shown_last: String,
}

impl From<&ChatSummary> for SummaryView {
    fn from(chat: &ChatSummary) -> Self {
        let last = chat.last_message.as_ref();
        let text = last.and_then(|message| message.text.as_ref()).map(ToString::to_string);
        let shown_last = match last {
            None => String::new(),
            Some(message) if message.deleted.is_some() => "(deleted)".to_owned(),
            Some(message) => match (&text, &*message.files) {
                (Some(text), _) => text.clone(),
                (None, [file]) => format!("file {}", file.name),
                (None, files) => format!("{} files", files.len()),
            },
        };
        Self {
            id: chat.id.to_string(),
            kind: chat.kind,
            title: chat.title.clone(),
            peer: chat.peer.as_ref().map(Person::from),
            unread: chat.unread,
            active: chat.active.to_string(),
            last_seq: last.map(|message| message.seq.0),
            last_text: text,
            shown_active: words::minute(chat.active),
            shown_last,
        }
    }
}

impl fmt::Display for SummaryView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = self.peer.as_ref().map_or_else(|| words::printable(&self.title), Person::to_string);
        let unread = if self.unread > 0 { format!("{} new", self.unread) } else { String::new() };
        write!(f, "{}  {}  {unread:>7}  {title}", self.id, self.shown_active)?;
        if self.shown_last.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", words::short(&self.shown_last, 60))
    }
}

/// The list of chats.
#[derive(Debug, Serialize)]
pub(crate) struct ChatList {
    chats: Vec<SummaryView>,
}

impl From<&[ChatSummary]> for ChatList {
    fn from(chats: &[ChatSummary]) -> Self {
        Self { chats: chats.iter().map(SummaryView::from).collect() }
    }
}

impl fmt::Display for ChatList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chats.iter().try_for_each(|chat| writeln!(f, "{chat}"))
    }
}
