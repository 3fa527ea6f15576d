//! HTTP/3 over quinn: serves any tower service of axum's bodies, one connection at a time.
//!
//! | file | what it does |
//! | --- | --- |
//! | `connection` | one connection: accepts requests until it ends, or winds down when the server stops |
//! | `request` | one request: its stream on one side, the service on the other |
//! | `head` | what h3 does not check of a head |
//! | `body` | the request's body on its way to the handler |
//! | `respond` | the response on its way to the client |
//! | `gate` | how far a body may run ahead of its handler; how a request's stream ends when it is dropped |
//! | `sieve` | what of a stream's bytes reaches h3 |
//! | `adapter` | h3's view of a quinn connection |
//!
//! Keeps true: a request holds no more than [`gate::LIMIT`] of its body, [`sieve::MAX_FRAME`] of its head and a read
//! buffer, whatever the client sends and however slowly the handler reads. What is not whole never ends cleanly: a cut
//! request fails in the handler, a failed response is reset. A handler whose client is gone is dropped. What a client
//! does wrong costs its stream, or at worst its connection.

mod adapter;
mod body;
mod connection;
mod gate;
mod head;
mod request;
mod respond;
mod sieve;
#[cfg(test)]
mod tests;

pub(crate) use connection::serve;

use super::patient::BODY_IDLE;
use h3::error::{Code, StreamError};
use hypersend_net::transport;
use quinn::VarInt;
use std::{
    net::SocketAddr,
    sync::{Arc, Once},
    time::Duration,
};

/// The largest header section, in bytes, counted as RFC 9114, 4.2.2 says. More is answered with 431. What other servers
/// take, and our tokens and cursors are far from.
const MAX_HEADER_SECTION: u64 = 16 << 10;

/// How long the peer may be silent or slow, by what is waited for.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// For all of a request's head, or for room for our control streams. 10 s: a head is a packet or two.
    head: Duration,
    /// For the next bytes of a body that the handler waits for. 30 s, as for a silent connection.
    body: Duration,
    /// For the client to take the next piece of a response. 30 s likewise.
    response: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: Duration::from_secs(10), body: BODY_IDLE, response: Duration::from_secs(30) }
    }
}

/// The connection under a request, found in its extensions: whoever learns who the caller is says so here.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    connection: quinn::Connection,
    trusted: Arc<Once>,
}

impl Transport {
    /// Takes a new connection, and trusts it with as much as a stranger gets.
    fn new(connection: quinn::Connection) -> Self {
        connection.set_receive_window(VarInt::from_u32(transport::HTTP_WINDOW));
        Self { connection, trusted: Arc::new(Once::new()) }
    }

    /// A request was authenticated: opens the connection's receive window. Cheap when it was done before.
    pub(crate) fn trust(&self) {
        let opened = VarInt::from_u32(transport::RECEIVE_WINDOW);
        self.trusted.call_once(|| self.connection.set_receive_window(opened));
    }

    fn remote_address(&self) -> SocketAddr {
        self.connection.remote_address()
    }
}

/// What to reset a request's stream with after an error of h3.
fn fault(error: &StreamError) -> Code {
    match error {
        StreamError::StreamError { code, .. } => *code,
        StreamError::HeaderTooBig { .. } => Code::H3_EXCESSIVE_LOAD,
        StreamError::Undefined { 0: error, .. } => {
            error.downcast_ref().map_or(Code::H3_INTERNAL_ERROR, sieve::SieveError::code)
        }
        // The peer cancelled it, or is gone.
        _ => Code::H3_REQUEST_CANCELLED,
    }
}
