//! The vocabulary of HyperSend's wire, `hypersend/1`: ids, frames, limits, error codes, versions.
//!
//! Owns what both ends must agree on and nothing that either end does with it: no async, no sockets, no clock, no
//! randomness. A value of one of these types is valid; whatever arrives from a peer is parsed once, here.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`frame`] | how a frame looks on a stream; the traits every frame implements |
//! | [`stream`] | which frame may open a stream, and so what the stream is |
//! | [`update`] | releases of client programs |
//! | [`p2p`] | transfers from client to client: offers and what became of them |
//! | [`paths`] | what the two sides of such a transfer tell each other to find ways |
//! | [`code`] | what they tell each other instead where they know nothing of each other but a code |
//! | [`peer`] | the transfer itself, between the two clients |
//! | [`signal`] | what the two sides of such a transfer say to each other before there is a path between them |
//! | [`mailbox`] | how two people without accounts meet at a server, to say that to each other |
//! | [`tunnel`] | how clients reach a relay where no UDP gets through |
//! | [`relay`] | the datagrams by which a client comes to use a relay, and what allows it to |
//! | [`session`] | hello and welcome, tokens |
//! | [`account`], [`chat`], [`event`], [`file`](mod@file) | the operations and their records |
//! | [`refusal`] | the catalogue of error codes, used as answers and as close codes |
//! | [`id`], [`name`], [`hash`], [`fingerprint`], [`time`] | validated values |
//! | [`size`] | numbers of bytes, as people read them |
//! | [`limit`] | every number a peer is held to |
//!
//! The flow of each stream is written out in `docs/protocol.md`; golden bytes of every frame are in `tests/golden.txt`.

pub mod account;
pub mod chat;
pub mod code;
pub mod event;
pub mod file;
pub mod fingerprint;
pub mod frame;
pub mod hash;
pub mod id;
pub mod limit;
pub mod mailbox;
pub mod name;
pub mod p2p;
pub mod paths;
pub mod peer;
pub mod refusal;
pub mod relay;
pub mod session;
pub mod signal;
pub mod size;
pub mod stream;
pub mod time;
pub mod tunnel;
pub mod update;

/// The ALPN token of the native protocol (RFC 7301). A change that old peers cannot read gets a new token.
pub const ALPN: &[u8] = b"hypersend/1";

/// The UDP port a server listens on when nothing else is said.
pub const DEFAULT_PORT: u16 = 8443;
