//! A transfer between two clients, over whichever connections they have with each other.
//!
//! The receiver pulls: it opens a stream for each thing it asks for, on the best connection there is at that moment, and the
//! sender only answers ([`protocol::peer`](hypersend_protocol::peer) is the wire). So resuming, the choice of the way, a way
//! that dies, a slow disk and several receivers at once are all the receiver's own affair, and the sender keeps no state.
//!
//! ```text
//! let offer = Arc::new(Offer::open(paths).await?);          let mut receiving = Receiving::start(folder, tag, None);
//! let sending = Sending::start(offer);                      receiving.add_path(id, Rank::Relayed, connection);
//! sending.add_path(id, Rank::Relayed, connection);          receiving.add_path(id, Rank::Direct, better);
//! sending.finish().await?                                   receiving.finish().await?
//! ```
//!
//! Owns neither endpoints nor sockets: whoever makes connections adds them, and removes them. A way that dies is never an
//! error here, and neither is having none: the transfer waits, and its owner decides for how long.
//!
//! | module | what it holds | touches the disk |
//! | --- | --- | --- |
//! | `listing` | what is offered, checked, in memory | no |
//! | [`offer`] | the walk over what is to be sent | yes |
//! | `source` | single files at the sender | yes |
//! | [`sending`] | the answers | no |
//! | [`paths`] | the connections of one transfer, which is the best, which are silent | no |
//! | `ask` | one question, asked on the best path until it is answered | no |
//! | `part` | what has arrived of one offered thing, beside its destination, and what [remains](Remains) of it | yes |
//! | `publish` | names at the destination, and what was moved there | yes |
//! | [`receiving`] | what is asked for, and when | no |

mod ask;
mod listing;
pub mod offer;
mod part;
pub mod paths;
mod publish;
pub mod receiving;
pub mod sending;
mod source;

pub use hypersend_transfer::{progress::Progress, schedule::PathId};
pub use listing::ListingError;
pub use offer::{Offer, OfferError, Skipped};
pub use part::{Arrived, Remains};
pub use paths::Rank;
pub use receiving::{ReceiveError, Received, Receiving};
pub use sending::{SendError, Sending, Sent};
pub use source::SourceError;

/// Runs something that blocks off the async threads. How many do at once is bounded by what is in flight.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("disk work does not panic")
}

/// A peer's words, without what a terminal would take for a command.
pub(crate) fn for_people(words: &str) -> String {
    words.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
