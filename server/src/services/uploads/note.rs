//! What a door wants to know again of an upload that it began. The note lies in the upload's folder, and goes where that goes.

use super::{Result, UploadHandle, Uploads};
use hypersend_protocol::id::FileId;
use std::{fs, io};

const NOTE: &str = "note";

impl UploadHandle {
    /// Writes the note, in place of any other.
    pub async fn write_note(&self, note: Vec<u8>) -> Result<()> {
        let dir = self.active.folder.dir().to_owned();
        let write = move || {
            let new = dir.join(format!("{NOTE}.new"));
            fs::write(&new, note)?;
            fs::rename(new, dir.join(NOTE))
        };
        Ok(self.hold.uploads.0.disk.run(write).await?)
    }
}

impl Uploads {
    /// The note of an upload, or of the file that it has become. The caller has seen to it that it may be read.
    pub async fn note(&self, id: FileId) -> Result<Option<Vec<u8>>> {
        let places = [&self.0.uploads, &self.0.files].map(|root| root.join(id.to_string()).join(NOTE));
        let read = move || {
            for place in places {
                match fs::read(place) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    note => return note.map(Some),
                }
            }
            Ok(None)
        };
        Ok(self.0.disk.run(read).await?)
    }
}
