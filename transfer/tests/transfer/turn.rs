//! A folder begun for one file that goes on as another's. Killed between two steps is a folder as the step before
//! left it.

use crate::support::{Fixture, MIB, stored};
use bytes::Bytes;
use hypersend_protocol::{
    hash::ChunkValue,
    id::{ChunkIndex, FileId},
    name::FileName,
};
use hypersend_transfer::{
    ChunkPlan, Manifest, TransferFolder,
    folder::{ExpectError, OpenError, StoreError, TurnError},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A file of five chunks of two ranges, the last one short, and what the sender of old had in its stead: chunks 1 and
/// 4 differ. All but the third chunk has landed; chunks 0 and 1 before a checkpoint.
struct Turned {
    fixture: Fixture,
    old: Fixture,
}

impl Turned {
    fn new() -> Self {
        let fixture = Fixture::new(9 * MIB + 77, 2 * MIB);
        let mut old = Fixture::new(9 * MIB + 77, 2 * MIB);
        let mut data = old.data.to_vec();
        for chunk in [1, 4] {
            data[usize::try_from(old.plan.chunk(ChunkIndex(chunk)).unwrap().offset).unwrap() + 7] ^= 1;
        }
        old.data = Bytes::from(data);
        let folder = old.create();
        old.store_chunks(&folder, [0, 1]);
        folder.checkpoint().unwrap();
        old.store_chunks(&folder, [2, 4]);
        Self { fixture, old }
    }

    fn manifest(&self) -> Manifest {
        let id = FileId("0198a2b4-0000-7000-8000-000000000002".parse().unwrap());
        Manifest::new(id, FileName::parse("film (2).mkv").unwrap(), self.fixture.plan, Some(self.fixture.root()))
    }

    fn new_dir(&self) -> PathBuf {
        self.old.temp.path().join("elsewhere")
    }

    /// As a new process does it.
    fn turn(&self, dir: &Path) -> TransferFolder {
        TransferFolder::open(dir).unwrap().turn_into(self.manifest(), self.fixture.values()).unwrap()
    }

    fn complete(&self, dir: &Path) {
        let folder = self.turn(dir);
        self.fixture.store_missing(&folder);
        folder.seal(None).unwrap();
        assert_eq!(fs::read(dir.join("content")).unwrap(), self.fixture.data);
    }
}

#[test]
fn what_both_have_in_common_is_kept_and_the_rest_is_missing() {
    let turned = Turned::new();
    let dir = turned.new_dir();
    turned.old.open().move_to(&dir).unwrap();
    assert!(matches!(TransferFolder::open(&turned.old.dir()), Err(OpenError::NotFound)));
    let folder = turned.turn(&dir);
    assert_eq!((folder.manifest(), stored(&folder.map())), (&turned.manifest(), vec![0, 2]));
    // What completes now is held to the new file.
    let last = turned.fixture.plan.ranges(ChunkIndex(4)).map(|span| turned.old.store(&folder, span)).last().unwrap();
    assert!(matches!(last, Err(StoreError::ChunkMismatch(ChunkIndex(4)))), "{last:?}");
    drop(folder);
    let opened = TransferFolder::open(&dir).unwrap();
    assert_eq!((opened.manifest(), stored(&opened.map())), (&turned.manifest(), vec![0, 2]), "for good");
    drop(opened);
    turned.complete(&dir);
}

#[test]
fn the_same_file_loses_nothing_and_nothing_is_written() {
    let fixture = Fixture::new(5 * MIB, MIB);
    fixture.store_chunks(&fixture.create(), [1, 3]);
    let files = || ["journal", "manifest.json"].map(|name| fs::read(fixture.path(name)).unwrap());
    let before = files();
    let folder = fixture.open().turn_into(fixture.manifest(), fixture.values()).unwrap();
    assert_eq!((stored(&folder.map()), files()), (vec![1, 3], before));
}

#[test]
fn a_kill_at_any_step_leaves_what_can_be_turned_again() {
    let turned = Turned::new();
    let dir = turned.new_dir();
    turned.old.open().move_to(&dir).unwrap();
    let files = || ["journal", "manifest.json"].map(|name| fs::read(dir.join(name)).unwrap());
    let [old_journal, old_manifest] = files();
    drop(turned.turn(&dir));
    let [journal, manifest] = files();
    assert!(journal != old_journal && manifest != old_manifest);
    // What is in each file after each step; nothing is in one that is not there.
    let names = ["journal", "journal.new", "manifest.json", "manifest.json.new"];
    let steps: [[&[u8]; 4]; 7] = [
        [&old_journal, &[], &old_manifest, &[]],
        [&old_journal, &journal[..30], &old_manifest, &[]],
        [&old_journal, &journal, &old_manifest, &[]],
        [&journal, &[], &old_manifest, &[]],
        [&journal, &[], &old_manifest, &manifest[..30]],
        [&journal, &[], &old_manifest, &manifest],
        [&journal, &[], &manifest, &[]],
    ];
    for (number, step) in steps.into_iter().enumerate() {
        for (name, bytes) in names.into_iter().zip(step) {
            fs::write(dir.join(name), bytes).unwrap();
            if bytes.is_empty() {
                fs::remove_file(dir.join(name)).unwrap();
            }
        }
        let folder = turned.turn(&dir);
        assert_eq!((folder.manifest(), stored(&folder.map())), (&turned.manifest(), vec![0, 2]), "step {number}");
        drop(folder);
        let opened = TransferFolder::open(&dir).unwrap();
        assert_eq!((opened.manifest(), stored(&opened.map())), (&turned.manifest(), vec![0, 2]), "step {number}");
    }
    turned.complete(&dir);
}

/// The manifest's new name is not flushed, so a power cut may bring back the old one after chunks have landed.
#[test]
fn what_has_landed_since_is_kept_where_the_manifest_is_the_old_one_again() {
    let turned = Turned::new();
    let dir = turned.old.dir();
    let manifest = fs::read(dir.join("manifest.json")).unwrap();
    turned.fixture.store_chunks(&turned.turn(&dir), [1, 3]);
    fs::write(dir.join("manifest.json"), manifest).unwrap();
    let folder = turned.turn(&dir);
    assert_eq!((folder.manifest(), stored(&folder.map())), (&turned.manifest(), vec![0, 1, 2, 3]));
    drop(folder);
    turned.complete(&dir);
}

#[test]
fn a_journal_cut_at_any_byte_costs_what_was_cut() {
    let turned = Turned::new();
    let journal = fs::read(turned.old.path("journal")).unwrap();
    let (header, record) = (16, 44);
    assert_eq!(journal.len(), header + 5 * record);
    let (manifest, dir) = (fs::read(turned.old.path("manifest.json")).unwrap(), turned.old.dir());
    // In the order of the records: 0, 1, checkpoint, 2, 4.
    let kept: [&[u32]; 6] = [&[], &[0], &[0], &[0], &[0, 2], &[0, 2]];
    for length in 0..=journal.len() {
        fs::write(dir.join("journal"), &journal[..length]).unwrap();
        fs::write(dir.join("manifest.json"), &manifest).unwrap();
        let whole = length.saturating_sub(header) / record;
        assert_eq!(stored(&turned.turn(&dir).map()), kept[whole], "cut at {length}");
        assert_eq!(stored(&TransferFolder::open(&dir).unwrap().map()), kept[whole], "cut at {length}, opened again");
    }
    turned.complete(&dir);
}

#[test]
fn a_sealed_folder_is_opened_up_again_only_for_another_file() {
    let turned = Turned::new();
    let dir = turned.old.dir();
    let folder = turned.old.open();
    turned.old.store_missing(&folder);
    folder.seal(None).unwrap();
    drop(folder);
    let manifest = Manifest::new(turned.manifest().file, turned.manifest().name, turned.old.plan, None);
    let same = turned.old.open().turn_into(manifest, turned.old.values()).unwrap();
    assert_eq!(same.seal(None).unwrap().root, turned.old.root());
    drop(same);
    let [values, manifest] = ["values", "manifest.json"].map(|name| fs::read(dir.join(name)).unwrap());
    assert_eq!(stored(&turned.turn(&dir).map()), [0, 2, 3]);
    assert!(!dir.join("values").exists());
    // Killed before the manifest was replaced, and before the values were removed.
    for values_too in [false, true] {
        fs::write(dir.join("manifest.json"), &manifest).unwrap();
        if values_too {
            fs::write(dir.join("values"), &values).unwrap();
        }
        assert_eq!(stored(&turned.turn(&dir).map()), [0, 2, 3], "values there: {values_too}");
    }
    turned.complete(&dir);
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let turned = Turned::new();
    let whole = |folder: &TransferFolder| (folder.manifest().clone(), stored(&folder.map()));
    let before = whole(&turned.old.open());
    let cut = ChunkPlan::parse(turned.old.plan.size(), 4 * MIB).unwrap();
    let other = Manifest::new(turned.manifest().file, turned.manifest().name, cut, None);
    let refused = turned.old.open().turn_into(other, turned.fixture.values()).unwrap_err();
    assert!(matches!(refused, TurnError::Plan), "{refused}");
    let wrong = vec![ChunkValue([7; 32]); 5];
    let refused = turned.old.open().turn_into(turned.manifest(), wrong).unwrap_err();
    assert!(matches!(refused, TurnError::Expect(ExpectError::Root { .. })), "{refused}");
    assert_eq!(whole(&turned.old.open()), before);
    // Nor is anything overwritten.
    fs::create_dir(turned.new_dir()).unwrap();
    let refused = turned.old.open().move_to(&turned.new_dir()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(whole(&turned.old.open()), before);
}
