//! The HyperSend server as a library.

pub mod store;
