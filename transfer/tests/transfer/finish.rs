//! From the last chunk to a finished file.

use crate::support::{Crash, Fixture, MIB};
use hypersend_protocol::{hash::RootHash, id::ChunkIndex};
use hypersend_transfer::{
    Span, StoredFile, TransferFolder,
    folder::{ExtractError, OpenError, PublishError, SealError},
    stored::StoredError,
};
use std::{fs, io};

fn check(fixture: &Fixture, stored: &StoredFile) {
    assert_eq!((stored.root, stored.plan()), (fixture.root(), fixture.plan));
    assert_eq!(stored.manifest().name, fixture.manifest().name);
    for span in fixture.spans() {
        assert_eq!(stored.read_range(span).unwrap(), fixture.bytes(span));
    }
    let values = fixture.values();
    assert_eq!(stored.values(ChunkIndex(0), u32::MAX).unwrap(), values);
    assert_eq!(stored.values(ChunkIndex(1), 1).unwrap(), values.get(1).copied().as_slice());
    assert!(stored.values(ChunkIndex(u32::MAX), u32::MAX).unwrap().is_empty());
    let past = stored.read_range(Span { offset: fixture.plan.size(), length: 1 });
    assert_eq!(past.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn files_of_every_shape_are_published_with_their_ordinary_hash() {
    for (size, chunk_size) in
        [(0, MIB), (1, MIB), (MIB, MIB), (3 * MIB + 5, MIB), (9 * MIB + 5, 4 * MIB), (MIB, 4 * MIB)]
    {
        let fixture = Fixture::new(size, chunk_size);
        let folder = fixture.create();
        fixture.store_missing(&folder);
        let destination = fixture.temp.path().join("published");
        folder.seal(Some(fixture.root())).unwrap().publish(&destination).unwrap();
        drop(folder);
        check(&fixture, &StoredFile::open(&destination).unwrap());
        let mut left: Vec<_> = fs::read_dir(&destination).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["content", "manifest.json", "values"]);
        assert!(matches!(TransferFolder::open(&fixture.dir()), Err(OpenError::NotFound)));
    }
}

#[test]
fn an_incomplete_or_wrong_file_is_not_sealed() {
    let fixture = Fixture::new(3 * MIB, MIB);
    let folder = fixture.create();
    fixture.store_chunks(&folder, [0]);
    assert!(matches!(folder.seal(None), Err(SealError::Missing(2))));
    fixture.store_missing(&folder);
    let wrong = RootHash([7; 32]);
    assert!(matches!(folder.seal(Some(wrong)), Err(SealError::Root { expected, .. }) if expected == wrong));
    assert!(matches!(StoredFile::open(&fixture.dir()), Err(StoredError::NotFound)), "nothing was sealed");
    folder.seal(Some(fixture.root())).unwrap();
    folder.seal(None).unwrap();
    assert!(matches!(folder.seal(Some(wrong)), Err(SealError::Root { .. })), "also when sealed before");
}

#[test]
fn the_hash_in_the_manifest_is_held_to() {
    let fixture = Fixture::new(MIB, MIB);
    let mut manifest = fixture.manifest();
    manifest.root = Some(RootHash([7; 32]));
    let folder = TransferFolder::create(&fixture.dir(), manifest).unwrap();
    fixture.store_missing(&folder);
    assert!(matches!(folder.seal(None), Err(SealError::Root { .. })));
}

#[test]
fn a_crash_between_any_two_steps_of_publishing_is_taken_up() {
    let crashes: [(&str, Crash); 4] = [
        ("sealed", |_| {}),
        ("the manifest has no hash yet", |fixture| {
            fs::write(fixture.path("manifest.json"), manifest_without_root(fixture)).unwrap();
        }),
        ("no values yet", |fixture| fs::remove_file(fixture.path("values")).unwrap()),
        ("the journal is gone", |fixture| fs::remove_file(fixture.path("journal")).unwrap()),
    ];
    for (what, crash) in crashes {
        let fixture = Fixture::new(3 * MIB, MIB);
        let folder = fixture.create();
        fixture.store_missing(&folder);
        folder.seal(None).unwrap();
        drop(folder);
        crash(&fixture);

        let folder = fixture.open();
        assert!(folder.map().is_full(), "{what}");
        let destination = fixture.temp.path().join("published");
        folder.seal(Some(fixture.root())).unwrap().publish(&destination).unwrap();
        check(&fixture, &StoredFile::open(&destination).unwrap());
    }
}

fn manifest_without_root(fixture: &Fixture) -> String {
    let text = fs::read_to_string(fixture.path("manifest.json")).unwrap();
    let root = fixture.root().to_string();
    assert!(text.contains(&root), "a hash is readable: {text}");
    text.replace(&format!("\"{root}\""), "null")
}

#[test]
fn nothing_is_published_over_a_finished_file() {
    let fixture = Fixture::new(MIB, MIB);
    let folder = fixture.create();
    fixture.store_missing(&folder);
    let destination = fixture.temp.path().join("published");
    fs::create_dir(&destination).unwrap();
    fs::write(destination.join("content"), "precious").unwrap();
    let refused = folder.seal(None).unwrap().publish(&destination);
    assert!(matches!(refused, Err(PublishError::Exists(_))));
    assert_eq!(fs::read(destination.join("content")).unwrap(), b"precious");
    folder.seal(None).unwrap().publish(&fixture.temp.path().join("elsewhere")).unwrap();
}

#[test]
fn extracting_leaves_the_file_and_nothing_else() {
    let fixture = Fixture::new(3 * MIB + 1, MIB);
    let folder = fixture.create();
    fixture.store_missing(&folder);
    let destination = fixture.temp.path().join("film.mkv");
    fs::write(&destination, "precious").unwrap();
    let refused = folder.seal(None).unwrap().extract(&destination);
    assert!(matches!(refused, Err(ExtractError::Exists(_))));
    assert_eq!(fs::read(&destination).unwrap(), b"precious");

    let destination = fixture.temp.path().join("film (1).mkv");
    folder.seal(None).unwrap().extract(&destination).unwrap();
    assert_eq!(fs::read(&destination).unwrap(), fixture.data);
    assert!(!fixture.dir().exists());
}

#[test]
fn a_crash_after_extracting_is_told_from_a_lost_file() {
    let fixture = Fixture::new(MIB, MIB);
    let folder = fixture.create();
    fixture.store_missing(&folder);
    folder.seal(None).unwrap();
    drop(folder);
    fs::rename(fixture.path("content"), fixture.temp.path().join("film.mkv")).unwrap();
    assert!(matches!(TransferFolder::open(&fixture.dir()), Err(OpenError::Extracted)));
}

#[test]
fn discarding_leaves_nothing() {
    let fixture = Fixture::new(3 * MIB, MIB);
    let folder = fixture.create();
    fixture.store_chunks(&folder, [1]);
    folder.discard().unwrap();
    assert!(!fixture.dir().exists());
    assert!(matches!(TransferFolder::open(&fixture.dir()), Err(OpenError::NotFound)));
    fixture.create();
}
