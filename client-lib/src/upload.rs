//! Sending a file to the server.

use crate::{
    Client, Progress,
    client::ask,
    error::{Attempt, ClientError, Patience},
    link::Live,
    transfer::{Carrier, CarryError, Driven, Gauge, blocking, drive},
};
use bytes::Bytes;
use hypersend_net::{bulk::send_range, frames::FrameReader};
use hypersend_protocol::{
    file::{BeginUpload, CancelUpload, FileInfo, FinishUpload, PutRange, RangeStored},
    hash::{ChunkValue, RootHash},
    id::{ChunkIndex, FileId},
    refusal::ErrorCode,
    stream::priority,
};
use hypersend_transfer::{
    map::{MapError, ReceiveMap},
    plan::{ChunkPlan, PlanError, Span},
    source::{Source, SourceError},
    tree,
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Why a file was not sent.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The file cannot be read, or has changed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The server or the client said no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server counts chunks differently.
    #[error("the server's answer does not fit the file")]
    Plan(#[from] PlanError),
    /// The server's map is none of this file.
    #[error("the server's answer does not fit the file")]
    Map(#[from] MapError),
}

/// A file on its way to the server. Dropping it stops; what is stored stays for some days, and the same upload begun
/// again goes on from there.
#[derive(Debug)]
pub struct Upload {
    progress: watch::Receiver<Option<Progress>>,
    task: AbortOnDropHandle<Result<FileInfo, UploadError>>,
}

impl Upload {
    pub(crate) fn start(client: Client, path: PathBuf) -> Self {
        let (gauge, progress) = Gauge::new();
        Self { progress, task: AbortOnDropHandle::new(tokio::spawn(run(client, path, gauge))) }
    }

    /// Whether there is a file that can be sent, without sending it: fails as [`Client::upload`] would at once.
    pub async fn check(path: &Path) -> Result<(), UploadError> {
        let path = path.to_owned();
        Ok(blocking(move || Source::open(&path).map(drop)).await?)
    }

    /// How far it is; `None` until the server has said what it has.
    pub fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.progress.clone()
    }

    /// Waits until the server has the whole file and both ends agree on its hash.
    pub async fn finish(self) -> Result<FileInfo, UploadError> {
        self.task.await.expect("the task neither panics nor is aborted while awaited")
    }
}

async fn run(client: Client, path: PathBuf, mut gauge: Gauge) -> Result<FileInfo, UploadError> {
    let source = Arc::new(blocking(move || Source::open(&path)).await?);
    let mut sending: Option<Arc<Sending>> = None;
    let mut catching_up = None;
    let mut patience = Patience::default();
    loop {
        let live = client.live().await?;
        let begin = BeginUpload { key: source.key(), name: source.name().clone(), size: source.size() };
        let state = match ask(&live.connection, client.server(), &begin).await {
            Ok(state) => state,
            Err(attempt) => {
                patience.wait_out(attempt, &live).await?;
                continue;
            }
        };
        if let Some(file) = state.finished {
            return Ok(file);
        }
        let plan = ChunkPlan::parse(source.size(), state.chunk_size)?;
        let map = ReceiveMap::from_bytes(plan.chunk_count(), &state.stored)?;
        let sending = sending.get_or_insert_with(|| Sending::new(client.clone(), source.clone(), state.file, plan));
        // What was stored in an earlier life is hashed beside the sending, for the hash of the whole.
        let catching_up = catching_up
            .get_or_insert_with(|| AbortOnDropHandle::new(tokio::spawn(sending.clone().hash_unsent(map.clone()))));
        match drive(&live, plan, &map, sending, &mut gauge).await {
            Ok(Driven::Finished) => {}
            Ok(Driven::Lost) => continue,
            Err(error) => return Err(sending.fail(&live, error).await),
        }
        (&mut *catching_up).await.expect("hashing neither panics nor is aborted while awaited")?;
        // Another program may have sent chunks of the same file meanwhile.
        sending.clone().hash_unsent(ReceiveMap::full(plan.chunk_count())).await?;
        let root = sending.root();
        let checked = source.clone();
        let unchanged = blocking(move || checked.check_unchanged()).await;
        if let Err(error) = unchanged {
            return Err(sending.fail(&live, error.into()).await);
        }
        match ask(&live.connection, client.server(), &FinishUpload { file: sending.file, root }).await {
            Ok(file) => return Ok(file),
            Err(attempt) => patience.wait_out(attempt, &live).await?,
        }
        // The hashing is done; a second round needs none.
        *catching_up = AbortOnDropHandle::new(tokio::spawn(async { Ok(()) }));
    }
}

/// One upload, across connections.
struct Sending {
    client: Client,
    source: Arc<Source>,
    file: FileId,
    plan: ChunkPlan,
    values: Mutex<Vec<Option<ChunkValue>>>,
}

impl Sending {
    fn new(client: Client, source: Arc<Source>, file: FileId, plan: ChunkPlan) -> Arc<Self> {
        let values = Mutex::new(vec![None; plan.chunk_count() as usize]);
        Arc::new(Self { client, source, file, plan, values })
    }

    /// Drops what the server has of a file that has changed: half of one version and half of another is of use to
    /// nobody. Should that fail, the server's broom does it.
    async fn fail(&self, live: &Live, error: UploadError) -> UploadError {
        if matches!(error, UploadError::Source(SourceError::Changed(_))) {
            let _ = ask(&live.connection, self.client.server(), &CancelUpload { file: self.file }).await;
        }
        error
    }

    /// Hashes those stored chunks that this has not sent.
    async fn hash_unsent(self: Arc<Self>, stored: ReceiveMap) -> Result<(), UploadError> {
        for chunk in self.plan.chunks().filter(|&chunk| stored.contains(chunk)) {
            if self.values()[chunk.0 as usize].is_some() {
                continue;
            }
            let this = self.clone();
            let values: Result<Vec<ChunkValue>, SourceError> =
                blocking(move || this.plan.ranges(chunk).map(|span| Ok(this.read(span)?.1)).collect()).await;
            self.note(chunk, &values?);
        }
        Ok(())
    }

    /// Reads one range and hashes it. Blocks.
    fn read(&self, span: Span) -> Result<(Bytes, ChunkValue), SourceError> {
        let bytes = self.source.read_range(span)?;
        let value = tree::range_value(&self.plan, span, std::iter::once(&bytes[..]));
        Ok((bytes, value))
    }

    fn note(&self, chunk: ChunkIndex, ranges: &[ChunkValue]) {
        let value = tree::merge_ranges(&self.plan, chunk, ranges);
        self.values()[chunk.0 as usize] = Some(value);
    }

    fn values(&self) -> MutexGuard<'_, Vec<Option<ChunkValue>>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hash of the whole, when every chunk was sent or hashed.
    fn root(&self) -> RootHash {
        let values: Option<Vec<ChunkValue>> = self.values().iter().copied().collect();
        tree::root(&self.plan, &values.expect("what is stored was sent by this or hashed"))
    }

    async fn put(&self, live: &Live, span: Span, bytes: Bytes, value: ChunkValue) -> Result<RangeStored, Attempt> {
        let server = self.client.server();
        let (mut stream, answer) = live.connection.open_bi().await.map_err(|_| Attempt::Lost)?;
        stream.set_priority(priority::BULK);
        let header = PutRange { file: self.file, offset: span.offset, length: span.length, value };
        let sent = send_range(&mut stream, &header, bytes).await;
        // A server that refuses stops reading; its answer says why.
        match FrameReader::new(answer).expect::<RangeStored>().await {
            Ok(stored) => Ok(stored),
            Err(received) => Err(match (sent, Attempt::receiving(server, received)) {
                (Err(error), Attempt::Lost) => Attempt::sending(server, error),
                (_, attempt) => attempt,
            }),
        }
    }
}

impl Carrier for Sending {
    type Error = UploadError;

    async fn carry(self: Arc<Self>, live: Live, chunk: ChunkIndex) -> Result<(), CarryError<UploadError>> {
        let mut values = Vec::new();
        let mut complete = false;
        for span in self.plan.ranges(chunk) {
            // Before it is read: what waits for its turn is then in no memory either.
            let _place = live.bulk.up(span).await;
            let this = self.clone();
            let read = blocking(move || this.read(span)).await;
            let (bytes, value) = read.map_err(|error| CarryError::Fatal(error.into()))?;
            values.push(value);
            // Before it is sent: the answer may be lost when the chunk is not.
            if values.len() == self.plan.range_count(chunk) as usize {
                self.note(chunk, &values);
            }
            complete = match self.put(&live, span, bytes, value).await {
                Ok(stored) => stored.chunk_complete,
                // Damaged on the way, or the disk of either side lies.
                Err(Attempt::Failed(ClientError::Refused(refusal))) if refusal.code == ErrorCode::HashMismatch => {
                    return Err(CarryError::Again(refusal));
                }
                Err(attempt) => return Err(attempt.into()),
            };
        }
        // Ranges that landed before the server forgot them have to be sent again.
        if complete { Ok(()) } else { Err(CarryError::Lost) }
    }
}
