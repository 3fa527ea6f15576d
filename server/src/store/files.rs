//! Files and the uploads they come from. An upload has the id of the file that it will be.

use hypersend_protocol::{
    file::FileCard,
    hash::{RootHash, UploadKey},
    id::{FileId, UserId},
    name::FileName,
    time::UnixMillis,
};

/// An upload to be begun or found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeginUpload {
    /// The id for a new one.
    pub id: FileId,
    /// Whose.
    pub owner: UserId,
    /// The owner's name for the source.
    pub key: UploadKey,
    /// The file's name.
    pub name: FileName,
    /// Its size, in bytes.
    pub size: u64,
    /// Its chunks' size, in bytes.
    pub chunk_size: u64,
    /// How many uploads the owner may have under way.
    pub max_open: usize,
    /// How many bytes they may have reserved.
    pub quota: Quota,
    /// The moment.
    pub now: UnixMillis,
}

/// How many bytes an owner's uploads under way may have reserved together. Each has reserved the size of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// So many.
    Bytes(u64),
    /// Half of what would be free without them; now so many bytes are.
    HalfOf(u64),
}

impl Quota {
    /// The bytes, for somebody who has so many reserved.
    pub fn bytes(self, reserved: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::HalfOf(free) => free.saturating_add(reserved) / 2,
        }
    }
}

/// What beginning an upload found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is under way: new, or begun before with the same key, name and size.
    Open(Upload),
    /// It was finished before.
    Finished(File),
    /// The key stands for an upload or file of another name or size.
    KeyTaken,
    /// The owner has as many under way as allowed.
    TooMany,
    /// With this one, the owner's uploads would have more reserved than allowed.
    OverQuota {
        /// Reserved by those under way, in bytes.
        reserved: u64,
        /// Allowed, in bytes.
        limit: u64,
    },
}

/// An upload under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The id of the file that it will be.
    pub id: FileId,
    /// Whose.
    pub owner: UserId,
    /// The file's name.
    pub name: FileName,
    /// Its size, in bytes.
    pub size: u64,
    /// Its chunks' size, in bytes.
    pub chunk_size: u64,
    /// When it was last begun or resumed.
    pub active: UnixMillis,
}

/// An upload whose bytes are all in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitUpload {
    /// The upload.
    pub id: FileId,
    /// The hash of its bytes.
    pub root: RootHash,
    /// The moment.
    pub now: UnixMillis,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its id.
    pub id: FileId,
    /// Who uploaded it.
    pub owner: UserId,
    /// Its name.
    pub name: FileName,
    /// Its size, in bytes.
    pub size: u64,
    /// Its chunks' size, in bytes.
    pub chunk_size: u64,
    /// Its BLAKE3 hash.
    pub root: RootHash,
    /// When its upload was finished.
    pub at: UnixMillis,
}

/// What became of deleting a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteFile {
    /// It is gone, but for its folder.
    Done,
    /// No such file, or none that this user may read.
    NotFound,
    /// Somebody else uploaded it.
    Forbidden,
}

impl From<&File> for FileCard {
    fn from(file: &File) -> Self {
        Self { id: file.id, name: file.name.clone(), size: file.size }
    }
}
