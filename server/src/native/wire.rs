//! Domain records as frames.

use crate::{
    services::{Build, Release},
    store::{
        chats::{Chat, ChatLine},
        events::{Entry, Event},
        files::File,
        messages::Message,
        sessions::Session,
    },
};
use hypersend_protocol::{account, chat, event, file, id::SessionId, limit::MAX_PAGE, update};

/// A session, to a caller who comes by `current`.
pub(super) fn session(session: Session, current: SessionId) -> account::SessionInfo {
    account::SessionInfo {
        id: session.id,
        agent: session.agent,
        created: session.created,
        renewed: session.rotated,
        expires: session.expires,
        current: session.id == current,
    }
}

pub(super) fn chat(chat: Chat) -> chat::Chat {
    let members = chat.members.into_iter().map(|member| chat::Member {
        profile: member.profile,
        role: member.role,
        read: member.read,
    });
    chat::Chat {
        id: chat.id,
        kind: chat.kind,
        title: chat.title,
        members: members.collect(),
        last: chat.last,
        revision: chat.revision,
    }
}

/// A page of at most `limit` lines; a full one may have another behind it.
pub(super) fn chat_page(lines: Vec<ChatLine>, limit: u32) -> chat::ChatPage {
    let full = lines.len() >= limit.clamp(1, MAX_PAGE) as usize;
    let next = lines.last().filter(|_| full).map(|last| chat::ChatPosition { active: last.active, id: last.id });
    chat::ChatPage { chats: lines.into_iter().map(summary).collect(), next }
}

fn summary(line: ChatLine) -> chat::ChatSummary {
    let title = match (&line.title, &line.peer) {
        (Some(title), _) => title.to_string(),
        (None, Some(peer)) => peer.name.to_string(),
        (None, None) => String::new(),
    };
    chat::ChatSummary {
        id: line.id,
        kind: line.kind,
        title,
        peer: line.peer.map(Into::into),
        last_message: line.last_message.map(message),
        unread: line.unread,
        active: line.active,
    }
}

pub(super) fn message(message: Message) -> chat::Message {
    chat::Message {
        chat: message.chat,
        seq: message.seq,
        sender: message.sender,
        client_id: message.client_id,
        at: message.at,
        text: message.text,
        files: message.files,
        reply_to: message.reply_to,
        deleted: message.deleted,
        revision: message.revision,
    }
}

pub(super) fn file(file: File) -> file::FileInfo {
    file::FileInfo {
        id: file.id,
        name: file.name,
        size: file.size,
        chunk_size: file.chunk_size,
        root: file.root,
        owner: file.owner,
        at: file.at,
    }
}

/// A release, and the one build of it that was asked for.
pub(super) fn release((release, build): (Release, Build)) -> update::Release {
    update::Release {
        version: release.version.to_string(),
        notes: release.notes,
        platform: build.platform,
        url: build.url,
        sha256: build.sha256,
        size: build.size,
    }
}

/// An entry of a feed.
pub(super) fn event(event: Event) -> event::Event {
    let chat = event.chat;
    let what = match event.what {
        Entry::Posted(posted) => event::Happening::Posted { message: message(posted) },
        Entry::Changed(seq, revision) => event::Happening::Changed { chat, seq, revision },
        Entry::Joined(user) => event::Happening::Joined { chat, user },
        Entry::Left(user) => event::Happening::Left { chat, user },
        Entry::P2p(session) => event::Happening::P2p { chat, session },
        Entry::Read(seq) => event::Happening::Read { chat, seq },
    };
    event::Event { cursor: event.cursor, at: event.at, what }
}
