//! Ranges that arrive: whole, wrong, in crumbs, twice, and all at once.

use crate::support::{Dice, Fixture, MIB, stored};
use bytes::Bytes;
use hypersend_protocol::{hash::ChunkValue, id::ChunkIndex};
use hypersend_transfer::{
    Landed, Span, TransferFolder,
    folder::{ExpectError, StoreError},
    journal::Journal,
    tree,
};
use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

#[test]
fn a_chunk_is_stored_with_its_last_range_and_stays_so() {
    let fixture = Fixture::new(3 * MIB, 2 * MIB);
    let folder = fixture.create();
    let [first, second, third] = fixture.spans()[..] else { unreachable!("three MiB are three ranges") };
    assert_eq!(fixture.store(&folder, second).unwrap(), Landed::Range);
    assert_eq!(fixture.store(&folder, second).unwrap(), Landed::Range);
    assert_eq!(fixture.store(&folder, first).unwrap(), Landed::Chunk(ChunkIndex(0)));
    assert_eq!(fixture.store(&folder, second).unwrap(), Landed::Chunk(ChunkIndex(0)));
    assert_eq!(fixture.store(&folder, third).unwrap(), Landed::Chunk(ChunkIndex(1)));
    assert_eq!(folder.bytes_since_checkpoint(), 3 * MIB);
    folder.checkpoint().unwrap();
    assert_eq!(folder.bytes_since_checkpoint(), 0);
}

#[test]
fn what_does_not_belong_is_refused_and_leaves_no_trace() {
    let fixture = Fixture::new(2 * MIB, MIB);
    let folder = fixture.create();
    let span = fixture.spans()[1];
    let (bytes, value) = (fixture.bytes(span), fixture.value(span));
    let half = Span { length: span.length / 2, ..span };
    assert!(matches!(folder.store_range(half, Some(value), &[bytes.slice(..1 << 19)]), Err(StoreError::Place(_))));
    assert!(matches!(folder.store_range(span, Some(value), &[bytes.slice(1..)]), Err(StoreError::Length { .. })));
    let twisted: Bytes = bytes.iter().rev().copied().collect();
    assert!(matches!(folder.store_range(span, Some(value), &[twisted]), Err(StoreError::RangeMismatch { .. })));
    assert!(fs::read(fixture.path("content")).unwrap().iter().all(|&byte| byte == 0));
    assert_eq!(folder.store_range(span, Some(value), &[bytes]).unwrap(), Landed::Chunk(ChunkIndex(1)));
}

#[test]
fn a_range_in_crumbs_is_written_in_order() {
    let fixture = Fixture::new(MIB + 5, MIB);
    let folder = fixture.create();
    for (span, crumb) in fixture.spans().into_iter().zip([137, 1]) {
        let bytes = fixture.bytes(span);
        let mut crumbs = vec![Bytes::new()];
        crumbs.extend(bytes.chunks(crumb).flat_map(|crumb| [bytes.slice_ref(crumb), Bytes::new()]));
        folder.store_range(span, Some(fixture.value(span)), &crumbs).unwrap();
    }
    assert_eq!(fs::read(fixture.path("content")).unwrap(), fixture.data);
    folder.seal(Some(fixture.root())).unwrap();
}

#[test]
fn a_chunk_of_another_file_is_missing_again_and_can_be_replaced() {
    let fixture = Fixture::new(4 * MIB, 2 * MIB);
    let folder = fixture.create();
    folder.expect_values(fixture.values()).unwrap();
    let [first, second, ..] = fixture.spans()[..] else { unreachable!("four ranges") };
    let other = Bytes::from(vec![7; second.length as usize]);
    let value = tree::range_value(&fixture.plan, second, [&other[..]].into_iter());
    fixture.store(&folder, first).unwrap();
    let refused = folder.store_range(second, Some(value), &[other]);
    assert!(matches!(refused, Err(StoreError::ChunkMismatch(ChunkIndex(0)))));
    assert_eq!(fixture.store(&folder, second).unwrap(), Landed::Range, "the first range has to come again as well");
    fixture.store_missing(&folder);
    folder.seal(Some(fixture.root())).unwrap();
}

#[test]
fn expected_values_have_to_fit_the_file() {
    let fixture = Fixture::new(4 * MIB, MIB);
    let mut manifest = fixture.manifest();
    manifest.root = Some(fixture.root());
    let folder = TransferFolder::create(&fixture.dir(), manifest).unwrap();
    let values = fixture.values();
    let halves = vec![ChunkValue([0; 32]); 2];
    assert_eq!(folder.expect_values(halves), Err(ExpectError::Count { expected: 4, actual: 2 }));
    let swapped = values.iter().rev().copied().collect();
    assert!(matches!(folder.expect_values(swapped), Err(ExpectError::Root { .. })));
    folder.expect_values(values).unwrap();
}

#[test]
fn threads_store_every_range_twice_in_any_order_beside_checkpoints() {
    let fixture = Fixture::new(24 * MIB + 3, 4 * MIB);
    let folder = fixture.create();
    let mut spans = [fixture.spans(), fixture.spans()].concat();
    Dice::new().shuffle(&mut spans);
    let (next, done) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|threads| {
        let stores: Vec<_> = (0..8)
            .map(|_| {
                threads.spawn(|| {
                    while let Some(span) = spans.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                        fixture.store(&folder, *span).unwrap();
                    }
                })
            })
            .collect();
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                folder.checkpoint().unwrap();
            }
        });
        for thread in stores {
            thread.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(folder.map().is_full());
    folder.checkpoint().unwrap();
    assert_eq!(folder.bytes_since_checkpoint(), 0);
    drop(folder);

    let (_, contents) = Journal::open(&fixture.path("journal"), &fixture.plan).unwrap();
    assert!(contents.settled.is_full());
    assert_eq!(contents.values.into_iter().flatten().collect::<Vec<_>>(), fixture.values());
    fixture.open().seal(Some(fixture.root())).unwrap();
    assert_eq!(fs::read(fixture.path("content")).unwrap(), fixture.data);
}

#[test]
fn the_same_range_at_once_is_stored_once_for_everybody() {
    let fixture = Fixture::new(2 * MIB, MIB);
    for _ in 0..20 {
        let folder = fixture.create();
        thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    let landed = fixture.store(&folder, fixture.spans()[1]).unwrap();
                    assert_eq!(landed, Landed::Chunk(ChunkIndex(1)));
                });
            }
        });
        let records = (fs::metadata(fixture.path("journal")).unwrap().len() - 16) / 44;
        assert_eq!(records, 1);
        folder.discard().unwrap();
    }
}

#[test]
fn two_senders_of_different_bytes_never_mix() {
    let fixture = Fixture::new(2 * MIB, 2 * MIB);
    for round in 0..20 {
        let folder = fixture.create();
        thread::scope(|threads| {
            for sender in 0..4 {
                let (fixture, folder) = (&fixture, &folder);
                threads.spawn(move || {
                    for span in fixture.spans() {
                        let bytes = Bytes::from(vec![sender; span.length as usize]);
                        let value = tree::range_value(&fixture.plan, span, [&bytes[..]].into_iter());
                        folder.store_range(span, Some(value), &[bytes]).unwrap();
                    }
                });
            }
        });
        drop(folder);
        // Nothing is settled, so opening hashes the chunk again: it is kept only if it is what was recorded.
        let folder = fixture.open();
        assert_eq!(stored(&folder.map()), [0], "round {round}");
        folder.discard().unwrap();
    }
}
