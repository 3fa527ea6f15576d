//! Documents as records of an archive, and back. What only this backend has is made anew.

use crate::store::{
    archive::{Chat, Event, Feed, File, Member, P2p, Posting, Record, Stage, What},
    mongodb::{
        chats::{self, ChatRow, MadeRow, PairRow},
        events::{EntryRow, EventRow, FeedRow, KindRow},
        field::{Field, corrupt, maybe, read_hash, read_text, write_hash},
        files::{FileRow, PostingId, PostingRow},
        members::MemberRow,
        p2p::P2pRow,
        transaction::{Failure, Result},
        users::UserRow,
    },
    users::User,
};
use hypersend_protocol::{
    chat::ChatKind,
    hash::{RootHash, UploadKey},
    name::{ChatTitle, FileName},
};
use mongodb::bson::{DateTime, oid::ObjectId};

/// The server whose acts imported events are: none that anybody is.
const NOBODY: i64 = 0;

pub(super) fn from_user(user: User) -> UserRow {
    UserRow {
        id: user.id.write(),
        email: user.email.into(),
        name: user.name.into(),
        password_hash: user.password_hash.0,
        created: user.created.write(),
        uploads: 0,
    }
}

pub(super) fn chat(row: ChatRow) -> Result<Record> {
    let member = |row: MemberRow| {
        Ok(Member {
            user: Field::read(row.user)?,
            role: row.role.into(),
            read: Field::read(row.read)?,
            joined: Field::read(row.joined)?,
        })
    };
    let mut members: Vec<Member> = row.members.into_iter().map(member).collect::<Result<_>>()?;
    members.sort_by_key(|member| member.user);
    let pair = |PairRow { low, high }| Ok::<_, Failure>((Field::read(low)?, Field::read(high)?));
    let made = |MadeRow { by, client }| Ok::<_, Failure>((Field::read(by)?, Field::read(client)?));
    Ok(Record::Chat(Chat {
        id: Field::read(row.id)?,
        kind: row.kind.into(),
        title: row.title.map(|title| read_text(&title, ChatTitle::parse)).transpose()?,
        pair: row.pair.map(pair).transpose()?,
        made: row.made.map(made).transpose()?,
        last: Field::read(row.last)?,
        last_at: Field::read(row.last_at)?,
        revision: Field::read(row.revision)?,
        members,
    }))
}

pub(super) fn from_chat(chat: Chat) -> ChatRow {
    let member = |member: Member| MemberRow::new(member.user, member.role, member.read.write(), member.joined);
    ChatRow {
        id: chat.id.write(),
        kind: match chat.kind {
            ChatKind::Direct => chats::KindRow::Direct,
            ChatKind::Group => chats::KindRow::Group,
        },
        title: chat.title.map(Into::into),
        pair: chat.pair.map(|(low, high)| PairRow { low: low.write(), high: high.write() }),
        made: chat.made.map(|(by, client)| MadeRow { by: by.write(), client: client.write() }),
        last: chat.last.write(),
        last_at: chat.last_at.write(),
        revision: chat.revision.write(),
        members: chat.members.into_iter().map(member).collect(),
    }
}

pub(super) fn file(row: FileRow) -> Result<Record> {
    let stage = match (row.root, row.finished, row.active) {
        (Some(root), Some(at), _) => Stage::Finished { root: read_hash(root).map(RootHash)?, at: Field::read(at)? },
        (None, None, Some(active)) => Stage::Open { active: Field::read(active)? },
        _ => return Err(corrupt("a file that is neither whole nor under way")),
    };
    Ok(Record::File(File {
        id: Field::read(row.id)?,
        owner: Field::read(row.owner)?,
        key: read_hash(row.key).map(UploadKey)?,
        name: read_text(&row.name, FileName::parse)?,
        size: Field::read(row.size)?,
        chunk_size: Field::read(row.chunk_size)?,
        stage,
    }))
}

pub(super) fn from_file(file: &File) -> FileRow {
    let (active, root, finished) = match file.stage {
        Stage::Open { active } => (Some(active.write()), None, None),
        Stage::Finished { root, at } => (None, Some(write_hash(root.0)), Some(at.write())),
    };
    FileRow {
        id: file.id.write(),
        owner: file.owner.write(),
        key: write_hash(file.key.0),
        name: file.name.as_str().to_owned(),
        size: file.size.write(),
        chunk_size: file.chunk_size.write(),
        postings: 0,
        active,
        root,
        finished,
    }
}

pub(super) fn posting(PostingRow { id }: PostingRow) -> Result<Record> {
    Ok(Record::Posting(Posting { file: Field::read(id.file)?, chat: Field::read(id.chat)?, seq: Field::read(id.seq)? }))
}

pub(super) fn from_posting(posting: &Posting) -> PostingRow {
    let Posting { file, chat, seq } = *posting;
    PostingRow { id: PostingId { file: file.write(), chat: chat.write(), seq: seq.write() } }
}

pub(super) fn p2p(row: P2pRow) -> Result<Record> {
    Ok(Record::P2p(P2p { client_id: Field::read(row.client_id)?, session: row.read()? }))
}

/// The event at the one place that was read.
pub(super) fn event(row: &EventRow) -> Result<Event> {
    let nothing = || corrupt("an event that does not say of what");
    let entry = row.to.first().copied().ok_or_else(nothing)?;
    let seq = || maybe(row.seq)?.ok_or_else(nothing);
    let what = match row.kind {
        KindRow::Posted => What::Posted(seq()?),
        KindRow::Changed => What::Changed(seq()?, maybe(row.revision)?.ok_or_else(nothing)?),
        KindRow::Joined => What::Joined(maybe(row.subject)?.ok_or_else(nothing)?),
        KindRow::Left => What::Left(maybe(row.subject)?.ok_or_else(nothing)?),
        KindRow::Read => What::Read(seq()?),
        KindRow::P2p => What::P2p(maybe(row.subject)?.ok_or_else(nothing)?),
    };
    let (user, cursor) = (Field::read(entry.user)?, Field::read(entry.cursor)?);
    Ok(Event { user, cursor, at: Field::read(row.at)?, chat: Field::read(row.chat)?, what })
}

/// A document of its own for each entry: which of them were one act is not in the archive, and nothing depends on it.
pub(super) fn from_event(event: &Event, age: DateTime) -> EventRow {
    let (kind, seq, subject, revision) = match event.what {
        What::Posted(seq) => (KindRow::Posted, Some(seq), None, None),
        What::Changed(seq, revision) => (KindRow::Changed, Some(seq), None, Some(revision)),
        What::Joined(user) => (KindRow::Joined, None, Some(user.write()), None),
        What::Left(user) => (KindRow::Left, None, Some(user.write()), None),
        What::Read(seq) => (KindRow::Read, Some(seq), None, None),
        What::P2p(session) => (KindRow::P2p, None, Some(session.write()), None),
    };
    EventRow {
        id: ObjectId::new(),
        by: NOBODY,
        chat: event.chat.write(),
        at: event.at.write(),
        age,
        kind,
        seq: seq.map(Field::write),
        subject,
        revision: revision.map(Field::write),
        to: vec![EntryRow { user: event.user.write(), cursor: event.cursor.write() }],
    }
}

pub(super) fn feed(row: &FeedRow) -> Result<Feed> {
    Ok(Feed { user: Field::read(row.id)?, head: Field::read(row.head)?, pruned: Field::read(row.pruned)? })
}

pub(super) fn from_feed(feed: &Feed, age: DateTime) -> FeedRow {
    FeedRow { id: feed.user.write(), head: feed.head.write(), pruned: feed.pruned.write(), age }
}
