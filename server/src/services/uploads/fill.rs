//! One upload filled with the bytes of others. Their ranges lie elsewhere in the new file's BLAKE3 tree, so that they are hashed
//! anew; that is why they are read and not just linked.

use super::{Active, Result, UploadHandle};
use bytes::Bytes;
use hypersend_transfer::plan::Span;
use std::{io, sync::Arc};

/// Uploads that are filled at once; others wait. One alone keeps the disk busy.
pub(super) const AT_ONCE: usize = 2;

/// Uploads one behind the other.
struct Row(Vec<(Arc<Active>, u64)>);

impl UploadHandle {
    /// Stores what is missing here of the bytes of other uploads, one behind the other. They have to be complete, and as
    /// long together as this one. May be repeated after it was broken off.
    pub async fn fill(&self, parts: &[Arc<Self>]) -> Result<()> {
        let inner = &self.hold.uploads.0;
        let _place = inner.filling.acquire().await.expect("the semaphore is never closed");
        let mut end = 0;
        let sources = parts.iter().map(|part| {
            end += part.plan().size();
            (part.active.clone(), end)
        });
        let row = Arc::new(Row(sources.collect()));
        for chunk in self.map().missing() {
            for span in self.plan().ranges(chunk) {
                let row = row.clone();
                let pieces = inner.disk.run(move || row.read(span)).await?;
                self.put(span, None, pieces).await?;
            }
        }
        Ok(())
    }
}

impl Row {
    fn read(&self, span: Span) -> io::Result<Vec<Bytes>> {
        let (mut pieces, mut at, mut start) = (Vec::new(), span.offset, 0);
        for (source, end) in &self.0 {
            if at < *end && at < span.end() {
                let length = u32::try_from((*end).min(span.end()) - at).expect("no longer than a range");
                pieces.push(source.folder.read_stored(Span { offset: at - start, length })?);
                at += u64::from(length);
            }
            start = *end;
        }
        Ok(pieces)
    }
}
