//! The SQLite backend: one file, one writer, a few readers.
//!
//! All changes go through one thread that owns the only writing connection and commits what waits together (`writer`), so
//! that the sync that makes an act durable is paid once for many. Reads run beside it on connections of their own
//! (`readers`), each in a snapshot (SQLite's WAL mode). The acts are in the files named after the domain's; each keeps its
//! SQL beside the function that runs it.
//!
//! | module | what it owns |
//! | --- | --- |
//! | `store` | [`SqliteStore`]: which act runs on which side |
//! | `writer`, `readers` | the two sides |
//! | `connection`, `schema` | how connections are opened; the migrations |
//! | `column` | how domain values are written in columns |
//! | `signals`, `relays` | registers of transfers and the relays that are there, in memory |
//! | `archive` | all records out of a database and into another |
//! | `users`, `sessions`, `chats`, `members`, `messages`, `files`, `p2p`, `mailboxes`, `events` | the acts |

pub(super) mod archive;
mod chats;
mod column;
mod connection;
mod events;
mod files;
mod mailboxes;
mod members;
mod messages;
mod p2p;
#[cfg(test)]
mod plan_tests;
mod readers;
mod relays;
mod schema;
mod sessions;
mod signals;
mod store;
#[cfg(test)]
mod tests;
mod users;
mod writer;

pub use store::SqliteStore;
pub(super) use store::{inspect, migrate};
