//! The files that a sender has open.

use crate::{
    blocking,
    offer::Offer,
    source::{OpenFile, SourceError},
};
use std::sync::{Arc, Mutex, PoisonError};

/// Files of several ranges that stay open between two requests. A receiver asks in order, so few are in use at a time.
const MAX_OPEN_FILES: usize = 32;

/// The most recently used last; few enough to be looked through.
#[derive(Debug, Default)]
pub(super) struct OpenFiles(Mutex<Vec<(u32, Arc<OpenFile>)>>);

impl OpenFiles {
    /// A file, opened if need be; it has to be unchanged.
    pub(super) async fn get(&self, offer: &Arc<Offer>, entry: u32) -> Result<Arc<OpenFile>, SourceError> {
        if let Some(file) = self.held(entry) {
            return Ok(file);
        }
        let opened = {
            let offer = offer.clone();
            Arc::new(blocking(move || offer.open_file(entry)).await?)
        };
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if files.len() >= MAX_OPEN_FILES {
            files.remove(0);
        }
        files.push((entry, opened.clone()));
        Ok(opened)
    }

    fn held(&self, entry: u32) -> Option<Arc<OpenFile>> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = files.iter().position(|(held, _)| *held == entry)?;
        let held = files.remove(place);
        files.push(held.clone());
        Some(held.1)
    }
}
