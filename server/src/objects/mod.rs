//! Files in a bucket of S3-compatible storage.
//!
//! ```text
//! PREFIX/{file}/{chunk}-{value}   the bytes of one chunk; the value is the chunk's in the file's BLAKE3 tree, in hexadecimal
//! PREFIX/{file}/about             what a finished file is, see [`About`]; its presence says that nothing is missing
//! PREFIX/{file}/note              what a door wants to know again of an upload
//! ```
//!
//! The name of a chunk's object says what is in it, so that any server may put it, in any order and more than once, and a listing
//! is the receive map. Why these are no parts of S3's own multipart uploads: docs/decisions/0006.

mod about;
mod error;
mod name;
#[cfg(test)]
pub(crate) mod tests;

pub use about::About;
pub use error::ObjectsError;

use crate::{clock, settings::ObjectsSettings};
use bytes::Bytes;
use error::is_missing;
use futures::{StreamExt, TryStreamExt};
use hypersend_protocol::{
    hash::ChunkValue,
    id::{ChunkIndex, FileId},
};
use hypersend_transfer::Span;
use name::Name;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Objects that are put at once by one server; others wait. As many as ranges of one connection are in memory.
pub const PUTS_AT_ONCE: u32 = 16;

/// Bytes of chunks in memory at once on their way into the bucket: one of the largest chunk that there is.
const PUT_BYTES: u32 = 256 << 20;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long the bucket may say nothing. A chunk is sent in that time too: one of 16 MiB needs 1 MiB/s.
const SILENCE: Duration = Duration::from_secs(16);

/// A request that failed is not repeated when it has taken so long already: the client that waits can be told to come again.
const GIVE_UP: Duration = Duration::from_secs(8);

/// How often a request is repeated at most, after 100 ms the first time, and longer each time.
const REPEATS: usize = 4;

type Result<T> = std::result::Result<T, ObjectsError>;

/// The bucket; cloning shares it.
#[derive(Clone, Debug)]
pub struct Objects {
    store: Arc<AmazonS3>,
    prefix: Path,
    putting: Arc<Semaphore>,
}

/// What there is of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Its chunks, each with its value, in no order. One of which two values were put is there twice.
    pub chunks: Vec<(ChunkIndex, ChunkValue)>,
    /// Whether nothing is missing.
    pub is_finished: bool,
}

impl Objects {
    /// What the settings name. Nothing is asked of the bucket yet.
    pub fn open(settings: &ObjectsSettings) -> Result<Self> {
        // The client below looks for the process's own when it makes its TLS; whoever was first has chosen the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let backoff = BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: SILENCE, base: 2.0 };
        let options = ClientOptions::new()
            .with_connect_timeout(CONNECT)
            .with_read_timeout(SILENCE)
            .with_timeout_disabled()
            .with_allow_http(settings.is_plain());
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&settings.place.bucket)
            .with_region(&settings.region)
            .with_client_options(options)
            .with_retry(RetryConfig { backoff, max_retries: REPEATS, retry_timeout: GIVE_UP });
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(keys) = &settings.keys {
            builder = builder.with_access_key_id(&keys.access).with_secret_access_key(keys.secret());
        }
        let store = Arc::new(builder.build().map_err(ObjectsError::Setup)?);
        let prefix = Path::parse(&settings.place.prefix).map_err(|error| ObjectsError::Setup(error.into()))?;
        Ok(Self { store, prefix, putting: Arc::new(Semaphore::new((PUT_BYTES >> 20) as usize)) })
    }

    /// What there is of a file.
    pub async fn listing(&self, file: FileId) -> Result<Listing> {
        let listing =
            self.store.list(Some(&self.folder(file))).try_fold(Listing::default(), async |mut listing, meta| {
                match meta.location.filename().and_then(Name::parse) {
                    Some(Name::Chunk(index, value)) => listing.chunks.push((index, value)),
                    Some(Name::About) => listing.is_finished = true,
                    Some(Name::Note) | None => {}
                }
                Ok(listing)
            });
        Ok(listing.await?)
    }

    /// Waits until a chunk of so many bytes may be in memory to be put.
    pub async fn room_for(&self, length: u32) -> OwnedSemaphorePermit {
        let share = (length.max(PUT_BYTES / PUTS_AT_ONCE) >> 20).min(PUT_BYTES >> 20);
        self.putting.clone().acquire_many_owned(share).await.expect("the semaphore is never closed")
    }

    /// Puts one chunk, in place of any of the same name.
    pub async fn put_chunk(&self, file: FileId, index: ChunkIndex, value: ChunkValue, bytes: Bytes) -> Result<()> {
        self.put(file, Name::Chunk(index, value), bytes).await
    }

    /// Reads bytes of one chunk; the span counts from the chunk's start.
    pub async fn chunk_bytes(&self, file: FileId, index: ChunkIndex, value: ChunkValue, span: Span) -> Result<Bytes> {
        let bytes = self.store.get_range(&self.path(file, Name::Chunk(index, value)), span.offset..span.end()).await;
        match bytes {
            Ok(bytes) if bytes.len() == span.length as usize => Ok(bytes),
            Ok(_) => Err(ObjectsError::Damaged { file, what: format!("chunk {index} is shorter than it was") }),
            Err(error) if is_missing(&error) => {
                Err(ObjectsError::Damaged { file, what: format!("chunk {index} is gone") })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Says that a file is finished.
    pub async fn put_about(&self, about: &About) -> Result<()> {
        self.put(about.manifest.file, Name::About, about.to_bytes().into()).await
    }

    /// What a finished file is; none when there is no such file, or it is not finished.
    pub async fn about(&self, file: FileId) -> Result<Option<About>> {
        let Some(bytes) = self.get(file, Name::About).await? else { return Ok(None) };
        let about = About::parse(&bytes).filter(|about| about.manifest.file == file);
        about
            .map(Some)
            .ok_or_else(|| ObjectsError::Damaged { file, what: "what is said about it makes no sense".to_owned() })
    }

    /// Writes the note of an upload, in place of any other.
    pub async fn put_note(&self, file: FileId, note: Vec<u8>) -> Result<()> {
        self.put(file, Name::Note, note.into()).await
    }

    /// The note of an upload, or of the file that it has become.
    pub async fn note(&self, file: FileId) -> Result<Option<Bytes>> {
        self.get(file, Name::Note).await
    }

    /// Removes all that there is of a file. May be repeated.
    pub async fn remove(&self, file: FileId) -> Result<()> {
        let all = self.store.list(Some(&self.folder(file))).map_ok(|meta| meta.location).boxed();
        let removed = self.store.delete_stream(all).try_for_each(async |_| Ok(())).await;
        Ok(removed.or_else(|error| if is_missing(&error) { Ok(()) } else { Err(error) })?)
    }

    /// Puts an object, reads, lists and removes it; an error names the first of these that failed.
    pub async fn try_out(&self) -> std::result::Result<(), (&'static str, ObjectsError)> {
        let file = FileId(clock::new_id());
        let (index, value, bytes) = (ChunkIndex(0), ChunkValue([0; 32]), Bytes::from_static(b"doctor"));
        let span = Span { offset: 2, length: 3 };
        let failed = |what| move |error| (what, error);
        let damaged = |what: &str| ObjectsError::Damaged { file, what: what.to_owned() };
        self.put_chunk(file, index, value, bytes.clone()).await.map_err(failed("put"))?;
        let tried = async {
            let read = self.chunk_bytes(file, index, value, span).await.map_err(failed("get"))?;
            let listed = self.listing(file).await.map_err(failed("list"))?;
            match (read == bytes[2..5], listed.chunks == [(index, value)]) {
                (false, _) => Err(("get", damaged("other bytes came back"))),
                (_, false) => Err(("list", damaged("what was put is not listed"))),
                (true, true) => Ok(()),
            }
        };
        let tried = tried.await;
        let removed = self.remove(file).await.map_err(failed("delete"));
        tried.and(removed)
    }

    async fn put(&self, file: FileId, name: Name, bytes: Bytes) -> Result<()> {
        self.store.put(&self.path(file, name), bytes.into()).await?;
        Ok(())
    }

    async fn get(&self, file: FileId, name: Name) -> Result<Option<Bytes>> {
        match self.store.get(&self.path(file, name)).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn folder(&self, file: FileId) -> Path {
        self.prefix.clone().join(file.to_string())
    }

    fn path(&self, file: FileId, name: Name) -> Path {
        self.folder(file).join(name.to_string())
    }
}
