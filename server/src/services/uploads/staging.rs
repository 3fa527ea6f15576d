//! Bytes that must be checked as a whole before any of them counts, on the disk meanwhile.

use super::{Result, UploadError, UploadHandle};
use crate::disk::Disk;
use bytes::Bytes;
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    sync::Arc,
};

const STAGED: &str = "staged";

/// A file without a name: it is gone when this is, and when the server dies.
pub struct Staging {
    file: Arc<File>,
    disk: Disk,
    length: u64,
}

impl UploadHandle {
    /// An empty place beside the upload.
    pub async fn stage(&self) -> Result<Staging> {
        let path = self.active.folder.dir().join(STAGED);
        let disk = self.hold.uploads.0.disk.clone();
        let make = move || {
            let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
            fs::remove_file(&path).map(|()| file)
        };
        let file = Arc::new(disk.run(make).await?);
        Ok(Staging { file, disk, length: 0 })
    }
}

impl Staging {
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
