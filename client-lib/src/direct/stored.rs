//! Through the server, where there is no way from one side to the other.
//!
//! The sender uploads the files, posts them into the chat, and says so in the session ([`P2pPath::Stored`]); the receiver finds
//! the message by ids that both can make from the session's, and downloads what it has said yes to and nothing else. So the files are where files in a chat are, and
//! who looks at the chat sees them.

use super::{error::DirectError, transfer::Told};
use crate::Client;
use hypersend_peer::{Progress, Received};
use hypersend_protocol::{
    chat::{Message, Post},
    file::FileCard,
    hash::RootHash,
    id::{ClientId, FileId, P2pId},
    limit::MAX_FILES_PER_MESSAGE,
    p2p::{OfferedFile, P2pSession},
};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};
use tokio::{sync::watch, task::spawn_blocking};
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
        let file = sums.follow(upload.progress(), upload.finish(), told).await?;
        // Another name only by another program's hand: the session would not be this offer's.
        if (&file.name, file.size) != (&offered.name, offered.size) {
            return Err(changed());
        }
        sums.before += file.size;
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
    for card in files {
        let root = client.file(card.id).await?.root;
        let (into, name, size) = (folder.to_owned(), card.name.clone(), card.size);
        let place = spawn_blocking(move || place_for(&into, name.as_str(), size, root)).await;
        let place = match place.expect("it does not panic, and nobody aborts it") {
            Place::Free(place) => {
                let download = client.download(card.id, &place);
                sums.follow(download.progress(), download.finish(), told).await?;
                place
            }
            // From an earlier attempt, which ended behind this file.
            Place::Here(place) => place,
        };
        sums.before += card.size;
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

/// Where a file goes.
enum Place {
    /// Nothing is there.
    Free(PathBuf),
    /// This very file is there already.
    Here(PathBuf),
}

/// The name itself, or with a number, whichever is free or the file itself. Reads what is there, if it is as long.
fn place_for(folder: &Path, name: &str, size: u64, root: RootHash) -> Place {
    let (stem, end) = match name.rfind('.').filter(|&at| at > 0) {
        Some(dot) => name.split_at(dot),
        None => (name, ""),
    };
    let numbered = (2_u64..).map(|n| folder.join(format!("{stem} ({n}){end}")));
    let mut names = std::iter::once(folder.join(name)).chain(numbered);
    let place = names.find_map(|place| match place.symlink_metadata() {
        Ok(there) if there.is_file() && there.len() == size && root_of(&place).is_ok_and(|there| there == root) => {
            Some(Place::Here(place))
        }
        Ok(_) => None,
        // Free, or the download says why it cannot be used.
        Err(_) => Some(Place::Free(place)),
    });
    place.expect("there are fewer files than numbers")
}

fn root_of(path: &Path) -> io::Result<RootHash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(RootHash(hasher.finalize().into()))
}

/// The same on both sides.
fn message_id(session: P2pId, n: usize) -> ClientId {
    let n = u128::try_from(n).expect("a usize fits");
    ClientId(Uuid::from_u128(session.0.as_u128().wrapping_add(n)))
}

/// Progress of several files as that of one transfer.
struct Sums {
    total: u64,
    before: u64,
}

impl Sums {
    fn new(session: &P2pSession) -> Self {
        Self { total: session.files.iter().map(|file| file.size).sum(), before: 0 }
    }

    async fn follow<T>(
        &self,
        mut progress: watch::Receiver<Option<Progress>>,
        finish: impl Future<Output = T>,
        told: &Told,
    ) -> T {
        tokio::pin!(finish);
        loop {
            tokio::select! {
                done = &mut finish => return done,
                Ok(()) = progress.changed() => {
                    let of_all = progress.borrow_and_update().map(|one| self.of_all(one));
                    told.progress.send_replace(of_all);
                }
            }
        }
    }

    fn of_all(&self, one: Progress) -> Progress {
        let stored_bytes = self.before + one.stored_bytes;
        let left = self.total.saturating_sub(stored_bytes);
        let remaining = left.checked_div(one.bytes_per_second).map(std::time::Duration::from_secs);
        Progress {
            total_bytes: self.total,
            stored_bytes,
            resumed_bytes: self.before + one.resumed_bytes,
            remaining,
            ..one
        }
    }
}
