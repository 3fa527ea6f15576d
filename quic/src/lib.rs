//! What server and client share over quinn, so that each decision about the wire's transport is made once.
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`transport`] | windows, timeouts and sizes of a connection, and what each costs in memory |
//! | [`socket`] | the UDP socket and its kernel buffers |
//! | [`tls`] | the crypto provider and its order of ciphers |
//! | [`frames`] | frames on streams: writing, and reading that survives cancellation |
//! | [`bulk`] | the raw bytes of a range behind its header, uncopied |
//!
//! Knows no account, chat or file: what a frame means is the business of whoever reads it.

pub mod bulk;
pub mod frames;
pub mod socket;
pub mod tls;
pub mod transport;
