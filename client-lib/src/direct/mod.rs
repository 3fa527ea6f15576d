//! Files from client to client: offered by way of the server, carried directly or over a relay.
//!
//! The server knows of an offer, hands both sides tickets for relays, and passes on what they have to say to each other
//! before there is a way between them ([`SignalChannel`](crate::SignalChannel)). From then on `hypersend_paths` makes
//! connections, `hypersend_peer` has the files travel over whichever there are, and this module brings the three together. No
//! byte of a file passes through the server, unless no way is found and the sender goes on through it
//! ([`Whereabouts::Stored`]).
//!
//! | module | what it holds |
//! | --- | --- |
//! | `transfer` | [`DirectTransfer`]: what an owner sees of one under way |
//! | `line` | where the two sides speak to each other before |
//! | `meeting` | one side of a session: signals, ways, and what is to be told of them |
//! | `carry` | files and ways together, until the files are across or there is no way |
//! | `send`, `receive` | either side, from the offer to the end |
//! | `session` | what the server says of a session |
//! | `offers` | what others offer to this user |
//! | `stored` | through the server, where there is no way |
//! | `place` | where a file from the server goes, and what of it has come from the sender itself |
//! | `code` | the same for two people without accounts |

mod carry;
mod code;
mod error;
mod line;
mod meeting;
mod offers;
mod place;
mod receive;
mod send;
mod session;
mod stored;
mod transfer;

pub use code::{BadCode, Code, CodeError, CodeOffer, CodeOptions, OfferSummary, receive_by_code, send_by_code};
pub use error::DirectError;
pub use hypersend_paths::{Report, Way};
pub use hypersend_peer::{Offer, OfferError, ReceiveError, Received, SendError, Sent};
pub use offers::Offers;
pub use receive::ReceiveOptions;
pub use send::SendOptions;
pub use transfer::{DirectTransfer, Keys, Whereabouts};
