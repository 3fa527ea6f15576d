//! What is offered, as both sides have it in memory: entries in one array, names in one text. Never touches the disk.
//!
//! A listing that exists is sound: every parent is a folder before its entry, no folder has a name twice, no path is longer
//! or deeper than its limit. It is made by a [`Builder`], from a walk at the sender and from a peer's pages at the receiver.

mod build;

pub(crate) use build::Builder;
pub use build::ListingError;
use hypersend_protocol::{
    hash::{EntryKey, ListingId},
    name::FileName,
    p2p::OfferedFile,
    peer::ListingEntry,
    time::UnixMillis,
};
use std::path::PathBuf;

/// The entries of one transfer. Some 64 bytes and a name for each.
#[derive(Debug)]
pub(crate) struct Listing {
    nodes: Vec<Node>,
    /// All names, one behind the other.
    names: String,
    tops: Vec<u32>,
    bytes: u64,
    id: ListingId,
}

#[derive(Debug)]
struct Node {
    key: EntryKey,
    size: u64,
    modified: UnixMillis,
    name_end: u32,
    parent: Option<u32>,
    /// Its place among the tops, or that of the one it is in.
    item: u8,
    folder: bool,
    executable: bool,
}

/// One entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    pub(crate) parent: Option<u32>,
    pub(crate) folder: bool,
    pub(crate) size: u64,
    pub(crate) modified: UnixMillis,
    pub(crate) executable: bool,
    pub(crate) key: EntryKey,
}

impl Listing {
    pub(crate) fn id(&self) -> ListingId {
        self.id
    }

    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.nodes.len()).expect("at most MAX_LISTING_ENTRIES")
    }

    /// The sum of all sizes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many are files.
    pub(crate) fn files(&self) -> u64 {
        self.nodes.iter().filter(|node| !node.folder).count() as u64
    }

    /// What was offered itself.
    pub(crate) fn tops(&self) -> &[u32] {
        &self.tops
    }

    pub(crate) fn get(&self, entry: u32) -> Option<Entry<'_>> {
        let node = self.nodes.get(entry as usize)?;
        let before = (entry as usize).checked_sub(1).map_or(0, |before| self.nodes[before].name_end);
        Some(Entry {
            name: &self.names[before as usize..node.name_end as usize],
            parent: node.parent,
            folder: node.folder,
            size: node.size,
            modified: node.modified,
            executable: node.executable,
            key: node.key,
        })
    }

    /// All entries with their numbers.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, Entry<'_>)> {
        (0..self.len()).map(|entry| (entry, self.get(entry).expect("counted")))
    }

    /// Which of [`tops`](Self::tops) an entry is, or is in: its place there.
    pub(crate) fn item_of(&self, entry: u32) -> usize {
        self.nodes[entry as usize].item.into()
    }

    /// The path of an entry from what it was offered with, whose own name is left out.
    pub(crate) fn path_within(&self, entry: u32) -> PathBuf {
        let mut names = Vec::new();
        let mut at = self.get(entry).expect("an entry of this listing");
        while let Some(parent) = at.parent {
            names.push(at.name);
            at = self.get(parent).expect("a parent is an entry");
        }
        names.iter().rev().collect()
    }

    /// The path of an entry for people.
    pub(crate) fn shown(&self, entry: u32) -> String {
        let top = self.get(self.tops[self.item_of(entry)]).expect("an entry");
        PathBuf::from(top.name).join(self.path_within(entry)).to_string_lossy().trim_end_matches('/').to_owned()
    }

    /// Entries for a page, from `first` on.
    pub(crate) fn page(&self, first: u32, count: u32) -> Vec<ListingEntry> {
        let end = first.saturating_add(count).min(self.len());
        let entries = (first..end).map(|entry| self.get(entry).expect("counted"));
        entries
            .map(|entry| ListingEntry {
                name: FileName::parse(entry.name).expect("it was one when it was taken in"),
                parent: entry.parent,
                folder: entry.folder,
                size: entry.size,
                modified: entry.modified,
                executable: entry.executable,
                key: entry.key,
            })
            .collect()
    }

    /// What was offered itself, for the other side to agree to.
    pub(crate) fn offered(&self) -> Vec<OfferedFile> {
        let mut sizes = vec![0; self.tops.len()];
        for node in &self.nodes {
            sizes[usize::from(node.item)] += node.size;
        }
        let tops = self.tops.iter().map(|&top| self.get(top).expect("an entry"));
        let offered = |(top, size): (Entry<'_>, u64)| OfferedFile {
            name: FileName::parse(top.name).expect("it was one when it was taken in"),
            size,
            folder: top.folder,
        };
        tops.zip(sizes).map(offered).collect()
    }

    /// For each of [`tops`](Self::tops), what everything in it hashes to, wherever in the listing it stands.
    pub(crate) fn item_ids(&self) -> Vec<[u8; 32]> {
        let new = |_| blake3::Hasher::new_derive_key("hypersend 2026 peer: one offered thing");
        let mut hashers: Vec<_> = self.tops.iter().map(new).collect();
        for (number, entry) in self.iter() {
            let item = self.item_of(number);
            hash_entry(&mut hashers[item], entry.parent.map(|parent| parent - self.tops[item]), &entry);
        }
        hashers.iter().map(|hasher| hasher.finalize().into()).collect()
    }
}

fn hash_entry(hasher: &mut blake3::Hasher, parent: Option<u32>, entry: &Entry<'_>) {
    hasher.update(&parent.map_or(0, |parent| parent + 1).to_le_bytes());
    hasher.update(&entry.size.to_le_bytes());
    hasher.update(&entry.modified.0.to_le_bytes());
    hasher.update(&[u8::from(entry.folder), u8::from(entry.executable)]);
    hasher.update(&entry.key.0);
    hasher.update(&u32::try_from(entry.name.len()).expect("a file name is short").to_le_bytes());
    hasher.update(entry.name.as_bytes());
}
