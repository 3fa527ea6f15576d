//! Files, as they become complete.

use super::{NEW, Part};
use crate::receiving::ReceiveError;
use bytes::Bytes;
use hypersend_protocol::{
    hash::{EntryKey, RootHash},
    id::FileId,
    name::FileName,
    time::UnixMillis,
};
use hypersend_transfer::{
    folder::{Manifest, TransferFolder},
    plan::ChunkPlan,
};
use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, SystemTime},
};
use uuid::Uuid;

/// What a file shall look like besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looks {
    pub(crate) modified: UnixMillis,
    pub(crate) executable: bool,
}

impl Part {
    /// Writes a whole file. Not flushed: what a power cut takes of it fails its hash later.
    pub(crate) fn store(
        &self,
        key: EntryKey,
        root: RootHash,
        looks: Looks,
        bytes: &[Bytes],
    ) -> Result<(), ReceiveError> {
        let path = self.file(key, root);
        let temporary = path.with_extension(&NEW[1..]);
        let write = || {
            let mut file = File::create(&temporary)?;
            bytes.iter().try_for_each(|piece| file.write_all(piece))?;
            dress(&file, looks);
            fs::rename(&temporary, &path)
        };
        write().map_err(|error| ReceiveError::io(&temporary, error))
    }

    /// Begins a file of more than one range.
    pub(crate) fn begin(&self, key: EntryKey, name: &str, plan: ChunkPlan) -> Result<TransferFolder, ReceiveError> {
        let id = FileId(Uuid::from_bytes(*key.0.first_chunk().expect("32 bytes")));
        let file_name = FileName::parse(name).expect("a listing has no other names");
        let dir = self.large(key);
        TransferFolder::create(&dir, Manifest::new(id, file_name, plan, None))
            .map_err(|error| ReceiveError::create(name, &dir, error))
    }

    /// Puts a complete file of more than one range among the complete ones.
    pub(crate) fn complete_large(
        &self,
        key: EntryKey,
        name: &str,
        looks: Looks,
        folder: &TransferFolder,
    ) -> Result<(), ReceiveError> {
        // Before it is flushed, and for good: nothing is written to it any more.
        if let Ok(content) = File::open(folder.dir().join("content")) {
            dress(&content, looks);
        }
        let sealed = folder.seal(None).map_err(|error| ReceiveError::file(name, error))?;
        let path = self.file(key, sealed.root);
        sealed.extract(&path).map_err(|error| ReceiveError::file(name, error))
    }
}

/// As well as the file system can: a file is no worse for a wrong date.
fn dress(file: &File, looks: Looks) {
    if looks.executable
        && let Ok(metadata) = file.metadata()
    {
        let mode = metadata.permissions().mode();
        // Whoever may read it may execute it.
        let _ = file.set_permissions(fs::Permissions::from_mode(mode | (mode & 0o444) >> 2));
    }
    let _ = set_modified(file, looks.modified);
}

/// Also for folders.
pub(super) fn set_modified(file: &File, modified: UnixMillis) -> io::Result<()> {
    match SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(modified.0)) {
        Some(time) => file.set_modified(time),
        None => Ok(()),
    }
}

pub(super) fn touch(path: &Path, modified: UnixMillis) -> io::Result<()> {
    set_modified(&File::open(path)?, modified)
}
