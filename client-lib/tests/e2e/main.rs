//! The library against a real server process, on good and bad paths.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod access;
mod accounts;
mod backlog;
mod bounds;
mod bucket;
mod chats;
mod codes;
mod database;
mod deletions;
mod direct;
mod events;
mod faults;
mod groups;
mod guests;
mod hostile;
mod kills;
mod load;
mod mailbox;
mod members;
mod nodes;
mod p2p;
mod presence;
mod ranges;
mod refusals;
mod relays;
mod resume;
mod sessions;
mod signals;
mod spill;
mod support;
mod tcp;
mod transfers;
mod tunnels;
