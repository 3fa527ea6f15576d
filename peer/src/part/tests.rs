//! What a crash leaves at each moment between the last byte and the end, and what becomes of it.

use super::{ASSEMBLING, FILES, ITEM, Looks, Part};
use crate::{
    listing::{Builder, Entry, Listing},
    publish::{publish, published_before},
    receiving::ReceiveError,
};
use bytes::Bytes;
use hypersend_protocol::{
    hash::{EntryKey, RootHash},
    time::UnixMillis,
};
use std::{fs, path::PathBuf};
use tempfile::TempDir;

const SENDER: [u8; 32] = [1; 32];

/// A folder "trip" with "trip/a", "trip/in" and "trip/in/b", all of it arrived.
struct Fixture {
    to: TempDir,
    listing: Listing,
    id: [u8; 32],
}

impl Fixture {
    fn new() -> Self {
        let mut builder = Builder::new();
        let entries = [("trip", None, true), ("a", Some(0), false), ("in", Some(0), true), ("b", Some(2), false)];
        for (number, (name, parent, folder)) in (0..).zip(entries) {
            let size = if folder { 0 } else { 3 };
            let (modified, key) = (UnixMillis(1_000_000), EntryKey([number; 32]));
            builder.push(Entry { name, parent, folder, size, modified, executable: false, key }).unwrap();
        }
        let listing = builder.finish();
        let id = listing.item_ids()[0];
        let fixture = Self { to: tempfile::tempdir().unwrap(), listing, id };
        let part = fixture.part();
        for (key, bytes) in [(1, "aaa"), (3, "bbb")] {
            let looks = Looks { modified: UnixMillis(1_000_000), executable: false };
            let root = RootHash(blake3::hash(bytes.as_bytes()).into());
            part.store(EntryKey([key; 32]), root, looks, &[Bytes::from_static(bytes.as_bytes())]).unwrap();
        }
        fixture
    }

    fn part(&self) -> Part {
        Part::open(self.to.path(), "trip", &SENDER, EntryKey([0; 32])).unwrap()
    }

    /// The numbers of complete files, as a new process finds them.
    fn done(&self) -> Vec<u32> {
        self.part().scan(&self.listing, 0, &self.id).unwrap().done
    }

    fn assemble(&self) -> Result<(), ReceiveError> {
        self.part().assemble(&self.listing, 0, &self.id)
    }

    fn file_of(part: &Part, key: u8) -> PathBuf {
        let files = fs::read_dir(part.dir().join(FILES)).unwrap();
        let key = EntryKey([key; 32]).to_string();
        files.map(|file| file.unwrap().path()).find(|path| path.to_str().unwrap().contains(&key)).unwrap()
    }
}

#[test]
fn a_part_has_one_owner_and_another_for_another_sender() {
    let fixture = Fixture::new();
    let part = fixture.part();
    let again = Part::open(fixture.to.path(), "trip", &SENDER, EntryKey([0; 32]));
    assert!(matches!(again, Err(ReceiveError::InUse(dir)) if dir == part.dir()));
    let other = Part::open(fixture.to.path(), "trip", &[2; 32], EntryKey([0; 32])).unwrap();
    assert_ne!(other.dir(), part.dir());
    part.clear().unwrap();
    assert_eq!(fixture.done(), [0; 0], "a new one, with nothing in it");
}

#[test]
fn assembling_goes_on_wherever_it_was_stopped() {
    for moved in 0..=3 {
        let fixture = Fixture::new();
        assert_eq!(fixture.done(), [1, 3]);
        let part = fixture.part();
        fs::write(part.dir().join(ASSEMBLING), fixture.id).unwrap();
        let item = part.item();
        let steps: [&dyn Fn(); 3] = [
            &|| fs::create_dir(&item).unwrap(),
            &|| fs::rename(Fixture::file_of(&part, 1), item.join("a")).unwrap(),
            &|| fs::create_dir(item.join("in")).unwrap(),
        ];
        for step in steps.iter().take(moved) {
            step();
        }
        drop(part);
        assert_eq!(fixture.done(), [1, 3], "{moved} steps");
        fixture.assemble().unwrap();
        assert_eq!(fixture.done(), [1, 3]);
        assert_eq!(fs::read(fixture.part().item().join("in/b")).unwrap(), b"bbb");
        let modified = fs::metadata(fixture.part().item()).unwrap().modified().unwrap();
        assert_eq!(modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis(), 1_000_000);
    }
}

#[test]
fn what_was_assembled_for_another_list_is_not_believed() {
    let fixture = Fixture::new();
    fixture.assemble().unwrap();
    assert!(fixture.part().item().exists());
    let other = fixture.part().scan(&fixture.listing, 0, &[9; 32]).unwrap();
    assert_eq!(other.done, [0; 0]);
    assert!(!fixture.part().item().exists());
}

#[test]
fn a_file_that_is_in_neither_place_is_missing_again() {
    let fixture = Fixture::new();
    fixture.assemble().unwrap();
    fs::remove_file(fixture.part().item().join("a")).unwrap();
    assert_eq!(fixture.done(), [3]);
    assert!(fixture.assemble().is_err());
}

#[test]
fn names_that_the_disk_takes_for_one_are_a_clear_error() {
    let fixture = Fixture::new();
    // As "A" would be on a disk that does not tell it from "a".
    fs::create_dir_all(fixture.part().dir().join(ITEM).join("a")).unwrap();
    assert!(matches!(fixture.assemble(), Err(ReceiveError::Collision(_))));
}

#[test]
fn a_damaged_file_is_fetched_again_and_a_stranger_removed() {
    let fixture = Fixture::new();
    let part = fixture.part();
    let (damaged, stranger) = (Fixture::file_of(&part, 1), part.dir().join(FILES).join("stranger"));
    drop(part);
    fs::write(&damaged, "xxx").unwrap();
    fs::write(&stranger, "xxx").unwrap();
    assert_eq!(fixture.done(), [3]);
    assert!(!damaged.exists() && !stranger.exists());
}

#[test]
fn it_is_known_whether_it_was_moved() {
    let fixture = Fixture::new();
    let to = fixture.to.path();
    fixture.assemble().unwrap();
    // Stopped between the word and the deed.
    fixture.part().about_to_publish(&fixture.id, "trip").unwrap();
    assert_eq!(published_before(&fixture.part(), to, &fixture.id), None);
    assert_eq!(fixture.done(), [1, 3]);
    // Stopped after the deed.
    let place = publish(&fixture.part(), to, "trip", true, &fixture.id).unwrap();
    assert_eq!(published_before(&fixture.part(), to, &fixture.id), Some(place.clone()));
    // Taken away since: it is received again.
    fs::remove_dir_all(&place).unwrap();
    assert_eq!(published_before(&fixture.part(), to, &fixture.id), None);
    assert_eq!(fixture.done(), [0; 0]);
}

#[test]
fn what_was_moved_and_has_changed_since_is_received_again() {
    let fixture = Fixture::new();
    let to = fixture.to.path();
    fixture.assemble().unwrap();
    publish(&fixture.part(), to, "trip", true, &fixture.id).unwrap();
    let changed = [9; 32];
    assert_eq!(published_before(&fixture.part(), to, &changed), None);
    assert_eq!(fixture.part().scan(&fixture.listing, 0, &changed).unwrap().done, [0; 0]);
}
