//! Messages.

use super::{People, file::CardView, words};
use hypersend_client::protocol::{chat::Message, time::UnixMillis};
use serde::Serialize;
use std::fmt;

/// How much of the time a line shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// `2026-11-23 09:40`: for lists.
    Dated,
    /// `09:40`: for what is happening.
    Live,
}

/// One message.
#[derive(Debug, Serialize)]
pub(crate) struct MessageView {
    chat: String,
    seq: u64,
    at: String,
    sender: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_name: Option<String>,
    text: Option<String>,
    files: Vec<CardView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<u64>,
    deleted: bool,
    #[serde(skip)]
    label: String,
    #[serde(skip)]
    moment: UnixMillis,
    #[serde(skip)]
    style: Style,
}

impl MessageView {
    pub(crate) fn new(message: &Message, people: &People, style: Style) -> Self {
        let sender = people.get(message.sender);
        Self {
            chat: message.chat.to_string(),
            seq: message.seq.0,
            at: message.at.to_string(),
            sender: message.sender.to_string(),
            sender_email: sender.map(|sender| sender.email.to_string()),
            sender_name: sender.map(|sender| sender.name.to_string()),
            text: message.text.as_ref().map(ToString::to_string),
            files: message.files.iter().map(CardView::from).collect(),
            reply_to: message.reply_to.map(|seq| seq.0),
            deleted: message.deleted.is_some(),
            label: people.label(message.sender),
            moment: message.at,
            style,
        }
    }
}

impl fmt::Display for MessageView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = match self.style {
            Style::Dated => words::minute(self.moment),
            Style::Live => words::clock(self.moment),
        };
        write!(f, "{time} #{} {}:", self.seq, self.label)?;
        if self.deleted {
            return f.write_str(" (deleted)");
        }
        if let Some(text) = &self.text {
            // Further lines are moved in, so that no message can look like two.
            write!(f, " {}", words::printable(text).replace('\n', "\n    "))?;
        }
        self.files.iter().try_for_each(|file| write!(f, "\n    file {file}"))
    }
}

/// Messages of one chat, oldest first.
#[derive(Debug, Serialize)]
pub(crate) struct History {
    pub(crate) messages: Vec<MessageView>,
    /// Whether there are older ones.
    pub(crate) more: bool,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.messages.iter().try_for_each(|message| writeln!(f, "{message}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypersend_client::protocol::{
        file::FileCard,
        id::{ChatId, ClientId, FileId, Revision, Seq, UserId},
    };
    use uuid::Uuid;

    fn message() -> Message {
        Message {
            chat: ChatId(Uuid::nil()),
            seq: Seq(12),
            sender: UserId(Uuid::nil()),
            client_id: ClientId(Uuid::nil()),
            at: UnixMillis(34_812_000),
            text: Some("one\n09:41 #13 Bob: two".parse().unwrap()),
            files: Vec::new(),
            reply_to: None,
            deleted: None,
            revision: Revision(0),
        }
    }

    fn shown(message: &Message) -> String {
        MessageView::new(message, &People::default(), Style::Live).to_string()
    }

    #[test]
    fn a_message_cannot_look_like_two() {
        assert_eq!(shown(&message()), "09:40 #12 somebody who has left: one\n    09:41 #13 Bob: two");
    }

    #[test]
    fn files_are_shown_with_the_id_to_fetch_them_by() {
        let card = FileCard { id: FileId(Uuid::from_u128(7)), name: "film.mkv".parse().unwrap(), size: 5 << 30 };
        let shown = shown(&Message { text: None, files: vec![card], ..message() });
        assert!(shown.ends_with("\n    file 00000000-0000-0000-0000-000000000007  film.mkv (5.0 GiB)"), "{shown}");
    }

    #[test]
    fn a_deleted_message_leaves_a_line() {
        let deleted = Message { text: None, deleted: Some(UnixMillis(1)), ..message() };
        assert!(shown(&deleted).ends_with(": (deleted)"));
    }
}
