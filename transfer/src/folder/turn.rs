//! A folder that was begun for one file and goes on as another's: what both have in common is kept.
//!
//! Moving comes first, by one rename; only then the folder is made that of the other file. A crash between leaves a
//! folder under the new name that says it is still the old file's, and turning it again does what was not done. So
//! whoever opens a folder that may have been moved turns it.

use super::{
    MANIFEST, TAIL, TransferFolder, VALUES,
    disk::{parent, remove_if_there, rename_new, replace, sync_dir},
    landing::Landing,
    manifest::Manifest,
    open::{is_sealed, recorded, rewrite},
    seal::split,
    store::ExpectError,
};
use crate::{
    journal::{Contents, JournalError},
    map::ReceiveMap,
};
use hypersend_protocol::hash::ChunkValue;
use std::{
    fs, io,
    path::Path,
    sync::{Mutex, OnceLock},
};

/// The folder was not made another file's. Nothing that both have in common is lost, and it can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// Its chunks are others.
    #[error("the two files are not cut alike")]
    Plan,
    /// The values are not those of the other file.
    #[error(transparent)]
    Expect(#[from] ExpectError),
    /// What has landed could not be read back.
    #[error("go on with what has arrived")]
    Journal(#[from] JournalError),
    /// The disk refused.
    #[error("go on with what has arrived")]
    Io(#[from] io::Error),
}

impl TransferFolder {
    /// Moves the folder to a path on the same file system at which there is nothing. After a crash it is in one of the
    /// two places.
    pub fn move_to(&mut self, dir: &Path) -> io::Result<()> {
        rename_new(&self.dir, dir)?;
        dir.clone_into(&mut self.dir);
        sync_dir(parent(dir))
    }

    /// Makes this the folder of a file that is cut alike, and of which every chunk's value is known. Chunks that are
    /// stored with another value are missing from now on; those that complete are held to the values, as by
    /// [`expect_values`](Self::expect_values). Changes nothing where the folder is that file's already. Reads the
    /// journal.
    pub fn turn_into(mut self, manifest: Manifest, values: Vec<ChunkValue>) -> Result<Self, TurnError> {
        if (manifest.size, manifest.chunk_size) != (self.manifest.size, self.manifest.chunk_size) {
            return Err(TurnError::Plan);
        }
        let before = std::mem::replace(&mut self.manifest, manifest);
        self.expected = OnceLock::new();
        self.expect_values(values)?;
        self.forget_others()?;
        if self.manifest != before {
            replace(&self.dir, MANIFEST, &self.manifest.to_json(), true)?;
        }
        Ok(self)
    }

    /// Forgets the chunks that are not what is expected.
    fn forget_others(&mut self) -> Result<(), TurnError> {
        let expected = self.expected.get().expect("the caller has said what is expected");
        let contents = self.landed_here()?;
        let mut same = ReceiveMap::new(self.plan.chunk_count());
        for (index, value) in recorded(&contents) {
            if expected[index.0 as usize] == value {
                same.insert(index);
            }
        }
        if same == self.map() {
            return Ok(());
        }
        self.journal = rewrite(&self.dir, &contents, &same)?;
        // In this order: as long as they are there, they count, and the journal does not.
        remove_if_there(&self.dir.join(VALUES))?;
        remove_if_there(&self.dir.join(TAIL))?;
        sync_dir(&self.dir)?;
        self.landing = Mutex::new(Landing::new(same));
        Ok(())
    }

    /// What the journal says, also of a folder that was sealed and keeps none.
    pub(super) fn landed_here(&self) -> Result<Contents, JournalError> {
        let mut contents = self.journal.contents(&self.plan)?;
        if is_sealed(&self.dir, &self.plan)? {
            contents.values = split(&fs::read(self.dir.join(VALUES))?).into_iter().map(Some).collect();
            contents.settled = ReceiveMap::full(self.plan.chunk_count());
        }
        Ok(contents)
    }
}
