//! Through the server, where there is no way from one side to the other.
//!
//! The sender uploads the files, posts them into the chat, and says so in the session (`P2pPath::Stored`); the receiver
//! finds the message by ids that both can make from the session's, and downloads what it has said yes to and nothing
//! else, but for what has come from the sender itself before. So the files are where files in a chat are, and who looks
//! at the chat sees them.

use super::{
    error::DirectError,
    place::{Place, prepare},
    receive::tag,
    transfer::Told,
};
use crate::{Client, download::chunk_values, transfer::blocking};
use hypersend_peer::{Progress, Received};
use hypersend_protocol::{
    chat::{Message, Post},
    file::FileCard,
    id::{ClientId, FileId, P2pId},
    limit::{MAX_FILES_PER_MESSAGE, MAX_RANGE_LENGTH},
    p2p::{OfferedFile, P2pSession},
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::watch;
use uuid::Uuid;

/// Messages that are asked for at once, in search of ours.
const PAGE: u32 = 200;

/// Puts the files on the server and into the chat.
pub(super) async fn put(
    client: &Client,
    session: &P2pSession,
    paths: &[PathBuf],
    told: &Told,
) -> Result<(), DirectError> {
    let mut ids: Vec<FileId> = Vec::with_capacity(paths.len());
    let mut sums = Sums::new(session);
    // The receiver takes what was offered, and nothing else.
    for (path, offered) in paths.iter().zip(&session.files) {
        let changed = || DirectError::NotOffered(offered.name.clone());
        // What cannot be read, the upload says.
        if tokio::fs::metadata(path).await.is_ok_and(|now| now.len() != offered.size) {
            return Err(changed());
        }
        let upload = client.upload(path);
        let file = sums.follow(offered.size, upload.progress(), upload.finish(), told).await?;
        // Another name only by another program's hand: the session would not be this offer's.
        if (&file.name, file.size) != (&offered.name, offered.size) {
            return Err(changed());
        }
        ids.push(file.id);
    }
    for (n, files) in ids.chunks(MAX_FILES_PER_MESSAGE).enumerate() {
        let post = Post { client_id: message_id(session.id, n), text: None, files: files.to_vec(), reply_to: None };
        client.post_as(session.chat, post).await?;
    }
    Ok(())
}

/// Fetches what the sender has put on the server.
pub(super) async fn fetch(
    client: &Client,
    session: &P2pSession,
    folder: &Path,
    told: &Told,
) -> Result<Received, DirectError> {
    let files = find(client, session).await?.ok_or(DirectError::NoMessage)?;
    // A message with this id may be anybody's who is the sender: what its user has agreed to is the offer.
    if !is_as_offered(&files, &session.files) {
        return Err(DirectError::NotAgreed);
    }
    let mut received = Received { files: 0, bytes: 0, places: Vec::with_capacity(files.len()), reported: true };
    let mut sums = Sums::new(session);
    for (card, offered) in files.into_iter().zip(&session.files) {
        let file = client.file(card.id).await?;
        // One of a single range arrives whole, or not at all.
        let is_cut = file.size > u64::from(MAX_RANGE_LENGTH);
        let values = if is_cut { chunk_values(client, &file).await? } else { vec![] };
        let (into, sender, offered) = (folder.to_owned(), tag(session), offered.clone());
        let (place, of_no_use) = blocking(move || prepare(&into, &sender, &offered, &file, &values)).await;
        let place = match place {
            Place::Free(place) => {
                let download = client.download(card.id, &place);
                sums.follow(card.size, download.progress(), download.finish(), told).await?;
                place
            }
            Place::Here(place) => {
                sums.there(card.size, told);
                place
            }
        };
        // Only room is lost otherwise.
        blocking(|| of_no_use.into_iter().for_each(|remains| drop(remains.clear()))).await;
        received.files += 1;
        received.bytes += card.size;
        received.places.push(place);
    }
    Ok(received)
}

/// The files in the sender's messages; `None` when one of these is not there.
async fn find(client: &Client, session: &P2pSession) -> Result<Option<Vec<FileCard>>, DirectError> {
    let count = session.files.len().div_ceil(MAX_FILES_PER_MESSAGE);
    let wanted: Vec<ClientId> = (0..count).map(|n| message_id(session.id, n)).collect();
    let mut found: Vec<Option<Message>> = wanted.iter().map(|_| None).collect();
    let mut before = None;
    while found.iter().any(Option::is_none) {
        let page = client.history(session.chat, before, PAGE).await?.messages;
        let Some(first) = page.first() else { return Ok(None) };
        // A minute for clocks that were set between.
        let too_old = first.at.0 + 60_000 < session.created.0;
        before = Some(first.seq);
        for message in page {
            let ours = |id: &ClientId| *id == message.client_id && message.sender == session.sender;
            if let Some(n) = wanted.iter().position(ours) {
                found[n] = Some(message);
            }
        }
        if too_old {
            break;
        }
    }
    let messages: Option<Vec<Message>> = found.into_iter().collect();
    Ok(messages.map(|messages| messages.into_iter().flat_map(|message| message.files).collect()))
}

fn is_as_offered(files: &[FileCard], offered: &[OfferedFile]) -> bool {
    let of_card = files.iter().map(|card| (&card.name, card.size, false));
    of_card.eq(offered.iter().map(|file| (&file.name, file.size, file.folder)))
}

/// The same on both sides.
fn message_id(session: P2pId, n: usize) -> ClientId {
    let n = u128::try_from(n).expect("a usize fits");
    ClientId(Uuid::from_u128(session.0.as_u128().wrapping_add(n)))
}

/// Progress of several files as that of one transfer.
struct Sums {
    total: u64,
    /// Of the files before.
    stored: u64,
    resumed: u64,
}

impl Sums {
    fn new(session: &P2pSession) -> Self {
        Self { total: session.files.iter().map(|file| file.size).sum(), stored: 0, resumed: 0 }
    }

    /// Tells how one file fares, to its end.
    async fn follow<T, E>(
        &mut self,
        size: u64,
        mut progress: watch::Receiver<Option<Progress>>,
        finish: impl Future<Output = Result<T, E>>,
        told: &Told,
    ) -> Result<T, E> {
        tokio::pin!(finish);
        let done = loop {
            tokio::select! {
                done = &mut finish => break done?,
                Ok(()) = progress.changed() => {
                    let of_all = progress.borrow_and_update().map(|one| self.of_all(one));
                    told.progress.send_replace(of_all);
                }
            }
        };
        // What is finished before it says how far it is was there.
        match *progress.borrow() {
            Some(one) => self.done(size, one.resumed_bytes, one.bytes_per_second, told),
            None => self.there(size, told),
        }
        Ok(done)
    }

    /// One file is there already.
    fn there(&mut self, size: u64, told: &Told) {
        self.done(size, size, 0, told);
    }

    /// Tells that one file is there: of what it said itself, the last may be missing.
    fn done(&mut self, size: u64, resumed: u64, bytes_per_second: u64, told: &Told) {
        self.stored += size;
        self.resumed += resumed;
        let nothing_more =
            Progress { total_bytes: 0, stored_bytes: 0, resumed_bytes: 0, bytes_per_second, remaining: None };
        told.progress.send_replace(Some(self.of_all(nothing_more)));
    }

    fn of_all(&self, one: Progress) -> Progress {
        let stored_bytes = self.stored + one.stored_bytes;
        let left = self.total.saturating_sub(stored_bytes);
        Progress {
            total_bytes: self.total,
            stored_bytes,
            resumed_bytes: self.resumed + one.resumed_bytes,
            bytes_per_second: one.bytes_per_second,
            remaining: left.checked_div(one.bytes_per_second).map(Duration::from_secs),
        }
    }
}
