//! Transfers between two sides in one process, over real connections on loopback.
//!
//! | module | what it checks |
//! | --- | --- |
//! | [`whole`] | files and folders arrive as they are, under names that are free |
//! | [`resume`] | either side started again, at any moment, goes on |
//! | [`ways`] | paths that come, go, fall silent |
//! | [`ends`] | cancelled, changed, no room, in use |
//! | [`kills`] | the receiver killed again and again |
//! | [`hostile_sender`], [`hostile_receiver`] | a peer that does not keep to the protocol |
//! | [`support`] | connections, files, and the two sides |

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be made is a failed test")]

mod ends;
mod hostile_receiver;
mod hostile_sender;
mod kills;
mod resume;
mod support;
mod ways;
mod whole;
