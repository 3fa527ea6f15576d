//! A file under way: one folder on the disk, written to by many threads, resumed after any crash.
//!
//! ```text
//! manifest.json   what the file is, see [`Manifest`]; its presence says that the folder was made completely
//! content         the file itself, at its full length from the start; each chunk is written at its place
//! journal         what has landed, see [`journal`](crate::journal); gone once the file is published
//! tail            the beginning of a range that has not come whole, see [`Tail`]; gone once the file is published
//! values          written by sealing: the value of every chunk, 32 bytes each; its presence says that nothing is missing
//! ```
//!
//! What is kept true:
//! - A chunk is called stored when its bytes and its journal record survive the death of the process. Only a checkpoint,
//!   or sealing, makes them survive a power cut; what a power cut takes is found out by hashing and received again.
//! - A range is written by one thread at a time, and a stored chunk never again, so that what was hashed is what is kept.
//! - Storing a range holds no lock while it hashes, and while it writes one that only other writes to the same file wait for.
//!   It never waits for a checkpoint; only checkpoints and sealing wait for each other.
//! - One [`TransferFolder`] at a time owns a folder, by a lock on `content` that the kernel drops with the process.
//!
//! | file | the part of a folder's life |
//! | --- | --- |
//! | `create` | made, or made anew when a crash left it half made |
//! | `open` | taken up again: journal read, unsettled chunks hashed again |
//! | `store` | ranges written as they arrive |
//! | `append`, `tail` | bytes one after another, with any number at a time; what does not fill a range yet |
//! | `adopt` | chunks that are stored somewhere else |
//! | `turn` | moved, and made the folder of another file that has chunks in common |
//! | `landing` | which ranges of which chunks are being written; no I/O |
//! | `settle` | checkpoints |
//! | `seal` | complete: hash checked, published or extracted |
//! | `manifest`, `disk` | the manifest; space and durable names |

mod adopt;
mod append;
mod create;
mod disk;
mod landing;
mod manifest;
mod open;
mod seal;
mod settle;
mod store;
mod tail;
mod turn;
mod under_way;

pub use append::AppendError;
pub use create::CreateError;
pub use disk::{NoSpace, free_bytes, is_own, rename_new, sync_dir};
pub use landing::MAX_CHUNKS_BEGUN;
pub use manifest::{Manifest, ManifestError};
pub use open::OpenError;
pub use seal::{ExtractError, PublishError, SealError, Sealed};
pub use settle::{CHECKPOINT_BYTES, CheckpointError};
pub use store::{ExpectError, Landed, StoreError};
pub use tail::Tail;
pub use turn::TurnError;
pub use under_way::TransferFolder;

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const CONTENT: &str = "content";
pub(crate) const JOURNAL: &str = "journal";
pub(crate) const TAIL: &str = "tail";
pub(crate) const VALUES: &str = "values";
