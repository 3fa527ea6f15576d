//! Files: their records, the operations on request streams, and the chunk streams.
//!
//! **Upload.** [`BeginUpload`] answers with the chunk size and the map of what is stored already. Then for each range of
//! each missing chunk, in any order and many at once, a stream of its own: the client sends [`PutRange`] and exactly
//! `length` raw bytes and finishes; the server answers [`RangeStored`]. [`FinishUpload`] turns the upload into a file.
//!
//! **Download.** [`GetFile`], [`GetValues`] until all chunk values are there (they must merge to the file's root hash),
//! then for each range a stream: the client sends [`GetRange`]; the server answers [`RangeFollows`] and exactly that many
//! raw bytes, and finishes.
//!
//! A range is at most [`MAX_RANGE_LENGTH`](crate::limit::MAX_RANGE_LENGTH) long, lies within one chunk and begins at a
//! multiple of that length. A chunk size is a power of two, so that chunks and ranges are subtrees of the file's
//! ordinary BLAKE3 hash.

use crate::{
    account::Done,
    frame::{Kind, frame},
    hash::{ChunkValue, RootHash, UploadKey},
    id::{ChunkIndex, FileId, UserId},
    name::FileName,
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};

/// What a message shows of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCard {
    /// The file.
    pub id: FileId,
    /// Its name.
    pub name: FileName,
    /// Its size, in bytes.
    pub size: u64,
}

/// A file that the server holds whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// The file.
    pub id: FileId,
    /// Its name.
    pub name: FileName,
    /// Its size, in bytes.
    pub size: u64,
    /// The size of its chunks, in bytes.
    pub chunk_size: u64,
    /// Its BLAKE3 hash.
    pub root: RootHash,
    /// Who uploaded it.
    pub owner: UserId,
    /// When its upload was finished.
    pub at: UnixMillis,
}
frame!(FileInfo, Kind(0x4c), 1 << 10);

/// How far an upload is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadState {
    /// The id of the file that it will be.
    pub file: FileId,
    /// The size of its chunks, in bytes.
    pub chunk_size: u64,
    /// Which chunks are stored: bit `i % 8` (the lowest first) of byte `i / 8` is chunk `i`.
    #[serde(with = "serde_bytes")]
    pub stored: Vec<u8>,
    /// The file, when the upload is finished already: nothing is left to send.
    pub finished: Option<FileInfo>,
}
frame!(UploadState, Kind(0x4e), 16 << 10);

/// One page of the caller's files, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePage {
    /// The files.
    pub files: Vec<FileInfo>,
    /// Whether older ones exist; give the last one's id in [`ListFiles::before`].
    pub more: bool,
}
frame!(FilePage, Kind(0x50), 256 << 10);

/// Chunk values of a file, in the order of its chunks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Values {
    /// 32 bytes for each chunk.
    #[serde(with = "serde_bytes")]
    pub values: Vec<u8>,
}
frame!(Values, Kind(0x52), 257 << 10);

impl Values {
    /// Packs chunk values.
    pub fn pack(values: &[ChunkValue]) -> Self {
        Self { values: values.iter().flat_map(|value| value.0).collect() }
    }

    /// The chunk values; `None` when the bytes are no whole number of them.
    pub fn unpack(&self) -> Option<Vec<ChunkValue>> {
        let (values, rest) = self.values.as_chunks::<32>();
        rest.is_empty().then(|| values.iter().map(|&bytes| ChunkValue(bytes)).collect())
    }
}

/// Begins an upload, or finds the one begun before with the same key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginUpload {
    /// Names the source for its sender: the same key is the same upload, under way or finished.
    pub key: UploadKey,
    /// The file's name.
    pub name: FileName,
    /// Its size, in bytes; at most [`MAX_FILE_SIZE`](crate::limit::MAX_FILE_SIZE).
    pub size: u64,
}
frame!(BeginUpload, Kind(0x140), 1 << 10 => UploadState);

/// Turns an upload with no chunk missing into a file. Asked again, the same file is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishUpload {
    /// The upload.
    pub file: FileId,
    /// The hash that the client has computed.
    pub root: RootHash,
}
frame!(FinishUpload, Kind(0x142), 128 => FileInfo);

/// Drops an upload and what was stored of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelUpload {
    /// The upload.
    pub file: FileId,
}
frame!(CancelUpload, Kind(0x144), 64 => Done);

/// One file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetFile {
    /// The file.
    pub file: FileId,
}
frame!(GetFile, Kind(0x146), 64 => FileInfo);

/// Some chunk values of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetValues {
    /// The file.
    pub file: FileId,
    /// The first chunk.
    pub first: ChunkIndex,
    /// How many; at most [`MAX_VALUES_PER_PAGE`](crate::limit::MAX_VALUES_PER_PAGE), and fewer come at the file's end.
    pub count: u32,
}
frame!(GetValues, Kind(0x148), 64 => Values);

/// A page of the files that the caller uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListFiles {
    /// Files older than this one; none for the newest.
    pub before: Option<FileId>,
    /// At most this many, and at most [`MAX_PAGE`](crate::limit::MAX_PAGE).
    pub limit: u32,
}
frame!(ListFiles, Kind(0x14a), 64 => FilePage);

/// Deletes a file that the caller uploaded: nobody can fetch it any more. Messages keep its card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteFile {
    /// The file.
    pub file: FileId,
}
frame!(DeleteFile, Kind(0x14c), 64 => Done);

/// Opens a chunk stream that brings one range; its raw bytes follow at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutRange {
    /// The upload.
    pub file: FileId,
    /// Where the range begins, in bytes.
    pub offset: u64,
    /// Its length, in bytes.
    pub length: u32,
    /// The chaining value of the range.
    pub value: ChunkValue,
}
frame!(PutRange, Kind(0x240), 128);

/// The range has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeStored {
    /// Whether its chunk is complete with it, and so survives a crash of the server. Ranges of a chunk that is not
    /// complete are sent again after one.
    pub chunk_complete: bool,
}
frame!(RangeStored, Kind(0x242), 32);

/// Opens a chunk stream that fetches one range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetRange {
    /// The file.
    pub file: FileId,
    /// Where the range begins, in bytes.
    pub offset: u64,
    /// Its length, in bytes.
    pub length: u32,
}
frame!(GetRange, Kind(0x244), 64);

/// The range's raw bytes follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeFollows {
    /// How many, in bytes.
    pub length: u32,
}
frame!(RangeFollows, Kind(0x246), 32);
