//! Bytes one after another, in pieces of any length, across crashes and beside senders of whole chunks. A kill -9 is a drop.

use crate::support::{Dice, Fixture, MIB};
use bytes::Bytes;
use hypersend_protocol::id::ChunkIndex;
use hypersend_transfer::{
    Span, TransferFolder,
    folder::{AppendError, StoreError, Tail},
};
use std::{fs, os::unix::fs::FileExt};

/// Appends so many bytes from where the sender stands, range by range.
fn send(fixture: &Fixture, folder: &TransferFolder, tail: &mut Tail, at: u64, mut length: u64) -> u64 {
    let mut at = at;
    while length > 0 {
        let range = fixture.plan.range_of(at).unwrap();
        let piece = length.min(range.end() - at);
        append(fixture, folder, tail, at, piece).unwrap();
        (at, length) = (at + piece, length - piece);
    }
    at
}

fn append(
    fixture: &Fixture,
    folder: &TransferFolder,
    tail: &mut Tail,
    at: u64,
    length: u64,
) -> Result<(), AppendError> {
    let bytes = fixture.bytes(Span { offset: at, length: u32::try_from(length).unwrap() });
    let half = bytes.len() / 2;
    folder.append(tail, at, vec![bytes.slice(..half), bytes.slice(half..)])
}

fn finished(fixture: &Fixture, folder: &TransferFolder) {
    assert_eq!(folder.seal(None).unwrap().root, fixture.root());
    assert_eq!(fs::read(fixture.path("content")).unwrap(), fixture.data);
}

#[test]
fn pieces_of_any_length_make_the_file_and_no_kept_byte_is_lost_to_a_crash() {
    let mut dice = Dice::new();
    for (size, chunk_size) in
        [(1, MIB), (3 * MIB + 5, MIB), (2 * MIB, MIB), (9 * MIB + 77, 4 * MIB), (MIB / 2, 2 * MIB)]
    {
        let fixture = Fixture::new(size, chunk_size);
        let mut folder = fixture.create();
        let mut tail = folder.open_tail().unwrap();
        let mut at = 0;
        while at < size {
            let longest = if dice.below(2) == 0 { 3 * MIB } else { 70_000 };
            let length = (1 + dice.below(longest)).min(size - at);
            at = send(&fixture, &folder, &mut tail, at, length);
            assert_eq!(folder.reached(&tail), at);
            if dice.below(3) == 0 {
                drop((tail, folder));
                folder = fixture.open();
                tail = folder.open_tail().unwrap();
                assert_eq!(folder.reached(&tail), at, "after a crash");
            }
        }
        finished(&fixture, &folder);
    }
}

#[test]
fn chunks_that_others_stored_count_and_are_not_written_again() {
    let fixture = Fixture::new(6 * MIB + 9, MIB);
    let folder = fixture.create();
    let mut tail = folder.open_tail().unwrap();
    fixture.store_chunks(&folder, [1, 3]);
    assert_eq!(send(&fixture, &folder, &mut tail, 0, MIB - 1), MIB - 1);
    assert_eq!(folder.reached(&tail), MIB - 1);
    send(&fixture, &folder, &mut tail, MIB - 1, 1);
    assert_eq!(folder.reached(&tail), 2 * MIB, "chunk 1 was there");
    send(&fixture, &folder, &mut tail, 2 * MIB, MIB + 500);
    let other = Bytes::from(vec![0; (1 << 20) - 500]);
    folder.append(&mut tail, 3 * MIB + 500, vec![other]).unwrap();
    assert_eq!(folder.reached(&tail), 4 * MIB, "whatever came of chunk 3");

    // The chunk that is being appended to is stored by somebody else half-way.
    send(&fixture, &folder, &mut tail, 4 * MIB, 1_000);
    fixture.store_chunks(&folder, [4]);
    assert_eq!(folder.reached(&tail), 5 * MIB);
    send(&fixture, &folder, &mut tail, 4 * MIB + 1_000, 2 * MIB + 9 - 1_000);
    finished(&fixture, &folder);
}

#[test]
fn ranges_of_large_chunks_may_come_from_two_sides() {
    let fixture = Fixture::new(8 * MIB, 4 * MIB);
    let folder = fixture.create();
    let mut tail = folder.open_tail().unwrap();
    let spans = fixture.spans();
    fixture.store(&folder, spans[1]).unwrap();
    send(&fixture, &folder, &mut tail, 0, MIB);
    assert_eq!(folder.reached(&tail), 2 * MIB, "and the range after it");
    drop((tail, folder));

    let folder = fixture.open();
    let mut tail = folder.open_tail().unwrap();
    assert_eq!(folder.reached(&tail), 2 * MIB, "both survive, though their chunk is not stored");
    send(&fixture, &folder, &mut tail, MIB, 7 * MIB);
    finished(&fixture, &folder);
}

#[test]
fn ranges_that_a_power_cut_took_are_asked_for_again() {
    let fixture = Fixture::new(8 * MIB, 4 * MIB);
    let folder = fixture.create();
    let mut tail = folder.open_tail().unwrap();
    send(&fixture, &folder, &mut tail, 0, 3 * MIB + 10);
    drop((tail, folder));
    let content = fs::File::options().write(true).open(fixture.path("content")).unwrap();
    content.write_all_at(&[0; 100], MIB + 5).unwrap();

    let folder = fixture.open();
    let mut tail = folder.open_tail().unwrap();
    assert_eq!(folder.reached(&tail), MIB);
    send(&fixture, &folder, &mut tail, MIB, 7 * MIB);
    finished(&fixture, &folder);
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let fixture = Fixture::new(3 * MIB, MIB);
    let folder = fixture.create();
    let mut tail = folder.open_tail().unwrap();
    send(&fixture, &folder, &mut tail, 0, 10);
    for (at, length) in [(11, 5), (MIB, 5), (2 * MIB, MIB)] {
        let refused = append(&fixture, &folder, &mut tail, at, length);
        assert!(matches!(refused, Err(AppendError::Gap { .. })), "{at}: {refused:?}");
    }
    for (at, length) in [(10, MIB), (3 * MIB, 1), (u64::MAX, 1)] {
        let bytes = Bytes::from(vec![1; usize::try_from(length).unwrap()]);
        let refused = folder.append(&mut tail, at, vec![bytes]);
        assert!(matches!(refused, Err(AppendError::Store(StoreError::Place(_)))), "{at}: {refused:?}");
    }
    folder.append(&mut tail, 10, Vec::new()).unwrap();
    assert_eq!(folder.reached(&tail), 10);
    assert!(!folder.map().contains(ChunkIndex(0)));
    send(&fixture, &folder, &mut tail, 10, 3 * MIB - 10);
    finished(&fixture, &folder);
}
