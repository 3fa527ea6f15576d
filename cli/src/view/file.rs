//! Files.

use super::words;
use hypersend_client::protocol::{
    file::{FileCard, FileInfo},
    size::Size,
};
use serde::Serialize;
use std::{fmt, path::Path};

/// A file that a message carries.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CardView {
    id: String,
    name: String,
    size: u64,
}

impl From<&FileCard> for CardView {
    fn from(card: &FileCard) -> Self {
        Self { id: card.id.to_string(), name: card.name.to_string(), size: card.size }
    }
}

impl fmt::Display for CardView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {} ({})", self.id, words::printable(&self.name), Size(self.size))
    }
}

/// A file on the server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FileView {
    id: String,
    name: String,
    size: u64,
    blake3: String,
    at: String,
    #[serde(skip)]
    shown_at: String,
}

impl From<&FileInfo> for FileView {
    fn from(info: &FileInfo) -> Self {
        Self {
            id: info.id.to_string(),
            name: info.name.to_string(),
            size: info.size,
            blake3: info.root.to_string(),
            at: info.at.to_string(),
            shown_at: words::minute(info.at),
        }
    }
}

/// The files that somebody uploaded.
#[derive(Debug, Serialize)]
pub(crate) struct FileList {
    pub(crate) files: Vec<FileView>,
}

impl fmt::Display for FileList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.iter().try_for_each(|file| {
            let (size, name) = (Size(file.size), words::printable(&file.name));
            writeln!(f, "{}  {}  {size:>10}  {name}", file.id, file.shown_at)
        })
    }
}

/// The result of an upload.
#[derive(Debug, Serialize)]
pub(crate) struct Stored {
    #[serde(flatten)]
    pub(crate) file: FileView,
    pub(crate) already_stored: bool,
}

/// The id alone: what the next command wants.
impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file.id)
    }
}

/// The result of a download.
#[derive(Debug, Serialize)]
pub(crate) struct Received {
    #[serde(flatten)]
    file: FileView,
    path: String,
}

impl Received {
    pub(crate) fn new(file: &FileInfo, path: &Path) -> Self {
        Self { file: file.into(), path: path.display().to_string() }
    }
}

/// The path alone.
impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// The result of a removal.
#[derive(Debug, Serialize)]
pub(crate) struct Removed {
    pub(crate) id: String,
}

/// Nothing: whoever removed it knows its id.
impl fmt::Display for Removed {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
