//! Files as folders on this server's disk. An upload's folder becomes the file's by being renamed.

use super::{Content, FileRoot, Kept, Result};
use crate::disk::Disk;
use async_trait::async_trait;
use bytes::Bytes;
use hypersend_protocol::{
    hash::{ChunkValue, RootHash},
    id::{ChunkIndex, FileId},
};
use hypersend_transfer::{
    map::ReceiveMap,
    plan::{ChunkPlan, Span},
    stored::{StoredError, StoredFile},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

const NOTE: &str = "note";

/// Files under one folder.
#[derive(Clone, Debug)]
pub struct FolderRoot {
    disk: Disk,
    /// Where uploads are.
    uploads: PathBuf,
    /// Each file is a folder in this one, named by its id.
    files: PathBuf,
}

impl FolderRoot {
    /// Finished files under `files`, what is under way under `uploads`: two folders of one file system.
    pub fn new(disk: Disk, uploads: PathBuf, files: PathBuf) -> Self {
        Self { disk, uploads, files }
    }

    fn place(&self, file: FileId) -> PathBuf {
        self.files.join(file.to_string())
    }
}

#[async_trait]
impl FileRoot for FolderRoot {
    async fn finished(&self, file: FileId) -> Result<Option<RootHash>> {
        let dir = self.place(file);
        match self.disk.run(move || StoredFile::open(&dir)).await {
            Ok(stored) => Ok(Some(stored.root)),
            Err(StoredError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// There is no other server that could have stored or finished anything: this one has the folder's lock.
    async fn level(&self, _: &Kept) -> Result<bool> {
        Ok(false)
    }

    async fn keep(&self, _: &Kept, _: ChunkIndex) -> Result<()> {
        Ok(())
    }

    fn map(&self, upload: &Kept) -> ReceiveMap {
        upload.folder().map()
    }

    async fn finish(&self, upload: &Kept, expected: Option<RootHash>) -> Result<RootHash> {
        let (upload, destination) = (upload.clone(), self.place(upload.folder().manifest().file));
        let finish = move || {
            let sealed = upload.folder().seal(expected)?;
            let root = sealed.root;
            sealed.publish(&destination)?;
            Ok(root)
        };
        self.disk.run(finish).await
    }

    async fn read_upload(&self, upload: &Kept) -> Result<Arc<dyn Content>> {
        Ok(Arc::new(Unfinished { upload: upload.clone(), disk: self.disk.clone() }))
    }

    async fn open(&self, file: FileId) -> Result<Arc<dyn Content>> {
        let dir = self.place(file);
        let stored = Arc::new(self.disk.run(move || StoredFile::open(&dir)).await?);
        Ok(Arc::new(Finished { stored, disk: self.disk.clone() }))
    }

    async fn remove(&self, file: FileId) -> Result<()> {
        let (dir, files) = (self.place(file), self.files.clone());
        let remove = move || {
            remove_folder(&dir)?;
            // Whoever notes that it is gone must not be ahead of the folder, whenever the power goes.
            fs::File::open(files)?.sync_all()
        };
        Ok(self.disk.run(remove).await?)
    }

    /// The note lies in the upload's folder, and goes where that goes.
    async fn write_note(&self, upload: &Kept, note: Vec<u8>) -> Result<()> {
        let dir = upload.folder().dir().to_owned();
        let write = move || {
            let new = dir.join(format!("{NOTE}.new"));
            fs::write(&new, note)?;
            fs::rename(new, dir.join(NOTE))
        };
        Ok(self.disk.run(write).await?)
    }

    async fn note(&self, file: FileId) -> Result<Option<Vec<u8>>> {
        let places = [&self.uploads, &self.files].map(|root| root.join(file.to_string()).join(NOTE));
        let read = move || {
            for place in places {
                match fs::read(place) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    note => return note.map(Some),
                }
            }
            Ok(None)
        };
        Ok(self.disk.run(read).await?)
    }
}

/// Removes a folder that may be gone already.
pub(crate) fn remove_folder(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[derive(Debug)]
struct Finished {
    stored: Arc<StoredFile>,
    disk: Disk,
}

#[async_trait]
impl Content for Finished {
    fn plan(&self) -> ChunkPlan {
        self.stored.plan()
    }

    async fn bytes(&self, span: Span) -> Result<Bytes> {
        let stored = self.stored.clone();
        Ok(self.disk.run(move || stored.read_range(span)).await?)
    }

    async fn values(&self, first: ChunkIndex, count: u32) -> Result<Vec<ChunkValue>> {
        let stored = self.stored.clone();
        Ok(self.disk.run(move || stored.values(first, count)).await?)
    }
}

#[derive(Debug)]
struct Unfinished {
    upload: Kept,
    disk: Disk,
}

#[async_trait]
impl Content for Unfinished {
    fn plan(&self) -> ChunkPlan {
        self.upload.folder().plan()
    }

    async fn bytes(&self, span: Span) -> Result<Bytes> {
        let upload = self.upload.clone();
        Ok(self.disk.run(move || upload.folder().read_stored(span)).await?)
    }

    async fn values(&self, first: ChunkIndex, count: u32) -> Result<Vec<ChunkValue>> {
        let upload = self.upload.clone();
        let values = self.disk.run(move || upload.folder().values()).await?;
        Ok(values.into_iter().skip(first.0 as usize).take(count as usize).flatten().collect())
    }
}
