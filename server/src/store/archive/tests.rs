//! Out of one backend and into the other, and back.

use super::{ArchiveError, Counts, Record, export, import};
use crate::{
    settings::MongodbUri,
    store::{
        self, Place, Store, StoreError,
        conformance::{World, fill},
        events::{Event, Feed as FeedPart},
        messages::{Append, Message, NewMessage},
        mongodb,
        news::{Attempt, Duty},
        sqlite,
        users::User,
    },
};
use hypersend_lab::mongod::{self, Database};
use hypersend_protocol::{
    id::{ChatId, ClientId, Cursor, Seq},
    name::{Email, MessageText},
    time::UnixMillis,
};
use std::{fs, net::Ipv4Addr, num::NonZeroU32, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Databases of both kinds, and a folder for archives.
#[derive(Default)]
struct Bench {
    folders: Vec<TempDir>,
    databases: Vec<Database>,
}

impl Bench {
    fn path(&mut self, name: &str) -> PathBuf {
        self.folders.push(tempfile::tempdir().unwrap());
        self.folders.last().unwrap().path().join(name)
    }

    fn sqlite(&mut self) -> Place {
        Place::File(self.path("test.db"))
    }

    async fn mongodb(&mut self) -> Place {
        self.databases.push(mongod::database().await);
        Place::Mongodb(MongodbUri::parse(&self.databases.last().unwrap().uri()).unwrap())
    }

    /// An archive of a database in which something of everything has been done.
    async fn archive_of(&mut self, place: &Place) -> PathBuf {
        let mut world = World::new(async |sink| (store::open(place, sink).await.unwrap(), ())).await;
        fill(&mut world).await;
        // While it is open, as a server has it.
        self.export(place).await
    }

    async fn export(&mut self, place: &Place) -> PathBuf {
        let path = self.path("archive");
        export(place, &path).await.unwrap();
        path
    }
}

async fn open(place: &Place) -> Arc<dyn Store> {
    store::open(place, Arc::new(|_| ())).await.unwrap()
}

async fn refusal(place: &Place, path: &std::path::Path) -> ArchiveError {
    import(place, path).await.unwrap_err()
}

/// What somebody sees who was there.
async fn seen(place: &Place) -> (User, Vec<Message>, Vec<Event>) {
    let store = open(place).await;
    let ann = store.user_by_email(&Email::parse("ann@example.org").unwrap()).await.unwrap().unwrap();
    let chat = chat_of(&*store, &ann).await;
    let messages = store.messages_after(chat, Seq(0), u32::MAX).await.unwrap();
    let FeedPart::Gone(_) = store.events_after(ann.id, Cursor(0), u32::MAX).await.unwrap() else {
        panic!("the feed's beginning was forgotten");
    };
    let pruned = (1..).map(Cursor);
    for after in pruned {
        if let FeedPart::Events(events) = store.events_after(ann.id, after, u32::MAX).await.unwrap() {
            return (ann, messages, events);
        }
    }
    unreachable!("the feed has an end")
}

/// The direct chat: the only one that she is in.
async fn chat_of(store: &dyn Store, user: &User) -> ChatId {
    store.chats_of(user.id, None, 10).await.unwrap()[0].id
}

async fn both_ways(from: &Place, to: &Place, bench: &mut Bench) {
    let first = bench.archive_of(from).await;
    assert_eq!(fs::metadata(&first).unwrap().permissions().mode() & 0o777, 0o600);
    let counts = import(to, &first).await.unwrap();
    let kinds: Vec<&str> = counts.keys().map(String::as_str).collect();
    let all = ["chat", "event", "feed", "file", "message", "p2p", "posting", "removal", "session", "user"];
    assert_eq!(kinds, all, "some kind of record has not been tried");
    let second = bench.export(to).await;
    assert_eq!(fs::read_to_string(first).unwrap(), fs::read_to_string(second).unwrap());

    let (before, after) = (seen(from).await, seen(to).await);
    assert!(!after.1.is_empty() && !after.2.is_empty());
    assert_eq!(before, after);

    // And it goes on from there: the numbers, the feeds, what is forgotten.
    let store = open(to).await;
    let (ann, messages, events) = after;
    let chat = chat_of(&*store, &ann).await;
    let new = NewMessage {
        chat,
        sender: ann.id,
        client_id: ClientId(Uuid::new_v4()),
        text: Some(MessageText::parse("still here").unwrap()),
        files: messages.iter().flat_map(|message| &message.files).take(1).map(|card| card.id).collect(),
        reply_to: Some(Seq(1)),
        now: UnixMillis(2_000_000),
    };
    let posted = store.append_message(new).await.unwrap();
    let Append::Posted { seq, .. } = posted else { panic!("{posted:?}") };
    assert_eq!(seq, messages.last().unwrap().seq.next());
    assert_eq!(store.feed_head(ann.id).await.unwrap(), events.last().unwrap().cursor.next());
    assert!(store.prune_events(UnixMillis(1_999_999)).await.unwrap() > 0);
    let kept = store.events_after(ann.id, events.last().unwrap().cursor, 10).await.unwrap();
    assert!(matches!(&kept, FeedPart::Events(events) if events.len() == 1), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_sqlite_to_mongodb() {
    let mut bench = Bench::default();
    let (from, to) = (bench.sqlite(), bench.mongodb().await);
    both_ways(&from, &to, &mut bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_mongodb_to_sqlite() {
    let mut bench = Bench::default();
    let (from, to) = (bench.mongodb().await, bench.sqlite());
    both_ways(&from, &to, &mut bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_empty_is_left_alone() {
    let mut bench = Bench::default();
    let from = bench.sqlite();
    let archive = bench.archive_of(&from).await;
    for place in [from, bench.mongodb().await] {
        if matches!(place, Place::Mongodb(_)) {
            bench.archive_of(&place).await;
        }
        let before = fs::read(bench.export(&place).await).unwrap();
        let refused = refusal(&place, &archive).await.to_string();
        assert!(refused.contains("not empty"), "{refused}");
        assert_eq!(fs::read(bench.export(&place).await).unwrap(), before);
    }
}

/// A server may have been started before somebody thinks of the import.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_servers_settle_among_themselves_keeps_no_archive_out() {
    let mut bench = Bench::default();
    let (from, to) = (bench.sqlite(), bench.mongodb().await);
    let archive = bench.archive_of(&from).await;
    let store = open(&to).await;
    assert!(store.lead(Duty::Tidying, Duration::from_hours(1)).await.unwrap());
    let attempt = Attempt::LoginFrom(Ipv4Addr::LOCALHOST.into());
    assert_eq!(store.count_attempt(attempt, NonZeroU32::MIN).await.unwrap(), None);
    drop(store);
    import(&to, &archive).await.unwrap();
    assert_eq!(fs::read(bench.export(&to).await).unwrap(), fs::read(archive).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_is_not_whole_is_refused_before_anything_is_imported() {
    let mut bench = Bench::default();
    let from = bench.sqlite();
    let whole = fs::read(bench.archive_of(&from).await).unwrap();
    let lines: Vec<usize> = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
    let last = lines[lines.len() - 2];
    let name = whole.windows(4).position(|bytes| bytes == b"\"ann").unwrap() + 1;
    let altered = |at: usize, byte: u8| {
        let mut altered = whole.clone();
        altered[at] = byte;
        altered
    };
    let bad = [
        ("cut short", whole[..=lines[3]].to_vec()),
        ("cut short", whole[..lines[5] - 4].to_vec()),
        ("cut short", whole[..whole.len() - 1].to_vec()),
        ("as it was written", altered(name, b'A')),
        ("as it was written", altered(last + 30, b'9')),
        ("as it was written", [&whole[..], b"more"].concat()),
        ("as it was written", [&whole[..=lines[0]], &whole[lines[1] + 1..]].concat()),
        ("no record", altered(lines[2] + 1, b'[')),
        ("no archive", b"certainly not\n".to_vec()),
        ("format 2", [b"{\"hypersend_archive\":2}", &whole[lines[0]..]].concat()),
    ];
    let (path, to) = (bench.path("bad"), bench.sqlite());
    for (says, bytes) in bad {
        fs::write(&path, bytes).unwrap();
        let refused = refusal(&to, &path).await.to_string();
        assert!(refused.contains(says), "{refused}, and not: {says}");
        let Place::File(database) = &to else { unreachable!("it is one") };
        assert!(!database.exists(), "something was done before {says}");
    }
}

/// As it was written before folders were offered from client to client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_does_not_tell_files_from_folders_is_imported() {
    let mut bench = Bench::default();
    let from = bench.sqlite();
    let archive = fs::read_to_string(bench.archive_of(&from).await).unwrap();
    let (records, end) = archive.split_at(archive.rfind("{\"end\":").unwrap());
    let older = records.replace(",\"folder\":false", "");
    assert_ne!(older, records);
    let hash = |records: &str| blake3::hash(records.as_bytes()).to_hex().to_string();
    let end = end.replace(&hash(records), &hash(&older));
    let path = bench.path("older");
    fs::write(&path, older + &end).unwrap();
    for to in [bench.sqlite(), bench.mongodb().await] {
        import(&to, &path).await.unwrap();
        assert_eq!(fs::read_to_string(bench.export(&to).await).unwrap(), archive);
    }
}

#[tokio::test]
async fn an_archive_is_not_written_over_another() {
    let mut bench = Bench::default();
    let (from, path) = (bench.sqlite(), bench.path("archive"));
    drop(open(&from).await);
    fs::write(&path, "precious").unwrap();
    assert!(matches!(export(&from, &path).await, Err(ArchiveError::Open { .. })));
    assert_eq!(fs::read_to_string(path).unwrap(), "precious");
}

#[tokio::test]
async fn what_cannot_be_exported_leaves_no_archive() {
    let mut bench = Bench::default();
    let (nothing, path) = (bench.sqlite(), bench.path("archive"));
    let refused = export(&nothing, &path).await.unwrap_err().to_string();
    assert!(refused.contains("there is no database"), "{refused}");
    assert!(!path.exists());
}

/// The first records of an archive, as an import that dies reads them.
fn half(archive: &std::path::Path) -> mpsc::Receiver<Record> {
    let text = fs::read_to_string(archive).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let half = &lines[1..lines.len() / 2];
    let (records, taken) = mpsc::channel(half.len());
    for line in half {
        records.try_send(serde_json::from_str(line).unwrap()).unwrap();
    }
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_an_import_is_not_served_and_starts_over() {
    let mut bench = Bench::default();
    let (from, to) = (bench.sqlite(), bench.mongodb().await);
    let archive = bench.archive_of(&from).await;
    let Place::Mongodb(uri) = &to else { unreachable!("it is one") };
    mongodb::archive::load(uri, half(&archive), u64::MAX).await.unwrap_err();

    let opened = store::open(&to, Arc::new(|_| ())).await.map(|_| ()).unwrap_err();
    let (migrated, exported) = (store::migrate(&to).await.unwrap_err(), export(&to, &bench.path("archive")).await);
    for refused in [opened.to_string(), migrated.to_string(), exported.unwrap_err().to_string()] {
        assert!(refused.contains("run `hypersend-server import FILE` again"), "{refused}");
    }
    import(&to, &archive).await.unwrap();
    assert_eq!(fs::read(bench.export(&to).await).unwrap(), fs::read(archive).unwrap());
    open(&to).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_an_import_leaves_a_file_empty() {
    let mut bench = Bench::default();
    let (from, to) = (bench.sqlite(), bench.sqlite());
    let archive = bench.archive_of(&from).await;
    let Place::File(path) = &to else { unreachable!("it is one") };
    sqlite::archive::load(path, half(&archive), u64::MAX).await.unwrap_err();
    import(&to, &archive).await.unwrap();
    assert_eq!(fs::read(bench.export(&to).await).unwrap(), fs::read(archive).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrating_says_from_where_to_where() {
    let mut bench = Bench::default();
    for place in [bench.sqlite(), bench.mongodb().await] {
        let first = store::migrate(&place).await.unwrap();
        let again = store::migrate(&place).await.unwrap();
        assert!(first.now > 0);
        assert_eq!((first.found, again.found), (0, first.now));
        drop(open(&place).await);
    }
    let old = bench.sqlite();
    let Place::File(path) = &old else { unreachable!("it is one") };
    fs::write(path, "").unwrap();
    let refused = export(&old, &bench.path("archive")).await.unwrap_err();
    assert!(
        matches!(&refused, ArchiveError::Store(StoreError::Unfit { reason }) if reason.contains("migrate")),
        "{refused}"
    );
}

#[test]
fn the_form_of_records_is_pinned() {
    let mut out = super::format::Writer::begin(Vec::new()).unwrap();
    for line in GOLDEN.lines().skip(1).take(10) {
        out.put(&serde_json::from_str(line).unwrap()).unwrap();
    }
    let (written, counts) = out.finish().unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), GOLDEN);
    assert_eq!(counts.values().sum::<u64>(), 10);
    let mut archive = super::format::Reader::begin(GOLDEN.as_bytes()).unwrap();
    while archive.next().unwrap().is_some() {}
    assert_eq!(archive.counts(), Counts::from(counts));
}

/// An archive of format 1 with a record of each kind.
const GOLDEN: &str = include_str!("golden.jsonl");
