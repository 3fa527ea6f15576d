//! What a crash leaves is taken up again. A kill -9 is a drop without a checkpoint: the page cache outlives both.

use crate::support::{Crash, Fixture, MIB, stored};
use hypersend_protocol::id::ChunkIndex;
use hypersend_transfer::{
    TransferFolder,
    folder::{CreateError, OpenError},
    journal::{Journal, Record},
};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

const HEADER: usize = 16;
const RECORD: usize = 44;

/// Five chunks of two ranges, the last one short; chunks 0 and 2 before a checkpoint, 1 and 4 after it.
fn half_way() -> Fixture {
    let fixture = Fixture::new(9 * MIB + 77, 2 * MIB);
    let folder = fixture.create();
    fixture.store_chunks(&folder, [0, 2]);
    folder.checkpoint().unwrap();
    fixture.store_chunks(&folder, [1, 4]);
    fixture
}

fn overwrite(fixture: &Fixture, chunk: u32, bytes: &[u8]) {
    let content = File::options().write(true).open(fixture.path("content")).unwrap();
    content.write_all_at(bytes, fixture.plan.chunk(ChunkIndex(chunk)).unwrap().offset + 5).unwrap();
}

fn complete(fixture: &Fixture) {
    let folder = fixture.open();
    fixture.store_missing(&folder);
    assert_eq!(folder.seal(Some(fixture.root())).unwrap().root, fixture.root());
    assert_eq!(fs::read(fixture.path("content")).unwrap(), fixture.data);
}

#[test]
fn everything_called_stored_survives_with_or_without_a_checkpoint() {
    let fixture = half_way();
    let folder = fixture.open();
    assert_eq!(stored(&folder.map()), [0, 1, 2, 4]);
    assert_eq!(folder.bytes_since_checkpoint(), 3 * MIB + 77, "chunks 1 and 4 are still unsettled");
    assert_eq!(folder.manifest(), &fixture.manifest());
    drop(folder);
    complete(&fixture);
}

#[test]
fn a_chunk_of_which_only_some_ranges_landed_is_missing() {
    let fixture = half_way();
    fixture.store(&fixture.open(), fixture.plan.ranges(ChunkIndex(3)).next().unwrap()).unwrap();
    assert_eq!(stored(&fixture.open().map()), [0, 1, 2, 4]);
    complete(&fixture);
}

#[test]
fn a_journal_cut_at_any_byte_loses_what_was_cut_and_goes_on() {
    let fixture = half_way();
    let journal = fs::read(fixture.path("journal")).unwrap();
    assert_eq!(journal.len(), HEADER + 5 * RECORD);
    // In the order of the records: 0, 2, checkpoint, 1, 4.
    let kept: [&[u32]; 6] = [&[], &[0], &[0, 2], &[0, 2], &[0, 1, 2], &[0, 1, 2, 4]];
    for length in 0..=journal.len() {
        fs::write(fixture.path("journal"), &journal[..length]).unwrap();
        let whole = length.saturating_sub(HEADER) / RECORD;
        assert_eq!(stored(&fixture.open().map()), kept[whole], "cut at {length}");
        assert_eq!(stored(&fixture.open().map()), kept[whole], "cut at {length}, opened again");
    }
    fs::write(fixture.path("journal"), &journal[..HEADER + 3 * RECORD + 20]).unwrap();
    fixture.store_chunks(&fixture.open(), [3]);
    assert_eq!(stored(&fixture.open().map()), [0, 2, 3]);
    complete(&fixture);
}

#[test]
fn a_flipped_bit_in_the_journal_never_adds_a_chunk() {
    let fixture = half_way();
    let journal = fs::read(fixture.path("journal")).unwrap();
    for byte in 0..journal.len() {
        let mut flipped = journal.clone();
        flipped[byte] ^= 1 << (byte % 8);
        fs::write(fixture.path("journal"), flipped).unwrap();
        let map = fixture.open().map();
        assert!(stored(&map).iter().all(|chunk| [0, 1, 2, 4].contains(chunk)), "byte {byte}");
        assert!(map.stored() < 4, "byte {byte} was not noticed");
    }
    complete(&fixture);
}

#[test]
fn a_lost_journal_means_that_nothing_has_landed() {
    let fixture = half_way();
    fs::remove_file(fixture.path("journal")).unwrap();
    assert!(stored(&fixture.open().map()).is_empty());
    complete(&fixture);
}

#[test]
fn content_that_changed_past_the_checkpoint_is_dropped_for_good() {
    let fixture = half_way();
    overwrite(&fixture, 1, b"power cut");
    assert_eq!(stored(&fixture.open().map()), [0, 2, 4]);
    // Also when the right bytes come back, and after further records: the chunk has to be received.
    let span = fixture.plan.chunk(ChunkIndex(1)).unwrap();
    overwrite(&fixture, 1, &fixture.bytes(span)[5..14]);
    assert_eq!(stored(&fixture.open().map()), [0, 2, 4]);
    let folder = fixture.open();
    fixture.store_chunks(&folder, [3]);
    folder.checkpoint().unwrap();
    drop(folder);
    assert_eq!(stored(&fixture.open().map()), [0, 2, 3, 4]);
    complete(&fixture);
}

#[test]
fn content_before_the_checkpoint_is_not_read_again() {
    let fixture = half_way();
    overwrite(&fixture, 2, b"bit rot");
    assert_eq!(stored(&fixture.open().map()), [0, 1, 2, 4]);
}

#[test]
fn a_checkpoint_does_not_vouch_for_a_chunk_recorded_while_it_was_made() {
    let fixture = half_way();
    let (journal, contents) = Journal::open(&fixture.path("journal"), &fixture.plan).unwrap();
    assert_eq!(stored(&contents.settled), [0, 2]);
    // Four records stood when this checkpoint's flush began; chunk 4, the fifth, came meanwhile.
    journal.append(Record::Checkpoint(4)).unwrap();
    overwrite(&fixture, 1, b"trusted");
    overwrite(&fixture, 4, b"hashed again");
    assert_eq!(stored(&fixture.open().map()), [0, 1, 2]);
}

#[test]
fn content_that_lost_its_length_gets_it_back() {
    let fixture = Fixture::new(3 * MIB, MIB);
    let folder = fixture.create();
    fixture.store_chunks(&folder, [0, 2]);
    drop(folder);
    File::options().write(true).open(fixture.path("content")).unwrap().set_len(MIB + 9).unwrap();
    assert_eq!(stored(&fixture.open().map()), [0]);
    complete(&fixture);
}

#[test]
fn one_owner_at_a_time() {
    let fixture = Fixture::new(MIB, MIB);
    let folder = fixture.create();
    assert!(matches!(TransferFolder::open(&fixture.dir()), Err(OpenError::InUse)));
    assert!(matches!(TransferFolder::create(&fixture.dir(), fixture.manifest()), Err(CreateError::InUse)));
    drop(folder);
    assert!(matches!(TransferFolder::create(&fixture.dir(), fixture.manifest()), Err(CreateError::Exists)));
    let sealed = {
        let folder = fixture.open();
        fixture.store_missing(&folder);
        folder.seal(None).unwrap()
    };
    assert!(matches!(TransferFolder::open(&fixture.dir()), Err(OpenError::InUse)), "until it is published");
    drop(sealed);
    fixture.open();
}

#[test]
fn a_folder_either_opens_or_is_unfinished_and_made_anew() {
    let leave: [(&str, Crash); 3] = [
        ("no manifest", |fixture| fs::remove_file(fixture.path("manifest.json")).unwrap()),
        ("a manifest of zeros", |fixture| fs::write(fixture.path("manifest.json"), [0; 99]).unwrap()),
        ("nothing but its name", |fixture| {
            fs::remove_dir_all(fixture.dir()).unwrap();
            fs::create_dir(fixture.dir()).unwrap();
        }),
    ];
    for (what, leave) in leave {
        let fixture = half_way();
        leave(&fixture);
        assert!(matches!(TransferFolder::open(&fixture.dir()), Err(OpenError::Unfinished)), "{what}");
        let folder = fixture.create();
        assert!(stored(&folder.map()).is_empty(), "{what}");
        drop(folder);
        assert!(stored(&fixture.open().map()).is_empty(), "{what}");
        complete(&fixture);
    }
    let fixture = half_way();
    fs::write(fixture.path("manifest.json"), "{").unwrap();
    assert!(matches!(TransferFolder::open(&fixture.dir()), Err(OpenError::Manifest(_))));
    let refused = TransferFolder::create(&fixture.dir(), fixture.manifest());
    assert!(matches!(refused, Err(CreateError::Exists)), "damage is not a reason to wipe what has landed");
}
