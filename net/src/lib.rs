//! What server and client share of the network, so that each decision about the wire is made once.
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`connection`] | a connection that carries streams, over QUIC or over TCP |
//! | [`stream`] | the two halves of a stream |
//! | [`tcp`] | how HTTP/2 carries the streams where no UDP gets through |
//! | [`transport`] | windows, timeouts and sizes of a connection, and what each costs in memory |
//! | [`socket`] | the sockets and their kernel buffers |
//! | [`tls`] | the crypto provider and its order of ciphers |
//! | [`frames`] | frames on streams: writing, and reading that survives cancellation |
//! | [`pace`] | how often a side of a transfer sets its value |
//! | [`tunnel`] | the datagrams of a UDP socket on a stream |
//! | [`bulk`] | the raw bytes of a range behind its header, uncopied |
//!
//! Knows no account, chat or file: what a frame means is the business of whoever reads it.

pub mod bulk;
pub mod connection;
pub mod frames;
pub mod pace;
pub mod socket;
pub mod stream;
pub mod tcp;
pub mod tls;
pub mod transport;
pub mod tunnel;
