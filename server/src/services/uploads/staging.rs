//! Bytes that cannot count yet, on the disk meanwhile: they have to be checked as a whole, or it is not known how many come.

use super::{KEEP_FREE, Result, UploadError, UploadHandle, Uploads};
use crate::{clock, disk::Disk};
use bytes::Bytes;
use hypersend_transfer::folder;
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::Arc,
};

/// A file without a name: it is gone when this is, and when the server dies.
pub struct Staging {
    file: Arc<File>,
    disk: Disk,
    length: u64,
}

impl UploadHandle {
    /// An empty place beside the upload.
    pub async fn stage(&self) -> Result<Staging> {
        Staging::make(self.hold.uploads.0.disk.clone(), self.active.kept.folder().dir().to_owned()).await
    }
}

impl Uploads {
    /// An empty place for about so many bytes of which it is not known yet what they are.
    pub async fn stage(&self, expected: u64) -> Result<Staging> {
        let (disk, root) = (self.0.disk.clone(), self.0.uploads.clone());
        let dir = root.clone();
        if disk.run(move || folder::free_bytes(&dir)).await? < expected.saturating_add(KEEP_FREE) {
            return Err(UploadError::NoSpace { needed: expected });
        }
        Staging::make(disk, root).await
    }
}

impl Staging {
    async fn make(disk: Disk, dir: PathBuf) -> Result<Self> {
        // Nobody else's: two that make one of the same name would share it.
        let path = dir.join(format!("staged-{}", clock::new_id()));
        let make = move || {
            let file = File::options().read(true).write(true).create_new(true).open(&path)?;
            fs::remove_file(&path).map(|()| file)
        };
        let file = Arc::new(disk.run(make).await?);
        Ok(Self { file, disk, length: 0 })
    }

    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Adds bytes.
    pub async fn push(&mut self, parts: Vec<Bytes>) -> Result<()> {
        let (file, at) = (self.file.clone(), self.length);
        let needed = parts.iter().map(|part| part.len() as u64).sum();
        let written = self.disk.run(move || file.write_all_at(&parts.concat(), at)).await;
        written.map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => UploadError::NoSpace { needed },
            _ => error.into(),
        })?;
        self.length += needed;
        Ok(())
    }

    /// Reads bytes that were added.
    pub async fn read(&self, offset: u64, length: usize) -> Result<Bytes> {
        let file = self.file.clone();
        let read = move || {
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, offset).map(|()| Bytes::from(bytes))
        };
        Ok(self.disk.run(read).await?)
    }
}
