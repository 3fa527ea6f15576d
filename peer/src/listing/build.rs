//! Entries taken in one after the other, each checked against those before it.

use super::{Entry, Listing, Node, hash_entry};
use hypersend_protocol::{
    hash::ListingId,
    limit::{
        MAX_FILE_SIZE, MAX_LISTING_DEPTH, MAX_LISTING_ENTRIES, MAX_LISTING_NAME_BYTES, MAX_LISTING_PATH_BYTES,
        MAX_OFFERED_FILES,
    },
};
use std::collections::HashSet;

/// The entries are no listing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListingError {
    /// More than are allowed.
    #[error("there are more than {MAX_LISTING_ENTRIES} files and folders; send them in parts, or packed into one file")]
    TooMany,
    /// More at the top than an offer may have.
    #[error("more than {MAX_OFFERED_FILES} things are offered at once; put them into one folder")]
    TooManyOffered,
    /// Longer names in all than are allowed.
    #[error("the names of all files have more than {MAX_LISTING_NAME_BYTES} bytes; send them in parts")]
    TooLong,
    /// Folders within each other, too many.
    #[error(
        "{0:?} is in more than {MAX_LISTING_DEPTH} folders, or its path has more than {MAX_LISTING_PATH_BYTES} bytes"
    )]
    TooDeep(String),
    /// Twice the same name in one place.
    #[error("the name {0:?} is there twice")]
    Twice(String),
    /// A file that is larger than any may be.
    #[error("{0:?} is larger than a file may be")]
    TooLarge(String),
    /// Only a peer can do that.
    #[error("the list of files makes no sense at {0:?}")]
    Nonsense(String),
}

/// Takes entries in, one after the other.
#[derive(Debug)]
pub(crate) struct Builder {
    listing: Listing,
    hasher: blake3::Hasher,
    top_names: HashSet<String>,
    /// For each entry, what is needed to check those in it.
    inner: Vec<Inner>,
}

#[derive(Debug)]
struct Inner {
    item: u8,
    last_child: Option<u32>,
    depth: u8,
    path_bytes: u16,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let listing = Listing { nodes: vec![], names: String::new(), tops: vec![], bytes: 0, id: ListingId([0; 32]) };
        Self {
            listing,
            hasher: blake3::Hasher::new_derive_key("hypersend 2026 listing"),
            top_names: HashSet::new(),
            inner: vec![],
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.listing.len()
    }

    /// Takes one entry in; its number is the count of those before it.
    pub(crate) fn push(&mut self, entry: Entry<'_>) -> Result<u32, ListingError> {
        let number = self.len();
        let nonsense = || ListingError::Nonsense(entry.name.to_owned());
        if number >= MAX_LISTING_ENTRIES {
            return Err(ListingError::TooMany);
        }
        if self.listing.names.len() + entry.name.len() > MAX_LISTING_NAME_BYTES {
            return Err(ListingError::TooLong);
        }
        if entry.size > MAX_FILE_SIZE {
            return Err(ListingError::TooLarge(entry.name.to_owned()));
        }
        if entry.folder && (entry.size > 0 || entry.executable) {
            return Err(nonsense());
        }
        let inner = match entry.parent {
            None => self.at_top(number, entry.name)?,
            Some(parent) => self.within(number, parent, entry.name)?,
        };
        self.listing.bytes = self.listing.bytes.checked_add(entry.size).ok_or_else(nonsense)?;
        self.listing.names.push_str(entry.name);
        self.listing.nodes.push(Node {
            key: entry.key,
            size: entry.size,
            modified: entry.modified,
            name_end: u32::try_from(self.listing.names.len()).expect("at most MAX_LISTING_NAME_BYTES"),
            parent: entry.parent,
            item: inner.item,
            folder: entry.folder,
            executable: entry.executable,
        });
        self.inner.push(inner);
        hash_entry(&mut self.hasher, entry.parent, &entry);
        Ok(number)
    }

    pub(crate) fn finish(mut self) -> Listing {
        self.listing.id = ListingId(self.hasher.finalize().into());
        self.listing
    }

    fn at_top(&mut self, number: u32, name: &str) -> Result<Inner, ListingError> {
        if self.listing.tops.len() >= MAX_OFFERED_FILES {
            return Err(ListingError::TooManyOffered);
        }
        if !self.top_names.insert(name.to_owned()) {
            return Err(ListingError::Twice(name.to_owned()));
        }
        let item = u8::try_from(self.listing.tops.len()).expect("at most MAX_OFFERED_FILES");
        self.listing.tops.push(number);
        Ok(Inner { item, last_child: None, depth: 0, path_bytes: small(name.len()) })
    }

    fn within(&mut self, number: u32, parent: u32, name: &str) -> Result<Inner, ListingError> {
        let nonsense = || ListingError::Nonsense(name.to_owned());
        let folder = self.listing.get(parent).filter(|entry| entry.folder).ok_or_else(nonsense)?;
        let inner = &self.inner[parent as usize];
        let path_bytes = usize::from(inner.path_bytes) + 1 + name.len();
        if usize::from(inner.depth) + 1 > MAX_LISTING_DEPTH || path_bytes > MAX_LISTING_PATH_BYTES {
            return Err(ListingError::TooDeep(format!("{}/{name}", folder.name)));
        }
        if let Some(last) = inner.last_child {
            let last = self.listing.get(last).expect("an entry").name;
            match last.as_bytes().cmp(name.as_bytes()) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Err(ListingError::Twice(format!("{}/{name}", folder.name))),
                std::cmp::Ordering::Greater => return Err(nonsense()),
            }
        }
        let (item, depth) = (inner.item, inner.depth + 1);
        self.inner[parent as usize].last_child = Some(number);
        Ok(Inner { item, last_child: None, depth, path_bytes: small(path_bytes) })
    }
}

fn small(length: usize) -> u16 {
    u16::try_from(length).expect("at most MAX_LISTING_PATH_BYTES")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypersend_protocol::{hash::EntryKey, peer::ListingEntry, time::UnixMillis};
    use std::path::PathBuf;

    fn entry(name: &str, parent: Option<u32>, folder: bool) -> Entry<'_> {
        let key = EntryKey([7; 32]);
        Entry { name, parent, folder, size: 0, modified: UnixMillis(0), executable: false, key }
    }

    fn built(entries: &[Entry<'_>]) -> Result<Listing, ListingError> {
        let mut builder = Builder::new();
        for entry in entries {
            builder.push(*entry)?;
        }
        Ok(builder.finish())
    }

    #[test]
    fn paths_and_items_are_found_again() {
        let entries = [
            entry("film.mkv", None, false),
            entry("trip", None, true),
            entry("a", Some(1), true),
            entry("b.jpg", Some(2), false),
            entry("z.jpg", Some(1), false),
        ];
        let listing = built(&entries).unwrap();
        assert_eq!(listing.tops(), [0, 1]);
        assert_eq!((listing.item_of(3), listing.item_of(0)), (1, 0));
        assert_eq!(listing.path_within(3), PathBuf::from("a/b.jpg"));
        assert_eq!(listing.shown(3), "trip/a/b.jpg");
        assert_eq!(listing.shown(0), "film.mkv");
        let mut again = Builder::new();
        for page in [listing.page(0, 2), listing.page(2, 100)] {
            for entry in &page {
                let ListingEntry { ref name, parent, folder, size, modified, executable, key } = *entry;
                again.push(Entry { name: name.as_str(), parent, folder, size, modified, executable, key }).unwrap();
            }
        }
        assert_eq!(again.finish().id(), listing.id());
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        let file = entry("f", None, false);
        let folder = entry("d", None, true);
        let refused = |entries: &[Entry<'_>]| built(entries).unwrap_err();
        assert!(
            matches!(refused(&[file, entry("x", Some(0), false)]), ListingError::Nonsense(_)),
            "a file is no folder"
        );
        assert!(matches!(refused(&[entry("x", Some(0), false)]), ListingError::Nonsense(_)), "its own parent");
        assert!(matches!(refused(&[entry("x", Some(1), false), folder]), ListingError::Nonsense(_)), "a later parent");
        assert!(matches!(refused(&[file, file]), ListingError::Twice(_)));
        let child = entry("x", Some(0), false);
        assert!(matches!(refused(&[folder, child, child]), ListingError::Twice(_)));
        let earlier = entry("a", Some(0), false);
        assert!(matches!(refused(&[folder, child, earlier, child]), ListingError::Nonsense(_)), "out of order");
        assert!(matches!(refused(&[Entry { size: 1, ..folder }]), ListingError::Nonsense(_)));
        assert!(matches!(refused(&[Entry { size: u64::MAX, ..file }]), ListingError::TooLarge(_)));
    }

    #[test]
    fn depth_and_length_of_a_path_are_bounded() {
        let nested = |name: &str, levels: u32| {
            let mut builder = Builder::new();
            builder.push(entry("d", None, true)).unwrap();
            (0..levels).find_map(|level| builder.push(entry(name, Some(level), true)).err())
        };
        assert_eq!(nested("d", 64), None);
        assert!(matches!(nested("d", 65), Some(ListingError::TooDeep(_))));
        assert!(matches!(nested(&"d".repeat(255), 12), Some(ListingError::TooDeep(_))));
        let names: Vec<_> = (0..65).map(|n| n.to_string()).collect();
        let many: Vec<_> = names.iter().map(|name| entry(name, None, false)).collect();
        assert_eq!(built(&many).unwrap_err(), ListingError::TooManyOffered);
    }
}
