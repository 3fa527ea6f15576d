//! The `hypersend` command as people and scripts use it: real processes, a real server, a real terminal.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod codes;
mod conversation;
mod doctor;
mod errors;
mod first_steps;
mod interruptions;
mod person;
mod screen;
mod terminal;
mod transfers;
mod transports;
mod trust;
