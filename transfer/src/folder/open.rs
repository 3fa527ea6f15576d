//! A folder taken up again, after a crash or a rest.

use super::{
    CONTENT, JOURNAL, MANIFEST, TransferFolder, VALUES,
    disk::{NoSpace, ReserveError, reserve, sync_dir},
    landing::Landing,
    manifest::{Manifest, ManifestError},
    settle::Settling,
};
use crate::{
    journal::{Contents, Journal, JournalError, Record},
    map::ReceiveMap,
    plan::{ChunkPlan, Span},
    tree::SubtreeHasher,
};
use hypersend_protocol::{hash::ChunkValue, id::ChunkIndex, limit::MAX_RANGE_LENGTH};
use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Condvar, Mutex, OnceLock},
};

/// The folder was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such folder.
    #[error("there is no such transfer")]
    NotFound,
    /// The folder was never made completely, or was being discarded: nothing in it is worth keeping. Create it anew.
    #[error("the transfer's folder is unfinished")]
    Unfinished,
    /// The file is complete and was moved to where it belongs; only the folder's removal did not happen. Discard it.
    #[error("the file was already moved out of the transfer's folder")]
    Extracted,
    /// Somebody has the folder open.
    #[error("the transfer's folder is in use")]
    InUse,
    /// The manifest is unusable.
    #[error("open the transfer")]
    Manifest(#[source] ManifestError),
    /// The journal is unusable.
    #[error("open the transfer")]
    Journal(#[source] JournalError),
    /// The content lost its length in a power cut, and the file no longer fits on the disk.
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    /// The disk refused.
    #[error("open the transfer's folder")]
    Io(#[from] io::Error),
}

impl TransferFolder {
    /// Opens a folder and finds out which of its chunks are stored. Hashes only the chunks that no checkpoint covers, and
    /// drops those that are not what their record says.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let content = lock(dir)?;
        let (manifest, plan) = Manifest::read(&dir.join(MANIFEST)).map_err(|error| match error {
            ManifestError::Unfinished => OpenError::Unfinished,
            error => OpenError::Manifest(error),
        })?;
        let settling = Settling::default();
        let (journal, map) = if is_sealed(dir, &plan)? {
            (Journal::create(&dir.join(JOURNAL))?, ReceiveMap::full(plan.chunk_count()))
        } else {
            restore_length(dir, &content, plan.size())?;
            resume(dir, &content, &plan, &settling)?
        };
        Ok(Self {
            dir: dir.to_owned(),
            manifest,
            plan,
            content,
            journal,
            writing: Mutex::default(),
            landing: Mutex::new(Landing::new(map)),
            changed: Condvar::new(),
            expected: OnceLock::new(),
            adopted: Mutex::default(),
            settling,
        })
    }
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let content = match File::options().read(true).write(true).open(dir.join(CONTENT)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(without_content(dir)),
        content => content?,
    };
    match content.try_lock() {
        Ok(()) => Ok(content),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn without_content(dir: &Path) -> OpenError {
    match (dir.is_dir(), dir.join(MANIFEST).exists()) {
        (true, true) => OpenError::Extracted,
        (true, false) => OpenError::Unfinished,
        (false, _) => OpenError::NotFound,
    }
}

/// Whether sealing got as far as its values; nothing is missing then, and the journal may be gone.
pub(super) fn is_sealed(dir: &Path, plan: &ChunkPlan) -> io::Result<bool> {
    match fs::metadata(dir.join(VALUES)) {
        Ok(values) => Ok(values.len() == u64::from(plan.chunk_count()) * size_of::<ChunkValue>() as u64),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A power cut before the first checkpoint may take the content's length; the chunks it took fail their hashes.
fn restore_length(dir: &Path, content: &File, size: u64) -> Result<(), OpenError> {
    if content.metadata()?.len() == size {
        return Ok(());
    }
    reserve(dir, content, size).map_err(|error| match error {
        ReserveError::NoSpace(no_space) => OpenError::NoSpace(no_space),
        ReserveError::Io(error) => OpenError::Io(error),
    })
}

fn resume(
    dir: &Path,
    content: &File,
    plan: &ChunkPlan,
    settling: &Settling,
) -> Result<(Journal, ReceiveMap), OpenError> {
    let path = dir.join(JOURNAL);
    let (journal, contents) = match Journal::open(&path, plan) {
        Err(JournalError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((Journal::create(&path)?, ReceiveMap::new(plan.chunk_count())));
        }
        opened => opened.map_err(OpenError::Journal)?,
    };
    let mut map = contents.settled.clone();
    let mut dropped = false;
    let mut buffer = Vec::new();
    for (index, value) in recorded(&contents) {
        if map.contains(index) {
            continue;
        }
        let span = plan.chunk(index).expect("the journal gives no chunk past the last");
        if chunk_value(content, plan, span, &mut buffer)? == value {
            map.insert(index);
            settling.landed(span.length.into());
        } else {
            dropped = true;
        }
    }
    let journal = if contents.torn || dropped { rewrite(dir, &contents, &map)? } else { journal };
    Ok((journal, map))
}

pub(super) fn recorded(contents: &Contents) -> impl Iterator<Item = (ChunkIndex, ChunkValue)> {
    let indexed = (0..).map(ChunkIndex).zip(&contents.values);
    indexed.filter_map(|(index, value)| Some((index, (*value)?)))
}

fn chunk_value(content: &File, plan: &ChunkPlan, span: Span, buffer: &mut Vec<u8>) -> io::Result<ChunkValue> {
    buffer.resize(MAX_RANGE_LENGTH as usize, 0);
    let mut subtree = SubtreeHasher::new(plan, span);
    let mut offset = span.offset;
    while offset < span.end() {
        let length = (span.end() - offset).min(buffer.len() as u64);
        let piece = &mut buffer[..usize::try_from(length).expect("no longer than the buffer")];
        content.read_exact_at(piece, offset)?;
        subtree.update(piece);
        offset += length;
    }
    Ok(subtree.finish())
}

/// Puts a journal in place that has exactly the chunks of the map: first the settled ones, then a checkpoint, then the rest.
pub(super) fn rewrite(dir: &Path, contents: &Contents, map: &ReceiveMap) -> io::Result<Journal> {
    let kept = |settled: bool| {
        recorded(contents)
            .filter(move |&(index, _)| map.contains(index) && contents.settled.contains(index) == settled)
            .map(|(index, value)| Record::Stored(index, value))
    };
    let checkpoint = Record::Checkpoint(u32::try_from(kept(true).count()).expect("no more than there are chunks"));

    let temporary = dir.join(format!("{JOURNAL}.new"));
    let journal = Journal::create_with(&temporary, kept(true).chain([checkpoint]).chain(kept(false)))?;
    journal.sync()?;
    fs::rename(temporary, dir.join(JOURNAL))?;
    sync_dir(dir)?;
    Ok(journal)
}
