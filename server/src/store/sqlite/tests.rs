//! The suite against this backend, and what concerns SQLite alone.

use super::{SqliteStore, connection::open_writer, schema, writer::Writer};
use crate::store::{
    Store, StoreError, conformance,
    events::{Fanout, FanoutSink, Happening},
    users::{NewUser, PasswordHash},
};
use hypersend_protocol::{
    id::{ChatId, UserId},
    name::{DisplayName, Email},
    time::UnixMillis,
};
use rusqlite::Connection;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;
use uuid::Uuid;

/// An empty store in a folder of its own.
pub(super) async fn empty(sink: FanoutSink) -> (Arc<dyn Store>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("test.db"), sink).await.unwrap();
    (Arc::new(store), folder)
}

conformance::tests!(empty);

fn deaf() -> FanoutSink {
    Arc::new(|_| ())
}

fn ann() -> NewUser {
    NewUser {
        id: UserId(Uuid::now_v7()),
        email: Email::parse("ann@example.org").unwrap(),
        name: DisplayName::parse("Ann").unwrap(),
        password_hash: PasswordHash(String::new()),
        now: UnixMillis(1),
    }
}

fn version(db: &Connection) -> u32 {
    db.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn an_act_survives_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    let first = SqliteStore::open(&path, deaf()).await.unwrap();
    let ann = ann();
    assert!(first.create_user(ann.clone()).await.unwrap());
    // What a killed program leaves: its files as they are, nothing closed, nothing carried from the log.
    let copy = folder.path().join("killed.db");
    fs::copy(&path, &copy).unwrap();
    fs::copy(path.with_extension("db-wal"), copy.with_extension("db-wal")).unwrap();
    let second = SqliteStore::open(&copy, deaf()).await.unwrap();
    assert_eq!(second.user(ann.id).await.unwrap().unwrap().email, ann.email);
}

#[tokio::test]
async fn closing_leaves_one_file_of_its_owner_s() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new folder/test.db");
    let store = SqliteStore::open(&path, deaf()).await.unwrap();
    store.create_user(ann()).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&path.with_extension("db-wal")), 0o600);
    drop(store);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_file_of_a_later_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refused = SqliteStore::open(&path, deaf()).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, StoreError::TooNew { found: 99, known: 4 }), "{refused}");
    assert_eq!(version(&Connection::open(&path).unwrap()), 99);
}

#[test]
fn events_outlive_the_change_of_their_table() {
    let mut db = Connection::open_in_memory().unwrap();
    schema::migrate_by(&mut db, &schema::MIGRATIONS[..2]).unwrap();
    let insert = "INSERT INTO events VALUES (?1, ?2, 3, ?3, x'02', 7, NULL, NULL)";
    for n in 0..5_u8 {
        db.execute(insert, (&[n; 16][..], 10 + n, n)).unwrap();
    }
    let rows = |db: &Connection| {
        let mut all = db.prepare("SELECT hex(user_id), cursor, kind, seq FROM events").unwrap();
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        all.query_map([], row).unwrap().collect::<Result<Vec<(String, i64, i64, i64)>, _>>().unwrap()
    };
    let before = rows(&db);
    assert_eq!(before.len(), 5);
    schema::migrate(&mut db).unwrap();
    assert_eq!(rows(&db), before);
    db.execute(insert, (&[9_u8; 16][..], 1, 5)).unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    fs::write(&path, "certainly not a database").unwrap();
    let refused = SqliteStore::open(&path, deaf()).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "certainly not a database");
}

#[test]
fn migrations_run_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = open_writer(&folder.path().join("test.db")).unwrap();
    let first = "CREATE TABLE notes (words TEXT NOT NULL) STRICT; INSERT INTO notes VALUES ('first');";
    let second = "INSERT INTO notes VALUES ('second');";
    schema::migrate_by(&mut db, &[first]).unwrap();
    assert_eq!(version(&db), 1);
    schema::migrate_by(&mut db, &[first, second]).unwrap();
    schema::migrate_by(&mut db, &[first, second]).unwrap();
    assert_eq!(version(&db), 2);
    let words: String = db.query_row("SELECT group_concat(words) FROM notes", [], |row| row.get(0)).unwrap();
    assert_eq!(words, "first,second");
}

#[test]
fn a_failing_migration_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = open_writer(&folder.path().join("test.db")).unwrap();
    let sound = "CREATE TABLE notes (words TEXT NOT NULL) STRICT;";
    let broken = "INSERT INTO notes VALUES ('half'); INSERT INTO no_such_table VALUES (1);";
    assert!(schema::migrate_by(&mut db, &[sound, broken]).is_err());
    assert_eq!(version(&db), 1);
    let rows: i64 = db.query_row("SELECT count(*) FROM notes", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn a_failing_act_does_not_take_its_batch_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let db = open_writer(&folder.path().join("test.db")).unwrap();
    db.execute_batch("CREATE TABLE notes (n INTEGER NOT NULL PRIMARY KEY) STRICT").unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let teller = Arc::clone(&told);
    let writer = Writer::start(db, Arc::new(move |fanout: Fanout| teller.lock().unwrap().push(fanout.at))).unwrap();

    let note = |n: i64, fails: fn() -> Result<(), StoreError>| {
        writer.act(move |act| {
            act.db.execute("INSERT INTO notes VALUES (?1)", [n])?;
            let what = Happening::Joined(UserId(Uuid::nil()));
            let at = UnixMillis(n.unsigned_abs());
            act.fanouts.push(Fanout { chat: ChatId(Uuid::nil()), at, what, to: Vec::new() });
            fails()
        })
    };
    // Queued while the thread is busy, so that they share a commit.
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let busy = writer.act(move |_| {
        gate.recv().expect("opened below");
        Ok(())
    });
    let (busy, first, failing, panicking, last, opened) = tokio::join!(
        busy,
        note(1, || Ok(())),
        note(2, || Err(StoreError::Corrupt { what: "a test".to_owned() })),
        note(3, || panic!("a bug")),
        note(4, || Ok(())),
        async { open.send(()) },
    );
    busy.unwrap();
    opened.unwrap();
    first.unwrap();
    assert!(matches!(failing, Err(StoreError::Corrupt { .. })));
    assert!(matches!(panicking, Err(StoreError::Unavailable(_))));
    last.unwrap();

    assert_eq!(*told.lock().unwrap(), [UnixMillis(1), UnixMillis(4)]);
    let notes: String = writer
        .act(|act| Ok(act.db.query_row("SELECT group_concat(n) FROM notes", [], |row| row.get(0))?))
        .await
        .unwrap();
    assert_eq!(notes, "1,4");
}

#[tokio::test]
async fn a_value_out_of_place_is_corrupt_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    let store = SqliteStore::open(&path, deaf()).await.unwrap();
    let ann = ann();
    store.create_user(ann.clone()).await.unwrap();
    Connection::open(&path).unwrap().execute("UPDATE users SET created = -1", []).unwrap();
    let found = store.user(ann.id).await.unwrap_err();
    assert!(matches!(found, StoreError::Corrupt { .. }), "{found}");
}
