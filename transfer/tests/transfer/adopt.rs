//! Chunks that are stored somewhere else.

use crate::support::{Fixture, MIB, stored};
use hypersend_protocol::{hash::ChunkValue, id::ChunkIndex};
use hypersend_transfer::{Landed, tree};

#[test]
fn adopted_chunks_count_as_stored_and_give_the_files_hash_until_the_folder_is_closed() {
    let fixture = Fixture::new(5 * MIB, MIB);
    let folder = fixture.create();
    let values = fixture.values();
    fixture.store_chunks(&folder, [0, 3]);
    for index in [1, 2, 4] {
        assert!(folder.adopt(ChunkIndex(index), values[index as usize]));
    }
    assert!(folder.map().is_full());
    let tail = folder.open_tail().unwrap();
    assert_eq!(folder.reached(&tail), 5 * MIB);
    let all: Vec<ChunkValue> = folder.values().unwrap().into_iter().flatten().collect();
    assert_eq!(tree::root(&fixture.plan, &all), fixture.root());
    assert_eq!(fixture.store(&folder, fixture.spans()[1]).unwrap(), Landed::Chunk(ChunkIndex(1)), "not looked at");
    drop(folder);
    assert_eq!(stored(&fixture.open().map()), [0, 3], "the rest never was on this disk");
}

#[test]
fn what_is_here_or_just_coming_in_is_not_adopted() {
    let fixture = Fixture::new(6 * MIB, 2 * MIB);
    let folder = fixture.create();
    let wrong = ChunkValue([7; 32]);
    fixture.store_chunks(&folder, [0]);
    let [first, second] = [fixture.spans()[2], fixture.spans()[3]];
    fixture.store(&folder, first).unwrap();
    assert!(!folder.adopt(ChunkIndex(0), wrong) && !folder.adopt(ChunkIndex(1), wrong));
    assert!(!folder.adopt(ChunkIndex(3), wrong), "past the last");
    assert_eq!(fixture.store(&folder, second).unwrap(), Landed::Chunk(ChunkIndex(1)));
    let values = fixture.values();
    assert_eq!(folder.values().unwrap(), [Some(values[0]), Some(values[1]), None]);
}
