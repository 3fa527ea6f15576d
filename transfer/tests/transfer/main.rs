//! The crate as its users see it, on a real disk and in virtual time.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod adopt;
mod append;
mod finish;
mod resume;
mod schedule;
mod space;
mod store;
mod support;
mod turn;
