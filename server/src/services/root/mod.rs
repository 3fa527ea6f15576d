//! Where finished files are: a folder on this server's disk ([`FolderRoot`]), or a bucket that several servers share
//! ([`BucketRoot`]).
//!
//! Ranges land in an upload's own folder either way. What differs is what has to happen before a chunk may be called stored, what
//! finishing does, and where bytes are read from afterwards; the services see only this.

mod bucket;
mod error;
mod folder;
mod kept;
#[cfg(test)]
mod tests;

pub use bucket::BucketRoot;
pub use error::RootError;
pub use folder::FolderRoot;
pub(crate) use folder::remove_folder;
pub use kept::Kept;

use async_trait::async_trait;
use bytes::Bytes;
use hypersend_protocol::{
    hash::{ChunkValue, RootHash},
    id::{ChunkIndex, FileId},
};
use hypersend_transfer::{
    map::ReceiveMap,
    plan::{ChunkPlan, Span},
};
use std::{fmt, sync::Arc};

type Result<T> = std::result::Result<T, RootError>;

/// A root, shared by the services.
pub type Root = Arc<dyn FileRoot>;

/// Where finished files are. Every act may be repeated after it was broken off.
#[async_trait]
pub trait FileRoot: fmt::Debug + Send + Sync {
    /// The hash of a file that is here, whole; an upload of which this is so lacks nothing but its record.
    async fn finished(&self, file: FileId) -> Result<Option<RootHash>>;

    /// Learns what other servers have stored of an upload, and gives them what only this one has. One listing when nothing is new.
    /// Whether another server has finished it.
    async fn level(&self, upload: &Kept) -> Result<bool>;

    /// Sees to it that a chunk which is stored in the upload's folder is where it has to be before anybody is told.
    async fn keep(&self, upload: &Kept, chunk: ChunkIndex) -> Result<()>;

    /// Which chunks are where they have to be.
    fn map(&self, upload: &Kept) -> ReceiveMap;

    /// Makes a file of an upload, if nothing is missing and it has the hash expected. Its folder is not needed any more then.
    async fn finish(&self, upload: &Kept, expected: Option<RootHash>) -> Result<RootHash>;

    /// The bytes of an upload that is complete, but not finished.
    async fn read_upload(&self, upload: &Kept) -> Result<Arc<dyn Content>>;

    /// The bytes of a file.
    async fn open(&self, file: FileId) -> Result<Arc<dyn Content>>;

    /// Removes what there is here of a file, or of an upload that was dropped.
    async fn remove(&self, file: FileId) -> Result<()>;

    /// Writes what a door wants to know again of an upload, in place of what it wrote before.
    async fn write_note(&self, upload: &Kept, note: Vec<u8>) -> Result<()>;

    /// That, of an upload or of the file that it has become.
    async fn note(&self, file: FileId) -> Result<Option<Vec<u8>>>;
}

/// The bytes of one file.
#[async_trait]
pub trait Content: fmt::Debug + Send + Sync {
    /// How it is cut.
    fn plan(&self) -> ChunkPlan;

    /// Any run of bytes, into one buffer.
    async fn bytes(&self, span: Span) -> Result<Bytes>;

    /// The values of so many chunks from `first` on; fewer at the end of the file.
    async fn values(&self, first: ChunkIndex, count: u32) -> Result<Vec<ChunkValue>>;
}
