//! What is there from earlier attempts, and whether the rest has room. Everything blocks.

use super::ReceiveError;
use crate::{
    listing::Listing,
    part::{Part, Scanned, patiently},
    publish::{Note, published_before},
};
use hypersend_transfer::folder::{NoSpace, TransferFolder, free_bytes};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// How far everything is.
pub(super) enum Prepared {
    /// All of it was moved to its place before a crash.
    Published(Vec<PathBuf>),
    /// It can go on.
    Parts(Parts),
}

/// What has arrived of each offered thing.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) folders: Vec<Part>,
    pub(super) item_ids: Vec<[u8; 32]>,
    /// Things that were moved to their place before a crash.
    pub(super) published: Vec<Option<PathBuf>>,
    /// Entries that need nothing any more.
    pub(super) done: Vec<bool>,
    /// Files of several ranges under way.
    pub(super) large: HashMap<u32, Arc<TransferFolder>>,
    /// Bytes that are there.
    pub(super) stored: u64,
}

pub(super) fn prepare(destination: &Path, sender: &[u8; 32], listing: &Listing) -> Result<Prepared, ReceiveError> {
    if !destination.is_dir() {
        return Err(ReceiveError::NotAFolder(destination.to_owned()));
    }
    if let Some(places) = Note::of(destination, sender, listing).read() {
        return Ok(Prepared::Published(places));
    }
    let item_ids = listing.item_ids();
    let mut parts = Parts {
        folders: vec![],
        published: vec![],
        done: vec![false; listing.len() as usize],
        large: HashMap::new(),
        stored: 0,
        item_ids,
    };
    for (item, &top) in listing.tops().iter().enumerate() {
        let entry = listing.get(top).expect("an entry");
        let part = patiently(|| Part::open(destination, entry.name, sender, entry.key))?;
        let published = published_before(&part, destination, &parts.item_ids[item]);
        let scanned = match &published {
            Some(_) => {
                let all = (0..listing.len()).filter(|&entry| listing.item_of(entry) == item);
                Scanned { done: all.collect(), large: vec![] }
            }
            None => patiently(|| part.scan(listing, item, &parts.item_ids[item]))?,
        };
        parts.take(listing, scanned);
        parts.folders.push(part);
        parts.published.push(published);
    }
    parts.check_room(destination, listing)?;
    Ok(Prepared::Parts(parts))
}

impl Parts {
    fn take(&mut self, listing: &Listing, scanned: Scanned) {
        for entry in scanned.done {
            self.done[entry as usize] = true;
            self.stored += listing.get(entry).expect("an entry").size;
        }
        for (entry, folder) in scanned.large {
            let (plan, map) = (folder.plan(), folder.map());
            let stored = plan.chunks().filter(|&chunk| map.contains(chunk));
            self.stored += stored.filter_map(|chunk| plan.chunk(chunk)).map(|span| u64::from(span.length)).sum::<u64>();
            self.large.insert(entry, Arc::new(folder));
        }
    }

    /// Files of several ranges have reserved their room when they were begun.
    fn check_room(&self, destination: &Path, listing: &Listing) -> Result<(), ReceiveError> {
        let missing =
            listing.iter().filter(|(number, _)| !self.done[*number as usize] && !self.large.contains_key(number));
        let needed = missing.map(|(_, entry)| entry.size).sum();
        let free = free_bytes(destination).map_err(|error| ReceiveError::io(destination, error))?;
        if needed > free {
            return Err(NoSpace { needed, free }.into());
        }
        Ok(())
    }
}
