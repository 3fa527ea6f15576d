//! The sender's list of files, page by page.

use super::ReceiveError;
use crate::{
    ask::{AskError, ask},
    listing::{Builder, Entry, Listing, ListingError},
    paths::Paths,
};
use hypersend_protocol::{
    limit::{MAX_ENTRIES_PER_PAGE, MAX_LISTING_ENTRIES},
    peer::{GetListing, ListingEntry, ListingPage},
};
use std::{collections::VecDeque, sync::Arc};
use tokio_util::task::AbortOnDropHandle;

/// Pages that are asked for at once: a million entries over 100 ms are there after a quarter of a minute. Each is in memory
/// for as long as an earlier one is under way, with half a MiB at most.
const PAGES_AT_ONCE: usize = 8;

/// Lists that a sender may give within one transfer: one for each time that it was started again with files that had changed,
/// and one for each change between paths while its last run is not known to be over.
const MAX_LISTS: u32 = 64;

type Asked = AbortOnDropHandle<Result<ListingPage, AskError>>;

/// The lists of one transfer, of which each takes the place of the one before.
#[derive(Debug, Default)]
pub(super) struct Lists {
    begun: u32,
}

impl Lists {
    /// Fetches all of the list. A sender that is started again meanwhile may give another one; it is then fetched anew.
    pub(super) async fn fetch(&mut self, paths: &Arc<Paths>) -> Result<Listing, ReceiveError> {
        while self.begun < MAX_LISTS {
            self.begun += 1;
            if let Some(listing) = attempt(paths).await? {
                return Ok(listing);
            }
        }
        Err(ReceiveError::Nonsense("the list of files is another again and again".to_owned()))
    }
}

async fn attempt(paths: &Arc<Paths>) -> Result<Option<Listing>, ReceiveError> {
    let nonsense = |what: &str| ReceiveError::Nonsense(what.to_owned());
    let first = ask(paths, &GetListing { first: 0, count: MAX_ENTRIES_PER_PAGE }).await?;
    let (id, total, bytes) = (first.listing, first.total_entries, first.total_bytes);
    if total > MAX_LISTING_ENTRIES {
        return Err(ListingError::TooMany.into());
    }
    let mut builder = Builder::new();
    let mut asked: VecDeque<Asked> = VecDeque::new();
    let mut next = MAX_ENTRIES_PER_PAGE;
    let mut page = first;
    loop {
        if (page.listing, page.total_entries, page.total_bytes) != (id, total, bytes) {
            return Ok(None);
        }
        let expected = (total - builder.len()).min(MAX_ENTRIES_PER_PAGE);
        if page.entries.len() != expected as usize || expected == 0 {
            return Err(nonsense("a page of the list has another length than it should"));
        }
        for entry in &page.entries {
            take(&mut builder, entry)?;
        }
        while asked.len() < PAGES_AT_ONCE && next < total {
            let (paths, get) = (paths.clone(), GetListing { first: next, count: MAX_ENTRIES_PER_PAGE });
            asked.push_back(AbortOnDropHandle::new(tokio::spawn(async move { ask(&paths, &get).await })));
            next += MAX_ENTRIES_PER_PAGE;
        }
        let Some(asked) = asked.pop_front() else { break };
        page = asked.await.expect("the task neither panics nor is aborted while awaited")?;
    }
    let listing = builder.finish();
    if (listing.id(), listing.bytes()) != (id, bytes) {
        return Err(nonsense("the list of files is not the one that was announced"));
    }
    Ok(Some(listing))
}

fn take(builder: &mut Builder, entry: &ListingEntry) -> Result<(), ListingError> {
    let ListingEntry { name, parent, folder, size, modified, executable, key } = entry;
    let (parent, folder, size, modified, executable, key) = (*parent, *folder, *size, *modified, *executable, *key);
    builder.push(Entry { name: name.as_str(), parent, folder, size, modified, executable, key })?;
    Ok(())
}
