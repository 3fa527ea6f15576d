//! Archives: all records in one file, by which a server moves from one backend to the other.
//!
//! A backend reads its records into a channel (`dump`) or writes those of a channel (`load`); what is in the file is not its
//! affair. Neither side holds more than a few hundred records at a time. An archive is read twice when it is imported: to see
//! that all of it is there and as it was written, and only then into the database.

mod format;
mod record;
#[cfg(test)]
mod tests;

pub use record::{Chat, Event, Feed, File, Member, P2p, Posting, Record, Stage, What};

use super::{Place, StoreError, mongodb, sqlite};
use format::{Reader, Writer};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufReader, BufWriter, Seek},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::spawn_blocking,
};

/// Records on their way between the file and the database.
const AHEAD: usize = 256;

/// How many records there are, by the names of their kinds.
pub type Counts = BTreeMap<String, u64>;

/// Records were not exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file cannot be opened or made.
    #[error("open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("write the archive")]
    Write(#[source] io::Error),
    /// It cannot be read.
    #[error("read the archive")]
    Read(#[source] io::Error),
    /// It is something else.
    #[error("this is no archive of hypersend-server export")]
    NoArchive,
    /// It is of another version.
    #[error("the archive is of format {found}; this program reads {known}: import it with the version that wrote it")]
    Version {
        /// Its version.
        found: u32,
        /// The one that is read.
        known: u32,
    },
    /// Its end is missing.
    #[error("the archive has been cut short: its last line is missing; copy or export it again")]
    CutShort,
    /// A line is no record.
    #[error("line {line} of the archive is no record ({reason}); copy or export it again")]
    Damaged {
        /// The line.
        line: u64,
        /// Why not.
        reason: String,
    },
    /// It is not what was written.
    #[error("the archive is not as it was written: its last line does not fit the others; copy or export it again")]
    Altered,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A thread broke down.
    #[error("handling the archive failed")]
    Thread(#[from] tokio::task::JoinError),
}

/// Writes all records, as they are at one moment, to a new file that only its owner may read: password hashes are in it. It
/// is whole when this returns, and survives a power cut; otherwise there is none.
pub async fn export(place: &Place, path: &Path) -> Result<Counts, ArchiveError> {
    let open = |source| ArchiveError::Open { path: path.to_owned(), source };
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(open)?;
    let exported = export_to(place, file, path).await;
    if exported.is_err() {
        // What is left of it could not be imported anyway.
        drop(fs::remove_file(path));
    }
    exported
}

async fn export_to(place: &Place, file: fs::File, path: &Path) -> Result<Counts, ArchiveError> {
    let (records, mut written) = mpsc::channel(AHEAD);
    let writing = spawn_blocking(move || {
        let mut archive = Writer::begin(BufWriter::new(file))?;
        while let Some(record) = written.blocking_recv() {
            archive.put(&record)?;
        }
        Ok(archive)
    });
    let dumped = match place {
        Place::File(path) => sqlite::archive::dump(path, records).await,
        Place::Mongodb(uri) => mongodb::archive::dump(uri, records).await,
    };
    let archive = writing.await?.map_err(ArchiveError::Write)?;
    // The last line is written when all of them have been read, and not when reading has ended.
    dumped?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let finish = move || {
        let (out, counts) = archive.finish()?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::File::open(folder)?.sync_all()?;
        Ok(counts)
    };
    spawn_blocking(finish).await?.map_err(ArchiveError::Write)
}

/// Reads all records of a file into an empty database. When it fails or dies the database is as empty as before, or, in
/// MongoDB, refuses to be served until the import has been done again.
pub async fn import(place: &Place, path: &Path) -> Result<Counts, ArchiveError> {
    let open = |source| ArchiveError::Open { path: path.to_owned(), source };
    let mut file = fs::File::open(path).map_err(open)?;
    let (counts, file) = spawn_blocking(move || {
        let counts = read(&file, |_| true)?;
        file.rewind().map_err(ArchiveError::Read)?;
        Ok::<_, ArchiveError>((counts, file))
    })
    .await??;
    let (records, taken) = mpsc::channel(AHEAD);
    let reading = spawn_blocking(move || {
        // One behind: the last is handed over when the closing line has been looked at again, and without it nothing counts.
        let mut held = None;
        read(&file, |record| held.replace(record).is_none_or(|before| records.blocking_send(before).is_ok()))?;
        if let Some(last) = held {
            // Whoever takes no more says why.
            drop(records.blocking_send(last));
        }
        Ok::<_, ArchiveError>(())
    });
    let total = counts.values().sum();
    let loaded = match place {
        Place::File(path) => sqlite::archive::load(path, taken, total).await,
        Place::Mongodb(uri) => mongodb::archive::load(uri, taken, total).await,
    };
    reading.await??;
    loaded?;
    Ok(counts)
}

/// Reads an archive to its end, or until nobody takes its records any more.
fn read(file: &fs::File, mut take: impl FnMut(Record) -> bool) -> Result<Counts, ArchiveError> {
    let mut archive = Reader::begin(BufReader::new(file))?;
    while let Some(record) = archive.next()? {
        if !take(record) {
            break;
        }
    }
    Ok(archive.counts())
}

/// Whoever was to write the archive has gone, and says why.
pub(super) fn nobody_writes<T>(_: T) -> StoreError {
    StoreError::Unavailable("the archive is not written any more".into())
}

/// What is to be imported into, is not empty.
pub(super) fn not_empty(table: &str) -> StoreError {
    let reason = format!(
        "the database is not empty ({table}); an import goes into a new one only: give another DATA_ROOT, or another \
         database in MONGODB_URI"
    );
    StoreError::Unfit { reason }
}

/// The archive could not be read to its end, which whoever reads it says.
pub(super) fn ended_early() -> StoreError {
    StoreError::Unavailable("the archive ended early".into())
}

/// Where a backend's records go to, and come from.
pub(super) type Records = Sender<Record>;
/// The other end.
pub(super) type Taken = Receiver<Record>;
