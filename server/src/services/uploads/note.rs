//! What a door wants to know again of an upload that it began. Where the note is, is the root's concern.

use super::{Result, UploadHandle, Uploads};
use hypersend_protocol::id::FileId;

impl UploadHandle {
    /// Writes the note, in place of any other.
    pub async fn write_note(&self, note: Vec<u8>) -> Result<()> {
        Ok(self.hold.uploads.0.root.write_note(&self.active.kept, note).await?)
    }
}

impl Uploads {
    /// The note of an upload, or of the file that it has become. The caller has seen to it that it may be read.
    pub async fn note(&self, id: FileId) -> Result<Option<Vec<u8>>> {
        Ok(self.0.root.note(id).await?)
    }
}
