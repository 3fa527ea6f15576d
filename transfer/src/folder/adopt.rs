//! Chunks that are stored somewhere else, where whoever needs their bytes finds them. They count as stored as long as the folder
//! is open. Nothing of them is written: a folder opened again has what its own disk has, and no more.

use super::{SealError, TransferFolder};
use hypersend_protocol::{hash::ChunkValue, id::ChunkIndex};
use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
};

impl TransferFolder {
    /// Counts a chunk as stored whose bytes are not here. `false`, and nothing is changed, when it is stored already, or is just
    /// coming in. A folder that has adopted chunks must not be sealed.
    pub fn adopt(&self, index: ChunkIndex, value: ChunkValue) -> bool {
        // First the value: who finds the chunk stored finds that too.
        let mut adopted = self.adopted();
        let is_new = self.landing().adopt(index);
        if is_new {
            adopted.insert(index, value);
        }
        is_new
    }

    /// The values of the chunks that are stored, here or somewhere else: one place for each chunk of the file. Reads the journal.
    pub fn values(&self) -> Result<Vec<Option<ChunkValue>>, SealError> {
        let mut values = self.landed_here()?.values;
        for (index, value) in &*self.adopted() {
            values[index.0 as usize] = Some(*value);
        }
        Ok(values)
    }

    fn adopted(&self) -> MutexGuard<'_, BTreeMap<ChunkIndex, ChunkValue>> {
        self.adopted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
