//! One upload filled with the bytes of others. Their ranges lie elsewhere in the new file's BLAKE3 tree, so that they are hashed
//! anew; that is why they are read and not just linked.

use super::{Result, UploadHandle};
use crate::services::root::Content;
use bytes::Bytes;
use hypersend_transfer::plan::Span;
use std::sync::Arc;

/// Uploads that are filled at once; others wait. One alone keeps the disk busy.
pub(super) const AT_ONCE: usize = 2;

/// Uploads one behind the other, each with where it ends.
struct Row(Vec<(Arc<dyn Content>, u64)>);

impl UploadHandle {
    /// Stores what is missing here of the bytes of other uploads, one behind the other. They have to be complete, and as
    /// long together as this one. May be repeated after it was broken off.
    pub async fn fill(&self, parts: &[Arc<Self>]) -> Result<()> {
        let inner = &self.hold.uploads.0;
        let _place = inner.filling.acquire().await.expect("the semaphore is never closed");
        let (mut row, mut end) = (Row(Vec::new()), 0);
        for part in parts {
            end += part.plan().size();
            row.0.push((inner.root.read_upload(&part.active.kept).await?, end));
        }
        for chunk in self.map().missing() {
            for span in self.plan().ranges(chunk) {
                let pieces = row.read(span).await?;
                self.put(span, None, pieces).await?;
            }
        }
        Ok(())
    }
}

impl Row {
    async fn read(&self, span: Span) -> Result<Vec<Bytes>> {
        let (mut pieces, mut at, mut start) = (Vec::new(), span.offset, 0);
        for (source, end) in &self.0 {
            if at < *end && at < span.end() {
                let length = u32::try_from((*end).min(span.end()) - at).expect("no longer than a range");
                pieces.push(source.bytes(Span { offset: at - start, length }).await?);
                at += u64::from(length);
            }
            start = *end;
        }
        Ok(pieces)
    }
}
