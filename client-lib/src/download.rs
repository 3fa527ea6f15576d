//! Fetching a file from the server.

use crate::{
    Client, Progress,
    client::ask,
    error::{Attempt, ClientError, Patience},
    link::Live,
    transfer::{Carrier, CarryError, Driven, Gauge, blocking, drive},
};
use bytes::Bytes;
use hypersend_net::frames::{FrameReader, send};
use hypersend_protocol::{
    file::{FileInfo, GetFile, GetRange, GetValues, RangeFollows},
    hash::ChunkValue,
    id::{ChunkIndex, FileId},
    limit::{MAX_FILE_NAME_BYTES, MAX_VALUES_PER_PAGE},
    refusal::{ErrorCode, Refusal},
    stream::priority,
};
use hypersend_transfer::{
    folder::{
        CheckpointError, CreateError, ExtractError, Landed, Manifest, OpenError, SealError, StoreError, TransferFolder,
        TurnError, is_own,
    },
    plan::{ChunkPlan, PlanError, Span},
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::task::AbortOnDropHandle;

/// How long to wait for the last user of a folder to let go of it: the time of one range's write.
const RELEASE: Duration = Duration::from_secs(2);

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The server or the client said no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Something is at the destination.
    #[error("{} is already there; choose another name", .0.display())]
    Exists(PathBuf),
    /// Another process fetches the same file to the same place.
    #[error("{} is just being downloaded by another process", .0.display())]
    InUse(PathBuf),
    /// The server's description of the file makes no sense.
    #[error("the server's answer does not fit the file")]
    Plan(#[from] PlanError),
    /// What has arrived cannot be held to the server's chunk values, or these are not the file's.
    #[error("go on with the download in {}", folder.display())]
    Turn {
        /// What has arrived; without it the download begins anew.
        folder: PathBuf,
        /// Why.
        source: TurnError,
    },
    /// What should hold what arrives was made by another user: there may be anything in it.
    #[error("{} belongs to another user", .0.display())]
    NotOurs(PathBuf),
    /// The folder for what has arrived cannot be made.
    #[error("write beside the destination")]
    Create(#[from] CreateError),
    /// The folder of an earlier attempt cannot be used.
    #[error("go on with the download in {}", folder.display())]
    Damaged {
        /// What has arrived; without it the download begins anew.
        folder: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// A chunk cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was written could not be made safe.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The file is not whole.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The file cannot be moved to its place.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// The disk failed.
    #[error("write beside the destination")]
    Io(#[from] io::Error),
}

/// A file on its way from the server. Dropping it stops; what has arrived stays beside the destination, and the same
/// download begun again goes on from there.
#[derive(Debug)]
pub struct Download {
    progress: watch::Receiver<Option<Progress>>,
    task: AbortOnDropHandle<Result<FileInfo, DownloadError>>,
}

impl Download {
    pub(crate) fn start(client: Client, file: FileId, to: PathBuf) -> Self {
        let (gauge, progress) = Gauge::new();
        Self { progress, task: AbortOnDropHandle::new(tokio::spawn(run(client, file, to, gauge))) }
    }

    /// How far it is; `None` until the server has said how large it is.
    pub fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.progress.clone()
    }

    /// Waits until the whole file is at its destination and has the hash that the server named.
    pub async fn finish(self) -> Result<FileInfo, DownloadError> {
        self.task.await.expect("the task neither panics nor is aborted while awaited")
    }
}

async fn run(client: Client, file: FileId, to: PathBuf, mut gauge: Gauge) -> Result<FileInfo, DownloadError> {
    let mut fetching: Option<Arc<Fetching>> = None;
    let mut patience = Patience::default();
    loop {
        let live = client.live().await?;
        let info = match ask(&live.connection, client.server(), &GetFile { file }).await {
            Ok(info) => info,
            Err(attempt) => {
                patience.wait_out(attempt, &live).await?;
                continue;
            }
        };
        let fetching = match &fetching {
            Some(fetching) => fetching,
            None => match Fetching::begin(&client, &live, &info, &to).await {
                Ok(begun) => fetching.insert(Arc::new(begun)),
                Err(Begin::Attempt(attempt)) => {
                    patience.wait_out(attempt, &live).await?;
                    continue;
                }
                Err(Begin::Failed(error)) => return Err(error),
            },
        };
        let map = fetching.folder.map();
        if drive(&live, fetching.plan, &map, fetching, &mut gauge).await? == Driven::Finished {
            let fetching = fetching.clone();
            blocking(move || -> Result<(), DownloadError> {
                fetching.folder.seal(Some(info.root))?.extract(&to)?;
                Ok(())
            })
            .await?;
            return Ok(info);
        }
    }
}

/// One download, across connections.
struct Fetching {
    client: Client,
    file: FileId,
    plan: ChunkPlan,
    folder: Arc<TransferFolder>,
    values: Vec<ChunkValue>,
}

/// Why a download does not begin.
enum Begin {
    Attempt(Attempt),
    Failed(DownloadError),
}

impl<E: Into<DownloadError>> From<E> for Begin {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Fetching {
    async fn begin(client: &Client, live: &Live, info: &FileInfo, to: &Path) -> Result<Self, Begin> {
        let plan = ChunkPlan::parse(info.size, info.chunk_size)?;
        let manifest = Manifest::new(info.id, info.name.clone(), plan, Some(info.root));
        let folder = open_folder(to, manifest.clone()).await?;
        let values = fetch_values(client, live, info.id, plan).await.map_err(Begin::Attempt)?;
        let expected = values.clone();
        // What lies there may have come from elsewhere, and be another file's in part.
        let dir = folder.dir().to_owned();
        let turned = blocking(move || folder.turn_into(manifest, expected)).await;
        let folder = turned.map_err(|source| DownloadError::Turn { folder: dir, source })?;
        Ok(Self { client: client.clone(), file: info.id, plan, folder: Arc::new(folder), values })
    }

    async fn get(&self, live: &Live, span: Span) -> Result<Vec<Bytes>, Attempt> {
        let server = self.client.server();
        let (mut stream, answer) = live.connection.open_bi().await.map_err(|_| Attempt::Lost)?;
        stream.set_priority(priority::REQUEST);
        let get = GetRange { file: self.file, offset: span.offset, length: span.length };
        send(&mut stream, &get).await.map_err(|error| Attempt::sending(server, error))?;
        stream.finish();
        let mut answer = FrameReader::new(answer);
        let received = |error| Attempt::receiving(server, error);
        let follows = answer.expect::<RangeFollows>().await.map_err(received)?;
        if follows.length != span.length {
            return Err(Attempt::Lost);
        }
        answer.raw(span.length as usize).await.map_err(received)
    }
}

/// The values of a file's chunks, on whatever connection there is.
pub(crate) async fn chunk_values(client: &Client, file: &FileInfo) -> Result<Vec<ChunkValue>, DownloadError> {
    let plan = ChunkPlan::parse(file.size, file.chunk_size)?;
    let mut patience = Patience::default();
    loop {
        let live = client.live().await?;
        match fetch_values(client, &live, file.id, plan).await {
            Ok(values) => return Ok(values),
            Err(attempt) => patience.wait_out(attempt, &live).await?,
        }
    }
}

/// All chunk values, page by page.
async fn fetch_values(client: &Client, live: &Live, file: FileId, plan: ChunkPlan) -> Result<Vec<ChunkValue>, Attempt> {
    let mut values = Vec::with_capacity(plan.chunk_count() as usize);
    while values.len() < plan.chunk_count() as usize {
        let first = ChunkIndex(u32::try_from(values.len()).expect("fewer than chunk_count, a u32"));
        let get = GetValues { file, first, count: MAX_VALUES_PER_PAGE };
        let page = ask(&live.connection, client.server(), &get).await?;
        let page = page.unpack().filter(|page| !page.is_empty());
        let bad = || Refusal::new(ErrorCode::Internal, "the server gave no chunk values");
        values.extend(page.ok_or_else(|| Attempt::Failed(bad().into()))?);
    }
    Ok(values)
}

/// Beside the destination, so that the finished file moves there without being copied. Of a long name only the
/// beginning: the folder's own must not be longer than a name may be.
pub(crate) fn folder_beside(to: &Path, file: FileId) -> PathBuf {
    let end = format!(".{file}.part");
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let fits = name.floor_char_boundary(MAX_FILE_NAME_BYTES - 1 - end.len());
    to.with_file_name(format!(".{}{end}", &name[..fits]))
}

/// A download that was dropped a moment ago lets go of its folder when its last write is done, so one that goes on with it
/// waits for that.
async fn open_folder(to: &Path, manifest: Manifest) -> Result<TransferFolder, DownloadError> {
    let give_up = Instant::now() + RELEASE;
    loop {
        let (to, manifest) = (to.to_owned(), manifest.clone());
        match blocking(move || open_or_create(&to, manifest)).await {
            Err(DownloadError::InUse(_)) if Instant::now() < give_up => sleep(RELEASE / 40).await,
            opened => return opened,
        }
    }
}

fn open_or_create(to: &Path, manifest: Manifest) -> Result<TransferFolder, DownloadError> {
    if to.try_exists()? {
        return Err(DownloadError::Exists(to.to_owned()));
    }
    let dir = folder_beside(to, manifest.file);
    match is_own(&dir) {
        Ok(false) => return Err(DownloadError::NotOurs(dir)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        Ok(true) | Err(_) => {}
    }
    match TransferFolder::open(&dir) {
        Ok(folder) => return Ok(folder),
        Err(OpenError::InUse) => return Err(DownloadError::InUse(to.to_owned())),
        Err(OpenError::NotFound | OpenError::Unfinished) => {}
        // The file was moved to its place and taken away from there since.
        Err(OpenError::Extracted) => std::fs::remove_dir_all(&dir)?,
        Err(source) => return Err(DownloadError::Damaged { folder: dir, source }),
    }
    match TransferFolder::create(&dir, manifest) {
        Err(CreateError::InUse | CreateError::Exists) => Err(DownloadError::InUse(to.to_owned())),
        created => Ok(created?),
    }
}

impl Carrier for Fetching {
    type Error = DownloadError;

    async fn carry(self: Arc<Self>, live: Live, chunk: ChunkIndex) -> Result<(), CarryError<DownloadError>> {
        // The value of a chunk's only range is the chunk's; several ranges are checked together, as the chunk.
        let alone = self.plan.range_count(chunk) == 1;
        let expected = alone.then(|| self.values[chunk.0 as usize]);
        let mut landed = None;
        for span in self.plan.ranges(chunk) {
            let place = live.bulk.down(span).await;
            let parts = self.get(&live, span).await?;
            drop(place);
            let folder = self.folder.clone();
            landed = match blocking(move || folder.store_range(span, expected, &parts)).await {
                Ok(landed) => Some(landed),
                Err(error @ (StoreError::RangeMismatch { .. } | StoreError::ChunkMismatch(_))) => {
                    return Err(CarryError::Again(Refusal::new(ErrorCode::HashMismatch, error.to_string())));
                }
                Err(error) => return Err(CarryError::Fatal(error.into())),
            };
        }
        if self.folder.checkpoint_is_due() {
            let folder = self.folder.clone();
            blocking(move || folder.checkpoint()).await.map_err(|error| CarryError::Fatal(error.into()))?;
        }
        match landed {
            Some(Landed::Chunk(_)) => Ok(()),
            _ => Err(CarryError::Again(Refusal::new(ErrorCode::Incomplete, "ranges of the chunk are missing"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::chown;

    #[test]
    fn a_folder_that_another_user_has_laid_out_is_not_gone_on_with() {
        let to = tempfile::tempdir().unwrap();
        let film = to.path().join("film.mkv");
        let id = FileId(uuid::Uuid::from_u128(1));
        let plan = ChunkPlan::for_size(5 << 20).unwrap();
        let manifest = Manifest::new(id, "film.mkv".parse().unwrap(), plan, None);
        drop(open_or_create(&film, manifest.clone()).unwrap());
        let dir = folder_beside(&film, id);
        if let Err(error) = chown(&dir, Some(1), None) {
            eprintln!("skipped: giving a folder to another user needs the right to ({error})");
            return;
        }
        let refused = open_or_create(&film, manifest.clone()).unwrap_err();
        assert!(matches!(&refused, DownloadError::NotOurs(found) if *found == dir), "{refused}");
        chown(&dir, Some(0), None).unwrap();
        open_or_create(&film, manifest).unwrap();
    }
}
