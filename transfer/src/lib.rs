//! What a transfer is: how a file is cut into chunks, which of them have landed, how they are proved and kept, and which
//! one travels next.
//!
//! The server uses it for uploads, the client for both directions. Nothing in here opens a socket, spawns a task or reads
//! a clock: the core decides, a thin synchronous shell touches the disk, and the caller brings threads and time.
//!
//! | module | what it holds | touches the disk |
//! | --- | --- | --- |
//! | [`plan`] | chunks and ranges of a file of a given size | no |
//! | [`tree`] | BLAKE3 values of ranges and chunks, and the file's hash from them | no |
//! | [`map`] | which chunks of one file are stored | no |
//! | [`schedule`] | which chunk goes on which path, and when | no |
//! | [`progress`] | rate and time left | no |
//! | [`journal`] | the append-only record of what has landed; its byte format | yes |
//! | [`folder`] | a file under way: written, checkpointed, resumed, sealed | yes |
//! | [`stored`] | a finished file, read back for downloads | yes |
//! | [`source`](mod@source) | a local file being sent | yes |

pub mod folder;
pub mod journal;
pub mod map;
pub mod plan;
pub mod progress;
mod read;
pub mod schedule;
pub mod source;
pub mod stored;
pub mod tree;

pub use folder::{Landed, Manifest, Sealed, TransferFolder};
pub use map::ReceiveMap;
pub use plan::{ChunkPlan, Span};
pub use schedule::Schedule;
pub use source::Source;
pub use stored::StoredFile;
