//! The MongoDB backend: a replica set, reached by any number of servers.
//!
//! A changing act is one transaction, committed by a majority (`transaction`). Acts that go into feeds take turns within
//! this server (`writer`), so that they do not get in each other's way and the sink hears of them in the order of their
//! commits; posts and read marks that wait are put into one transaction together (`batch`). Two servers that change the
//! same documents at once are kept apart by the database: one of them is told to begin again, and does.
//!
//! | module | what it owns |
//! | --- | --- |
//! | `store` | [`MongodbStore`]: how each act is run |
//! | `writer`, `batch`, `known` | turns; what is committed together; what is remembered between |
//! | `transaction`, `failure` | `Act`: reading and writing inside or outside of a transaction; beginning again, and ending what was begun |
//! | `connection`, `schema` | reaching a database that will do; its collections, validators and indexes |
//! | `field` | how domain values are written in documents |
//! | `news`, `peers` | what other servers do; what servers settle among themselves |
//! | `orphans` | transactions that a dead server left open |
//! | `presence` | who is connected to which server, and which servers there are |
//! | `signals`, `relays` | registers of transfers; the relays that are there |
//! | `archive` | all records out of a database and into another |
//! | `users`, `sessions`, `chats`, `members`, `messages`, `files`, `p2p`, `mailboxes`, `events` | the acts |

pub(super) mod archive;
mod batch;
mod chats;
mod connection;
mod events;
mod failure;
#[cfg(test)]
mod fault_tests;
mod field;
mod files;
mod known;
#[cfg(test)]
mod known_tests;
mod mailboxes;
mod members;
mod messages;
mod news;
mod orphans;
mod p2p;
#[cfg(test)]
mod peer_tests;
mod peers;
#[cfg(test)]
mod plan_tests;
mod presence;
#[cfg(test)]
mod presence_tests;
mod relays;
mod schema;
mod sessions;
mod signals;
mod store;
#[cfg(test)]
mod tests;
mod transaction;
mod users;
mod writer;

pub use store::MongodbStore;
pub(super) use store::{inspect, migrate};
