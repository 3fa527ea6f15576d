//! A transfer between two clients, on connections that they have with each other: what the receiver asks for, and what the
//! sender answers. No server takes part.
//!
//! The receiver opens all streams, one for each request, on whichever connection it likes; the sender only answers and keeps
//! nothing of what was asked before. So what is missing, what comes next and which way it takes is known in one place.
//!
//! 1. [`GetListing`] until all entries are there. They hash to the [`ListingId`], which each later request names: a sender
//!    that was started again and whose files are others by now refuses with `conflict`, and the receiver asks anew.
//! 2. [`GetPiece`] for each missing range of files of more than one range, [`GetSmall`] for the others, many at once. The
//!    answer's bytes are checked against the value before them.
//! 3. [`Confirm`] once a file of several ranges is whole: that it did not change while it was read. A file of [`GetSmall`]
//!    is read in one go, and looked at before and after.
//! 4. [`Report`] every now and then, and at the end until it is answered.

use crate::{
    account::Done,
    frame::{Kind, frame, frame_set},
    hash::{ChunkValue, EntryKey, ListingId, RootHash},
    name::FileName,
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};

/// One file or folder that is offered. Entries stand in an order in which a folder comes before what is in it, and what is
/// in one folder stands in the order of the bytes of its names, no name twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingEntry {
    /// Its own name.
    pub name: FileName,
    /// The number of the entry that it is in, which is a folder before it; `None` for what was offered itself.
    pub parent: Option<u32>,
    /// Whether it is a folder.
    pub folder: bool,
    /// Its size in bytes; 0 for a folder.
    pub size: u64,
    /// When it was last modified; for a time before 1970, 0.
    pub modified: UnixMillis,
    /// Whether its owner may execute it; `false` for a folder.
    pub executable: bool,
    /// The same for as long as a file stays where it is and as it is, and for as long as a folder stays where it is.
    pub key: EntryKey,
}

/// Asks for a part of what is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetListing {
    /// The first entry wanted.
    pub first: u32,
    /// How many; at most [`MAX_ENTRIES_PER_PAGE`](crate::limit::MAX_ENTRIES_PER_PAGE).
    pub count: u32,
}
frame!(GetListing, Kind(0x260), 64 => ListingPage);

/// A part of what is offered. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingPage {
    /// What all entries together hash to.
    pub listing: ListingId,
    /// Entries in all; at most [`MAX_LISTING_ENTRIES`](crate::limit::MAX_LISTING_ENTRIES).
    pub total_entries: u32,
    /// The sum of all sizes, in bytes.
    pub total_bytes: u64,
    /// The entries from the first that was asked for.
    pub entries: Vec<ListingEntry>,
}
frame!(ListingPage, Kind(0x262), 512 << 10);

/// Asks for one range of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetPiece {
    /// The listing that the number is of.
    pub listing: ListingId,
    /// The file's number in it.
    pub entry: u32,
    /// The range's first byte.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u32,
}
frame!(GetPiece, Kind(0x264), 128);

/// The range follows as raw bytes, then the stream's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceFollows {
    /// How many.
    pub length: u32,
    /// The value of exactly these bytes.
    pub value: ChunkValue,
}
frame!(PieceFollows, Kind(0x266), 96);

/// Asks for whole files, each of at most one range and all together no longer than one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetSmall {
    /// The listing that the numbers are of.
    pub listing: ListingId,
    /// The files' numbers; at most [`MAX_SMALL_FILES`](crate::limit::MAX_SMALL_FILES).
    pub entries: Vec<u32>,
}
frame!(GetSmall, Kind(0x268), 2 << 10);

/// A whole file follows as raw bytes. One of these comes for each file that was asked for, in that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmallFollows {
    /// The file's number.
    pub entry: u32,
    /// How many bytes.
    pub length: u32,
    /// The hash of the file.
    pub root: RootHash,
}
frame!(SmallFollows, Kind(0x26a), 96);

/// Asks whether a file is still the one in the listing; it is refused with `file-changed` when it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    /// The listing that the number is of.
    pub listing: ListingId,
    /// The file's number.
    pub entry: u32,
}
frame!(Confirm, Kind(0x26c), 96 => Done);

/// How the receiver is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiverState {
    /// It goes on.
    Receiving,
    /// Everything is in its place.
    Finished,
    /// It has given up.
    Failed {
        /// Why, for a person; at most [`MAX_REFUSAL_MESSAGE_BYTES`](crate::limit::MAX_REFUSAL_MESSAGE_BYTES).
        message: String,
    },
    /// Its user called it off.
    Cancelled,
}

/// Says how far the receiver is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Bytes that it has.
    pub stored: u64,
    /// Bytes in all.
    pub total: u64,
    /// How it is doing.
    pub state: ReceiverState,
}
frame!(Report, Kind(0x26e), 4 << 10 => Done);

frame_set! {
    /// The first frame of a stream between two clients.
    pub enum PeerRequest {
        /// Answered by one frame.
        GetListing,
        /// Answered by a frame and raw bytes.
        GetPiece,
        /// Answered by frames and raw bytes in turn.
        GetSmall,
        /// Answered by one frame.
        Confirm,
        /// Answered by one frame.
        Report,
    }
}
