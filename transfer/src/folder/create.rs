//! A new folder, or one in place of what a crash left of an earlier attempt.

use super::{
    CONTENT, JOURNAL, MANIFEST, TAIL, TransferFolder, VALUES,
    disk::{NoSpace, ReserveError, remove_if_there, replace, reserve},
    landing::Landing,
    manifest::{Manifest, ManifestError},
    settle::Settling,
};
use crate::{
    journal::Journal,
    map::ReceiveMap,
    plan::{ChunkPlan, PlanError},
};
use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
    sync::{Condvar, Mutex, OnceLock},
};

/// No folder was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The folder is there already, complete: open it.
    #[error("a transfer is already under way in this folder")]
    Exists,
    /// Somebody has the folder open, or is making it.
    #[error("the transfer's folder is in use")]
    InUse,
    /// The file does not fit on the disk.
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    /// No such file can be.
    #[error("plan the transfer")]
    Plan(#[from] PlanError),
    /// The disk refused.
    #[error("create the transfer's folder")]
    Io(#[from] io::Error),
}

impl TransferFolder {
    /// Makes a folder and reserves room for the file's whole length. The folder's parent must exist. Nothing is flushed
    /// to the platter before the first checkpoint: after a power cut the folder may be unfinished, or gone.
    pub fn create(dir: &Path, manifest: Manifest) -> Result<Self, CreateError> {
        let plan = manifest.plan()?;
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        let content = lock(dir)?;
        match Manifest::read(&dir.join(MANIFEST)) {
            Err(ManifestError::Unfinished) => {}
            Err(ManifestError::Io(error)) => return Err(error.into()),
            Ok(_) | Err(_) => return Err(CreateError::Exists),
        }
        let filled = fill(dir, &content, &manifest, plan);
        if filled.is_err() {
            // What cannot be removed now is an unfinished folder, which the next attempt takes over.
            let _ = fs::remove_dir_all(dir);
        }
        let journal = filled?;
        let landing = Mutex::new(Landing::new(ReceiveMap::new(plan.chunk_count())));
        Ok(Self {
            dir: dir.to_owned(),
            manifest,
            plan,
            content,
            journal,
            writing: Mutex::default(),
            landing,
            changed: Condvar::new(),
            expected: OnceLock::new(),
            adopted: Mutex::default(),
            settling: Settling::default(),
        })
    }
}

fn lock(dir: &Path) -> Result<File, CreateError> {
    let path = dir.join(CONTENT);
    let content = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    match content.try_lock() {
        Ok(()) => Ok(content),
        Err(TryLockError::WouldBlock) => Err(CreateError::InUse),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// The manifest comes last: with its name in place, the folder is complete.
fn fill(dir: &Path, content: &File, manifest: &Manifest, plan: ChunkPlan) -> Result<Journal, CreateError> {
    remove_if_there(&dir.join(VALUES))?;
    remove_if_there(&dir.join(TAIL))?;
    content.set_len(0)?;
    reserve(dir, content, plan.size()).map_err(|error| match error {
        ReserveError::NoSpace(no_space) => CreateError::NoSpace(no_space),
        ReserveError::Io(error) => CreateError::Io(error),
    })?;
    let journal = Journal::create(&dir.join(JOURNAL))?;
    replace(dir, MANIFEST, &manifest.to_json(), false)?;
    Ok(journal)
}
