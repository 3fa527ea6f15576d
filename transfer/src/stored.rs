//! A finished file: a published folder, read by as many as like. Never written.

use crate::{
    folder::{CONTENT, MANIFEST, Manifest, ManifestError, VALUES},
    plan::{ChunkPlan, Span},
    read::read_span,
    tree,
};
use bytes::Bytes;
use hypersend_protocol::{
    hash::{ChunkValue, RootHash},
    id::ChunkIndex,
};
use std::{fs::File, io, path::Path};

const VALUE_BYTES: u32 = 32;

/// A finished file, open for reading. Everything blocks; reads share nothing and may run side by side.
#[derive(Debug)]
pub struct StoredFile {
    /// The hash of the whole file.
    pub root: RootHash,
    manifest: Manifest,
    plan: ChunkPlan,
    content: File,
    values: File,
}

/// The folder is not a finished file.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// There is no such folder, or a file of it is missing.
    #[error("there is no such file")]
    NotFound,
    /// The manifest is unusable.
    #[error("open the stored file")]
    Manifest(#[from] ManifestError),
    /// The content or the values are shorter or longer than the manifest says.
    #[error("the stored file is damaged: {0} has the wrong length")]
    Damaged(&'static str),
    /// The disk refused.
    #[error("open the stored file")]
    Io(#[source] io::Error),
}

impl StoredFile {
    /// Opens a folder that was sealed. Reads only its manifest.
    pub fn open(dir: &Path) -> Result<Self, StoredError> {
        let content = open(dir, CONTENT)?;
        let values = open(dir, VALUES)?;
        let (manifest, plan) = Manifest::read(&dir.join(MANIFEST))?;
        check_length(&content, plan.size(), CONTENT)?;
        check_length(&values, u64::from(plan.chunk_count()) * u64::from(VALUE_BYTES), VALUES)?;
        let root = match manifest.root {
            Some(root) => root,
            None => tree::root(&plan, &read_values(&values, 0, plan.chunk_count()).map_err(StoredError::Io)?),
        };
        Ok(Self { root, manifest, plan, content, values })
    }

    /// What the file is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How the file is cut.
    pub fn plan(&self) -> ChunkPlan {
        self.plan
    }

    /// Reads a run of bytes, in one read into one buffer. [`io::ErrorKind::UnexpectedEof`] past the end of the file.
    pub fn read_range(&self, span: Span) -> io::Result<Bytes> {
        read_span(&self.content, span)
    }

    /// The values of `count` chunks from `first` on; fewer at the end of the file.
    pub fn values(&self, first: ChunkIndex, count: u32) -> io::Result<Vec<ChunkValue>> {
        let rest = self.plan.chunk_count().saturating_sub(first.0);
        read_values(&self.values, first.0, count.min(rest))
    }
}

fn open(dir: &Path, name: &str) -> Result<File, StoredError> {
    File::open(dir.join(name)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StoredError::NotFound,
        _ => StoredError::Io(error),
    })
}

fn check_length(file: &File, expected: u64, name: &'static str) -> Result<(), StoredError> {
    if file.metadata().map_err(StoredError::Io)?.len() != expected {
        return Err(StoredError::Damaged(name));
    }
    Ok(())
}

fn read_values(file: &File, first: u32, count: u32) -> io::Result<Vec<ChunkValue>> {
    let bytes =
        read_span(file, Span { offset: u64::from(first) * u64::from(VALUE_BYTES), length: count * VALUE_BYTES })?;
    Ok(bytes.as_chunks().0.iter().map(|value| ChunkValue(*value)).collect())
}
